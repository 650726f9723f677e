"""Zones side by side: each process holds some of them, all live one day, then learn what it settled.

What the desk's record says about one zone's bids bears on the next bids of all, so that days go in step. The
answer does not depend on the number of processes.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection

from aggregator.backtest.dispatches import Event
from aggregator.backtest.offers import Rules
from aggregator.backtest.prices import Prices
from aggregator.backtest.replay import Zone
from aggregator.backtest.story import MODEL, Lived, Settled
from aggregator.backtest.world import Driver


@dataclass(frozen=True, slots=True)
class Task:
    """One zone to be replayed."""

    name: str
    drivers: tuple[Driver, ...]
    events: dict[date, Event]
    prices: Prices
    rules: Rules
    stated: bool

    def zone(self) -> Zone:
        """Return the zone, its batteries as full as promised."""
        return Zone(self.name, self.drivers, self.prices, self.rules, stated=self.stated)


class Crew:
    """Zones that live in this process."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._zones = [(task, task.zone()) for task in tasks]
        self._record: list[Settled] = []

    def live(self, day: date, settled: Sequence[Settled]) -> list[Lived]:
        """Return what became of a day, zone by zone; ``settled`` is new since the day before."""
        self._record += settled
        return [zone.live(day, task.events.get(day), self._record) for task, zone in self._zones]


def replay(tasks: Sequence[Task], days: Sequence[date], jobs: int) -> Iterator[list[Lived]]:
    """Yield what became of each day, zone by zone in the order of ``tasks``."""
    shares = _shares(tasks, jobs)
    settled: list[Settled] = []
    with ExitStack() as stack:
        crews = [Crew([tasks[n] for n in share]) for share in shares] if len(shares) == 1 else []
        hired = [] if crews else [stack.enter_context(closing(_Hired(tasks, share))) for share in shares]
        for day in days:
            for one in hired:
                one.begin(day, settled)
            parts = [crew.live(day, settled) for crew in crews] or [one.end() for one in hired]
            lived = dict(
                zip(
                    (n for share in shares for n in share),
                    [one for part in parts for one in part],
                    strict=True,
                )
            )
            told = [lived[n] for n in range(len(tasks))]
            settled = [
                (one.story.event.window.end, one.story.results[MODEL].ratio, one.story.level.hope_gbp)
                for one in told
                if one.story is not None and one.story.level and one.story.results[MODEL].committed_kwh
            ]
            yield told


def _shares(tasks: Sequence[Task], jobs: int) -> list[list[int]]:
    """Share the zones out, the largest first to whoever has the fewest cars."""
    shares: list[list[int]] = [[] for _ in range(max(1, min(jobs, len(tasks))))]
    for n in sorted(range(len(tasks)), key=lambda n: -len(tasks[n].drivers)):
        least = min(shares, key=lambda share: sum(len(tasks[one].drivers) + 1 for one in share))
        least.append(n)
    return shares


class _Hired:
    """A process with its zones, and the line to it."""

    def __init__(self, tasks: Sequence[Task], share: Sequence[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, [tasks[n] for n in share]), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, day: date, settled: Sequence[Settled]) -> None:
        """Let it live a day."""
        self._line.send((day, settled))

    def end(self) -> list[Lived]:
        """Return what became of the day."""
        answer: list[Lived] | Exception = self._line.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End it."""
        self._line.close()
        self._process.join()


def _work(line: Connection, tasks: Sequence[Task]) -> None:
    crew = Crew(tasks)
    while True:
        try:
            day, settled = line.recv()
        except EOFError:
            return
        try:
            line.send(crew.live(day, settled))
        except Exception as error:
            line.send(error)
