"""What the simulated DNO wrote down, as the things that a test asks about."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lxml import etree

EI = "{http://docs.oasis-open.org/ns/energyinterop/201110}"
OADR = "{http://openadr.org/oadr-2.0b/2012/07}"


class Version(NamedTuple):
    """An event version, as the DNO numbers it."""

    event_id: str
    modification: int


def answers(messages: Path) -> dict[Version, list[str]]:
    """Return every optIn and optOut that came, per event version, in order."""
    found: dict[Version, list[str]] = defaultdict(list)
    for _, version, opt in _answers(messages):
        found[version].append(opt)
    return dict(found)


def answered_at(messages: Path) -> dict[Version, datetime]:
    """Return when each event version was first answered, in domain time."""
    found: dict[Version, datetime] = {}
    for at, version, _ in _answers(messages):
        found.setdefault(version, at)
    return found


def delivered(messages: Path) -> list[frozenset[Version]]:
    """Return the event versions of each delivery, in order; deliveries of nothing left out."""
    found = [
        frozenset(map(_version, message.iter(f"{EI}eventDescriptor")))
        for _, message in _messages(messages, "sent", "oadrDistributeEvent")
    ]
    return [versions for versions in found if versions]


def reports(messages: Path) -> dict[str, list[bytes]]:
    """Return every report that came, per eiReportID, in canonical form and in order."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for _, message in _messages(messages, "received", "oadrUpdateReport"):
        for report in message.iter(f"{OADR}oadrReport"):
            found[_text(report, "eiReportID")].append(etree.tostring(report, method="c14n"))
    return dict(found)


def _answers(messages: Path) -> Iterator[tuple[datetime, Version, str]]:
    for at, message in _messages(messages, "received", "oadrCreatedEvent"):
        for response in message.iter(f"{EI}eventResponse"):
            yield at, _version(response), _text(response, "optType")


def _messages(messages: Path, direction: str, kind: str) -> Iterator[tuple[datetime, etree._Element]]:
    with messages.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return  # still being written
            message = json.loads(line)
            if (message["direction"], message["type"]) == (direction, kind):
                yield (
                    datetime.fromisoformat(message["domain_time"]),
                    etree.fromstring(message["xml"].encode()),
                )


def _version(element: etree._Element) -> Version:
    return Version(_text(element, "eventID"), int(_text(element, "modificationNumber")))


def _text(element: etree._Element, name: str) -> str:
    found = element.find(f".//{EI}{name}")
    assert found is not None, name
    assert found.text, name
    return found.text
