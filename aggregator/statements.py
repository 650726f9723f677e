"""A period's statement as ``flexloop settle`` and the desk make it: versions kept, the book, and its files.

Both make it here, so that the same question gets the same bytes from either.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from aggregator.flexible_power import flexible_power_files
from aggregator.lookback import histories_behind, known
from aggregator.model.fleet import Fleets
from aggregator.model.market import Product
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import Interval, local_day
from aggregator.reports import PARQUET_FILE, StatementBook, book_files
from aggregator.settlement import settled_from
from aggregator.settling import NONE_READ, Worked, is_due, settle_named, work_out
from aggregator.statement_books import make_book
from aggregator.store import Store
from aggregator.workflow import Workflow
from aggregator.zone_past import ZonePast

SETTLEABLE = (Stage.DELIVERED, Stage.SETTLED, Stage.CLOSED)
Watched = Callable[[Sequence[str]], Iterable[str]]
"""Yields what it is given, and tells somebody how far it is."""


@dataclass(frozen=True, slots=True)
class Period:
    """What is to be settled.

    Attributes:
        start: First London date.
        end: London date after the last one.
        zone: Only this one; None for all.
        known_at: Only what was learnt by then; None for all.
    """

    start: date
    end: date
    zone: str | None = None
    known_at: datetime | None = None

    @property
    def span(self) -> Interval:
        """From the first instant to the last."""
        return Interval(local_day(self.start).start, local_day(self.end).start)


@dataclass(frozen=True, slots=True)
class Made:
    """A statement that was made.

    Attributes:
        book: What is in it.
        files: All its files, by name.
        lacking: Why a file is missing, a line each.
        unkept: Opportunities whose figures come out otherwise than their last version says, or have none;
            without those whose last half-hour is not over.
        known_at: The instant as known at which it was made, exactly: asked for, or when it was begun.
    """

    book: StatementBook
    files: Mapping[str, bytes]
    lacking: tuple[str, ...]
    unkept: tuple[str, ...]
    known_at: datetime


def settleable(store: Store, period: Period) -> list[Opportunity]:
    """Return what was delivered in a period under an award or an order."""
    found = store.journal.find(zone=period.zone, stages=SETTLEABLE, overlapping=period.span)
    return [one for one in found if one.award is not None or one.orders]


def keep_statements(
    workflow: Workflow, fleets: Fleets, names: Sequence[str], watched: Watched
) -> dict[str, Worked]:
    """Settle opportunities, a new version where one is due, and return them without registers."""
    return {name: _lighter(settle_named(workflow, fleets, name)) for name in watched(names)}


def look_at(
    store: Store,
    products: Mapping[str, Product],
    fleets: Fleets,
    period: Period,
    now: datetime,
    watched: Watched,
) -> Made:
    """Make a period's statement as known at the time it names, else at ``now``; no version is kept.

    What comes in while it is made is left out, so that ``flexloop settle --as-known-at`` makes it again.
    """
    at, done = period.known_at or now, dict[str, Worked]()
    histories: Mapping[str, ZonePast] = NONE_READ
    if period.known_at is None:
        by_name = {one.opportunity_id: one for one in settleable(store, period)}
        histories = histories_behind(store, list(by_name.values()), products, at)
        for name in watched(list(by_name)):
            one = known(store, by_name[name], at)
            product, history = products[one.product_id], histories[one.zone]
            done[name] = _lighter(work_out(store, one, product, fleets, at, history))
    named = period.start, period.end, period.zone
    book = make_book(store, products, fleets, *named, at, done, watched, histories)
    files = book_files(book, flexible_power_files(book.rows))
    return Made(book, files, lacking_of(files), tuple(sorted(_unkept(store, done, at))), at)


def lacking_of(files: Iterable[str]) -> tuple[str, ...]:
    """Return why a file is not among a statement's."""
    return () if PARQUET_FILE in files else (f"{PARQUET_FILE}: needs pip install 'flexloop[parquet]'",)


def _unkept(store: Store, done: Mapping[str, Worked], at: datetime) -> Iterable[str]:
    for name, worked in done.items():
        if at < settled_from(worked.opportunity):
            continue
        last = store.statements.latest(name)
        if is_due(last, worked):
            yield name


def _lighter(worked: Worked) -> Worked:
    return replace(worked, readings={}, meters={})
