"""``flexloop readings``: what meters told, what they did not, and where it is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON, Interval, local_day, utc_text
from aggregator.registers import RegisterEvent, gaps, run_on
from aggregator.store import RolledDay, Store
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
    first, last = _day("--from", start), _day("--to", end)
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


@group.command("roll")
def roll_command(
    context: typer.Context,
    before: Annotated[
        str, typer.Option("--before", help="London date of the first day left.", metavar="DATE")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the files; beside a SQLite file.")
    ] = None,
) -> None:
    """Move the readings of closed settlement days to Parquet files, one a day, their digests in the store.

    Everything reads them there as before: keep the files with the store.
    """
    shared: Context = context.obj
    until = _day("--before", before)
    today = shared.clock().now().astimezone(LONDON).date()
    if until > today:
        raise BadMessage(
            Fault("readings: --before", before, f"a date up to {today}: later days are not closed")
        )
    with shared.store() as store:
        folder = store.rolling.folder(out)
        done = list(_told(store.rolling.roll(until, folder)))
    _answer(shared, done, "moved to files")


@group.command("unroll")
def unroll_command(
    context: typer.Context,
    since: Annotated[str, typer.Option("--from", help="First London date.", metavar="DATE")],
) -> None:
    """Bring the readings of rolled days back into the database; the files stay."""
    shared: Context = context.obj
    first = _day("--from", since)
    with shared.store() as store:
        done = list(_told(store.rolling.unroll(first)))
    _answer(shared, done, "brought back")


def _told(days: Iterator[RolledDay]) -> Iterator[RolledDay]:
    console = Console(stderr=True)
    return iter(track(days, "days", console=console, transient=True, disable=not console.is_terminal))


def _answer(shared: Context, days: Sequence[RolledDay], what: str) -> None:
    rows = sum(day.rows for day in days)
    body = {
        "readings": rows,
        "days": [
            {
                "readings": day.readings,
                "settlement_date": day.settlement_date.isoformat(),
                "file": str(day.path),
                "sha256": day.sha256,
                "rows": day.rows,
            }
            for day in days
        ],
    }
    lines = [f"{day.settlement_date} {day.readings}: {day.rows:,} in {day.path}" for day in days]
    shared.answer(body, "\n".join([*lines, f"{rows:,} readings of {len(days)} days {what}"]))


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


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadMessage(Fault(f"readings: {option}", text, "a date, 2025-01-15")) from None
