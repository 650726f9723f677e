"""One oadrDistributeEvent -> what of it is handed on, by what is known of its events; our answer to it."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from aggregator.model.market import EventKey
from aggregator.ports import CallBatch, Decision, Opt
from market_adapters.openadr.book import Book
from market_adapters.openadr.messages import OK, EventAnswer
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.translate import response_code, to_call
from market_adapters.openadr.wire import DistributeEvent

DESCRIPTION_LENGTH = 200
MOST_KEPT_BYTES = 10_000
"""Of a message in which an event is missing."""


def read_delivery(
    body: DistributeEvent, raw: bytes, book: Book, profile: Profile, vtn_id: str, now: datetime
) -> tuple[CallBatch, bool]:
    """Return all current events, with the ends of those that are missing, and whether anything is new.

    They are remembered in the book before they are handed on. An event that cannot be read is present all the
    same; where its id cannot be read, it may be any of those that seem to be missing, and none is.
    """
    # kept beside each event: of many in one message each its own part only, or a day's needs fill a disk
    parts = (raw,) if len(body.events) == 1 else body.parts
    calls = [
        book.judged(to_call(book.renumbered(event), profile, vtn_id=vtn_id, received_at=now, raw=part))
        for event, part in zip(body.events, parts, strict=True)
    ]
    present = [event.id for event in body.events]
    missing = book.missing(present, now, raw[:MOST_KEPT_BYTES]) if all(present) else ()
    ends = (*book.ended(calls, now, raw[:MOST_KEPT_BYTES]), *missing)
    new = book.note(calls, ends, now)
    return CallBatch(vtn_id, body.request_id, (*calls, *ends)), new


def answers_of(
    batch: CallBatch, decisions: Mapping[EventKey, Decision], book: Book
) -> tuple[EventAnswer, ...]:
    """Return what is said to a batch's events, each under the number that the platform gave it.

    Those with a problem are opted out of, with its code; the others are told the reason of their decision.
    """
    return tuple(_answers(batch, decisions, book))


def _answers(batch: CallBatch, decisions: Mapping[EventKey, Decision], book: Book) -> Iterator[EventAnswer]:
    for call in batch.calls:
        if not call.wants_answer:
            continue
        name, modification = call.key.event_id, book.number_sent(call.key)
        if call.problem is not None:
            code, text = response_code(call.problem), call.problem[:DESCRIPTION_LENGTH]
            yield EventAnswer(name, modification, code, text, Opt.OUT)
        elif call.key in decisions:
            decision = decisions[call.key]
            text = (decision.reason or "OK")[:DESCRIPTION_LENGTH]
            yield EventAnswer(name, modification, OK, text, decision.opt)
