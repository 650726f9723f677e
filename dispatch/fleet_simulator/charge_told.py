"""What cars tell of their state of charge: with an error, in steps, late, or nothing at all for a while."""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

from dispatch.fleet_simulator.physics import FloatArray, Plant, reported_soc
from dispatch.fleet_simulator.reporting import Visit
from dispatch.fleet_simulator.troubles import Kind, Troubles

OLDEST_S = 3600.0

Told = tuple[float | None, datetime | None]
"""A state of charge, and when it was so if not now."""


class ChargeTold:
    """Keeps as much of the past as late reports need.

    Args:
        plant: What does not change about the cars.
        troubles: What is wrong with them.
        seed: Of the errors.
    """

    def __init__(self, plant: Plant, troubles: Troubles, seed: int) -> None:
        self._plant, self._troubles, self._seed = plant, troubles, seed
        self._late = troubles.any_of(Kind.SOC_LATE)
        self._past: deque[tuple[float, list[float]]] = deque()

    def tell(self, at_s: float, energy_kwh: FloatArray, visits: Mapping[int, Visit]) -> list[Told]:
        """Return what every car tells at an instant, later each time; nothing where no car is."""
        at, traits = datetime.fromtimestamp(at_s, UTC), self._plant.traits
        sigma = self._troubles.amount(Kind.SOC_NOISE, at, traits.soc_sigma)
        step = self._troubles.amount(Kind.SOC_STEP, at, traits.soc_resolution)
        soc = reported_soc(self._plant, energy_kwh, at_s, self._seed, sigma, step).tolist()
        told: list[Told] = [(soc[car] if car in visits else None, None) for car in range(len(soc))]
        if self._late:
            self._past.append((at_s, soc))
            while self._past[0][0] < at_s - OLDEST_S:
                self._past.popleft()
            late_s = self._troubles.amount(Kind.SOC_LATE, at, 0.0)
            for car in late_s.nonzero()[0].tolist():
                told[car] = self._before(car, at_s - float(late_s[car]), visits.get(car))
        for car in self._troubles.those(Kind.SOC_SILENT, at).nonzero()[0].tolist():
            told[car] = (None, None)
        return told

    def _before(self, car: int, until_s: float, visit: Visit | None) -> Told:
        """Return the last state of charge of this stay that was measured by then."""
        for at_s, soc in reversed(self._past):
            if at_s <= until_s:
                at = datetime.fromtimestamp(at_s, UTC)
                here = visit is not None and visit.stay.plugged_in_at <= at
                return (soc[car], at) if here else (None, None)
        return None, None
