"""The cars of a split as arrays: who must charge, what each may move, what each site leaves.

Everything is AC energy at the charger, so that one kWh of one car is worth one kWh of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.model.market import Direction
from dispatch.split_problem import BoolArray, FloatArray, IntArray, SplitCar, SplitProblem

_SAME_KWH = 1e-9
"""Energies nearer than this are equal: sums of floats differ by as much."""


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """Shapes: (cars,), (cars, slots) and (sites, slots); energies in kWh at the charger, at least 0.

    Attributes:
        hours: Length of each slot, shape (slots,).
        plugged: Whether a car is there in a slot.
        site: Each car's row in the rooms.
        must: Cars that only charge.
        exportable_kwh: What a car may export in the event; 0 for must-charge cars.
        owed_kwh: What a must-charge car has to take; 0 for others.
        gap_kwh: What a car below its floor takes to reach it; 0 for others.
        headroom_kwh: What a car may take until it is full.
        charge_kwh: Most a car can take in a slot by its own power.
        discharge_kwh: Most a car can give in a slot by its own power.
        least_kwh: Least a car can give in a slot unless it is 0.
        export_room_kwh: Most a site's cars may export together; negative where generation is above the limit.
        import_room_kwh: Most a site's cars may import together.
        rank: Place of each car in the order of departure, then of id.
    """

    hours: FloatArray
    plugged: BoolArray
    site: IntArray
    must: BoolArray
    exportable_kwh: FloatArray
    owed_kwh: FloatArray
    gap_kwh: FloatArray
    headroom_kwh: FloatArray
    charge_kwh: FloatArray
    discharge_kwh: FloatArray
    least_kwh: FloatArray
    export_room_kwh: FloatArray
    import_room_kwh: FloatArray
    rank: IntArray


def fleet_of(problem: SplitProblem) -> Fleet:
    """Return the problem's cars and sites as arrays.

    A car must charge when it stores less than it needs at the end of the event, or at its departure
    if that is earlier: its floor, or its target less what full power would still add afterwards.
    """
    cars, hours = problem.cars, np.asarray(problem.slot_hours)
    columns = {name: _column(cars, name) for name in _NUMBERS}
    arrive = np.array([car.arrive_slot for car in cars], dtype=np.intp)
    depart = np.array([car.depart_slot for car in cars], dtype=np.intp)
    slots = np.arange(hours.size)
    plugged = (arrive[:, None] <= slots) & (slots < depart[:, None])
    stored, floor = columns["energy_kwh"], columns["floor_kwh"]
    later_kwh = later_charge_kwh(problem, arrive, depart)
    need = np.maximum(floor, columns["target_kwh"] - later_kwh)
    must = (stored < need - _SAME_KWH) & plugged.any(axis=1)
    reserve = np.maximum(need, floor + columns["guard_kwh"])
    names = {name: row for row, name in enumerate(problem.sites)}
    export_kw, import_kw = _rooms(problem)
    per_slot = plugged * hours
    headroom = np.maximum(0.0, columns["max_kwh"] - stored) / problem.eta_charge
    return Fleet(
        hours=hours,
        plugged=plugged,
        site=np.array([names[car.site] for car in cars], dtype=np.intp),
        must=must,
        exportable_kwh=np.where(must, 0.0, problem.eta_discharge * np.maximum(0.0, stored - reserve)),
        owed_kwh=np.where(must, np.minimum(headroom, (need - stored) / problem.eta_charge), 0.0),
        gap_kwh=np.where(must, np.maximum(0.0, floor - stored) / problem.eta_charge, 0.0),
        headroom_kwh=headroom,
        charge_kwh=columns["charge_kw"][:, None] * per_slot,
        discharge_kwh=columns["discharge_kw"][:, None] * per_slot,
        least_kwh=columns["min_kw"][:, None] * per_slot,
        export_room_kwh=export_kw * hours,
        import_room_kwh=np.maximum(0.0, import_kw * hours),
        rank=_ranks(cars),
    )


def later_charge_kwh(problem: SplitProblem, arrive: IntArray, depart: IntArray) -> FloatArray:
    """Return what full power would add to each battery between the event and departure. [kWh stored]"""
    slots = len(problem.request_kw)
    rest = np.maximum(0, depart - np.maximum(slots, arrive))
    return rest * problem.after_hours * problem.eta_charge * _column(problem.cars, "charge_kw")


def stored_after(problem: SplitProblem, export_kwh: FloatArray) -> FloatArray:
    """Return the energy in each battery at the end of each slot, losses paid, shape (cars, slots). [kWh]"""
    moved = np.where(export_kwh > 0, export_kwh / problem.eta_discharge, export_kwh * problem.eta_charge)
    stored: FloatArray = _column(problem.cars, "energy_kwh")[:, None] - np.cumsum(moved, axis=1)
    return stored


def shortages_kwh(problem: SplitProblem, export_kwh: FloatArray) -> FloatArray:
    """Return what each car will lack of its target at departure even at full power until then. [kWh]"""
    arrive = np.array([car.arrive_slot for car in problem.cars], dtype=np.intp)
    depart = np.array([car.depart_slot for car in problem.cars], dtype=np.intp)
    end = stored_after(problem, export_kwh)[:, -1] + later_charge_kwh(problem, arrive, depart)
    return np.maximum(0.0, _column(problem.cars, "target_kwh") - end)


def is_up(problem: SplitProblem) -> bool:
    """Return whether the zone is asked for more export rather than more import."""
    return problem.direction is Direction.UP


_NUMBERS = (
    "energy_kwh",
    "floor_kwh",
    "max_kwh",
    "target_kwh",
    "guard_kwh",
    "charge_kw",
    "discharge_kw",
    "min_kw",
)


def _column(cars: Sequence[SplitCar], name: str) -> FloatArray:
    return np.array([getattr(car, name) for car in cars], dtype=np.float64)


def _ranks(cars: Sequence[SplitCar]) -> IntArray:
    order = sorted(range(len(cars)), key=lambda row: (cars[row].depart_slot, cars[row].id))
    ranks = np.empty(len(cars), dtype=np.intp)
    ranks[order] = np.arange(len(cars))
    return ranks


def _rooms(problem: SplitProblem) -> tuple[FloatArray, FloatArray]:
    """Return what each site's cars may export and import, shape (sites, slots). [kW]"""
    slots = len(problem.request_kw)
    sites = problem.sites.values()
    base = np.array([site.base_load_kw or (0.0,) * slots for site in sites]).reshape(len(sites), slots)
    export_limit = np.array([site.export_limit_kw for site in sites])[:, None]
    import_limit = np.array([site.import_limit_kw for site in sites])[:, None]
    return export_limit + base, import_limit - base
