"""Messages held against the published 2.0b schema, and where they break it.

An event that breaks it must not silence its neighbours: the parts of a message can be held against it one by
one, and what they leave, the envelope, by itself.
"""

import copy
import re
from collections.abc import Mapping
from itertools import islice
from threading import Lock
from typing import cast

from lxml import etree
from openleadr import messaging

from aggregator.model.errors import Fault
from market_adapters.openadr import values
from market_adapters.openadr.xmltree import local_name

MOST_SCHEMA_FAULTS = 10
WRAPPERS = ("oadrPayload", "oadrSignedObject")
_INSTANTS = {"date-time", "createdDateTime", "modificationDateTime"}
_DURATIONS = {"duration", "startafter", "oadrMinPeriod", "oadrMaxPeriod"}
_NAMESPACE = re.compile(r"\{[^}'\"]*\}")
_ELEMENT = re.compile(r"Element '(?:\{[^}]*\})?([^']*)'(?:, attribute '[^']*')?: (?:\[[^]]*\] )?")
_LONGEST_REASON = 400
# large messages are read in threads, and the schema has one list of errors for all of them
_LOCK = Lock()


def conforms(root: etree._Element) -> bool:
    """Return whether the schema holds for a message."""
    document = _narrowed(root)
    with _LOCK:
        valid: bool = messaging.XML_SCHEMA.validate(document)
    return valid


def faults_by_schema(root: etree._Element, source: str) -> list[Fault]:
    """Hold a message against the schema; return the first faults found, one for each place."""
    return _faults(_narrowed(root), source)


def faults_by_part(
    root: etree._Element, name: str, unchecked: frozenset[int], source: str
) -> tuple[list[Fault], dict[int, list[Fault]]]:
    """Hold a message against the schema without its parts, and each part as the only one of the message.

    Args:
        root: The whole message.
        name: Of the parts: children of the message's content that may be missing.
        unchecked: Indices of parts that are not asked about.
        source: What to call the message in faults.

    Returns:
        The faults of the message without its parts, and those of each part that has some, by its index.
    """
    content = root
    while local_name(content) in WRAPPERS:
        content = next(child for child in content if local_name(child) != "Signature")
    parts = [child for child in content if local_name(child) == name]
    envelope = _faults(_narrowed(_without(root, content, name)), source)
    empty = _without(content, content, name)
    found = {}
    for index, part in enumerate(parts):
        if index not in unchecked:
            alone = copy.deepcopy(empty)
            alone.insert(content.index(parts[0]), copy.deepcopy(part))
            if faults := _faults(_narrowed(alone), source, f"{name}[{index}]"):
                found[index] = faults
    return envelope, found


def _without(element: etree._Element, content: etree._Element, name: str) -> etree._Element:
    """Return a copy whose content lacks its parts: to copy all and to take out large ones is slow."""
    prefixes = cast("dict[str, str]", element.nsmap)  # the default namespace has none
    attributes = cast("dict[str, str]", dict(element.items()))
    shell = etree.Element(element.tag, attributes, prefixes)
    shell.text = element.text
    for child in element:
        if child is content or local_name(child) in WRAPPERS:
            shell.append(_without(child, content, name))
        elif element is not content or local_name(child) != name:
            shell.append(copy.deepcopy(child))
    return shell


def _faults(document: etree._Element, source: str, part: str = "") -> list[Fault]:
    with _LOCK:
        if messaging.XML_SCHEMA.validate(document):
            return []
        errors = list(islice(messaging.XML_SCHEMA.error_log, MOST_SCHEMA_FAULTS))
    found: dict[str, Fault] = {}
    prefixes = {prefix: uri for one in document.iter() for prefix, uri in one.nsmap.items() if prefix}
    for error in errors:
        element = _element_at(document, error.path or "", prefixes)
        place = _named(error.message) if element is None else _place(element, part)
        found.setdefault(place, Fault(f"{source}: {place}", _value(element, error.message), _allowed(error)))
    return list(found.values())


def _element_at(document: etree._Element, path: str, prefixes: Mapping[str, str]) -> etree._Element | None:
    """Return the element that a path of the schema's names; None where its prefixes have no one meaning."""
    try:
        found = document.getroottree().xpath(path, namespaces=prefixes)
    except etree.XPathError:
        return None
    first = found[0] if isinstance(found, list) and len(found) == 1 else None
    return first if isinstance(first, etree._Element) else None


def _place(element: etree._Element, part: str) -> str:
    """Return an element's place below the message's name, as our own faults say it."""
    steps = [_step(one) for one in (element, *element.iterancestors())]
    names = [step for step in reversed(steps) if step not in WRAPPERS]
    if part and len(names) > 1:
        names[1] = part
    return ".".join(names[1:] or names)


def _step(element: etree._Element) -> str:
    name, parent = local_name(element), element.getparent()
    same = [] if parent is None else [one for one in parent if local_name(one) == name]
    return f"{name}[{same.index(element)}]" if len(same) > 1 else name


def _named(message: str) -> str:
    match = _ELEMENT.match(message)
    return match[1] if match else "message"


def _value(element: etree._Element | None, message: str) -> str:
    if element is None or len(element):
        return f"<{_named(message)}>"
    return element.text or f"<{_named(message)}>"


def _allowed(error: etree._LogEntry) -> str:
    text = _NAMESPACE.sub("", _ELEMENT.sub("", error.message)).strip()
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _narrowed(root: etree._Element) -> etree._Element:
    """Return a copy whose times and durations are in the form that the schema's patterns know."""
    document = copy.deepcopy(root)
    for element in document.iter(tag=etree.Element):
        name, text = local_name(element), (element.text or "").strip()
        try:
            if name in _INSTANTS:
                element.text = values.read_instant(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
            elif name in _DURATIONS and text and not len(element):
                element.text = values.duration_text(values.read_duration(text))
        except ValueError:
            continue
    return document
