"""A zone's day or two as they may go: scenarios, the plan of each, what the cars bring to a window."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.config import Settings
from aggregator.energy import (
    BasePlan,
    BoolArray,
    CarArrays,
    FleetWindow,
    FloatArray,
    Stay,
    Tariff,
    base_plan,
    expected_nomination,
    fleet_window,
)
from aggregator.forecast import Calendar, History, Horizon, Scenario, as_stated, scenarios
from aggregator.model.drivers import Words
from aggregator.model.fleet import Fleet
from aggregator.model.market import PeakWindow, Plan
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.spans import Span
from aggregator.wiring import prices_of

SLOT_HOURS = HALF_HOUR / HOUR
LEAST_GUARD_SOC = 0.02
CHEAP_PART = 0.25

SaidKnown = Callable[[datetime], Mapping[str, Words]]
"""What drivers had said by an instant, the latest of each: the door's, for bid and audit alike."""

PeaksKnown = Callable[[str, datetime], Sequence[PeakWindow]]
"""A zone's standing signals by what was received until an instant: the store's, for bid and audit alike."""


@dataclass(frozen=True, slots=True, eq=False)
class ZoneDay:
    """All that is known of a zone's day before a need is looked at.

    Attributes:
        slots: The half-hours, from noon to noon.
        cars: The zone's cars, all of them ``rows`` times: for their main stay of each day, and another one.
        rows: How many rows a car has.
        labels: Of the scenarios: past days.
        stays: One per scenario.
        plans: What the cars do in each when nothing is called.
        tariff: Prices and red half-hours.
        plan: The expectation of ``plans``, with its digest.
        guard_soc: Kept above the floor, as a fraction.
    """

    slots: tuple[Interval, ...]
    cars: CarArrays
    rows: int
    labels: tuple[str, ...]
    stays: tuple[Stay, ...]
    plans: tuple[BasePlan, ...]
    tariff: Tariff
    plan: Plan
    guard_soc: float

    @property
    def cheap(self) -> BoolArray:
        """Half-hours in which energy is put back, shape (slots,): of the cheapest quarter, if giving it pays.

        Where a day has few prices its cheapest quarter may be most of it, and nobody buys at noon to sell.
        """
        price, round_trip = self.tariff.import_gbp_per_kwh, self.cars.eta_charge * self.cars.eta_discharge
        cost = price / float(round_trip.mean()) + self.tariff.wear_gbp_per_kwh
        pays = cost < self.tariff.export_gbp_per_kwh.max()
        return np.asarray((price <= np.quantile(price, CHEAP_PART)) & pays & ~self.tariff.red)

    @property
    def most_cars(self) -> int:
        """How many cars come in the scenario in which most do."""
        there = (stay.present.reshape(self.rows, -1).any(axis=0) for stay in self.stays)
        return max(int(cars.sum()) for cars in there)

    def windows(
        self, span: Span, earlier: Sequence[Span], *, up: bool
    ) -> tuple[tuple[FleetWindow, ...], tuple[Stay, ...]]:
        """Return what the cars bring to a window in each scenario, and their stays as of then.

        Args:
            span: The window.
            earlier: Windows before it in which the cars may have given (or taken) all they could, in order.
            up: Whether more export is asked for in all of them, else more import.
        """
        windows, stays = [], []
        for first_stay, first_plan in zip(self.stays, self.plans, strict=True):
            stay, plan = first_stay, first_plan
            for before in earlier:
                stay, plan = self._after(stay, plan, before, up=up)
            windows.append(self._window(stay, plan, span))
            stays.append(stay)
        return tuple(windows), tuple(stays)

    def _window(self, stay: Stay, plan: BasePlan, span: Span) -> FleetWindow:
        return fleet_window(self.cars, stay, plan, span.first, span.count, SLOT_HOURS, self.guard_soc)

    def _after(self, stay: Stay, plan: BasePlan, span: Span, *, up: bool) -> tuple[Stay, BasePlan]:
        """Return stays and plans from a window's end on, if all was asked of it that the cars could do.

        The cars plan anew from there, as they do after a call; one that has more stored plans to charge less.
        """
        window, cars = self._window(stay, plan, span), self.cars
        hours = SLOT_HOURS * (window.depart - window.arrive)
        given_kwh = np.minimum(window.exportable_kwh, window.discharge_kw * hours)
        taken_kwh = np.minimum(window.fillable_kwh, window.charge_kw * hours)
        if up:
            must_kwh = cars.eta_charge * (window.first_kwh + window.rest_kwh)
            moved_kwh = np.where(window.must_charge, must_kwh, -given_kwh / cars.eta_discharge)
        else:
            moved_kwh = cars.eta_charge * taken_kwh
        came = stay.arrive_slot < span.stop
        stays_on = came & (stay.depart_slot > span.stop)
        after = Stay(
            arrive_slot=np.where(came, span.stop, stay.arrive_slot),
            depart_slot=np.where(came & ~stays_on, span.stop, stay.depart_slot),
            energy_kwh=np.where(stays_on, window.stored_kwh + moved_kwh, stay.energy_kwh),
            target_kwh=stay.target_kwh,
        )
        return after, base_plan(cars, after, self.tariff, SLOT_HOURS)


def nobody_said(_: datetime) -> Mapping[str, Words]:
    """Return what is known where there is no door."""
    return {}


def zone_day(
    settings: Settings,
    fleet: Fleet,
    history: History,
    peaks: PeaksKnown,
    zone: str,
    horizon: Horizon,
    known_at: datetime,
    bid_windows: Sequence[Interval] = (),
    said: SaidKnown = nobody_said,
) -> ZoneDay | str:
    """Return a zone's day as known at an instant, or why nothing is known of it.

    Args:
        settings: Tariff, holidays, how many days to draw.
        fleet: The cars.
        history: Their past.
        peaks: Standing signals.
        zone: Which.
        horizon: Its day or days.
        known_at: Nothing learnt later is looked at.
        bid_windows: Of the day's needs: of equal prices, charging goes elsewhere first (P13).
        said: What drivers had said at their door. What they say at the charger, as they plug in, nobody
            knows the day before.
    """
    slots, words = horizon.slots, said(known_at)
    stated = [as_stated(fleet.in_zone(zone), words, part.day, known_at) for part in horizon.parts]
    cars = stated[0][0]
    count, calendar = settings.bidding.scenarios, Calendar(settings.fleet.holidays)
    drawn = scenarios(history, cars, horizon, known_at, count, calendar=calendar, stated=stated)
    if not cars or not drawn:
        return f"no cars in {zone}" if not cars else "no history of like days to forecast from"
    prices = prices_of(settings, lambda one: peaks(one, known_at), known_at, lambda _: bid_windows)
    tariff = prices(zone, slots)
    arrays = CarArrays.of(cars, *(slot.start for slot in slots), slots[-1].end).repeated(horizon.rows)
    plans = tuple(base_plan(arrays, scenario.both, tariff, SLOT_HOURS) for scenario in drawn)
    return ZoneDay(
        slots=slots,
        cars=arrays,
        rows=horizon.rows,
        labels=tuple(scenario.label for scenario in drawn),
        stays=tuple(scenario.both for scenario in drawn),
        plans=plans,
        tariff=tariff,
        plan=_plan(zone, slots, plans, drawn, horizon, fleet.digest),
        guard_soc=max(LEAST_GUARD_SOC, settings.dispatch.soc_resolution),
    )


def _plan(
    zone: str,
    slots: tuple[Interval, ...],
    plans: Sequence[BasePlan],
    drawn: Sequence[Scenario],
    horizon: Horizon,
    fleet_digest: str,
) -> Plan:
    base_kw, charge_kw = expected_nomination(plans, None, 0, len(slots))
    state = hashlib.sha256(f"{zone} {horizon.day} {[one.label for one in drawn]} {fleet_digest}".encode())
    state.update(base_kw.tobytes())
    state.update(charge_kw.tobytes())
    return Plan(zone, slots, _floats(base_kw), _floats(charge_kw), state.hexdigest())


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
