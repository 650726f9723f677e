"""Cars of a home hand its room over one after the other.

A charger may follow a set-point half a minute late, and another of its home at once: told in the same cycle,
both would be at the first one's power (P4). So a car is counted with the most it was told in the last half
minute, and one that is to move more gets what the home's room leaves beside all that; the rest of it follows
as soon as the others must have moved.

Nor does a charger always follow: it may be deaf, on its own default as nothing was told it yet, or at its
driver's button. What it reports beyond all that it had been told by then takes its part of the room until it
reports less, and the others of its home are cut to the rest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.metering import CarReport, Outcome, SetPoint
from dispatch.home_rooms import Room
from dispatch.records import Sent

W_PER_KW = 1000.0
LATE = timedelta(seconds=30)
"""How long a charger may take to follow."""

BEYOND_W, BEYOND = 300, 0.1
"""So much more than it was told may a charger do, and follows all the same: in W, and as a part of that."""


class HandingOver:
    """Knows what cars of shared homes were told lately.

    Args:
        fleet: The cars and their homes.
        stale_after: A report counts until it is so old.
    """

    def __init__(self, fleet: Fleet, stale_after: timedelta) -> None:
        self._stale_after = stale_after
        homes: dict[str, list[str]] = defaultdict(list)
        for car in fleet.cars:
            homes[car.site.site_id].append(car.car_id)
        self._homes = {site_id: cars for site_id, cars in homes.items() if len(cars) > 1}
        self._home_of = {car_id: site_id for site_id, cars in self._homes.items() for car_id in cars}
        self._least_w = {car.car_id: car.charger.min_w for car in fleet.cars}
        self._lately: dict[str, list[Sent]] = defaultdict(list)
        self._beyond: dict[str, tuple[datetime, int]] = {}
        self._over_at: list[datetime] = []

    def observe(self, reports: Iterable[CarReport]) -> None:
        """Take reports in: of cars that do more than they were told, what they do."""
        for report in reports:
            name, at, sign = report.car_id, report.measured_at, 1 if report.export_w > 0 else -1
            known_at, _ = self._beyond.get(name, (at, 0))
            if name not in self._home_of or known_at > at:
                continue
            told_w = self._most_w(name, sign, at)
            goes_beyond = sign * report.export_w > (1 + BEYOND) * told_w + BEYOND_W
            self._beyond[name] = at, report.export_w if report.plugged and goes_beyond else 0

    def told(self, sent: Iterable[Sent], now: datetime) -> None:
        """Note what left for chargers: one that did not say that it took it may be at it all the same."""
        for one in sent:
            name = one.point.car_id
            if name in self._home_of:
                oldest = now - self._stale_after  # of what a late report may still be judged by
                still = [before for before, until in self._counted(name) if until > oldest]
                self._lately[name] = [*still, one]

    def due_at(self) -> list[datetime]:
        """Return when what had to wait in the last cycle has to wait no longer."""
        return self._over_at

    def held(self, points: Sequence[SetPoint], rooms: Mapping[str, Room], now: datetime) -> list[SetPoint]:
        """Return set-points of which none takes room that another may still be using.

        Args:
            points: What cars are to be told, at most one each.
            rooms: Of their homes, by id.
            now: Domain instant.
        """
        self._over_at = []
        by_home: dict[str, list[SetPoint]] = defaultdict(list)
        for point in points:
            if point.car_id in self._home_of:
                by_home[self._home_of[point.car_id]].append(point)
        changed: dict[str, SetPoint] = {}
        for site_id, together in by_home.items():
            room = rooms[site_id]
            for sign, room_kw in ((1, room.export_kw), (-1, room.import_kw)):
                changed |= self._held(site_id, sign, together, room_kw * W_PER_KW, now)
        return [changed.get(point.car_id, point) for point in points]

    def _held(
        self, site_id: str, sign: int, points: Sequence[SetPoint], room_w: float, now: datetime
    ) -> dict[str, SetPoint]:
        cars = self._homes[site_id]
        beyond_w = {car_id: self._beyond_w(car_id, sign, now) for car_id in cars}
        held = self._beside(beyond_w, sign, points, room_w)
        points = [held.get(one.car_id, one) for one in points]
        present_w = {car_id: max(beyond_w[car_id], self._most_w(car_id, sign, now)) for car_id in cars}
        rises_w = {one.car_id: max(0, sign * one.export_w - present_w[one.car_id]) for one in points}
        free_w = max(0.0, room_w - sum(present_w.values()))
        asked_w = sum(rises_w.values())
        if asked_w <= free_w:
            return held
        earlier = [at for car_id in self._homes[site_id] for at in self._ends(car_id, now)]
        self._over_at += [now + LATE, *earlier]
        for point in points:
            if rise_w := rises_w[point.car_id]:
                watts = present_w[point.car_id] + int(rise_w * free_w / asked_w)
                held[point.car_id] = replace(point, export_w=sign * self._holds(point.car_id, watts))
        return held

    def _beside(
        self, beyond_w: Mapping[str, int], sign: int, points: Sequence[SetPoint], room_w: float
    ) -> dict[str, SetPoint]:
        """Return the set-points that are cut as others of their home do more than they are told."""
        asked_w = {one.car_id: max(0, sign * one.export_w) for one in points}
        taken_w = {name: max(watts, asked_w.get(name, 0)) for name, watts in beyond_w.items() if watts}
        if not taken_w:
            return {}
        left_w = room_w - sum(taken_w.values())
        total_w = sum(watts for name, watts in asked_w.items() if name not in taken_w)
        share = min(1.0, max(0.0, left_w) / total_w) if total_w else 1.0
        may_w = {
            name: max(0.0, left_w + taken_w[name]) if name in taken_w else watts * share
            for name, watts in asked_w.items()
        }
        return {
            one.car_id: replace(one, export_w=sign * self._holds(one.car_id, int(may_w[one.car_id])))
            for one in points
            if asked_w[one.car_id] > may_w[one.car_id]
        }

    def _holds(self, car_id: str, watts: int) -> int:
        return watts if watts >= self._least_w[car_id] else 0

    def _beyond_w(self, car_id: str, sign: int, now: datetime) -> int:
        """Return what a car does in a direction that was not told so, by its last report. [W, at least 0]"""
        at, export_w = self._beyond.get(car_id, (now, 0))
        return max(0, sign * export_w) if now - at <= self._stale_after else 0

    def _most_w(self, car_id: str, sign: int, now: datetime) -> int:
        """Return the most that a car may be moving in a direction, by what it was told. [W, at least 0]"""
        return max([0, *(sign * one.point.export_w for one, until in self._counted(car_id) if until > now)])

    def _ends(self, car_id: str, now: datetime) -> list[datetime]:
        """Return when what a car was told before no longer counts."""
        return [until for _, until in self._counted(car_id)[:-1] if until > now]

    def _counted(self, car_id: str) -> list[tuple[Sent, datetime]]:
        """Return what a car was told lately, each with when it must have ended."""
        end, counted = None, []
        for one in reversed(self._lately[car_id]):
            counted.append((one, (end or one.point.expires_at) + LATE))
            end = one.point.issued_at if one.outcome is Outcome.ACCEPTED else end
        return counted[::-1]
