"""What each car brings to a window of slots in which the fleet may be called.

In a window a car either only gives, or, where it could not else keep its floor and target, only charges
("must-charge"). Charging planned before the window counts, inside it does not.
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.energy.cars import (
    LEAST_GUARD_SOC,
    TINY_KWH,
    BoolArray,
    CarArrays,
    FloatArray,
    IntArray,
    Stay,
    exportable_kwh,
    first_slots_kwh,
    guard_kwh,
    need_kwh,
)
from aggregator.energy.planning import BasePlan


@dataclass(frozen=True, slots=True, eq=False)
class FleetWindow:
    """Cars over the slots of a window. Energies are AC but for those stored and needed.

    Attributes:
        slot_hours: Length of a slot. [h]
        arrive: First plugged slot of the window, shape (cars,).
        depart: First slot of the window no longer plugged, at most its length; equal to ``arrive`` for
            cars that do not come; shape (cars,).
        stored_kwh: At the later of window start and arrival, shape (cars,). [kWh]
        need_kwh: To be held at the window's end, or on leaving in it, shape (cars,). [kWh]
        must_charge: Whether the car only charges, shape (cars,).
        exportable_kwh: E, 0 for must-charge cars, shape (cars,). [kWh AC]
        discharge_kw: p, at most the site's export room for a car alone there, shape (cars,). [kW AC]
        fix_kwh: Charging at full power until the floor, shape (cars, slots). [kWh AC]
        rest_kwh: q, what a must-charge car takes beside that, at any time, shape (cars,). [kWh AC]
        rest_room_kwh: Most of it in each slot, shape (cars, slots). [kWh AC]
        fillable_kwh: What fits in until full, shape (cars,). [kWh AC]
        charge_kw: Most that a car alone on its site could draw, shape (cars,). [kW AC]
        site: Index into the rooms, shape (cars,).
        export_room_kw: Shape (sites,). [kW]
        import_room_kw: Shape (sites,). [kW]
        slots: Number of slots.
    """

    slot_hours: float
    arrive: IntArray
    depart: IntArray
    stored_kwh: FloatArray
    need_kwh: FloatArray
    must_charge: BoolArray
    exportable_kwh: FloatArray
    discharge_kw: FloatArray
    fix_kwh: FloatArray
    rest_kwh: FloatArray
    rest_room_kwh: FloatArray
    fillable_kwh: FloatArray
    charge_kw: FloatArray
    site: IntArray
    export_room_kw: FloatArray
    import_room_kw: FloatArray
    slots: int

    @property
    def plugged(self) -> BoolArray:
        """A: whether a car is plugged in for the whole slot, shape (cars, slots)."""
        slot = np.arange(self.slots)
        return (self.arrive[:, None] <= slot) & (slot < self.depart[:, None])

    @property
    def present(self) -> BoolArray:
        """Whether a car is there for any slot, shape (cars,)."""
        return self.depart > self.arrive

    @property
    def alone(self) -> BoolArray:
        """Whether no other car comes to the car's site in this window, shape (cars,)."""
        there = np.bincount(self.site[self.present], minlength=len(self.export_room_kw))
        return np.asarray(there[self.site] <= 1)


def fleet_window(
    cars: CarArrays,
    stay: Stay,
    plan: BasePlan,
    first_slot: int,
    n_slots: int,
    slot_hours: float,
    soc_resolution: float = LEAST_GUARD_SOC,
) -> FleetWindow:
    """Return what each car brings to the slots ``first_slot`` to ``first_slot + n_slots`` of the plan.

    Args:
        cars: The cars.
        stay: Their stays.
        plan: Their base plan; it counts up to the window, or to arrival.
        first_slot: The window's first slot in the plan.
        n_slots: Number of its slots.
        slot_hours: Length of a slot. [h]
        soc_resolution: Step of the reported state of charge, for the guard above the floor, as a fraction.

    Raises:
        ValueError: If the window does not lie within the plan.
    """
    if not 0 <= first_slot < first_slot + n_slots <= plan.charge_kw.shape[1]:
        raise ValueError(
            f"slots {first_slot} to {first_slot + n_slots} are not within {plan.charge_kw.shape[1]} planned"
        )
    arrive = np.clip(stay.arrive_slot - first_slot, 0, n_slots)
    depart = np.maximum(arrive, np.clip(stay.depart_slot - first_slot, 0, n_slots))
    present = depart > arrive
    stored_kwh = plan.energy_kwh[np.arange(cars.count), np.minimum(first_slot + arrive, first_slot + n_slots)]
    need = need_kwh(cars, stay, first_slot + n_slots, slot_hours)
    must = present & (stored_kwh < need - TINY_KWH)
    plugged = stay.plugged(first_slot, n_slots)
    fix_kwh, rest_kwh, room_kwh = _charging(cars, stay, plugged & must[:, None], stored_kwh, need, slot_hours)
    guard = guard_kwh(cars.capacity_kwh, soc_resolution)
    free_kwh = exportable_kwh(stored_kwh, need, cars.floor_kwh, guard, cars.eta_discharge)
    window = FleetWindow(
        slot_hours=slot_hours,
        arrive=arrive,
        depart=depart,
        stored_kwh=stored_kwh,
        need_kwh=need,
        must_charge=must,
        exportable_kwh=np.where(present & ~must, free_kwh, 0.0),
        discharge_kw=cars.discharge_kw,
        fix_kwh=fix_kwh,
        rest_kwh=rest_kwh,
        rest_room_kwh=room_kwh,
        fillable_kwh=np.where(
            present, np.maximum(0.0, cars.capacity_kwh - stored_kwh) / cars.eta_charge, 0.0
        ),
        charge_kw=np.minimum(cars.charge_kw, cars.import_room_kw[cars.site]),
        site=cars.site,
        export_room_kw=cars.export_room_kw,
        import_room_kw=cars.import_room_kw,
        slots=n_slots,
    )
    room_kw = np.where(window.alone, cars.export_room_kw[cars.site], np.inf)
    return replace(window, discharge_kw=np.minimum(cars.discharge_kw, room_kw))


def _charging(
    cars: CarArrays,
    stay: Stay,
    plugged: BoolArray,
    stored_kwh: FloatArray,
    need: FloatArray,
    slot_hours: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return fix (cars, slots), rest (cars,) and its room (cars, slots) of must-charge cars. [kWh AC]

    Args:
        cars: The cars.
        stay: Their stays: cars that share a site share its import room.
        plugged: Slots in which a must-charge car is there, shape (cars, slots).
        stored_kwh: Stored at first. [kWh]
        need: To be held at the end. [kWh]
        slot_hours: Length of a slot. [h]
    """
    full_kwh = plugged * (cars.shared_charge_kw(stay.present) * slot_hours)[:, None]
    missing_kwh = np.maximum(0.0, need - stored_kwh) / cars.eta_charge
    taken_kwh = np.minimum(missing_kwh, full_kwh.sum(axis=1))
    below_kwh = np.maximum(0.0, cars.floor_kwh - stored_kwh) / cars.eta_charge
    fix_kwh = first_slots_kwh(below_kwh, full_kwh)
    fix_kwh = np.where(full_kwh - fix_kwh < TINY_KWH, full_kwh, fix_kwh)  # rounding is no room
    room_kwh = full_kwh - fix_kwh
    rest_kwh = np.clip(taken_kwh - fix_kwh.sum(axis=1), 0.0, room_kwh.sum(axis=1))
    return fix_kwh, rest_kwh, room_kwh
