"""A whole backtest: read, replay all zones day by day, put the figures together."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aggregator.backtest.assumptions import assumptions
from aggregator.backtest.crew import Task, replay
from aggregator.backtest.dispatches import Dealt, Event, deal, local_dates, read_dispatches
from aggregator.backtest.figures import (
    calibration,
    group_figures,
    groups,
    histogram,
    story_body,
    targets,
    worst,
)
from aggregator.backtest.offers import Rules
from aggregator.backtest.prices import Prices, read_prices
from aggregator.backtest.sessions import SESSIONS, Record, read_record, sessions_file, users_file
from aggregator.backtest.story import POLICIES, Fan, Lived, Story
from aggregator.backtest.tables import MOST_TOLD, LeftOut
from aggregator.backtest.world import World, make_world
from aggregator.cycles import cycles
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON

Progress = Callable[[int, int], None]
"""Told how many days of how many are done."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be replayed.

    Attributes:
        sessions: Folder of the sessions.
        dispatches: CSV of the calls.
        prices: CSV of half-hourly prices.
        sessions_zone: Of stamps in the sessions that name none.
        zones: Number of zones of ours.
        first: First local day, None for the first there are calls and prices for.
        last: First local day no longer replayed, None likewise.
        stated: Whether drivers say on plugging in when they will leave.
        jobs: Processes.
        rules: The market's.
    """

    sessions: Path
    dispatches: Path
    prices: Path
    sessions_zone: ZoneInfo
    zones: int
    first: date | None = None
    last: date | None = None
    stated: bool = False
    jobs: int = 1
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a backtest found.

    Attributes:
        body: All figures, as JSON.
        fan: Of a typical day; None where no event was replayed.
    """

    body: dict[str, Any]
    fan: Fan | None


def run_backtest(order: Order, progress: Progress) -> Outcome:
    """Replay all days.

    Raises:
        BadMessage: If a file cannot be used, or there is no day that all of them cover.
    """
    record = read_record(order.sessions, order.sessions_zone)
    events, events_left_out = read_dispatches(order.dispatches)
    prices, prices_left_out = read_prices(order.prices)
    days = _days(order, events, prices)
    events = tuple(one for one in events if one.starts_on in set(days))
    lived_days = _lived(days, events)
    world = make_world(record, lived_days, order.zones, order.sessions_zone)
    if not any(world.drivers.values()):
        span = f"{days[0]} to {days[-1]}"
        raise BadMessage(Fault(SESSIONS, "no session", f"sessions that can be moved into {span}"))
    dealt = deal(events, world.zones, lived_days)
    lives = _replay(order, world, dealt, prices, lived_days, progress)
    left_out = (*record.left_out, events_left_out, prices_left_out)
    body = _body(order, record, world, dealt, days, lives, left_out)
    return Outcome(body, _typical(lives))


def _days(order: Order, events: Sequence[Event], prices: Prices) -> list[date]:
    """Return the days that calls and prices cover, within what was ordered."""
    first_call, last_call = local_dates(events)
    first_price, last_price = (at.astimezone(LONDON).date() for at in (prices.first, prices.last))
    first = max(first_call, first_price, order.first or first_call)
    after = min(last_call + timedelta(days=1), last_price, order.last or date.max)
    if first >= after:
        told = f"calls {first_call} to {last_call}, prices {first_price} to {last_price}"
        raise BadMessage(Fault("--from, --to", f"{order.first} to {order.last}", f"days within {told}"))
    return [first + timedelta(days=n) for n in range((after - first).days)]


def _lived(days: Sequence[date], events: Sequence[Event]) -> list[date]:
    """Return the days, from noon to noon, that events beginning on some local days lie in."""
    before = [days[0] - timedelta(days=1)] if any(one.days[0] < days[0] for one in events) else []
    return [*before, *days]


def _replay(
    order: Order, world: World, dealt: Dealt, prices: Prices, days: Sequence[date], progress: Progress
) -> list[list[Lived]]:
    """Return what became of each day, zone by zone."""
    tasks = [
        Task(name, world.drivers[name], dealt.events[name], prices, order.rules, order.stated)
        for name in world.zones
    ]
    lives: list[list[Lived]] = []
    progress(0, len(days))
    for lived in replay(tasks, days, order.jobs):
        lives.append(lived)
        progress(len(lives), len(days))
    return lives


def _typical(lives: Sequence[Sequence[Lived]]) -> Fan | None:
    """Return the fan of the day whose deliverable kW, against its forecast, is the median of all."""
    told = [(one.story, one.fan) for own in lives for one in own if one.story and one.fan]
    if not told:
        return None
    ranked = sorted(told, key=lambda one: (_place(one[0]), one[0].day, one[0].zone))
    return ranked[len(ranked) // 2][1]


def _place(story: Story) -> float:
    return sum(kw <= story.true_kw for kw in story.forecast_kw) / len(story.forecast_kw)


def _body(
    order: Order,
    record: Record,
    world: World,
    dealt: Dealt,
    days: Sequence[date],
    lives: Sequence[Sequence[Lived]],
    left_out: Sequence[LeftOut],
) -> dict[str, Any]:
    all_days = [one for own in lives for one in own]
    stories = sorted((one.story for one in all_days if one.story), key=lambda one: (one.day, one.zone))
    breaches = [
        {"day": one.day.isoformat(), "promise": breach.promise, "car": breach.car_id, "what": breach.said}
        for one in all_days
        for breach in one.breaches
    ]
    whole = group_figures(stories)
    early = [kwh for one in all_days for kwh in one.early_short]
    return {
        "from": days[0].isoformat(),
        "to": (days[-1] + timedelta(days=1)).isoformat(),
        "stated_departures": order.stated,
        "sessions_zone": order.sessions_zone.key,
        "rules": asdict(order.rules),
        "assumptions": assumptions(order.rules, order.sessions_zone),
        "inputs": _digests(order),
        "read": {"sessions": len(record.sessions), "users_without_capacity": world.unpredicted},
        "left_out": {
            one.file: {"rows": sum(one.counts.values()), "why": dict(sorted(one.counts.items()))}
            for one in left_out
        },
        "most_rows_told": MOST_TOLD,
        "left_out_rows": [row for one in left_out for row in one.told],
        "zones": {
            name: {"sites": list(world.locations[name]), "cars": len(world.drivers[name])}
            for name in world.zones
        },
        "calls": {
            "offered": len(stories),
            "passed_over": dealt.passed_over,
            "outside_the_model": dealt.outside,
            "not_replayed": _reasons(all_days),
        },
        **whole,
        "targets": targets(whole, len(breaches)),
        "promises": {
            "checked": sum(one.checked for one in all_days),
            "broken": len(breaches),
            "breaches": breaches[:100],
            "left_early_short": {"stays": len(early), "kwh": round(sum(early), 1) + 0.0},
        },
        "cycles": cycles(
            ((one.car_id, v.plugged) for own in world.drivers.values() for one in own for v in one.visits),
            days,
        ),
        "calibration": calibration(stories),
        "histogram": {policy: histogram(stories, policy) for policy in POLICIES},
        "by": {
            name: {part: group_figures(own) for part, own in parts.items()}
            for name, parts in groups(stories).items()
        },
        "worst": worst(stories),
        "events_told": [story_body(story) for story in stories],
    }


def _reasons(days: Sequence[Lived]) -> dict[str, int]:
    return dict(sorted(Counter(one.left_open for one in days if one.left_open).items()))


def _digests(order: Order) -> dict[str, str]:
    files = [sessions_file(order.sessions), users_file(order.sessions), order.dispatches, order.prices]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}
