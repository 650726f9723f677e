"""Charging slows down near full: how long it takes, and how much power there is on the way on average.

Up to a first state of charge a battery takes the full power, from there on linearly less, down to a share of
it at 100%. What lies ahead of a car is then counted in effort: the energy that full power would have put in
meanwhile, which grows evenly with time. With k = (1 - share at 100%) / (capacity - first),

    effort(E) = E  up to the first,  first - ln(1 - k * (E - first)) / k  above it:

the integral of dE over the share of the power that is taken at E.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aggregator.model.fleet import Car

FloatArray = NDArray[np.float64]
Figures = FloatArray | float

_EVEN = 1e-12
"""Slopes below this are none. [1/kWh]"""
_CHORDS = 2
"""Straight lines in place of the bend where charging begins to slow down."""


@dataclass(frozen=True, slots=True, eq=False)
class Tapers:
    """How the charging of some cars slows down near full.

    Attributes:
        from_kwh: Energy up to which full power is taken, shape (cars,). [kWh]
        slope_per_kwh: k: by what part of it less is taken for every kWh above, shape (cars,). [1/kWh]
    """

    from_kwh: FloatArray
    slope_per_kwh: FloatArray

    @classmethod
    def of(cls, capacity_kwh: Figures, from_soc: Figures, full_share: Figures) -> "Tapers":
        """Return the tapers of batteries.

        Args:
            capacity_kwh: Usable capacity. [kWh]
            from_soc: From here on less is taken, 0 to 1; at 1 never. [-]
            full_share: Part of the full power that is still taken at 100%, above 0, up to 1. [-]
        """
        from_kwh = np.multiply(from_soc, capacity_kwh)
        falls = np.less(from_soc, 1.0) & np.less(full_share, 1.0)
        width = np.where(falls, capacity_kwh - from_kwh, 1.0)
        return cls(from_kwh, np.where(falls, (1.0 - np.asarray(full_share)) / width, 0.0))

    @classmethod
    def of_car(cls, car: Car) -> "Tapers":
        """Return that of one car, for figures instead of arrays."""
        return _of_battery(car.capacity_kwh, car.taper.from_soc, car.taper.full_share)

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Tapers":
        """Return those of some of the cars."""
        return Tapers(self.from_kwh[rows], self.slope_per_kwh[rows])

    def effort_kwh(self, energy_kwh: Figures) -> FloatArray:
        """Return how far a charge of ``energy_kwh`` is, counted at full power, shape (cars,). [kWh]"""
        above = np.maximum(0.0, energy_kwh - self.from_kwh)
        slope = np.maximum(self.slope_per_kwh, _EVEN)
        slowed = np.where(self.slope_per_kwh > _EVEN, -np.log1p(-slope * above) / slope, above)
        return np.asarray(np.minimum(energy_kwh, self.from_kwh) + slowed)

    def energy_kwh(self, effort_kwh: Figures) -> FloatArray:
        """Return the charge that an effort leads to, shape (cars,): the other way round. [kWh]"""
        above = np.maximum(0.0, effort_kwh - self.from_kwh)
        slope = np.maximum(self.slope_per_kwh, _EVEN)
        slowed = np.where(self.slope_per_kwh > _EVEN, -np.expm1(-slope * above) / slope, above)
        return np.asarray(np.minimum(effort_kwh, self.from_kwh) + slowed)

    def lines(self, full_kwh: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return straight lines that what is taken in a while stays below, from the charge at its beginning.

        ``taken <= at_0 - fall * charge``, and ``taken <= full_kwh``: exact where charging slows down all the
        while, chords of the truth, and so a little less, where it begins to.

        Args:
            full_kwh: What full power would put in meanwhile, shape (cars,). [kWh]

        Returns:
            ``at_0`` [kWh] and ``fall`` [-], both of shape (lines, cars).
        """
        slope = np.maximum(self.slope_per_kwh, _EVEN)
        charge_kwh = self.from_kwh - np.multiply.outer(np.arange(_CHORDS, -1, -1) / _CHORDS, full_kwh)
        taken_kwh = self.energy_kwh(charge_kwh + full_kwh) - charge_kwh
        step_kwh = np.maximum(full_kwh / _CHORDS, _EVEN)
        fall = np.concatenate([-np.diff(taken_kwh, axis=0) / step_kwh, [-np.expm1(-slope * full_kwh)]])
        fall = np.where(self.slope_per_kwh > _EVEN, fall, 0.0)
        return taken_kwh + fall * charge_kwh, fall

    def share(self, start_kwh: FloatArray, end_kwh: FloatArray) -> FloatArray:
        """Return the part of full power that is taken on average from one charge up to another, (cars,). [-]

        For a car that is there already, what it takes on the way from where charging begins to slow down:
        it charges only after it has given.
        """
        from_kwh = np.where(start_kwh < end_kwh, start_kwh, np.minimum(self.from_kwh, end_kwh))
        way_kwh = end_kwh - from_kwh
        effort_kwh = self.effort_kwh(end_kwh) - self.effort_kwh(from_kwh)
        return np.where(way_kwh > 0.0, way_kwh / np.maximum(effort_kwh, _EVEN), 1.0)


@lru_cache(maxsize=1_000)
def _of_battery(capacity_kwh: float, from_soc: float, full_share: float) -> Tapers:
    """Return the taper of a battery; a fleet has few kinds, each asked for in every cycle."""
    return Tapers.of(capacity_kwh, from_soc, full_share)
