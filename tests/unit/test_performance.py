"""Payment rules against published figures."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from aggregator.model.rules import FactorRule, Measure, Over
from aggregator.performance import NOTHING_BEFORE, Months, delivery, factor, factors, schedule_accuracy

JANUARY = date(2025, 1, 1)
SCHEDULE_FACTOR = FactorRule(Measure.SCHEDULE, Over.MONTH, Decimal("0.05"), Decimal(3), least_kw=5.0)
HALF_PAYS_NOTHING = FactorRule(multiplier=Decimal(2))
PAST_DELIVERY = FactorRule(over=Over.MONTH_BEFORE)


@pytest.mark.parametrize(
    ("percent", "published"),
    [
        *((100, "1"), (95, "1"), (94, "0.97"), (92, "0.91"), (90, "0.85"), (85, "0.70")),
        *((62, "0.01"), (61, "0"), (0, "0"), (-50, "0")),
    ],
)
def test_the_schedule_accuracy_factor(percent, published):
    assert factor(SCHEDULE_FACTOR, Fraction(percent, 100)) == Decimal(published)


@pytest.mark.parametrize(
    ("delivered", "expected"), [(0, "0"), (50, "0"), (75, "0.5"), (90, "0.8"), (100, "1")]
)
def test_a_scale_that_slides_from_half_to_all_of_what_was_instructed(delivered, expected):
    assert factor(HALF_PAYS_NOTHING, delivery(delivered, 100)) == Decimal(expected)


def test_floor_and_cap_bound_a_factor():
    rule = FactorRule(grace=Decimal("0.05"), multiplier=Decimal(3), floor=Decimal("0.3"), cap=Decimal("1.15"))
    assert [factor(rule, Fraction(n, 100)) for n in (0, 95, 98, 100)] == [
        *(Decimal("0.3"), Decimal(1), Decimal("1.09"), Decimal("1.15")),
    ]


def test_a_factor_is_a_printable_figure():
    assert factor(FactorRule(), Fraction(2, 3)) == Decimal("0.666667")


def test_where_nothing_was_measured_nothing_is_taken_off():
    assert factor(FactorRule(), None) == 1
    assert delivery(0, 0) is None
    assert schedule_accuracy((), 1) is None


# schedule accuracy


def test_schedule_accuracy_is_the_mean_of_relative_errors():
    assert schedule_accuracy([(-100, -90), (-200, -220)], 1) == Fraction(9, 10)
    assert schedule_accuracy([(100, 90), (200, 220)], 1) == Fraction(9, 10)


def test_a_load_near_zero_is_not_divided_by():
    assert schedule_accuracy([(0, 10)], 100) == Fraction(9, 10)
    assert schedule_accuracy([(-50, 10)], 100) == Fraction(4, 10)
    assert schedule_accuracy([(-200, 10)], 100) == 1 - Fraction(210, 200)
    assert schedule_accuracy([(0, 0)], 1) == 1


# over what


def test_each_half_hour_may_stand_for_itself():
    rule = FactorRule(over=Over.HALF_HOUR)
    found = factors(rule, "utilisation", [(5, 10), (0, 0), (10, 10)], JANUARY, NOTHING_BEFORE)
    assert found.values == (Decimal("0.5"), Decimal(1), Decimal(1))
    assert found.remark == ""


def test_an_event_is_measured_as_a_whole():
    found = factors(FactorRule(), "utilisation", [(5, 10), (10, 10)], JANUARY, NOTHING_BEFORE)
    assert found.values == (Decimal("0.75"),) * 2
    assert found.remark == "utilisation x 0.75: delivery 0.7500 in the event"


def test_availability_is_paid_by_the_delivery_of_the_month_before():
    months = Months(delivery=lambda month: {date(2024, 12, 1): (92, 100)}[month])
    found = factors(PAST_DELIVERY, "availability", [(0, 10)], JANUARY, months)
    assert found.values == (Decimal("0.92"),)
    assert found.remark == "availability x 0.92: delivery 0.9200 in 2024-12"


def test_a_month_without_anything_to_measure_is_named():
    found = factors(PAST_DELIVERY, "availability", [(0, 10)], JANUARY, NOTHING_BEFORE)
    assert found.values == (Decimal(1),)
    assert found.remark == "availability in full: no delivery to measure in 2024-12"
    found = factors(SCHEDULE_FACTOR, "utilisation", [(0, 10)], JANUARY, NOTHING_BEFORE)
    assert found.remark == "utilisation in full: no schedule_accuracy to measure in 2025-01"


def test_the_schedule_of_a_month_is_divided_by_no_less_than_said():
    months = Months(schedule=lambda month, rule: [(-1000, -900)])
    found = factors(SCHEDULE_FACTOR, "utilisation", [(10, 10)], JANUARY, months)
    assert found.values == (Decimal("1"),)  # an error of 100 Wh of 2,500 Wh: 96%
    assert found.remark == "utilisation x 1: schedule_accuracy 0.9600 in 2025-01"


def test_without_a_rule_payments_stay_as_they_are():
    found = factors(None, "utilisation", [(1, 10), (2, 10)], JANUARY, NOTHING_BEFORE)
    assert (found.values, found.remark) == ((Decimal(1),) * 2, "")
