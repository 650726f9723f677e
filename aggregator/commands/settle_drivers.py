"""``flexloop settle drivers``: a month of every driver, and the credit file for billing."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from aggregator.commands.acts import as_options
from aggregator.commands.context import Context, known_instant
from aggregator.cycles import days_of, night_of
from aggregator.files.generation import read_generation
from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.fleet import Fleets
from aggregator.model.time import LONDON, utc_text
from aggregator.trial.cells import Cells, driver_cells, home_cells
from aggregator.trial.credits import credit_rows, keep, kept_of
from aggregator.trial.month import make_month
from aggregator.trial.month_files import totals, write_month
from aggregator.trial.values import Month
from aggregator.workflow import fleets_of

FIRST_YEAR, LAST_YEAR = 2000, 9998


def drivers_command(
    context: typer.Context,
    month: Annotated[str, typer.Option("--month", help="A calendar month.", metavar="YYYY-MM")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")],
    car: Annotated[
        list[str] | None, typer.Option("--car", help="Only this driver; may stand more than once.")
    ] = None,
    generation: Annotated[
        Path | None,
        typer.Option(
            help="CSV of what generation meters counted: site_id, month, generated_kwh.", metavar="FILE.csv"
        ),
    ] = None,
    as_known_at: Annotated[
        str | None,
        typer.Option(
            help="Only what was learnt by then; nothing is recorded. London time where no zone is stated."
        ),
    ] = None,
) -> None:
    """Write each driver's month: nights, credit, energy, who pays for exports, battery, departures.

    Credits are recorded once the month is over: a re-run gives the same bytes, and what is learnt later a new
    version and a row with the difference.
    """
    shared: Context = context.obj
    first = _month(month)
    known_at = known_instant("settle drivers", as_known_at)
    with shared.workflow() as (settings, workflow):
        store, fleets, now = workflow.store, fleets_of(workflow.store), workflow.now()
        generated = {} if generation is None else read_generation(generation, month, _paid(fleets, first))
        if known_at is None:
            _must_be_over(first, now)
        with as_options("settle drivers"):
            made = make_month(
                store, settings, fleets, first, cars=car or None, known_at=known_at, watched=_watched
            )
        if known_at is None:
            keep(store, made, now)
        kept = kept_of(store, made.name, known_at)
        kept = {name: kept[name] for name in kept if not car or name in car}
    digests = write_month(made, kept, generated, out)
    rows = [driver_cells(made, one) for one in made.drivers]
    sums = totals(rows, [home_cells(made, one, {}) for one in made.homes], credit_rows(made.name, kept))
    body = {
        "month": made.name,
        "as_known_at": known_at and utc_text(known_at),
        "totals": sums,
        "files": digests,
    }
    shared.answer(body, _text(made, sums, out))


def _text(made: Month, sums: Cells, out: Path) -> str:
    earning = sum(one.credit_gbp > 0 for one in made.drivers)
    met = int(str(sums["needs"])) - int(str(sums["needs_missed"]))
    lines = (
        f"{made.first:%B %Y}: {sums['drivers']} drivers, {sums['cycles']} nights that count;"
        f" {earning} drivers earn GBP {sums['credit_gbp']}",
        f"charged {sums['import_kwh']} kWh, given {sums['export_kwh']} kWh; departures met: {met} of"
        f" {sums['needs']}",
        f"exported {sums['homes_export_kwh']} kWh: {sums['market_kwh']} to markets,"
        f" {sums['export_tariff_kwh']} on export tariffs (GBP {sums['export_tariff_gbp']}),"
        f" {sums['fit_export_kwh']} on feed-in tariffs, {sums['not_paid_kwh']} paid by nobody",
        f"see {out}/drivers.html; for billing {out}/credits.csv",
    )
    return "\n".join(lines)


def _watched(names: Sequence[str]) -> Iterable[str]:
    console = Console(stderr=True)
    return track(names, "drivers", console=console, transient=True, disable=not console.is_terminal)


def _month(text: str) -> date:
    try:
        found = date.fromisoformat(f"{text}-01") if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text) else None
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise BadMessage(Fault("settle drivers: --month", text, "a calendar month, 2025-01"))
    return found


def _must_be_over(first: date, now: datetime) -> None:
    """Refuse to credit a month whose last night is not over."""
    end = night_of(days_of(first)[-1]).end
    if now < end:
        raise RuleViolation(
            f"{first:%B %Y} is over at {end.astimezone(LONDON):%d %B %Y, %H:%M}, London time",
            f"--as-known-at {utc_text(now.replace(microsecond=0))} shows what is known so far",
        )


def _paid(fleets: Fleets, first: date) -> set[str]:
    """Return the homes that are paid a feed-in tariff for generation in a month."""
    instants = [night_of(day).start for day in days_of(first)]
    cars = [car for at in instants for car in fleets.at(at).cars]
    return {car.site.site_id for car in cars if car.site.feed_in.fit_generation_payer is not None}
