"""The page of a period's statement as data: events with their half-hours, versions, and files."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from aggregator.explain_text import in_words
from aggregator.explaining import CarStep, Explanation
from aggregator.gateway import Gateway
from aggregator.metering_points import MeteringPoint
from aggregator.model.time import LONDON, Interval, utc_text
from aggregator.reports import StatementRow, Version
from aggregator.settlement import Line
from aggregator.statements import Made, Period

A_WEEK = timedelta(days=7)
ONE_DAY = timedelta(days=1)
INDENT = "  "
MOST_ASKED = 200
"""Events of which late readings are looked for: as many as the page lists."""

NOTHING = Decimal(0)
WH_PER_KWH = Decimal(1000)


@dataclass(frozen=True, slots=True)
class Late:
    """Readings of an event's window that came in after its statement.

    Attributes:
        version: Of the statement; 0 where there is none yet: they came after what is shown was worked out.
        meters: Whose.
        half_hours: When they were measured, by half-hours' starts.
        is_seen: Whether what is shown was worked out with all of them.
    """

    version: int
    meters: frozenset[str]
    half_hours: frozenset[datetime]
    is_seen: bool


@dataclass(frozen=True, slots=True)
class EventSum:
    """One event of a statement.

    Attributes:
        bid: Its bid's id.
        zone: Where.
        product: Under which rules.
        window: From its first half-hour to its last.
        version: Of its statement; 0 before the first.
        is_kept: Whether its figures are those of that version; None where that was not asked.
        rows: Half-hour by half-hour.
        versions: Of its statement, oldest first.
        late: Readings newer than its statement; None where there are none, or that was not asked.
    """

    bid: str
    zone: str
    product: str
    window: Interval
    version: int
    is_kept: bool | None
    rows: tuple[StatementRow, ...]
    versions: tuple[Version, ...]
    late: Late | None = None

    @property
    def instructed_wh(self) -> int:
        """What was ordered. [Wh]"""
        return sum(row.line.instructed_wh for row in self.rows)

    @property
    def delivered_wh(self) -> int:
        """What was delivered of it. [Wh]"""
        return sum(row.line.delivered_wh for row in self.rows)

    @property
    def deficiency_wh(self) -> int:
        """What is missing. [Wh]"""
        return sum(row.line.deficiency_wh for row in self.rows)

    @property
    def amount_gbp(self) -> Decimal:
        """What it comes to, the sum of its lines. [GBP]"""
        return sum((row.line.amount_gbp for row in self.rows), NOTHING)

    @property
    def most_wh(self) -> int:
        """The largest energy of its pictures' bars. [Wh]"""
        return max((max(abs(wh) for wh in bar_wh(row.line)) for row in self.rows), default=1) or 1

    @property
    def unsettled(self) -> int:
        """Half-hours that cannot be settled."""
        return sum(not row.line.is_settled for row in self.rows)


def bar_wh(line: Line) -> tuple[int, int]:
    """Return what the picture of a half-hour shows: instructed and delivered. [Wh]"""
    return line.instructed_wh, line.delivered_wh


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file to be taken along.

    Attributes:
        name: As ``flexloop settle`` writes it.
        size: In bytes.
        sha256: Of its bytes.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class MoneyView:
    """The page.

    Attributes:
        period: What was asked for.
        made_at: Domain instant as known at which it was worked out.
        command: The command line that writes the same files, byte for byte.
        events: By zone and window.
        totals: Of the statement, by name: kWh and GBP.
        files: All there are.
        lacking: Why one is missing.
        unkept: How many events' figures are no kept version's yet.
    """

    period: Period
    made_at: datetime
    command: str
    events: tuple[EventSum, ...]
    totals: Mapping[str, Decimal]
    files: tuple[ShownFile, ...]
    lacking: tuple[str, ...]
    unkept: int

    @property
    def half_hours(self) -> int:
        """How many lines it has."""
        return sum(len(event.rows) for event in self.events)

    @property
    def unsettled(self) -> int:
        """How many of them cannot be settled."""
        return sum(event.unsettled for event in self.events)

    @property
    def late(self) -> tuple[EventSum, ...]:
        """The events with readings that are newer than their statement."""
        return tuple(event for event in self.events if event.late is not None)

    @property
    def late_meters(self) -> int:
        """How many meters told them."""
        return len({meter for event in self.late if event.late for meter in event.late.meters})

    @property
    def late_half_hours(self) -> int:
        """How many half-hours of how many zones' events they are of."""
        return sum(len(event.late.half_hours) for event in self.late if event.late)

    @property
    def late_is_kept(self) -> bool:
        """Whether they change nothing: the figures shown have them all, and are those of the last version."""
        return self.late_is_seen and all(event.is_kept for event in self.late)

    @property
    def late_is_seen(self) -> bool:
        """Whether the figures shown have them all."""
        return all(event.late.is_seen for event in self.late if event.late)


def with_late(view: MoneyView, gateway: Gateway) -> MoneyView:
    """Return the page with what came in since each statement; reads the store: in a thread."""
    if view.period.known_at is not None:
        return view
    events = [replace(event, late=_late(event, view.made_at, gateway)) for event in view.events[:MOST_ASKED]]
    return replace(view, events=(*events, *view.events[MOST_ASKED:]))


def _late(event: EventSum, made_at: datetime, gateway: Gateway) -> Late | None:
    product, fleet = gateway.settings.products[event.product], gateway.fleets.at(event.window.start)
    since = event.versions[-1].recorded_at if event.versions else made_at
    point = MeteringPoint.of(gateway.store, product, fleet, event.zone)
    found = point.learnt_after(event.window, min(since, made_at))
    if not found:
        return None
    meters, half_hours = (frozenset(of) for of in zip(*found, strict=True))
    return Late(event.version, meters, half_hours, is_seen=max(found.values()) <= made_at)


def money_view(period: Period, made: Made) -> MoneyView:
    """Return a statement that was made as it is shown."""
    by_bid: dict[str, list[StatementRow]] = {}
    for row in made.book.rows:
        by_bid.setdefault(row.line.opportunity, []).append(row)
    asked = period.known_at is None
    events = [
        EventSum(
            bid,
            rows[0].line.zone,
            rows[0].line.product,
            Interval(rows[0].line.period.start, rows[-1].line.period.end),
            rows[0].version,
            bid not in made.unkept if asked else None,
            tuple(rows),
            tuple(one for one in made.book.versions if one.opportunity == bid),
        )
        for bid, rows in by_bid.items()
    ]
    return MoneyView(
        period,
        made.known_at,
        command_line(period, made.known_at),
        tuple(events),
        made.book.totals,
        tuple(shown_files(made.files)),
        made.lacking,
        len(made.unkept),
    )


def command_line(period: Period, known_at: datetime) -> str:
    """Return the command line that makes a period's files again, as known at an instant."""
    days = ["--from", period.start.isoformat(), "--to", period.end.isoformat()]
    zone = ["--zone", period.zone] if period.zone else []
    known = ["--as-known-at", utc_text(known_at), "--flexible-power", "--out", "statement"]
    return shlex.join(["flexloop", "settle", *days, *zone, *known])


def shown_files(files: Mapping[str, bytes]) -> list[ShownFile]:
    """Return files with size and hash: the statement's own first."""
    names = sorted(files, key=lambda name: (not name.startswith("statement."), name))
    return [ShownFile(name, len(files[name]), hashlib.sha256(files[name]).hexdigest()) for name in names]


def usual_period(now: datetime) -> Period:
    """Return what is shown where nothing is asked for: the seven London days that end with today."""
    today = now.astimezone(LONDON).date()
    return Period(today - A_WEEK + ONE_DAY, today + ONE_DAY)


def busy_first(steps: Sequence[CarStep], car: str | None) -> tuple[list[CarStep], list[CarStep]]:
    """Return the cars that moved energy, or the one that is named, and those whose registers stood still."""
    told = [step for step in steps if car in (None, step.car_id)]
    busy = [step for step in told if car or step.share_wh or (step.metered and step.metered.export_wh)]
    return busy, [step for step in told if step not in busy]


@dataclass(frozen=True, slots=True)
class Said:
    """One line that explains something, and what explains it in turn."""

    text: str
    more: tuple["Said", ...] = ()


def said_of(found: Explanation, car: str | None) -> tuple[Said, ...]:
    """Return the words of ``flexloop settle explain``, each line with those that are further in."""
    lines = [(_depth(line), line.strip()) for line in in_words(found, car)]
    return _nested(lines, 0)


def _nested(lines: list[tuple[int, str]], depth: int) -> tuple[Said, ...]:
    found: list[Said] = []
    while lines and lines[0][0] >= depth:
        _, text = lines.pop(0)
        found.append(Said(text, _nested(lines, depth + 1)))
    return tuple(found)


def _depth(line: str) -> int:
    return (len(line) - len(line.lstrip())) // len(INDENT)
