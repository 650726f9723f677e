"""Pounds as ``Decimal``, rounded once a line; shares that always add up."""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

PENNY = Decimal("0.01")


def pounds(amount: Decimal) -> Decimal:
    """Round to the penny, half to even."""
    return amount.quantize(PENNY, rounding=ROUND_HALF_EVEN)


def gained(after_gbp: float, before_gbp: float) -> float:
    """Return by how much one amount is more than another, each to the penny, as both are shown. [GBP]"""
    return float(pounds(Decimal(after_gbp)) - pounds(Decimal(before_gbp)))


def exact(number: float | str | int) -> Decimal:
    """Turn a price or a kW figure into the decimal it was written as (0.1 is 0.1).

    Raises:
        ValueError: If the number is not finite.
    """
    value = Decimal(str(number))
    if not value.is_finite():
        raise ValueError(f"{number} is not finite")
    return value


def share_pounds(amount: Decimal, weights: Sequence[float]) -> tuple[Decimal, ...]:
    """Share whole pence as ``share`` does: the parts add to ``amount`` exactly, negative amounts too.

    Raises:
        ValueError: If the amount is not whole pence, or as ``share`` has it.
    """
    pence = amount / PENNY
    if pence != int(pence):
        raise ValueError(f"{amount} is not whole pence")
    return tuple(part * PENNY for part in share(int(pence), weights))


def share(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Share a whole number (Wh, pence) by weight, by largest remainder.

    The parts add to ``total`` exactly, negative totals too; equal remainders go to the earlier part.
    With no weight at all the parts are as equal as can be.

    Raises:
        ValueError: If there is nobody to share ``total`` with, or a weight is negative or not finite.
    """
    if not weights:
        if total:
            raise ValueError(f"nobody to share {total} with")
        return ()
    wrong = [weight for weight in weights if not 0 <= weight < math.inf]
    if wrong:
        raise ValueError(f"weights must be finite and not negative: {wrong[0]}")
    exact_weights = [Fraction(weight) for weight in weights]
    if not any(exact_weights):
        exact_weights = [Fraction(1)] * len(weights)
    whole, sign = abs(total), 1 if total >= 0 else -1
    all_weight = sum(exact_weights)
    quotas = [whole * weight / all_weight for weight in exact_weights]
    parts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(parts)), key=lambda n: (parts[n] - quotas[n], n))
    for n in by_remainder[: whole - sum(parts)]:
        parts[n] += 1
    return tuple(sign * part for part in parts)
