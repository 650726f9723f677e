"""``flexloop drivers``: who may use the drivers' door.

A token is printed once, when it is made; the store keeps what it can be recognised by. A running gateway
takes a new one, and refuses a revoked one, from the next request on.
"""

from typing import Annotated

import typer

from aggregator.commands.access import note_of_access
from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import utc_text
from aggregator.store import DriverToken
from aggregator.takeover import must_keep_time
from aggregator.workflow import fleet_of

drivers = typer.Typer(help="Drivers' tokens for their door.", no_args_is_help=True)

MOST_NAMED = 5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(drivers, name="drivers")


@drivers.command("token")
def token_command(
    context: typer.Context, car: Annotated[str, typer.Argument(help="Whose driver's.", metavar="CAR")]
) -> None:
    """Make a token for a car's driver and print it, this once."""
    shared: Context = context.obj
    with shared.store() as store:
        must_keep_time(store, shared.timekeeping)
        known = fleet_of(store).by_id
        if car not in known:
            some = ", ".join(list(known)[:MOST_NAMED])
            raise BadMessage(Fault("drivers token: CAR", car, f"the id of a car in the fleet: {some}, ..."))
        now = shared.clock().now()
        with store.at_once():
            made, text = store.tokens.make(car, now)
            note_of_access(store, now, "token", car, f"token {made.token_id} was made for the car's driver")
    shared.answer({**_body(made), "token": text}, text)


@drivers.command("revoke")
def revoke_command(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(help="The token's id, or its car's.", metavar="TOKEN|CAR")],
) -> None:
    """Revoke a token for good, or all of a car's."""
    shared: Context = context.obj
    with shared.store() as store:
        must_keep_time(store, shared.timekeeping)
        now = shared.clock().now()
        found = [one for one in store.tokens.all() if token_id in (one.token_id, one.car_id)]
        if not found:
            allowed = "the id of a token or a car that has one: see flexloop drivers list"
            raise BadMessage(Fault("drivers revoke: TOKEN|CAR", token_id, allowed))
        with store.at_once():
            done = [revoked for one in found if (revoked := store.tokens.revoke(one.token_id, now))]
            for one in found:
                held = "revoked" if one.revoked_at is None else "revoked already"
                said = f"token {one.token_id} of the car's driver is {held}"
                note_of_access(store, now, "token", one.car_id, said)
    shared.answer({"tokens": [_body(one) for one in done]}, "\n".join(map(_line, done)))


@drivers.command("list")
def list_command(context: typer.Context) -> None:
    """List tokens, without what makes them one."""
    shared: Context = context.obj
    with shared.store() as store:
        found = store.tokens.all()
    shared.answer(
        {"tokens": [_body(one) for one in found]}, "\n".join(map(_line, found)) or "no driver has a token"
    )


def _line(one: DriverToken) -> str:
    until = "" if one.revoked_at is None else f", revoked {utc_text(one.revoked_at)}"
    return f"{one.token_id}  {one.car_id}  made {utc_text(one.made_at)}{until}"


def _body(one: DriverToken) -> dict[str, object]:
    revoked = None if one.revoked_at is None else utc_text(one.revoked_at)
    made = utc_text(one.made_at)
    return {"token_id": one.token_id, "car_id": one.car_id, "made_at": made, "revoked_at": revoked}
