"""What the record of past bids does to the next one."""

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from aggregator.risk import AIMED_MISS, ENOUGH, FIRST_FEAR, STEP, caution_after


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_more_delivered_never_makes_a_miss_dearer(ratios):
    fear = caution_after((ratio, 1.0) for ratio in ratios).fear
    assert fear >= 0.0
    assert caution_after((max(ratio, ENOUGH), 1.0) for ratio in ratios).fear <= fear


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400), st.floats(1.0, 8.0))
def test_misses_stay_near_what_is_aimed_for_however_the_days_fall(draws, enough_fear):
    """A day misses its bid, by the worst of luck, unless a miss is so dear that nothing is risked."""
    record = []
    for draw in draws:
        risked = caution_after(record).fear < enough_fear
        record.append((0.0 if risked and draw < 0.9 else 1.0, 1.0))
    misses = sum(ratio < ENOUGH for ratio, _ in record)
    assert misses <= AIMED_MISS * len(record) + (enough_fear - FIRST_FEAR) / STEP + 1.0 + 1e-9


def test_the_first_bid_one_kept_and_one_missed():
    assert caution_after([]).fear == FIRST_FEAR
    assert caution_after([(0.95, 20.0)]).fear == FIRST_FEAR - AIMED_MISS * STEP
    assert caution_after([(0.949, 20.0)]).fear == FIRST_FEAR + (1 - AIMED_MISS) * STEP
    assert caution_after([(1.0, 20.0)] * 100).fear == 0.0


def test_a_miss_costs_so_many_margins_between_its_own_and_the_average():
    caution = caution_after([(0.9, 30.0), (1.0, 10.0)])
    assert caution.miss_gbp(20.0) == approx(caution.fear * 20.0)
    assert caution.miss_gbp(80.0) == approx(caution.fear * (80.0 * 40.0) ** 0.5)
