"""What holds in any little world: promises are kept, the future tells nothing, processes change nothing."""

import json
import tempfile
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.backtest.page import to_html
from aggregator.backtest.run import Order, run_backtest
from tests.backtest_world import Call, Files, Stay, at, evenings

MONDAY = date(2024, 11, 4)
PAST_DAYS, DAYS = 10, 3
FIRST = MONDAY + timedelta(days=PAST_DAYS)
USERS = ("ann", "bob", "cay", "dee")
GATE = at(FIRST - timedelta(days=1), 14)
RESIDENT = evenings("eve", MONDAY, PAST_DAYS + DAYS + 10, kwh=8.0)
"""Keeps the site in the record."""


@st.composite
def stays(draw, first, days):
    """Draw stays of some users, each at most once a day, in any order of hours."""
    found = []
    for user in USERS:
        free_from = at(first, 0)
        for n in range(days):
            if not draw(st.booleans()):
                continue
            start = at(first + timedelta(days=n), draw(st.integers(0, 23)), draw(st.integers(0, 59)))
            end = start + timedelta(minutes=draw(st.integers(10, 60 * 30)))
            if start >= free_from:
                found.append(Stay(user, start, end, draw(st.floats(0, 40))))
                free_from = end
    return found


@st.composite
def calls(draw):
    """Draw a call for each day, in the evening, at night, or across noon."""
    found = []
    for n in range(DAYS):
        start = at(FIRST + timedelta(days=n), 12) + timedelta(minutes=30 * draw(st.integers(0, 47)))
        hours = timedelta(minutes=30 * draw(st.integers(1, 6)))
        found.append(Call(start, start + hours, draw(st.floats(2, 25)), draw(st.floats(100, 900))))
    return found


def played(some_stays, some_calls, *, stated=False, dear=None, zones=1, jobs=1):
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder), [*some_stays, *RESIDENT], some_calls, FIRST, DAYS, dear_pence=dear or {})
        files.write()
        order = Order(
            sessions=files.folder / "sessions",
            dispatches=files.folder / "calls.csv",
            prices=files.folder / "prices.csv",
            sessions_zone=ZoneInfo("Europe/London"),
            zones=zones,
            first=FIRST,
            last=FIRST + timedelta(days=DAYS),
            stated=stated,
            jobs=jobs,
        )
        return run_backtest(order, lambda done, total: None)


@given(
    stays(MONDAY, PAST_DAYS + DAYS + 1), calls(), st.booleans(), st.sampled_from((None, {17: 45.0, 2: 5.0}))
)
@settings(max_examples=10, deadline=None)
def test_no_promise_is_broken_and_the_books_add_up(some_stays, some_calls, stated, dear):
    body = played(some_stays, some_calls, stated=stated, dear=dear).body
    assert body["promises"]["breaches"] == []
    for own in body["policies"].values():
        assert 0 <= own["delivered_kwh"] <= own["committed_kwh"] + 1e-6
        net = own["revenue_gbp"] - own["penalty_gbp"] - own["energy_gbp"] - own["wear_gbp"]
        assert abs(net - own["net_gbp"]) < 0.03
    for event in body["events_told"]:
        best_gbp = event["results"]["clairvoyant"]["net_gbp"]
        for result in event["results"].values():
            assert result["bid_kw"] <= event["need_kw"] + 1e-6
            assert result["net_gbp"] <= best_gbp + 0.006


@given(
    stays(MONDAY, PAST_DAYS),
    stays(FIRST, DAYS),
    stays(FIRST, DAYS),
    calls(),
)
@settings(max_examples=6, deadline=None)
def test_the_future_never_changes_a_bid(past, future, other_future, some_calls):
    past = [stay for stay in past if stay.end <= GATE]

    def first_bids(later):
        told = played([*past, *later], some_calls).body["events_told"]
        day = [event for event in told if event["start"].startswith(FIRST.isoformat())]  # whose gate is GATE
        return [
            {name: event["results"][name]["bid_kw"] for name in ("flexloop", "mean", "empirical P10")}
            for event in day
        ]

    assert first_bids(future) == first_bids(other_future)


def test_a_stay_that_is_open_at_the_gate_tells_nothing_of_its_end():
    past = evenings("ann", MONDAY, PAST_DAYS - 1) + evenings("bob", MONDAY, PAST_DAYS - 1)
    some_calls = [Call(at(FIRST, 17), at(FIRST, 19), 20.0, 500.0)]
    bids = set()
    for end in (GATE + timedelta(minutes=10), at(FIRST, 23), at(FIRST + timedelta(days=2), 8)):
        open_stay = Stay("ann", GATE - timedelta(hours=3), end)
        body = played([*past, open_stay], some_calls).body
        bids.add(body["events_told"][0]["results"]["flexloop"]["bid_kw"])
    assert len(bids) == 1


def test_one_process_or_two_give_the_same_bytes():
    days = PAST_DAYS + DAYS
    some = [
        replaced
        for n, user in enumerate(USERS)
        for replaced in (
            Stay(stay.user, stay.start, stay.end, 5.0, location=f"SITE-{n % 2}")
            for stay in evenings(user, MONDAY, days + 14)
        )
    ]
    some_calls = [
        Call(at(FIRST + timedelta(days=n), 17), at(FIRST + timedelta(days=n), 19), 9.0, 500.0, zone)
        for n in range(DAYS)
        for zone in ("East", "West")
    ]
    one, two = (played(some, some_calls, zones=2, jobs=jobs) for jobs in (1, 2))
    assert one.body["events"] == 2 * DAYS
    assert json.dumps(one.body) == json.dumps(two.body)
    assert to_html(one) == to_html(two)
