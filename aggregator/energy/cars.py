"""Cars and their stays as arrays, and the energy that each must keep.

Powers are magnitudes on the AC side of the charger, energies are in the battery unless a name says AC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aggregator.energy.taper import Tapers
from aggregator.model.fleet import Car
from aggregator.model.time import Interval

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

INSTANT = timedelta(microseconds=1)
LEAST_GUARD_SOC = 0.02
TINY_KWH = 1e-9
"""Energies closer than this are the same: sums of half-hours are not exact to the last bit."""


@dataclass(frozen=True, slots=True, eq=False)
class CarArrays:
    """What does not change while a plan is made.

    Attributes:
        capacity_kwh: Usable capacity, shape (cars,). [kWh]
        floor_kwh: Never discharged below this, shape (cars,). [kWh]
        charge_kw: Most the charger draws, shape (cars,). [kW AC]
        discharge_kw: Most the charger gives, shape (cars,). [kW AC]
        eta_charge: One-way efficiency from AC to battery, shape (cars,).
        eta_discharge: One-way efficiency from battery to AC, shape (cars,).
        site: Index into the room arrays, shape (cars,).
        export_room_kw: Most that the cars of a site may export together, shape (sites,), or (sites, slots)
            where approvals, dark hours or a house's load change it within the horizon. [kW]
        import_room_kw: Most that the cars of a site may draw together, shape (sites,). [kW]
        house_kw: What the houses are taken to draw, as stated, shape (sites, slots) or (sites, 1); None
            where no site states any. [kW]
        tapers: How charging slows down near full; None where none does.
    """

    capacity_kwh: FloatArray
    floor_kwh: FloatArray
    charge_kw: FloatArray
    discharge_kw: FloatArray
    eta_charge: FloatArray
    eta_discharge: FloatArray
    site: IntArray
    export_room_kw: FloatArray
    import_room_kw: FloatArray
    house_kw: FloatArray | None = None
    tapers: Tapers | None = None

    @classmethod
    def of(cls, cars: Sequence[Car], *at: datetime) -> "CarArrays":
        """Return the arrays of ``cars``, in their order.

        Args:
            cars: The cars; sites are numbered as they first appear.
            at: The bounds of the slots: every slot's start and the last one's end. A site's room in a slot
                is the least that it has in it (P4). One instant alone stands for all slots.

        Raises:
            ValueError: If no instant is given.
        """
        if not at:
            raise ValueError("the export room of a site is known only for an instant: none was given")
        sites = {car.site.site_id: car.site for car in cars}
        index = {site_id: position for position, site_id in enumerate(sites)}
        spans = [Interval(*both) for both in pairwise(at if len(at) > 1 else (*at, at[0] + INSTANT))]
        like = {site_id: replace(site, site_id="", zone="") for site_id, site in sites.items()}
        room = {site: [site.planned_room_kw(span) for span in spans] for site in set(like.values())}
        house = {site: [site.least_house_load_kw(span) for span in spans] for site in room}
        export_kw = np.array([room[like[site_id]] for site_id in sites]).reshape(len(sites), len(spans))
        house_kw = np.array([house[like[site_id]] for site_id in sites]).reshape(len(sites), len(spans))
        capacity_kwh = _floats(car.capacity_kwh for car in cars)
        from_soc = _floats(car.taper.from_soc for car in cars)
        tapers = Tapers.of(capacity_kwh, from_soc, _floats(car.taper.full_share for car in cars))
        return cls(
            capacity_kwh=capacity_kwh,
            floor_kwh=_floats(car.capacity_kwh * car.floor_soc for car in cars),
            charge_kw=_floats(car.charger.charge_kw for car in cars),
            discharge_kw=_floats(car.charger.discharge_kw for car in cars),
            eta_charge=_floats(car.charger.eta_charge for car in cars),
            eta_discharge=_floats(car.charger.eta_discharge for car in cars),
            site=np.array([index[car.site.site_id] for car in cars], dtype=np.int64),
            export_room_kw=export_kw if np.ptp(export_kw, axis=1).any() else export_kw[:, 0],
            import_room_kw=_floats(site.import_limit_kw for site in sites.values()),
            house_kw=house_kw if house_kw.any() else None,
            tapers=tapers if tapers.slope_per_kwh.any() else None,
        )

    def at(self, rows: IntArray | BoolArray) -> "CarArrays":
        """Return some of the cars, and only the sites that they are at."""
        sites, site = np.unique(self.site[rows], return_inverse=True)
        here = {name: getattr(self, name)[sites] for name in ("export_room_kw", "import_room_kw")}
        own = {name: getattr(self, name)[rows] for name in _PER_CAR}
        house_kw = None if self.house_kw is None else self.house_kw[sites]
        tapers = None if self.tapers is None else self.tapers.at(rows)
        return CarArrays(
            **own, site=site.reshape(-1).astype(np.int64), **here, house_kw=house_kw, tapers=tapers
        )

    @property
    def count(self) -> int:
        """Number of cars."""
        return len(self.capacity_kwh)

    def repeated(self, times: int) -> "CarArrays":
        """Return all cars several times over, for stays of each that never overlap.

        A home of one car has all its room for each of the stays. Cars that share a home share it as if all
        their stays did: the room of each is rather too small than too large (P4).
        """
        homes, again = len(self.export_room_kw), np.repeat(np.arange(times), self.count)
        alone = (np.bincount(self.site, minlength=homes) == 1)[self.site]
        per_car = {name: np.tile(getattr(self, name), times) for name in _PER_CAR}
        return CarArrays(
            **per_car,
            site=np.tile(self.site, times) + homes * again * np.tile(alone, times),
            export_room_kw=np.concatenate([self.export_room_kw] * times),
            import_room_kw=np.concatenate([self.import_room_kw] * times),
            house_kw=None if self.house_kw is None else np.concatenate([self.house_kw] * times),
            tapers=None if self.tapers is None else self.tapers.at(np.tile(np.arange(self.count), times)),
        )

    def on_the_way(self, start_kwh: FloatArray, end_kwh: FloatArray) -> "CarArrays":
        """Return the cars with the power that they take on average from one charge up to another.

        Args:
            start_kwh: Where each begins, shape (cars,). [kWh]
            end_kwh: Where it wants to get to, shape (cars,). [kWh]
        """
        if self.tapers is None:
            return self
        full_kw = np.minimum(self.charge_kw, self.import_room_kw[self.site])
        return replace(self, charge_kw=full_kw * self.tapers.share(start_kwh, end_kwh), tapers=None)

    def shared_charge_kw(self, present: BoolArray) -> FloatArray:
        """Return the power each car can surely charge at when all present cars of its site do, pro rata.

        Args:
            present: Whether a car counts, shape (cars,).

        Returns:
            At most ``charge_kw``, shape (cars,); 0 for cars not present. [kW AC]
        """
        charge_kw = np.where(present, self.charge_kw, 0.0)
        asked_kw = np.bincount(self.site, charge_kw, len(self.import_room_kw))
        share = np.minimum(1.0, self.import_room_kw / np.maximum(asked_kw, TINY_KWH))
        return charge_kw * share[self.site]


_PER_CAR = ("capacity_kwh", "floor_kwh", "charge_kw", "discharge_kw", "eta_charge", "eta_discharge")


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """One stay per car, in whole slots of the horizon: arrivals rounded up, departures down.

    Attributes:
        arrive_slot: First whole plugged slot, 0 where already plugged, shape (cars,).
        depart_slot: First slot not plugged; may lie beyond the horizon; a car that is absent has
            ``depart_slot <= arrive_slot``; shape (cars,).
        energy_kwh: Stored on arrival, or now where already plugged, shape (cars,). [kWh]
        target_kwh: What must be stored on leaving, shape (cars,). [kWh]
    """

    arrive_slot: IntArray
    depart_slot: IntArray
    energy_kwh: FloatArray
    target_kwh: FloatArray

    @property
    def present(self) -> BoolArray:
        """Whether a car comes at all, shape (cars,)."""
        return self.depart_slot > self.arrive_slot

    def plugged(self, first_slot: int, n_slots: int) -> BoolArray:
        """Return which of the slots from ``first_slot`` on a car is plugged in for, shape (cars, n_slots)."""
        slot = np.arange(first_slot, first_slot + n_slots)
        return (self.arrive_slot[:, None] <= slot) & (slot < self.depart_slot[:, None])


def guard_kwh(capacity_kwh: FloatArray, soc_resolution: float = LEAST_GUARD_SOC) -> FloatArray:
    """Return what is kept above the floor because a car's own word is coarse: never a reason to charge.

    Args:
        capacity_kwh: Usable capacity. [kWh]
        soc_resolution: Step in which the car reports its state of charge, as a fraction.

    Returns:
        The greater of 2% and the resolution, of capacity. [kWh]
    """
    return np.asarray(max(LEAST_GUARD_SOC, soc_resolution) * capacity_kwh, dtype=np.float64)


def emin_kwh(
    floor_kwh: FloatArray,
    target_kwh: FloatArray,
    charge_kw: FloatArray,
    eta_charge: FloatArray,
    hours_left: FloatArray,
    tapers: Tapers | None = None,
) -> FloatArray:
    """Return the least energy from which full power still reaches the target, at least the floor. [kWh]

    Args:
        floor_kwh: The floor. [kWh]
        target_kwh: What must be stored ``hours_left`` from then. [kWh]
        charge_kw: Power that the car can count on, until it tapers. [kW AC]
        eta_charge: From AC to battery.
        hours_left: From the instant asked about to when the target is due; below 0 counts as 0. [h]
        tapers: How charging slows down near full, None where it does not.
    """
    gain_kwh = eta_charge * charge_kw * np.maximum(hours_left, 0.0)
    if tapers is None:
        return np.maximum(floor_kwh, target_kwh - gain_kwh)
    return np.maximum(floor_kwh, tapers.energy_kwh(tapers.effort_kwh(target_kwh) - gain_kwh))


def need_kwh(cars: CarArrays, stay: Stay, at_slot: int, slot_hours: float) -> FloatArray:
    """Return what each car must hold at the start of ``at_slot``, or on leaving if that is before. [kWh]

    The charging power is what the site's import room leaves when all cars of the scenario charge, pro rata.
    """
    target_kwh = np.minimum(stay.target_kwh, cars.capacity_kwh)
    hours_left = np.multiply(stay.depart_slot - np.minimum(at_slot, stay.depart_slot), slot_hours)
    charge_kw = cars.shared_charge_kw(stay.present)
    return emin_kwh(cars.floor_kwh, target_kwh, charge_kw, cars.eta_charge, hours_left, cars.tapers)


def exportable_kwh(
    stored_kwh: FloatArray,
    need_kwh: FloatArray,
    floor_kwh: FloatArray,
    guard_kwh: FloatArray,
    eta_discharge: FloatArray,
) -> FloatArray:
    """Return the AC energy a car can give and still hold its need, and the floor with its guard. [kWh AC]"""
    kept_kwh = np.maximum(need_kwh, floor_kwh + guard_kwh)
    return np.asarray(eta_discharge * np.maximum(0.0, stored_kwh - kept_kwh), dtype=np.float64)


def first_slots_kwh(amount_kwh: FloatArray, bound_kwh: FloatArray) -> FloatArray:
    """Return ``amount_kwh``, shape (cars,), put into the first slots up to ``bound_kwh``, (cars, slots)."""
    through_kwh = np.minimum(np.cumsum(bound_kwh, axis=1), amount_kwh[:, None])
    return np.diff(through_kwh, axis=1, prepend=0.0)


def _floats(values: object) -> FloatArray:
    return np.fromiter(values, dtype=np.float64)  # type: ignore[call-overload, no-any-return]
