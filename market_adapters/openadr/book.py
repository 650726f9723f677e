"""What our side of a link must remember across a restart: registration, events known, reports asked for.

Stored through ``VenMemory`` as JSON, each before anything is said that rests on it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from aggregator.model.market import EventKey
from aggregator.model.time import Interval, parse_instant, utc_text
from aggregator.ports import CallKind, MarketCall, ReportRequest, VenMemory

BID_REQUESTS_KEPT = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event as last seen.

    Attributes:
        modification: Highest seen; one more once we took it as cancelled because it was missing.
        kind: As a ``CallKind``.
        zones: Its targets.
        ref: The requirement it names.
        start: Of its active period; empty where open-ended or unreadable.
        end: As above.
        live: Whether it was ever read without a problem, so that there is something to take back.
        cancelled: Whether it was taken back.
    """

    modification: int
    kind: str
    zones: tuple[str, ...]
    ref: str | None
    start: str
    end: str
    live: bool
    cancelled: bool

    def ended(self, now: datetime) -> bool:
        """Whether its time is over; never so for an open end."""
        return bool(self.end) and parse_instant(self.end) <= now

    def taken_back(self, vtn_id: str, event_id: str, now: datetime, raw: bytes) -> MarketCall:
        """Return the call that says that it is cancelled, under the next modification number."""
        return MarketCall(
            key=EventKey(vtn_id, event_id, self.modification + 1),
            kind=CallKind(self.kind),
            content=None,
            opportunity_ref=self.ref,
            zones=self.zones,
            interval=Interval(parse_instant(self.start), parse_instant(self.end)) if self.end else None,
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
        self._requests = self._load("report_requests")

    def register(self, ven_id: str | None, registration_id: str | None) -> None:
        """Keep the ids that the platform gave us, or forget them."""
        if (ven_id, registration_id) != (self.ven_id, self.registration_id):
            self.ven_id, self.registration_id = ven_id, registration_id
            self._store("registration", {"ven_id": ven_id, "registration_id": registration_id})

    def judged(self, call: MarketCall) -> MarketCall:
        """Return the call, with a problem if it is behind what is known of its event."""
        known = self._events.get(call.key.event_id)
        if known is None or call.problem is not None:
            return call
        if call.key.modification < known.modification:
            return replace(call, problem=_behind(call, f"{known.modification} or higher"))
        if known.cancelled and not call.cancelled and call.key.modification == known.modification:
            return replace(call, problem=_behind(call, f"above {known.modification}, as it was taken back"))
        return call

    def missing(self, present: Iterable[str], now: datetime, raw: bytes) -> tuple[MarketCall, ...]:
        """Return a cancellation for every known event, not yet over, that is not among those present."""
        names = set(present)
        gone = [(name, known) for name, known in self._events.items() if name not in names]
        return tuple(
            known.taken_back(self._vtn_id, name, now, raw)
            for name, known in gone
            if known.live and not known.cancelled and not known.ended(now)
        )

    def note(self, calls: Iterable[MarketCall], now: datetime) -> bool:
        """Remember events before they are passed on; forget those that are over and no longer sent.

        Returns:
            Whether anything was not known before.
        """
        present = {call.key.event_id: call for call in calls if call.key.event_id}
        events = {
            name: known for name, known in self._events.items() if name in present or not known.ended(now)
        }
        for name, call in present.items():
            events[name] = _seen(call, events.get(name))
        return self._keep_events(events)

    def taken_back(self, calls: Iterable[MarketCall]) -> None:
        """Remember cancellations, once they have been passed on."""
        events = dict(self._events)
        for call in calls:
            known = events.get(call.key.event_id)
            if call.cancelled and known is not None and call.key.modification >= known.modification:
                events[call.key.event_id] = replace(known, modification=call.key.modification, cancelled=True)
        self._keep_events(events)

    def requests(self) -> tuple[ReportRequest, ...]:
        """Return the report requests that stand."""
        return tuple(_request(self._vtn_id, name, entry) for name, entry in self._requests.items())

    def ask(self, requests: Iterable[ReportRequest], now: datetime) -> None:
        """Remember report requests; those for bids are dropped after a month."""
        oldest = utc_text(now - BID_REQUESTS_KEPT)
        kept = {
            name: entry
            for name, entry in self._requests.items()
            if entry["specifier"] != "bid" or parse_instant(entry["asked_at"]) > parse_instant(oldest)
        }
        kept |= {request.request_id: _request_entry(request, now) for request in requests}
        self._keep_requests(kept)

    def cancel(self, names: Iterable[str]) -> tuple[ReportRequest, ...]:
        """Forget report requests; return those there were, as cancelled."""
        gone = dict.fromkeys(name for name in names if name in self._requests)
        cancelled = tuple(
            replace(_request(self._vtn_id, name, self._requests[name]), cancelled=True) for name in gone
        )
        self._keep_requests({name: entry for name, entry in self._requests.items() if name not in gone})
        return cancelled

    def _keep_events(self, events: dict[str, KnownEvent]) -> bool:
        if events == self._events:
            return False
        self._events = events
        self._store("events", {name: asdict(known) for name, known in events.items()})
        return True

    def _keep_requests(self, requests: dict[str, Any]) -> None:
        if requests != self._requests:
            self._requests = requests
            self._store("report_requests", requests)

    def _load(self, name: str) -> dict[str, Any]:
        text = self._memory.recall(self._vtn_id, name)
        return {} if text is None else dict(json.loads(text))

    def _store(self, name: str, value: Mapping[str, Any]) -> None:
        self._memory.remember(self._vtn_id, name, json.dumps(value))


def _behind(call: MarketCall, allowed: str) -> str:
    return f"modification {call.key.modification} of {call.key.event_id!r} is not allowed; {allowed}"


def _known_event(entry: Mapping[str, Any]) -> KnownEvent:
    return KnownEvent(**{**entry, "zones": tuple(entry["zones"])})


def _seen(call: MarketCall, known: KnownEvent | None) -> KnownEvent:
    if known is not None and call.problem is not None:
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
    )


def _request(vtn_id: str, name: str, entry: Mapping[str, Any]) -> ReportRequest:
    window = entry["window"]
    return ReportRequest(
        vtn_id=vtn_id,
        request_id=name,
        specifier=entry["specifier"],
        granularity=timedelta(seconds=entry["granularity_s"]),
        back_duration=timedelta(seconds=entry["back_duration_s"]),
        window=None if window is None else Interval(parse_instant(window[0]), parse_instant(window[1])),
    )


def _request_entry(request: ReportRequest, now: datetime) -> dict[str, Any]:
    window = request.window
    return {
        "specifier": request.specifier,
        "granularity_s": request.granularity.total_seconds(),
        "back_duration_s": request.back_duration.total_seconds(),
        "window": None if window is None else [utc_text(window.start), utc_text(window.end)],
        "asked_at": utc_text(now),
    }
