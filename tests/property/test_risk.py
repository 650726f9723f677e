"""What the record of past bids does to the next one."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.risk import AIMED_MISS, ENOUGH, FIRST_RISK, MOST_RISK, STEP, risk_after

RATIOS = st.lists(st.floats(0.0, 1.0), max_size=200)


@given(RATIOS)
def test_risk_stays_in_bounds_and_more_delivered_never_makes_it_smaller(ratios):
    risk = risk_after(ratios)
    assert 0.0 <= risk <= MOST_RISK
    assert risk_after([max(ratio, ENOUGH) for ratio in ratios]) >= risk


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400))
def test_misses_stay_near_what_is_aimed_for_however_the_days_fall(draws):
    """A day misses its bid only where the bid took a risk: the worst luck there is."""
    record = []
    for draw in draws:
        record.append(0.0 if risk_after(record) > 0.0 and draw < 0.9 else 1.0)
    misses = sum(ratio < ENOUGH for ratio in record)
    assert misses <= AIMED_MISS * len(record) + FIRST_RISK / STEP + 1.0 - AIMED_MISS + 1e-9


def test_the_first_bid_and_one_kept_and_one_missed():
    assert risk_after([]) == FIRST_RISK == 0.25
    assert risk_after([0.95]) == FIRST_RISK + STEP * AIMED_MISS
    assert risk_after([0.949]) == FIRST_RISK - STEP * (1 - AIMED_MISS)
    assert risk_after([0.0] * 5) == 0.0, "a debt"
    assert risk_after([0.0] * 5 + [1.0]) == 0.0, "that one kept bid does not pay"
