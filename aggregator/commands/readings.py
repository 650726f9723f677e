"""``flexloop readings``: what meters told, and what they did not; what files bring, and where it is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from aggregator.commands.context import Context, local_date
from aggregator.files.metered import Asked, read_metered
from aggregator.files.registers import read_registers
from aggregator.meter_import import import_intervals, import_registers
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON, Interval, local_day, utc_text
from aggregator.registers import Gap, RegisterEvent, gaps, run_on
from aggregator.store import RolledDay
from aggregator.store.readings import Readings
from aggregator.workflow import fleets_of

group = typer.Typer(help="Meter readings.")
ASSET, BOUNDARY = "charger", "boundary"
PARQUET = ".parquet"
HALF_HOURLY = 30
LENGTHS = (None, HALF_HOURLY, 1)


@dataclass(frozen=True, slots=True)
class Found:
    """What was odd about the registers of a span, at chargers and at the boundaries of homes."""

    readings: int
    events: tuple[tuple[str, RegisterEvent], ...]
    gaps: tuple[tuple[str, str, Gap], ...]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="readings")


@group.command("check")
def check_command(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="First London date.", metavar="DATE")],
    end: Annotated[str, typer.Option("--to", help="London date after the last one.", metavar="DATE")],
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Gaps too across which the registers stood still.")
    ] = False,
) -> None:
    """List where registers restarted, rolled over or jumped, and where a meter told nothing for too long.

    Too long is two reporting intervals, as for a stale car. The meters are those of chargers and, where homes
    have one, of their boundaries. A gap across which registers stood still lost no energy, as where no car
    was plugged in: these are counted, and listed if asked for.
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
        longest = 2 * timedelta(seconds=settings.dispatch.reporting_interval_s)
        until = min(span.end, max(span.start + longest, workflow.now()))
        store, shown = workflow.store, Interval(span.start, until)
        chargers = sorted({car.charger.charger_id for car in cars})
        homes = sorted({car.site.site_id for car in cars if car.site.boundary_meter})
        found = _both(
            _found(ASSET, store.readings, chargers, shown, longest),
            _found(BOUNDARY, store.boundary_readings, homes, shown, longest),
        )
    if shared.as_json:
        shared.answer(_body(found), "")
        return
    console = shared.console()
    still = sum(gap.is_quiet for _, _, gap in found.gaps)
    for table in (_events_table(found), _gaps_table(found, every=every)):
        if table.row_count:
            console.print(table)
    text = f"{found.readings:,} readings, {len(found.events)} events, {len(found.gaps) - still} gaps"
    text += f", {still:,} more across which registers stood still" if still else ""
    console.print(text, highlight=False)


@group.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, or .parquet with registers.")],
    every: Annotated[
        int | None, typer.Option(help="Minutes that a line of CSV stands for: 30 (the default) or 1.")
    ] = None,
    meter: Annotated[str | None, typer.Option(help="The only meter of a CSV file without meter_id.")] = None,
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Meters are homes' own, by site id; else chargers'.")
    ] = False,
) -> None:
    """Take meter readings from a file: all of it or, with every line named that is wrong, nothing.

    CSV in the Flexible Power form: timestamp (UTC, the end of the half-hour or minute), power_kw or
    energy_kwh (positive to the grid), and meter_id. It counts in place of our own registers. Parquet, our own
    form of registers: meter_id, measured_at, import_wh, export_wh. What is known already is not stored again;
    what differs is a correction, and the next settle makes a new version of what it changes.
    """
    shared: Context = context.obj
    with shared.workflow(acting=True) as (_, workflow):
        store, now, fleets = workflow.store, workflow.now(), fleets_of(workflow.store)
        known = fleets.site_ids if boundary else fleets.charger_ids
        if file.suffix == PARQUET:
            _must_be_for_csv({"--every": every, "--meter": meter})
            rows = read_registers(file, known, now)
            done = import_registers(store, rows, now, at_boundary=boundary)
        else:
            asked = Asked(_length(every), known, _known_meter(meter, known), now)
            done = import_intervals(store, read_metered(file, asked), at_boundary=boundary)
    body = {"readings": done.readings, "new": done.new, "meters": done.meters, "events": len(done.events)}
    odd = f", {len(done.events)} odd registers: see readings check and alarms list" if done.events else ""
    text = f"{done.readings:,} readings of {done.meters:,} meters, {done.new:,} of them new{odd}"
    shared.answer(body, text)


def _length(every: int | None) -> timedelta:
    if every not in LENGTHS:
        raise BadMessage(Fault("readings: --every", str(every), "30 or 1"))
    return timedelta(minutes=every or HALF_HOURLY)


def _known_meter(meter: str | None, known: Sequence[str]) -> str | None:
    if meter is not None and meter not in known:
        raise BadMessage(Fault("readings: --meter", meter, "a meter of the fleet"))
    return meter


def _must_be_for_csv(options: dict[str, object]) -> None:
    for option, value in options.items():
        if value is not None:
            raise BadMessage(
                Fault(f"readings: {option}", str(value), "with CSV only: registers say it themselves")
            )


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
    until = local_date("readings: --before", before)
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
    first = local_date("readings: --from", since)
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


def _found(point: str, kept: Readings, meters: Sequence[str], span: Interval, longest: timedelta) -> Found:
    count, events, missing = 0, list[tuple[str, RegisterEvent]](), list[tuple[str, str, Gap]]()
    for meter in meters:
        within = kept.between([meter], span)
        before = kept.last_before([meter], span.start)
        last = next((one for one in before if one.measured_at < span.start), None)
        shown = [last, *within] if last is not None else within
        count += len(within)
        events += [(point, event) for event in run_on(shown)[1]]
        missing += [(point, meter, gap) for gap in gaps(within, span, longest, last)]
    return Found(count, tuple(events), tuple(missing))


def _both(asset: Found, boundary: Found) -> Found:
    events = sorted((*asset.events, *boundary.events), key=_by_time)
    return Found(asset.readings + boundary.readings, tuple(events), (*asset.gaps, *boundary.gaps))


def _by_time(found: tuple[str, RegisterEvent]) -> tuple[datetime, str, str, str]:
    point, event = found
    return event.at, event.meter_id, event.register, point


def _body(found: Found) -> dict[str, Any]:
    return {
        "readings": found.readings,
        "events": [
            {
                "meter": event.meter_id,
                "point": point,
                "register": event.register,
                "kind": event.kind.value,
                "since": utc_text(event.since),
                "at": utc_text(event.at),
                "before_wh": event.before_wh,
                "after_wh": event.after_wh,
            }
            for point, event in found.events
        ],
        "gaps": [
            {
                "meter": meter,
                "point": point,
                "from": utc_text(gap.during.start),
                "to": utc_text(gap.during.end),
                "quiet": gap.is_quiet,
            }
            for point, meter, gap in found.gaps
        ],
    }


def _events_table(found: Found) -> Table:
    table = Table("at", "meter", "at the", "register", "what", "Wh before", "Wh after")
    for point, event in found.events:
        shown = (event.register, event.kind.value, f"{event.before_wh:,}", f"{event.after_wh:,}")
        table.add_row(utc_text(event.at), escape(event.meter_id), point, *shown)
    return table


def _gaps_table(found: Found, *, every: bool) -> Table:
    table = Table("meter", "at the", "nothing from", "to")
    for point, meter, gap in found.gaps:
        if every or not gap.is_quiet:
            table.add_row(escape(meter), point, utc_text(gap.during.start), utc_text(gap.during.end))
    return table
