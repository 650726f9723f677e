"""The cars of an exact split slot by slot: what each may move, what each site leaves.

Everything is AC energy at the charger, so that one kWh of one car is worth one kWh of another.
"""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import BoolArray, Cars, FloatArray, IntArray
from dispatch.split_duty import duty_of
from dispatch.split_problem import SplitProblem


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
        due_kwh: To be stored at the end, or at departure, for full power to reach the target yet.
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
    due_kwh: FloatArray
    charge_kwh: FloatArray
    discharge_kwh: FloatArray
    least_kwh: FloatArray
    export_room_kwh: FloatArray
    import_room_kwh: FloatArray
    rank: IntArray


def fleet_of(problem: SplitProblem) -> Fleet:
    """Return the problem's cars and sites as arrays over cars or sites and slots."""
    cars, duty, hours = problem.cars, duty_of(problem), np.asarray(problem.slot_hours)
    slots = np.arange(hours.size)
    plugged = (duty.start[:, None] <= slots) & (slots < duty.end[:, None])
    per_slot = plugged * hours
    return Fleet(
        hours=hours,
        plugged=plugged,
        site=cars.site,
        must=duty.must,
        exportable_kwh=duty.exportable_kwh,
        owed_kwh=duty.owed_kwh,
        gap_kwh=duty.gap_kwh,
        headroom_kwh=duty.headroom_kwh,
        charge_kwh=cars.charge_kw[:, None] * per_slot,
        discharge_kwh=cars.discharge_kw[:, None] * per_slot,
        least_kwh=cars.min_kw[:, None] * per_slot,
        due_kwh=duty.due_kwh,
        export_room_kwh=problem.export_room_kw() * hours,
        import_room_kwh=problem.import_room_kw() * hours,
        rank=ranks(cars),
    )


def ranks(cars: Cars) -> IntArray:
    """Return each car's place in the order of departure, then of id."""
    order = sorted(range(cars.count), key=lambda row: (cars.depart_slot[row], cars.ids[row]))
    places = np.empty(cars.count, dtype=np.intp)
    places[order] = np.arange(cars.count)
    return places
