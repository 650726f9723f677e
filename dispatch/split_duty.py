"""What each car may give and must take, from its state: the arithmetic that every way of splitting shares."""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, IntArray
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
        due_kwh: To be stored at the end, or at departure, for full power to reach the target yet. [kWh]
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
    cars, slots = problem.cars, len(problem.request_kw)
    start = np.minimum(cars.arrive_slot, slots)
    end = np.maximum(start, np.minimum(cars.depart_slot, slots))
    due = cars.target_kwh - later_charge_kwh(problem)
    need = np.maximum(cars.floor_kwh, due)
    must = (cars.energy_kwh < need - SAME_KWH) & (end > start)
    free_kwh = cars.energy_kwh - np.maximum(need, cars.floor_kwh + cars.guard_kwh)
    exportable = np.maximum(0.0, problem.eta_discharge * free_kwh)
    headroom = np.maximum(0.0, (cars.max_kwh - cars.energy_kwh) / problem.eta_charge)
    exportable[must] = 0.0
    owed, gap = np.zeros(cars.count), np.zeros(cars.count)
    few = np.flatnonzero(must)
    owed[few] = np.minimum(headroom[few], (need[few] - cars.energy_kwh[few]) / problem.eta_charge)
    gap[few] = np.maximum(0.0, cars.floor_kwh[few] - cars.energy_kwh[few]) / problem.eta_charge
    return Duty(start, end, must, exportable, owed, gap, headroom, due)


def later_charge_kwh(problem: SplitProblem) -> FloatArray:
    """Return what full power would add to each battery between the event and departure. [kWh stored]"""
    cars, slots = problem.cars, len(problem.request_kw)
    rest = np.maximum(0, cars.depart_slot - np.maximum(slots, cars.arrive_slot))
    return np.asarray(rest * cars.charge_kw * (problem.after_hours * problem.eta_charge))


def stored_after(problem: SplitProblem, export_kwh: FloatArray) -> FloatArray:
    """Return the energy in each battery at the end of each slot, losses paid, shape (cars, slots). [kWh]"""
    moved = np.where(export_kwh > 0, export_kwh / problem.eta_discharge, export_kwh * problem.eta_charge)
    return np.asarray(problem.cars.energy_kwh[:, None] - np.cumsum(moved, axis=1))
