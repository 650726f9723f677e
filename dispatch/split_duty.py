"""What each car may give and must take, from its state: the arithmetic that every way of splitting shares."""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, IntArray, blocks_of
from dispatch.split_problem import SplitProblem

SAME_KWH = 1e-9
"""Energies nearer than this are equal: sums of floats differ by as much."""


@dataclass(frozen=True, slots=True, eq=False)
class Duty:
    """Shape (cars,); energies in kWh at the charger, at least 0.

    Attributes:
        start: First slot in which a car is there, at most the number of slots.
        end: First slot in which it is gone, at most the number of slots, never before ``start``.
        must: Cars that only charge.
        exportable_kwh: What a car may export in the event; 0 for must-charge cars.
        owed_kwh: What a must-charge car has to take; 0 for others.
        gap_kwh: What a car below its floor takes to reach it; 0 for others.
        headroom_kwh: What a car may take until it is full.
        due_kwh: What must be stored at the end, or at departure, for full power to reach the target; may be
            below 0.
    """

    start: IntArray
    end: IntArray
    must: BoolArray
    exportable_kwh: FloatArray
    owed_kwh: FloatArray
    gap_kwh: FloatArray
    headroom_kwh: FloatArray
    due_kwh: FloatArray


def duty_of(problem: SplitProblem) -> Duty:
    """Return what each car of the problem may and must do.

    A car must charge when it stores less than it needs at the end of the event, or at its departure
    if that is earlier: its floor, or its target less what full power would still add afterwards.
    """
    cars, slots, count = problem.cars, len(problem.request_kw), problem.cars.count
    start, end, must = (
        np.minimum(cars.arrive_slot, slots),
        np.empty(count, np.intp),
        np.empty(count, np.bool_),
    )
    exportable, headroom, due = np.empty((3, count))
    for block in blocks_of(count):
        energy, floor = cars.energy_kwh[block], cars.floor_kwh[block]
        end[block] = np.maximum(start[block], np.minimum(cars.depart_slot[block], slots))
        due[block] = _due_kwh(problem, block)
        need = np.maximum(floor, due[block])
        must[block] = (energy < need - SAME_KWH) & (end[block] > start[block])
        free_kwh = energy - np.maximum(need, floor + cars.guard_kwh[block])
        exportable[block] = np.maximum(0.0, problem.eta_discharge * free_kwh)
        headroom[block] = np.maximum(0.0, (cars.max_kwh[block] - energy) / problem.eta_charge)
    few = np.flatnonzero(must)
    exportable[few] = 0.0
    owed, gap = np.zeros(count), np.zeros(count)
    energy, floor = cars.energy_kwh[few], cars.floor_kwh[few]
    missing = np.maximum(floor, due[few]) - energy
    owed[few] = np.minimum(headroom[few], missing / problem.eta_charge)
    gap[few] = np.maximum(0.0, floor - energy) / problem.eta_charge
    return Duty(start, end, must, exportable, owed, gap, headroom, due)


def _due_kwh(problem: SplitProblem, block: slice) -> FloatArray:
    """Return a target less what full power would add between the event and departure. [kWh stored]"""
    cars, slots = problem.cars, len(problem.request_kw)
    rest = np.maximum(0, cars.depart_slot[block] - np.maximum(slots, cars.arrive_slot[block]))
    later_kwh = rest * cars.charge_kw[block] * (problem.after_hours * problem.eta_charge)
    return np.asarray(cars.target_kwh[block] - later_kwh)


def stored_after(problem: SplitProblem, export_kwh: FloatArray) -> FloatArray:
    """Return the energy in each battery at the end of each slot, losses paid, shape (cars, slots). [kWh]"""
    moved = np.where(export_kwh > 0, export_kwh / problem.eta_discharge, export_kwh * problem.eta_charge)
    return np.asarray(problem.cars.energy_kwh[:, None] - np.cumsum(moved, axis=1))
