"""``flexloop bids``: what is up for review, and what people do with it.

A bid is named by its opportunity id, or by the part of it that no other has (the event id, usually).
Actions name the user with ``--as`` and the draft that was seen with ``--draft``: its digest, or the first
eight letters of it or more. The draft that was seen is the draft that goes, else the action is refused.
"""

from typing import Annotated

import typer
from rich.table import Table

from aggregator import acting
from aggregator.bid_text import by_gate, fact_rows, in_words, kws, plainly, summary, whole
from aggregator.commands.acts import act, as_options
from aggregator.commands.context import Context, the_opportunity
from aggregator.config import Settings
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON
from aggregator.ports import Clock
from aggregator.proposals import history_of
from aggregator.revaluing import revaluing_of
from aggregator.said import DriversSaid
from aggregator.store import Store
from aggregator.workflow import Revalue, fleet_of, nothing_worked_out

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
        found = by_gate(workflow.store.journal.find() if everything else workflow.open(), workflow)
        rows = [summary(one, workflow) for one in found]
    if shared.as_json:
        shared.answer({"bids": rows}, "")
        return
    table = Table(
        *(
            "opportunity",
            "stage",
            "zone",
            "window (London)",
            "needed kW",
            "bid kW",
            "awarded",
            "GBP/MWh",
            "DNO holds",
        ),
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
            kws(row["needed_kw"]),
            kws(row["offered_kw"]),
            kws(row["awarded_kw"]),
            str(row["utilisation_gbp_per_mwh"] or ""),
            kws(row["dno_holds_kw"]),
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
        facts = fact_rows(workflow.store.journal.facts(one.opportunity_id))
        body = whole(one, workflow)
    told = ("why", "base_kw", "kept_kw", "offered_kw", "by", "version", "facts")
    lines = [f"{name}: {plainly(value)}" for name, value in body.items() if name not in told]
    lines += in_words(one)
    for row in facts:
        because = f": {row['reason']}" if "reason" in row else ""
        lines.append(f"  {row['version']:>3} {row['at']} {row['fact']} by {row['by']}{because}")
    shared.answer(body, "\n".join(lines))


@group.command()
def check(context: typer.Context, bid: Bid, user: As, draft: Seen) -> None:
    """Be the first of two people to find exactly this draft right."""
    _act(context, "check", bid, user, draft)


@group.command()
def approve(context: typer.Context, bid: Bid, user: As, draft: Seen) -> None:
    """Approve exactly this draft: it leaves for the platform."""
    _act(context, "approve", bid, user, draft)


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
    with as_options("bids amend"):
        pounds = acting.price_of(price)
        acting.must_change_something(kw, pounds)
    _act(context, "amend", bid, user, draft, kw=kw, gbp_per_mwh=pounds)


@group.command()
def reject(
    context: typer.Context,
    bid: Bid,
    user: As,
    reason: Reason,
    draft: Annotated[
        str | None, typer.Option(help="Digest of the draft that was seen; needed where there is one.")
    ] = None,
) -> None:
    """Refuse exactly this draft, with a reason; what the DNO holds from before stands."""
    with as_options("bids reject"):
        why = acting.why_in_words(reason)
    _act(context, "reject", bid, user, draft, reason=why)


@group.command()
def withdraw(context: typer.Context, bid: Bid, user: As, reason: Reason) -> None:
    """Take an approved, submitted or awarded bid back, with a reason; what is delivered ends at once."""
    with as_options("bids withdraw"):
        why = acting.why_in_words(reason)
    _act(context, "withdraw", bid, user, reason=why)


def _act(
    context: typer.Context, name: str, bid: str, user: str, draft: str | None = None, **fields: object
) -> None:
    """Do something with a bid, and say who did what and what comes next."""
    shared: Context = context.obj
    with shared.workflow(acting=True) as (settings, workflow):
        if name == "amend":
            workflow.revalue = _revalue(settings, workflow.store, shared.clock())
        one = the_opportunity(workflow.store, bid, "bids: BID")
        with as_options("bids"):
            seen = acting.full_digest(one, draft) if draft is not None else None
        with as_options(f"bids {name}"):
            said = act(settings, workflow, name, user, one.opportunity_id, draft=seen, **fields)
        body = summary(workflow.store.journal.opportunity(one.opportunity_id), workflow)
    shared.answer(body, f"{one.opportunity_id}: {said}")


def _revalue(settings: Settings, store: Store, clock: Clock) -> Revalue:
    """Return what values an amended draft; nothing does where fleet or history is not to be had."""
    try:
        fleet, history = fleet_of(store), history_of(settings.fleet.history)
    except BadMessage:
        return nothing_worked_out
    return revaluing_of(settings, store, fleet, history, DriversSaid(store, clock).known_by)
