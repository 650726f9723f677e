"""What nobody decides: facts that time alone brings, what platforms acknowledge; and how facts are appended.

A bid that lapses, goes unanswered or never leaves is closed together with the alarm that tells people of it.
What people and rules decide is in `aggregator/workflow.py`, which is this and the desk.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from aggregator.desk import unanswered, undecided, undrafted, unsent
from aggregator.model.market import Draft, Product
from aggregator.model.opportunity import (
    Closed,
    DeliveryEnded,
    DeliveryStarted,
    DraftLapsed,
    Fact,
    GateClosed,
    NotAwarded,
    Opportunity,
    Settled,
    Stage,
    SubmissionFailed,
    Submitted,
)
from aggregator.outgoing import settlement_report_id
from aggregator.ports import Clock, Report
from aggregator.store import Alarm, InboxEntry, Store, StoredStatement

OPEN_STAGES = tuple(stage for stage in Stage if stage not in (Stage.NEW, Stage.CLOSED))
CLOCKWORK, PLATFORM, FLEET = "clock", "platform", "fleet"
"""Who records what nobody decided, beside the model."""


class Clockwork:
    """Appends facts, of itself those that time brings; refuses what the life cycle does not allow."""

    def __init__(self, store: Store, clock: Clock, products: Mapping[str, Product]) -> None:
        self.store = store
        self.products = products
        self._clock = clock
        self._told_unsent: set[str] = set()

    def now(self) -> datetime:
        """Return the domain instant."""
        return self._clock.now()

    def record(
        self,
        opportunity: Opportunity,
        *facts: Fact,
        by: str,
        inbox: InboxEntry | None = None,
        reports: Sequence[Report] = (),
        statement: StoredStatement | None = None,
    ) -> Opportunity:
        """Append facts, with the message they came in and what they cause, in one transaction.

        Raises:
            RuleViolation: If they are not allowed, or somebody was faster. Nothing is stored then.
        """
        return self.store.journal.append_many(
            opportunity.opportunity_id,
            facts,
            expected_version=opportunity.version,
            by=by,
            recorded_at=self.now(),
            inbox=inbox,
            reports=reports,
            statement=statement,
        )

    def open(self) -> list[Opportunity]:
        """Return every opportunity that is not closed."""
        return self.store.journal.find(stages=OPEN_STAGES)

    def gate_closes_at(self, opportunity: Opportunity) -> datetime:
        """Return when bids for this opportunity must be in."""
        return self._product(opportunity).gate_closes_at(opportunity.window)

    def advance(self, opportunity: Opportunity) -> Opportunity:
        """Append what time alone brings: gate closure, start and end of delivery."""
        now, window = self.now(), opportunity.window
        match opportunity.stage:
            case Stage.RECEIVED | Stage.IN_REVIEW if now >= self.gate_closes_at(opportunity):
                return self._lapse(opportunity)
            case Stage.APPROVED if now >= self.gate_closes_at(opportunity):
                return self._give_up_sending(opportunity)
            case Stage.SUBMITTED if now >= window.start:
                return self._give_up_waiting(opportunity)
            case Stage.AWARDED if now >= window.end:
                return self.record(opportunity, DeliveryEnded(now), by=CLOCKWORK)
            case Stage.AWARDED if any(now >= order.window.start for order in opportunity.in_force):
                return self.record(opportunity, DeliveryStarted(now), by=CLOCKWORK)
            case Stage.DELIVERING if now >= window.end:
                return self.record(opportunity, DeliveryEnded(now), by=CLOCKWORK)
            case _:
                return opportunity

    def acknowledged(self, report_id: str) -> None:
        """Record that a platform holds a report: a bid is submitted, a settled opportunity closed."""
        for opportunity in self.open():
            draft = opportunity.draft
            if opportunity.stage is Stage.APPROVED and draft is not None and draft.report_id == report_id:
                self.record(opportunity, Submitted(self.now(), report_id), by=CLOCKWORK)
                self.store.alarms.end("bid_unacknowledged", report_id, self.now())
            elif opportunity.stage is Stage.SETTLED and report_id == settlement_report_id(
                opportunity.opportunity_id, opportunity.statement_version
            ):
                self.record(opportunity, Closed(self.now()), by=CLOCKWORK)

    def settled(
        self,
        opportunity: Opportunity,
        statement: StoredStatement,
        amount_gbp: Decimal,
        reports: Sequence[Report],
    ) -> Opportunity:
        """Record a statement and put its report into the outbox."""
        fact = Settled(self.now(), statement.version, statement.digest, str(amount_gbp))
        return self.record(opportunity, fact, by=CLOCKWORK, reports=reports, statement=statement)

    def _lapse(self, opportunity: Opportunity) -> Opportunity:
        """Close what nobody approved by the gate, be it for want of a draft: an alarm of that stays.

        What the model would not bid on is closed before, with its reason, and nobody has to be told.
        """
        now, draft, gate = self.now(), opportunity.draft, self.gate_closes_at(opportunity)
        name = opportunity.opportunity_id
        fact = GateClosed(now) if opportunity.submitted is None else DraftLapsed(now)
        with self.store.at_once():
            after = self.record(opportunity, fact, by=CLOCKWORK)
            self.store.alarms.end("no_bid_yet", name, now)
            if draft is None:
                self.store.alarms.raise_(Alarm(now, "no_bid_made", name, undrafted(opportunity, gate)))
            else:
                said = undecided(opportunity, draft, gate)
                self.store.alarms.raise_(Alarm(now, "undecided", name, said))
        return after

    def _give_up_waiting(self, opportunity: Opportunity) -> Opportunity:
        """Close a bid whose window begins without an award; where it offered something an alarm stays."""
        now, held = self.now(), opportunity.submitted
        with self.store.at_once():
            after = self.record(opportunity, NotAwarded(now), by=CLOCKWORK)
            if held is not None and any(held.offered_kw):
                said = unanswered(opportunity, held)
                self.store.alarms.raise_(Alarm(now, "unanswered", opportunity.opportunity_id, said))
        return after

    def _give_up_sending(self, opportunity: Opportunity) -> Opportunity:
        """Close an approved bid that never reached the platform; one that may have is left to the award."""
        draft, now = opportunity.draft, self.now()
        waiting = self.store.outbox.get(draft.report_id) if draft is not None else None
        tried = waiting is not None and bool(waiting.attempts)
        if draft is not None:
            self._tell_unsent(opportunity, draft, tried=tried)
        if tried and now < opportunity.window.start:
            return opportunity
        if draft is not None:
            self.store.outbox.mark_dead(draft.report_id, "the gate closed before the platform took it")
        if opportunity.submitted is not None:
            return self.record(opportunity, DraftLapsed(now), by=CLOCKWORK)
        reason = "the platform did not acknowledge the bid before the gate closed"
        return self.record(opportunity, SubmissionFailed(now, reason), by=CLOCKWORK)

    def _tell_unsent(self, opportunity: Opportunity, draft: Draft, *, tried: bool) -> None:
        """Raise an alarm, once for a draft, where its gate closed and no platform had acknowledged it."""
        code, name, told = "bid_unacknowledged", draft.report_id, draft.report_id in self._told_unsent
        self._told_unsent.add(name)
        if not told and not any((one.code, one.where) == (code, name) for one in self.store.alarms.all()):
            said = unsent(opportunity, draft, self.gate_closes_at(opportunity), tried)
            self.store.alarms.raise_(Alarm(self.now(), code, name, said))

    def _product(self, opportunity: Opportunity) -> Product:
        return self.products[opportunity.product_id]
