import pytest

from aggregator.bidding.conformal import conformal_factor


def test_fewer_than_nine_days_say_nothing():
    assert conformal_factor([]) == 1.0
    assert conformal_factor([0.2] * 8) == 1.0


def test_the_rank_is_a_tenth_of_days_and_one_more():
    ratios = [1.0, 0.97, 0.9, 1.0, 0.99, 1.02, 0.85, 1.0, 0.98]
    assert conformal_factor(ratios) == 0.85  # floor((9 + 1) * 0.1) = the smallest
    assert conformal_factor(ratios * 2 + [1.0]) == 0.85  # floor((19 + 1) * 0.1) = the second smallest
    assert conformal_factor([*ratios, *[0.99] * 10]) == 0.9


def test_more_than_was_promised_is_no_reason_to_promise_more():
    assert conformal_factor([1.2] * 20) == 1.0


@pytest.mark.parametrize("days", [9, 19, 29, 99])
def test_nine_days_in_ten_would_have_kept_it(days):
    ratios = [(day * 37 % days) / days for day in range(days)]
    kept = sum(ratio >= conformal_factor(ratios) for ratio in ratios)
    assert kept >= 0.9 * days
