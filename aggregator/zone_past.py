"""A zone's awarded and ordered opportunities over a span, read once, as known at any time from one on.

A statement asks of it for each of its lines; read anew each time, a month would take as long as its events
times the zone's past.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from aggregator.model.opportunity import Opportunity
from aggregator.model.time import Interval
from aggregator.store import Store
from aggregator.store.journal import Recorded


@dataclass(frozen=True, slots=True)
class Stood:
    """An opportunity as it was known for a time.

    Attributes:
        opportunity: With an award or an order.
        window: Its own.
        since: From this instant on.
        until: To this one, without it; None for as known now.
    """

    opportunity: Opportunity
    window: Interval
    since: datetime
    until: datetime | None

    def at(self, at: datetime | None) -> bool:
        """Whether it was known so at a time, None for now."""
        begun = at is None or self.since <= at
        return begun and (self.until is None or (at is not None and at < self.until))


@dataclass(frozen=True, slots=True)
class ZonePast:
    """What was known of a zone's opportunities.

    Attributes:
        span: Those whose window shares some of it.
        since: As known at any time from this one on, and now; None for now only.
        stood: By their windows' starts.
        longest: The longest of their windows.
    """

    span: Interval
    since: datetime | None
    stood: tuple[Stood, ...]
    longest: timedelta

    @classmethod
    def of(cls, store: Store, zone: str, span: Interval, since: datetime | None) -> "ZonePast":
        """Read it; arguments as the attributes."""
        rows = [
            one
            for name, facts in store.journal.histories(zone, span, since)
            for one in _stood(name, facts)
            if one.window.overlap(span) is not None
        ]
        rows.sort(key=attrgetter("window.start"))
        longest = max((one.window.end - one.window.start for one in rows), default=timedelta(0))
        return cls(span, since, tuple(rows), longest)

    def covers(self, span: Interval, at: datetime | None) -> bool:
        """Whether it tells of all of a span as known at a time."""
        inside = self.span.start <= span.start and span.end <= self.span.end
        return inside and (at is None or (self.since is not None and self.since <= at))

    def within(self, span: Interval, at: datetime | None) -> list[Opportunity]:
        """Return what shares some of a span, as known at a time: ask only for what it covers."""
        start = attrgetter("window.start")
        first = bisect_left(self.stood, span.start - self.longest, key=start)
        stop = bisect_left(self.stood, span.end, key=start)
        return [
            one.opportunity for one in self.stood[first:stop] if one.window.end > span.start and one.at(at)
        ]


def _stood(name: str, facts: Sequence[Recorded]) -> Iterator[Stood]:
    """Yield the states of an opportunity; facts are known up to the first that was not yet recorded."""
    one, since = Opportunity(name), facts[0].recorded_at
    for n, recorded in enumerate(facts):
        one, since = one.after(recorded.fact), max(since, recorded.recorded_at)
        until = None if n + 1 == len(facts) else max(since, facts[n + 1].recorded_at)
        if until != since and (one.award is not None or one.orders):
            yield Stood(one, one.window, since, until)
