"""The cars and homes of a split as columns, made once and used every cycle."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

_BLOCK = 1 << 14
"""Cars looked at at once, so that what is worked on stays near the processor."""


@dataclass(frozen=True, slots=True)
class SplitCar:
    """One car, as far as the split needs to know it.

    Attributes:
        id: Opaque.
        site: Name of its site.
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
        worn_kwh: What it gave before, in any period that is the same for all: where chargers with a
            ``min_kw`` must take turns, the least worn of those that could go longest is first.
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
    worn_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class SplitSite:
    """What one grid connection may carry: ``-import <= sum of exports - base load <= export``.

    Attributes:
        export_limit_kw: At the boundary, at least 0.
        import_limit_kw: At the boundary, at least 0.
        base_load_kw: House load per slot, negative for generation; empty for none.
        export_limits_kw: The export limit slot by slot, where it changes; empty where it does not.
    """

    export_limit_kw: float
    import_limit_kw: float
    base_load_kw: tuple[float, ...] = ()
    export_limits_kw: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Cars:
    """Cars in columns, each as in ``SplitCar``, shape (cars,); ``site`` is a row of ``Sites``.

    Raises:
        ValueError: Columns differ in length, two ids are the same, or a figure is below 0 or not finite.
    """

    ids: Sequence[str]
    site: IntArray
    floor_kwh: FloatArray
    max_kwh: FloatArray
    energy_kwh: FloatArray
    charge_kw: FloatArray
    discharge_kw: FloatArray
    depart_slot: IntArray
    target_kwh: FloatArray
    arrive_slot: IntArray
    min_kw: FloatArray
    guard_kwh: FloatArray
    worn_kwh: FloatArray

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            column = getattr(self, name)
            if column.shape != (self.count,):
                raise ValueError(f"cars.{name} has the shape {column.shape}; there are {self.count} ids")
            wrong = ~((column >= 0) & (column < np.inf))
            if wrong.any():
                row = int(wrong.argmax())
                raise ValueError(
                    f"cars.{name} is {column[row]} for {self.ids[row]}; allowed is 0 or more, finite"
                )
        if len(set(self.ids)) != self.count:
            raise ValueError("two cars have the same id")

    @property
    def count(self) -> int:
        """Number of cars."""
        return len(self.ids)

    @classmethod
    def of(cls, rows: Iterable[SplitCar], sites: "Sites") -> "Cars":
        """Return the columns of some cars.

        Raises:
            ValueError: A car names no site of ``sites``, or as above.
        """
        cars = tuple(rows)
        places = {name: place for place, name in enumerate(sites.names)}
        if unknown := {car.site for car in cars} - set(places):
            raise ValueError(f"unknown sites {sorted(unknown)}")
        figures = {name: np.array([getattr(car, name) for car in cars], np.float64) for name in _FIGURES}
        slots = np.array([(car.arrive_slot, car.depart_slot) for car in cars], np.intp).reshape(-1, 2)
        site = np.array([places[car.site] for car in cars], np.intp)
        ids = tuple(car.id for car in cars)
        return cls(ids=ids, site=site, arrive_slot=slots[:, 0], depart_slot=slots[:, 1], **figures)

    def at(self, rows: IntArray) -> "Cars":
        """Return some of the cars, in the order of ``rows``."""
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return Cars(ids=[self.ids[row] for row in rows.tolist()], **columns)


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """Grid connections in columns, each as in ``SplitSite``.

    Attributes:
        names: Of the sites, each once.
        export_limit_kw: Shape (sites,), or (sites, slots) where approvals or dark hours change it.
        import_limit_kw: Shape (sites,).
        base_load_kw: Shape (sites, slots); None where no house load is known.
    """

    names: Sequence[str]
    export_limit_kw: FloatArray
    import_limit_kw: FloatArray
    base_load_kw: FloatArray | None = None

    def __post_init__(self) -> None:
        for limit in (self.export_limit_kw, self.import_limit_kw):
            by_slot = limit is self.export_limit_kw and limit.ndim == 2  # noqa: PLR2004
            shaped = limit.shape == (self.count,) or (by_slot and len(limit) == self.count)
            if not shaped or not ((limit >= 0) & (limit < np.inf)).all():
                raise ValueError(f"{self.count} sites need as many finite limits of 0 or more, not {limit}")
        base = self.base_load_kw
        if base is not None and (base.ndim != 2 or len(base) != self.count or not np.isfinite(base).all()):  # noqa: PLR2004
            raise ValueError(f"{self.count} sites need as many rows of finite base loads")

    @property
    def count(self) -> int:
        """Number of sites."""
        return len(self.names)

    def at(self, rows: IntArray) -> "Sites":
        """Return some of the sites, in the order of ``rows``."""
        load_kw = self.base_load_kw
        return Sites(
            names=[self.names[row] for row in rows.tolist()],
            export_limit_kw=self.export_limit_kw[rows],
            import_limit_kw=self.import_limit_kw[rows],
            base_load_kw=None if load_kw is None else load_kw[rows],
        )

    @classmethod
    def of(cls, rows: Mapping[str, SplitSite], slots: int) -> "Sites":
        """Return the columns of some sites by name, for an event of ``slots``."""
        limits = [(site.export_limit_kw, site.import_limit_kw) for site in rows.values()]
        export_kw, import_kw = np.array(limits, float).reshape(-1, 2).T
        base = None
        if any(site.base_load_kw for site in rows.values()):
            nothing = (0.0,) * slots
            loads = [site.base_load_kw or nothing for site in rows.values()]
            if any(len(load) != slots for load in loads):
                raise ValueError(f"a base load does not have {slots} slots")
            base = np.array(loads, float)
        if any(site.export_limits_kw for site in rows.values()):
            by_slot = [site.export_limits_kw or (site.export_limit_kw,) * slots for site in rows.values()]
            if any(len(limit) != slots for limit in by_slot):
                raise ValueError(f"an export limit by slot does not have {slots} slots")
            changing = np.array(by_slot, float)
            export_kw = changing if np.ptp(changing, axis=1).any() else changing[:, 0]
        return cls(tuple(rows), export_kw, import_kw, base)


_COLUMNS = tuple(field.name for field in fields(Cars) if field.name != "ids")
_FIGURES = tuple(name for name in _COLUMNS if name not in {"site", "arrive_slot", "depart_slot"})


def blocks_of(count: int) -> list[slice]:
    """Return slices that cover ``count`` cars, each small enough for the processor's cache."""
    return [slice(first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK)]


def summed(place: IntArray, amount: NDArray[np.float64 | np.bool_], places: int) -> FloatArray:
    """Return the sum of the amounts at each place, shape (places,)."""
    return np.bincount(place, amount, places).astype(np.float64, copy=False)


def first_of_each(site: IntArray) -> BoolArray:
    """Return which of some cars is the first of its home; of those that share no room all are."""
    first = site == 0
    first[np.unique(site, return_index=True)[1]] = True
    return np.asarray(first)


def ranked(place: IntArray, places: int, *also: int) -> tuple[IntArray, IntArray]:
    """Return the places that occur, in order, and each one's rank among them: ``np.unique``, unsorted.

    Args:
        place: Each at least 0 and below ``places``.
        places: How many there may be.
        also: Places that count as occurring.
    """
    occurs = np.zeros(places, np.bool_)
    occurs[place] = True
    occurs[list(also)] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[place]
