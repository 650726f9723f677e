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
        least_w: What each car's charger holds at least, where it is not everything. [W]
    """

    most: timedelta
    may_go_on: Callable[[SetPoint], bool]
    least_w: Mapping[str, int]


class RampLimit:
    """Lets set-points pass while the last minute's movement stays within bounds."""

    def __init__(self, zone_kw_per_minute: float, total_kw_per_minute: float) -> None:
        self._zone_kw = zone_kw_per_minute
        self._total_kw = total_kw_per_minute
        self._moved: deque[tuple[datetime, str, float]] = deque()

    def allowed(
        self,
        points: Sequence[SetPoint],
        standing_w: Mapping[str, int],
        place_of: Mapping[str, Place],
        now: datetime,
        least_w: Mapping[str, int],
    ) -> dict[str, int]:
        """Return what each car may go to now, its movement counted: what is wanted, or less of a change.

        The cars of a home wait or move together: one moves into the room that another leaves. A change that
        is more than any minute allows is made step by step, all of a home's cars in proportion. Beside a
        driver's right those of the home that draw make room at once, and all rise only within the bound; who
        gives takes no room from it, and keeps to the bound either way.

        Args:
            points: Wanted, in order of precedence.
            standing_w: What each car does now, positive from car to grid; 0 where nothing stands. [W]
            place_of: Each car's zone and home.
            now: Domain instant.
            least_w: What each car's charger holds at least, where it is not everything. [W]
        """
        while self._moved and self._moved[0][0] <= now - MINUTE:
            self._moved.popleft()
        in_zone: dict[str, float] = defaultdict(float)
        for _, zone, kw in self._moved:
            in_zone[zone] += kw
        total = sum(in_zone.values())
        goes = {point.car_id: point.export_w for point in points}
        homes: dict[Place, list[SetPoint]] = defaultdict(list)
        for point in points:
            if point.export_w != standing_w.get(point.car_id, 0):
                homes[place_of[point.car_id]].append(point)
        for (zone, _), together in homes.items():
            left_kw = min(self._zone_kw - in_zone[zone], self._total_kw - total)
            goes |= self._home(together, standing_w, left_kw, least_w)
            kw = _moved_kw(together, goes, standing_w)
            if kw > 0:
                in_zone[zone] += kw
                total += kw
                self._moved.append((now, zone, kw))
        return goes

    def _home(
        self,
        together: Sequence[SetPoint],
        standing_w: Mapping[str, int],
        left_kw: float,
        least_w: Mapping[str, int],
    ) -> dict[str, int]:
        """Return what the cars of a home that are to change may go to, where so much may still be moved."""
        wanted = {one.car_id: one.export_w for one in together}
        if _moved_kw(together, wanted, standing_w) <= left_kw:
            return wanted
        stays = {one.car_id: standing_w.get(one.car_id, 0) for one in together}
        if any(one.purpose in EXEMPT for one in together):
            free = [one for one in together if one.purpose not in EXEMPT and stays[one.car_id] >= 0]
            at_once = stays | {
                one.car_id: one.export_w
                if one.purpose in EXEMPT
                else _yielded(one.export_w, stays[one.car_id])
                for one in together
                if one not in free
            }
            left_kw -= _moved_kw(together, at_once, standing_w)
            return at_once | self._home(free, standing_w, left_kw, least_w)
        most_kw = min(self._zone_kw, self._total_kw)
        whole_kw = _moved_kw(together, wanted, standing_w)
        if whole_kw <= most_kw or left_kw <= 0:
            return stays
        steps = {
            name: _held(stays[name] + int((watts - stays[name]) * left_kw / whole_kw), least_w.get(name, 0))
            for name, watts in wanted.items()
        }
        return steps if _moved_kw(together, steps, standing_w) <= left_kw else stays

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
        goes = self.allowed(points, watts, place_of, now, again.least_w)
        waiting = frozenset(point.car_id for point in points if goes[point.car_id] != point.export_w)
        kept = []
        for point in points:
            name, standing_w = point.car_id, watts.get(point.car_id, 0)
            if name in waiting and goes[name] != standing_w:
                kept.append(_gone_to(goes[name], point, again))
            elif name in waiting and name in present:
                kept.append(held_point(point, present[name], again))
        before = {**watts, **goes}
        self.allowed(kept, before, place_of, now, again.least_w)  # who is let go instead moves, too
        return [point for point in points if point.car_id not in waiting] + kept, waiting


def _moved_kw(points: Sequence[SetPoint], goes: Mapping[str, int], standing_w: Mapping[str, int]) -> float:
    return sum(abs(goes[one.car_id] - standing_w.get(one.car_id, 0)) for one in points) / W_PER_KW


def _yielded(wanted_w: int, standing_w: int) -> int:
    """Return the part of a change that makes room: less of what a car draws, down to nothing."""
    return min(0, max(wanted_w, standing_w))


def _held(watts: int, least_w: int) -> int:
    """Return what a charger can hold of it: nothing, where that is less than its least."""
    return watts if abs(watts) >= least_w else 0


def _gone_to(watts: int, wanted: SetPoint, again: Again) -> SetPoint:
    """Return what a car is told that is on its way."""
    step = replace(
        wanted,
        export_w=watts,
        expires_at=min(wanted.issued_at + again.most, wanted.expires_at),
        opportunity_id=wanted.opportunity_id if watts > 0 else None,
    )
    return step if again.may_go_on(step) else let_go(wanted.car_id, wanted.issued_at)


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
