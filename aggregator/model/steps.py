"""A bid in price steps: kW on kW, each with its price, the cheapest first; and what a part of it costs.

An award says one price for all it takes. A platform that takes a bid in price order and pays each step its
own price pays, in all, the mean of these prices over the kW that it took.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.model.money import exact


@dataclass(frozen=True, slots=True)
class PriceStep:
    """A part of a bid, on top of those before it.

    Attributes:
        offered_kw: Of this step alone, per slot of the requirement, at least 0. [kW]
        gbp_per_mwh: Asked per MWh delivered of it.
    """

    offered_kw: tuple[float, ...]
    gbp_per_mwh: Decimal


def steps_of(
    offered_kw: Sequence[float], parts: Sequence[tuple[float, Decimal]], most: int
) -> tuple[PriceStep, ...]:
    """Return a bid cut at levels, at most ``most`` steps; parts that share one are asked the dearest price.

    Args:
        offered_kw: Of the whole bid, per slot. [kW]
        parts: Where each part ends [kW], rising, and its price, never falling; the last is the bid's top.
        most: At least 1.
    """
    count = min(most, len(parts))
    ends = [parts[(n + 1) * len(parts) // count - 1] for n in range(count)]
    steps: list[PriceStep] = []
    below = 0.0
    for n, (end, price) in enumerate(ends):
        if n + 1 < len(ends) and ends[n + 1][1] == price:
            continue
        kw = tuple(max(0.0, min(level, end) - below) for level in offered_kw)
        if any(kw):
            steps.append(PriceStep(kw, price))
        below = end
    return tuple(steps)


def cut_to(steps: Sequence[PriceStep], offered_kw: Sequence[float]) -> tuple[PriceStep, ...]:
    """Return the cheapest part of the steps, as much as is offered in each slot, without steps of nothing."""
    left, kept = list(offered_kw), []
    for step in steps:
        kw = tuple(min(room, one) for room, one in zip(left, step.offered_kw, strict=True))
        left = [room - one for room, one in zip(left, kw, strict=True)]
        if any(kw):
            kept.append(PriceStep(kw, step.gbp_per_mwh))
    return tuple(kept)


def mean_price(steps: Sequence[PriceStep]) -> Decimal:
    """Return what all steps are asked for per MWh, the mean over their kW; 0 where they are nothing."""
    weights = [sum(map(exact, step.offered_kw), Decimal(0)) for step in steps]
    asked = sum((kw * step.gbp_per_mwh for kw, step in zip(weights, steps, strict=True)), Decimal(0))
    return asked / sum(weights) if any(weights) else Decimal(0)
