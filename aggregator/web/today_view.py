"""The first page as data: what needs me now, what runs, what is wrong, and the day's money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.model.opportunity import Opportunity, Settled, Stage
from aggregator.model.time import LONDON, Interval, local_day
from aggregator.store import Store
from aggregator.web.bids_view import BidRow, bid_row
from aggregator.workflow import Workflow

RUNNING = (Stage.AWARDED, Stage.DELIVERING)
STANDING = (Stage.APPROVED, Stage.SUBMITTED, *RUNNING)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event that runs, or is to run.

    Attributes:
        bid: Its bid's id.
        zone: Where.
        window: When.
        awarded_kw: What was cleared, none for an order without an award. [kW]
        runs: Whether it runs now.
        ordered: How many orders are in force.
        cancelled_at: When the DNO took the last of them back; None where it did not.
    """

    bid: str
    zone: str
    window: Interval
    awarded_kw: tuple[float, ...]
    runs: bool
    ordered: int
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Money:
    """The London day's money, by windows that begin in it. [GBP]

    Attributes:
        settled_gbp: What its statements come to.
        settled: How many there are.
        expected_gbp: Expected margin of bids that stand or are delivered, and not settled yet.
        expected: How many there are.
        waiting_gbp: Expected margin of drafts that wait for somebody.
        waiting: How many there are.
    """

    settled_gbp: Decimal
    settled: int
    expected_gbp: float
    expected: int
    waiting_gbp: float
    waiting: int


@dataclass(frozen=True, slots=True)
class TodayView:
    """The page.

    Attributes:
        now: Domain instant.
        todo: Bids that wait for a person, the next gate first.
        events: What runs, then what is to run.
        money: The day's.
    """

    now: datetime
    todo: tuple[BidRow, ...]
    events: tuple[EventRow, ...]
    money: Money


def today_view(flow: Workflow, user: str) -> TodayView:
    """Return what ``user`` is shown first."""
    now = flow.now()
    day = local_day(now.astimezone(LONDON).date())
    found = flow.open()
    rows = [bid_row(one, flow, user) for one in found if one.stage is Stage.IN_REVIEW]
    todo = sorted((row for row in rows if row.gate_open), key=lambda row: (row.gate_closes_at, row.bid))
    events = [_event(one, now) for one in found if one.stage in RUNNING]
    events.sort(key=lambda row: (not row.runs, row.window.start, row.bid))
    of_day = [one for one in flow.store.journal.find(overlapping=day) if one.window.start in day]
    return TodayView(now, tuple(todo), tuple(events), money_of(flow.store, of_day))


def money_of(store: Store, of_day: Sequence[Opportunity]) -> Money:
    """Return what some opportunities have earned, and are expected to."""
    settled = [one for one in of_day if one.statement_version > 0]
    amounts = [_settled_gbp(store, one) for one in settled]
    expected = [one for one in of_day if one.stage in (*STANDING, Stage.DELIVERED)]
    waiting = [one for one in of_day if one.stage is Stage.IN_REVIEW]
    return Money(
        sum(amounts, Decimal(0)),
        len(settled),
        _margin_gbp(expected),
        len(expected),
        _margin_gbp(waiting),
        len(waiting),
    )


def _settled_gbp(store: Store, one: Opportunity) -> Decimal:
    facts = [recorded.fact for recorded in store.journal.facts(one.opportunity_id)]
    return Decimal(next(fact.amount_gbp for fact in reversed(facts) if isinstance(fact, Settled)))


def _margin_gbp(bids: Sequence[Opportunity]) -> float:
    return sum(one.draft.expected_margin_gbp for one in bids if one.draft is not None)


def _event(one: Opportunity, now: datetime) -> EventRow:
    orders = one.in_force
    return EventRow(
        bid=one.opportunity_id,
        zone=one.zone,
        window=one.window,
        awarded_kw=one.award.awarded_kw if one.award is not None else (),
        runs=any(order.value_at(now) is not None for order in orders),
        ordered=len(orders),
        cancelled_at=one.cancelled_at,
    )
