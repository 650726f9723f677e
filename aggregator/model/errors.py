"""The three exceptions that cross layers; any other is a bug and ends the process."""

from collections.abc import Callable
from dataclasses import dataclass, replace

MISSING = "(missing)"
"""What stands for a value that was not stated."""

UNTOLD = "(not repeated)"
"""What stands for a value that may be a secret."""

LONGEST_VALUE = 100
_KEPT_END = 30


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input from outside.

    Attributes:
        where: The file, and the field in it, e.g. ``fleet.toml: car[3].floor``.
        value: What was found there, as text.
        allowed: What would have been accepted.
    """

    where: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.where}: {self.value!r} is not allowed; {self.allowed}"


def short(text: str) -> str:
    """Return a text that fits on a line: a long one loses its middle, as a path's end tells most."""
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[: LONGEST_VALUE - _KEPT_END - 1]}…{text[-_KEPT_END:]}"


class BadMessage(Exception):
    """An input from outside is wrong: HTTP 4xx, exit code 2. Nothing was changed.

    Attributes:
        faults: Every fault found, in the order of the input; at least one.
        code: A stable word for programs, e.g. ``bad_input``.
    """

    def __init__(self, *faults: Fault, code: str = "bad_input") -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
        self.code = code

    def untold(self) -> "BadMessage":
        """Return it without what was found, which may be a secret: where, and what is allowed, stay."""
        return BadMessage(
            *(one if one.value == MISSING else replace(one, value=UNTOLD) for one in self.faults),
            code=self.code,
        )

    def named(self, name: Callable[[str], str]) -> "BadMessage":
        """Return it with each ``where`` as whoever asked calls it: an option, a field of a body."""
        return BadMessage(*(replace(one, where=name(one.where)) for one in self.faults), code=self.code)


class RuleViolation(Exception):
    """An action that the rules of the trade refuse: HTTP 409, exit code 1. Nothing was changed.

    Attributes:
        instead: What to do about it; empty where the bid itself tells.
    """

    def __init__(self, refused: str, instead: str = "") -> None:
        super().__init__(refused)
        self.instead = instead


class Unavailable(Exception):
    """Something outside does not answer.

    Attributes:
        instead: What to do about it.
    """

    def __init__(self, away: str = "", instead: str = "try again later") -> None:
        super().__init__(away)
        self.instead = instead


class Damaged(Unavailable):
    """Something outside answers, but no waiting will mend it: a table is gone."""
