"""``flexloop check-config``, ``fleet import`` and ``db upgrade``: what comes before ``serve``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from aggregator.commands.context import Context
from aggregator.commands.database import check_url, downgraded, imported_fleet, upgraded
from aggregator.config import Settings
from aggregator.files.cleared import read_cleared
from aggregator.files.fleet import read_fleet
from aggregator.files.secrets import read_secrets
from aggregator.files.sessions import read_sessions
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Fleet
from aggregator.problems import solver_choice
from aggregator.solver import must_solve
from aggregator.wiring import prices_of
from market_adapters.openadr.settings import SHORTEST_POLL_S

File = Annotated[Path, typer.Argument(help="Input file.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check-config")(check_config)
    fleet, db = typer.Typer(help="The fleet's registry."), typer.Typer(help="The store.")
    fleet.command("import")(fleet_import)
    db.command("upgrade")(db_upgrade)
    db.command("downgrade")(db_downgrade)
    app.add_typer(fleet, name="fleet")
    app.add_typer(db, name="db")


def fleet_import(context: typer.Context, file: File) -> None:
    """Replace the fleet's registry by a TOML or CSV file, whole or not at all; refused while a gateway runs.

    A gateway keeps its cars in memory, and would go on with the old ones.
    """
    shared: Context = context.obj
    settings = shared.settings()
    fleet = read_fleet(file, settings.fleet.zones)
    with shared.store(create=True) as store, store.held():
        store.fleet.replace(fleet, imported_at=shared.clock().now(), source=file.name)
    zones = {zone: len(fleet.in_zone(zone)) for zone in fleet.zones}
    bars = fleet.bars_to_discharge(shared.clock().now())
    body = {"cars": len(fleet.cars), "zones": zones, "digest": fleet.digest, "no_discharge": bars}
    told = ", ".join(f"{zone}: {count}" for zone, count in zones.items())
    shared.answer(body, "\n".join([f"{len(fleet.cars)} cars imported ({told})", *_told_bars(fleet, bars)]))


def _told_bars(fleet: Fleet, bars: Mapping[str, int]) -> list[str]:
    """Return the line that tells at which homes no car may discharge, and why; none where any may."""
    if not bars:
        return []
    homes = len({car.site.site_id for car in fleet.cars})
    why = ", ".join(f"{bar}: {count}" for bar, count in bars.items())
    return [f"no discharge at {sum(bars.values())} of {homes} homes ({why})"]


def check_config(context: typer.Context) -> None:
    """Read the configuration and every file it names; say what is wrong, or what it comes to."""
    shared: Context = context.obj
    settings = shared.settings()
    check_url(settings.store.url)
    _must_poll_in_peace(settings)
    if settings.fleet.history is not None:
        read_sessions(settings.fleet.history)
    if settings.bidding.acceptance is not None:
        read_cleared(settings.bidding.acceptance)
    prices_of(settings, lambda _: ())
    must_solve(solver_choice(settings.bidding))
    platforms = [str(market.vtn.url) for market in settings.market]
    fleet = imported_fleet(settings.store.url)
    if fleet is not None:
        read_secrets(settings.link.secrets, fleet)
    bars = {} if fleet is None else fleet.bars_to_discharge(shared.clock().now())
    body = {
        "zones": settings.fleet.zones,
        "products": sorted(settings.products),
        "platforms": platforms,
        "rules": [rule.rule_id for rule in settings.desk.rule],
        "no_discharge": bars,
    }
    text = "\n".join(
        (
            f"{shared.config}: good",
            f"zones: {', '.join(settings.fleet.zones)}",
            f"products: {', '.join(sorted(settings.products))}",
            f"platforms: {', '.join(platforms)}",
            *([] if fleet is None else _told_bars(fleet, bars)),
        )
    )
    shared.answer(body, text)


def _must_poll_in_peace(settings: Settings) -> None:
    """Refuse what would be a burden on a platform; only a simulation's own is polled more often."""
    faults = [
        Fault(
            f"{market.vtn.vtn_id}: vtn.poll_interval_s",
            f"{market.vtn.poll_interval_s:g}",
            f"at least {SHORTEST_POLL_S:g}",
        )
        for market in settings.market
        if market.vtn.poll_interval_s is not None and market.vtn.poll_interval_s < SHORTEST_POLL_S
    ]
    if faults:
        raise BadMessage(*faults)


def db_upgrade(context: typer.Context) -> None:
    """Bring the store to this program's schema; a missing one is made."""
    shared: Context = context.obj
    before, after = upgraded(shared.store_url())
    shared.answer({"from": before, "to": after}, f"store is at {after} (was {before or 'empty'})")


def db_downgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="An earlier one, or base for none.", metavar="REVISION")],
) -> None:
    """Take the store back to an earlier program's schema; what that had no place for is lost."""
    shared: Context = context.obj
    before = downgraded(shared.store_url(), revision)
    shared.answer({"from": before, "to": revision}, f"store is at {revision} (was {before or 'empty'})")
