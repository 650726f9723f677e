"""What the simulated DNO wrote down, as the things that a test asks about."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lxml import etree

EI = "{http://docs.oasis-open.org/ns/energyinterop/201110}"
OADR = "{http://openadr.org/oadr-2.0b/2012/07}"


class Version(NamedTuple):
    """An event version, as the DNO numbers it."""

    event_id: str
    modification: int


def answers(messages: Path) -> Mapping[Version, list[str]]:
    """Return every optIn and optOut that came, per event version, in order."""
    found: dict[Version, list[str]] = defaultdict(list)
    for message in _received(messages, "oadrCreatedEvent"):
        for response in message.iter(f"{EI}eventResponse"):
            version = Version(_text(response, "eventID"), int(_text(response, "modificationNumber")))
            found[version].append(_text(response, "optType"))
    return found


def reports(messages: Path) -> Mapping[str, list[bytes]]:
    """Return every report that came, per eiReportID, in canonical form and in order."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for message in _received(messages, "oadrUpdateReport"):
        for report in message.iter(f"{OADR}oadrReport"):
            found[_text(report, "eiReportID")].append(etree.tostring(report, method="c14n"))
    return found


def _received(messages: Path, kind: str) -> Iterator[etree._Element]:
    with messages.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if (line["direction"], line["type"]) == ("received", kind):
                yield etree.fromstring(line["xml"].encode())


def _text(element: etree._Element, name: str) -> str:
    found = element.find(f".//{EI}{name}")
    assert found is not None, name
    assert found.text, name
    return found.text
