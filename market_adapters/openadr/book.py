"""What our side of a link must remember across a restart: registration, events known.

Stored through ``VenMemory`` as JSON, each before anything is said that rests on it.

An end that the platform gave no number, as the event was only missing or kept its number, takes one that is
ours: events are known inside by numbers that count on past it, so that the version which the platform numbers
next is new all the same. What is said to the platform carries its own number again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from aggregator.model.market import EventKey
from aggregator.model.time import Interval, parse_instant, utc_text
from aggregator.ports import CallKind, MarketCall, VenMemory
from market_adapters.openadr.wire_events import BadEvent, WireEvent

KEPT = timedelta(days=31)
"""How long a number of ours is remembered after the event's end."""


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event as last seen.

    Attributes:
        modification: Highest that the platform sent, as we count.
        kind: As a ``CallKind``.
        zones: Its targets.
        ref: The requirement it names.
        start: Of its active period; empty where open-ended or unreadable.
        end: As above.
        live: Whether it was ever read without a problem, so that there is something to take back.
        cancelled: Whether it was taken back, or called completed.
        own: The numbers that we used for ends without one, in order.
        good: The number last read without a problem; None before one.
    """

    modification: int
    kind: str
    zones: tuple[str, ...]
    ref: str | None
    start: str
    end: str
    live: bool
    cancelled: bool
    own: tuple[int, ...] = ()
    good: int | None = None

    def number_of(self, sent: int) -> int:
        """Return the number by which we know the version that the platform gave this one."""
        number = sent
        for own in self.own:
            number += own <= number
        return number

    def number_sent(self, number: int) -> int:
        """Return the number that the platform gave the version we know by this one."""
        return number - sum(own < number for own in self.own)

    @property
    def ending(self) -> int:
        """The number of an end without one, the same until the platform sends a new version."""
        return max((self.modification + 1, *self.own[-1:]))

    def ended(self, now: datetime) -> bool:
        """Whether its time is over; never so for an open end."""
        return bool(self.end) and parse_instant(self.end) <= now

    def runs(self, now: datetime) -> bool:
        """Whether there is something that can still be taken back."""
        return self.live and not self.cancelled and not self.ended(now)

    @property
    def interval(self) -> Interval | None:
        """Its active period; None where open-ended or unreadable."""
        return Interval(parse_instant(self.start), parse_instant(self.end)) if self.end else None

    def filled(self, call: MarketCall) -> MarketCall:
        """Return a call of a version that needs no more than its id, with the rest as known."""
        return replace(
            call,
            problem=None,
            kind=CallKind(self.kind),
            zones=self.zones,
            opportunity_ref=self.ref,
            interval=call.interval or self.interval,
        )

    def taken_back(self, vtn_id: str, event_id: str, now: datetime, raw: bytes) -> MarketCall:
        """Return the call that says that it is cancelled, under a number of ours."""
        return MarketCall(
            key=EventKey(vtn_id, event_id, self.ending),
            kind=CallKind(self.kind),
            content=None,
            opportunity_ref=self.ref,
            zones=self.zones,
            interval=self.interval,
            cancelled=True,
            test=False,
            wants_answer=False,
            problem=None,
            raw=raw,
            modified_at=now,
        )


class Book:
    """One platform's entries; reads once, writes through.

    Args:
        vtn_id: The platform.
        memory: Where it is stored.
    """

    def __init__(self, vtn_id: str, memory: VenMemory) -> None:
        self._vtn_id = vtn_id
        self._memory = memory
        registration = self._load("registration")
        self.ven_id: str | None = registration.get("ven_id")
        self.registration_id: str | None = registration.get("registration_id")
        self._events = {name: _known_event(entry) for name, entry in self._load("events").items()}

    def register(self, ven_id: str | None, registration_id: str | None) -> None:
        """Keep the ids that the platform gave us, or forget them."""
        if (ven_id, registration_id) != (self.ven_id, self.registration_id):
            self._store("registration", {"ven_id": ven_id, "registration_id": registration_id})
            self.ven_id, self.registration_id = ven_id, registration_id

    def renumbered(self, event: WireEvent | BadEvent) -> WireEvent | BadEvent:
        """Return an event under the number by which we know its version."""
        known = self._events.get(event.id)
        if known is None or event.modification is None:
            return event
        return replace(event, modification=known.number_of(event.modification))

    def number_sent(self, key: EventKey) -> int:
        """Return the number that the platform gave an event version."""
        known = self._events.get(key.event_id)
        return key.modification if known is None else known.number_sent(key.modification)

    def judged(self, call: MarketCall) -> MarketCall:
        """Return the call, with a problem if it is behind what is known of its event.

        The end of a known event, and a version that was read before, need no more than the id: whatever else
        of them cannot be read now is no problem.
        """
        known = self._events.get(call.key.event_id)
        again = known is not None and call.problem is not None and call.key.modification == known.good
        if known is not None and known.live and (call.is_over or again):
            call = known.filled(call)
        if known is None or call.problem is not None or (known.cancelled and call.is_over):
            return call
        number, last = call.key.modification, known.number_sent(known.modification)
        taken_back = not call.is_over and any(number < own for own in known.own)
        if number < known.modification:
            problem = f"{last} or higher"
        elif taken_back or (known.cancelled and not call.cancelled and number == known.modification):
            problem = f"above {last}, as it was taken back"
        else:
            return call
        sent = known.number_sent(number)
        problem = f"modification {sent} of {call.key.event_id!r} is not allowed; {problem}"
        return replace(call, problem=problem)

    def ended(self, calls: Iterable[MarketCall], now: datetime, raw: bytes) -> tuple[MarketCall, ...]:
        """Return the end, under a number of its own, of what is called over under the number it lived by.

        A platform that only changes the status would otherwise be given the answer of the living event.
        """
        known_calls = [(call, self._events.get(call.key.event_id)) for call in calls if call.is_over]
        return tuple(
            known.taken_back(self._vtn_id, call.key.event_id, now, raw)
            for call, known in known_calls
            if known is not None
            and known.runs(now)
            and call.problem is None
            and call.key.modification == known.modification
        )

    def missing(self, present: Iterable[str], now: datetime, raw: bytes) -> tuple[MarketCall, ...]:
        """Return a cancellation for every known event, not yet over, that is not among those present."""
        names = set(present)
        gone = [(name, known) for name, known in self._events.items() if name not in names]
        return tuple(
            known.taken_back(self._vtn_id, name, now, raw) for name, known in gone if known.runs(now)
        )

    def note(self, calls: Iterable[MarketCall], ends: Iterable[MarketCall], now: datetime) -> bool:
        """Remember events before they are passed on; forget those that are over and no longer sent.

        Args:
            calls: As the platform sent them.
            ends: As ``ended`` and ``missing`` made them: their numbers are used up from now on.
            now: Domain instant.

        Returns:
            Whether anything was not known before.
        """
        present = {call.key.event_id: call for call in calls if call.key.event_id}
        events = {
            name: known
            for name, known in self._events.items()
            if name in present or not known.ended(now - KEPT if known.own else now)
        }
        for name, call in present.items():
            events[name] = _seen(call, events.get(name))
        for end in ends:
            known = events[end.key.event_id]
            numbers = {*known.own, end.key.modification}
            events[end.key.event_id] = replace(known, own=tuple(sorted(numbers)))
        return self._keep_events(events)

    def taken_back(self, calls: Iterable[MarketCall]) -> None:
        """Remember cancellations and completions, once they have been passed on."""
        events = dict(self._events)
        for call in calls:
            known = events.get(call.key.event_id)
            if call.is_over and known is not None and call.key.modification >= known.modification:
                events[call.key.event_id] = replace(known, cancelled=True)
        self._keep_events(events)

    def _keep_events(self, events: dict[str, KnownEvent]) -> bool:
        if events == self._events:
            return False
        self._store("events", {name: asdict(known) for name, known in events.items()})
        self._events = events  # not before it is stored: else it would not be tried again
        return True

    def _load(self, name: str) -> dict[str, Any]:
        text = self._memory.recall(self._vtn_id, name)
        return {} if text is None else dict(json.loads(text))

    def _store(self, name: str, value: Mapping[str, Any]) -> None:
        self._memory.remember(self._vtn_id, name, json.dumps(value))


def _known_event(entry: Mapping[str, Any]) -> KnownEvent:
    return KnownEvent(**{**entry, "zones": tuple(entry["zones"]), "own": tuple(entry.get("own", ()))})


def _seen(call: MarketCall, known: KnownEvent | None) -> KnownEvent:
    if known is not None and (call.problem is not None or call.key.modification < known.modification):
        return replace(known, modification=max(known.modification, call.key.modification))
    return KnownEvent(
        modification=call.key.modification,
        kind=call.kind.value,
        zones=call.zones,
        ref=call.opportunity_ref,
        start=utc_text(call.interval.start) if call.interval else "",
        end=utc_text(call.interval.end) if call.interval else "",
        live=call.problem is None or (known is not None and known.live),
        cancelled=known is not None and known.cancelled and call.key.modification == known.modification,
        own=known.own if known is not None else (),
        good=call.key.modification if call.problem is None else None,
    )
