"""A called window, as it truly goes: the gateway's own split, each half-hour and as cars come and go."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from aggregator.backtest.garage import SLOT_HOURS, Course, Day, Ledger, Part, begin
from aggregator.energy.cars import LEAST_GUARD_SOC, FloatArray
from aggregator.model.market import Direction
from aggregator.model.metering import CarReport
from aggregator.model.time import Interval
from aggregator.ports import ZoneTarget
from dispatch.fleet_view import CarView
from dispatch.zone_split import split_zone

SAME_H = 1e-9
FULL_KWH = 1e-9


def call(day: Day, energy_kwh: FloatArray, first: int, last: int, target_kw: FloatArray) -> Course:
    """Serve a call with the cars that are there.

    Args:
        day: The zone's day.
        energy_kwh: Of each car at ``first``, or when it left last, shape (cars,). [kWh]
        first: First half-hour of the window.
        last: First half-hour after it.
        target_kw: Net export wanted: nomination and award, shape (last - first,). [kW]
    """
    ledger = Ledger(day, energy_kwh)
    begin_h, end_h = first * SLOT_HOURS, last * SLOT_HOURS
    coming = sorted(
        ((max(part.start_h, begin_h), car, part) for car, own in enumerate(day.parts) for part in own
         if part.start_h < end_h and part.end_h > begin_h),
        key=lambda one: one[:2],
    )  # fmt: skip
    there: dict[int, Part] = {}
    steps = _steps(day, coming, begin_h, end_h)
    for from_h, until_h in pairwise(steps):
        there = {car: part for car, part in there.items() if part.end_h > from_h + SAME_H}
        while coming and coming[0][0] <= from_h + SAME_H:
            _, car, part = coming.pop(0)
            ledger.energy_kwh[car] = begin(day, ledger, car, part, first)
            there[car] = part
        powers = _powers(
            day, ledger.energy_kwh, there, from_h, target_kw[int(from_h / SLOT_HOURS + SAME_H) - first :]
        )
        for car, export_kw in powers.items():
            _hold(day, ledger, car, from_h, until_h, export_kw)
    return ledger.course()


def _steps(day: Day, coming: list[tuple[float, int, Part]], begin_h: float, end_h: float) -> list[float]:
    """Return the instants at which set-points are made anew, and the end. [h]"""
    steps = {n * SLOT_HOURS for n in range(round(begin_h / SLOT_HOURS), round(end_h / SLOT_HOURS) + 1)}
    for at_h, car, part in coming:
        steps |= {at_h, part.end_h, day.due_h(car, part, at_h)}
    return sorted(at_h for at_h in steps if begin_h <= at_h <= end_h)


def _powers(
    day: Day, energy_kwh: FloatArray, there: dict[int, Part], from_h: float, target_kw: FloatArray
) -> dict[int, float]:
    """Return each plugged car's set-point until the next step. [kW]

    A car that is due within the half-hour it is in is out of the split: full power until it is ready.
    """
    start = day.slots[0].start
    now = start + timedelta(hours=from_h)
    views: dict[str, CarView] = {}
    index: dict[str, int] = {}
    forced: dict[int, float] = {}
    for car, part in there.items():
        due_h = day.due_h(car, part, from_h)
        whole_h = int(due_h / SLOT_HOURS + SAME_H) * SLOT_HOURS
        if whole_h <= from_h + SAME_H:
            missing = day.target_kwh[car] - energy_kwh[car] > FULL_KWH
            forced[car] = -day.cars[car].charger.charge_kw if missing else 0.0
            continue
        index[day.cars[car].car_id] = car
        views[day.cars[car].car_id] = _view(
            day, car, float(energy_kwh[car]), now, start + timedelta(hours=whole_h)
        )
    slot = int(from_h / SLOT_HOURS + SAME_H)
    slots = (Interval(now, day.slots[slot].end), *day.slots[slot + 1 : slot + len(target_kw)])
    wanted_kw = np.array(target_kw)
    wanted_kw[0] -= sum(forced.values())
    target = ZoneTarget("", slots, tuple(wanted_kw.tolist()), Direction.UP, (None,) * len(slots))
    split = split_zone(target, tuple(views.values()), now, LEAST_GUARD_SOC)
    return forced | {index[name]: export_kw for name, export_kw in split.export_kw.items()}


def _view(day: Day, car: int, energy_kwh: float, now: datetime, due: datetime) -> CarView:
    one = day.cars[car]
    soc = energy_kwh / one.capacity_kwh
    report = CarReport(one.car_id, now, True, soc, 0, 0, 0, depart_at=due)
    return CarView(one, report, resting=soc < one.floor_soc + LEAST_GUARD_SOC)


def _hold(day: Day, ledger: Ledger, car: int, from_h: float, until_h: float, export_kw: float) -> None:
    """Hold a set-point; a battery that fills up, or reaches a due target at full power, stops there."""
    charger, hours = day.cars[car].charger, until_h - from_h
    if export_kw < 0.0:
        room_kwh = day.cars[car].capacity_kwh - float(ledger.energy_kwh[car])
        hours = min(hours, max(0.0, room_kwh) / charger.eta_charge / -export_kw)
    ledger.hold(car, from_h, from_h + hours, export_kw)
    factor = 1.0 / charger.eta_discharge if export_kw > 0.0 else charger.eta_charge
    ledger.energy_kwh[car] -= export_kw * hours * factor
