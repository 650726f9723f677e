"""``flexloop settle``: the settlement job."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.opportunity import Stage
from aggregator.model.time import parse_instant
from aggregator.reports import write_book
from aggregator.settling import make_book, settle_opportunity
from aggregator.workflow import fleets_of

SETTLEABLE = (Stage.DELIVERED, Stage.SETTLED, Stage.CLOSED)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settle")(settle_command)


def settle_command(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="First London date.", metavar="DATE")],
    end: Annotated[str, typer.Option("--to", help="London date after the last one.", metavar="DATE")],
    out: Annotated[Path, typer.Option("--out", help="Folder for statement.csv, .json and .html.")],
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
    as_known_at: Annotated[
        str | None, typer.Option(help="Only what was learnt by then, orders included; with a zone.")
    ] = None,
) -> None:
    """Settle what was delivered and write the statement; a re-run gives the same bytes."""
    shared: Context = context.obj
    first, last = _day("--from", start), _day("--to", end)
    if first >= last:
        raise BadMessage(Fault("settle: --to", end, f"a date after {start}"))
    known_at = _instant(as_known_at)
    with shared.workflow() as (settings, workflow):
        if zone is not None and zone not in settings.fleet.zones:
            raise BadMessage(Fault("settle: --zone", zone, f"one of {', '.join(settings.fleet.zones)}"))
        fleets = fleets_of(workflow.store)
        if known_at is None:
            for opportunity in workflow.store.journal.find(zone=zone, stages=SETTLEABLE):
                if opportunity.award is not None or opportunity.orders:
                    settle_opportunity(workflow, opportunity, fleets, None)
        book = make_book(workflow.store, settings.products, fleets, first, last, zone, known_at)
    digests = write_book(book, out)
    body = {"rows": len(book.rows), "totals": book.totals, "files": digests}
    text = (
        f"{len(book.rows)} half-hours, delivered {book.totals['delivered_kwh']} kWh of"
        f" {book.totals['instructed_kwh']} kWh, GBP {book.totals['amount_gbp']:.2f}; see {out}/statement.html"
    )
    shared.answer(body, text)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadMessage(Fault(f"settle: {option}", text, "a date, 2025-01-15")) from None


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        allowed = "an instant with a zone, 2025-01-15T17:00:00Z"
        raise BadMessage(Fault("settle: --as-known-at", text, allowed)) from None
