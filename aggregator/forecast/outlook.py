"""What a zone can count on, half-hour by half-hour: P10, P50 and P90 over the scenarios.

A percentile of n scenarios is the value of rank p(n + 1), between neighbours in proportion (Weibull's rule):
a day that goes like any of them then lies below P10 on one day in ten, not on one in seven, as it does with
20 scenarios by the rule that is NumPy's default.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.energy import (
    BasePlan,
    CarArrays,
    FloatArray,
    Stay,
    Tariff,
    base_plan,
    exportable_kwh,
    guard_kwh,
    need_kwh,
)
from aggregator.energy.rooms import by_site, by_slot
from aggregator.forecast.draw import Scenario

PERCENTILES = (10, 50, 90)


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Percentiles per slot, each array of shape (percentiles, slots), rising along the first axis.

    Attributes:
        cars: Cars plugged in.
        discharge_kw: Power that they can give through the slot, within their homes' room and what each may
            export. [kW AC]
        exportable_kwh: What they can give from the slot's start on and still keep floor, guard and need, the
            base plan having run until then. [kWh AC]
    """

    cars: FloatArray
    discharge_kw: FloatArray
    exportable_kwh: FloatArray


def outlook(
    cars: CarArrays,
    scenarios: Sequence[Scenario],
    tariff: Tariff,
    slot_hours: float,
    soc_resolution: float,
) -> Outlook:
    """Return what the cars are forecast to be able to give.

    Args:
        cars: The cars of one zone.
        scenarios: Equally likely; at least one.
        tariff: Prices per slot; its length is the horizon.
        slot_hours: Length of a slot. [h]
        soc_resolution: Step of the reported state of charge, as a fraction.

    Raises:
        ValueError: If there is no scenario.
    """
    if not scenarios:
        raise ValueError("an outlook needs at least one scenario")
    twice = cars.repeated(scenarios[0].rows)
    guard, drawn = guard_kwh(twice.capacity_kwh, soc_resolution), []
    for scenario in scenarios:
        plan = base_plan(twice, scenario.both, tariff, slot_hours, soc_resolution)
        drawn.append(_able(twice, scenario.both, plan, slot_hours, guard))
    shares = [percentile / 100 for percentile in PERCENTILES]
    return Outlook(*np.quantile(np.array(drawn), shares, axis=0, method="weibull").swapaxes(0, 1))


def _able(cars: CarArrays, stay: Stay, plan: BasePlan, slot_hours: float, guard: FloatArray) -> FloatArray:
    """Return cars plugged, kW and kWh of one scenario, shape (3, slots)."""
    slots = plan.charge_kw.shape[1]
    plugged = stay.plugged(0, slots)
    spare_kwh = np.stack(
        [
            exportable_kwh(
                plan.energy_kwh[:, slot],
                need_kwh(cars, stay, slot, slot_hours),
                cars.floor_kwh,
                guard,
                cars.eta_discharge,
            )
            for slot in range(slots)
        ],
        axis=1,
    )
    room_kw = by_slot(cars.export_room_kw)
    spare_kwh = np.where(plugged & (room_kw[cars.site] > 0.0), spare_kwh, 0.0)
    power_kw = np.minimum(cars.discharge_kw[:, None], spare_kwh / slot_hours)
    at_site_kw = by_site(power_kw, cars.site, len(cars.export_room_kw))
    total_kw = np.minimum(at_site_kw, room_kw).sum(axis=0)
    return np.stack([plugged.sum(axis=0), total_kw, spare_kwh.sum(axis=0)])
