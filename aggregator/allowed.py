"""Whether a person may do something with a bid as it stands now; each fails with the reason where not.

The workflow asks before it records, the desk's pages before they offer an action: there is one answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aggregator.desk import Desk, must_be_possible
from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.model.opportunity import (
    Approved,
    Checked,
    Declined,
    DraftRefused,
    Opportunity,
    Proposed,
    Stage,
    Withdrawn,
)
from aggregator.model.time import said_at

COMMITTED = (Stage.AWARDED, Stage.DELIVERING)
UNDRAFTED = (Stage.RECEIVED, Stage.IN_REVIEW)
BINDS = (
    "the DNO takes no other bid, nor one back, until it has answered; once it awards this one the award can"
    " be withdrawn"
)
"""What holds of a bid from its gate to its award."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, about which bid, and when.

    Attributes:
        desk: The rules.
        one: The bid.
        gate_closes_at: When bids for it must be in.
        now: Domain instant.
        user: Who.
    """

    desk: Desk
    one: Opportunity
    gate_closes_at: datetime
    now: datetime
    user: str


def must_allow_check(asked: Asked) -> None:
    """Fail where the user may not be the first of two people to find the draft right."""
    asked.desk.must_be(asked.user, "approver")
    must_be_possible(asked.one, Checked, "checked", asked.gate_closes_at)
    _gate_must_be_open(asked)
    _somebody_must_be_left(asked)


def must_allow_approval(asked: Asked) -> None:
    """Fail where the user may not approve the draft: two people are needed, or it is the user's own."""
    one, user = asked.one, asked.user
    asked.desk.must_be(user, "approver")
    must_be_possible(one, Approved, "approved", asked.gate_closes_at)
    _gate_must_be_open(asked)
    if asked.desk.needs_two(one.requirement, one.draft):
        if one.checked_by is None:
            raise RuleViolation("two people approve a bid: somebody else must check this draft first")
        if one.checked_by == user:
            raise RuleViolation(f"{user} has checked this draft; somebody else must approve it")
    if one.draft is not None and one.draft.by == user:
        raise RuleViolation(f"{user} wrote this draft; somebody else must approve it")


def must_allow_amendment(asked: Asked) -> None:
    """Fail where the user may not put another draft in place of the one there is."""
    asked.desk.must_be(asked.user, "trader")
    must_be_possible(asked.one, Proposed, "amended", asked.gate_closes_at)
    _gate_must_be_open(asked)


def must_allow_refusal(asked: Asked) -> None:
    """Fail where the user may not refuse a draft; over a bid sent before, that one stands."""
    sent = asked.one.submitted is not None
    if sent and asked.one.stage not in UNDRAFTED:
        raise RuleViolation("no draft awaits a decision: the bid has been sent; withdraw it instead")
    asked.desk.must_be(asked.user, "trader", "approver")
    fact = DraftRefused if sent else Declined
    must_be_possible(asked.one, fact, "refused", asked.gate_closes_at)
    _gate_must_be_open(asked)


def must_allow_no_bid(asked: Asked) -> None:
    """Fail where the model may not end a bid for want of anything to offer."""
    if asked.one.submitted is None:
        must_be_possible(asked.one, Declined, "refused", asked.gate_closes_at)
        return
    must_be_possible(asked.one, Withdrawn, "refused", asked.gate_closes_at)
    _gate_must_be_open(asked)


def must_allow_withdrawal(asked: Asked) -> None:
    """Fail where the user may not take a bid back: approved, submitted, awarded or being delivered.

    From the gate to the award a bid binds: a platform clears what it held at the gate, and would count no bid
    of nothing that comes later. An award is taken back by an opt-out, which platforms take at any time.
    """
    one = asked.one
    asked.desk.must_be(asked.user, "trader")
    if one.stage in COMMITTED:
        return
    if one.submitted is None and one.stage in UNDRAFTED:
        raise RuleViolation("no bid has left yet that could be taken back; refuse the draft instead")
    must_be_possible(one, Withdrawn, "withdrawn", asked.gate_closes_at)
    if asked.now >= asked.gate_closes_at:
        raise RuleViolation(f"{closed_at(asked.gate_closes_at)}: {BINDS}")


def closed_at(gate_closes_at: datetime) -> str:
    """Return in words that a gate has closed."""
    return f"the gate closed {said_at(gate_closes_at)}"


def why_not(rule: Callable[[Asked], None], asked: Asked) -> str | None:
    """Return why something is not allowed; None where it is."""
    try:
        rule(asked)
    except (RuleViolation, BadMessage) as refused:
        return str(refused)
    return None


def _somebody_must_be_left(asked: Asked) -> None:
    """Fail where after this check nobody could approve: who writes or checks a draft does not approve it."""
    one, user = asked.one, asked.user
    if one.draft is None or not asked.desk.needs_two(one.requirement, one.draft):
        return
    if not asked.desk.approvers - {user, one.draft.by}:
        author = one.draft.by
        way = f"let {author} check it, then approve it" if author in asked.desk.approvers else "name another"
        raise RuleViolation(f"with a check by {user} no approver is left for a draft by {author}: {way}")


def _gate_must_be_open(asked: Asked) -> None:
    if asked.now >= asked.gate_closes_at:
        raise RuleViolation(closed_at(asked.gate_closes_at))
