"""Whatever is done to a sound message: it is read or refused, each time alike, and a reading makes sense."""

import math
from datetime import UTC, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.errors import BadMessage
from market_adapters.openadr.wire import DistributeEvent, Message, event_faults, parse
from market_adapters.openadr.wire_events import BadEvent, WireEvent
from tests.property.openadr_mutants import SIGNED, VTN, mutants, signed_mutants

NOT_LONG = 65_536
"""Most characters of a refusal: a hundred faults, each cut to size."""


def outcome(data, *, lenient, fingerprint=None):
    """Return the message, or the refusal's faults."""
    try:
        return parse(data, "m", lenient=lenient, fingerprint=fingerprint)
    except BadMessage as refusal:
        assert 0 < len(refusal.faults) <= 100
        assert len(str(refusal)) < NOT_LONG
        return refusal.faults


@given(data=mutants, lenient=st.booleans())
def test_a_damaged_message_is_read_or_refused_the_same_each_time(data, lenient):
    first = outcome(data, lenient=lenient)
    assert outcome(data, lenient=lenient) == first


@given(data=mutants, lenient=st.booleans())
def test_what_is_read_of_a_damaged_message_makes_sense(data, lenient):
    message = outcome(data, lenient=lenient)
    if not isinstance(message, Message):
        return
    assert message.name.startswith("oadr")
    assert message.raw == data
    assert all(text == text.strip() != "" for text in message.fields.values())
    if not isinstance(message.body, DistributeEvent):
        return
    good = [event for event in message.body.events if isinstance(event, WireEvent)]
    assert len({event.id for event in good}) == len(good)
    for event in message.body.events:
        assert isinstance(event, BadEvent) or _makes_sense(event)
    assert bool(event_faults(message.body)) == (len(good) < len(message.body.events))


@given(data=mutants)
def test_what_is_read_strictly_is_read_the_same_leniently(data):
    strict, lenient = outcome(data, lenient=False), outcome(data, lenient=True)
    if isinstance(strict, Message) and not event_faults(strict.body):
        assert lenient == strict


@given(data=signed_mutants, lenient=st.booleans())
def test_a_damaged_signed_message_is_refused_or_says_what_was_signed(data, lenient):
    message = outcome(data, lenient=lenient, fingerprint=VTN.fingerprint)
    if isinstance(message, Message):
        whole = parse(SIGNED, fingerprint=VTN.fingerprint)
        assert (message.body, message.fields, message.stamp) == (whole.body, whole.fields, whole.stamp)


def _makes_sense(event):
    assert event.id
    assert event.market_context
    assert 0 <= event.modification < 2**32
    assert min(event.start_after, event.ramp_up, event.notification) >= timedelta(0)
    instants = [event.start, event.end, event.created_at, event.modified_at]
    assert event.signals
    for signal in event.signals:
        assert signal.name
        assert signal.intervals
        for interval in signal.intervals:
            assert math.isfinite(interval.value)
            assert interval.end is None or interval.end > interval.start
            instants += [interval.start, interval.end]
    assert all(instant is None or instant.tzinfo is UTC for instant in instants)
    assert event.end is None or event.end > event.start
    return True
