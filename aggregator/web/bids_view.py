"""The page of bids as data: a row a bid, filtered and sorted; plain values, no request, no markup."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.allowed import must_allow_approval, must_allow_check, why_not
from aggregator.desk import why_closed
from aggregator.model.market import Draft
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import Interval
from aggregator.web.words import state_of
from aggregator.workflow import Workflow
from aggregator.worth import is_in_part, is_valued, said_by, worth_of

SHOWN = ("open", "todo", "all")


@dataclass(frozen=True, slots=True)
class BidRow:
    """One bid in a list.

    Attributes:
        bid: Its id.
        zone: Where.
        product: Under which rules.
        window: When.
        gate_closes_at: When it must be in.
        gate_open: Whether that is still to come.
        kind: How its state looks.
        state: Its state in words.
        because: Why it ended so, where anything is to be told.
        stage: The life cycle's.
        needed_kw: Per slot, none for an order without a need. [kW]
        offered_kw: Per slot of the draft. [kW]
        awarded_kw: Per slot of an award of less than was bid; none else. [kW]
        held: What the DNO holds until the draft, or the one to be made, is sent in its place; None else.
        prices: What its steps ask, the cheapest first. [GBP/MWh]
        ceiling: The most the DNO pays. [GBP/MWh]
        deliver: Share of the drawn days on which 95% of it or more would be delivered.
        margin_gbp: Expected margin. Where less was awarded than bid it is of that, as ``deliver``, P10 and
            P90 are; None where that is not worked out. [GBP]
        margin_p10_gbp: Nine of ten drawn days earn so much or more; above the mean where fewer fall short,
            and these by much. [GBP]
        margin_p90_gbp: One of ten drawn days earns so much or more. [GBP]
        cars: Cars behind it.
        digest: Of the draft.
        by: Who wrote the draft.
        is_off: Whether it ended with nothing delivered or paid: what it would have earned does not come.
        is_models: Whether a person wrote the draft, and P(deliver) and margins are still the model's draft's.
        may_check: Whether who looks may check it now, and has not.
        may_approve: Whether who looks may approve it now.
    """

    bid: str
    zone: str
    product: str
    window: Interval
    gate_closes_at: datetime
    gate_open: bool
    kind: str
    state: str
    because: str
    stage: Stage
    needed_kw: tuple[float, ...]
    offered_kw: tuple[float, ...]
    awarded_kw: tuple[float, ...]
    held: Draft | None
    prices: tuple[Decimal, ...]
    ceiling: Decimal | None
    deliver: float | None
    margin_gbp: float | None
    margin_p10_gbp: float | None
    margin_p90_gbp: float | None
    cars: int | None
    digest: str
    by: str
    is_off: bool
    is_models: bool
    may_check: bool
    may_approve: bool


def bid_row(one: Opportunity, flow: Workflow, user: str) -> BidRow:
    """Return a bid as ``user`` sees it in a list."""
    need, draft, gate, now = one.requirement, one.draft, flow.gate_closes_at(one), flow.now()
    asked, needs_two = flow.asked(one, user), flow.needs_two(one)
    kind, state = state_of(one, now, needs_two=needs_two, gate_open=now < gate)
    in_part = is_in_part(one)
    told = worth_of(one) or (said_by(draft) if draft and not in_part else None)
    ended, because = _in_two(why_closed(one, gate) or "")
    return BidRow(
        bid=one.opportunity_id,
        zone=one.zone,
        product=one.product_id,
        window=one.window,
        gate_closes_at=gate,
        gate_open=now < gate,
        kind=kind,
        state=ended or state,
        because=because,
        stage=one.stage,
        needed_kw=need.needed_kw if need else (),
        offered_kw=draft.offered_kw if draft else (),
        awarded_kw=one.award.awarded_kw if one.award and in_part else (),
        held=one.held,
        prices=tuple(step.gbp_per_mwh for step in draft.priced) if draft else (),
        ceiling=need.utilisation_ceiling if need else None,
        deliver=told.deliver if told else None,
        margin_gbp=told.margin_gbp if told else None,
        margin_p10_gbp=told.p10_gbp if told else None,
        margin_p90_gbp=told.p90_gbp if told else None,
        cars=draft.why.cars if draft else None,
        digest=draft.digest if draft else "",
        by=draft.by if draft else "",
        is_off=one.stage is Stage.CLOSED and one.statement_version == 0,
        is_models=draft is not None and not in_part and not is_valued(draft),
        may_check=needs_two and one.checked_by is None and why_not(must_allow_check, asked) is None,
        may_approve=why_not(must_allow_approval, asked) is None,
    )


def _in_two(ended: str) -> tuple[str, str]:
    """Return how a bid ended in a few words, and the rest of what is told of it."""
    found = re.fullmatch(r"(.+?)(?:: |, and )(.+)", ended, re.DOTALL)
    return (found[1], found[2]) if found else (ended, "")


def by_gate(row: BidRow) -> tuple[object, ...]:
    """The order in which bids are to be looked at, wherever they are listed: gate, window, zone."""
    return (row.gate_closes_at, row.window.start, row.zone, row.bid)


SORTS: Mapping[str, Callable[[BidRow], tuple[object, ...]]] = {
    "gate": lambda row: (not row.gate_open, *by_gate(row)),
    "window": lambda row: (row.window.start, row.zone, row.bid),
    "zone": lambda row: (row.zone, row.window.start, row.bid),
    "bid": lambda row: (-max(row.awarded_kw or row.offered_kw, default=-1.0), row.bid),
    "margin": lambda row: (-(row.margin_gbp if row.margin_gbp is not None else -1e9), row.bid),
    "deliver": lambda row: (row.deliver if row.deliver is not None else 2.0, row.bid),
    "state": lambda row: (row.kind != "todo", row.state, row.bid),
}


SORTED_BY = (
    ("gate", "gate, next first"),
    ("window", "window, next first"),
    ("zone", "zone"),
    ("bid", "kW, most first"),
    ("margin", "margin, most first"),
    ("deliver", "P(deliver), least first"),
    ("state", "state, what waits first"),
)
"""What a phone offers in place of the table's heads."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a list is asked to show.

    Attributes:
        shown: ``open`` bids, those that wait for somebody (``todo``), or ``all``.
        zone: Only this one; all without.
        product: Only this one; all without.
        sort: A key of ``SORTS``.
    """

    shown: str = "open"
    zone: str = ""
    product: str = ""
    sort: str = "gate"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Choice":
        """Read a query; what it does not say, or says wrongly, is as usual."""
        shown, sort = query.get("shown", ""), query.get("sort", "")
        return cls(
            shown if shown in SHOWN else "open",
            query.get("zone", ""),
            query.get("product", ""),
            sort if sort in SORTS else "gate",
        )


def bid_rows(flow: Workflow, user: str, choice: Choice) -> list[BidRow]:
    """Return the bids that are asked for, in the order asked for."""
    found = flow.store.journal.find() if choice.shown == "all" else flow.open()
    rows = [bid_row(one, flow, user) for one in found]
    return chosen(rows, choice)


def chosen(rows: Sequence[BidRow], choice: Choice) -> list[BidRow]:
    """Return those of some rows that a choice lets through, sorted by it."""
    kept = [
        row
        for row in rows
        if choice.zone in ("", row.zone)
        and choice.product in ("", row.product)
        and (choice.shown != "todo" or row.kind == "todo")
    ]
    return sorted(kept, key=SORTS[choice.sort])
