"""Bytes from outside -> an XML tree that holds no surprise, and readers that name the place of every fault.

A plain parser that resolves nothing and fetches nothing; the schema comes later (see ``schema``), because
validating while parsing crashes on entities (see ``hardening``). A DTD is refused before and after the
parse: no OpenADR message needs one, and two readers of one message can see different texts through it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from lxml import etree

from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr import values

MAX_BYTES = 2 * 1024 * 1024
# two megabytes of sound events have some 48,000; each may cost a schema fault, and those are slow
MOST_ELEMENTS = 60_000
# an event of the standard goes 12 deep, with a dozen prefixes; a certificate has 2,000 characters or so.
# What is far beyond is there to be slow: canonical XML takes prefixes times elements, paths names times depth
MOST_DEPTH = 32
MOST_PREFIXES = 64
MOST_ATTRIBUTES = 64
LONGEST_NAME = 64
LONGEST_TEXT = 8 * 1024
MOST_FAULTS = 100
MOST_IN_A_LINE = 3
NOTHING = datetime.fromtimestamp(0, UTC)
_SHOWN = 80
T = TypeVar("T")
_TOO_DEEP = etree.XPath(f"boolean({'/*' * (MOST_DEPTH + 1)})")


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def safe_tree(data: bytes, source: str) -> etree._Element:
    """Parse without a DTD, an entity or a fetch.

    Raises:
        BadMessage: If the bytes are too many, no XML, or hold a DOCTYPE.
    """
    if len(data) > MAX_BYTES:
        raise BadMessage(Fault(source, f"{len(data)} bytes", f"at most {MAX_BYTES} bytes"))
    if b"<!doctype" in data.lower():
        raise BadMessage(Fault(source, "<!DOCTYPE", "a message without a DTD"))
    try:
        root = etree.fromstring(data, _parser(keep_instructions=False))
    except (etree.LxmlError, ValueError, LookupError) as error:
        raise BadMessage(Fault(source, _shown(data), f"well-formed XML ({_one_line(error)})")) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadMessage(Fault(source, "<!DOCTYPE", "a message without a DTD"))
    if next(islice(root.iter(), MOST_ELEMENTS, None), None) is not None:
        raise BadMessage(Fault(source, "too many elements", f"at most {MOST_ELEMENTS} elements"))
    if _TOO_DEEP(root):
        raise BadMessage(Fault(source, "too many levels", f"at most {MOST_DEPTH} levels"))
    for element in root.iter():
        _check_size(element, source)
    return root


def holds_instruction(data: bytes) -> bool:
    """Return whether there are processing instructions in a message, which ``safe_tree`` leaves out.

    A signature is over those, too; without them two texts could become one that was never signed.
    """
    root = etree.fromstring(data, _parser(keep_instructions=True))
    return next(root.iter(etree.ProcessingInstruction), None) is not None


def _parser(*, keep_instructions: bool) -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=not keep_instructions,
    )


def _check_size(element: etree._Element, source: str) -> None:
    name = local_name(element)
    for found, most, what in (
        (len(name), LONGEST_NAME, "characters in a name"),
        (len(element.text or ""), LONGEST_TEXT, "characters in a text"),
        (len(element.nsmap), MOST_PREFIXES, "namespace prefixes"),
        (len(element.attrib), MOST_ATTRIBUTES, "attributes"),
    ):
        if found > most:
            where = f"{source}: line {element.sourceline}: {name[:_SHOWN]}"
            raise BadMessage(Fault(where, f"{found} {what}", f"at most {most}"))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _shown(data: bytes) -> str:
    return data[:_SHOWN].decode("utf-8", "replace")


def in_short(faults: Sequence[Fault]) -> str:
    """Return the first faults in one line, and how many more there are."""
    more = len(faults) - MOST_IN_A_LINE
    told = [str(fault) for fault in faults[:MOST_IN_A_LINE]]
    return "; ".join([*told, f"and {more} more"] if more > 0 else told)


def reason_of(error: BaseException | None) -> str:
    """Return an error in one line."""
    return in_short(error.faults) if isinstance(error, BadMessage) else str(error)


@dataclass(slots=True)
class Faults:
    """Where faults are collected, so that a message's are all told at once."""

    source: str
    lenient: bool
    found: list[Fault] = field(default_factory=list)

    def add(self, path: str, value: str, allowed: str) -> None:
        """Note a fault once; the first hundred are told, more would only bury them."""
        fault = Fault(f"{self.source}: {path}", value[:_SHOWN], allowed)
        if len(self.found) < MOST_FAULTS and fault not in self.found:
            self.found.append(fault)


@dataclass(frozen=True, slots=True)
class Node:
    """An element and the place it stands at; reads its parts by local name, noting what is wrong."""

    element: etree._Element
    path: str
    faults: Faults

    @property
    def name(self) -> str:
        """Local name of the element."""
        return local_name(self.element)

    def elements(self) -> list["Node"]:
        """Return all child elements."""
        return [self._at(child, local_name(child)) for child in self.element.iterchildren(tag=etree.Element)]

    def all(self, name: str) -> list["Node"]:
        """Return the children of that name, numbered in their path."""
        found = self.element.iterchildren(f"{{*}}{name}")
        return [self._at(child, f"{name}[{index}]") for index, child in enumerate(found)]

    def one(self, *names: str) -> "Node | None":
        """Go down by name, one child at each level; None where there is none, a fault where there are two."""
        node: Node | None = self
        for name in names:
            if node is None:
                return None
            found = list(islice(node.element.iterchildren(f"{{*}}{name}"), 2))
            if len(found) > 1:
                node.fault((name,), "more than one", "at most one")
            node = node._at(found[0], name) if found else None
        return node

    def text(self, *names: str) -> str | None:
        """Return the stripped text found there; None where there is none or it is empty."""
        node = self.one(*names)
        return None if node is None else (node.element.text or "").strip() or None

    def id(self, *names: str) -> str | None:
        """Return the id found there, in which every character counts; None where there is none.

        A lenient reading takes the white space around it for a matter of layout.
        """
        if self.faults.lenient:
            return self.text(*names)
        node = self.one(*names)
        return None if node is None else node.element.text or None

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the ids in all children of that name that have one."""
        return tuple(text for child in self.all(name) if (text := child.id()) is not None)

    def need_id(self, *names: str) -> str:
        """Return the id found there; a fault where there is none."""
        found = self.id(*names)
        if found is None:
            self.fault(names, None, "an id")
        return found or ""

    def need_text(self, *names: str) -> str:
        """Return the text found there; a fault where there is none."""
        return self._value(names, str, "", "a text")

    def need_instant(self, *names: str) -> datetime:
        """Return the instant found there."""
        return self._value(names, self._instant, NOTHING, values.INSTANT)

    def need_number(self, *names: str) -> float:
        """Return the number found there."""
        return self._value(names, values.read_number, 0.0, values.NUMBER)

    def need_count(self, *names: str) -> int:
        """Return the count found there; 0 if absent and the reading is lenient."""
        if self.faults.lenient and self.text(*names) is None:
            return 0
        return self._value(names, values.read_count, 0, values.COUNT)

    def instant(self, *names: str) -> datetime | None:
        """Return the instant found there, None where there is none."""
        return None if self.text(*names) is None else self.need_instant(*names)

    def duration(self, *names: str) -> timedelta | None:
        """Return the duration found there, None where there is none."""
        if self.text(*names) is None:
            return None
        return self._value(names, values.read_duration, timedelta(0), values.DURATION)

    def need_word(self, allowed: tuple[str, ...], default: str | None, *names: str) -> str:
        """Return one of the words allowed; in a lenient reading in any case, or the default if absent."""
        text = self.text(*names)
        if text in allowed:
            return text
        if self.faults.lenient:
            same = [word for word in allowed if text is not None and word.lower() == text.lower()]
            if same or (text is None and default is not None):
                return same[0] if same else default or ""
        self.fault(names, text, f"one of {', '.join(allowed)}")
        return ""

    def fault(self, names: tuple[str, ...], value: str | None, allowed: str) -> None:
        """Note a fault at the place that the names lead to."""
        path = ".".join(part for part in (self.path, *names) if part)
        self.faults.add(path, "(missing)" if value is None else value, allowed)

    def _value(self, names: tuple[str, ...], read: Callable[[str], T], otherwise: T, allowed: str) -> T:
        text = self.text(*names)
        if text is None:
            self.fault(names, None, allowed)
            return otherwise
        try:
            return read(text)
        except ValueError as error:
            self.fault(names, text, str(error) or allowed)
            return otherwise

    def _instant(self, text: str) -> datetime:
        try:
            return values.read_instant(text, naive_is_utc=self.faults.lenient)
        except ValueError:
            raise ValueError(values.INSTANT) from None

    def _at(self, element: etree._Element, step: str) -> "Node":
        return Node(element, f"{self.path}.{step}" if self.path else step, self.faults)
