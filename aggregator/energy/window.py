"""What each car brings to a window of slots in which the fleet may be called.

In a window a car either only gives, or, where it could not else keep its floor and target, only charges
("must-charge"). Charging planned before the window counts, inside it does not.

Must-charge cars that together overload their site's connection share it pro rata if that suffices for all
of them. Else the site is strained: who charges when is decided on the day, the lowest first, so that each
is taken to draw all it can, all the time.
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
    guard_kwh,
    need_kwh,
)
from aggregator.energy.classes import Lead
from aggregator.energy.planning import BasePlan
from aggregator.energy.rooms import by_slot, in_slots


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
        discharge_kw: p, at most the site's largest export room for a car alone there, shape (cars,). [kW AC]
        must_kw: Power at which a must-charge car draws, 0 for others, shape (cars,). [kW AC]
        first_kwh: What it draws at that power at once: until its floor, or all in a strained site,
            shape (cars,). [kWh AC]
        rest_kwh: q, what it takes beside that, at any time, shape (cars,). [kWh AC]
        below_floor_kwh: What any car lacks of its floor, shape (cars,). [kWh AC]
        fillable_kwh: What fits in until full, shape (cars,). [kWh AC]
        charge_kw: Most that a car alone on its site could draw in all of its slots, shape (cars,). [kW AC]
        site: Index into the rooms, shape (cars,).
        export_room_kw: Shape (sites,), or (sites, slots) where it changes within the window. [kW]
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
    must_kw: FloatArray
    first_kwh: FloatArray
    rest_kwh: FloatArray
    below_floor_kwh: FloatArray
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
    def fix_kwh(self) -> FloatArray:
        """What must-charge cars draw at once, slot by slot, shape (cars, slots). [kWh AC]"""
        return Lead.of(self.arrive, self.first_kwh, self.must_kw * self.slot_hours).per_slot(self.slots)

    @property
    def rest_room_kwh(self) -> FloatArray:
        """Most of the rest that a must-charge car can take in each slot, shape (cars, slots). [kWh AC]"""
        return self.plugged * (self.must_kw * self.slot_hours)[:, None] - self.fix_kwh

    @property
    def present(self) -> BoolArray:
        """Whether a car is there for any slot, shape (cars,)."""
        return self.depart > self.arrive

    @property
    def alone(self) -> BoolArray:
        """Whether no other car comes to the car's site in this window, shape (cars,)."""
        there = np.bincount(self.site[self.present], minlength=len(self.export_room_kw))
        return np.asarray(there[self.site] <= 1)

    @property
    def changing(self) -> BoolArray:
        """Whether a site's export room changes within the window, shape (sites,)."""
        return np.asarray(np.ptp(by_slot(self.export_room_kw), axis=1) > 0.0)


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
    below_kwh = np.where(present, np.maximum(0.0, cars.floor_kwh - stored_kwh) / cars.eta_charge, 0.0)
    owed_kwh = np.where(must, (need - stored_kwh) / cars.eta_charge, 0.0)
    hours = np.multiply(depart - arrive, slot_hours)
    way = cars.on_the_way(stored_kwh, need)
    must_kw, strained = _must_charge_kw(way, must, below_kwh, owed_kwh, hours)
    all_kwh = must_kw * hours
    first_kwh = np.where(strained, all_kwh, np.minimum(below_kwh, all_kwh))
    guard = guard_kwh(cars.capacity_kwh, soc_resolution)
    free_kwh = exportable_kwh(stored_kwh, need, cars.floor_kwh, guard, cars.eta_discharge)
    room_kw = in_slots(cars.export_room_kw, first_slot, first_slot + n_slots)
    if not np.ptp(by_slot(room_kw), axis=1).any():
        room_kw = by_slot(room_kw)[:, 0]
    window = FleetWindow(
        slot_hours=slot_hours,
        arrive=arrive,
        depart=depart,
        stored_kwh=stored_kwh,
        need_kwh=need,
        must_charge=must,
        exportable_kwh=np.where(present & ~must, free_kwh, 0.0),
        discharge_kw=cars.discharge_kw,
        must_kw=must_kw,
        first_kwh=first_kwh,
        rest_kwh=np.clip(owed_kwh, first_kwh, all_kwh) - first_kwh,
        below_floor_kwh=below_kwh,
        fillable_kwh=np.where(
            present, np.maximum(0.0, cars.capacity_kwh - stored_kwh) / cars.eta_charge, 0.0
        ),
        charge_kw=_average_charge_kw(cars, stored_kwh, hours),
        site=cars.site,
        export_room_kw=room_kw,
        import_room_kw=cars.import_room_kw,
        slots=n_slots,
    )
    own_kw = np.where(window.alone, by_slot(room_kw).max(axis=1)[cars.site], np.inf)
    return replace(window, discharge_kw=np.minimum(cars.discharge_kw, own_kw))


def _average_charge_kw(cars: CarArrays, stored_kwh: FloatArray, hours: FloatArray) -> FloatArray:
    """Return what cars take on average while they charge for some hours without a pause, (cars,). [kW AC]"""
    full_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    if cars.tapers is None:
        return full_kw
    effort_kwh = cars.tapers.effort_kwh(stored_kwh) + cars.eta_charge * full_kw * hours
    taken_kwh = (cars.tapers.energy_kwh(effort_kwh) - stored_kwh) / cars.eta_charge
    return np.where(hours > 0.0, taken_kwh / np.maximum(hours, TINY_KWH), full_kw)


def _must_charge_kw(
    cars: CarArrays, must: BoolArray, below_kwh: FloatArray, owed_kwh: FloatArray, hours: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Return the power at which must-charge cars draw, and which are on strained sites, both (cars,).

    Args:
        cars: The cars.
        must: Which must charge.
        below_kwh: What each lacks of its floor. [kWh AC]
        owed_kwh: What each has to take. [kWh AC]
        hours: How long each is plugged in. [h]
    """
    own_kw = np.where(must, np.minimum(cars.charge_kw, cars.import_room_kw[cars.site]), 0.0)
    share_kw = cars.shared_charge_kw(must)
    shares = share_kw < own_kw - TINY_KWH
    pressed = shares & must & ((below_kwh > 0.0) | (owed_kwh > share_kw * hours + TINY_KWH))
    strained = must & (np.bincount(cars.site, pressed, len(cars.import_room_kw)) > 0.0)[cars.site]
    return np.where(strained, own_kw, share_kw), strained
