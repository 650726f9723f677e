"""``flexloop forecast``: what each zone's cars could give, half-hour by half-hour, and how sure that is."""

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import pygal
import typer
from rich.table import Table

from aggregator import charts
from aggregator.commands.context import Context
from aggregator.files.outputs import write_files
from aggregator.files.sessions import read_sessions
from aggregator.forecast import History, Horizon
from aggregator.forecast.outlook import PERCENTILES
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON, utc_text
from aggregator.workflow import fleet_of
from aggregator.zone_forecast import FIGURES, ZoneForecast, zone_forecast

FARTHEST = timedelta(days=14)
CHART_STYLE = charts.style("#0b5fa5", "#1a7f37", "#8a8f98", "#b35900")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("forecast")(forecast_command)


def forecast_command(
    context: typer.Context,
    zone: Annotated[str | None, typer.Option(help="Only this zone.")] = None,
    day: Annotated[
        str | None,
        typer.Option("--date", help="London date whose noon begins it; today's without.", metavar="DAY"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for forecast.csv and plots.")] = None,
) -> None:
    """Forecast what the cars of each zone could give, from noon to noon: P10, P50 and P90."""
    shared: Context = context.obj
    settings, now = shared.settings(), shared.clock().now()
    if zone is not None and zone not in settings.fleet.zones:
        raise BadMessage(Fault("forecast: --zone", zone, f"one of {', '.join(settings.fleet.zones)}"))
    on = _day(day, now)
    known_at = min(now, Horizon(on).interval.start)
    history = read_sessions(settings.fleet.history) if settings.fleet.history else History(())
    with shared.store() as store:
        fleet, zones = fleet_of(store), settings.fleet.zones if zone is None else (zone,)
        found = [zone_forecast(settings, store, fleet, history, name, on, known_at) for name in zones]
    files = {} if out is None else write_files(out, _files(found, on))
    body = {
        "date": on.isoformat(),
        "known_at": utc_text(known_at),
        "zones": [
            {
                "zone": one.zone,
                "cars": one.cars,
                "drawn_from": list(one.drawn_from),
                "reason": one.reason,
                "slots": list(one.rows()),
            }
            for one in found
        ],
        "files": files,
    }
    if shared.as_json:
        shared.answer(body, "")
        return
    console = shared.console()
    for one in found:
        console.print(_title(one, on), markup=False, highlight=False)
        if one.outlook is not None:
            console.print(_table(one))
    if out is not None:
        console.print(f"written to {out}: {', '.join(files)}", markup=False, highlight=False)


def _day(text: str | None, now: datetime) -> date:
    today = now.astimezone(LONDON).date()
    if text is None:
        return today
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise BadMessage(Fault("forecast: --date", text, "a date, 2025-01-15")) from None
    if found > today + FARTHEST or found.year <= date.min.year:
        allowed = f"a date until {today + FARTHEST}: habits tell no more than two weeks ahead"
        raise BadMessage(Fault("forecast: --date", text, allowed))
    return found


def _title(one: ZoneForecast, day: date) -> str:
    if one.reason is not None:
        return f"{one.zone}, {day}: {one.reason}"
    days = f"{len(one.drawn_from)} past days, {one.drawn_from[-1]} to {one.drawn_from[0]}"
    return f"{one.zone}, {day} from noon: {one.cars} cars, {days}"


def _table(one: ZoneForecast) -> Table:
    table = Table("London")
    for name in ("cars", "kW", "kWh"):
        for percentile in PERCENTILES:
            table.add_column(f"{name} P{percentile}", justify="right")
    for slot, row in zip(one.slots, one.rows(), strict=True):
        figures = [f"{row[f'{name}_p{percentile}']:.1f}" for name in FIGURES for percentile in PERCENTILES]
        table.add_row(f"{slot.start.astimezone(LONDON):%a %H:%M}", *figures)
    return table


def _files(found: Sequence[ZoneForecast], day: date) -> dict[str, str]:
    """Return the texts to write, by file name: one CSV, and one plot for each zone that has an outlook."""
    plots = {f"forecast-{quote(one.zone, safe=' ')}.svg": _plot(one, day) for one in found if one.outlook}
    return {"forecast.csv": _csv(found), **plots}


def _csv(found: Sequence[ZoneForecast]) -> str:
    columns = [f"{name}_p{percentile}" for name in FIGURES for percentile in PERCENTILES]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["zone", "start", "end", *columns], lineterminator="\n")
    writer.writeheader()
    for one in found:
        writer.writerows({"zone": one.zone, **row} for row in one.rows())
    return text.getvalue()


def _plot(one: ZoneForecast, day: date) -> str:
    """Return the fan of kW as SVG, and the middle of the kWh on the right-hand axis."""
    chart = pygal.Line(
        style=CHART_STYLE,
        title=f"{one.zone}, {day} from noon: what {one.cars} cars can give",
        y_title="kW through the half-hour",
        show_dots=False,
        x_label_rotation=60,
        show_minor_x_labels=False,
        x_labels_major_every=4,
        **charts.PLAIN,
    )
    chart.x_labels = [f"{slot.start.astimezone(LONDON):%H:%M}" for slot in one.slots]
    rows = list(one.rows())
    for percentile in reversed(PERCENTILES):
        chart.add(f"kW P{percentile}", [row[f"discharge_kw_p{percentile}"] for row in rows])
    chart.add("kWh P50 (right)", [row["exportable_kwh_p50"] for row in rows], secondary=True)
    return charts.svg(chart)
