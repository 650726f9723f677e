"""The first page as data: what needs me now, what runs, what is wrong, and the day's money."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from aggregator.desk import is_unanswered, was_not_offered
from aggregator.model.explanation import Worth
from aggregator.model.money import pounds
from aggregator.model.opportunity import (
    GateClosed,
    NotAwarded,
    Opportunity,
    RequirementCancelled,
    Settled,
    Stage,
)
from aggregator.model.time import LONDON, Interval, local_day
from aggregator.store import Store
from aggregator.web.ahead import Ahead, ahead_of
from aggregator.web.bids_view import BidRow, bid_row, by_gate
from aggregator.workflow import Workflow
from aggregator.worth import worth_held, worth_of

WAITING = (Stage.RECEIVED, Stage.IN_REVIEW)
RUNNING = (Stage.AWARDED, Stage.DELIVERING)
STANDING = (Stage.APPROVED, Stage.SUBMITTED, *RUNNING)
FURTHEST_AHEAD = timedelta(days=366)


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
        cancelled_at: When the last of them was taken back; None where none was.
        ahead: Levels of its orders that are to come.
    """

    bid: str
    zone: str
    window: Interval
    awarded_kw: tuple[float, ...]
    runs: bool
    ordered: int
    cancelled_at: datetime | None
    ahead: tuple[Ahead, ...] = ()


@dataclass(frozen=True, slots=True)
class Money:
    """Money of the windows that begin on some days. Margin, expected, and payment are never added up. [GBP]

    Attributes:
        day: The London day; None for all days after those told apart.
        paid_gbp: What statements come to.
        settled: How many there are.
        decided_gbp: Expected margin of bids that stand or are delivered, and not settled yet; not of those
            whose window has begun and that the DNO has not answered. What the DNO holds stands until the
            draft that waits in its place is sent.
        decided: How many there are.
        waiting_gbp: Expected margin of drafts that wait for somebody.
        waiting: How many there are.
        decided_unknown: How many more are decided whose margin could not be worked out anew, since a person
            amended the draft or less was awarded than bid, so that it is in no sum.
        waiting_unknown: How many more wait, the same.
        cancelled: Of how many of the decided the order ended before its time: less will come than expected.
    """

    day: date | None
    paid_gbp: Decimal
    settled: int
    decided_gbp: Decimal
    decided: int
    waiting_gbp: Decimal
    waiting: int
    decided_unknown: int = 0
    waiting_unknown: int = 0
    cancelled: int = 0

    @property
    def is_partial(self) -> bool:
        """Whether a bid is in no sum."""
        return bool(self.decided_unknown or self.waiting_unknown)

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.settled or self.decided or self.waiting or self.is_partial)


@dataclass(frozen=True, slots=True)
class TodayView:
    """The page.

    Attributes:
        now: Domain instant.
        todo: Bids that wait for a person, the next gate first.
        events: What runs, then what is to run.
        lapsed: Bids whose gate closed today with nobody having approved a draft, the latest gate first.
        unanswered: Bids whose window began yesterday or today without an award, the latest first.
        taken_back: Bids that ended today as an award or a need was taken back, and when, the latest first.
        not_offered: Needs that the model declined today, and when, the latest first.
        money: Of today's windows, of tomorrow's, and of all later ones where there are any.
    """

    now: datetime
    todo: tuple[BidRow, ...]
    events: tuple[EventRow, ...]
    lapsed: tuple[BidRow, ...]
    unanswered: tuple[BidRow, ...]
    taken_back: tuple[tuple[BidRow, datetime], ...]
    not_offered: tuple[tuple[BidRow, datetime], ...]
    money: tuple[Money, ...]


def today_view(flow: Workflow, user: str) -> TodayView:
    """Return what ``user`` is shown first."""
    now = flow.now()
    today = now.astimezone(LONDON).date()
    found = flow.open()
    rows = [bid_row(one, flow, user) for one in found if one.stage is Stage.IN_REVIEW]
    todo = sorted((row for row in rows if row.gate_open), key=by_gate)
    events = [_event(one, now) for one in found if one.stage in RUNNING]
    events.sort(key=lambda row: (not row.runs, row.window.start, row.zone, row.bid))
    since = local_day(today - timedelta(days=1)).start
    found = flow.store.journal.find(overlapping=Interval(since, local_day(today).end + FURTHEST_AHEAD))
    lapsed = [bid_row(one, flow, user) for one in found if one.closed_because == GateClosed.__name__]
    lapsed = [row for row in lapsed if row.gate_closes_at.astimezone(LONDON).date() == today]
    lapsed.sort(key=lambda row: (-row.gate_closes_at.timestamp(), *by_gate(row)))
    unanswered = [bid_row(one, flow, user) for one in found if _went_unanswered(one, now)]
    unanswered = [row for row in unanswered if row.window.start >= since]
    unanswered.sort(key=lambda row: (-row.window.start.timestamp(), *by_gate(row)))
    taken_back, not_offered = (
        tuple(_ended_on(today, ended_at, found, flow, user)) for ended_at in (_taken_back_at, _declined_at)
    )
    money = tuple(_money(flow.store, found, now))
    return TodayView(
        now, tuple(todo), tuple(events), tuple(lapsed), tuple(unanswered), taken_back, not_offered, money
    )


def _taken_back_at(store: Store, one: Opportunity) -> datetime | None:
    """Return when an award was taken back, by whom ever, or the need by the DNO; None where none was."""
    if one.held_until is not None:
        return one.held_until
    if (one.closed_because or "").partition(": ")[0] != RequirementCancelled.__name__:
        return None
    return store.journal.facts(one.opportunity_id)[-1].fact.at


def _declined_at(store: Store, one: Opportunity) -> datetime | None:
    """Return when the model declined a need; None where it did not."""
    return store.journal.facts(one.opportunity_id)[-1].fact.at if was_not_offered(one) else None


def _ended_on(
    day: date,
    ended_at: Callable[[Store, Opportunity], datetime | None],
    found: Iterable[Opportunity],
    flow: Workflow,
    user: str,
) -> list[tuple[BidRow, datetime]]:
    """Return what ended in some way on a London day, and when, the latest first."""
    ended = [(one, at) for one in found if (at := ended_at(flow.store, one)) is not None]
    rows = [(bid_row(one, flow, user), at) for one, at in ended if at.astimezone(LONDON).date() == day]
    return sorted(rows, key=lambda row: (-row[1].timestamp(), *by_gate(row[0])))


def _went_unanswered(one: Opportunity, now: datetime) -> bool:
    """Whether a bid of something got no answer by its window, be it closed for that yet or not."""
    offered = one.submitted is not None and any(one.submitted.offered_kw)
    return offered and (is_unanswered(one, now) or one.closed_because == NotAwarded.__name__)


def _money(store: Store, found: Sequence[Opportunity], now: datetime) -> Iterator[Money]:
    """Yield the money of today's windows, of tomorrow's, and of later ones, if any."""
    today, by_day = now.astimezone(LONDON).date(), _by_day(found)
    tomorrow = today + timedelta(days=1)
    for day in (today, tomorrow):
        yield money_of(store, day, by_day.get(day, ()), now)
    furthest = [one for day, some in by_day.items() if day > tomorrow for one in some]
    later = money_of(store, None, furthest, now)
    if not later.is_nothing:
        yield later


def _by_day(found: Iterable[Opportunity]) -> dict[date, list[Opportunity]]:
    """Return opportunities by the London day on which their window begins."""
    by_day = defaultdict(list)
    for one in found:
        by_day[one.window.start.astimezone(LONDON).date()].append(one)
    return by_day


def money_of(store: Store, day: date | None, some: Sequence[Opportunity], now: datetime) -> Money:
    """Return what some opportunities have earned, and are expected to as things stand now."""
    settled = [one for one in some if one.statement_version > 0]
    standing = [one for one in some if one.stage in (*STANDING, Stage.DELIVERED)]
    decided = [one for one in standing if not is_unanswered(one, now)]
    waiting = [one for one in some if one.stage is Stage.IN_REVIEW]
    worths = [worth_of(one) for one in decided if one.draft is not None]
    worths += [worth_held(one) for one in some if one.stage in WAITING and one.held is not None]
    drafted = [worth_of(one) for one in waiting if one.draft is not None]
    decided_gbp, waiting_gbp = _margins(worths), _margins(drafted)
    return Money(
        day,
        sum((_settled_gbp(store, one) for one in settled), Decimal(0)),
        len(settled),
        sum(decided_gbp, Decimal(0)),
        len(decided_gbp),
        sum(waiting_gbp, Decimal(0)),
        len(waiting_gbp),
        worths.count(None),
        drafted.count(None),
        sum(one.cancelled_at is not None for one in decided),
    )


def _settled_gbp(store: Store, one: Opportunity) -> Decimal:
    facts = [recorded.fact for recorded in store.journal.facts(one.opportunity_id)]
    return Decimal(next(fact.amount_gbp for fact in reversed(facts) if isinstance(fact, Settled)))


def _margins(worths: Sequence[Worth | None]) -> list[Decimal]:
    """Return the margins that are known, each as it is shown beside its bid: what is shown adds up. [GBP]"""
    return [pounds(Decimal(worth.margin_gbp)) for worth in worths if worth is not None]


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
        ahead=ahead_of(one, now),
    )
