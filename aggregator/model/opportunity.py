"""The life of an opportunity: facts, stages, and the one table that leads from stage to stage.

Facts are what happened, in the past tense; the journal keeps them, append-only, keyed
``(opportunity_id, version)``. An opportunity is a replay of its facts and nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from aggregator.model.errors import RuleViolation
from aggregator.model.explanation import Worth
from aggregator.model.facts import (
    Approved,
    AwardCancelled,
    Awarded,
    AwardValued,
    Checked,
    Closed,
    Declined,
    DeliveryEnded,
    DeliveryStarted,
    DraftLapsed,
    DraftRefused,
    Fact,
    GateClosed,
    Instructed,
    InstructionCancelled,
    NotAwarded,
    OptedOut,
    Proposed,
    Received,
    RequirementCancelled,
    Settled,
    SubmissionFailed,
    Submitted,
    Withdrawn,
)
from aggregator.model.market import Award, Draft, EventKey, Instruction, Requirement
from aggregator.model.time import Interval

__all__ = [
    "NEXT",
    "Approved",
    "AwardCancelled",
    "AwardValued",
    "Awarded",
    "Checked",
    "Closed",
    "Declined",
    "DeliveryEnded",
    "DeliveryStarted",
    "DraftLapsed",
    "DraftRefused",
    "Fact",
    "GateClosed",
    "Instructed",
    "InstructionCancelled",
    "NotAwarded",
    "Opportunity",
    "OptedOut",
    "OrderChange",
    "Proposed",
    "Received",
    "RequirementCancelled",
    "Settled",
    "Stage",
    "SubmissionFailed",
    "Submitted",
    "Withdrawn",
    "replay",
]


class Stage(StrEnum):
    """Where an opportunity stands."""

    NEW = "NEW"
    RECEIVED = "RECEIVED"
    IN_REVIEW = "IN_REVIEW"
    APPROVED = "APPROVED"
    SUBMITTED = "SUBMITTED"
    AWARDED = "AWARDED"
    DELIVERING = "DELIVERING"
    DELIVERED = "DELIVERED"
    SETTLED = "SETTLED"
    CLOSED = "CLOSED"


S = Stage
NEXT: Mapping[Stage, Mapping[type[Fact], Stage]] = {
    S.NEW: {
        Received: S.RECEIVED,
        Instructed: S.AWARDED,  # an operational call under a standing contract: no bid preceded it
    },
    S.RECEIVED: {
        Received: S.RECEIVED,
        RequirementCancelled: S.CLOSED,
        Proposed: S.IN_REVIEW,
        Declined: S.CLOSED,
        Withdrawn: S.CLOSED,  # an amended need found a bid submitted, and the desk takes that one back
        GateClosed: S.CLOSED,
        DraftLapsed: S.SUBMITTED,
    },
    S.IN_REVIEW: {
        Received: S.RECEIVED,
        RequirementCancelled: S.CLOSED,
        Proposed: S.IN_REVIEW,  # a re-run or an amendment replaces the draft
        Checked: S.IN_REVIEW,
        Approved: S.APPROVED,
        Declined: S.CLOSED,
        Withdrawn: S.CLOSED,
        GateClosed: S.CLOSED,
        DraftLapsed: S.SUBMITTED,
        DraftRefused: S.SUBMITTED,
    },
    S.APPROVED: {
        Received: S.RECEIVED,
        RequirementCancelled: S.CLOSED,
        Submitted: S.SUBMITTED,
        SubmissionFailed: S.CLOSED,
        DraftLapsed: S.SUBMITTED,  # an amended bid never arrived: the one before it stands
        Withdrawn: S.CLOSED,
        Awarded: S.AWARDED,  # the award itself shows that the bid arrived
    },
    S.SUBMITTED: {
        Received: S.RECEIVED,
        RequirementCancelled: S.CLOSED,
        Proposed: S.IN_REVIEW,
        Submitted: S.SUBMITTED,
        Withdrawn: S.CLOSED,
        Awarded: S.AWARDED,
        NotAwarded: S.CLOSED,
    },
    S.AWARDED: {
        Awarded: S.AWARDED,
        AwardValued: S.AWARDED,
        AwardCancelled: S.CLOSED,
        Instructed: S.AWARDED,
        InstructionCancelled: S.AWARDED,
        OptedOut: S.CLOSED,
        DeliveryStarted: S.DELIVERING,
        DeliveryEnded: S.DELIVERED,
    },
    S.DELIVERING: {
        Awarded: S.DELIVERING,  # amended; that of a scheduled product brings its amended order with it
        AwardValued: S.DELIVERING,
        AwardCancelled: S.DELIVERED,
        Instructed: S.DELIVERING,
        InstructionCancelled: S.DELIVERING,
        OptedOut: S.DELIVERED,  # what was delivered by then is settled
        DeliveryEnded: S.DELIVERED,
    },
    S.DELIVERED: {Settled: S.SETTLED},
    S.SETTLED: {Settled: S.SETTLED, Closed: S.CLOSED},
    S.CLOSED: {Settled: S.CLOSED},  # a correction after the books were shut is a new version all the same
}


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One step in the history of an order: what held from ``at`` on; None once cancelled.

    ``key`` is the event version that said so: an order older than its cancellation does not come back. Each
    order event has a history of its own, several may be in force at once.
    """

    at: datetime
    instruction: Instruction | None
    key: EventKey


@dataclass(frozen=True, slots=True)
class Opportunity:
    """One need of a DNO and all that followed, as its facts leave it.

    Attributes:
        opportunity_id: Opaque id.
        stage: Where it stands.
        version: Facts so far.
        requirement: The need as last amended; None for a call under a standing contract.
        draft: The draft under review or approved.
        last_draft_version: The highest version that any draft had: no later one may bear it again.
        checked_by: Who checked that draft, None when nobody has yet.
        approved_digest: The digest that was approved, None while unapproved.
        submitted: The draft that the platform holds, None before one is acknowledged.
        submitted_for: The need that it was made for; that may have been amended since.
        submitted_checked_by: Who had checked it.
        award: What was cleared.
        worth: What an award of less than was bid is worth; None where it is not worked out.
        orders: Every order and cancellation, oldest first.
        opted_out_at: When we took our word back; None where it stands.
        held_until: When we or the platform took the award back while it ran; None where it stands.
        statement_version: Of the last statement; 0 before the first.
        closed_because: Why it ended, in words.
        closed_by: Who ended it: a person or ``model``; empty where nobody did.
    """

    opportunity_id: str
    stage: Stage = Stage.NEW
    version: int = 0
    requirement: Requirement | None = None
    draft: Draft | None = None
    last_draft_version: int = 0
    checked_by: str | None = None
    approved_digest: str | None = None
    submitted: Draft | None = None
    submitted_for: Requirement | None = None
    submitted_checked_by: str | None = None
    award: Award | None = None
    worth: Worth | None = None
    orders: tuple[OrderChange, ...] = ()
    opted_out_at: datetime | None = None
    held_until: datetime | None = None
    statement_version: int = 0
    closed_because: str | None = None
    closed_by: str = ""

    @property
    def in_force(self) -> tuple[Instruction, ...]:
        """The orders in force, of each order event the last; the newest comes last."""
        last = {change.key.event_id: n for n, change in enumerate(self.orders)}
        changes = [self.orders[n] for n in sorted(last.values())]
        return tuple(change.instruction for change in changes if change.instruction is not None)

    @property
    def instruction(self) -> Instruction | None:
        """The newest order in force, None before any and after a cancellation."""
        return self.in_force[-1] if self.in_force else None

    @property
    def cancelled_at(self) -> datetime | None:
        """When the last of its orders was taken back; None where one is in force, or none was given."""
        return self.orders[-1].at if self.orders and not self.in_force else None

    @property
    def held(self) -> Draft | None:
        """What the platform holds while another draft is made, decided on or sent; None else."""
        return self.submitted if self.stage in (Stage.RECEIVED, Stage.IN_REVIEW, Stage.APPROVED) else None

    @property
    def zone(self) -> str:
        """Where it is."""
        return self._terms.zone

    @property
    def product_id(self) -> str:
        """Under which rules."""
        return self._terms.product_id

    @property
    def vtn_id(self) -> str:
        """Whose it is."""
        return self._terms.key.vtn_id

    @property
    def window(self) -> Interval:
        """From the first to the last instant that the need, the award or an order speaks of."""
        windows = [self._terms.window, *([self.award.window] if self.award else [])]
        windows += [change.instruction.window for change in self.orders if change.instruction]
        return Interval(min(window.start for window in windows), max(window.end for window in windows))

    @property
    def _terms(self) -> Requirement | Instruction:
        if self.requirement is not None:
            return self.requirement
        first = next((change.instruction for change in self.orders if change.instruction), None)
        if first is None:
            raise RuleViolation(f"opportunity {self.opportunity_id} has no fact yet")
        return first

    def after(self, fact: Fact) -> "Opportunity":
        """Return the opportunity as it stands once ``fact`` has happened.

        Raises:
            RuleViolation: If the fact is not allowed at this stage, or speaks of another draft,
                or of an event version already superseded. Nothing changes then.
        """
        stage = NEXT.get(self.stage, {}).get(type(fact))
        if stage is None:
            raise RuleViolation(f"{type(fact).__name__} is not allowed when {self.stage}")
        moved = replace(self, stage=stage, version=self.version + 1)
        match fact:
            case Received():
                return _received(self, moved, fact)
            case Proposed(draft=draft):
                last = max(self.last_draft_version, draft.version)
                return replace(
                    moved, draft=draft, last_draft_version=last, checked_by=None, approved_digest=None
                )
            case Checked() | Approved() | Submitted():
                return _reviewed(self, moved, fact)
            case DraftLapsed() | DraftRefused():
                standing = self.submitted
                digest = standing.digest if standing else None
                return replace(
                    moved, draft=standing, checked_by=self.submitted_checked_by, approved_digest=digest
                )
            case Awarded() | AwardValued() | AwardCancelled() | OptedOut():
                return _awarded(self, moved, fact)
            case Instructed() | InstructionCancelled():
                return _ordered(self, moved, fact)
            case RequirementCancelled(key=key):
                _must_be_newer(self.requirement.key if self.requirement else None, key)
                return replace(moved, closed_because=_reason(fact))
            case Settled(statement_version=version):
                if version != self.statement_version + 1:
                    raise RuleViolation(
                        f"statement version {version} does not follow {self.statement_version}"
                    )
                return replace(moved, statement_version=version)
            case _:
                because = _reason(fact) if stage is Stage.CLOSED else None
                return replace(
                    moved, closed_because=because, closed_by=getattr(fact, "by", "") if because else ""
                )


def replay(opportunity_id: str, facts: Iterable[Fact]) -> Opportunity:
    """Return the opportunity that these facts, in order, leave.

    Raises:
        RuleViolation: If the facts could not have happened in this order.
    """
    opportunity = Opportunity(opportunity_id)
    for fact in facts:
        opportunity = opportunity.after(fact)
    return opportunity


def _received(before: Opportunity, moved: Opportunity, fact: Received) -> Opportunity:
    known = before.requirement.key if before.requirement else None
    _must_be_newer(known, fact.requirement.key)
    return replace(moved, requirement=fact.requirement, draft=None, checked_by=None, approved_digest=None)


def _reviewed(before: Opportunity, moved: Opportunity, fact: Checked | Approved | Submitted) -> Opportunity:
    if isinstance(fact, Submitted):
        return replace(
            moved,
            submitted=before.draft,
            submitted_for=before.requirement,
            submitted_checked_by=before.checked_by,
        )
    if before.draft is None or fact.draft_digest != before.draft.digest:
        known = before.draft.digest[:12] if before.draft else "any draft"
        raise RuleViolation(f"the draft changed after it was shown: {fact.draft_digest[:12]} is not {known}")
    if isinstance(fact, Checked):
        return replace(moved, checked_by=fact.by)
    return replace(moved, approved_digest=fact.draft_digest)


def _awarded(
    before: Opportunity, moved: Opportunity, fact: Awarded | AwardValued | AwardCancelled | OptedOut
) -> Opportunity:
    if isinstance(fact, AwardValued):
        if before.award is not None and before.award.key != fact.award:
            raise RuleViolation(f"award {fact.award.event_id} was amended while it was valued")
        return replace(moved, worth=fact.worth)
    ended = replace(
        _without_orders(before, moved, fact.at),
        held_until=fact.at,
        closed_because=_reason(fact) if moved.stage is Stage.CLOSED else None,
    )
    if isinstance(fact, OptedOut):
        return replace(ended, opted_out_at=fact.at)
    known = before.award.key if before.award else None
    if isinstance(fact, Awarded):
        _must_be_newer(known, fact.award.key)
        return replace(moved, award=fact.award, worth=None)
    _must_be_newer(known, fact.key)
    # what was delivered by then is paid at the award's price
    return ended if moved.stage is Stage.DELIVERED else replace(ended, award=None, worth=None)


def _without_orders(before: Opportunity, moved: Opportunity, at: datetime) -> Opportunity:
    over = [OrderChange(at, None, order.key) for order in before.in_force]
    return replace(moved, orders=(*before.orders, *over))


def _ordered(before: Opportunity, moved: Opportunity, fact: Instructed | InstructionCancelled) -> Opportunity:
    instruction = fact.instruction if isinstance(fact, Instructed) else None
    key = fact.instruction.key if isinstance(fact, Instructed) else fact.key
    for earlier in reversed(before.orders):
        _must_be_newer(earlier.key, key)
    return replace(moved, orders=(*before.orders, OrderChange(fact.at, instruction, key)))


def _must_be_newer(known: EventKey | None, new: EventKey) -> None:
    if known and known.event_id == new.event_id and new.modification <= known.modification:
        raise RuleViolation(
            f"event {new.event_id} modification {new.modification} does not follow {known.modification}"
        )


def _reason(fact: Fact) -> str:
    said = getattr(fact, "reason", None)
    return f"{type(fact).__name__}: {said}" if said else type(fact).__name__
