"""The control loop: measure, split, check, command; each cycle, and at once when something changes.

In a window (a nominated peak, or an order) a zone's cars share the zone's target; elsewhere each follows
its own base plan. Boosted cars are out at once and charge at full power. Every set-point expires by itself,
passes the interlock, and is recorded with what became of it. Shutting down releases every car.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from aggregator.model.fleet import Car, Fleet
from aggregator.model.metering import CarReport, Outcome, Purpose, SetPoint
from aggregator.model.time import HALF_HOUR, floor_half_hour
from aggregator.ports import ChargerLink, Clock, ZoneTarget
from dispatch.fleet_view import CarView, FleetView
from dispatch.fuse import within_fuses
from dispatch.interlock import Interlock, Refusal
from dispatch.plan_run import PlanStep, Prices, charges_from, plan_zone
from dispatch.ramp import RampLimit
from dispatch.unserved import Unserved
from dispatch.zone_split import split_zone

log = structlog.get_logger()

W_PER_KW = 1000.0
LEAST_GUARD_SOC = 0.02
HYSTERESIS_SOC = 0.01
RELEASE_HOLDS = timedelta(seconds=60)
"""Longer than a message takes and clocks differ: a set-point that is over when it arrives is refused."""

OVERLAP = timedelta(minutes=5)
"""Charging runs on for so long past its half-hour, so that a late cycle leaves no gap."""

RELEASE_TIMEOUT_S = 5.0
FALLBACK_STEP = timedelta(minutes=5)
WORKER = "dispatch"
"""The name by which the loop holds a simulation's clock."""

NOTHING_W = 0


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How the loop runs.

    Attributes:
        cycle: Time between cycles, on the domain clock.
        set_point: Most that a set-point of a window holds.
        reporting_interval: How often a charger reports; after two of them in silence a car is stale.
        soc_resolution: Step in which cars report their state of charge.
        zone_ramp_kw_per_minute: Most power moved per minute in a zone. [kW]
        total_ramp_kw_per_minute: Most power moved per minute in all. [kW]
    """

    cycle: timedelta
    set_point: timedelta
    reporting_interval: timedelta
    soc_resolution: float
    zone_ramp_kw_per_minute: float
    total_ramp_kw_per_minute: float


@dataclass(frozen=True, slots=True)
class Sent:
    """A set-point and what became of it."""

    point: SetPoint
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a driver or the desk must be told.

    Attributes:
        at: Domain instant.
        code: Stable word: ``interlock``, ``short_of_target``, ``ramp_held``, ``not_taken``.
        where: Car or zone.
        text: With all figures.
    """

    at: datetime
    code: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """All that a cycle leaves to be stored, with the instant at which it began."""

    at: datetime
    reports: tuple[CarReport, ...]
    sent: tuple[Sent, ...]
    notices: tuple[Notice, ...]


Targets = Callable[[datetime], Awaitable[Sequence[ZoneTarget]]]
Recorder = Callable[[CycleRecord], Awaitable[None]]


class Controller:
    """Runs the loop over one fleet and one link.

    Attributes:
        cycles: How many have begun.
        cycled_at: Domain instant at which the last whole one began; None before the first.
        cycle_s: How long that one took. [wall s]
        unserved: The orders that no car can do anything for.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: ChargerLink,
        clock: Clock,
        targets: Targets,
        prices: Prices,
        record: Recorder,
        settings: LoopSettings,
    ) -> None:
        self._link = link
        self._clock = clock
        self._targets = targets
        self._prices = prices
        self._record = record
        self._settings = settings
        self._stale_after = 2 * settings.reporting_interval
        self._guard_soc = max(LEAST_GUARD_SOC, settings.soc_resolution)
        self.view = FleetView(fleet, self._guard_soc, HYSTERESIS_SOC)
        self.interlock = Interlock(fleet, settings.reporting_interval)
        self._ramp = RampLimit(settings.zone_ramp_kw_per_minute, settings.total_ramp_kw_per_minute)
        self._zone_of = {car.car_id: car.site.zone for car in fleet.cars}
        self._cars = fleet.by_id
        self._boundary = clock.now()
        self._wake = asyncio.Event()
        self._reports: list[CarReport] = []
        self._plan: dict[str, PlanStep] = {}
        self._replan = True
        self._planned_for: datetime | None = None
        self._fallback: dict[str, datetime] = {}
        self._told_short: dict[str, float] = {}
        self.cycles = 0
        self.unserved = Unserved(self._zone_of)
        self.cycled_at: datetime | None = None
        self.cycle_s = 0.0

    def wake(self) -> None:
        """Run a cycle at once: an instruction came, changed or was cancelled."""
        self._wake.set()

    async def listen(self) -> None:
        """Take reports in until cancelled; a change of a car or its driver's will wakes the loop."""
        async for reports in self._link.reports():
            self.interlock.observe(reports)
            self._reports.extend(reports)
            if self.view.observe(reports):
                self._replan = True
                self._wake.set()

    async def run(self) -> None:
        """Run cycles until cancelled, then release every car."""
        try:
            while True:
                now = self._clock.now()
                self._clock.hold(WORKER, now)
                await self.cycle()
                due = min(now + self._settings.cycle, self._boundary)
                self._clock.hold(WORKER, due)
                await self._until(due)
        finally:
            await asyncio.shield(self._release())
            self._clock.hold(WORKER, None)

    async def cycle(self) -> None:
        """Measure, split, check, command, record: once."""
        self._wake.clear()
        now, began_s = self._clock.now(), asyncio.get_running_loop().time()
        self.cycles += 1
        targets = {target.zone: target for target in await self._targets(now)}
        ends = [target.slots[0].end for target in targets.values()]
        self._boundary = min([floor_half_hour(now) + HALF_HOUR, *ends])
        views = [view for view in self.view.all() if view.is_plugged()]
        fresh = [view for view in views if not view.is_stale(now, self._stale_after)]
        first = [view for view in fresh if view.is_boosted() or view.is_urgent(now)]
        willing = [view for view in fresh if view not in first]
        notices: list[Notice] = []
        points = [self._full_power(view, now, notices) for view in first]
        by_zone: dict[str, list[CarView]] = defaultdict(list)
        for view in willing:
            by_zone[self._zone_of[view.car.car_id]].append(view)
        for zone, cars in by_zone.items():
            target = targets.get(zone)
            if target is not None:
                aside = [view for view in first if self._zone_of[view.car.car_id] == zone]
                points += self._window_points(_less(target, aside), cars, now, notices)
        points += self._plan_points(
            {zone: cars for zone, cars in by_zone.items() if zone not in targets}, now, notices
        )
        self.unserved.note(targets.values(), points, self._silent_zones(now), now)
        sent = await self._send(within_fuses(points, self._cars), now, notices)
        await self._set_fallbacks(willing, now)
        reports, self._reports = tuple(self._reports), []
        await self._record(CycleRecord(now, reports, tuple(sent), tuple(notices)))
        self.cycled_at, self.cycle_s = now, asyncio.get_running_loop().time() - began_s

    def _silent_zones(self, now: datetime) -> set[str]:
        """Return the zones with a car not heard of yet, or plugged in and not heard for too long."""
        return {
            self._zone_of[view.car.car_id]
            for view in self.view.all()
            if view.report is None or (view.is_plugged() and view.is_stale(now, self._stale_after))
        }

    # set-points

    def _full_power(self, view: CarView, now: datetime, notices: list[Notice]) -> SetPoint:
        """Return full power for a boosted or urgent car; the charger itself stops when it is full."""
        watts = round(_full_kw(view) * W_PER_KW)
        if not view.is_boosted():
            self._tell_short(view.car.car_id, view.short_kwh(now), now, notices)
        purpose = Purpose.BOOST if view.is_boosted() else Purpose.MUST_CHARGE
        return SetPoint(view.car.car_id, -watts, now, now + HALF_HOUR, purpose)

    def _window_points(
        self, target: ZoneTarget, views: Sequence[CarView], now: datetime, notices: list[Notice]
    ) -> list[SetPoint]:
        result = split_zone(target, views, now, self._guard_soc)
        for car_id, kwh in result.short_of_target_kwh.items():
            self._tell_short(car_id, kwh, now, notices)
        serving = target.opportunity_ids[0]
        same = itertools.takewhile(
            lambda one: one[1] == serving, zip(target.slots, target.opportunity_ids, strict=True)
        )
        expires = min(now + self._settings.set_point, max(slot.end for slot, _ in same))
        points = []
        for car_id, kw in result.export_kw.items():
            purpose = Purpose.MUST_CHARGE if kw < 0 else Purpose.INSTRUCTION if serving else Purpose.PLAN
            watts = _held_watts(kw, self._cars[car_id])
            points.append(SetPoint(car_id, watts, now, expires, purpose, serving if watts > 0 else None))
        return points

    def _plan_points(
        self, zones: dict[str, list[CarView]], now: datetime, notices: list[Notice]
    ) -> list[SetPoint]:
        half_hour = floor_half_hour(now)
        if self._replan or self._planned_for != half_hour:
            self._plan = {}
            for zone, views in zones.items():
                self._plan |= plan_zone(zone, views, now, self._prices, self._guard_soc)
            self._replan, self._planned_for = False, half_hour
        missing = [
            (zone, [view for view in views if view.car.car_id not in self._plan])
            for zone, views in zones.items()
        ]
        for zone, views in missing:
            self._plan |= plan_zone(zone, views, now, self._prices, self._guard_soc)
        points = []
        for view in (view for views in zones.values() for view in views):
            step = self._plan[view.car.car_id]
            self._tell_short(view.car.car_id, step.short_kwh, now, notices)
            watts = _held_watts(step.export_kw, view.car)
            if view.resting and watts > 0:
                watts = NOTHING_W
            ends_at = half_hour + HALF_HOUR
            expires = min(now + self._settings.set_point, ends_at) if watts > 0 else ends_at + OVERLAP
            points.append(SetPoint(view.car.car_id, watts, now, expires, Purpose.PLAN))
        return points

    async def _send(self, points: Sequence[SetPoint], now: datetime, notices: list[Notice]) -> list[Sent]:
        due = [point for point in points if self._is_due(point, now)]
        standing = {
            view.car.car_id: view.standing.export_w
            for view in self.view.all()
            if view.standing is not None and view.standing.expires_at > now
        }
        held = self._ramp.hold(due, standing, self._zone_of, now)
        if held:
            text = f"{len(held)} cars hold: the power moved in a minute is bounded"
            notices.append(Notice(now, "ramp_held", ", ".join(sorted(held)), text))
        due = [point for point in due if point.car_id not in held]
        refusals = self.interlock.check(due)
        notices += [_interlock_notice(refusal, now) for refusal in refusals]
        refused = {refusal.point.car_id: refusal for refusal in refusals}
        passed = [point for point in due if point.car_id not in refused]
        outcomes = await self._link.apply(passed) if passed else ()
        sent = [Sent(point, outcome) for point, outcome in zip(passed, outcomes, strict=True)]
        self.view.sent(one.point for one in sent if one.outcome is Outcome.ACCEPTED)
        notices += self._not_taken(sent, now)
        return sent + [
            Sent(refusal.point, Outcome.INTERLOCKED, f"{refusal.promise}: {refusal.reason}")
            for refusal in refusals
        ]

    def _not_taken(self, sent: Sequence[Sent], now: datetime) -> list[Notice]:
        """Tell which cars did not take theirs; those that left on the way to it are no fault."""
        lost = [
            one.point.car_id
            for one in sent
            if one.outcome is not Outcome.ACCEPTED and self.view.of(one.point.car_id).is_plugged()
        ]
        text = "a set-point was not taken" if len(lost) == 1 else f"{len(lost)} set-points were not taken"
        return [Notice(now, "not_taken", ", ".join(lost), text)] if lost else []

    def _is_due(self, point: SetPoint, now: datetime) -> bool:
        """Whether it changes anything, or the one in force is past half its life."""
        standing = self.view.of(point.car_id).standing
        if standing is None or standing.expires_at <= now or standing.export_w != point.export_w:
            return True
        return now - standing.issued_at >= (standing.expires_at - standing.issued_at) / 2

    async def _set_fallbacks(self, views: Iterable[CarView], now: datetime) -> None:
        changed = {}
        for view in views:
            charge_from = charges_from(view, now)
            known = self._fallback.get(view.car.car_id)
            if known is None or abs(known - charge_from) >= FALLBACK_STEP:
                changed[view.car.car_id] = charge_from
        if changed:
            await self._link.set_fallback(changed)
            self._fallback |= changed

    def _tell_short(self, car_id: str, kwh: float, now: datetime, notices: list[Notice]) -> None:
        """Tell driver and desk once, and again when it grows by a kWh."""
        told = self._told_short.get(car_id, 0.0)
        if kwh <= 0.01:  # noqa: PLR2004 - ten watt-hours are nothing to a driver
            self._told_short.pop(car_id, None)
        elif kwh >= told + 1.0 or told == 0.0:
            self._told_short[car_id] = kwh
            text = f"will miss its target by {kwh:.2f} kWh although it charges at full power"
            notices.append(Notice(now, "short_of_target", car_id, text))

    async def _until(self, due: datetime) -> None:
        while (seconds := self._clock.wall_seconds_until(due)) > 0 and not self._wake.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)

    async def _release(self) -> None:
        """Let go of every car: each falls back to its charger's own safe default."""
        now = self._clock.now()
        points = [
            SetPoint(view.car.car_id, NOTHING_W, now, now + RELEASE_HOLDS, Purpose.RELEASE)
            for view in self.view.all()
            if view.standing is not None and view.standing.expires_at > now
        ]
        if not points:
            return
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                outcomes = await self._link.apply(points)
        except TimeoutError:
            log.warning("release_timed_out", cars=len(points))
            outcomes = [Outcome.UNREACHABLE] * len(points)
        sent = [Sent(point, outcome) for point, outcome in zip(points, outcomes, strict=True)]
        reports, self._reports = tuple(self._reports), []
        await self._record(CycleRecord(now, reports, tuple(sent), ()))


def _less(target: ZoneTarget, aside: Sequence[CarView]) -> ZoneTarget:
    """Ask the others for what cars at full power draw as well: the target is the zone's net export."""
    drawn_kw = sum(_full_kw(view) for view in aside)
    return replace(target, export_kw=tuple(kw + drawn_kw for kw in target.export_kw))


def _full_kw(view: CarView) -> float:
    return min(view.car.charger.charge_kw, view.car.site.import_limit_kw)


def _interlock_notice(refusal: Refusal, now: datetime) -> Notice:
    text = f"{refusal.promise}: {refusal.reason}; refused {refusal.point}"
    return Notice(now, "interlock", refusal.point.car_id, text)


def _held_watts(kw: float, car: Car) -> int:
    """Return whole watts, towards nothing: a set-point never asks for more than was split.

    Charging less than its charger can hold would be no charging at all, and its driver's loss: such a car
    charges a little faster and is done a little sooner.
    """
    least_kw = min(car.charger.min_kw, car.charger.charge_kw) if kw < 0 else 0.0
    return int(-max(-kw, least_kw) * W_PER_KW) if kw < 0 else int(kw * W_PER_KW)
