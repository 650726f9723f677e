"""The trail's rows of commands that give or take access: passwords of the desk, tokens of drivers.

These take no user: whoever reaches store and configuration may run them, and at first nobody has a password.
So the row names the machine's account that did.
"""

import os
import pwd
import secrets
from datetime import datetime

from aggregator.acting import DONE
from aggregator.store import BY_COMMAND, DeskAction, Store


def note_of_access(store: Store, at: datetime, name: str, subject: str, said: str) -> None:
    """Note in the trail that the machine's account that runs this gave or took access.

    Args:
        store: Whose trail.
        at: Domain instant.
        name: What was done, ``password`` or ``token``.
        subject: For whom: a user, or a driver's car.
        said: In words, without anything secret.
    """
    key = secrets.token_hex(8)
    row = DeskAction(at, f"account {_account()}", name, subject, "", DONE, said, key, "", BY_COMMAND)
    store.desk_trail.add(row)


def _account() -> str:
    """Return the name of the machine's account that runs this, or its number where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
