"""``flexloop stop`` and ``flexloop restart``: one person stops the cars, two people let them go on.

A stop holds from the gateway's next look at the store, within a second, and outlives its restart. No car
of a stopped zone discharges, and no order or plan is followed; what drivers are owed goes on: boost, floor
and departure, which chargers keep to by themselves, too. It goes by the store: while that is away, the desk's
Live page stops the cars without it.
"""

from typing import Annotated

import typer

from aggregator import acting
from aggregator.commands.acts import act, as_options
from aggregator.commands.context import Context
from aggregator.model.errors import Unavailable
from aggregator.model.time import utc_text
from aggregator.store import Halt, Store
from aggregator.web.lately import WITHOUT_DATABASE

As = Annotated[str, typer.Option("--as", help="User who acts.")]
Zone = Annotated[str | None, typer.Option(help="Only this zone; all without.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("stop")(stop)
    app.command("restart")(restart)


def stop(
    context: typer.Context,
    user: As,
    reason: Annotated[str, typer.Option("--reason", help="Why; not empty.")],
    zone: Zone = None,
) -> None:
    """Stop all V2G, of a zone or everywhere; any user may."""
    shared: Context = context.obj
    with as_options("stop"):
        why = acting.why_in_words(reason)
    try:
        with shared.workflow(acting=True) as (settings, workflow), as_options("stop"):
            said = act(settings, workflow, "stop", user, zone=zone, reason=why)
            halt = _newest(workflow.store, zone)
    except Unavailable as away:
        raise Unavailable(str(away), f"nothing was stopped; {WITHOUT_DATABASE}") from away
    shared.answer(_body(halt), said)


def restart(context: typer.Context, user: As, zone: Zone = None) -> None:
    """Let the cars go on after a stop of the same extent; two people must say so (operator or approver)."""
    shared: Context = context.obj
    with shared.workflow(acting=True) as (settings, workflow), as_options("restart"):
        said = act(settings, workflow, "restart", user, zone=zone)
        halt = _newest(workflow.store, zone)
    shared.answer(_body(halt), said)


def _newest(store: Store, zone: str | None) -> Halt:
    """Return the last stop of an extent: the one that stands, if any does."""
    return next(halt for halt in reversed(store.halts.all()) if halt.zone == zone)


def _body(halt: Halt) -> dict[str, object]:
    return {
        "stop": halt.halt_id,
        "zone": halt.zone,
        "at": utc_text(halt.at),
        "by": halt.by,
        "reason": halt.reason,
        "first_restart_by": halt.first_restart_by,
        "restarted_by": halt.restarted_by,
        "stands": halt.restarted_at is None,
    }
