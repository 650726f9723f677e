"""What happens now as data: zones, cars, alarms and stops, from the loop, and the store while it answers.

Target and nomination are what the loop follows at this instant; metered is what the plugged cars that have
been heard of lately say they move (P12: a silent one counts as nothing). What settlement calls delivered is
what lies beyond the nomination, so that is told beside it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import copysign

from aggregator.desk import how_ended
from aggregator.gateway import Gateway
from aggregator.model.market import Nomination, mean_kw
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HALF_HOUR, Interval, floor_half_hour
from aggregator.store import Alarm, Halt
from aggregator.web.ahead import Ahead, ahead_of
from dispatch.controller import Controller
from dispatch.fleet_view import IDLE_W, CarView
from dispatch.notices import SHORT

W_PER_KW = 1000.0
LONGEST_CHART = timedelta(hours=3)
"""As far back as charts of what happens now go at most."""

STATES = ("giving", "charging", "idle", "not following", "silent", "away")
"""What a car is counted as, the first that holds from the right."""


@dataclass(frozen=True, slots=True)
class AwardedBid:
    """An awarded bid of a zone: its order may run, be to come, or be over before its time, how and when."""

    bid: str
    product: str
    window: Interval
    ended: str
    ended_at: datetime | None
    ahead: tuple[Ahead, ...] = ()


@dataclass(frozen=True, slots=True)
class ZoneNow:
    """One zone. [kW, export positive]

    Attributes:
        zone: Which.
        target_kw: What it must export now; None where nothing is followed, or it is stopped.
        nominated_kw: What was nominated for the running half-hour; None where nothing was.
        metered_kw: What its cars give, less what they draw.
        serving: The bid whose order is followed; None where only the nomination is, or nothing.
        until: When what is followed ends.
        stopped: Whether somebody stopped it.
        cars: Plugged in and heard of.
        bids: Its awarded bids whose window is not over, also those taken back in it, the next first.
        settled_in: Whether the level that is ordered has held for two reports of the chargers or longer.
        shaded: The windows of bids that were ever awarded, as far as charts show the time.
    """

    zone: str
    target_kw: float | None
    nominated_kw: float | None
    metered_kw: float
    serving: str | None
    until: datetime | None
    stopped: bool
    cars: int
    bids: tuple[AwardedBid, ...]
    settled_in: bool
    shaded: tuple[Interval, ...]

    @property
    def ordered_kw(self) -> float | None:
        """What the order adds to the nomination; None where none is followed."""
        if self.serving is None or self.target_kw is None:
            return None
        return self.target_kw - (self.nominated_kw or 0.0)

    @property
    def beyond_kw(self) -> float | None:
        """What is metered beyond the nomination, as settlement counts; None where no order is followed."""
        return None if self.ordered_kw is None else self.metered_kw - (self.nominated_kw or 0.0)

    @property
    def missing_kw(self) -> float | None:
        """What is missing of what is ordered; None where that is little, or cars are still on their way."""
        if self.ordered_kw is None or self.beyond_kw is None or not self.settled_in:
            return None
        missing_kw = copysign(1.0, self.ordered_kw) * (self.ordered_kw - self.beyond_kw)
        return missing_kw if missing_kw > SHORT * abs(self.ordered_kw) else None


@dataclass(frozen=True, slots=True)
class SilentCar:
    """A plugged car that has not been heard of for too long."""

    car_id: str
    zone: str
    age_s: float


@dataclass(frozen=True, slots=True)
class LiveView:
    """All that happens now.

    Attributes:
        now: Domain instant.
        half_hour: The running one: nominations are of it.
        zones: Every zone.
        states: How many cars are in each of ``STATES``.
        silent: Plugged cars that are silent, the longest first.
        fleet_kw: What all cars give, less what they draw. [kW, export positive]
        cycle_age_s: Since the control loop's last whole cycle; None before the first. [domain s]
        cycle_s: How often it should run. [domain s]
        alarms: Those that nobody has acknowledged, the newest first.
        halts: Stops that stand.
        cars_known: How many cars have been heard of, ever.
    """

    now: datetime
    half_hour: Interval
    zones: tuple[ZoneNow, ...]
    states: Mapping[str, int]
    silent: tuple[SilentCar, ...]
    fleet_kw: float
    cycle_age_s: float | None
    cycle_s: float
    alarms: tuple[Alarm, ...]
    halts: tuple[Halt, ...]
    cars_known: int

    @property
    def loop_is_late(self) -> bool:
        """Whether the control loop does not do its work."""
        return self.cycle_age_s is None or self.cycle_age_s > 3 * self.cycle_s


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is not of the loop: from the store, or while that is away what is remembered of it.

    Attributes:
        alarms: Those that nobody has acknowledged, the newest first.
        halts: Stops that stand.
        nominated: Of each zone for the running half-hour; without those for which nothing was nominated.
    """

    alarms: tuple[Alarm, ...]
    halts: tuple[Halt, ...]
    nominated: Mapping[str, Nomination]


def recorded(gateway: Gateway) -> Recorded:
    """Return what the store says now; in a thread."""
    half_hour, store = half_hour_at(gateway.clock.now()), gateway.store
    found = {zone: store.nominations.between(zone, half_hour) for zone in gateway.settings.fleet.zones}
    return Recorded(
        alarms=tuple(reversed(store.alarms.open())),
        halts=store.halts.standing(),
        nominated={zone: rows[0] for zone, rows in found.items() if rows},
    )


def remembered(gateway: Gateway, alarms: tuple[Alarm, ...]) -> Recorded:
    """Return what the loop follows; alarms are those that were open last."""
    half_hour, book = half_hour_at(gateway.clock.now()), gateway.book
    found = {zone: book.nominated(zone, half_hour) for zone in gateway.settings.fleet.zones}
    return Recorded(alarms, tuple(book.halts), {zone: one for zone, one in found.items() if one is not None})


def half_hour_at(now: datetime) -> Interval:
    """Return the half-hour that runs."""
    start = floor_half_hour(now)
    return Interval(start, start + HALF_HOUR)


def live_view(gateway: Gateway, controller: Controller, known: Recorded | None = None) -> LiveView:
    """Return how things stand.

    Args:
        gateway: Whose.
        controller: Its control loop.
        known: What is not of the loop; read from the store without, in a thread.
    """
    known = known or recorded(gateway)
    now = gateway.clock.now()
    said = gateway.settings.dispatch
    stale_after = 2 * timedelta(seconds=said.reporting_interval_s)
    views = controller.view.all()
    states = [state_of(view, controller, now, stale_after) for view in views]
    cycled_at = controller.cycled_at
    zones = tuple(_zones(gateway, views, states, now, known.nominated, stale_after))
    return LiveView(
        now=now,
        half_hour=half_hour_at(now),
        zones=zones,
        states={name: Counter(states)[name] for name in STATES},
        silent=tuple(_silent(views, states, now)),
        fleet_kw=sum(zone.metered_kw for zone in zones),
        cycle_age_s=(now - cycled_at).total_seconds() if cycled_at is not None else None,
        cycle_s=said.cycle_s,
        alarms=known.alarms,
        halts=known.halts,
        cars_known=sum(view.report is not None for view in views),
    )


def state_of(view: CarView, controller: Controller, now: datetime, stale_after: timedelta) -> str:
    """Return what a car is counted as."""
    if not view.is_plugged():
        return "away"
    if view.is_stale(now, stale_after):
        return "silent"
    if not controller.following.follows(view.car.car_id):
        return "not following"
    export_w = view.report.export_w if view.report is not None else 0
    if abs(export_w) < IDLE_W:
        return "idle"
    return "giving" if export_w > 0 else "charging"


def _zones(
    gateway: Gateway,
    views: Sequence[CarView],
    states: Sequence[str],
    now: datetime,
    nominated: Mapping[str, Nomination],
    two_reports: timedelta,
) -> Iterator[ZoneNow]:
    stopped = gateway.book.stopped()
    targets = {target.zone: target for target in gateway.book.targets(now) if target.zone not in stopped}
    for zone in gateway.settings.fleet.zones:
        target, awarded = targets.get(zone), gateway.book.awarded(zone)
        serving = target.opportunity_ids[0] if target is not None else None
        heard = [
            view.report
            for view, state in zip(views, states, strict=True)
            if view.car.site.zone == zone and state not in ("away", "silent") and view.report is not None
        ]
        yield ZoneNow(
            zone=zone,
            target_kw=target.export_kw[0] if target is not None else None,
            nominated_kw=mean_kw(nominated[zone]) if zone in nominated else None,
            metered_kw=sum(report.export_w for report in heard) / W_PER_KW,
            serving=serving,
            until=target.slots[-1].end if target is not None else None,
            stopped=zone in stopped,
            cars=len(heard),
            bids=tuple(_awarded((*awarded, *gateway.book.taken_back(zone, now)), now)),
            shaded=tuple(
                window for window in gateway.book.windows_begun(zone, now) if window.end > now - LONGEST_CHART
            ),
            settled_in=any(
                one.opportunity_id == serving and _level_since(one, now) <= now - two_reports
                for one in awarded
            ),
        )


def _level_since(one: Opportunity, now: datetime) -> datetime:
    """Return since when what is ordered of a bid now has been so."""
    begun = [step.interval.start for order in one.in_force for step in order.steps if now in step.interval]
    return max([*begun, *(change.at for change in one.orders)], default=now)


def _awarded(found: Sequence[Opportunity], now: datetime) -> list[AwardedBid]:
    bids = [
        AwardedBid(
            one.opportunity_id,
            one.product_id,
            one.window,
            how_ended(one),
            one.held_until or one.cancelled_at,
            ahead_of(one, now),
        )
        for one in found
        if one.window.end > now
    ]
    return sorted(bids, key=lambda one: (one.window.start, one.bid))


def _silent(views: Sequence[CarView], states: Sequence[str], now: datetime) -> list[SilentCar]:
    found = [
        SilentCar(view.car.car_id, view.car.site.zone, (now - view.report.measured_at).total_seconds())
        for view, state in zip(views, states, strict=True)
        if state == "silent" and view.report is not None
    ]
    return sorted(found, key=lambda one: (-one.age_s, one.car_id))
