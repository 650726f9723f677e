"""``flexloop settle``: the settlement job, and what is checked beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from typer.core import TyperGroup

from aggregator.baselines import baseline
from aggregator.commands.context import Context, known_instant, local_date, the_opportunity
from aggregator.commands.settle_drivers import drivers_command
from aggregator.dispatch_check import Checked, Totals, check_dispatches, odd_by_rule
from aggregator.explain_text import details, in_words
from aggregator.explaining import Question, explanation
from aggregator.files.dispatches import Odd, read_dispatches
from aggregator.files.outputs import write_files
from aggregator.flexible_power import PowerAt, flexible_power_files, mean_kw_of, template_csv
from aggregator.metering_points import MeteringPoint
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Fleets
from aggregator.model.market import Product
from aggregator.model.money import pounds
from aggregator.model.rules import BaselineMethod
from aggregator.model.time import Interval, local_day
from aggregator.reports import NOTHING_MORE, write_book
from aggregator.settlement import NO_PAST
from aggregator.settling import Worked
from aggregator.statement_books import make_book
from aggregator.statements import Period, keep_statements, lacking_of, settleable
from aggregator.store import Store
from aggregator.workflow import Workflow, fleets_of

TEMPLATES = (BaselineMethod.NOMINATED, BaselineMethod.FIXED, BaselineMethod.ZERO)
"""Baselines that a week has without an event."""

MOST_SHOWN = 3
"""Odd lines of a rule that are told one by one to people; with ``--json`` all of them are."""


class _WithCommands(TyperGroup):
    """A command that has commands of its own: what it needs for itself, those do not."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 - typer has no public name for the types
        if args[:1] and args[0] in self.commands:
            for parameter in self.params:
                parameter.required = False
        return super().make_context(info_name, args, parent, **extra)


group = typer.Typer(cls=_WithCommands)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group.command("drivers")(drivers_command)
    app.add_typer(group, name="settle")


@group.callback(invoke_without_command=True)
def settle_command(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="First London date.", metavar="DATE")],
    end: Annotated[str, typer.Option("--to", help="London date after the last one.", metavar="DATE")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for statement.csv, .json, .html, .xlsx, .parquet.")
    ],
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
    as_known_at: Annotated[
        str | None,
        typer.Option(
            help="Only what was learnt by then, orders included; London time where no zone is stated."
        ),
    ] = None,
    flexible_power: Annotated[
        bool, typer.Option("--flexible-power", help="Readings and statement in the Flexible Power form, too.")
    ] = False,
) -> None:
    """Settle what was delivered and write the statement; a re-run gives the same bytes."""
    if context.invoked_subcommand is not None:
        return
    shared: Context = context.obj
    first, last = local_date("settle: --from", start), local_date("settle: --to", end)
    if first >= last:
        raise BadMessage(Fault("settle: --to", end, f"a date after {start}"))
    known_at = known_instant("settle", as_known_at)
    with shared.workflow() as (settings, workflow):
        if zone is not None and zone not in settings.fleet.zones:
            raise BadMessage(Fault("settle: --zone", zone, f"one of {', '.join(settings.fleet.zones)}"))
        fleets = fleets_of(workflow.store)
        done = _settled(workflow, fleets, Period(first, last, zone)) if known_at is None else {}
        book = make_book(workflow.store, settings.products, fleets, first, last, zone, known_at, done)
    digests = write_book(book, out, flexible_power_files(book.rows) if flexible_power else NOTHING_MORE)
    lacking = list(lacking_of(digests))
    unsettled = sum(not row.line.is_settled for row in book.rows)
    body = {
        "rows": len(book.rows),
        "cannot_be_settled": unsettled,
        "totals": book.totals,
        "files": digests,
        "not_written": lacking,
    }
    text = (
        f"{len(book.rows)} half-hours, delivered {book.totals['delivered_kwh']} kWh of"
        f" {book.totals['instructed_kwh']} kWh, GBP {book.totals['amount_gbp']:.2f}; see {out}/statement.html"
    )
    if unsettled:
        text = f"{text}\n{unsettled} of them cannot be settled: they have no baseline, and count as nothing"
    shared.answer(body, "\n".join([text, *(f"not written: {one}" for one in lacking)]))


def _settled(workflow: Workflow, fleets: Fleets, period: Period) -> dict[str, Worked]:
    """Settle what was delivered in a period, and return the statements by opportunity."""
    console = Console(stderr=True)
    names = [one.opportunity_id for one in settleable(workflow.store, period)]
    watched = partial(track, description="settling", console=console, transient=True)
    return keep_statements(workflow, fleets, names, partial(watched, disable=not console.is_terminal))


@group.command("explain")
def explain_command(
    context: typer.Context,
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="Opportunity id, or a part that only it has.")
    ],
    half_hour: Annotated[
        str | None,
        typer.Argument(metavar="[HALF-HOUR]", help="Settlement period, London time or instant: 35, 17:00."),
    ] = None,
    car: Annotated[str | None, typer.Argument(metavar="[CAR]", help="Whose registers to show.")] = None,
    as_known_at: Annotated[
        str | None,
        typer.Option(help="Only what was learnt by then; London time where no zone is stated."),
    ] = None,
) -> None:
    """Walk a figure of the statement back to registers, baseline, orders, rule and price."""
    shared: Context = context.obj
    known_at = known_instant("settle explain", as_known_at)
    with shared.workflow() as (settings, workflow):
        store = workflow.store
        one = the_opportunity(store, event, "settle explain: EVENT")
        asked = Question(one, half_hour, car, known_at)
        found = explanation(store, settings.products, fleets_of(store), asked, "settle explain: {}")
    shared.answer(details(found, car), "\n".join(in_words(found, car)))


@group.command("baseline")
def baseline_command(
    context: typer.Context,
    zone: Annotated[str, typer.Option(help="Whose.")],
    product: Annotated[str, typer.Option(help="By whose rules and meters.", metavar="PRODUCT")],
    start: Annotated[str, typer.Option("--from", help="First London date of the week.", metavar="DATE")],
    out: Annotated[Path, typer.Option("--out", help="The CSV file.")],
) -> None:
    """Write a week's baseline as a Flexible Power template: day_of_week, local_time, power_kw.

    That is what was nominated in the seven days, or the product's fixed profile; export is positive, times
    are local and name the start. The operator repeats it every week.
    """
    shared: Context = context.obj
    first = local_date("settle: --from", start)
    with shared.workflow() as (settings, workflow):
        _must_be_known("--zone", zone, settings.fleet.zones)
        _must_be_known("--product", product, tuple(settings.products))
        power_at = _baseline_power(workflow.store, settings.products[product], zone, first)
        try:
            text = template_csv(first, power_at)
        except ValueError as gaps:
            allowed = f"a week that was nominated; nothing was for {gaps}"
            raise BadMessage(Fault("settle baseline: --from", start, allowed)) from None
    digests = write_files(out.parent, {out.name: text})
    body = {"rows": len(text.splitlines()) - 1, "files": digests}
    shared.answer(body, f"{body['rows']} half-hours of a week; see {out}")


def _baseline_power(store: Store, product: Product, zone: str, first: date) -> PowerAt:
    """Return the baseline of a product in the week from a date on, where no day is looked back on for it."""
    rule = product.baseline
    if rule.method not in TEMPLATES:
        allowed = f"a product with the baseline {', '.join(TEMPLATES)}; others are made anew for each event"
        raise BadMessage(Fault("settle baseline: --product", product.product_id, allowed))
    fleet = fleets_of(store).at(local_day(first).start)
    point = MeteringPoint.of(store, product, fleet, zone)
    week = _span(first, first + timedelta(days=7))
    nominated = {one.period: point.nominated(one) for one in store.nominations.between(zone, week)}

    def power_at(period: Interval) -> float | None:
        own = nominated.get(period)
        said = [None if own is None else own.export_wh]
        (wh,) = baseline(
            rule, product.direction, [period], said, NO_PAST.usage, NO_PAST.event_days, len(point.car_of)
        ).export_wh
        return None if wh is None else mean_kw_of(wh)

    return power_at


def _must_be_known(option: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise BadMessage(Fault(f"settle baseline: {option}", name, f"one of {', '.join(known)}"))


@group.command("check-dispatches")
def check_command(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV with the columns of UKPN's dispatch records.")
    ],
) -> None:
    """Re-compute hours, MWh and money of published dispatches, and name the odd lines.

    Money is paid on MW x hours, not on the rounded MWh. Odd lines that can be read count in the totals.
    With --json, "row" counts lines of data from 1, so that the file's line is row + 1 as a rule.
    """
    shared: Context = context.obj
    checked = check_dispatches(read_dispatches(file, stated=True))
    if shared.as_json:
        shared.answer(_body(checked), "")
    else:
        _tell(checked, shared.console())


def _body(checked: Checked) -> dict[str, object]:
    return {
        "rows": checked.rows,
        "odd": [{"row": one.row, "rule": one.rule, "detail": one.detail} for one in checked.odd],
        "totals": _figures(checked.by_product),
        "by_zone": _figures(checked.by_zone),
        "by_month": _figures(checked.by_month),
        "by_company": _figures(checked.by_company),
        "pairs": asdict(checked.pairs),
    }


def _figures(totals: Totals) -> dict[str, dict[str, float]]:
    """Return totals as JSON numbers: a sum of such a file has far fewer digits than they hold."""
    return {
        name: {
            figure: float(value) if isinstance(value, Decimal) else value
            for figure, value in asdict(total).items()
        }
        for name, total in totals.items()
    }


def _tell(checked: Checked, console: Console) -> None:
    named = {
        "product": checked.by_product,
        "zone": checked.by_zone,
        "month": checked.by_month,
        "company": checked.by_company,
    }
    for what, totals in named.items():
        table = Table(what, "rows", "MW h held", "MWh called", "GBP held", "GBP called")
        for column in table.columns[1:]:
            column.justify = "right"
        for name, total in totals.items():
            table.add_row(
                escape(name),
                f"{total.rows:,}",
                f"{total.availability_mw_h:,.3f}",
                f"{total.utilisation_mwh:,.3f}",
                f"{pounds(total.availability_gbp):,}",
                f"{pounds(total.utilisation_gbp):,}",
            )
        console.print(table)
    pairs = checked.pairs
    said = [
        f"{checked.rows:,} lines; {pairs.held:,} hold power, of {pairs.held_and_called:,} of them some was"
        f" called, in {pairs.called:,} lines; {pairs.unheld:,} called what no line holds.",
        f"{len(checked.odd):,} findings{'; --json has them all:' if checked.odd else '.'}",
        *_first_of_each(checked.odd),
    ]
    for line in said:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _first_of_each(odd: Sequence[Odd]) -> Iterator[str]:
    """Yield how often each rule was broken, and where first."""
    for rule, count in odd_by_rule(odd).items():
        yield f"  {rule}: {count:,}"
        some = [one for one in odd if one.rule == rule][:MOST_SHOWN]
        yield from (f"    line {one.line}: {one.detail}" for one in some)


def _span(first: date, last: date) -> Interval:
    return Interval(local_day(first).start, local_day(last).start)
