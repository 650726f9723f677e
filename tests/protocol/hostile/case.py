"""What a hostile message is, and the sound one that they are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.protocol.vtn import an_event, distribute

SOUND = distribute(an_event()).encode()
"""One dispatch event, DSP-1, of 30 kW more export."""

CANARY = b"http://127.0.0.1:1/canary"
"""Stands for an address where nothing may ask; tests put in one where they listen."""

SECRET = b"/srv/secret"
"""Stands for a file whose content must not be read; tests put in one of theirs."""


class Fate(Enum):
    """What becomes of a message."""

    REFUSED = "refused as a whole: nothing of it is taken"
    BAD_EVENT = "its event is refused, others beside it would not be"
    READ = "read, as it says what it seems to say"


@dataclass(frozen=True)
class Case:
    """One message.

    Attributes:
        name: What is wrong with it.
        data: Its bytes.
        fate: What becomes of it.
        but: For what is read: in what its event differs from that of the sound message.
    """

    name: str
    data: bytes
    fate: Fate = Fate.REFUSED
    but: Mapping[str, object] = field(default_factory=dict)


def swap(old: str | bytes, new: str | bytes, count: int = 1, data: bytes = SOUND) -> bytes:
    """Return the sound message with something replaced; it must be there."""
    old = old.encode() if isinstance(old, str) else old
    new = new.encode() if isinstance(new, str) else new
    assert old in data, old
    return data.replace(old, new, count)


def inside(text: str) -> str:
    """Return how an id is written in the sound message, with this text for it."""
    return f"<ei:eventID>{text}</ei:eventID>"


ID = inside("DSP-1")
