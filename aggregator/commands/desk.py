"""``flexloop desk``: passwords for the desk in the browser, and what was done there."""

from typing import Annotated

import typer
from rich.table import Table

from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON, utc_text
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
        workflow.store.desk_people.set_password(user, hashed(text), workflow.now())
    shared.answer({"user": user, "password": text}, text)


@group.command()
def trail(context: typer.Context) -> None:
    """List what people did at the desk or were refused, the oldest first."""
    shared: Context = context.obj
    with shared.store() as store:
        found = store.desk_trail.all()
    if shared.as_json:
        rows = [
            {
                "action": one.action_id,
                "at": utc_text(one.at),
                "user": one.user,
                "name": one.action,
                "subject": one.subject,
                "draft": one.draft,
                "status": one.status,
                "said": one.said,
            }
            for one in found
        ]
        shared.answer({"actions": rows}, "")
        return
    table = Table("action", "at (London)", "user", "what", "about", "draft", "said")
    for one in found:
        at = f"{one.at.astimezone(LONDON):%d %b %H:%M:%S}"
        refused = "" if one.status == 200 else "refused: "  # noqa: PLR2004 - HTTP's word for done
        said = f"{refused}{one.said}"
        table.add_row(str(one.action_id), at, one.user, one.action, one.subject, one.draft[:12], said)
    shared.console().print(table)
