"""A bid's history in words: what happened, to which draft, and by whom."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.clockwork import CLOCKWORK, FLEET, PLATFORM
from aggregator.model.facts import MODEL
from aggregator.model.market import Draft
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    AwardValued,
    Checked,
    Declined,
    Fact,
    Instructed,
    Proposed,
    Received,
    Settled,
)
from aggregator.store import Recorded
from aggregator.web.ahead import UNITS
from aggregator.web.words import pounds, range_of

WORDS = {
    "Received": "the need arrived",
    "Proposed": "put up",
    "Checked": "checked",
    "Approved": "approved",
    "Declined": "refused",
    "Withdrawn": "withdrawn",
    "Submitted": "sent, and acknowledged by the DNO",
    "GateClosed": "lapsed: the gate closed without an approved draft",
    "DraftLapsed": "the draft lapsed: the bid sent before stands",
    "DraftRefused": "the amendment was refused: the bid sent before stands",
    "SubmissionFailed": "never arrived",
    "Awarded": "awarded",
    "AwardValued": "what was awarded was valued anew",
    "AwardCancelled": "the DNO took its award back",
    "NotAwarded": "the window began and the DNO had not answered: not awarded",
    "Instructed": "ordered",
    "InstructionCancelled": "the DNO took its order back",
    "RequirementCancelled": "the DNO took its need back",
    "OptedOut": "taken back after the award",
    "DeliveryStarted": "delivery began",
    "DeliveryEnded": "delivery ended",
    "Settled": "settled",
    "Closed": "closed",
}

BY = {MODEL: "the model", CLOCKWORK: "", PLATFORM: "", FLEET: ""}
"""Where nobody decided anything what happened is enough; people and rules are named."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of a bid's history; ``by`` is empty where nobody decided anything."""

    at: datetime
    what: str
    by: str
    reason: str


def history(facts: Iterable[Recorded]) -> tuple[Happened, ...]:
    """Return what happened to a bid, newest first."""
    found = list(facts)
    drafts = {row.fact.draft.digest: row.fact.draft for row in found if isinstance(row.fact, Proposed)}
    lines = [
        Happened(
            row.fact.at,
            _what(row.fact, row.by, drafts),
            BY.get(row.by, row.by),
            str(getattr(row.fact, "reason", "")),
        )
        for row in found
    ]
    return tuple(reversed(lines))


def _what(fact: Fact, by: str, drafts: dict[str, Draft]) -> str:
    what = WORDS.get(type(fact).__name__, type(fact).__name__)
    match fact:
        case Declined() if by == MODEL:
            return "not offered"
        case Received(requirement=need):
            return f"{what}: {range_of(need.needed_kw)} kW"
        case Proposed(draft=draft):
            prices = dict.fromkeys(pounds(step.gbp_per_mwh) for step in draft.priced)
            asked = " to ".join(list(prices)[:: max(1, len(prices) - 1)])
            return f"draft {draft.version} {what}: {range_of(draft.offered_kw)} kW at {asked}/MWh"
        case Checked(draft_digest=digest) | Approved(draft_digest=digest) if digest in drafts:
            return f"draft {drafts[digest].version} {what}"
        case Instructed(instruction=order):
            return f"{what}: {range_of(step.value for step in order.steps)} {UNITS[order.mode]}"
        case Awarded(award=award):
            return f"{what}: {range_of(award.awarded_kw)} kW"
        case AwardValued(worth=worth):
            return f"{what}: expected margin {pounds(worth.margin_gbp)}"
        case Settled(statement_version=version, amount_gbp=amount):
            return f"{what}: £{Decimal(amount):,.2f}, statement version {version}"
        case _:
            return what
