"""What the operator knows: who is registered and was told what, and its books. Changed by what is taken only.

Each thing taken becomes a line in ``memory.jsonl`` before it is answered; the same lines taken again make the
same state, so that a platform that is killed and started again with the same folder carries on.
"""

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lxml import etree

from .book import Book
from .edge import BadFile, Refusal
from .notices import Edition, edition
from .reading import (
    Offer,
    Unreadable,
    read_answers,
    read_offers,
    read_opt,
    read_reports,
    read_ven_name,
)
from .scenario import RegistrationAct, Scenario

TOLD, HANDED_OUT = "told", "handed out"


@dataclass(slots=True)
class Ven:
    """A registered VEN and what it was served since it registered.

    Attributes:
        told: Names of what it was told once: report requests, cancellations, acts on its registration.
        handed_out: The events that it has.
    """

    ven_id: str
    registration_id: str
    registered_at: datetime
    offers: dict[str, Offer] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    handed_out: Edition = frozenset()


class State:
    """The operator's state, durable in a folder.

    Args:
        scenario: What is played.
        file: ``memory.jsonl``; what it holds is taken first.
        now: Domain time.

    Raises:
        BadFile: If the file is not of this program, or of a later domain time.
    """

    def __init__(self, scenario: Scenario, file: Path, now: datetime) -> None:
        self.scenario = scenario
        self.book = Book(scenario)
        self._vens: dict[str, Ven] = {}
        self._file = file
        for line in _lines(file):
            self._recall(line, now)

    def ven(self, ven_id: str, now: datetime) -> Ven | None:
        """The VEN of an id; None if it is not registered, or was forgotten by a domain time."""
        ven = self._vens.get(ven_id)
        return None if ven is None or self.due_acts(ven, now, "forget") else ven

    def due_acts(self, ven: Ven, now: datetime, *kinds: str) -> tuple[RegistrationAct, ...]:
        """What was to be done about a registration since it was made, by a domain time."""
        return tuple(
            act
            for act in self.scenario.registration
            if act.kind in kinds and ven.registered_at < act.at <= now
        )

    def take(self, what: str, ven_id: str, said: bytes | str, now: datetime) -> None:
        """Take something in, durably.

        Args:
            what: The name of a message, or ``TOLD``, or ``HANDED_OUT``.
            ven_id: Whom it is from, or was told.
            said: The message byte for byte, or the name of what was told.
            now: Domain time of the taking.

        Raises:
            Unreadable: If it makes no sense; it is not remembered.
        """
        text = said if isinstance(said, str) else said.decode(errors="surrogateescape")
        self._apply(now, what, ven_id, text)
        line = json.dumps({"at": now.isoformat(), "what": what, "ven_id": ven_id, "text": text})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def ids(self, body: bytes) -> tuple[str, str]:
        """The venID and registrationID of who registers: made from the name, for good."""
        name, vtn_id = read_ven_name(body), self.scenario.vtn_id
        ven_id, registration_id = (
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{vtn_id}/{kind}/{name}")) for kind in ("ven", "registration")
        )
        return ven_id, registration_id

    def _recall(self, line: str, now: datetime) -> None:
        where, allowed = f"out: {self._file.name}", "lines that this program wrote in this scenario"
        try:
            at, what, ven_id, text = _entry(line)
            if at <= now:
                self._apply(at, what, ven_id, text)
        except (ValueError, KeyError, TypeError, Unreadable, etree.LxmlError):
            raise BadFile(Refusal(where, line[:80], allowed)) from None
        if at > now:
            allowed = f"a run that has not come further than {now.isoformat()}, or an empty folder"
            raise BadFile(Refusal(where, at.isoformat(), allowed))

    def _apply(self, now: datetime, what: str, ven_id: str, text: str) -> None:
        body = text.encode(errors="surrogateescape")
        match what:
            case "oadrCreatePartyRegistration":
                self._vens[ven_id] = Ven(*self.ids(body), now)
            case "oadrCancelPartyRegistration" | "oadrCanceledPartyRegistration":
                self._vens.pop(ven_id, None)
            case "oadrCreatedEvent":
                for answer in read_answers(body):
                    self.book.take_answer(answer)
            case "oadrRegisterReport":
                self._take_offers(self._vens[ven_id], read_offers(body))
            case "oadrUpdateReport":
                for report in read_reports(body):
                    self.book.take_report(report, now)
            case "oadrCreateOpt":
                self.book.take_opt(read_opt(body), now)
            case "oadrCancelOpt":
                self.book.cancel_opt(read_opt(body).opt_id, now)
            case "told":
                self._vens[ven_id].told.add(text)
            case "handed out":
                self._vens[ven_id].handed_out = edition(self.scenario, self.book, now)

    def _take_offers(self, ven: Ven, offers: tuple[Offer, ...]) -> None:
        ven.offers = {offer.specifier_id: offer for offer in offers}
        for offer in offers:
            self.book.scales |= {(offer.specifier_id, point.r_id): point.to_kilo for point in offer.points}


def _lines(file: Path) -> list[str]:
    """What an earlier run took, in order; a line that it did not finish is cut off."""
    data = file.read_bytes() if file.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        file.write_bytes(whole)
    return whole.decode("utf-8", errors="replace").splitlines()


def _entry(line: str) -> tuple[datetime, str, str, str]:
    entry = json.loads(line)
    at, what, ven_id, text = (str(entry[name]) for name in ("at", "what", "ven_id", "text"))
    return datetime.fromisoformat(at), what, ven_id, text
