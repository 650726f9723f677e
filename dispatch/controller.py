"""The control loop: measure, split, check, command; each cycle, and at once when something changes.

In a window (a nominated peak, or an order) a zone's cars share the zone's target; elsewhere each follows
its own base plan. Boosted cars are out at once and charge at full power. Every set-point expires by itself,
passes the interlock, and is recorded with what became of it. Shutting down releases every car.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from aggregator.model.drivers import ChargerWord, Words
from aggregator.model.fleet import Fleet
from aggregator.model.metering import CarReport, Outcome, Purpose, SetPoint
from aggregator.model.time import HALF_HOUR, floor_half_hour
from aggregator.ports import ChargerLink, Clock, Orders, ZoneTarget
from dispatch.at_full_power import AtFullPower
from dispatch.fleet_view import CarView, FleetView
from dispatch.following import Following
from dispatch.handing_over import HandingOver
from dispatch.haste import haste
from dispatch.home_rooms import HomeRooms, Room, within_rooms
from dispatch.interlock import NOBODY, Interlock
from dispatch.left_alone import LeftAlone
from dispatch.notices import (
    NOT_FOLLOWING,
    ORDER_SHORT,
    PEAK_EXCEEDED,
    SHORT_OF_TARGET,
    HighPeaks,
    ShortOrders,
    capacity_notice,
    fault_notice,
)
from dispatch.plan_run import Prices
from dispatch.planned_cars import PlannedCars, Together
from dispatch.ramp import let_go
from dispatch.records import CycleRecord, LoopSettings, Notice, Sent
from dispatch.sending import RELEASE_TIMEOUT_S, Sending
from dispatch.shortfalls import Shortfalls
from dispatch.unserved import Unserved
from dispatch.window_run import Limits, less, window_step
from dispatch.zone_meter import ZoneMeters
from dispatch.zone_split import is_to_draw

log = structlog.get_logger()

W_PER_KW = 1000.0
LEAST_GUARD_SOC = 0.02
HYSTERESIS_SOC = 0.01
WORKER = "dispatch"
"""The name by which the loop holds a simulation's clock."""

SOME_KWH = 0.5
"""What a car takes and an idle charger does not. [kWh]"""
AFTER = timedelta(seconds=1)

Recorder = Callable[[CycleRecord], Awaitable[None]]
Said = Callable[[], Mapping[str, Words]]
"""The latest words of drivers, by car."""


class Controller:
    """Runs the loop over one fleet and one link.

    Attributes:
        cycles: How many have begun.
        cycled_at: Domain instant at which the last whole one began; None before the first.
        cycle_s: How long that one took. [wall s]
        unserved: The orders that no car can do anything for.
        following: Which cars do what they are told.
        orders: What is to be followed.
        guard_soc: Kept above floors and targets, as a fraction.
        shortfalls: By how much drivers' targets will be missed.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: ChargerLink,
        clock: Clock,
        orders: Orders,
        prices: Prices,
        record: Recorder,
        settings: LoopSettings,
        said: Said = dict,
        charger_words: Mapping[str, ChargerWord] = NOBODY,
    ) -> None:
        self._link, self._clock = link, clock
        self.orders = orders
        self._record = record
        self._settings = settings
        self._stale_after = 2 * settings.reporting_interval
        self.guard_soc = max(LEAST_GUARD_SOC, settings.soc_resolution)
        self._said = said
        self.view = FleetView(fleet, self.guard_soc, HYSTERESIS_SOC, settings.soc_resolution, charger_words)
        self.interlock = Interlock(fleet, settings.reporting_interval, charger_words)
        self._zone_of = {car.car_id: car.site.zone for car in fleet.cars}
        self._cars = fleet.by_id
        self._alone = LeftAlone(fleet, settings.set_point)
        self._handing_over = HandingOver(fleet, self._stale_after)
        self._rooms = HomeRooms(fleet, self._stale_after, settings.set_point)
        self._boundary, self._wake = clock.now(), asyncio.Event()
        self._reports: list[CarReport] = []
        self._planned = PlannedCars(fleet, prices, self.guard_soc, settings.set_point)
        self.shortfalls = Shortfalls(settings.soc_resolution)
        self.cycles, self.cycle_s = 0, 0.0
        self._short_orders, self._high_peaks = ShortOrders(), HighPeaks()
        self.following = Following(self._cars)
        self._at_full_power = AtFullPower(fleet, self.following, self._alone)
        self._sending = Sending(fleet, link, settings, self.view, self.interlock, self.following, self._wake)
        self._meters = ZoneMeters(self._cars)
        self.unserved = Unserved(self._zone_of)
        self.cycled_at: datetime | None = None

    def wake(self) -> None:
        """Run a cycle at once: an instruction came, changed or was cancelled, or a driver said something."""
        self._wake.set()

    def recall(
        self,
        reports: Sequence[CarReport],
        points: Iterable[SetPoint] = (),
        told: Iterable[Notice] = (),
    ) -> None:
        """Take in what was told before this began.

        Args:
            reports: They say what cars store, and nothing of what they do.
            points: In force: what moves from there moves within the bound, and is told anew all the same.
            told: What people were told and goes on, as far as anybody knows: it is not told again.
        """
        self.interlock.observe(reports)
        self.view.recall(reports)
        left = list(points)
        by_code: dict[str, list[Notice]] = defaultdict(list)
        for one in told:
            by_code[one.code].append(one)
        self._sending.recall(left, by_code)
        self._short_orders.recall(by_code[ORDER_SHORT])
        self._high_peaks.recall(by_code[PEAK_EXCEEDED])
        self.shortfalls.recall(by_code[SHORT_OF_TARGET])
        self.following.recall({one.where: one.amount for one in by_code[NOT_FOLLOWING]})
        self._handing_over.told((Sent(point, Outcome.ACCEPTED) for point in left), self._clock.now())

    def is_told(self, code: str, where: str) -> bool:
        """Whether cars that did not take a set-point, or might not have one, were all told theirs since."""
        return self._sending.is_over(code, where)

    def is_held(self, where: str, now: datetime) -> bool:
        """Whether cars wait, or did until just now, for the bound on power moved, in some cars' zones."""
        return self._sending.is_held(where, now)

    def missing_share(self, opportunity_id: str) -> float | None:
        """Return what is missing of a running order, by the last cycle; None where it has not been split."""
        return self._short_orders.share.get(opportunity_id)

    def registered_kwh(self, car_id: str) -> float | None:
        """Return a car's capacity by the registry; None where it knows of no such car."""
        return self._cars[car_id].capacity_kwh if car_id in self._cars else None

    def hears_of(self, car_id: str, now: datetime) -> bool:
        """Whether a car of the fleet has been heard of, and not too long ago where it is plugged in."""
        view = self.view.of(car_id) if car_id in self._cars else None
        if view is None or view.report is None:
            return False
        return not (view.is_plugged() and view.is_stale(now, self._stale_after))

    async def listen(self) -> None:
        """Take reports in until cancelled; a change of a car or its driver's will wakes the loop."""
        async for reports in self._link.reports():
            self.observe(reports)

    def observe(self, reports: Sequence[CarReport]) -> None:
        """Take a batch of reports in."""
        self.interlock.observe(reports)
        self.following.observe(reports)
        self._meters.observe(reports)
        self._handing_over.observe(reports)
        self._reports.extend(reports)
        self.shortfalls.left(report.car_id for report in reports if not report.plugged)
        measured, now = self._rooms.observe(reports), self._clock.now()
        if changed := self.view.observe(reports):
            self._planned.anew(changed)
            self.shortfalls.forget(changed)
            self._wake.set()
        if measured and self._rooms.exceeded(measured, self.view.standing(now), now):
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
        self._heed(now)
        self._sending.allow(now)
        stopped = self.orders.stopped()
        targets = {one.zone: one for one in self.orders.targets(now) if one.zone not in stopped}
        ends = [target.slots[0].end for target in targets.values()]
        views = [view for view in self.view.all() if view.is_plugged()]
        fresh, silent = _parted(views, lambda view: not view.is_stale(now, self._stale_after))
        stale_at = [*self._stale_at(fresh, now), *self._rooms.stale_at(now)]
        self._boundary = min([floor_half_hour(now) + HALF_HOUR, *ends, *stale_at])
        rooms = {view.car.site.site_id: self._rooms.room(view.car.site, now) for view in fresh}
        self._alone.share(rooms)
        first, free = _parted(fresh, lambda view: self._at_full_power.comes_first(view, stopped, now))
        boosted, urgent = _parted(first, CarView.is_boosted)  # both take their part of a home's fuse
        notices = [fault_notice(fault, now) for fault in self.following.new_faults()]
        notices += [capacity_notice(car, self._cars[car.car_id], now) for car in self.view.new_capacities()]
        notices += [one for view in urgent for one in self._missed(view.car.car_id, view.short_kwh(now), now)]
        points = self._at_full_power.points(first, now)
        by_zone: dict[str, list[CarView]] = defaultdict(list)
        for view in free:
            by_zone[self._zone_of[view.car.car_id]].append(view)
        points += self._let_go(by_zone, stopped, now)
        points += self._stop_giving(by_zone, now)
        self._meters.keep(targets.keys())
        for zone, target in targets.items():
            here = [view for view in fresh if self._zone_of[view.car.car_id] == zone]
            aside = [view for view in first if self._zone_of[view.car.car_id] == zone]
            owed = self._owed(target, here, aside, by_zone[zone], now)
            views = by_zone.pop(zone, [])
            points += await self._window_points(owed, views, aside, rooms, now, notices)
        boosted_kw, rebound = self._at_full_power.drawn_kw(boosted), self.orders.rebound
        points += await self._planned.points(by_zone, urgent, rooms, boosted, boosted_kw, rebound, now)
        notices += self._high_peaks.note(self._planned.refills, now)
        planned = [view.car.car_id for views in by_zone.values() for view in views]
        notices += [one for car in planned for one in self._missed(car, self._planned.short_kwh(car), now)]
        self.unserved.note(targets.values(), points, self._silent_zones(now), now)
        points = self._within_homes(points, silent, now)
        defaults = self._alone.changed(fresh, [*self.view.standing(now), *points], now)
        if defaults:
            await self._link.set_fallback(defaults)
            points = self._within_homes(points, silent, now)  # houses are heard meanwhile
        sent, told_of_them = await self._sending.send(points, now)
        self._handing_over.told((one for one in sent if one.outcome is not Outcome.INTERLOCKED), now)
        reports, self._reports = tuple(self._reports), []
        await self._record(CycleRecord(now, reports, tuple(sent), (*notices, *told_of_them)))
        self.shortfalls.finish()
        self.cycled_at, self.cycle_s = now, asyncio.get_running_loop().time() - began_s

    def _within_homes(
        self, points: Sequence[SetPoint], silent: Sequence[CarView], now: datetime
    ) -> list[SetPoint]:
        """Return the set-points that all homes have room for, whatever their chargers still do.

        As is known by now: while cars were planned some may have left, or been boosted (the next cycle comes
        at once), and houses have drawn more.
        """
        points = [point for point in points if self.view.of(point.car_id).may_be_told(point)]
        homes = {(site := self._cars[point.car_id].site).site_id: site for point in points}
        rooms = {name: self._rooms.room(site, now) for name, site in homes.items()}
        told = {point.car_id for point in points}
        standing = [point for point in self.view.standing(now) if point.car_id not in told]
        standing += self._alone.reserved(silent, now)
        pressing = [point.car_id for point in points if point.purpose is Purpose.MUST_CHARGE]
        hastes = {car_id: haste(self.view.of(car_id), now) for car_id in pressing}
        fitting = within_rooms(points, standing, self._cars, rooms, hastes)
        fitting = self._handing_over.held(fitting, rooms, now)
        self._boundary = min([self._boundary, *self._handing_over.due_at()])
        return self._alone.shortened(fitting, now)

    def _heed(self, now: datetime) -> None:
        """Take what drivers said since: who said something new is planned for, and told of, anew."""
        words = self._said()
        self.interlock.hear(words)
        changed = self.view.heed(words, now)
        self._planned.anew(changed)
        self.shortfalls.begin(changed)

    def _silent_zones(self, now: datetime) -> set[str]:
        """Return the zones with a car not heard of yet, or plugged in and not heard for too long."""
        return {zone for car_id, zone in self._zone_of.items() if not self.hears_of(car_id, now)}

    # set-points

    def _missed(self, car_id: str, kwh: float, now: datetime) -> list[Notice]:
        """Tell by how much a car will miss its target, and what its meter shows where it does not follow.

        One that tells no charge is charged as if it had come empty, but nobody knows that it did; if it has
        taken some and then no more, it is full.
        """
        follows, view = self.following.follows(car_id), self.view.of(car_id)
        if not view.tells_charge and (follows or view.taken_kwh > SOME_KWH):
            return []
        shows_kw = None if follows else self.following.measured_kw(car_id)
        return self.shortfalls.note(self._cars[car_id], kwh, shows_kw, now)

    def _owed(
        self,
        target: ZoneTarget,
        here: Sequence[CarView],
        aside: Sequence[CarView],
        free: Sequence[CarView],
        now: datetime,
    ) -> ZoneTarget:
        """Return what a zone's free cars have to do, given what its others draw and what was off before."""
        drawn_kw = self._at_full_power.drawn_kw(aside).get(target.zone, 0.0)
        made_up_kw = self._meters.made_up_kw(target, now, self.following.moving_kw(here, now))
        now_kw = target.export_kw[0] + made_up_kw - self.following.undrawn_kw(free, now)
        return less(replace(target, export_kw=(now_kw, *target.export_kw[1:])), drawn_kw)

    async def _window_points(
        self,
        target: ZoneTarget,
        views: Sequence[CarView],
        aside: Sequence[CarView],
        rooms: Mapping[str, Room],
        now: datetime,
        notices: list[Notice],
    ) -> Sequence[SetPoint]:
        meant_kw: Mapping[str, float] = {}
        if is_to_draw(target):
            boosted = [view for view in aside if view.is_boosted()]
            meant_kw = await self._planned.meant_kw(target.zone, Together(views, rooms, boosted), now)
        follows, others = _parted(views, lambda view: self.following.follows(view.car.car_id))
        others_kw = sum(self.following.measured_kw(view.car.car_id) for view in others)
        limits = Limits(rooms, self.guard_soc, self._settings.set_point, meant_kw)
        # a search with least powers may take seconds; drivers, platforms and reports are heard meanwhile
        step = await asyncio.to_thread(window_step, target, follows, others, others_kw, now, limits)
        notices += self._short_orders.note(target, step.missing_kwh, now)
        for car_id, kwh in step.short_of_target_kwh.items():
            notices += self._missed(car_id, kwh, now)
        return step.points

    def _let_go(
        self, by_zone: dict[str, list[CarView]], stopped: Collection[str], now: datetime
    ) -> list[SetPoint]:
        """Take the cars of stopped zones out, and release those that still do as they were told."""
        moving = [view for zone in stopped for view in by_zone.pop(zone, []) if view.moving_kw(now)]
        return [let_go(view.car.car_id, now) for view in moving]

    def _stop_giving(self, by_zone: dict[str, list[CarView]], now: datetime) -> list[SetPoint]:
        """Stop the cars whose drivers have just forbidden what they do; the next cycle plans for them.

        Letting go is not held by the bound on power moved, as a plan of 0 W would be.
        """
        stopping: list[CarView] = []
        for zone, views in by_zone.items():
            stops, by_zone[zone] = _parted(views, lambda view: view.must_stop(now))
            stopping += stops
        if stopping:
            self._wake.set()
        return [let_go(view.car.car_id, now) for view in stopping]

    def _stale_at(self, fresh: Iterable[CarView], now: datetime) -> list[datetime]:
        """Return when cars that give energy will be stale, so that others step in at once."""
        return [
            view.report.measured_at + self._stale_after + AFTER
            for view in fresh
            if view.report is not None and view.moving_kw(now) > 0
        ]

    async def _until(self, due: datetime) -> None:
        while (seconds := self._clock.wall_seconds_until(due)) > 0 and not self._wake.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)

    async def _release(self) -> None:
        """Let go of every car, and record it, for a few seconds at most."""
        now = self._clock.now()
        sent = await self._sending.release(now)
        if not sent:
            return
        reports, self._reports = tuple(self._reports), []
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self._record(CycleRecord(now, reports, sent, ()))
        except TimeoutError:
            log.warning("release_not_recorded", cars=len(sent))


def _parted(
    views: Iterable[CarView], holds: Callable[[CarView], bool]
) -> tuple[list[CarView], list[CarView]]:
    """Return the cars of which something holds, and the others."""
    both: tuple[list[CarView], list[CarView]] = [], []
    for view in views:
        both[not holds(view)].append(view)
    return both
