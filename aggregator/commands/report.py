"""``flexloop report``: what a trial came to, to be shown."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from aggregator.commands.context import Context, local_date
from aggregator.files.intensity import read_intensity
from aggregator.model.errors import BadMessage, Fault
from aggregator.trial.report import make_report
from aggregator.trial.report_page import HTML_FILE, write_report
from aggregator.workflow import fleets_of

LONGEST_DAYS = 366

group = typer.Typer(help="Reports to be shown.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="report")


@group.callback()
def _named() -> None:
    """Keep the only verb a verb."""


@group.command("trial")
def trial_command(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="First London date.", metavar="DATE")],
    end: Annotated[str, typer.Option("--to", help="London date after the last one.", metavar="DATE")],
    out: Annotated[Path, typer.Option("--out", help="Folder for trial.html and trial.json.")],
    intensity: Annotated[
        Path | None,
        typer.Option(
            help="CSV of the grid's carbon intensity: datetime_utc (start of the half-hour), gco2_per_kwh.",
            metavar="FILE.csv",
        ),
    ] = None,
) -> None:
    """Report on a trial's days: availability, delivery, accuracy, response, losses, carbon, promises, cycles.

    Nothing is recorded; the same store gives the same bytes.
    """
    shared: Context = context.obj
    first, last = local_date("report trial: --from", start), local_date("report trial: --to", end)
    if not 0 < (last - first).days <= LONGEST_DAYS:
        allowed = f"a date after {start}, by {LONGEST_DAYS} days at most"
        raise BadMessage(Fault("report trial: --to", end, allowed))
    grid = None if intensity is None else read_intensity(intensity)
    with shared.workflow() as (settings, workflow):
        store = workflow.store
        body = make_report(store, settings, fleets_of(store), first, last, grid, _watched)
    digests = write_report(body, out)
    shared.answer({**body, "files": digests}, f"{_text(body)}\nsee {out / HTML_FILE}")


def _text(body: dict[str, Any]) -> str:
    there, exact, energy = body["availability"], body["accuracy"], body["energy"]
    broken = sum(one["broken"] for one in body["promises"])
    parts = (
        f"{body['cars']} cars, plugged in {_percent(there['plugged_share'])} of the time",
        f"{len(body['events'])} events, {_percent(exact['delivered_share'])} delivered, mean error"
        f" {_percent(exact['mean_error_share'])}",
        f"lost {energy['lost_kwh']:.1f} kWh, {_percent(energy['lost_share'])} of what passed the chargers",
        f"{body['cycles']['cycles']} nights that count; promises P1 and P2 broken: {broken}",
    )
    return "\n".join(parts)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}%"


def _watched(names: Sequence[str]) -> Iterable[str]:
    console = Console(stderr=True)
    return track(names, "cars", console=console, transient=True, disable=not console.is_terminal)
