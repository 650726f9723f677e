from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.money import PENNY, exact, pounds, share, share_pounds

totals = st.integers(-(10**12), 10**12)
weights = st.lists(
    st.one_of(st.just(0.0), st.floats(0, 1e9, allow_nan=False), st.integers(0, 1000)), min_size=1, max_size=60
)


@given(totals, weights)
def test_shares_add_to_the_total(total, weights):
    parts = share(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == total


@given(totals, weights)
def test_each_share_is_its_quota_rounded_up_or_down(total, weights):
    each = [Fraction(weight) for weight in weights]
    each = each if any(each) else [Fraction(1)] * len(each)
    for part, weight in zip(share(total, weights), each, strict=True):
        assert abs(part - total * weight / sum(each)) < 1
        assert part * total >= 0


@given(totals, weights)
def test_who_weighs_nothing_gets_nothing_unless_nobody_weighs(total, weights):
    parts = share(total, weights)
    if any(weights):
        assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if not weight)
    else:
        assert max(parts) - min(parts) <= 1


@given(totals, weights)
def test_more_weight_never_gets_less_and_a_tie_goes_to_the_earlier(total, weights):
    order = sorted(range(len(weights)), key=lambda n: (-weights[n], n))
    parts = [abs(part) for part in share(total, weights)]
    assert all(parts[more] >= parts[less] for more, less in pairwise(order))


@given(totals, weights)
def test_a_negative_total_is_shared_like_a_positive_one(total, weights):
    assert share(-total, weights) == tuple(-part for part in share(total, weights))


def test_nothing_can_be_shared_with_nobody_but_something_cannot():
    assert share(0, []) == ()
    with pytest.raises(ValueError, match="nobody to share 5 with"):
        share(5, [])


@pytest.mark.parametrize("weights", [[1.0, -0.1], [float("nan"), 1.0], [1.0, float("inf")]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights must"):
        share(5, weights)


def test_a_zone_of_thousands_is_shared_at_once():
    parts = share(999_999, [0.1 + n % 7 for n in range(5000)])
    assert sum(parts) == 999_999


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("0.005", "0.00"),
        ("0.015", "0.02"),
        ("0.025", "0.02"),
        ("-0.005", "-0.00"),
        ("-0.015", "-0.02"),
        ("1.0050001", "1.01"),
        ("-2.675", "-2.68"),
    ],
)
def test_pounds_round_half_to_even(amount, rounded):
    assert str(pounds(Decimal(amount))) == rounded


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6))
def test_pounds_are_the_nearest_pennies(amount):
    rounded = pounds(amount)
    assert rounded == amount.quantize(PENNY, ROUND_HALF_EVEN)
    assert abs(rounded - amount) <= PENNY / 2
    assert pounds(rounded) == rounded


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_becomes_the_decimal_it_was_written_as(number):
    assert float(exact(number)) == number
    assert exact(0.1) == Decimal("0.1")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "-Infinity"])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(ValueError, match="is not finite"):
        exact(number)


@given(st.decimals(-(10**9), 10**9, places=2), weights)
def test_pounds_are_shared_to_the_penny_negative_ones_too(amount, weights):
    parts = share_pounds(amount, weights)
    assert sum(parts) == amount
    assert all(part == pounds(part) and part * amount >= 0 for part in parts)


def test_less_than_a_penny_cannot_be_shared():
    with pytest.raises(ValueError, match="whole pence"):
        share_pounds(Decimal("0.005"), [1, 1])
