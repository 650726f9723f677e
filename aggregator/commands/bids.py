"""``flexloop bids``: what is up for review, and what people do with it.

A bid is named by its opportunity id, or by the part of it that no other has (the event id, usually).
Actions name the user with ``--as`` and the draft that was seen with ``--draft``: its digest, or the first
eight letters of it or more. The draft that was seen is the draft that goes, else the action is refused.
"""

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer
from rich.table import Table

from aggregator.commands.bid_text import details, in_words
from aggregator.commands.context import Context, the_opportunity
from aggregator.desk import why_closed
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.market import Draft, Instruction
from aggregator.model.opportunity import Declined, Opportunity, SubmissionFailed, Withdrawn
from aggregator.model.steps import PriceStep
from aggregator.model.time import LONDON, utc_text
from aggregator.workflow import Workflow

SHORTEST_DIGEST = 8
WITH_REASON = (Declined, Withdrawn, SubmissionFailed)
NOTHING_SENT = "nothing was sent to the DNO"
SENT_NOTHING = "the DNO is sent a bid of nothing"

Action = Callable[[Workflow, Opportunity], Opportunity]
Said = Callable[[Workflow, Opportunity, Opportunity], str]

Bid = Annotated[str, typer.Argument(help="Opportunity id, or a part that only it has.", metavar="BID")]
As = Annotated[str, typer.Option("--as", help="User who acts.")]
Seen = Annotated[str, typer.Option("--draft", help="Digest of the draft that was seen.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; not empty.")]

group = typer.Typer(help="Bids: review, approve, refuse.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="bids")


@group.command("list")
def list_bids(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> None:
    """List opportunities by time to gate closure."""
    shared: Context = context.obj
    with shared.workflow() as (_, workflow):
        found = workflow.store.journal.find() if everything else workflow.open()
        found.sort(key=lambda one: (workflow.gate_closes_at(one), one.opportunity_id))
        rows = [_summary(one, workflow) for one in found]
    if shared.as_json:
        shared.answer({"bids": rows}, "")
        return
    table = Table(
        *("opportunity", "stage", "zone", "window (London)", "needed kW", "bid kW", "GBP/MWh", "DNO holds"),
        *("gate", "draft"),
    )
    for one, row in zip(found, rows, strict=True):
        window = (
            f"{one.window.start.astimezone(LONDON):%d %b %H:%M}-{one.window.end.astimezone(LONDON):%H:%M}"
        )
        gate = f"{workflow.gate_closes_at(one).astimezone(LONDON):%d %b %H:%M}"
        table.add_row(
            one.opportunity_id,
            one.stage,
            one.zone,
            window,
            _kws(row["needed_kw"]),
            _kws(row["offered_kw"]),
            str(row["utilisation_gbp_per_mwh"] or ""),
            _kws(row["dno_holds_kw"]),
            gate,
            str(row["draft"] or "")[:12],
        )
    shared.console().print(table)


@group.command()
def show(context: typer.Context, bid: Bid) -> None:
    """Show one opportunity: need, draft and why, award, orders, and every fact."""
    shared: Context = context.obj
    with shared.workflow() as (_, workflow):
        one = the_opportunity(workflow.store, bid, "bids: BID")
        facts = [
            {"version": version, "fact": type(fact).__name__, "at": utc_text(fact.at), "by": by}
            | ({"reason": fact.reason} if isinstance(fact, WITH_REASON) else {})
            for version, fact, by, _ in workflow.store.journal.facts(one.opportunity_id)
        ]
        orders = [_order(order) for order in one.in_force]
        body = {**_summary(one, workflow), **details(one), "orders": orders, "facts": facts}
    told = ("why", "base_kw", "kept_kw", "offered_kw", "by", "version", "facts")
    lines = [f"{name}: {value}" for name, value in body.items() if name not in told]
    lines += in_words(one)
    for row in facts:
        because = f": {row['reason']}" if "reason" in row else ""
        lines.append(f"  {row['version']:>3} {row['at']} {row['fact']} by {row['by']}{because}")
    shared.answer(body, "\n".join(lines))


@group.command()
def check(context: typer.Context, bid: Bid, user: As, draft: Seen) -> None:
    """Be the first of two people to find exactly this draft right."""

    def said(flow: Workflow, before: Opportunity, after: Opportunity) -> str:
        done = f"checked by {user}" if after != before else f"{user} has checked this draft already"
        alone = (
            "one person's approval will do" if not flow.desk.two_people else "somebody else must approve it"
        )
        return f"{done}; {alone}"

    _act(context, bid, lambda flow, one: flow.check(one, _digest(one, draft), user), said)


@group.command()
def approve(context: typer.Context, bid: Bid, user: As, draft: Seen) -> None:
    """Approve exactly this draft: it leaves for the platform."""
    said = f"approved by {user}; the bid leaves now"
    _act(context, bid, lambda flow, one: flow.approve(one, _digest(one, draft), user), lambda *_: said)


@group.command()
def amend(
    context: typer.Context,
    bid: Bid,
    user: As,
    draft: Seen,
    kw: Annotated[float | None, typer.Option(help="New level, at most the model's own. [kW]")] = None,
    price: Annotated[str | None, typer.Option(help="New price, at most the ceiling. [GBP/MWh]")] = None,
) -> None:
    """Replace the draft by one with another level or price; it is reviewed anew."""
    if kw is None and price is None:
        raise BadMessage(Fault("bids amend", "nothing to change", "--kw or --price, or both"))
    if kw is not None and not math.isfinite(kw):
        raise BadMessage(Fault("bids amend: --kw", str(kw), "a finite number of kW"))
    pounds = _price(price)

    def said(flow: Workflow, before: Opportunity, after: Opportunity) -> str:
        next_step = "two people must check and approve it" if flow.desk.two_people else "it must be approved"
        line = f"amended by {user}: {_offer(after.draft)} is up for review; {next_step}"
        if after.submitted is None:
            return line
        return f"{line} before it replaces what the DNO holds, {_offer(after.submitted)}"

    _act(context, bid, lambda flow, one: flow.amend(one, _digest(one, draft), user, kw, pounds), said)


@group.command()
def reject(context: typer.Context, bid: Bid, user: As, reason: Reason) -> None:
    """Refuse to bid, with a reason."""
    why = _why("reject", reason)

    def said(_: Workflow, before: Opportunity, after: Opportunity) -> str:
        sent = NOTHING_SENT if before.submitted is None else SENT_NOTHING
        return f"refused by {user}: {why}; {sent}"

    _act(context, bid, lambda flow, one: flow.decline(one, why, user), said)


@group.command()
def withdraw(context: typer.Context, bid: Bid, user: As, reason: Reason) -> None:
    """Take an approved, submitted or awarded bid back, with a reason; what is delivered ends at once."""
    why = _why("withdraw", reason)
    said = f"withdrawn by {user}: {why}; {SENT_NOTHING}"
    _act(context, bid, lambda flow, one: flow.withdraw(one, why, user), lambda *_: said)


def _act(context: typer.Context, bid: str, action: Action, said: Said) -> None:
    """Do something with a bid, and say who did what and what comes next."""
    shared: Context = context.obj
    with shared.workflow(acting=True) as (_, workflow):
        before = the_opportunity(workflow.store, bid, "bids: BID")
        after = action(workflow, before)
        body = _summary(after, workflow)
        line = said(workflow, before, after)
    shared.answer(body, f"{after.opportunity_id}: {line}")


def _why(verb: str, reason: str) -> str:
    if not reason.strip():
        raise BadMessage(Fault(f"bids {verb}: --reason", reason, "why, in words"))
    return reason.strip()


def _offer(draft: Draft | None) -> str:
    if draft is None:
        return "no draft"
    levels = _kws(list(draft.offered_kw))
    return f"draft {draft.version} ({levels} kW at {draft.asks})"


def _digest(opportunity: Opportunity, seen: str) -> str:
    """Return the full digest that ``seen`` abbreviates, or ``seen`` itself, to be refused."""
    if len(seen) < SHORTEST_DIGEST:
        raise BadMessage(Fault("bids: --draft", seen, f"at least {SHORTEST_DIGEST} letters of the digest"))
    digest = opportunity.draft.digest if opportunity.draft is not None else ""
    return digest if digest.startswith(seen) else seen


def _price(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite():
        raise BadMessage(Fault("bids amend: --price", text, "a finite number of GBP/MWh"))
    return price


def _summary(one: Opportunity, workflow: Workflow) -> dict[str, object]:
    need, draft = one.requirement, one.draft
    closed = why_closed(one, workflow.gate_closes_at(one))
    return {
        "opportunity": one.opportunity_id,
        "stage": one.stage.value,
        "zone": one.zone,
        "product": one.product_id,
        "start": utc_text(one.window.start),
        "end": utc_text(one.window.end),
        "gate_closes_at": utc_text(workflow.gate_closes_at(one)),
        "needed_kw": list(need.needed_kw) if need else None,
        "ceiling_gbp_per_mwh": need.utilisation_ceiling if need else None,
        "offered_kw": list(draft.offered_kw) if draft else None,
        "utilisation_gbp_per_mwh": draft.utilisation_gbp_per_mwh if draft else None,
        "price_steps": [_step(step) for step in draft.priced] if draft else None,
        "expected_margin_gbp": round(draft.expected_margin_gbp, 2) if draft else None,
        "draft": draft.digest if draft else None,
        "checked_by": one.checked_by,
        "approved": one.approved_digest is not None,
        "awarded_kw": list(one.award.awarded_kw) if one.award else None,
        "dno_holds_kw": list(one.submitted.offered_kw) if one.submitted and not closed else None,
        "closed_because": closed,
    }


def _step(step: PriceStep) -> dict[str, object]:
    return {"offered_kw": list(step.offered_kw), "gbp_per_mwh": step.gbp_per_mwh}


def _order(order: Instruction) -> dict[str, object]:
    return {
        "event": order.key.event_id,
        "modification": order.key.modification,
        "start": utc_text(order.window.start),
        "end": utc_text(order.window.end),
        "mode": order.mode.value,
        "values": [step.value for step in order.steps],
        "priority": order.priority,
        "ramp_up_s": order.ramp_up_s,
        "notice_s": order.notice_s,
        "delay_s": order.delay_s,
    }


def _kws(levels: object) -> str:
    if not isinstance(levels, list) or not levels:
        return ""
    low, high = min(levels), max(levels)
    return f"{high:g}" if low == high else f"{low:g}-{high:g}"
