"""Cars at full power for their drivers, whatever else is asked: boosted, or with no time to lose.

The charger itself stops when its car is full. What such a car draws is made up for by the others of a zone in
a window, by its meter as soon as that has counted.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from aggregator.model.fleet import Fleet
from aggregator.model.metering import Purpose, SetPoint
from aggregator.model.time import HALF_HOUR
from dispatch.fleet_view import CarView
from dispatch.following import Following
from dispatch.left_alone import LeftAlone

W_PER_KW = 1000.0


class AtFullPower:
    """Knows who is at full power, and since when.

    Args:
        fleet: The cars and their homes.
        following: What cars really do.
        alone: When chargers would begin by themselves.
    """

    def __init__(self, fleet: Fleet, following: Following, alone: LeftAlone) -> None:
        self._following, self._alone = following, alone
        self._zone_of = {car.car_id: car.site.zone for car in fleet.cars}
        homes = Counter(car.site.site_id for car in fleet.cars)
        self._mates = {car.car_id for car in fleet.cars if homes[car.site.site_id] > 1}
        self._since: Mapping[str, datetime] = {}

    def comes_first(self, view: CarView, stopped: Collection[str], now: datetime) -> bool:
        """Whether a car charges at full power, whatever else is asked.

        In a stop, which ends nobody knows when, also one below its floor or with no time to lose.
        """
        if view.is_boosted() or view.is_urgent(now):
            return True
        if self._zone_of[view.car.car_id] not in stopped:
            return False
        stored_kwh, late = view.energy_kwh(now), self._alone.starts_at(view, now) <= now
        return stored_kwh < view.floor_kwh or (late and stored_kwh < view.target_kwh())

    def points(self, views: Sequence[CarView], now: datetime) -> list[SetPoint]:
        """Return what those that come first are told; all others no longer are at full power."""
        self._since = {(name := view.car.car_id): self._since.get(name, now) for view in views}
        return [self._point(view, now) for view in views]

    def _point(self, view: CarView, now: datetime) -> SetPoint:
        name, kw, purpose = view.car.car_id, view.full_kw, Purpose.MUST_CHARGE
        if view.is_boosted():
            purpose = Purpose.BOOST
            kw = self._following.asked_kw(view, self._since[name]) if name in self._mates else kw
        return SetPoint(name, -round(kw * W_PER_KW), now, now + HALF_HOUR, purpose)

    def drawn_kw(self, views: Iterable[CarView]) -> Mapping[str, float]:
        """Return what some of them draw, by zone. [kW]"""
        drawn_kw: dict[str, float] = defaultdict(float)
        for view in views:
            name = view.car.car_id
            drawn_kw[self._zone_of[name]] += self._following.drawn_kw(view, self._since[name])
        return drawn_kw
