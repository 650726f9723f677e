"""``flexloop split``: one dispatch split, from a file."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.files.outputs import to_json
from aggregator.files.split import read_split, split_to_json
from dispatch.split import split

File = Annotated[Path, typer.Argument(help="Input file.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("split")(split_command)


def split_command(context: typer.Context, file: File) -> None:
    """Split a zone's request over cars, as the file says."""
    problem = read_split(file)
    typer.echo(to_json(split_to_json(split(problem))))
