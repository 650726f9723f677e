"""``flexloop readings``: what meters told, and what they did not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from aggregator.commands.context import Context, local_date
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import Interval, local_day, utc_text
from aggregator.registers import RegisterEvent, gaps, run_on
from aggregator.store import Store
from aggregator.workflow import fleets_of

group = typer.Typer(help="Meter registers.")


@dataclass(frozen=True, slots=True)
class Found:
    """What was odd about the registers of a span."""

    readings: int
    events: tuple[RegisterEvent, ...]
    gaps: tuple[tuple[str, Interval], ...]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="readings")


@group.callback()
def _named() -> None:
    """Keep the only verb a verb."""


@group.command("check")
def check_command(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="First London date.", metavar="DATE")],
    end: Annotated[str, typer.Option("--to", help="London date after the last one.", metavar="DATE")],
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
) -> None:
    """List where registers restarted, rolled over or jumped, and where a charger told nothing for too long.

    Too long is two reporting intervals, as for a stale car.
    """
    shared: Context = context.obj
    first, last = local_date("readings: --from", start), local_date("readings: --to", end)
    if first >= last:
        raise BadMessage(Fault("readings: --to", end, f"a date after {start}"))
    span = Interval(local_day(first).start, local_day(last).start)
    with shared.workflow() as (settings, workflow):
        if zone is not None and zone not in settings.fleet.zones:
            raise BadMessage(Fault("readings: --zone", zone, f"one of {', '.join(settings.fleet.zones)}"))
        fleet = fleets_of(workflow.store).at(span.start)
        cars = fleet.cars if zone is None else fleet.in_zone(zone)
        chargers = sorted({car.charger.charger_id for car in cars})
        longest = 2 * timedelta(seconds=settings.dispatch.reporting_interval_s)
        until = min(span.end, max(span.start + longest, workflow.now()))
        found = _found(workflow.store, chargers, Interval(span.start, until), longest)
    if shared.as_json:
        shared.answer(_body(found), "")
        return
    console = shared.console()
    for table in (_events_table(found), _gaps_table(found)):
        if table.row_count:
            console.print(table)
    text = f"{found.readings:,} readings, {len(found.events)} events, {len(found.gaps)} gaps"
    console.print(text, highlight=False)


def _found(store: Store, chargers: Sequence[str], span: Interval, longest: timedelta) -> Found:
    count, events, missing = 0, [], []
    for charger in chargers:
        within = store.readings.between([charger], span)
        before = store.readings.last_before([charger], span.start)
        shown = [*(one for one in before if one.measured_at < span.start), *within]
        count += len(within)
        events += run_on(shown)[1]
        missing += [(charger, gap) for gap in gaps(within, span, longest)]
    return Found(count, tuple(sorted(events, key=_by_time)), tuple(missing))


def _by_time(event: RegisterEvent) -> tuple[datetime, str, str]:
    return event.at, event.meter_id, event.register


def _body(found: Found) -> dict[str, Any]:
    return {
        "readings": found.readings,
        "events": [
            {
                "meter": event.meter_id,
                "register": event.register,
                "kind": event.kind.value,
                "since": utc_text(event.since),
                "at": utc_text(event.at),
                "before_wh": event.before_wh,
                "after_wh": event.after_wh,
            }
            for event in found.events
        ],
        "gaps": [
            {"meter": meter, "from": utc_text(gap.start), "to": utc_text(gap.end)}
            for meter, gap in found.gaps
        ],
    }


def _events_table(found: Found) -> Table:
    table = Table("at", "meter", "register", "what", "Wh before", "Wh after")
    for event in found.events:
        shown = (event.register, event.kind.value, f"{event.before_wh:,}", f"{event.after_wh:,}")
        table.add_row(utc_text(event.at), escape(event.meter_id), *shown)
    return table


def _gaps_table(found: Found) -> Table:
    table = Table("meter", "nothing from", "to")
    for meter, gap in found.gaps:
        table.add_row(escape(meter), utc_text(gap.start), utc_text(gap.end))
    return table
