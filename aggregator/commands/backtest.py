"""``flexloop backtest``: the whole chain over recorded sessions, calls and prices."""

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from aggregator.backtest.offers import Rules
from aggregator.backtest.page import write_backtest
from aggregator.backtest.run import Order, Outcome, run_backtest
from aggregator.backtest.story import POLICIES
from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault

STANDARD = Rules()
PROCESSES = min(2, os.cpu_count() or 1)
MOST_PRICE = 1e5
MOST_ZONES = 1000

Sessions = Annotated[Path, typer.Option(help="Folder with sessions.csv, maybe users_predicted.csv.")]
Dispatches = Annotated[Path, typer.Option(help="CSV of a DNO's calls.")]
Prices = Annotated[Path, typer.Option(help="CSV of half-hourly import prices.")]
SessionsZone = Annotated[str, typer.Option(help="Time zone of stamps in the sessions that name none.")]
Zones = Annotated[int, typer.Option(min=1, max=MOST_ZONES, help="Zones that the sites are dealt to.")]
Out = Annotated[Path, typer.Option(help="Folder for backtest.json and backtest.html.")]
Stated = Annotated[bool, typer.Option(help="Drivers say on plugging in when they will leave.")]
First = Annotated[str | None, typer.Option("--from", help="First London date; all there is without.")]
Last = Annotated[str | None, typer.Option("--to", help="First London date no longer replayed.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes; zones live side by side.")]
Penalty = Annotated[float, typer.Option(min=0, max=MOST_PRICE, help="GBP for each MWh awarded and missing.")]
ExportPrice = Annotated[float, typer.Option(min=0, max=100, help="GBP a kWh given earns beside the market.")]
Risk = Annotated[
    Literal["record", "cvar"], typer.Option(help="How bold bids are: see [bidding] risk in gateway.toml.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backtest")(backtest_command)


def backtest_command(
    context: typer.Context,
    sessions: Sessions,
    dispatches: Dispatches,
    prices: Prices,
    sessions_zone: SessionsZone = "Europe/Oslo",
    zones: Zones = 3,
    out: Out = Path("backtest"),
    stated_departures: Stated = False,
    first: First = None,
    last: Last = None,
    jobs: Jobs = PROCESSES,
    penalty: Penalty = STANDARD.penalty_gbp_per_mwh,
    export_price: ExportPrice = STANDARD.export_gbp_per_kwh,
    risk: Risk = STANDARD.risk,
) -> None:
    """Replay recorded days: forecast, bid, award, split, meter, settle, each knowing what was known then."""
    shared: Context = context.obj
    order = Order(
        sessions=sessions,
        dispatches=dispatches,
        prices=prices,
        sessions_zone=_zone(sessions_zone),
        zones=zones,
        first=_day("--from", first),
        last=_day("--to", last),
        stated=stated_departures,
        jobs=jobs,
        rules=Rules(penalty_gbp_per_mwh=penalty, export_gbp_per_kwh=export_price, risk=risk),
    )
    outcome = _with_bar(order)
    files = write_backtest(outcome, out)
    shared.answer(outcome.body, _told(outcome, files))


def _with_bar(order: Order) -> Outcome:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task: TaskID = bar.add_task("days replayed", total=None)
        return run_backtest(order, lambda done, total: bar.update(task, completed=done, total=total))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise BadMessage(Fault("--sessions-zone", name, "a time zone such as Europe/Oslo")) from None


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadMessage(Fault(option, text, "a date such as 2025-01-15")) from None


def _told(outcome: Outcome, files: tuple[Path, ...]) -> str:
    """Return the figures that matter, in lines for people."""
    body = outcome.body
    lines = [
        f"{body['from']} to {body['to']}: {body['events']} events, {body['feasible']} feasible; "
        f"bid on {_percent(body['bid_on_feasible']['share'])}, "
        f"{_percent(body['volume_of_clairvoyant'])} of the clairvoyant's volume: "
        f"coverage {'counts' if body['coverage_counts'] else 'does not count'}",
    ]
    for name in POLICIES:
        own = body["policies"][name]
        lines.append(
            f"{name:>14}: {own['bid_on']} bids, {own['committed_kwh']:.0f} kWh, "
            f"kept to 95% {_percent(own['coverage_95']['share'])}, net GBP {own['net_gbp']:.2f}"
        )
    promises = body["promises"]
    lines.append(f"promises: {promises['checked']} checked, {promises['broken']} broken")
    return "\n".join([*lines, *map(str, files)])


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}%"
