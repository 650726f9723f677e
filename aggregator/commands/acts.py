"""An action of the desk as a command does it: the table, the rules and the trail of the browser and HTTP."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from aggregator.acting import DONE
from aggregator.config import Settings
from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.store import BY_COMMAND
from aggregator.web.actions import ACTIONS, Ground, perform
from aggregator.workflow import Workflow

_BY_NAME = {action.name: action for action in ACTIONS}
_INSTEAD = dict.fromkeys(("acknowledge", "stop", "restart"), "see flexloop alarms list")
"""What to look at where an action that is about no bid was refused."""
_OPTIONS = {"gbp_per_mwh": "price"}
"""Where an option is not called as its field is."""


@contextmanager
def as_options(command: str) -> Iterator[None]:
    """Say which of a command's options is wrong, where an action says which field of its body."""
    try:
        yield
    except BadMessage as bad:
        raise bad.named(partial(_option, command)) from None


def _option(command: str, field: str) -> str:
    return f"{command}: --{_OPTIONS.get(field, field)}" if field.isidentifier() else field


def act(settings: Settings, workflow: Workflow, name: str, user: str, bid: str = "", **fields: object) -> str:
    """Do an action of ``aggregator/web/actions.py`` and return what is said of it.

    Args:
        settings: The gateway's.
        workflow: With the desk's rules.
        name: The action's.
        user: Who acts.
        bid: Its whole id, where it is about one.
        fields: What it is asked with, as the command has read it.

    Raises:
        BadMessage: If who or what is not known: nothing is noted.
        RuleViolation: If it was refused; that is noted.
    """
    action = _BY_NAME[name]
    body = action.body.model_construct(None, **fields)
    key = secrets.token_hex(8)  # a command is a new action each time
    done = perform(Ground(workflow, settings.fleet.zones), action, bid, user, body, key, BY_COMMAND)
    if done.status != DONE:
        raise RuleViolation(done.said, _INSTEAD.get(name, ""))
    return done.said
