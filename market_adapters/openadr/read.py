"""``flexloop openadr read``: any message as one JSON object.

An event's ``status`` is the one stated, with one exception. openleadr stamps ``eventStatus`` by the wall
clock of the machine that renders a message, and not by the message's own times, so that an event published
ahead of its day reads ``completed`` whenever that day lies in the past of whoever rendered it (as in a replay
or a simulation). A ``completed`` event whose descriptor was created before its active period began is
therefore shown as ``near``: not begun, as far as the message itself can tell. The price: an event that truly
ended is shown so too, if its platform keeps the first ``createdDateTime``. What the gateway acts on is in
``translate``.
"""

from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import utc_text
from market_adapters.openadr.profile import kind_by_path
from market_adapters.openadr.units import from_wire
from market_adapters.openadr.wire import DistributeEvent, Message, event_faults, parse
from market_adapters.openadr.wire_events import WireEvent, WireSignal
from market_adapters.openadr.xmltree import MAX_BYTES

UNCHECKED, VERIFIED = "unchecked", "verified"


def read_message(
    what: Path | bytes, lenient: bool = False, source: str = "message", fingerprint: str | None = None
) -> dict[str, Any]:
    """Return a message in words.

    Args:
        what: A file, or the bytes themselves.
        lenient: Whether to read on where the schema would not (see ``wire.parse``).
        source: What to call bytes in faults; a file goes by its name.
        fingerprint: Of the certificate that must have signed it, as in ``signatures``; None checks nothing.
            A file has no arrival, so that no replay window applies: one that was signed long ago is as good
            as new, and the certificate's dates are held against the time that the signer states.

    Returns:
        For oadrDistributeEvent the events with times in UTC and ``value`` in kW export-positive, GBP/MWh,
        GBP/MW/h or the level (None where the unit is none of these); for others their fields by path.

    Raises:
        BadMessage: If it cannot be read or is not signed as it must be, with all faults found.
    """
    if isinstance(what, Path):
        source = what.name
        what = _bytes_of(what)
    message = parse(what, source, lenient=lenient, fingerprint=fingerprint)
    if not isinstance(message.body, DistributeEvent):
        return _fields(message)
    if faults := event_faults(message.body):
        raise BadMessage(*faults)
    return {
        "message": message.name,
        "vtn_id": message.body.vtn_id,
        "request_id": message.body.request_id,
        "signature": _signature(message),
        "events": [_event(event) for event in message.body.events if isinstance(event, WireEvent)],
    }


def _bytes_of(path: Path) -> bytes:
    try:
        about = path.stat()
        if not S_ISREG(about.st_mode):
            raise BadMessage(Fault(path.name, "no regular file", "a file that can be read"))
        if about.st_size > MAX_BYTES:
            raise BadMessage(Fault(path.name, f"{about.st_size} bytes", f"at most {MAX_BYTES} bytes"))
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadMessage(Fault(path.name, error.strerror or str(error), "a file that can be read")) from None


def _signature(message: Message) -> str:
    return UNCHECKED if message.stamp is None else VERIFIED


def _fields(message: Message) -> dict[str, Any]:
    fields = message.fields
    return {
        "message": message.name,
        "vtn_id": fields.get("vtnID"),
        "request_id": _request_id(fields),
        "signature": _signature(message),
        "fields": dict(fields),
    }


def _request_id(fields: Mapping[str, str]) -> str | None:
    """Return the requestID that stands highest in a message: those below it are of its parts."""
    paths = [path for path in fields if path.split(".")[-1] == "requestID"]
    return fields[min(paths, key=lambda path: path.count("."))] if paths else None


def _event(event: WireEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "modification": event.modification,
        "status": _status(event),
        "test": event.test,
        "priority": event.priority,
        "response_required": event.response_required,
        "kind": kind_by_path(event.market_context)[0].value,
        "market_context": event.market_context,
        "opportunity": event.comment,
        "targets": {"group": list(event.groups), "resource": list(event.resources), "ven": list(event.vens)},
        "start": utc_text(event.start),
        "end": None if event.end is None else utc_text(event.end),
        "signals": [_signal(signal) for signal in event.signals],
    }


def _status(event: WireEvent) -> str:
    not_begun = event.created_at is not None and event.created_at < event.start
    return "near" if event.status == "completed" and not_begun else event.status


def _signal(signal: WireSignal) -> dict[str, Any]:
    return {
        "name": signal.name,
        "type": signal.type,
        "id": signal.id,
        "unit": signal.unit.units if signal.unit else None,
        "scale": signal.unit.scale if signal.unit else None,
        "intervals": [
            {
                "start": utc_text(interval.start),
                "end": None if interval.end is None else utc_text(interval.end),
                "value_raw": interval.value,
                "value": from_wire(signal, interval.value),
            }
            for interval in signal.intervals
        ],
    }
