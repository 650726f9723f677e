"""Whatever the bytes: a reading or a refusal, never another exception, nothing JSON cannot hold."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.errors import BadMessage
from aggregator.model.market import Direction
from aggregator.ports import MarketCall
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.read import read_message
from market_adapters.openadr.translate import to_call
from market_adapters.openadr.values import duration_text, read_duration, read_instant
from market_adapters.openadr.wire import DistributeEvent, parse

SEEDS = [path.read_bytes() for path in (Path(__file__).parents[1] / "golden" / "openadr_read").glob("*.xml")]
PROFILE = Profile("http://dso.example/flex", ("Hendon Way", "A & B"), {"day-ahead": Direction.UP})
NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)
PIECES = [
    b"PT0S", b"P1W", b"-PT1H", b"P", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"NaN", b"1e308",
    b"\x00", b"<", b"&", b"&#0;", b"<!--", b"<!DOCTYPE x>", b"2025-01-15T17:00:00+01:00", b"cancelled", b"",
]  # fmt: skip


@st.composite
def mutated(draw):
    """A message of ours with some texts or bytes of it replaced."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=8) | st.sampled_from(PIECES))
        else:
            parts = bytes(data).split(b">")
            chosen = draw(
                st.sampled_from([n for n, part in enumerate(parts) if not part.startswith(b"<")] or [0])
            )
            tail = parts[chosen][parts[chosen].find(b"<") :] if b"<" in parts[chosen] else b""
            parts[chosen] = draw(st.sampled_from(PIECES)) + tail
            data = bytearray(b">".join(parts)) or bytearray(b" ")
    return bytes(data)


@given(data=mutated(), lenient=st.booleans())
def test_any_message_is_read_or_refused(data, lenient):
    try:
        reading = read_message(data, lenient)
    except BadMessage as refusal:
        assert refusal.faults
    else:
        json.dumps(reading, allow_nan=False)


@given(data=st.binary(max_size=200), lenient=st.booleans())
def test_any_bytes_are_read_or_refused(data, lenient):
    try:
        read_message(data, lenient)
    except BadMessage as refusal:
        assert refusal.faults


@given(data=mutated(), lenient=st.booleans())
def test_any_event_becomes_a_call_with_content_a_problem_or_a_cancellation(data, lenient):
    try:
        body = parse(data, lenient=lenient).body
    except BadMessage:
        return
    for event in body.events if isinstance(body, DistributeEvent) else ():
        call = to_call(event, PROFILE, vtn_id="v", received_at=NOON, raw=data)
        assert isinstance(call, MarketCall)
        assert (call.content is None) == (call.problem is not None or call.cancelled)


@given(seconds=st.integers(0, 10**9))
def test_a_duration_reads_as_it_was_written(seconds):
    length = timedelta(seconds=seconds)
    assert read_duration(duration_text(length)) == length


@given(at=st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - hypothesis wants it naive
def test_an_instant_reads_as_it_was_written(at):
    aware = datetime.fromisoformat(at.isoformat())
    if aware.utcoffset() % timedelta(minutes=1):
        return
    assert read_instant(aware.isoformat(timespec="microseconds")) == aware
