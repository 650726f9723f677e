"""What the operator writes down: every message, and its books."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from .clock import WALL_CLOCK, Clock
from .edge import BadFile, Refusal

_TYPE = re.compile(r"<(?:\w+:)?(oadr\w+)")
_ENVELOPE = {"oadrPayload", "oadrSignedObject"}


class MessageLog:
    """``messages.jsonl``: one line per message, written out before the next is handled.

    A run that carries on an earlier one writes, and counts, on.

    Raises:
        BadFile: If the file is of another program.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.counts = _counted(path)
        self._clock = clock
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, direction: Literal["received", "sent"], text: str, kind: str | None = None) -> None:
        """Write one message down.

        Args:
            direction: As seen by the operator.
            text: The XML as it stood on the wire.
            kind: What it is, where it is no OpenADR message.
        """
        kind = kind or message_type(text)
        self.counts[kind] += 1
        line = {
            "wall_time": WALL_CLOCK.now().isoformat(),
            "domain_time": self._clock.now().isoformat(),
            "direction": direction,
            "type": kind,
            "xml": text,
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _counted(path: Path) -> Counter[str]:
    """How many messages of each type are written down; a line that was cut short is dropped."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    try:
        return Counter(json.loads(line)["type"] for line in whole.splitlines())
    except (ValueError, KeyError, TypeError):
        raise BadFile(Refusal("out", path.name, "a log that this program wrote")) from None


def message_type(text: str) -> str:
    """The OpenADR message type of an XML text, ``unknown`` if there is none."""
    return next((name for name in _TYPE.findall(text) if name not in _ENVELOPE), "unknown")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file by a JSON object at once, so that a reader never sees half of it."""
    half = path.with_suffix(".part")
    half.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)
