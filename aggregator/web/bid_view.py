"""The page of one bid as data: need, draft, why, what it may become, and what happened to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from lxml import etree

from aggregator.acting import DONE
from aggregator.allowed import (
    BINDS,
    COMMITTED,
    UNDRAFTED,
    Asked,
    closed_at,
    must_allow_amendment,
    must_allow_approval,
    must_allow_check,
    must_allow_refusal,
    must_allow_withdrawal,
    why_not,
)
from aggregator.bid_text import by_whom
from aggregator.desk import how_ended, must_be_possible
from aggregator.model.errors import RuleViolation
from aggregator.model.explanation import Explanation
from aggregator.model.market import Draft, Instruction, Product, mean_kw
from aggregator.model.opportunity import (
    Approved,
    Opportunity,
    Proposed,
    Settled,
    Stage,
)
from aggregator.model.time import Interval, said_at
from aggregator.store import DeskAction, Store
from aggregator.web.bids_view import BidRow, bid_row
from aggregator.web.effect import energy_kwh
from aggregator.web.history import Happened, history
from aggregator.web.words import either
from aggregator.workflow import Workflow
from aggregator.worth import worth_held

PENNY_GBP = 0.01
LONGEST_EVENT = 40_000
LEAST_TO_AGREE = 2
RULES = {
    "check": must_allow_check,
    "approve": must_allow_approval,
    "amend": must_allow_amendment,
    "reject": must_allow_refusal,
    "withdraw": must_allow_withdrawal,
}
"""By the names of the table of actions."""

REVIEW = "checked, approved, amended or refused"
REVIEWED = (Stage.AWARDED, Stage.DELIVERING, Stage.DELIVERED, Stage.SETTLED, Stage.CLOSED)
"""Stages in which nothing of that can be done any more."""


@dataclass(frozen=True, slots=True)
class SlotRow:
    """One slot of the window. [kW]

    Attributes:
        slot: When.
        needed_kw: What the DNO needs.
        offered_kw: What the draft offers; None, as the next two, without a draft for these slots.
        base_kw: Base discharge with no bid at all.
        held_kw: What of that is held back for the bid.
        nominated_kw: Net export nominated, or to be nominated; None where nothing is known of charging.
        awarded_kw: What was cleared; None before.
    """

    slot: Interval
    needed_kw: float
    offered_kw: float | None
    base_kw: float | None
    held_kw: float | None
    nominated_kw: float | None
    awarded_kw: float | None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as last amended; when it was taken back, None where it stands; and whether we did that."""

    order: Instruction
    cancelled_at: datetime | None
    by_us: bool = False


@dataclass(frozen=True, slots=True)
class BidView:
    """All that the page shows.

    Attributes:
        row: The figures of the list.
        one: The bid.
        draft: The draft there is.
        why: Its explanation.
        note: What of a person's draft is still the model's; empty of the model's own.
        product: Its rules.
        held_margin_gbp: Expected margin of what the DNO holds, as ``row.held``; None where not known. [GBP]
        needs_two: Whether two people must agree to the draft.
        slots: The window, slot by slot.
        may: Why each action cannot be done by who looks; None where it can.
        over: Why nobody can review the draft any more; None where somebody may.
        event: The DNO's message as received; None where it is not kept.
        received_at: When that came.
        history: What happened, newest first.
        refusals: What people were refused, newest first: what they did is history.
        orders: All that were given, each as last amended.
        is_live: Whether it is awarded or delivered now: Live tells of it.
        next_step: Who may check or approve it next, in words; empty where nobody can.
        cut_short: How and when an award that was delivered ended before its time; empty where it did not.
        paid_gbp: What its last statement comes to; None before the first. [GBP]
        approved_by: The person or rule that approved the draft; empty where nobody has.
    """

    row: BidRow
    one: Opportunity
    draft: Draft | None
    why: Explanation | None
    note: str
    product: Product
    held_margin_gbp: float | None
    needs_two: bool
    slots: tuple[SlotRow, ...]
    may: Mapping[str, str | None]
    over: str | None
    event: str | None
    received_at: datetime | None
    history: tuple[Happened, ...]
    refusals: tuple[DeskAction, ...]
    orders: tuple[OrderRow, ...]
    is_live: bool
    next_step: str
    cut_short: str
    paid_gbp: Decimal | None
    approved_by: str

    @property
    def costs_fall(self) -> bool:
        """Whether a part of the bid costs less than the one before it."""
        costs = [part.marginal_gbp_per_mwh for part in self.why.parts] if self.why else []
        return any(after < before - PENNY_GBP for before, after in pairwise(costs))

    @property
    def held_beyond_kwh(self) -> float:
        """How much more is held back than is bid; not above 0 where no more is. [kWh]"""
        if self.why is None or self.draft is None or self.one.requirement is None:
            return 0.0
        hours = [slot.hours for slot in self.one.requirement.slots]
        return self.why.held_back_kwh - energy_kwh(self.draft.offered_kw, hours)


def bid_view(flow: Workflow, one: Opportunity, user: str) -> BidView:
    """Return one bid as ``user`` sees it."""
    asked, store = flow.asked(one, user), flow.store
    need, draft = one.requirement, one.draft
    entry = store.inbox.get(need.key) if need is not None else None
    held = worth_held(one)
    facts, trail = store.journal.facts(one.opportunity_id), store.desk_trail.about(one.opportunity_id)
    approvals = [row.fact for row in facts if isinstance(row.fact, Approved)]
    amounts = [Decimal(row.fact.amount_gbp) for row in facts if isinstance(row.fact, Settled)]
    return BidView(
        row=bid_row(one, flow, user),
        one=one,
        draft=draft,
        why=draft.why if draft else None,
        note=by_whom(draft) if draft else "",
        product=flow.products[one.product_id],
        held_margin_gbp=held.margin_gbp if held is not None else None,
        needs_two=flow.needs_two(one),
        slots=tuple(slot_rows(store, one)),
        may={name: _in_short(why_not(rule, asked), one) for name, rule in RULES.items()},
        over=_in_short(why_not(_must_be_reviewable, asked), one),
        event=_as_text(entry.raw) if entry is not None else None,
        received_at=entry.received_at if entry is not None else None,
        history=history(facts),
        refusals=tuple(row for row in reversed(trail) if row.status != DONE),
        orders=tuple(_orders(one)),
        is_live=one.stage in COMMITTED,
        next_step=next_step(flow, one),
        cut_short=_cut_short(one),
        paid_gbp=amounts[-1] if amounts else None,
        approved_by=next((fact.by for fact in approvals if draft and fact.draft_digest == draft.digest), ""),
    )


def _cut_short(one: Opportunity) -> str:
    if one.held_until is None or (one.stage is Stage.CLOSED and one.statement_version == 0):
        return ""
    return f"{how_ended(one)} {said_at(one.held_until)}"


def _orders(one: Opportunity) -> Iterator[OrderRow]:
    """Yield each order that was given, as last amended, and when it was taken back."""
    for event_id in dict.fromkeys(change.key.event_id for change in one.orders):
        changes = [change for change in one.orders if change.key.event_id == event_id]
        given = [change.instruction for change in changes if change.instruction is not None]
        last = changes[-1]
        if given:
            is_over = last.instruction is None
            yield OrderRow(
                given[-1], last.at if is_over else None, by_us=is_over and last.at == one.opted_out_at
            )


def next_step(flow: Workflow, one: Opportunity) -> str:
    """Return who may check or approve a draft next, by name."""
    checks, approves = (
        sorted(name for name in flow.desk.approvers if why_not(rule, flow.asked(one, name)) is None)
        for rule in (must_allow_check, must_allow_approval)
    )
    if flow.needs_two(one) and one.checked_by is None:
        author = one.draft.by if one.draft is not None else ""
        return check_then_approval(checks, sorted(flow.desk.approvers - {author}))
    said = f"{one.checked_by} has checked it. " if one.checked_by is not None else ""
    return f"{said}Next, {either(approves)} may approve it." if approves else ""


def check_then_approval(checks: Sequence[str], approves: Sequence[str]) -> str:
    """Return who may check a draft and then, being another person, approve it; empty where nobody may."""
    if not checks:
        return ""
    if len(approves) == 1:
        then = f"{approves[0]} may"
    elif approves == checks:
        then = "the other may" if len(checks) == LEAST_TO_AGREE else "another of them may"
    else:
        then = f"{either(approves)}, whoever did not check it, may"
    return f"Next, {either(checks)} may check it; then {then} approve it."


def _must_be_reviewable(asked: Asked) -> None:
    if asked.one.stage in REVIEWED:
        must_be_possible(asked.one, Proposed, REVIEW, asked.gate_closes_at)
    elif asked.now >= asked.gate_closes_at:
        binds = asked.one.submitted is not None and asked.one.stage not in UNDRAFTED
        left = BINDS if binds else "nothing can be decided any more"
        raise RuleViolation(f"{closed_at(asked.gate_closes_at)}: {left}")


def _in_short(reason: str | None, one: Opportunity) -> str | None:
    """Return a reason on the bid's own page: it need not say which bid."""
    return reason.replace(f"bid {one.opportunity_id}", "it") if reason is not None else None


def slot_rows(store: Store, one: Opportunity) -> Iterator[SlotRow]:
    """Yield the window's slots; what was frozen is nominated, else what the draft's plan would be."""
    need, draft = one.requirement, one.draft
    if need is None:
        return
    nominated = nominated_kw(store, one)
    award = dict(zip(one.award.slots, one.award.awarded_kw, strict=True)) if one.award else {}
    drafted: Iterable[tuple[float | None, float | None, float | None]] = ((None, None, None),) * len(
        need.slots
    )
    if draft is not None and len(draft.offered_kw) == len(need.slots):  # else the need was amended since
        shares = zip(draft.offered_kw, draft.base_kw, draft.kept_kw, strict=True)
        drafted = ((offered_kw, base_kw, base_kw - kept_kw) for offered_kw, base_kw, kept_kw in shares)
    for slot, needed_kw, figures in zip(need.slots, need.needed_kw, drafted, strict=True):
        yield SlotRow(slot, needed_kw, *figures, nominated.get(slot.start), award.get(slot))


def nominated_kw(store: Store, one: Opportunity) -> dict[datetime, float]:
    """Return the net export nominated, or to be, by the start of each slot of the need. [kW]"""
    need, draft = one.requirement, one.draft
    if need is None:
        return {}
    frozen = store.nominations.between(one.zone, need.window)
    if frozen:
        by_slot = {slot.start: [n for n in frozen if n.period.overlap(slot)] for slot in need.slots}
        return {at: sum(map(mean_kw, found)) / len(found) for at, found in by_slot.items() if found}
    plan = store.plans.get(one.opportunity_id)
    if plan is None or draft is None or len(draft.kept_kw) != len(need.slots):
        return {}
    found_kw = {}
    for slot, kept_kw in zip(need.slots, draft.kept_kw, strict=True):
        charge = [kw for part, kw in zip(plan.slots, plan.base_charge_kw, strict=True) if part.overlap(slot)]
        found_kw[slot.start] = kept_kw - (sum(charge) / len(charge) if charge else 0.0)
    return found_kw


def _as_text(raw: bytes) -> str:
    """Return a message indented where it is XML, else as it came; of a very long one the beginning."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)
        text = etree.tostring(etree.fromstring(raw, parser), pretty_print=True, encoding="unicode")
    except etree.XMLSyntaxError:
        text = raw.decode("utf-8", "replace")
    return text if len(text) <= LONGEST_EVENT else f"{text[:LONGEST_EVENT]}\n… {len(text)} letters in all"
