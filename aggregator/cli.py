"""The ``flexloop`` command: one verb a file in ``commands/``, one place that turns errors into exit codes.

Exit 0: done, also with a normal bad outcome such as a bid of 0. Exit 1: refused, or a promise broken.
Exit 2: wrong input or usage. With ``--json`` stdout holds one object and nothing else; logs go to stderr.
``--config``, ``--database``, ``--clock`` and ``--json`` may stand anywhere on the line.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from aggregator.commands.context import Context, configure_logging, fail
from aggregator.model.errors import BadMessage, RuleViolation, Unavailable

ANYWHERE_WITH_VALUE = ("--config", "--database", "--clock")
ANYWHERE = ("--json",)
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The parent of typer's complaints about a command line; it has no public name."""

PROGRAM = "flexloop"

MODULE_OF = {
    "demo": "serve",
    "serve": "serve",
    "check-config": "setup",
    "db": "setup",
    "fleet": "setup",
    "drivers": "drivers",
    "bids": "bids",
    "stop": "halts",
    "restart": "halts",
    "alarms": "alarms",
    "desk": "desk",
    "forecast": "forecast",
    "readings": "readings",
    "settle": "settle",
    "report": "report",
    "audit": "audit",
    "split": "split",
    "plan": "plan",
    "backtest": "backtest",
    "openadr": "openadr",
    "simulate": "simulate",
}
"""Where each verb lives. Only the module that is needed is imported: a desk waits for no solver to load."""


def app_for(line: Sequence[str]) -> typer.Typer:
    """Return the application with the line's own command; with all of them where it names none."""
    app = typer.Typer(
        name=PROGRAM,
        help="A gateway between the grid and a fleet of vehicle-to-grid cars.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    named = [MODULE_OF[word] for word in line if word in MODULE_OF][:1]
    for module in named or dict.fromkeys(MODULE_OF.values()):
        import_module(f"aggregator.commands.{module}").register(app)
    return app


def options(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="Configuration file.")] = Path("config/gateway.toml"),
    database: Annotated[str | None, typer.Option(help="Store URL; wins over the file's.")] = None,
    clock: Annotated[Path | None, typer.Option(help="Clock file of a simulation; real time without.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Take the options that all commands share."""
    context.obj = Context(config, database, clock, as_json=json)


def main() -> None:
    """Run the command line and exit."""
    configure_logging()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    line = hoisted(arguments) or ["--help"]
    as_json = "--json" in line
    try:
        code = app_for(line)(line, prog_name=PROGRAM, standalone_mode=False)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        return 1
    except USAGE_ERROR as error:
        return _misused(error, as_json=as_json)
    except BadMessage as bad:
        first = bad.faults[0]
        return fail(bad.code, first.where, first.value, first.allowed, as_json=as_json, more=bad.faults[1:])
    except RuleViolation as refused:
        instead = refused.instead or "see flexloop bids show"
        return fail("refused", "action", str(refused), instead, as_json=as_json, exit_code=1)
    except Unavailable as away:
        return fail("unavailable", "outside", str(away), away.instead, as_json=as_json, exit_code=1)
    except BrokenPipeError:
        return 0
    except OSError as error:
        return _unusable(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _unusable(error: OSError, *, as_json: bool) -> int:
    """Say which path cannot be used, or that stdout takes nothing; anything else is a bug."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return fail("bad_input", str(error.filename), reason, "a path that can be used", as_json=as_json)
    if error.errno != errno.ENOSPC:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit fails over it once more
    return fail("output", "stdout", reason, "a place with space left", as_json=False, exit_code=1)


def _misused(error: Exception, *, as_json: bool) -> int:
    """Say in one line what is wrong with the command line, and whose help to read."""
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context is not None else PROGRAM
    described: Callable[[], str] = getattr(error, "format_message", error.__str__)
    return fail("usage", "command line", described(), f"see {command} --help", as_json=as_json)


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the shared options in front of the command's own."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in ANYWHERE or argument.startswith(tuple(f"{name}=" for name in ANYWHERE_WITH_VALUE)):
            front.append(argument)
        elif argument in ANYWHERE_WITH_VALUE:
            front += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        else:
            rest.append(argument)
    return front + rest
