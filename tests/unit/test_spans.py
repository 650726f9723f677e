from datetime import timedelta

import numpy as np

from aggregator.model.time import HALF_HOUR, Interval
from aggregator.spans import Span, joint_spans, runs_of, span_of
from tests.builders import NOON

DAY = Interval(NOON, NOON + timedelta(hours=24)).slots(HALF_HOUR)
NO_RED = np.zeros(48, dtype=bool)
NIGHT = (np.arange(48) >= 28) & (np.arange(48) < 34)


def spans(*pairs, red=NO_RED):
    return [(one.first, one.stop) for one in joint_spans([Span(*pair) for pair in pairs], red, NIGHT)]


def test_a_window_takes_the_red_half_hours_that_touch_it():
    red = (np.arange(48) >= 8) & (np.arange(48) < 14)
    assert spans((10, 12), red=red) == [(8, 14)]
    assert spans((14, 16), red=red) == [(8, 16)]
    assert spans((16, 18), red=red) == [(16, 18)]


def test_windows_with_a_short_gap_are_one_and_others_stand_alone():
    assert spans((10, 12), (16, 18)) == [(10, 18)]
    assert spans((10, 12), (17, 18)) == [(10, 12), (17, 18)]
    assert spans((17, 18), (10, 12)) == [(10, 12), (17, 18)]
    assert spans((10, 14), (12, 16), (12, 13)) == [(10, 16)]


def test_a_window_before_a_commitment_is_one_with_it_and_one_after_it_is_not():
    assert spans((10, 12), (30, 32, True)) == [(10, 32)]
    assert spans((10, 12, True), (30, 32)) == [(10, 12), (30, 32)]


def test_base_discharge_before_a_commitment_was_known_to_it_and_stands_alone():
    runs = [Span(2, 8, base=True), Span(30, 32, True), Span(34, 36), Span(40, 44, base=True)]
    assert joint_spans(runs, NO_RED, NIGHT) == (Span(2, 8, base=True), Span(30, 44))
    assert spans((4, 6), (30, 32, True)) == [(4, 32)]


def test_base_discharge_after_a_window_shares_its_energy_unless_the_night_lies_between():
    assert joint_spans([Span(2, 4), Span(12, 18, base=True)], NO_RED, NIGHT) == (Span(2, 18),)
    assert len(joint_spans([Span(12, 16), Span(36, 40, base=True)], NO_RED, NIGHT)) == 2


def test_runs_of_base_discharge_are_found():
    assert runs_of([0.0, 2.0, 3.0, 0.0, 0.001, 5.0]) == (
        Span(1, 3, base=True),
        Span(5, 6, base=True),
    )


def test_a_window_that_the_day_does_not_hold_has_no_span():
    assert span_of(Interval(NOON, NOON + timedelta(minutes=45)), DAY) == Span(0, 2)
    assert span_of(Interval(NOON - HALF_HOUR, NOON + HALF_HOUR), DAY) is None
    assert span_of(Interval(NOON + timedelta(hours=25), NOON + timedelta(hours=26)), DAY) is None
