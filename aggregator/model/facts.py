"""What can happen to an opportunity, in the past tense. The journal stores these, append-only."""

from dataclasses import dataclass
from datetime import datetime

from aggregator.model.explanation import Worth
from aggregator.model.market import Award, Draft, EventKey, Instruction, Requirement


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, at an instant of the domain clock."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Received(Fact):
    """A DNO stated a need; also an amended one (higher modification)."""

    requirement: Requirement


@dataclass(frozen=True, slots=True)
class RequirementCancelled(Fact):
    """The DNO took its need back."""

    key: EventKey


@dataclass(frozen=True, slots=True)
class Proposed(Fact):
    """A draft was made, by the model or by a user who amended one."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Checked(Fact):
    """The first of two people found the draft right."""

    draft_digest: str
    by: str


@dataclass(frozen=True, slots=True)
class Approved(Fact):
    """The draft may go out. ``rule`` names the written rule where one, not a second person, decided."""

    draft_digest: str
    by: str
    rule: str | None = None


MODEL = "model"
"""Who wrote, or did not write, what no person did."""


@dataclass(frozen=True, slots=True)
class Declined(Fact):
    """The desk, or the model for want of cars, refused to bid."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Withdrawn(Fact):
    """The desk took an approved or submitted bid back."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Submitted(Fact):
    """The platform has acknowledged the bid."""

    report_id: str


@dataclass(frozen=True, slots=True)
class GateClosed(Fact):
    """Gate closure found no approved bid: the opportunity ends."""


@dataclass(frozen=True, slots=True)
class DraftLapsed(Fact):
    """Gate closure, or an award, found a draft over a bid submitted before: the submitted one stands."""


@dataclass(frozen=True, slots=True)
class DraftRefused(Fact):
    """The desk refused a draft over a bid submitted before: the submitted one stands."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class SubmissionFailed(Fact):
    """The gate closed before the platform acknowledged the approved bid."""

    reason: str


@dataclass(frozen=True, slots=True)
class Awarded(Fact):
    """The DNO cleared the bid, maybe in part; also an amended award."""

    award: Award


@dataclass(frozen=True, slots=True)
class AwardValued(Fact):
    """What an award of less than was bid is worth was worked out, as of an amended draft.

    ``award`` is the award's own event version: another one is worth something else.
    """

    award: EventKey
    worth: Worth


@dataclass(frozen=True, slots=True)
class AwardCancelled(Fact):
    """The DNO took the award back; what was delivered until then still counts."""

    key: EventKey


@dataclass(frozen=True, slots=True)
class NotAwarded(Fact):
    """The window came and no award had."""


@dataclass(frozen=True, slots=True)
class Instructed(Fact):
    """The DNO ordered delivery; also an amended order."""

    instruction: Instruction


@dataclass(frozen=True, slots=True)
class InstructionCancelled(Fact):
    """The DNO took its order back; what was delivered until then still counts."""

    key: EventKey


@dataclass(frozen=True, slots=True)
class OptedOut(Fact):
    """We took our word back after the award: nothing is delivered from then on, nor paid for being held."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class DeliveryStarted(Fact):
    """The first ordered interval began."""


@dataclass(frozen=True, slots=True)
class DeliveryEnded(Fact):
    """The window is over."""


@dataclass(frozen=True, slots=True)
class Settled(Fact):
    """A statement was made; late readings make a new version."""

    statement_version: int
    digest: str
    amount_gbp: str


@dataclass(frozen=True, slots=True)
class Closed(Fact):
    """The platform has acknowledged the settlement report."""
