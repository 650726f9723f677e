"""What it costs to put a kWh back, car by car: cheap as far as cheap half-hours before departure reach.

Energy beyond the target is bought back at the cheapest price of the plan, as the base plan has it. A car
that stays plugged in through cheap half-hours after the window puts back what these have room for, beside
what it needs anyway. The rest is put back in dearer ones. Every level of price is a tier of energy with a
reach of its own, within that of the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aggregator.bidding.problem import FloatArray, Tier
from aggregator.energy import CarArrays, FleetWindow, Stay, Tariff, reach
from aggregator.energy.cars import TINY_KWH

MOST_LEVELS = 3
KWH_PER_MWH = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Recharge:
    """What giving energy costs.

    Attributes:
        tiers: Cheaper energy, the widest tier first.
        dearest_gbp_per_kwh: Of the rest: recharge with losses, and wear. [GBP/kWh AC]
        cheapest_gbp_per_kwh: Of the cheapest tier. [GBP/kWh AC]
    """

    tiers: tuple[Tier, ...]
    dearest_gbp_per_kwh: float
    cheapest_gbp_per_kwh: float


def recharge(
    cars: CarArrays,
    windows: Sequence[FleetWindow],
    stays: Sequence[Stay],
    tariff: Tariff,
    stop_slot: int,
) -> Recharge:
    """Return the tiers of a window that ends before ``stop_slot`` of the tariff.

    Args:
        cars: The cars.
        windows: What they bring to it in each scenario, for more export.
        stays: Their stays in each scenario.
        tariff: Prices per slot of the plan.
        stop_slot: First slot after the window.
    """
    levels = _levels(tariff, stop_slot)
    round_trip = float((cars.eta_charge * cars.eta_discharge).mean())
    costs = [float(level) / round_trip + tariff.wear_gbp_per_kwh for level in levels]
    tiers: list[Tier] = []
    dearest = costs[-1]
    for at in reversed(range(len(levels) - 1)):
        parts = [
            _within(cars, window, stay, tariff, stop_slot, float(levels[at]))
            for window, stay in zip(windows, stays, strict=True)
        ]
        if all(_same(part, window) for part, window in zip(parts, windows, strict=True)):
            tiers, dearest = [], costs[at]
            continue
        able = reach(parts, windows[0].slot_hours, up=True)
        tiers.append(Tier(able, KWH_PER_MWH * (costs[at + 1] - costs[at])))
    return Recharge(tuple(tiers), dearest, costs[0])


def _levels(tariff: Tariff, stop_slot: int) -> FloatArray:
    """Return up to three prices at which energy may be put back, ascending, the cheapest first."""
    after = tariff.import_gbp_per_kwh[stop_slot:][~tariff.red[stop_slot:]]
    cheapest = tariff.buy_back_gbp_per_kwh
    prices = np.unique(np.maximum(np.round(after, 6), cheapest))
    if len(prices) > MOST_LEVELS - 1:
        prices = np.quantile(prices, np.linspace(0.5, 1.0, MOST_LEVELS - 1))
    return np.unique([cheapest, *prices])


def _within(
    cars: CarArrays, window: FleetWindow, stay: Stay, tariff: Tariff, stop_slot: int, price: float
) -> FleetWindow:
    """Return the window with only the energy that can be put back at a price or below."""
    slots = np.arange(stop_slot, tariff.slots)
    cheap = (tariff.import_gbp_per_kwh[stop_slot:] <= price + 1e-9) & ~tariff.red[stop_slot:]
    plugged = (stay.arrive_slot[:, None] <= slots) & (slots < stay.depart_slot[:, None])
    room_kwh = cars.eta_charge * cars.shared_charge_kw(stay.present) * window.slot_hours
    room_kwh = room_kwh * (plugged & cheap).sum(axis=1)
    target_kwh = np.minimum(stay.target_kwh, cars.capacity_kwh)
    owed_kwh = np.maximum(0.0, target_kwh - window.stored_kwh)
    spare_kwh = np.maximum(0.0, window.stored_kwh - target_kwh) + np.maximum(0.0, room_kwh - owed_kwh)
    return replace(
        window,
        must_charge=np.zeros_like(window.must_charge),
        exportable_kwh=np.minimum(window.exportable_kwh, cars.eta_discharge * spare_kwh),
        must_kw=np.zeros_like(window.must_kw),
        first_kwh=np.zeros_like(window.first_kwh),
        rest_kwh=np.zeros_like(window.rest_kwh),
    )


def _same(part: FleetWindow, window: FleetWindow) -> bool:
    """Whether the tier holds all that the cars can give in the window at their power."""
    most_kwh = window.discharge_kw * window.slot_hours * (window.depart - window.arrive)
    given_kwh = np.minimum(window.exportable_kwh, most_kwh)
    return bool((part.exportable_kwh >= given_kwh - TINY_KWH).all())
