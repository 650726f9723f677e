"""What a delivery is paid of what it earned: factors from published rules with their figures as parameters.

All of them are one line with a grace, a slope, a floor and a cap (``FactorRule``):

- a sliding scale that pays nothing at half of what was instructed: multiplier 2 on the event's delivery;
- 3% off for each 1% missing beyond 5% (Flexible Power's form, and the Schedule Accuracy Factor's,
  ``1 - 0.03 * (95 - DP)``): grace 0.05, multiplier 3;
- availability paid by the average delivery of the month before (SSEN's form): multiplier 1, no grace.

Schedule accuracy is ``1 - mean(|actual - nominated| / |actual|)`` over half-hours of days without an
event. It is undefined where the actual load is zero, and a fleet that exports crosses zero: wherever the
actual mean power is smaller than ``least_kw``, in either direction, the error is divided by that instead.

Where there is nothing to measure by, nothing is taken off, and the remark says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from aggregator.model.rules import FactorRule, Measure, Over

MILLIONTH = Decimal("0.000001")
ONE = Decimal(1)

Energies = Sequence[tuple[int, int]]
"""Per half-hour: delivered and instructed energy. [Wh]"""


@dataclass(frozen=True, slots=True)
class Months:
    """What a rule may ask of a local calendar month, named by its first day.

    Attributes:
        delivery: Energy delivered and instructed, of the same product in the same zone. [Wh]
        schedule: Energy exported and nominated in each half-hour of the rule's periods on days without an
            event. [Wh]
    """

    delivery: Callable[[date], tuple[int, int]] = lambda month: (0, 0)
    schedule: Callable[[date, FactorRule], Sequence[tuple[int, int]]] = lambda month, rule: ()


NOTHING_BEFORE = Months()
"""Months in which nothing was instructed or measured."""


@dataclass(frozen=True, slots=True)
class Factors:
    """A payment's factor in each half-hour, rounded to a millionth, and what there is to say about it."""

    values: tuple[Decimal, ...]
    remark: str = ""


def factors(rule: FactorRule | None, name: str, energies: Energies, month: date, months: Months) -> Factors:
    """Return what a payment is multiplied by in each half-hour of an event.

    Args:
        rule: The product's for this payment; None leaves it as it is.
        name: The payment's, for the remark.
        energies: The event's.
        month: First day of the local month in which the event begins.
        months: Answers for whole months.
    """
    if rule is None:
        return Factors((ONE,) * len(energies))
    if rule.over is Over.HALF_HOUR:
        return Factors(tuple(factor(rule, delivery(*energy)) for energy in energies))
    asked = _before(month) if rule.over is Over.MONTH_BEFORE else month
    if rule.measure is Measure.SCHEDULE:
        measured = schedule_accuracy(months.schedule(asked, rule), _least_wh(rule))
    elif rule.over is Over.EVENT:
        measured = delivery(*(sum(column) for column in zip(*energies, strict=True)))
    else:
        measured = delivery(*months.delivery(asked))
    value = factor(rule, measured)
    over = "the event" if rule.over is Over.EVENT else f"{asked:%Y-%m}"
    if measured is None:
        remark = f"{name} in full: no {rule.measure} to measure in {over}"
    else:
        remark = f"{name} x {value.normalize():f}: {rule.measure} {float(measured):.4f} in {over}"
    return Factors((value,) * len(energies), remark)


def factor(rule: FactorRule, measured: Fraction | None) -> Decimal:
    """Return the factor for a measured share, 1 where nothing was measured; rounded to a millionth."""
    if measured is None:
        return ONE
    missing = 1 - Fraction(rule.grace) - measured
    value = min(max(1 - Fraction(rule.multiplier) * missing, Fraction(rule.floor)), Fraction(rule.cap))
    return (Decimal(value.numerator) / value.denominator).quantize(MILLIONTH, ROUND_HALF_EVEN)


def delivery(delivered_wh: int, instructed_wh: int) -> Fraction | None:
    """Return the share of the instructed energy that was delivered; None where nothing was instructed."""
    return Fraction(delivered_wh, instructed_wh) if instructed_wh else None


def schedule_accuracy(pairs: Sequence[tuple[int, int]], least_wh: int) -> Fraction | None:
    """Return how true a schedule was: 1 is exact, less than 0 is worse than none at all.

    Args:
        pairs: Actual and scheduled energy of each half-hour. [Wh, same sign convention]
        least_wh: An error is never divided by less, at least 1. [Wh]

    Returns:
        None without a half-hour to measure in.
    """
    if not pairs:
        return None
    errors = (Fraction(abs(actual - said), max(abs(actual), least_wh)) for actual, said in pairs)
    return 1 - sum(errors, Fraction(0)) / len(pairs)


def _least_wh(rule: FactorRule) -> int:
    return max(1, round(rule.least_kw * 1000 / 2))


def _before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
