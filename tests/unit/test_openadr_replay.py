"""A signed message is let in once, and only about when it was signed."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.errors import BadMessage
from market_adapters.openadr import replay
from market_adapters.openadr.replay import ReplayGuard
from market_adapters.openadr.signatures import Stamp

NOW = datetime(2025, 1, 15, 17, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_guard(back_s=60, ahead_s=30):
    return ReplayGuard(back_s * SECOND, ahead_s * SECOND)


@pytest.mark.parametrize("skew_s", [-60, -59.9, 0, 30])
def test_a_message_within_the_window_is_let_in_and_its_skew_is_kept(skew_s):
    guard = a_guard()
    assert guard.skew_s is None
    guard.admit(Stamp(NOW + skew_s * SECOND, "n"), NOW, "m")
    assert guard.skew_s == skew_s


@pytest.mark.parametrize("skew_s", [-60.1, -86_400, 30.1, 3_600])
def test_a_message_outside_the_window_is_refused_and_its_skew_is_kept(skew_s):
    guard = a_guard()
    with pytest.raises(BadMessage, match="from 60 s before to 30 s after 2025-01-15T17:00:00"):
        guard.admit(Stamp(NOW + skew_s * SECOND, "n"), NOW, "answer to oadrPoll")
    assert guard.skew_s == skew_s
    assert len(guard) == 0


def test_a_message_is_let_in_once_as_long_as_it_could_be():
    guard = a_guard()
    ahead = Stamp(NOW + 30 * SECOND, "n")
    guard.admit(ahead, NOW, "m")
    guard.admit(Stamp(NOW, "n"), NOW, "m")
    guard.admit(Stamp(NOW + 30 * SECOND, "o"), NOW, "m")
    for later_s in (0, 1, 60, 90):
        with pytest.raises(BadMessage, match="each message once"):
            guard.admit(ahead, NOW + later_s * SECOND, "m")
    with pytest.raises(BadMessage, match="from 60 s before"):
        guard.admit(ahead, NOW + 91 * SECOND, "m")


def test_what_is_remembered_lasts_no_longer_than_the_window():
    guard = a_guard()
    tracemalloc.start()
    for number in range(20_000):
        now = NOW + number * SECOND
        guard.admit(Stamp(now + (number % 50 - 25) * SECOND, f"nonce-{number}"), now, "m")
        if number == 1_000:
            before, _ = tracemalloc.get_traced_memory()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(guard) < 120
    assert after < before + 50_000


def test_more_than_can_be_remembered_is_refused(monkeypatch):
    monkeypatch.setattr(replay, "MOST_REMEMBERED", 100)
    guard = a_guard()
    for number in range(100):
        guard.admit(Stamp(NOW, str(number)), NOW, "m")
    with pytest.raises(BadMessage, match="at most 100 messages"):
        guard.admit(Stamp(NOW, "100"), NOW, "m")
    later = NOW + 61 * SECOND
    guard.admit(Stamp(later, "101"), later, "m")
    assert len(guard) == 1
