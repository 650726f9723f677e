"""``flexloop desk``: passwords for the desk in the browser, and what was done there."""

import re
from typing import Annotated

import typer
from rich.table import Table

from aggregator.acting import DONE
from aggregator.commands.access import note_of_access
from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON
from aggregator.store import Verified
from aggregator.web.deeds import chain_row, deed_row
from aggregator.web.passwords import hashed, new_password

group = typer.Typer(help="The desk in the browser: passwords, and what was done there.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="desk")


@group.command()
def password(
    context: typer.Context, user: Annotated[str, typer.Argument(help="As configured.", metavar="USER")]
) -> None:
    """Make a new password for a user and print it, this once; who was signed in is signed out."""
    shared: Context = context.obj
    with shared.workflow() as (settings, workflow):
        names = [one.name for one in settings.desk.user]
        if user not in names:
            allowed = f"a user of the configuration: {', '.join(names) or 'there is none'}"
            raise BadMessage(Fault("desk password: USER", user, allowed))
        text = new_password()
        known, store, now = hashed(text), workflow.store, workflow.now()
        with store.at_once():
            store.desk_people.set_password(user, known, now)
            said = (
                f"a new password was made for {user}; whoever was signed in by the one before is signed out"
            )
            note_of_access(store, now, "password", user, said)
    if not shared.as_json:
        note = f"the new password of {user} for the desk in the browser, shown this once:"
        typer.echo(note, err=True)  # so that stdout is the password and nothing else
    shared.answer({"user": user, "password": text}, text)


@group.command()
def trail(
    context: typer.Context,
    verify: Annotated[bool, typer.Option("--verify", help="Check its chain of hashes.")] = False,
    head: Annotated[
        str | None, typer.Option(help="With --verify: a head kept elsewhere, that must still be there.")
    ] = None,
) -> int:
    """List what people did or were refused, the oldest first; --verify walks along its chain of hashes."""
    shared: Context = context.obj
    if head is not None and (not verify or re.fullmatch("[0-9a-f]{64}", head) is None):
        raise BadMessage(Fault("desk trail: --head", head, "with --verify, the 64 hex digits of a head"))
    with shared.store() as store:
        if verify:
            return _verify(shared, store.desk_trail.verify(head))
        found = store.desk_trail.all()
    if shared.as_json:
        shared.answer({"actions": [deed_row(one) for one in found]}, "")
        return 0
    table = Table("action", "at (London)", "user", "where", "what", "about", "draft", "said")
    for one in found:
        at = f"{one.at.astimezone(LONDON):%d %b %H:%M:%S}"
        said = f"{'' if one.status == DONE else 'refused: '}{one.said}"
        table.add_row(
            str(one.action_id), at, one.user, one.via, one.action, one.subject, one.draft[:12], said
        )
    shared.console().print(table)
    return 0


def _verify(shared: Context, found: Verified) -> int:
    lines = [f"{found.rows} rows, head {found.head}"]
    if found.misfit is not None:
        lines.append(
            f"row {found.misfit} does not fit: it, or what stood before it, is not as it was written"
        )
    if found.has_head is not None:
        lines.append(f"the head that was asked for is {'in it' if found.has_head else 'NOT in it'}")
    shared.answer(chain_row(found), "\n".join([*lines, "holds" if found.holds else "DOES NOT HOLD"]))
    return 0 if found.holds else 1
