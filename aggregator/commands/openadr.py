"""``flexloop openadr``: ``read`` one message in our words, ``leave`` a platform."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from aggregator.commands.context import Context
from aggregator.files.outputs import to_json
from aggregator.link import link_settings
from aggregator.model.errors import MISSING, BadMessage, Fault
from market_adapters.openadr.leave import leave
from market_adapters.openadr.read import read_message
from market_adapters.openadr.signatures import fingerprint_of, fingerprint_of_file

File = Annotated[Path, typer.Argument(help="Input file.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="OpenADR messages and links.")
    group.command("read")(openadr_read)
    group.command("leave")(openadr_leave)
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


def openadr_leave(
    context: typer.Context,
    vtn: Annotated[
        str | None, typer.Option(help="Platform, by its vtn_id; needed where there are several.")
    ] = None,
) -> None:
    """Cancel our registration with a platform and forget its ids; refused while a gateway runs.

    The next serve registers again: who leaves for good also takes the market file out of the configuration.
    """
    shared: Context = context.obj
    links = {market.vtn.vtn_id: link_settings(market) for market in shared.settings().market}
    named = next(iter(links)) if vtn is None and len(links) == 1 else vtn
    if named not in links:
        raise BadMessage(Fault("--vtn", named or MISSING, f"one of {', '.join(links)}"))
    with shared.store() as store, store.held():
        gone = asyncio.run(leave(links[named], store.memory))
    body = {"vtn_id": named, "registration_id": gone}
    shared.answer(body, f"registration {gone} with {named} is cancelled; the next serve registers again")


def _signer(cert: Path | None, fingerprint: str | None) -> str | None:
    if cert is not None and fingerprint is not None:
        raise BadMessage(Fault("--fingerprint", fingerprint, "either --cert or --fingerprint"))
    if cert is not None:
        return fingerprint_of_file(cert, "--cert")
    return None if fingerprint is None else fingerprint_of(fingerprint, "--fingerprint")
