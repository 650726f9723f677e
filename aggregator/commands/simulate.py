"""``flexloop simulate``: the DNO's platform and the fleet's chargers, each a process of its own."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.clock import Pace, start_fast_clock
from aggregator.clock_file import CHANGED_AHEAD_S, FileClock
from aggregator.commands.context import Context
from aggregator.files.fleet import read_fleet
from aggregator.files.secrets import read_secrets
from aggregator.model.errors import MISSING, BadMessage, Fault, RuleViolation
from aggregator.model.time import parse_instant, utc_text
from dispatch.fleet_simulator.program import run as run_fleet
from market_adapters.dno_simulator.edge import BadFile
from market_adapters.dno_simulator.main import play

YEARS = (1970, 2999)
FASTEST, USUAL_FACTOR = 1e6, 60.0
LONGEST_DELAY_S = 86_400.0

group = typer.Typer(help="Simulators, each a program of its own.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="simulate")


@group.command()
def dno(
    context: typer.Context,
    scenario: Annotated[Path, typer.Option(help="Scenario file (TOML).")],
    out: Annotated[
        Path, typer.Option(help="Folder for messages and settlement; a killed run goes on from it.")
    ],
    listen: Annotated[str, typer.Option(help="host:port")] = "127.0.0.1:8090",
) -> None:
    """Play a DNO's platform over OpenADR 2.0b, keep every message, settle independently."""
    shared: Context = context.obj
    try:
        play(scenario, listen, out, shared.clock_file)
    except BadFile as bad:
        raise BadMessage(*(Fault(one.where, one.value, one.allowed) for one in bad.refusals)) from None


@group.command()
def fleet(
    context: typer.Context,
    fleet_file: Annotated[Path, typer.Option("--fleet", help="Fleet file (TOML or CSV).")],
    sessions: Annotated[Path, typer.Option(help="When cars come and go (CSV).")],
    out: Annotated[Path, typer.Option(help="Folder for the cars' true energies.")],
    acts: Annotated[Path | None, typer.Option(help="What drivers do on the way (TOML).")] = None,
    listen: Annotated[str, typer.Option(help="host:port")] = "127.0.0.1:8091",
    ends_at: Annotated[str | None, typer.Option(help="Domain instant to end at.")] = None,
    seed: Annotated[int, typer.Option(help="For noise.")] = 1,
    interval_s: Annotated[float, typer.Option(help="Reporting interval, domain seconds.")] = 60.0,
    troubles: Annotated[Path | None, typer.Option(help="What is wrong with them (TOML).")] = None,
    secrets: Annotated[Path | None, typer.Option(help="Chargers' secrets (CSV).")] = None,
) -> int:
    """Play chargers and cars behind the gateway's link."""
    shared: Context = context.obj
    fleet = read_fleet(fleet_file)
    return run_fleet(
        fleet=fleet.cars,
        sessions=sessions,
        acts=acts,
        listen=listen,
        clock=shared.clock(),
        out=out,
        ends_at=_instant(ends_at, "--ends-at") if ends_at is not None else None,
        seed=seed,
        interval_s=interval_s,
        troubles=troubles,
        secrets=read_secrets(secrets, fleet),
    )


@group.command("clock")
def clock_file(
    context: typer.Context,
    starts_at: Annotated[str | None, typer.Option(help="Domain instant to begin at.")] = None,
    out: Annotated[Path | None, typer.Option(help="The clock file to write.")] = None,
    factor: Annotated[
        float | None,
        typer.Option(
            help="Domain seconds per wall second; 60 without. Above some hundred, less on a busy machine, the"
            " simulated fleet may fall silent."
        ),
    ] = None,
    delay_s: Annotated[float, typer.Option(help="Wall seconds until it begins.")] = 10.0,
    until: Annotated[
        str | None, typer.Option(help="Domain instant from which the old pace holds again.")
    ] = None,
) -> None:
    """Write a clock file for --clock: programs that share it share a faster, shifted time.

    With --clock FILE and --factor alone that clock goes on at another pace, under programs that run by it.
    Unlike the demo's clock it waits for none of them: one that is too fast leaves cars silent, bids late.
    """
    shared: Context = context.obj
    pace = USUAL_FACTOR if factor is None else factor
    _must_be_within("--factor", pace, 0.001, FASTEST)
    if starts_at is None and out is None and factor is not None and shared.clock_file is not None:
        _change_pace(shared, factor, None if until is None else _instant(until, "--until"))
        return
    if starts_at is None or out is None:
        allowed = "both, for a new clock file; or --clock FILE and --factor, for another pace"
        raise BadMessage(Fault("simulate: --starts-at, --out", MISSING, allowed))
    instant = _instant(starts_at, "--starts-at")
    if not YEARS[0] <= instant.year <= YEARS[1]:
        allowed = f"an instant of the years {YEARS[0]} to {YEARS[1]}"
        raise BadMessage(Fault("simulate: --starts-at", starts_at, allowed))
    _must_be_within("--delay-s", delay_s, 0.0, LONGEST_DELAY_S)
    clock = start_fast_clock([Pace(instant, pace)], delay_s)
    try:
        out.write_text(clock.to_json(), encoding="utf-8")
    except OSError as error:
        raise BadMessage(Fault("simulate: --out", str(out), f"a file to write: {error.strerror}")) from None
    shared.answer({"clock": str(out)}, f"{out}: {starts_at} in {delay_s:g} s, then {pace:g} times real time")


def _change_pace(shared: Context, factor: float, until: datetime | None) -> None:
    """Let the clock of a file go on at another pace, until an instant or for good."""
    clock, file = shared.clock(), str(shared.clock_file)
    if not isinstance(clock, FileClock):
        raise RuleViolation(
            f"{file} waits for its programs: its timekeeper sets its pace", "a clock without hands"
        )
    try:
        clock.change(factor, until)
    except ValueError as early:
        raise RuleViolation(f"{file} keeps its pace: {early}", "a clock that runs, a later --until") from None
    except OSError as error:
        raise BadMessage(Fault("--clock", file, f"a file to write: {error.strerror}")) from None
    text = utc_text(until) if until is not None else None
    said = f"{file}: {factor:g} times real time in {CHANGED_AHEAD_S:g} s"
    shared.answer({"clock": file, "factor": factor, "until": text}, f"{said}, until {text}" if text else said)


def _must_be_within(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BadMessage(Fault(f"simulate: {option}", f"{value:g}", f"a number from {least:g} to {most:g}"))


def _instant(text: str, option: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError:
        allowed = "an instant with a zone, 2025-01-15T17:00:00Z"
        raise BadMessage(Fault(f"simulate: {option}", text, allowed)) from None
