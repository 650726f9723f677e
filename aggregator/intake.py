"""From a platform's event to a durable decision: the fact is stored before the answer leaves (P8).

Each event version is decided once. A redelivery gets the same answer from the inbox; a version that cannot
be read, is not ours, or fits no opportunity is answered optOut, is an alarm, and never a guess.

An event that is over, cancelled or completed, ends what runs of it and never starts anything: its end is
noted where there is nothing to end. An order or award that had ended before we heard of it is an alarm. A
refused modification leaves what was accepted before in force.

An order counts from when we had it, its modification or end from when we were told. Only where we may have
been away in between does the platform's own stamp count instead.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.clockwork import PLATFORM
from aggregator.desk import GONE, not_followed
from aggregator.model.errors import RuleViolation
from aggregator.model.market import Award, Direction, Instruction, PeakWindow, Rehearsal, Requirement
from aggregator.model.opportunity import (
    NEXT,
    AwardCancelled,
    Awarded,
    DraftLapsed,
    Fact,
    Instructed,
    InstructionCancelled,
    Opportunity,
    Received,
    RequirementCancelled,
    Stage,
)
from aggregator.model.time import Interval, said_at
from aggregator.plausible import must_be_awarded, must_be_plausible
from aggregator.ports import CallBatch, CallKind, Decision, MarketCall, Opt
from aggregator.store import Alarm, InboxEntry
from aggregator.workflow import Workflow

OPTED_OUT = "we have opted out of it since"
ATTEMPTS = 3
OVER = (Stage.DELIVERED, Stage.SETTLED, Stage.CLOSED)
Step = Callable[[Workflow, MarketCall], Decision]
ORDER = (CallKind.PEAK, CallKind.REQUIREMENT, CallKind.AWARD, CallKind.DISPATCH, CallKind.UNKNOWN)


class NotFollowed(RuleViolation):
    """An award or order is for a bid that it cannot be for; ``bid`` names it."""

    def __init__(self, reason: str, bid: str) -> None:
        super().__init__(reason)
        self.bid = bid


def take_batch(workflow: Workflow, batch: CallBatch) -> dict[MarketCall, Decision]:
    """Decide every event of a message, each on its own, and store the decisions.

    Needs come before awards and awards before orders, whatever their order in the message: after an outage
    they may all arrive in one.
    """
    calls = sorted(batch.calls, key=lambda call: (ORDER.index(call.kind), call.key.modification))
    return {call: take(workflow, call) for call in calls}


def take(workflow: Workflow, call: MarketCall) -> Decision:
    """Decide one event version and store fact and decision; return the answer that may now leave."""
    known = workflow.store.inbox.get(call.key)
    if known is not None:
        return _answer_again(workflow, known)
    if call.problem is not None:
        return _refuse(workflow, call, call.problem)
    if call.test and _is_real(workflow, call):
        call = replace(call, content=None, cancelled=True, test=False)  # what is now a test runs no more
    if call.test:
        return _take_test(workflow, call)
    if call.kind is CallKind.PEAK:
        return _take_peak(workflow, call)
    return _take_fact_or_refuse(workflow, call, _take_end if call.is_over else _take_fact)


def _answer_again(workflow: Workflow, known: InboxEntry) -> Decision:
    """Return the answer that was given; optOut where we have opted out since."""
    given = Decision(known.decision, known.reason)
    if known.opportunity_id is None or known.kind not in (CallKind.AWARD, CallKind.DISPATCH):
        return given
    opportunity = workflow.store.journal.opportunity(known.opportunity_id)
    gone = opportunity.opted_out_at is not None and not known.cancelled
    return Decision(Opt.OUT, OPTED_OUT) if gone else given


def _is_real(workflow: Workflow, call: MarketCall) -> bool:
    return workflow.store.inbox.place_of(call.key.vtn_id, call.key.event_id) is not None


def _take_test(workflow: Workflow, call: MarketCall) -> Decision:
    try:
        must_be_plausible(call.content, None, workflow.now())
    except RuleViolation as refused:
        return _refuse(workflow, call, str(refused))
    return _note(workflow, call, Opt.IN, "test event: noted, cars untouched")


def _take_peak(workflow: Workflow, call: MarketCall) -> Decision:
    try:
        must_be_plausible(call.content, None, workflow.now())
    except RuleViolation as refused:
        return _refuse(workflow, call, str(refused))
    return _note(workflow, call, Opt.IN, None)


def _take_fact_or_refuse(workflow: Workflow, call: MarketCall, step: Step) -> Decision:
    """Try again what was refused: the clock or the desk may have moved the opportunity on meanwhile."""
    reason, bid = "", ""
    for _ in range(ATTEMPTS):
        try:
            return step(workflow, call)
        except RuleViolation as refused:
            reason, bid = str(refused), refused.bid if isinstance(refused, NotFollowed) else ""
        known = workflow.store.inbox.get(call.key)  # another delivery of the same version was faster
        if known is not None:
            return Decision(known.decision, known.reason)
    return _refuse(workflow, call, reason, bid)


def _take_fact(workflow: Workflow, call: MarketCall) -> Decision:
    now = workflow.now()
    opportunity = _opportunity_for(workflow, call)
    call = _closed(call, opportunity)
    since = _holds_from(workflow, call, opportunity, now, [call.key.event_id])
    fact = _fact_of(call, now, since)
    if fact is None:
        return _refuse(workflow, call, f"an event of kind {call.kind} has no meaning here")
    lapses = _lapse_before(opportunity, fact, now)
    facts = [*lapses, fact, *_order_within(workflow, call, fact, since)]
    must_be_plausible(call.content, opportunity, now)
    if isinstance(fact, Received):
        _must_be_biddable(workflow, fact.requirement, now)
    if not lapses:
        _must_fit(workflow, opportunity, fact)
    if isinstance(fact, Instructed):
        _must_be_owed(workflow, fact.instruction, opportunity)
    for one in facts:
        if isinstance(one, Instructed):
            workflow.before_order(one.instruction, now)
    entry = _entry(workflow, call, Opt.IN, None, opportunity.opportunity_id)
    workflow.record(opportunity, *facts, by=PLATFORM, inbox=entry)
    return Decision(Opt.IN)


def _closed(call: MarketCall, opportunity: Opportunity) -> MarketCall:
    """Return an open-ended order with the end of what was awarded: nobody bid for more."""
    terms, order = opportunity.award or opportunity.requirement, call.content
    if call.interval is not None or terms is None or not isinstance(order, Instruction):
        return call
    last, end = order.steps[-1], terms.window.end
    if not last.interval.start < end < last.interval.end:
        return call
    step = replace(last, interval=Interval(last.interval.start, end))
    return replace(call, content=replace(order, steps=(*order.steps[:-1], step), open_ended=False))


def _take_end(workflow: Workflow, call: MarketCall) -> Decision:
    """Record the end of what runs; note it where nothing does."""
    name = workflow.store.inbox.place_of(call.key.vtn_id, call.key.event_id)
    if name is None and call.completed and call.kind in (CallKind.AWARD, CallKind.DISPATCH):
        return _refuse(workflow, call, f"the {call.kind} was over before we heard of it")
    if name is None:
        return _note(workflow, call, Opt.IN, "nothing of it runs")
    opportunity = workflow.store.journal.opportunity(name)
    fact = _end_of(workflow, call, opportunity)
    if fact is None:
        return _note(workflow, call, Opt.IN, "nothing of it runs")
    entry = _entry(workflow, call, Opt.IN, None, opportunity.opportunity_id)
    workflow.record(opportunity, fact, by=PLATFORM, inbox=entry)
    return Decision(Opt.IN)


def _end_of(workflow: Workflow, call: MarketCall, opportunity: Opportunity) -> Fact | None:
    """Return what the end of an event ends, None where that is nothing.

    An award that is completed ends the order that it is, where its product is a scheduled one.
    """
    now, award, event_id = workflow.now(), opportunity.award, call.key.event_id
    if call.kind is CallKind.REQUIREMENT:
        ends = call.cancelled and opportunity.stage not in OVER
        return RequirementCancelled(now, call.key) if ends else None
    if opportunity.stage in OVER:
        return None
    if call.cancelled and award is not None and award.key.event_id == event_id:
        names = [event_id, *(order.key.event_id for order in opportunity.in_force)]
        return AwardCancelled(_holds_from(workflow, call, opportunity, now, names), call.key)
    order = next((one for one in opportunity.in_force if one.key.event_id == event_id), None)
    if order is None or order.window.end <= now:
        return None
    at = _holds_from(workflow, call, opportunity, now, [event_id])
    return InstructionCancelled(at if call.cancelled or at > order.window.start else now, call.key)


def _holds_from(
    workflow: Workflow, call: MarketCall, opportunity: Opportunity, now: datetime, changes: Collection[str]
) -> datetime:
    """Return since when an event holds: of what changes another, its platform's stamp where that can be true.

    A stamp can be true that lies after we had what it changes, after that one's own stamp, and not ahead of
    us. Stock platforms never raise theirs, and clocks go wrong: any other stamp means now.

    Args:
        workflow: With the journal.
        call: The event.
        opportunity: What it bears on.
        now: Domain instant.
        changes: The ids of the events that it replaces or ends.
    """
    if call.modified_at > now:
        return now
    before = []
    for recorded in workflow.store.journal.facts(opportunity.opportunity_id):
        match recorded.fact:
            case Awarded(award=told) | Instructed(instruction=told) if told.key.event_id in changes:
                before += [recorded.recorded_at, told.issued_at or recorded.recorded_at]
            case InstructionCancelled(key=key) if key.event_id in changes:
                before.append(recorded.recorded_at)
    return call.modified_at if before and max(before) < call.modified_at else now


def _lapse_before(opportunity: Opportunity, fact: Fact, now: datetime) -> list[Fact]:
    """Return the lapse of a draft that nobody sent, before the award of the bid that the platform holds."""
    undecided = opportunity.stage in (Stage.RECEIVED, Stage.IN_REVIEW) and opportunity.held is not None
    return [DraftLapsed(now)] if isinstance(fact, Awarded) and undecided else []


def _order_within(workflow: Workflow, call: MarketCall, fact: Fact, since: datetime) -> Iterator[Fact]:
    """Yield the order that the award of a scheduled product is."""
    product = workflow.products.get(fact.award.product_id) if isinstance(fact, Awarded) else None
    if product is not None and product.scheduled and isinstance(fact, Awarded):
        yield Instructed(since, fact.award.as_order(product.direction, call.modified_at))


def _opportunity_for(workflow: Workflow, call: MarketCall) -> Opportunity:
    """Return the opportunity that an event speaks of, a new one for a new need.

    Raises:
        RuleViolation: If there is none, or more than one.
    """
    journal = workflow.store.journal
    zone = call.zones[0] if call.zones else ""
    if call.kind is CallKind.REQUIREMENT:
        return journal.opportunity(f"{call.key.vtn_id}:{call.key.event_id}:{zone}")
    if call.opportunity_ref is not None:
        return journal.opportunity(f"{call.key.vtn_id}:{call.opportunity_ref}:{zone}")
    before = workflow.store.inbox.place_of(call.key.vtn_id, call.key.event_id)
    if before is not None:
        placed = journal.opportunity(before)  # an amended event keeps its place
        if placed.zone != zone:
            raise RuleViolation(
                f"event {call.key.event_id} was for {placed.zone!r}, it cannot move to {zone!r}"
            )
        return placed
    found = journal.find(
        vtn_id=call.key.vtn_id,
        zone=zone,
        product=getattr(call.content, "product_id", None),
        overlapping=call.interval,
        stages=[stage for stage in Stage if stage is not Stage.CLOSED],
    )
    if call.kind is CallKind.DISPATCH:  # what began as an order without a bid is that order's own
        found = [one for one in found if one.requirement is not None or one.award is not None]
    if len(found) == 1:
        return found[0]
    if not found and call.kind is CallKind.DISPATCH:
        return journal.opportunity(f"{call.key.vtn_id}:{call.key.event_id}:{zone}")
    raise RuleViolation(f"event {call.key.event_id} fits {len(found)} opportunities in {zone!r}, not one")


def _fact_of(call: MarketCall, now: datetime, since: datetime) -> Fact | None:
    match call.kind, call.content:
        case CallKind.REQUIREMENT, Requirement() as requirement:
            return Received(now, requirement)
        case CallKind.AWARD, Award() as award:
            return Awarded(now, award)
        case CallKind.DISPATCH, Instruction() as instruction:
            return Instructed(since, instruction)
        case _:
            return None


def _must_be_biddable(workflow: Workflow, requirement: Requirement, now: datetime) -> None:
    product = workflow.products.get(requirement.product_id)
    if product is None:
        raise RuleViolation(f"product {requirement.product_id!r} is not configured")
    closes_at = product.gate_closes_at(requirement.window)
    if now >= closes_at:
        raise RuleViolation(f"the gate for this window closed {said_at(closes_at)}")


def _must_fit(workflow: Workflow, opportunity: Opportunity, fact: Fact) -> None:
    """Refuse an award or order of a bid that was not sent, or is over.

    Raises:
        NotFollowed: If so.
    """
    stage = opportunity.stage
    if stage is Stage.NEW or type(fact) in NEXT[stage]:
        return
    ended: Fact | None = None
    if stage in OVER:
        facts = [recorded.fact for recorded in workflow.store.journal.facts(opportunity.opportunity_id)]
        ended = next(one for one in reversed(facts) if type(one).__name__ in GONE)
    match fact:
        case Awarded(award=told) | Instructed(instruction=told):
            raise NotFollowed(not_followed(told, ended), opportunity.opportunity_id)


def _must_be_owed(workflow: Workflow, order: Instruction, opportunity: Opportunity) -> None:
    """Refuse an order that nobody promised to follow, or not for so much."""
    product, award = workflow.products.get(order.product_id), opportunity.award
    if opportunity.stage is Stage.NEW and (product is None or not product.standing_contract):
        raise RuleViolation("no bid, award or standing contract is behind this instruction")
    exports = product is None or product.direction is Direction.UP
    if not workflow.store.fleet.may_deliver(order.zone, order.window.end, exports=exports):
        raise RuleViolation(f"no car of {order.zone} may deliver anything")
    if product is not None and award is not None:
        since = order.window.start - timedelta(seconds=order.delay_s)
        nominated = workflow.store.nominations.between(order.zone, Interval(since, order.window.end))
        must_be_awarded(order, award, product, {one.period: one for one in nominated})


def _refuse(workflow: Workflow, call: MarketCall, reason: str, bid: str = "") -> Decision:
    """Answer optOut, with an alarm that names the bid, or else the event."""
    where = bid or f"{call.key.vtn_id} event {call.key.event_id} modification {call.key.modification}"
    workflow.store.alarms.raise_(Alarm(workflow.now(), "event_refused", where, reason))
    return _note(workflow, call, Opt.OUT, reason)


def _note(workflow: Workflow, call: MarketCall, decision: Opt, reason: str | None) -> Decision:
    stored = workflow.store.inbox.put(_entry(workflow, call, decision, reason, None))
    return Decision(stored.decision, stored.reason)


def _kept(call: MarketCall) -> PeakWindow | Rehearsal | None:
    """Return what the inbox itself must hold: what facts hold stands in the journal."""
    if call.test and call.content is not None:
        return Rehearsal(call.key, call.kind.value, call.content.window)
    return call.content if isinstance(call.content, PeakWindow) else None


def _entry(
    workflow: Workflow, call: MarketCall, decision: Opt, reason: str | None, opportunity_id: str | None
) -> InboxEntry:
    return InboxEntry(
        key=call.key,
        kind=CallKind.TEST if call.test else call.kind,
        zones=call.zones,
        content=_kept(call),
        cancelled=call.cancelled,
        raw=call.raw,
        received_at=workflow.now(),
        decision=decision,
        reason=reason,
        opportunity_id=opportunity_id,
    )
