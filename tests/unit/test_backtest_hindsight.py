"""Who knows the day: the search for the most that is kept, and a night on which cars leave unannounced."""

import json
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.backtest.hindsight import most_kept
from aggregator.cli import run
from tests.backtest_world import Call, Files, Stay, at, evenings

MONDAY = date(2024, 11, 4)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_the_search_finds_the_largest_that_is_kept_wherever_it_begins(guess, most, limit):
    asked = []

    def is_kept(number):
        asked.append(number)
        return number <= limit

    assert most_kept(guess, most, is_kept) == min(most, limit)
    assert all(1 <= number <= most for number in asked)
    assert len(asked) == len(set(asked)) <= 20


def test_at_night_who_knows_the_day_keeps_what_it_bids_and_earns_most(tmp_path, capsys):
    # Two cars come home half empty and charge until they leave; one of them leaves hours before it is
    # believed to, on the called night. A full one is there each night.
    called = MONDAY + timedelta(days=14)
    tired = [
        Stay(user, at(day, 18), at(day + timedelta(days=1), hour), 22.0)
        for user, left in (("bob", 4), ("cay", 7))
        for day in (MONDAY + timedelta(days=n) for n in range(28))
        for hour in [left if day == called else 7]
    ]
    calls = [Call(at(called, 23), at(called + timedelta(days=1), 5), 30.0, 500.0)]
    files = Files(tmp_path, [*evenings("ann", MONDAY, 28), *tired], calls, called, 1).write()
    assert run([*files.arguments(tmp_path / "out"), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["events_told"][0]["results"]
    best = results["clairvoyant"]
    assert best["bid_kw"] > 0.0
    assert best["delivered_kwh"] == best["committed_kwh"]
    assert best["net_gbp"] == max(one["net_gbp"] for one in results.values())


def test_a_call_across_noon_is_replayed_in_the_two_days_around_it(tmp_path, capsys):
    """One car never leaves, the other is out by day: 5 kW from 11:00 to 15:00 are one car's."""
    called = MONDAY + timedelta(days=15)
    home = [Stay("bob", at(MONDAY, 16), at(MONDAY + timedelta(days=25), 7), 0.0)]
    calls = [
        Call(at(called, 11), at(called, 15), 20.0, 500.0),
        Call(at(called + timedelta(days=1), 17), at(called + timedelta(days=1), 19), 20.0, 400.0),
    ]
    first = called - timedelta(days=1)
    files = Files(tmp_path, [*evenings("ann", MONDAY, 28), *home], calls, first, 4).write()
    assert run([*files.arguments(tmp_path / "out"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    noon, evening = body["events_told"]
    assert body["calls"]["outside_the_model"] == body["promises"]["broken"] == 0
    assert (noon["day"], evening["day"]) == (called.isoformat(), (called + timedelta(days=1)).isoformat())
    assert noon["results"]["flexloop"]["bid_kw"] == noon["results"]["clairvoyant"]["bid_kw"] == 5.0
    assert noon["results"]["flexloop"]["delivered_kwh"] == 20.0
    assert evening["results"]["flexloop"]["bid_kw"] > 5.0
