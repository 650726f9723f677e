"""``flexloop alarms``: what people must look at, until somebody says that they have."""

from typing import Annotated

import typer
from rich.table import Table

from aggregator.commands.acts import act
from aggregator.commands.context import Context
from aggregator.model.time import LONDON, utc_text
from aggregator.store import Alarm
from aggregator.web.words import in_london

group = typer.Typer(help="Alarms: what people must look at.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="alarms")


@group.command("list")
def list_alarms(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Acknowledged ones too.")] = False,
) -> None:
    """List alarms, the oldest first."""
    shared: Context = context.obj
    with shared.store() as store:
        found = store.alarms.all() if everything else store.alarms.open()
    if shared.as_json:
        shared.answer({"alarms": [_row(alarm) for alarm in found]}, "")
        return
    table = Table("alarm", "at (London)", "what", "where", "text", "over since", "acknowledged by")
    for alarm in found:
        at = f"{alarm.at.astimezone(LONDON):%a %d %b %H:%M:%S}"
        over = "" if alarm.over_at is None else f"{alarm.over_at.astimezone(LONDON):%a %d %b %H:%M:%S}"
        known = (alarm.code, alarm.where, in_london(alarm.text), over, alarm.cleared_by or "")
        table.add_row(str(alarm.alarm_id), at, *known)
    shared.console().print(table)


@group.command("ack")
def acknowledge(
    context: typer.Context,
    alarms: Annotated[list[int], typer.Argument(help="Their numbers.", metavar="ALARM...")],
    user: Annotated[str, typer.Option("--as", help="User who has looked at them.")],
) -> None:
    """Say that somebody has looked at alarms; all of those named, or none."""
    shared: Context = context.obj
    with shared.workflow(acting=True) as (settings, workflow):
        said = act(settings, workflow, "acknowledge", user, alarms=tuple(alarms))
    shared.answer({"acknowledged": alarms, "by": user}, said)


def _row(alarm: Alarm) -> dict[str, object]:
    return {
        "alarm": alarm.alarm_id,
        "at": utc_text(alarm.at),
        "code": alarm.code,
        "where": alarm.where,
        "text": alarm.text,
        "over_at": utc_text(alarm.over_at) if alarm.over_at else None,
        "acknowledged_at": utc_text(alarm.cleared_at) if alarm.cleared_at else None,
        "acknowledged_by": alarm.cleared_by,
    }
