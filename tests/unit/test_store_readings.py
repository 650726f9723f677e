from datetime import datetime, timedelta

import pytest

from aggregator.model.time import Interval
from aggregator.store import Around, CarState, TrueState
from tests.builders import NOON, a_car_report, a_reading

MINUTE = timedelta(minutes=1)
DAY = Interval(NOON, NOON + timedelta(days=1))


def reading(minutes: int, wh: int, charger_id="c-1", learnt: int | None = None):
    at = NOON + minutes * MINUTE
    learnt_at = NOON + (minutes if learnt is None else learnt) * MINUTE
    return a_reading(charger_id=charger_id, measured_at=at, received_at=learnt_at, export_wh=wh)


def test_readings_come_back_by_charger_and_instant(store):
    rows = [reading(2, 20), reading(1, 10), reading(1, 5, "c-10"), reading(0, 0, "c-2")]
    assert store.readings.add(rows) == 4
    assert store.readings.between(["c-2", "c-1", "c-10"], DAY) == (rows[1], rows[0], rows[2], rows[3])
    assert store.readings.between(["c-1"], Interval(NOON + MINUTE, NOON + 2 * MINUTE)) == (rows[1],)
    assert store.readings.between([], DAY) == ()


def test_a_repeat_is_dropped_whenever_it_is_learnt(store):
    assert store.readings.add([reading(1, 10), reading(1, 10)]) == 1
    assert store.readings.add([reading(1, 10, learnt=9), reading(2, 20)]) == 1
    assert store.readings.count() == 2


def test_a_correction_is_kept_beside_what_was_known_before(store):
    store.readings.add([reading(1, 10), reading(1, 12, learnt=5), reading(1, 10, learnt=7)])
    assert store.readings.count() == 3
    known = [store.readings.between(["c-1"], DAY, as_known_at=NOON + n * MINUTE) for n in (0, 4, 5, 7)]
    assert [[row.export_wh for row in rows] for rows in known] == [[], [10], [12], [10]]
    assert [row.export_wh for row in store.readings.between(["c-1"], DAY)] == [10]


def test_what_was_learnt_late_is_told_by_charger_and_half_hour(store):
    on_time = [reading(minutes, minutes) for minutes in (0, 30, 60, 90)]
    store.readings.add(on_time)
    hour = Interval(NOON, NOON + 60 * MINUTE)
    assert store.readings.learnt_after(["c-1"], hour, NOON + 60 * MINUTE) == {}
    store.readings.add([reading(0, 1, learnt=70), reading(30, 31, learnt=70), reading(29, 30, learnt=71)])
    store.readings.add([reading(60, 61, learnt=72), reading(45, 45, "c-2", learnt=73)])
    found = store.readings.learnt_after(["c-1", "c-2"], hour, NOON + 60 * MINUTE)
    assert found == {
        ("c-1", NOON): NOON + 71 * MINUTE,  # a register at a half-hour's end tells of that half-hour
        ("c-1", NOON + 30 * MINUTE): NOON + 72 * MINUTE,
        ("c-2", NOON + 30 * MINUTE): NOON + 73 * MINUTE,
    }


def test_two_that_differ_and_were_learnt_at_once_are_both_kept_once(store):
    twins = [reading(1, 10), reading(1, 11)]
    assert store.readings.add(twins) == 2
    assert store.readings.add(twins) == 0
    assert store.readings.between(["c-1"], DAY)[0].export_wh == 11


def test_a_reading_without_a_zone_is_refused_with_its_whole_batch(store):
    with pytest.raises(Exception, match="has no time zone"):
        store.readings.add([reading(1, 10), a_reading(measured_at=datetime(2025, 1, 15))])  # noqa: DTZ001
    assert store.readings.count() == 0


def test_microseconds_are_kept(store):
    fine = a_reading(measured_at=NOON + timedelta(microseconds=1))
    store.readings.add([fine])
    assert store.readings.between(["charger-1"], DAY) == (fine,)


def test_a_boundary_has_the_readings_on_both_sides_or_just_the_one(store):
    first, second = reading(1, 10), reading(3, 30)
    store.readings.add([first, second])
    instants = [NOON + n * MINUTE for n in (0, 1, 2, 4)]
    found = store.readings.at_or_around(["c-1", "c-9"], instants)
    assert [found["c-1", at] for at in instants] == [
        Around(None, first),
        Around(first, first),
        Around(first, second),
        Around(second, None),
    ]
    assert all(found["c-9", at] == Around(None, None) for at in instants)
    assert len(found) == 8


def test_a_boundary_is_seen_as_it_was_known(store):
    late = reading(2, 99, learnt=60)
    corrected = reading(1, 11, learnt=60)
    store.readings.add([reading(1, 10), reading(3, 30), late, corrected])
    at = NOON + 2 * MINUTE
    then = store.readings.at_or_around(["c-1"], [at], as_known_at=NOON + 59 * MINUTE)
    assert then["c-1", at] == Around(reading(1, 10), reading(3, 30))
    assert store.readings.at_or_around(["c-1"], [at])["c-1", at] == Around(late, late)
    just_before = at - timedelta(seconds=1)
    assert store.readings.at_or_around(["c-1"], [just_before])["c-1", just_before].before == corrected


def test_the_last_reading_before_an_instant(store):
    store.readings.add([reading(1, 10), reading(3, 30), reading(2, 5, "c-0"), reading(9, 5, "c-9")])
    found = store.readings.last_before(["c-1", "c-0", "c-9"], NOON + 4 * MINUTE)
    assert found == (reading(2, 5, "c-0"), reading(3, 30))


def test_reported_states_are_kept_once_with_when_they_were_learnt(store):
    report = a_car_report(soc=None, boost=True, depart_at=DAY.end, target_soc=0.9)
    assert store.states.add([report], NOON + MINUTE) == 1
    assert store.states.add([report], NOON + 2 * MINUTE) == 0
    assert store.states.between(["car-1"], DAY) == (
        CarState("car-1", NOON, NOON + MINUTE, True, None, -7400, True, DAY.end, 0.9),
    )
    assert store.states.between(["car-1"], DAY, as_known_at=NOON) == ()


def test_true_states_are_kept_apart_and_the_first_stays(store):
    state = TrueState("car-1", NOON, True, 33.3, -7400)
    store.truth.add([state, TrueState("car-1", NOON + MINUTE, False, 33.4, 0)])
    store.truth.add([TrueState("car-1", NOON, True, 0.0, 0)])
    store.truth.add([])
    assert store.truth.between(["car-1", "car-2"], Interval(NOON, NOON + MINUTE)) == (state,)
