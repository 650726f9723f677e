"""The bound on power moved per minute, per zone and in all (P14): above it, hold and raise an alarm.

To hold is to be told again what one does: a set-point that ran out would itself be the jump. No car goes on
so where floor, site, driver or the end of its order forbid it: it is let go, which always passes.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.metering import Purpose, SetPoint

MINUTE = timedelta(minutes=1)
W_PER_KW = 1000.0
EXEMPT = frozenset({Purpose.BOOST, Purpose.MUST_CHARGE, Purpose.RELEASE})
"""A driver's right outranks the bound, and letting go must always be possible."""

RELEASE_HOLDS = timedelta(seconds=60)
"""Longer than a message takes and clocks differ: a set-point that is over when it arrives is refused."""

FOLLOWS = timedelta(seconds=10)
"""A charger whose set-point ended so shortly ago is as good as still at it."""

Place = tuple[str, str]
"""A zone and a home in it."""


@dataclass(frozen=True, slots=True)
class Again:
    """How a car that must wait is told again what it does.

    Attributes:
        most: For how long at most.
        may_go_on: Whether floor, site and driver allow it.
    """

    most: timedelta
    may_go_on: Callable[[SetPoint], bool]


class RampLimit:
    """Lets set-points pass while the last minute's movement stays within bounds."""

    def __init__(self, zone_kw_per_minute: float, total_kw_per_minute: float) -> None:
        self._zone_kw = zone_kw_per_minute
        self._total_kw = total_kw_per_minute
        self._moved: deque[tuple[datetime, str, float]] = deque()

    def hold(
        self,
        points: Sequence[SetPoint],
        standing_w: Mapping[str, int],
        place_of: Mapping[str, Place],
        now: datetime,
    ) -> frozenset[str]:
        """Return the cars whose set-points must wait, having counted the movement of all others.

        The cars of a home wait or move together: one moves into the room that another leaves.

        Args:
            points: Wanted, in order of precedence.
            standing_w: What each car does now, positive from car to grid; 0 where nothing stands. [W]
            place_of: Each car's zone and home.
            now: Domain instant.
        """
        while self._moved and self._moved[0][0] <= now - MINUTE:
            self._moved.popleft()
        in_zone: dict[str, float] = defaultdict(float)
        for _, zone, kw in self._moved:
            in_zone[zone] += kw
        total = sum(in_zone.values())
        homes: dict[Place, list[SetPoint]] = defaultdict(list)
        for point in points:
            if point.export_w != standing_w.get(point.car_id, 0):
                homes[place_of[point.car_id]].append(point)
        held: set[str] = set()
        for (zone, _), together in homes.items():
            kw = sum(abs(one.export_w - standing_w.get(one.car_id, 0)) for one in together) / W_PER_KW
            over = in_zone[zone] + kw > self._zone_kw or total + kw > self._total_kw
            if over and not any(one.purpose in EXEMPT for one in together):
                held |= {one.car_id for one in together}
                continue
            in_zone[zone] += kw
            total += kw
            self._moved.append((now, zone, kw))
        return frozenset(held)

    def within(
        self,
        points: Sequence[SetPoint],
        present: Mapping[str, SetPoint],
        place_of: Mapping[str, Place],
        now: datetime,
        again: Again,
    ) -> tuple[list[SetPoint], frozenset[str]]:
        """Return what is told within the bound, and which cars must wait: they are told what they do now.

        Args:
            points: Wanted, in order of precedence.
            present: What each car does now; none where nothing stands.
            place_of: Each car's zone and home.
            now: Domain instant.
            again: How a car that must wait is told again.
        """
        watts = {name: point.export_w for name, point in present.items()}
        waiting = self.hold(points, watts, place_of, now)
        kept = [
            held_point(point, present[point.car_id], again)
            for point in points
            if point.car_id in waiting and point.car_id in present
        ]
        self.hold(kept, watts, place_of, now)  # who is let go instead moves, too
        return [point for point in points if point.car_id not in waiting] + kept, waiting


def held_point(wanted: SetPoint, standing: SetPoint, again: Again) -> SetPoint:
    """Return what a car that must wait is told: its present set-point again, or to stop."""
    serves_no_more = wanted.purpose is Purpose.PLAN and wanted.export_w <= 0
    if standing.opportunity_id is not None and serves_no_more:
        return standing if standing.expires_at > wanted.issued_at else let_go(wanted.car_id, wanted.issued_at)
    same = replace(
        wanted,
        export_w=standing.export_w,
        expires_at=min(wanted.issued_at + again.most, wanted.expires_at),
        opportunity_id=wanted.opportunity_id if standing.export_w > 0 else None,
    )
    return same if again.may_go_on(same) else let_go(wanted.car_id, wanted.issued_at)


def let_go(car_id: str, now: datetime) -> SetPoint:
    """Return the set-point of nothing that always passes."""
    return SetPoint(car_id, 0, now, now + RELEASE_HOLDS, Purpose.RELEASE)
