"""What every command needs: settings, the store, a way to answer, and logs on stderr."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import structlog
import typer
from rich.console import Console

from aggregator.clock import RealClock
from aggregator.clock_file import read_clock
from aggregator.commands.database import opened
from aggregator.config import Settings, read_settings
from aggregator.files.outputs import to_json
from aggregator.model.errors import BadMessage, Fault, short
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import parse_london
from aggregator.store import Store
from aggregator.takeover import Timekeeping, must_keep_time
from aggregator.wiring import workflow_of
from aggregator.workflow import Workflow

SPOKEN = ("usage", "refused", "unavailable")
"""Codes whose value is a sentence of ours, not something found in an input."""

WIDE = 160
"""Columns of a table that goes to a file or a pipe."""


@dataclass(frozen=True, slots=True)
class Context:
    """The shared options."""

    config: Path
    database: str | None
    clock_file: Path | None
    as_json: bool

    def settings(self) -> Settings:
        """Read the configuration."""
        return read_settings(self.config, self.database)

    def clock(self) -> RealClock:
        """Return the domain clock: real time, unless a clock file says otherwise."""
        return read_clock(self.clock_file)

    @property
    def timekeeping(self) -> Timekeeping:
        """Return what tells the time."""
        return Timekeeping.REAL if self.clock_file is None else Timekeeping.FILE

    def store_url(self) -> str:
        """Return the store's URL; with ``--database`` no configuration is needed."""
        return self.database if self.database is not None else self.settings().store.url

    @contextmanager
    def store(self, *, create: bool = False) -> Iterator[Store]:
        """Open the store, close it afterwards."""
        with opened(self.store_url(), create=create) as store:
            yield store

    @contextmanager
    def workflow(self, *, acting: bool = False) -> Iterator[tuple[Settings, Workflow]]:
        """Open the store with the desk's rules around it; who acts must have the store's own time."""
        settings = self.settings()
        with opened(settings.store.url, create=False) as store:
            if acting:
                must_keep_time(store, self.timekeeping)
            yield settings, workflow_of(settings, store, self.clock())

    def answer(self, body: Mapping[str, object], text: str) -> None:
        """Print one JSON object with ``--json``, else the text for people."""
        typer.echo(to_json(body) if self.as_json else text)

    def console(self) -> Console:
        """Return a console for tables: stdout, or stderr where stdout is for JSON."""
        console = Console(stderr=self.as_json)
        return console if console.is_terminal else Console(stderr=self.as_json, width=WIDE)


def the_opportunity(store: Store, name: str, where: str) -> Opportunity:
    """Return the opportunity whose id is ``name``, or the only one whose id has it as a part.

    Raises:
        BadMessage: If none fits, or more than one.
    """
    ids = store.journal.ids()
    found = [one for one in ids if one == name] or [one for one in ids if name in one]
    if len(found) != 1:
        allowed = f"a name that fits one bid; it fits {', '.join(found[:3]) or 'none'}"
        raise BadMessage(Fault(where, name, allowed))
    return store.journal.opportunity(found[0])


def local_date(where: str, text: str) -> date:
    """Return the London date that an option says.

    Raises:
        BadMessage: If it is none; ``where`` names command and option.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadMessage(Fault(where, text, "a date, 2025-01-15")) from None


def known_instant(command: str, text: str | None) -> datetime | None:
    """Return what ``--as-known-at`` of a command says; None where it is left out.

    Raises:
        BadMessage: If it is no instant: one without a zone is what London's clocks show.
    """
    if text is None:
        return None
    try:
        return parse_london(text)
    except ValueError as wrong:
        raise BadMessage(Fault(f"{command}: --as-known-at", text, str(wrong))) from None


def fail(
    code: str,
    where: str,
    value: str,
    allowed: str,
    *,
    as_json: bool,
    more: Sequence[Fault] = (),
    exit_code: int = 2,
) -> int:
    """Say what is wrong: one JSON object on stdout with ``--json``, else one line a fault on stderr."""
    faults = [Fault(where, value, allowed), *more]
    if code not in SPOKEN:
        faults = [Fault(one.where, short(one.value), one.allowed) for one in faults]
    if as_json:
        rows = [{"where": fault.where, "value": fault.value, "allowed": fault.allowed} for fault in faults]
        body: dict[str, object] = {"error": {"code": code, **rows[0]}}
        if len(rows) > 1:
            body["errors"] = [{"code": code, **row} for row in rows]
        typer.echo(to_json(body))
    else:
        for fault in faults:
            typer.echo(f"flexloop: {' '.join(_line(code, fault).split())}", err=True)
    return exit_code


def _line(code: str, fault: Fault) -> str:
    match code:
        case "usage":
            return f"{fault.value.rstrip('.')}; {fault.allowed}"
        case "refused" | "unavailable":
            return f"{code}: {fault.value}; {fault.allowed}"
        case _:
            return str(fault)


def configure_logging() -> None:
    """Send logs to stderr: readable on a terminal, JSON lines elsewhere."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks
            if not terminal
            else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )
