"""The only way facts get into the journal: what the desk does, beside what `aggregator/clockwork.py` brings.

The fact is written first, then acted upon: an approval puts the bid's report into the outbox in the same
transaction, and the sender works on what the outbox says is pending, with the report's id as idempotency
key. A crash in between repeats safely. The store is synchronous; workers call these methods in a thread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from aggregator.allowed import (
    COMMITTED,
    Asked,
    must_allow_amendment,
    must_allow_approval,
    must_allow_check,
    must_allow_no_bid,
    must_allow_refusal,
    must_allow_withdrawal,
)
from aggregator.clockwork import CLOCKWORK, Clockwork
from aggregator.desk import Desk, amended_draft
from aggregator.model.errors import MISSING, BadMessage, Fault, RuleViolation
from aggregator.model.facts import MODEL
from aggregator.model.fleet import Fleet, Fleets
from aggregator.model.market import Draft, Instruction, Plan, Product, Requirement
from aggregator.model.money import gained
from aggregator.model.opportunity import (
    Approved,
    AwardValued,
    Checked,
    Declined,
    DraftRefused,
    Opportunity,
    OptedOut,
    Proposed,
    Received,
    Stage,
    Withdrawn,
)
from aggregator.model.time import Interval
from aggregator.outgoing import BID, bid_report, opt_out_of
from aggregator.ports import Clock, Report
from aggregator.store import Store
from aggregator.worth import is_in_part, is_valued, levels_awarded, said_by

T = TypeVar("T")

BeforeOrder = Callable[[Instruction, datetime], None]
"""What is to be durable before an order that is about to be accepted: see `aggregator.nominating`."""


Revalue = Callable[[Requirement, Draft, Draft, Sequence[Interval]], Draft | None]
"""A draft at other levels, in the slots stated, with its own margin, from need and model's draft; None
where nobody knows: see `aggregator.revaluing`."""


def nothing_worked_out(
    need: Requirement, model: Draft, new: Draft, slots: Sequence[Interval]
) -> Draft | None:
    """Leave an amended draft with the model's margin: for who only looks, or does not amend."""
    return None


def nothing_before(order: Instruction, now: datetime) -> None:
    """Leave everything as it is: for who takes no orders."""


class Workflow(Clockwork):
    """Appends facts; refuses those that the life cycle or the desk's rules do not allow."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        products: Mapping[str, Product],
        desk: Desk,
        before_order: BeforeOrder = nothing_before,
        revalue: Revalue = nothing_worked_out,
    ) -> None:
        super().__init__(store, clock, products)
        self.desk = desk
        self.before_order = before_order
        self.revalue = revalue

    def needs_two(self, opportunity: Opportunity) -> bool:
        """Whether two people must agree to the draft there is."""
        return self.desk.needs_two(opportunity.requirement, opportunity.draft)

    def asked(self, opportunity: Opportunity, user: str) -> Asked:
        """Return who asks about a bid now, for the rules of ``aggregator/allowed.py``."""
        return Asked(self.desk, opportunity, self.gate_closes_at(opportunity), self.now(), user)

    # what the model and the desk do

    def propose(self, opportunity: Opportunity, draft: Draft, plan: Plan | None = None) -> Opportunity:
        """Put a draft up for review; the plan it stands on is kept from the first draft on."""
        if plan is not None:
            self.store.plans.put(plan, opportunity_id=opportunity.opportunity_id, made_at=self.now())
        proposed = self.record(opportunity, Proposed(self.now(), draft), by=draft.by)
        return self._approve_by_rule(proposed)

    def decline(self, opportunity: Opportunity, reason: str, by: str) -> Opportunity:
        """Refuse to bid, or a draft over a bid that the platform holds from before: that one stands then.

        Where the model finds nothing to offer for an amended need, what the platform holds is taken back.
        """
        (must_allow_no_bid if by == MODEL else must_allow_refusal)(self.asked(opportunity, by))
        if opportunity.submitted is None:
            return self.record(opportunity, Declined(self.now(), reason, by), by=by)
        if by == MODEL:
            return self._take_back(opportunity, reason, by)
        return self.record(opportunity, DraftRefused(self.now(), reason, by), by=by)

    def check(self, opportunity: Opportunity, digest: str, user: str) -> Opportunity:
        """Record that the first of two people found exactly this draft right; twice is the same as once."""
        must_allow_check(self.asked(opportunity, user))
        if opportunity.checked_by == user and opportunity.draft and opportunity.draft.digest == digest:
            return opportunity
        return self.record(opportunity, Checked(self.now(), digest, user), by=user)

    def approve(self, opportunity: Opportunity, digest: str, user: str) -> Opportunity:
        """Approve exactly this draft, and put its report into the outbox.

        Raises:
            RuleViolation: If the draft is another, the user may not, or two people are needed.
        """
        must_allow_approval(self.asked(opportunity, user))
        return self._approve(opportunity, Approved(self.now(), digest, user))

    def amend(
        self, opportunity: Opportunity, digest: str, user: str, kw: float | None, price: Decimal | None
    ) -> Opportunity:
        """Replace the draft by one with another level or price, never above the model's own kW.

        Raises:
            RuleViolation: If the draft seen is another, a limit is passed, or nothing would change.
        """
        new = self.amended(opportunity, digest, user, kw, price)
        return self.record(opportunity, Proposed(self.now(), new), by=user)

    def amended(
        self, opportunity: Opportunity, digest: str, user: str, kw: float | None, price: Decimal | None
    ) -> Draft:
        """Return the draft that ``amend`` would put in place of the one there is; nothing is recorded."""
        must_allow_amendment(self.asked(opportunity, user))
        draft, need = opportunity.draft, opportunity.requirement
        if draft is None or need is None:
            raise RuleViolation(f"bid {opportunity.opportunity_id} has no draft yet; nothing can be amended")
        if draft.digest != digest:
            raise RuleViolation("the draft changed after it was shown")
        model = self._models_draft(opportunity) or draft
        fits = len(draft.offered_kw) == len(need.needed_kw)  # else the need was amended since it was sent
        new = amended_draft(need, self._product(opportunity), draft if fits else model, model, kw, price)
        new = replace(new, version=opportunity.last_draft_version + 1, by=user)
        return self._valued(need, draft, model, new).sealed()

    def _valued(self, need: Requirement, draft: Draft, model: Draft, new: Draft) -> Draft:
        """Return an amended draft with its own margin, and how that differs, where it can be worked out."""
        before = draft if is_valued(draft) else self.revalue(need, model, draft, need.slots)
        after = self.revalue(need, model, new, need.slots)
        if before is None or after is None or new.why.change is None:
            return new
        margin_gbp = gained(after.expected_margin_gbp, before.expected_margin_gbp)
        change = replace(new.why.change, margin_gbp=margin_gbp)
        return replace(after, why=replace(after.why, change=change))

    def withdraw(self, opportunity: Opportunity, reason: str, user: str) -> Opportunity:
        """Take an approved or submitted bid back: the platform is sent a bid of nothing.

        What was awarded is opted out of, and what is delivered ends at once.
        """
        must_allow_withdrawal(self.asked(opportunity, user))
        if opportunity.stage in COMMITTED:
            return self.opt_out(opportunity, reason, user)
        return self._take_back(opportunity, reason, user)

    def opt_out(self, opportunity: Opportunity, reason: str, by: str) -> Opportunity:
        """Take our word back: no more is delivered, and the platform is told so for the award and each order.

        Raises:
            RuleViolation: If nothing was awarded or ordered, or it is over.
        """
        award = [opportunity.award.key] if opportunity.award is not None else []
        keys = dict.fromkeys([*award, *(order.key for order in opportunity.in_force)])
        now = self.now()
        return self.record(
            opportunity, OptedOut(now, reason, by), by=by, reports=[opt_out_of(key, now) for key in keys]
        )

    # what the clock and the platform bring

    def advance(self, opportunity: Opportunity) -> Opportunity:
        """Append what time alone brings, and the approval of a draft by rule while its gate is open."""
        if opportunity.stage is Stage.IN_REVIEW and self.now() < self.gate_closes_at(opportunity):
            return self._approve_by_rule(opportunity)
        return super().advance(opportunity)

    def value_award(self, opportunity: Opportunity) -> Opportunity:
        """Record what an award of less than was bid is worth, once; nothing where nobody knows."""
        award, draft, need = opportunity.award, opportunity.draft, opportunity.requirement
        if award is None or draft is None or need is None or opportunity.worth is not None:
            return opportunity
        if not is_in_part(opportunity):
            return opportunity
        model = self._models_draft(opportunity) or draft
        part = replace(draft, offered_kw=levels_awarded(opportunity))
        valued = self.revalue(need, model, part, award.slots)
        if valued is None:
            return opportunity
        return self.record(opportunity, AwardValued(self.now(), award.key, said_by(valued)), by=CLOCKWORK)

    def may_leave(self, report: Report) -> bool:
        """Whether a bid's report is still what it was when it was approved; any other report may.

        A bid of nothing always may. Otherwise the gate must be open, and the draft still the approved one:
        the need may have been amended or taken back since.
        """
        if report.specifier != BID or not any(row.value for row in report.rows if "/kw/" in row.r_id):
            return True
        opportunity = self.store.journal.opportunity(report.report_id.rsplit(":", 1)[0])
        draft = opportunity.draft
        approved = opportunity.stage is Stage.APPROVED and draft is not None
        is_same = draft is not None and draft.report_id == report.report_id
        return approved and is_same and self.now() < self.gate_closes_at(opportunity)

    # helpers

    def _take_back(self, opportunity: Opportunity, reason: str, by: str) -> Opportunity:
        fact, need = Withdrawn(self.now(), reason, by), opportunity.requirement
        draft, version = opportunity.draft or opportunity.submitted, opportunity.last_draft_version + 1
        if need is None or draft is None:
            return self.record(opportunity, fact, by=by)
        nothing = replace(draft, version=version, offered_kw=tuple(0.0 for _ in need.needed_kw), steps=())
        report = bid_report(need, nothing, self._product(opportunity), self.now())
        return self.record(opportunity, fact, by=by, reports=[report])

    def _approve_by_rule(self, opportunity: Opportunity) -> Opportunity:
        draft, need = opportunity.draft, opportunity.requirement
        if opportunity.stage is not Stage.IN_REVIEW or draft is None or need is None:
            return opportunity
        rule = next((rule for rule in self.desk.rules if rule.allows(need, draft)), None)
        if self.now() >= self.gate_closes_at(opportunity):
            return opportunity
        if rule is None or draft.by != MODEL:
            return opportunity
        approval = Approved(self.now(), draft.digest, f"rule {rule.rule_id}", rule=rule.rule_id)
        return self._approve(opportunity, approval)

    def _approve(self, opportunity: Opportunity, approval: Approved) -> Opportunity:
        draft, need = opportunity.draft, opportunity.requirement
        if draft is None or need is None or draft.digest != approval.draft_digest:
            raise RuleViolation("the draft changed after it was shown")
        report = bid_report(need, draft, self._product(opportunity), self.now())
        return self.record(opportunity, approval, by=approval.by, reports=[report])

    def _models_draft(self, opportunity: Opportunity) -> Draft | None:
        """Return what the model proposed for the need as it stands: no person offers more than that."""
        found: Draft | None = None
        for recorded in self.store.journal.facts(opportunity.opportunity_id):
            match recorded.fact:
                case Received():
                    found = None
                case Proposed(draft=draft) if draft.by == MODEL:
                    found = draft
        return found


def fleet_of(store: Store) -> Fleet:
    """Return the fleet imported last.

    Raises:
        BadMessage: If none was imported yet.
    """
    return _imported(store.fleet.load())


def fleets_of(store: Store) -> Fleets:
    """Return every fleet that was ever in force.

    Raises:
        BadMessage: If none was imported yet.
    """
    return _imported(store.fleet.all())


def _imported(found: T | None) -> T:
    if found is None:
        raise BadMessage(Fault("store: fleet", MISSING, "run flexloop fleet import FILE first"))
    return found
