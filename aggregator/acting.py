"""What people do with bids, stops and alarms, and the line they are told: the same for CLI and browser.

Each action names its user and, where it is about a draft, the draft that was seen: its digest, or the first
eight letters of it or more. What was seen is what goes, else the action is refused. Who may do what is
``aggregator/desk.py``'s; what is recorded, ``aggregator/workflow.py``'s. What is wrong is named by its field,
as bodies have it; commands say which of their options that is.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from aggregator.bid_text import offer
from aggregator.model.errors import MISSING, BadMessage, Fault, RuleViolation
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import utc_second
from aggregator.store import Alarm, Halt
from aggregator.workflow import Workflow

SHORTEST_DIGEST = 8
ACKNOWLEDGE = ("trader", "approver", "operator", "settlement")
RESTART = ("operator", "approver")
"""Roles of which one is needed."""

NOTHING_SENT = "nothing was sent to the DNO"
SENT_NOTHING = "the DNO is sent a bid of nothing"
EVERYWHERE = "all zones"
DONE, REFUSED = 200, 409
"""How the trail says that something was done, or was not allowed."""


def check(flow: Workflow, one: Opportunity, seen: str, user: str) -> str:
    """Be the first of two people to find exactly this draft right."""
    must_be_as_seen(one, seen)
    after = flow.check(one, full_digest(one, seen), user)
    done = f"checked by {user}" if after != one else f"{user} has checked this draft already"
    alone = "somebody else must approve it" if flow.needs_two(after) else "one person's approval will do"
    return f"{done}; {alone}"


def approve(flow: Workflow, one: Opportunity, seen: str, user: str) -> str:
    """Approve exactly this draft: it leaves for the platform."""
    must_be_as_seen(one, seen)
    flow.approve(one, full_digest(one, seen), user)
    return f"approved by {user}; the bid leaves now"


def amend(
    flow: Workflow, one: Opportunity, seen: str, user: str, kw: float | None, price: Decimal | None
) -> str:
    """Replace the draft by one with another level [kW] or price [GBP/MWh]; it is reviewed anew."""
    must_change_something(kw, price)
    after = flow.amend(one, full_digest(one, seen), user, kw, price)
    next_step = "two people must check and approve it" if flow.needs_two(after) else "it must be approved"
    line = f"amended by {user}: {offer(after.draft)} is up for review; {next_step}"
    if after.submitted is not None:
        line = f"{line} before it replaces what the DNO holds, {offer(after.submitted)}"
    return line


def reject(flow: Workflow, one: Opportunity, reason: str, user: str, seen: str | None = None) -> str:
    """Refuse exactly this draft, with a reason; only a need that has no draft yet is refused without one."""
    why = why_in_words(reason)
    must_name_a_draft(one, seen)
    must_be_as_seen(one, seen)
    flow.decline(one, why, user)
    held = one.submitted
    left = NOTHING_SENT if held is None else f"what the DNO holds stands, {offer(held)}"
    return f"refused by {user}: {why}; {left}"


def withdraw(flow: Workflow, one: Opportunity, reason: str, user: str, seen: str | None = None) -> str:
    """Take an approved, submitted or awarded bid back, with a reason; what is delivered ends at once."""
    why = why_in_words(reason)
    must_be_as_seen(one, seen)
    flow.withdraw(one, why, user)
    return f"withdrawn by {user}: {why}; {SENT_NOTHING}"


def stop(
    flow: Workflow,
    zones: Sequence[str],
    zone: str | None,
    reason: str,
    user: str,
    since: datetime | None = None,
) -> str:
    """Stop all V2G, of a zone or everywhere; any user may. An alarm tells the others.

    Args:
        flow: The workflow with the desk's rules.
        zones: The fleet's.
        zone: Which; None for all.
        reason: Why.
        user: Who.
        since: When the control loop stopped, where the database did not answer then; None without that.
    """
    why = why_in_words(reason)
    flow.desk.must_be_known(user)
    must_be_zone(zone, zones)
    halt = flow.store.halts.stop(Halt(zone, since or flow.now(), user, why))
    late = f"; in the loop since {utc_second(since)}, before the database was back" if since else ""
    said = f"stopped by {halt.by}: {halt.reason}{late}; two people must restart it"
    flow.store.alarms.raise_(Alarm(flow.now(), "stopped", extent(halt), said))
    return f"{extent(halt)}: {said}"


def restart(flow: Workflow, zones: Sequence[str], zone: str | None, user: str) -> str:
    """Let the cars go on after a stop of the same extent; two people must say so (operator or approver)."""
    flow.desk.must_be(user, *RESTART)
    must_be_zone(zone, zones)
    standing = [halt for halt in flow.store.halts.standing() if halt.zone == zone]
    if not standing:
        others = ", ".join(extent(halt) for halt in flow.store.halts.standing()) or "nothing"
        raise RuleViolation(f"{zone or 'everything'} is not stopped; what is: {others}")
    halt = flow.store.halts.restart(standing[0].halt_id, user, flow.now())
    done = halt.restarted_by is not None
    if done:
        flow.store.alarms.end("stopped", extent(halt), flow.now())
    alone = f"{user} lets it go on; a second person must"
    said = f"restarted by {halt.first_restart_by} and {user}" if done else alone
    return f"{extent(halt)}: {said}"


def acknowledge(flow: Workflow, alarms: Sequence[int], user: str) -> str:
    """Say that somebody has looked at alarms; all of those named, or none. Viewers only look."""
    flow.desk.must_be(user, *ACKNOWLEDGE)
    flow.store.alarms.clear(alarms, flow.now(), user)
    return f"{len(alarms)} acknowledged by {user}"


def full_digest(opportunity: Opportunity, seen: str) -> str:
    """Return the full digest that ``seen`` abbreviates, or ``seen`` itself, to be refused."""
    if len(seen) < SHORTEST_DIGEST:
        raise BadMessage(Fault("draft", seen, f"at least {SHORTEST_DIGEST} letters of the digest"))
    digest = opportunity.draft.digest if opportunity.draft is not None else ""
    return digest if digest.startswith(seen) else seen


def must_name_a_draft(one: Opportunity, seen: str | None) -> None:
    """Fail where a draft awaits a decision, and which one was seen is not said.

    Raises:
        BadMessage: If so.
    """
    if seen is None and one.stage is Stage.IN_REVIEW:
        raise BadMessage(Fault("draft", MISSING, "the digest of the draft that is refused"))


def must_be_as_seen(one: Opportunity, seen: str | None) -> None:
    """Fail where another draft stands than the one that was seen; where none is named, nothing was."""
    draft = one.draft
    if seen is None or (draft is not None and full_digest(one, seen) == draft.digest):
        return
    if draft is not None and draft == one.submitted and draft.version < one.last_draft_version:
        raise RuleViolation("the draft that was shown lapsed or was refused; the bid sent before stands")
    raise RuleViolation("the draft changed after it was shown")


def must_change_something(kw: float | None, price: Decimal | None) -> None:
    """Fail where an amendment changes nothing, or to no finite level."""
    if kw is None and price is None:
        raise BadMessage(Fault("kw", MISSING, "kw or gbp_per_mwh, or both"))
    if kw is not None and not math.isfinite(kw):
        raise BadMessage(Fault("kw", str(kw), "a finite number of kW"))


def price_of(text: str | None) -> Decimal | None:
    """Return a price as people write it. [GBP/MWh]

    Raises:
        BadMessage: If it is no finite number.
    """
    if text is None:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite():
        raise BadMessage(Fault("gbp_per_mwh", text, "a finite number of GBP/MWh"))
    return price


def why_in_words(reason: str) -> str:
    """Return a reason without the space around it; one of nothing is refused."""
    if not reason.strip():
        raise BadMessage(Fault("reason", reason, "why, in words"))
    return reason.strip()


def extent(halt: Halt) -> str:
    """Return in words what a stop holds for."""
    return halt.zone or EVERYWHERE


def named(alarms: Sequence[int]) -> str:
    """Return what the trail calls some alarms."""
    return "alarms " + ", ".join(map(str, alarms))


def must_be_zone(zone: str | None, zones: Sequence[str]) -> None:
    """Fail where no such zone is the fleet's.

    Raises:
        BadMessage: If so.
    """
    if zone is not None and zone not in zones:
        raise BadMessage(Fault("zone", zone, f"one of {', '.join(zones)}"))
