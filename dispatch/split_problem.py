"""What a split is asked and what it answers: plain frozen values, powers positive from car to grid."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.model.market import Direction
from dispatch.split_cars import Cars, FloatArray, IntArray, Sites

_ALL = slice(None)

MET_WITHIN_KWH = 1e-6
"""A request or target missed by no more than this counts as met; it is the precision promised."""


@dataclass(frozen=True, slots=True)
class SplitProblem:
    """A request on a zone, and the cars to meet it with.

    Attributes:
        id: Opaque.
        slot_hours: Length of each slot; the first may be what is left of the present one.
        eta_charge: One-way, in (0, 1].
        eta_discharge: One-way, in (0, 1].
        cars: In any order.
        sites: That the cars name.
        request_kw: The zone's net export wanted per slot; may be negative.
        direction: Up: more export or less import. Down: the reverse.
        later_slot_hours: Length of the slots after the event, None for that of the last slot.
    """

    id: str
    slot_hours: tuple[float, ...]
    eta_charge: float
    eta_discharge: float
    cars: Cars
    sites: Sites
    request_kw: tuple[float, ...]
    direction: Direction = Direction.UP
    later_slot_hours: float | None = None

    def __post_init__(self) -> None:
        slots = len(self.request_kw)
        if slots == 0 or len(self.slot_hours) != slots or not min(self.slot_hours) > 0:
            raise ValueError(f"{self.id}: {slots} requests for slots of {self.slot_hours} hours")
        figures = (*self.request_kw, *self.slot_hours, self.after_hours)
        if not all(map(math.isfinite, figures)) or self.after_hours <= 0:
            raise ValueError(f"{self.id}: requests and slot hours are finite, not {figures}")
        for eta in (self.eta_charge, self.eta_discharge):
            if not 0 < eta <= 1:
                raise ValueError(f"{self.id}: an efficiency of {eta}; allowed is above 0, up to 1")
        base = self.sites.base_load_kw
        if base is not None and base.shape[1] != slots:
            raise ValueError(f"{self.id}: base loads of {base.shape[1]} slots, not {slots}")
        limit = self.sites.export_limit_kw
        if limit.ndim == 2 and limit.shape[1] != slots:  # noqa: PLR2004
            raise ValueError(f"{self.id}: export limits of {limit.shape[1]} slots, not {slots}")
        if self.cars.count and self.cars.site.max() >= self.sites.count:
            raise ValueError(f"{self.id}: site {self.cars.site.max()} of {self.sites.count}")

    @property
    def after_hours(self) -> float:
        """Length of each slot after the event. [h]"""
        return self.slot_hours[-1] if self.later_slot_hours is None else self.later_slot_hours

    @property
    def way(self) -> float:
        """1 where more export is asked for, -1 where more import is."""
        return 1.0 if self.direction is Direction.UP else -1.0

    def export_room_kw(self, sites: IntArray | slice = _ALL) -> FloatArray:
        """Return the most that each site's cars may export, below 0 where it generates too much.

        Shape (sites, slots), or (sites, 1) where it is the same in all slots. [kW]
        """
        limit: FloatArray = self.sites.export_limit_kw[sites]
        return (limit if limit.ndim == 2 else limit[:, None]) + self._base_load_kw(sites)  # noqa: PLR2004

    def import_room_kw(self, sites: IntArray | slice = _ALL) -> FloatArray:
        """Return the most that each site's cars may import, at least 0, shaped alike. [kW]"""
        limit: FloatArray = self.sites.import_limit_kw[sites, None]
        return np.maximum(0.0, limit - self._base_load_kw(sites))

    def _base_load_kw(self, sites: IntArray | slice) -> FloatArray:
        base = self.sites.base_load_kw
        return np.zeros((1, 1)) if base is None else base[sites]


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
        method: ``levelled``, ``lp``, ``milp`` or ``thresholds``.
    """

    car_ids: Sequence[str]
    export_kw: FloatArray
    delivered_kwh: float
    shortfall_kwh: float
    feasible: bool
    short_of_target_kwh: Mapping[str, float]
    method: str


def named(ids: Sequence[str], short_kwh: FloatArray) -> dict[str, float]:
    """Return by id what cars are short of, only those that are."""
    rows = np.flatnonzero(short_kwh > MET_WITHIN_KWH)
    return {ids[row]: kwh for row, kwh in zip(rows.tolist(), short_kwh[rows].tolist(), strict=True)}
