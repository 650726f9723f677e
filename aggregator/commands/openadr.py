"""``flexloop openadr read``: one message in our words."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.commands.context import to_json
from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr.read import read_message
from market_adapters.openadr.signatures import fingerprint_of, fingerprint_of_file

File = Annotated[Path, typer.Argument(help="Input file.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="OpenADR messages.")
    group.command("read")(openadr_read)
    app.add_typer(group, name="openadr")


def openadr_read(
    context: typer.Context,
    file: File,
    lenient: Annotated[bool, typer.Option("--lenient", help="Accept known sloppiness.")] = False,
    cert: Annotated[Path | None, typer.Option(help="Certificate it must be signed with; PEM.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="Or the certificate's fingerprint, XX:XX:...")
    ] = None,
) -> None:
    """Read one OpenADR 2.0b message into our words.

    With --cert or --fingerprint its signature is checked, but for when it was signed: a file has no arrival.
    """
    signer = _signer(cert, fingerprint)
    typer.echo(to_json(read_message(file, lenient=lenient, fingerprint=signer)))


def _signer(cert: Path | None, fingerprint: str | None) -> str | None:
    if cert is not None and fingerprint is not None:
        raise BadMessage(Fault("--fingerprint", fingerprint, "either --cert or --fingerprint"))
    if cert is not None:
        return fingerprint_of_file(cert, "--cert")
    return None if fingerprint is None else fingerprint_of(fingerprint, "--fingerprint")
