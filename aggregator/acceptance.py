"""How likely a price is accepted, from prices that were: what was cleared before in the zone, or anywhere.

A dispatch record says what an operator paid. A price is held to be accepted as often as the dearest bid that
it took was at least as dear. Too few records say nothing.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

FEWEST = 10
"""Cleared needs of a zone and product that its own prices take, else those of all zones count."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """The dearest price paid for one need.

    Attributes:
        zone: Where.
        product: The operator's name for it.
        start: When it began: known from then on.
        gbp_per_mwh: For utilisation.
    """

    zone: str
    product: str
    start: datetime
    gbp_per_mwh: float


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Cleared prices, oldest first."""

    cleared: tuple[Cleared, ...]

    @classmethod
    def of(cls, rows: Iterable[Cleared]) -> "Acceptance":
        """Return the dearest price of each need among ``rows``."""
        dearest: dict[tuple[str, str, datetime], float] = {}
        for row in rows:
            key = (row.zone, row.product, row.start)
            dearest[key] = max(row.gbp_per_mwh, dearest.get(key, 0.0))
        found = (Cleared(*key, price) for key, price in dearest.items())
        return cls(tuple(sorted(found, key=lambda one: (one.start, one.zone, one.product))))

    def prices(self, zone: str, product: str, known_at: datetime) -> tuple[float, ...]:
        """Return what was cleared before ``known_at``, ascending; empty where it is too little to go by."""
        before = self.cleared[: bisect_left(self.cleared, known_at, key=lambda one: one.start)]
        of_product = [one for one in before if one.product == product]
        of_zone = [one for one in of_product if one.zone == zone]
        chosen = of_zone if len(of_zone) >= FEWEST else of_product
        return tuple(sorted(one.gbp_per_mwh for one in chosen)) if len(chosen) >= FEWEST else ()


@dataclass(frozen=True, slots=True)
class Asking:
    """A price asked, and how likely it is accepted, in [0, 1]; 1 where nothing is known."""

    gbp_per_mwh: Decimal
    accepted: float = 1.0


PENNY = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class PriceRule:
    """The desk's rule for prices.

    Attributes:
        price_of_ceiling: Ask this share of the ceiling. [-]
        least_margin_gbp_per_mwh: Never less than the cost and this.
    """

    price_of_ceiling: float
    least_margin_gbp_per_mwh: float

    def ask(self, cost_gbp_per_mwh: float, ceiling: Decimal | None, cleared: tuple[float, ...]) -> Asking:
        """Return the price asked per MWh.

        Args:
            cost_gbp_per_mwh: What delivering costs.
            ceiling: Most that is paid; None without a ceiling: cost and margin are asked then.
            cleared: What was paid for needs like it, ascending: the price that earns most on average against
                these is asked instead of the share of the ceiling. Empty where that is not known.
        """
        least = Decimal(str(cost_gbp_per_mwh + self.least_margin_gbp_per_mwh)).quantize(PENNY)
        least = max(least, Decimal(0))
        if cleared:
            return _best_against(cleared, cost_gbp_per_mwh, least, ceiling)
        if ceiling is None:
            return Asking(least)
        share = (ceiling * Decimal(str(self.price_of_ceiling))).quantize(PENNY)
        return Asking(min(max(share, least), ceiling))


def _best_against(cleared: tuple[float, ...], cost: float, least: Decimal, ceiling: Decimal | None) -> Asking:
    """Return the price with the highest margin times share of cleared prices at or above it."""
    most = ceiling if ceiling is not None else max(least, Decimal(str(cleared[-1])).quantize(PENNY))
    prices = {min(max(Decimal(str(price)).quantize(PENNY), least), most) for price in cleared}
    choices = [Asking(price, accepted(cleared, float(price))) for price in sorted(prices | {most})]
    return max(choices, key=lambda one: (float(one.gbp_per_mwh) - cost) * one.accepted)


def accepted(cleared: tuple[float, ...], price: float) -> float:
    """Return the share of cleared prices, ascending and at least one, at or above a price. [GBP/MWh]"""
    return (len(cleared) - bisect_left(cleared, price - 1e-9)) / len(cleared)
