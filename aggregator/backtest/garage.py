"""What cars truly do: come, follow their plan, leave; energies by the minute, meters by half-hour.

Times are hours since the horizon's start. Plans are made as the gateway makes them, by whole half-hours and
by the departure it believes in; what happens is exact: a car that leaves in the middle of a half-hour has
done its part of it. Two rules fill the halves that plans leave open: a car that needs full power to be ready
takes it from the minute it comes, and one not ready takes it up to the minute it is due.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from aggregator.backtest.world import LEAST_ARRIVAL_SOC, Driver, Visit
from aggregator.energy import BoolArray, CarArrays, FloatArray, IntArray, Stay, Tariff, base_plan, emin_kwh
from aggregator.model.fleet import Car
from aggregator.model.time import HOUR, Interval, next_local

SLOT_HOURS = 0.5
NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Part:
    """A stay as far as it lies in the horizon.

    Attributes:
        start_h: Plugged in; below 0 where before the horizon. [h]
        end_h: Plugged out, maybe after the horizon. [h]
        driven_kwh: Energy used since the stay before. [kWh stored]
    """

    start_h: float
    end_h: float
    driven_kwh: float


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """One zone on one horizon, as it came to be.

    Attributes:
        slots: The horizon's half-hours.
        cars: The fleet.
        arrays: The same as arrays.
        parts: Each car's stays in the horizon, in order.
        tariff: Prices as they came to be.
        stated: Whether drivers say on plugging in when they will leave.
    """

    slots: tuple[Interval, ...]
    cars: tuple[Car, ...]
    arrays: CarArrays
    parts: tuple[tuple[Part, ...], ...]
    tariff: Tariff
    stated: bool

    @classmethod
    def of(
        cls,
        drivers: Sequence[Driver],
        cars: Sequence[Car],
        slots: tuple[Interval, ...],
        tariff: Tariff,
        *,
        stated: bool,
    ) -> "Day":
        """Return the day of these cars."""
        span = Interval(slots[0].start, slots[-1].end)
        parts = tuple(
            tuple(
                _part(visit, car, span) for visit in driver.visits if visit.plugged.overlap(span) is not None
            )
            for driver, car in zip(drivers, cars, strict=True)
        )
        arrays = CarArrays.of(cars, slots[0].start)
        return cls(slots, tuple(cars), arrays, parts, tariff, stated)

    @property
    def target_kwh(self) -> FloatArray:
        """What each driver wants stored on leaving, shape (cars,). [kWh]"""
        return np.array([car.default_intent.target_soc * car.capacity_kwh for car in self.cars])

    def due_h(self, car: int, part: Part, at_h: float) -> float:
        """Return when the car is believed to be needed next, seen at ``at_h``: as stated or as usual. [h]"""
        if self.stated:
            return part.end_h
        start = self.slots[0].start
        due = next_local(start + timedelta(hours=at_h), self.cars[car].default_intent.depart_local)
        return (due - start) / HOUR

    def arrival_kwh(self, car: int, part: Part, left_with_kwh: float) -> float:
        """Return what is stored on plugging in, by what was stored on leaving last. [kWh]"""
        least_kwh = LEAST_ARRIVAL_SOC * self.cars[car].capacity_kwh
        return max(least_kwh, left_with_kwh - part.driven_kwh)


def _part(visit: Visit, car: Car, span: Interval) -> Part:
    start_h, end_h = ((at - span.start) / HOUR for at in (visit.plugged.start, visit.plugged.end))
    return Part(start_h, end_h, car.charger.eta_charge * visit.energy_kwh)


@dataclass(frozen=True, slots=True)
class Piece:
    """A power held by one car. [kW, positive from car to grid]"""

    car: int
    from_h: float
    until_h: float
    export_kw: float


@dataclass(frozen=True, slots=True)
class Plugged:
    """A stay, or its part since the horizon's start, with what was stored when it began. [kWh]"""

    car: int
    part: Part
    energy_kwh: float


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What happened in a run of half-hours.

    Attributes:
        energy_kwh: Of each car at the end, or when it left last, shape (cars,). [kWh]
        drawn_kwh: By the zone in each half-hour of the horizon, shape (slots,). [kWh AC]
        given_kwh: Likewise given. [kWh AC]
        pieces: All powers but nothing.
        plugged: Stays that began, and those that ran on from before the horizon.
    """

    energy_kwh: FloatArray
    drawn_kwh: FloatArray
    given_kwh: FloatArray
    pieces: tuple[Piece, ...]
    plugged: tuple[Plugged, ...]

    def then(self, later: "Course") -> "Course":
        """Return both, one after the other."""
        return Course(
            later.energy_kwh,
            self.drawn_kwh + later.drawn_kwh,
            self.given_kwh + later.given_kwh,
            self.pieces + later.pieces,
            self.plugged + later.plugged,
        )

    @property
    def export_kwh(self) -> FloatArray:
        """Net export of the zone in each half-hour, shape (slots,). [kWh AC]"""
        return self.given_kwh - self.drawn_kwh

    def cost_gbp(self, tariff: Tariff) -> float:
        """Return what the energy cost, bought less sold, without wear. [GBP]"""
        bought, sold = self.drawn_kwh @ tariff.import_gbp_per_kwh, self.given_kwh @ tariff.export_gbp_per_kwh
        return float(bought - sold)


class Ledger:
    """Collects what happens in a run of half-hours."""

    def __init__(self, day: Day, energy_kwh: FloatArray) -> None:
        self.energy_kwh = energy_kwh.copy()
        self.moved_kwh = np.zeros((2, len(day.slots)))
        self.pieces: list[Piece] = []
        self.plugged: list[Plugged] = []

    def hold(self, car: int, from_h: float, until_h: float, export_kw: float) -> None:
        """Note a power within one half-hour; the stored energy is the caller's."""
        if abs(export_kw) * (until_h - from_h) <= NOTHING:
            return
        self.pieces.append(Piece(car, from_h, until_h, export_kw))
        slot = int(from_h / SLOT_HOURS + NOTHING)
        self.moved_kwh[int(export_kw > 0), slot] += abs(export_kw) * (until_h - from_h)

    def course(self) -> Course:
        """Return all of it."""
        drawn_kwh, given_kwh = self.moved_kwh
        return Course(self.energy_kwh, drawn_kwh, given_kwh, tuple(self.pieces), tuple(self.plugged))


def begin(day: Day, ledger: Ledger, car: int, part: Part, first: int) -> float:
    """Return what a car stores as its stay comes into view, and note that it did. [kWh]"""
    fresh = part.start_h >= first * SLOT_HOURS
    energy_kwh = float(ledger.energy_kwh[car])
    if fresh:
        energy_kwh = day.arrival_kwh(car, part, energy_kwh)
    if fresh or first == 0:
        ledger.plugged.append(Plugged(car, part, energy_kwh))
    return energy_kwh


def follow(day: Day, energy_kwh: FloatArray, first: int, last: int) -> Course:
    """Let the cars follow their base plan, made anew for each when it comes and for all at ``first``.

    Args:
        day: The zone's day.
        energy_kwh: Of each car at ``first``, or when it left last, shape (cars,). [kWh]
        first: First half-hour.
        last: First half-hour no longer followed.
    """
    ledger = Ledger(day, energy_kwh)
    for rows in _waves(day, first, last):
        _follow_wave(day, ledger, rows, first, last)
    return ledger.course()


def _waves(day: Day, first: int, last: int) -> Iterator[list[tuple[int, Part]]]:
    """Yield each car's first stay in the half-hours, then the second ones, and so on."""
    if first == last:
        return
    begin_h, end_h = first * SLOT_HOURS, last * SLOT_HOURS
    inside = [[part for part in own if part.start_h < end_h and part.end_h > begin_h] for own in day.parts]
    for wave in range(max(map(len, inside), default=0)):
        yield [(car, own[wave]) for car, own in enumerate(inside) if len(own) > wave]


def _follow_wave(day: Day, ledger: Ledger, rows: list[tuple[int, Part]], first: int, last: int) -> None:
    car = np.array([car for car, _ in rows])
    from_h = np.array([max(part.start_h, first * SLOT_HOURS) for _, part in rows])
    until_h = np.array([min(part.end_h, last * SLOT_HOURS) for _, part in rows])
    due_h = np.array([day.due_h(one, part, at) for (one, part), at in zip(rows, from_h, strict=True)])
    stored = np.array([begin(day, ledger, one, part, first) for one, part in rows])
    cars, target_kwh = at_rows(day.arrays, car), day.target_kwh[car]
    arrive = np.ceil(from_h / SLOT_HOURS - NOTHING).astype(np.int64)
    depart = np.floor(due_h / SLOT_HOURS + NOTHING).astype(np.int64)
    stored = _at_once(cars, ledger, car, stored, target_kwh, from_h, until_h, arrive, depart)
    stay = Stay(arrive - first, np.maximum(depart, arrive) - first, stored, target_kwh)
    plan = base_plan(cars, stay, _from_slot(day.tariff, first), SLOT_HOURS)
    export_kw = plan.discharge_kw - plan.charge_kw
    lasting = np.clip(until_h[:, None] / SLOT_HOURS - np.arange(first, len(day.slots)), 0.0, 1.0)
    for row, column in np.argwhere((export_kw != 0.0) & (lasting > 0.0)).tolist():
        start_h = (first + column) * SLOT_HOURS
        end_h = start_h + float(lasting[row, column]) * SLOT_HOURS
        ledger.hold(int(car[row]), start_h, end_h, float(export_kw[row, column]))
    stored = stored + (np.diff(plan.energy_kwh, axis=1) * lasting).sum(axis=1)
    last_h = np.maximum(from_h, depart * SLOT_HOURS)
    stored = _fill(cars, ledger, car, stored, target_kwh, last_h, np.minimum(until_h, due_h))
    ledger.energy_kwh[car] = stored


def _at_once(
    cars: CarArrays,
    ledger: Ledger,
    car: IntArray,
    stored_kwh: FloatArray,
    target_kwh: FloatArray,
    from_h: FloatArray,
    until_h: FloatArray,
    arrive: IntArray,
    depart: IntArray,
) -> FloatArray:
    """Charge what must be, from coming to the first whole half-hour. [kWh]"""
    hours_left = np.asarray((depart - arrive) * SLOT_HOURS, dtype=np.float64)
    need_kwh = emin_kwh(cars.floor_kwh, target_kwh, cars.charge_kw, cars.eta_charge, hours_left)
    need_kwh = np.where(depart < arrive, 0.0, need_kwh)
    return _fill(cars, ledger, car, stored_kwh, need_kwh, from_h, np.minimum(until_h, arrive * SLOT_HOURS))


def _fill(
    cars: CarArrays,
    ledger: Ledger,
    car: IntArray,
    stored_kwh: FloatArray,
    wanted_kwh: FloatArray,
    from_h: FloatArray,
    until_h: FloatArray,
) -> FloatArray:
    """Charge at full power within one half-hour until ``wanted_kwh`` are stored; return what is. [kWh]"""
    hours = np.maximum(0.0, until_h - from_h)
    missing_kwh = np.maximum(0.0, np.minimum(wanted_kwh, cars.capacity_kwh) - stored_kwh)
    taken_kwh = np.minimum(missing_kwh / cars.eta_charge, cars.charge_kw * hours)
    for row in np.flatnonzero(taken_kwh > NOTHING).tolist():
        start_h, power_kw = float(from_h[row]), float(cars.charge_kw[row])
        ledger.hold(int(car[row]), start_h, start_h + float(taken_kwh[row]) / power_kw, -power_kw)
    return np.asarray(stored_kwh + taken_kwh * cars.eta_charge)


def at_rows(cars: CarArrays, rows: IntArray | BoolArray) -> CarArrays:
    """Return the cars at ``rows``, one of them maybe several times; the sites stay as they are."""
    per_car = (
        "capacity_kwh",
        "floor_kwh",
        "charge_kw",
        "discharge_kw",
        "eta_charge",
        "eta_discharge",
        "site",
    )
    return replace(cars, **{name: getattr(cars, name)[rows] for name in per_car})


def _from_slot(tariff: Tariff, first: int) -> Tariff:
    return replace(
        tariff,
        import_gbp_per_kwh=tariff.import_gbp_per_kwh[first:],
        export_gbp_per_kwh=tariff.export_gbp_per_kwh[first:],
        red=tariff.red[first:],
    )
