"""``flexloop plan``: one bid, from a file."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.files.outputs import to_json
from aggregator.files.plan import read_plan
from aggregator.plan import solve_plan

File = Annotated[Path, typer.Argument(help="Input file.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan_command)


def plan_command(context: typer.Context, file: File) -> None:
    """Bid a fleet's capacity over scenarios, as the file says."""
    typer.echo(to_json(solve_plan(read_plan(file))))
