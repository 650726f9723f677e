"""``flexloop stop`` and ``flexloop restart``: one person stops the cars, two people let them go on.

A stop holds from the gateway's next look at the store, within a second, and outlives its restart. No car
of a stopped zone discharges, and no order or plan is followed; what drivers are owed goes on: boost, floor
and departure, which chargers keep to by themselves, too.
"""

from typing import Annotated

import typer

from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.time import utc_text
from aggregator.store import Alarm, Halt

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
    if not reason.strip():
        raise BadMessage(Fault("stop: --reason", reason, "why, in words"))
    with shared.workflow(acting=True) as (settings, workflow):
        workflow.desk.must_be_known(user)
        _must_be_zone("stop", zone, settings.fleet.zones)
        halt = workflow.store.halts.stop(Halt(zone, workflow.now(), user, reason.strip()))
        said = f"stopped by {halt.by}: {halt.reason}; two people must restart it"
        workflow.store.alarms.raise_(Alarm(workflow.now(), "stopped", _extent(halt), said))
    shared.answer(_body(halt), f"{_extent(halt)}: {said}")


def restart(context: typer.Context, user: As, zone: Zone = None) -> None:
    """Let the cars go on after a stop of the same extent; two people must say so (operator or approver)."""
    shared: Context = context.obj
    with shared.workflow(acting=True) as (settings, workflow):
        workflow.desk.must_be(user, "operator", "approver")
        _must_be_zone("restart", zone, settings.fleet.zones)
        standing = [halt for halt in workflow.store.halts.standing() if halt.zone == zone]
        if not standing:
            others = ", ".join(_extent(halt) for halt in workflow.store.halts.standing()) or "nothing"
            raise RuleViolation(f"{zone or 'everything'} is not stopped; what is: {others}")
        halt = workflow.store.halts.restart(standing[0].halt_id, user, workflow.now())
    done = halt.restarted_by is not None
    alone = f"{user} lets it go on; a second person must"
    said = f"restarted by {halt.first_restart_by} and {user}" if done else alone
    shared.answer(_body(halt), f"{_extent(halt)}: {said}")


def _must_be_zone(verb: str, zone: str | None, zones: tuple[str, ...]) -> None:
    if zone is not None and zone not in zones:
        raise BadMessage(Fault(f"{verb}: --zone", zone, f"one of {', '.join(zones)}"))


def _extent(halt: Halt) -> str:
    return halt.zone or "all zones"


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
