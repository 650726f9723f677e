"""What a split is asked and what it answers: plain frozen values, powers positive from car to grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.model.market import Direction

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

MET_WITHIN_KWH = 1e-6
"""A request or target missed by no more than this counts as met; it is the precision promised."""


@dataclass(frozen=True, slots=True)
class SplitCar:
    """One car, as far as the split needs to know it.

    Attributes:
        id: Opaque.
        site: Key into the problem's sites.
        capacity_kwh: Usable capacity.
        floor_kwh: Never discharged below this; charged to it first.
        max_kwh: Never charged above this.
        energy_kwh: Stored at the start of the event, or on arrival when that is later.
        charge_kw: Most it may import, AC side, at least 0.
        discharge_kw: Most it may export, AC side, at least 0.
        depart_slot: First slot in which it is gone; may lie after the event.
        target_kwh: To be stored at departure.
        arrive_slot: First slot in which it is plugged.
        min_kw: Smallest export the charger can hold; 0 where it can hold any. Charging knows no least here:
            a car below its floor takes what its site allows, however little.
        guard_kwh: Kept above the floor when exporting; it never makes the car charge.
    """

    id: str
    site: str
    capacity_kwh: float
    floor_kwh: float
    max_kwh: float
    energy_kwh: float
    charge_kw: float
    discharge_kw: float
    depart_slot: int
    target_kwh: float
    arrive_slot: int = 0
    min_kw: float = 0.0
    guard_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class SplitSite:
    """What one grid connection may carry: ``-import <= sum of exports - base load <= export``.

    Attributes:
        export_limit_kw: At the boundary, at least 0.
        import_limit_kw: At the boundary, at least 0.
        base_load_kw: House load per slot, negative for generation; empty for none.
    """

    export_limit_kw: float
    import_limit_kw: float
    base_load_kw: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitProblem:
    """A request on a zone, and the cars to meet it with.

    Attributes:
        id: Opaque.
        slot_hours: Length of each slot; the first may be what is left of the present one.
        eta_charge: One-way, in (0, 1].
        eta_discharge: One-way, in (0, 1].
        cars: In any order; ids are unique.
        sites: By name.
        request_kw: The zone's net export wanted per slot; may be negative.
        direction: Up: more export or less import. Down: the reverse.
        later_slot_hours: Length of the slots after the event, None for that of the last slot.
    """

    id: str
    slot_hours: tuple[float, ...]
    eta_charge: float
    eta_discharge: float
    cars: tuple[SplitCar, ...]
    sites: Mapping[str, SplitSite]
    request_kw: tuple[float, ...]
    direction: Direction = Direction.UP
    later_slot_hours: float | None = None

    def __post_init__(self) -> None:
        slots = len(self.request_kw)
        if slots == 0 or len(self.slot_hours) != slots or min(self.slot_hours) <= 0:
            raise ValueError(f"{self.id}: {slots} requests for slots of {self.slot_hours} hours")
        if any(len(site.base_load_kw) not in {0, slots} for site in self.sites.values()):
            raise ValueError(f"{self.id}: a base load does not have {slots} slots")
        if len({car.id for car in self.cars}) != len(self.cars):
            raise ValueError(f"{self.id}: two cars have the same id")
        if unknown := {car.site for car in self.cars} - set(self.sites):
            raise ValueError(f"{self.id}: unknown sites {sorted(unknown)}")

    @property
    def after_hours(self) -> float:
        """Length of each slot after the event. [h]"""
        return self.slot_hours[-1] if self.later_slot_hours is None else self.later_slot_hours


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Set-points for every car and slot, and what they come to.

    Attributes:
        car_ids: In the order of the problem.
        export_kw: Shape (cars, slots); 0 where a car is not plugged.
        delivered_kwh: Up: sum of min(request, export) hours; down: of min(-request, -export).
        shortfall_kwh: What is missing from the request, at least 0.
        feasible: Every rule of car and site is kept and the request is met. A car that can't reach
            its target keeps its rule by importing all it is allowed: it is listed as short.
        short_of_target_kwh: Energy each car will lack at departure; only those that lack any.
        method: ``levelled``, ``lp`` or ``milp``.
    """

    car_ids: tuple[str, ...]
    export_kw: FloatArray
    delivered_kwh: float
    shortfall_kwh: float
    feasible: bool
    short_of_target_kwh: Mapping[str, float]
    method: str
