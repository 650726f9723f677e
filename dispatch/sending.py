"""Sends what cars are told: held by the bound on power moved, checked by the interlock.

What became of it is returned; what did not get through is shared out at once: the loop is woken.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from aggregator.model.fleet import Fleet
from aggregator.model.metering import Outcome, SetPoint
from aggregator.ports import ChargerLink
from dispatch.fleet_view import FleetView
from dispatch.following import Following
from dispatch.interlock import Interlock
from dispatch.notices import INTERLOCK, NOT_TAKEN, RAMP_HELD, SEP, Holds, News, interlock_notice
from dispatch.ramp import FOLLOWS, Again, RampLimit, let_go
from dispatch.records import LoopSettings, Notice, Sent
from dispatch.refused import Refused

log = structlog.get_logger()

RELEASE_TIMEOUT_S = 5.0
SAME_W = 2
"""By so little more a set-point is not told: what is split is rounded, and differs by as much each cycle."""

LATE = timedelta(seconds=20)
"""A cycle and its messages may be so late, and what stands has not run out."""

SHORTEST = timedelta(seconds=5)
"""A set-point that ends sooner is not sent: it may be over when it arrives, and would be refused."""


class Sending:
    """What stands between the loop's wishes and the link.

    Args:
        fleet: The cars.
        link: To their chargers.
        settings: The loop's.
        view: It is told what chargers took.
        interlock: Sees every set-point.
        following: It is told what chargers took, and which did not take theirs.
        wake: Set where others must step in at once.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: ChargerLink,
        settings: LoopSettings,
        view: FleetView,
        interlock: Interlock,
        following: Following,
        wake: asyncio.Event,
    ) -> None:
        self._link, self._settings, self._wake = link, settings, wake
        self._view, self._interlock, self._following = view, interlock, following
        self._refused = Refused(view, interlock)
        self._least_w = {car.car_id: car.charger.min_w for car in fleet.cars if car.charger.min_w}
        self._ramp = RampLimit(settings.zone_ramp_kw_per_minute, settings.total_ramp_kw_per_minute)
        self._place_of = {car.car_id: (car.site.zone, car.site.site_id) for car in fleet.cars}
        self._news, self._holds = News(), Holds()
        self._left: Mapping[str, SetPoint] = {}

    def recall(self, points: Iterable[SetPoint], told: Mapping[str, Sequence[Notice]]) -> None:
        """Take in what was in force before this began, and what was told people, by its code.

        What moves from there moves within the bound.
        """
        self._left = {point.car_id: point for point in points}
        self._news.recall((*told[INTERLOCK], *told[NOT_TAKEN]))
        self._holds.recall(told[RAMP_HELD], self._place_of)

    def is_over(self, code: str, where: str) -> bool:
        """Whether cars that did not take a set-point, or might not have one, were all told since, or left."""
        return self._news.is_over(code, [name for name in where.split(SEP) if not self._has_left(name)])

    def is_held(self, where: str, now: datetime) -> bool:
        """Whether cars wait, or did until just now, for the bound on power moved, in some cars' zones."""
        return not self._holds.are_over(where.split(SEP), self._place_of, now)

    def allow(self, now: datetime) -> None:
        """Count again on cars whose discharge the interlock refused and would let pass now."""
        self._refused.allow(now)

    async def send(self, points: Sequence[SetPoint], now: datetime) -> tuple[list[Sent], list[Notice]]:
        """Send what is due of these; return what became of it, and what the desk must be told.

        Args:
            points: Wanted, in order of precedence.
            now: Domain instant.
        """
        due, notices = self._within_bound([point for point in points if self._is_due(point, now)], now)
        refusals = self._interlock.check(due)
        refused = {refusal.point.car_id: refusal for refusal in refusals}
        stopped = self._news.of(INTERLOCK, refused, due)
        notices += [interlock_notice(refused[name], now) for name in stopped]
        discharges = {car_id for car_id, refusal in refused.items() if refusal.point.export_w > 0}
        self._refused.note(refused[car_id] for car_id in discharges)
        self._serve_without([name for name in stopped if name not in discharges])
        if discharges:
            self._wake.set()
        passed = [point for point in due if point.car_id not in refused]
        outcomes = await self._link.apply(passed) if passed else ()
        sent = [Sent(point, outcome) for point, outcome in zip(passed, outcomes, strict=True)]
        taken = [one.point for one in sent if one.outcome is Outcome.ACCEPTED]
        self._view.sent(taken)
        self._following.told(taken)
        notices += self._not_taken(sent, now)
        return sent + [
            Sent(refusal.point, Outcome.INTERLOCKED, f"{refusal.promise}: {refusal.reason}")
            for refusal in refusals
        ], notices

    async def release(self, now: datetime) -> tuple[Sent, ...]:
        """Let go of every car, for a few seconds at most: each falls back to its charger's safe default."""
        points = [let_go(point.car_id, now) for point in self._view.standing(now)]
        if not points:
            return ()
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                outcomes = await self._link.apply(points)
        except TimeoutError:
            log.warning("release_timed_out", cars=len(points))
            outcomes = [Outcome.UNREACHABLE] * len(points)
        return tuple(Sent(point, outcome) for point, outcome in zip(points, outcomes, strict=True))

    def _has_left(self, car_id: str) -> bool:
        report = self._view.of(car_id).report if car_id in self._place_of else None
        return report is not None and not report.plugged

    def _within_bound(self, due: Sequence[SetPoint], now: datetime) -> tuple[list[SetPoint], list[Notice]]:
        """Return what is sent: to cars that must wait what they do now, where it is to be told again."""
        present = {name: point for name, point in self._left.items() if point.expires_at > now - FOLLOWS}
        present |= {point.car_id: point for point in self._view.standing(now - FOLLOWS)}
        again = Again(self._settings.set_point, self._may_go_on, self._least_w)
        told, waiting = self._ramp.within(due, present, self._place_of, now, again)
        notices = []
        if new := self._holds.of(waiting, self._place_of, now):
            text = f"{len(waiting)} cars hold: the power moved in a minute is bounded"
            notices.append(Notice(now, RAMP_HELD, SEP.join(new), text))
        return [point for point in told if self._is_due(point, now)], notices

    def _may_go_on(self, point: SetPoint) -> bool:
        """Whether a car may go on as it does: the interlock would refuse no more than what goes too low."""
        resting = point.export_w > 0 and self._view.of(point.car_id).resting
        return not resting and self._interlock.allows(point)

    def _not_taken(self, sent: Sequence[Sent], now: datetime) -> list[Notice]:
        """Tell which cars did not take theirs, and share their part out at once.

        Those that left on the way to it are no fault.
        """
        lost = [
            one.point.car_id
            for one in sent
            if one.outcome is not Outcome.ACCEPTED and self._view.of(one.point.car_id).is_plugged()
        ]
        new = self._news.of(NOT_TAKEN, lost, [one.point for one in sent])
        if not new:
            return []
        self._serve_without(new)
        text = "a set-point was not taken" if len(new) == 1 else f"{len(new)} set-points were not taken"
        return [Notice(now, NOT_TAKEN, SEP.join(new), text)]

    def _serve_without(self, cars: Collection[str]) -> None:
        """Share the part of cars that were not told theirs out among the others, at once."""
        self._following.not_taken(cars)
        if cars:
            self._wake.set()

    def _is_due(self, point: SetPoint, now: datetime) -> bool:
        """Whether it changes anything, or what is in force ends sooner and is half over, or nearly."""
        if point.expires_at - now < SHORTEST:
            return False
        standing = self._view.of(point.car_id).standing
        if standing is None or standing.expires_at <= now or not _as_good_as(standing, point):
            return True
        if standing.expires_at >= point.expires_at:
            return False
        is_old = now - standing.issued_at >= (standing.expires_at - standing.issued_at) / 2
        return is_old or standing.expires_at - now < self._settings.cycle + LATE


def _as_good_as(standing: SetPoint, point: SetPoint) -> bool:
    """Whether what stands is what is wanted, or a trifle less of it, for the same order."""
    if point.opportunity_id != standing.opportunity_id:
        return False
    more_w = abs(point.export_w) - abs(standing.export_w)
    return point.export_w * standing.export_w >= 0 and 0 <= more_w <= SAME_W
