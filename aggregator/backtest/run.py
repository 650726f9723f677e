"""A whole backtest: read, replay each zone in a process of its own, put the figures together."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Empty, Queue
from zoneinfo import ZoneInfo

from aggregator.backtest.cycles import cycles
from aggregator.backtest.dispatches import Dealt, Event, deal, local_dates, read_dispatches
from aggregator.backtest.figures import calibration, group_figures, groups, histogram, story_body, worst
from aggregator.backtest.offers import Rules
from aggregator.backtest.prices import Prices, read_prices
from aggregator.backtest.replay import Zone
from aggregator.backtest.sessions import SESSIONS, USERS, Record, read_record
from aggregator.backtest.story import POLICIES, Fan, Lived, Story
from aggregator.backtest.tables import LeftOut
from aggregator.backtest.world import Driver, World, make_world
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON

TICK_DAYS = 5
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
    rules: Rules = Rules()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a backtest found.

    Attributes:
        body: All figures, as JSON.
        fan: Of a typical day; None where no event was replayed.
    """

    body: dict[str, object]
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
    world = make_world(record, days, order.zones, order.sessions_zone)
    if not any(world.drivers.values()):
        span = f"{days[0]} to {days[-1]}"
        raise BadMessage(Fault(SESSIONS, "no session", f"sessions that can be moved into {span}"))
    dealt = deal(events, world.zones, days)
    lives = _replay(order, world, dealt, prices, days, progress)
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


@dataclass(frozen=True, slots=True)
class _Task:
    """One zone, as it goes to a process."""

    name: str
    drivers: tuple[Driver, ...]
    events: dict[date, Event]
    days: Sequence[date]
    prices: Prices
    rules: Rules
    stated: bool

    def live(self, done: Callable[[int], None]) -> list[Lived]:
        """Replay the zone."""
        zone = Zone(self.name, self.drivers, self.prices, self.rules, stated=self.stated)
        lived = []
        for number, one in enumerate(zone.live(self.days, self.events), start=1):
            lived.append(one)
            if number % TICK_DAYS == 0:
                done(TICK_DAYS)
        done(len(self.days) % TICK_DAYS)
        return lived


def _in_process(task: _Task, told: "Queue[int]") -> list[Lived]:
    return task.live(told.put)


def _replay(
    order: Order, world: World, dealt: Dealt, prices: Prices, days: Sequence[date], progress: Progress
) -> dict[str, list[Lived]]:
    tasks = [
        _Task(name, world.drivers[name], dealt.events[name], days, prices, order.rules, order.stated)
        for name in sorted(world.zones, key=lambda name: -len(world.drivers[name]))
    ]
    total = len(days) * len(tasks)
    progress(0, total)
    if min(order.jobs, len(tasks)) == 1:
        count = _Count(total, progress)
        lives = {task.name: task.live(count.add) for task in tasks}
    else:
        lives = _in_pool(tasks, order.jobs, _Count(total, progress))
    return {name: lives[name] for name in world.zones}


class _Count:
    """Adds up days done and tells it on."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, days: int) -> None:
        """Tell that so many more are done."""
        self._done += days
        self._progress(self._done, self._total)


def _in_pool(tasks: Sequence[_Task], jobs: int, count: _Count) -> dict[str, list[Lived]]:
    """Replay zones side by side; the answer does not depend on who is done first."""
    context = multiprocessing.get_context("spawn")
    manager: SyncManager
    with context.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=context) as pool:
        told: Queue[int] = manager.Queue()
        running: dict[Future[list[Lived]], str] = {
            pool.submit(_in_process, task, told): task.name for task in tasks
        }
        left = set(running)
        while left:
            ended, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
            for days in _drained(told):
                count.add(days)
        return {name: future.result() for future, name in running.items()}


def _drained(told: "Queue[int]") -> Iterator[int]:
    while True:
        try:
            yield told.get_nowait()
        except Empty:
            return


def _typical(lives: dict[str, list[Lived]]) -> Fan | None:
    """Return the fan of the day whose deliverable kW, against its forecast, is the median of all."""
    told = [(one.story, one.fan) for own in lives.values() for one in own if one.story and one.fan]
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
    lives: dict[str, list[Lived]],
    left_out: Sequence[LeftOut],
) -> dict[str, object]:
    all_days = [one for own in lives.values() for one in own]
    stories = sorted((one.story for one in all_days if one.story), key=lambda one: (one.day, one.zone))
    breaches = [
        {"day": one.day.isoformat(), "promise": breach.promise, "car": breach.car_id, "what": breach.said}
        for one in all_days
        for breach in one.breaches
    ]
    early = [kwh for one in all_days for kwh in one.early_short]
    return {
        "from": days[0].isoformat(),
        "to": (days[-1] + timedelta(days=1)).isoformat(),
        "stated_departures": order.stated,
        "sessions_zone": order.sessions_zone.key,
        "rules": asdict(order.rules),
        "inputs": _digests(order),
        "read": {"sessions": len(record.sessions), "users_without_capacity": world.unpredicted},
        "left_out": {
            one.file: {"rows": sum(one.counts.values()), "why": dict(sorted(one.counts.items()))}
            for one in left_out
        },
        "left_out_rows": [row for one in left_out for row in one.told],
        "zones": {
            name: {"sites": list(world.locations[name]), "cars": len(world.drivers[name])}
            for name in world.zones
        },
        "calls": {
            "offered": len(stories),
            "passed_over": dealt.passed_over,
            "outside_the_model": dealt.outside,
            "not_replayed": _reasons(all_days, dealt),
        },
        **group_figures(stories),
        "promises": {
            "checked": sum(one.checked for one in all_days),
            "broken": len(breaches),
            "breaches": breaches[:100],
            "left_early_short": {"stays": len(early), "kwh": round(sum(early), 1) + 0.0},
        },
        "cycles": cycles(
            ((one.car_id, v.plugged) for own in world.drivers.values() for one in own for v in one.visits), days
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


def _reasons(days: Sequence[Lived], dealt: Dealt) -> dict[str, int]:
    wanted = {(name, day) for name, own in dealt.events.items() for day in own}
    found: dict[str, int] = {}
    for one in days:
        if one.left_open and any(day == one.day for _, day in wanted):
            found[one.left_open] = found.get(one.left_open, 0) + 1
    return dict(sorted(found.items()))


def _digests(order: Order) -> dict[str, str]:
    files = [order.sessions / SESSIONS, order.sessions / USERS, order.dispatches, order.prices]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}
