"""``flexloop openadr read``: one message in our words."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.commands.context import to_json
from market_adapters.openadr.read import read_message

File = Annotated[Path, typer.Argument(help="Input file.", metavar="FILE")]

group = typer.Typer(help="OpenADR messages.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    group.command("read")(openadr_read)
    app.add_typer(group, name="openadr")


def openadr_read(
    context: typer.Context,
    file: File,
    lenient: Annotated[bool, typer.Option("--lenient", help="Accept known sloppiness.")] = False,
) -> None:
    """Read one OpenADR 2.0b message into our words."""
    typer.echo(to_json(read_message(file, lenient=lenient)))
