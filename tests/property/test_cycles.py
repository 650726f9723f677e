"""Cycles from what chargers reported, against a count that walks London's clock minute by minute."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.cycles import LONGEST_SILENCE, days_of, judged, month_around
from aggregator.model.time import LONDON
from aggregator.store import open_store
from tests.builders import a_car_report

MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
MONTHS = (date(2024, 3, 1), date(2024, 10, 1), date(2025, 1, 1), date(2024, 2, 1))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store for many examples, each with a car of its own."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'flexloop.db'}", create=True) as store:
        yield store, itertools.count()


@st.composite
def histories(draw):
    """Draw a month, and at which minutes around it a car was plugged in or out, mostly about the hours
    that decide."""
    month = draw(st.sampled_from(MONTHS))
    around = month_around(month)
    minutes = int((around.end - around.start) / MINUTE)
    turns = set()
    for day in range(minutes // (24 * 60)):
        for hour, likely in ((17, 0.9), (5, 0.9), (22, 0.2)):
            if draw(st.floats(0, 1)) < likely:
                off = draw(st.sampled_from((-61, -60, -1, 0, 1, 30, 59, 60)))
                turns.add(min(max(1, (day * 24 + hour + 1) * 60 + off), minutes - 1))
    return month, sorted(turns), draw(st.booleans())


@given(history=histories())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nights_are_those_in_which_every_minute_was_plugged_in(history, shared):
    month, turns, plugged = history
    store, number = shared
    car_id = f"car-{next(number)}"
    start, end = month_around(month).start, month_around(month).end
    changes = {start + turn * MINUTE for turn in turns}
    reports, at, there = [], start, set()
    while at < end:
        if at in changes:
            plugged = not plugged
        if plugged:
            there.add(at)
        if at in changes or not (at - start) % QUARTER:
            reports.append(a_car_report(car_id=car_id, measured_at=at, plugged=plugged))
        at += MINUTE
    store.states.add(reports, received_at=end)
    presence = store.car_history.presence(car_id, month_around(month), LONGEST_SILENCE)
    found = {day for day in days_of(month) if judged(day, presence).counts}
    assert found == _recount(month, there, start, end)
    assert presence.silences == ()


def _recount(month, there, start, end):
    """Count nights by looking at each minute: the one before 18:00, and all up to 05:00, London time."""
    evenings, mornings = {}, {}
    at = start
    while at < end:
        local = at.astimezone(LONDON)
        if (local.hour, local.minute) == (18, 0):
            evenings[local.date()] = at
        if (local.hour, local.minute) == (5, 0):
            mornings[local.date()] = at
        at += MINUTE
    counted = set()
    for day, evening in evenings.items():
        morning = mornings.get(day + timedelta(days=1))
        if (day.year, day.month) != (month.year, month.month) or morning is None:
            continue
        minutes = int((morning - evening) / MINUTE)
        if all(evening + n * MINUTE in there for n in range(-1, minutes)):
            counted.add(day)
    return counted


@given(
    rows=st.lists(st.tuples(st.booleans(), st.sampled_from((1, 30, 60, 61, 300))), min_size=1, max_size=12)
)
def test_silences_are_bridged_only_between_two_reports_of_a_plugged_car(rows, shared):
    store, number = shared
    car_id = f"car-{next(number)}"
    at = datetime(2024, 10, 8, 12, tzinfo=UTC)
    told = []
    for plugged, minutes in rows:
        at += minutes * MINUTE
        told.append((at, plugged))
    store.states.add(
        [a_car_report(car_id=car_id, measured_at=at, plugged=plugged) for at, plugged in told], received_at=at
    )
    presence = store.car_history.presence(car_id, month_around(date(2024, 10, 1)), LONGEST_SILENCE)
    pairs = list(itertools.pairwise(told))
    lost = [(one, two) for (one, _), (two, _) in pairs if two - one > LONGEST_SILENCE]
    assert [(one.start, one.end) for one in presence.silences] == lost
    for (one, before), (two, after) in pairs:
        middle = one + (two - one) / 2
        covered = any(stay.start <= middle < stay.end for stay in presence.stays)
        assert covered == (before and (after or two - one <= LONGEST_SILENCE))
