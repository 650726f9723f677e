"""Who pays for what a home exports: each Wh once.

In a half-hour a market comes first: what a car delivered for a price, as far as it left the home, is sold.
So the model bids, too: energy that a bid renames earns the market's price in place of the tariff's. The rest
is paid for by the home's export tariff; or by its feed-in tariff's metered export, but only what its panels
gave, as a battery gives what the grid may have put in; or by nobody. A deemed export payment is for half of
what the panels generated, whatever is exported: no exported Wh counts towards it. The feed-in tariff's
generation payment is for what is generated, and takes nothing from any of these.

Of what leaves a home with panels the cars' part counts first: no more may pass for the panels' than surely
was. Without a meter at the boundary what leaves is what the cars give, and what panels export is not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal

from aggregator.model.fleet import ExportTariff, FeedIn, FitExport
from aggregator.model.money import exact, pounds
from aggregator.model.time import Interval

DEEMED_SHARE = Decimal("0.5")
"""Of what a small installation generates this much is deemed to be exported."""

WH_PER_KWH = Decimal(1000)


@dataclass(frozen=True, slots=True)
class Payers:
    """A home's export by who pays for it; the parts add to it. [Wh]

    Attributes:
        market_wh: Sold to a market, in an event.
        fit_export_wh: The panels', under a feed-in tariff's metered export.
        export_tariff_wh: Under the home's export tariff.
        not_paid_wh: Paid for by nobody.
    """

    market_wh: int = 0
    fit_export_wh: int = 0
    export_tariff_wh: int = 0
    not_paid_wh: int = 0

    @property
    def export_wh(self) -> int:
        """All of it."""
        return self.market_wh + self.fit_export_wh + self.export_tariff_wh + self.not_paid_wh

    def __add__(self, other: "Payers") -> "Payers":
        return Payers(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Payers)))


@dataclass(frozen=True, slots=True)
class Export:
    """What a home exported in a half-hour.

    Attributes:
        period: The half-hour.
        payers: Of all of it.
        cars_wh: What of it its cars gave. [Wh]
        gbp_per_kwh: The export tariff's price then; None without one. [GBP/kWh]
    """

    period: Interval
    payers: Payers
    cars_wh: int
    gbp_per_kwh: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Sold:
    """What was delivered in events for a price, by where these are metered. [Wh]"""

    at_chargers_wh: int = 0
    at_boundary_wh: int = 0

    def __add__(self, other: "Sold") -> "Sold":
        return Sold(self.at_chargers_wh + other.at_chargers_wh, self.at_boundary_wh + other.at_boundary_wh)


def paid_by(export_wh: int, cars_wh: int, sold: Sold, deal: FeedIn) -> Payers:
    """Return who pays for a half-hour's export.

    Args:
        export_wh: What left the home. [Wh]
        cars_wh: What its cars gave, at their chargers. [Wh]
        sold: What its cars delivered in events for a price.
        deal: Who pays it in that half-hour.
    """
    of_cars = min(cars_wh, export_wh)
    market = min(export_wh, min(sold.at_chargers_wh, of_cars) + sold.at_boundary_wh)
    rest, of_panels = export_wh - market, export_wh - of_cars
    if deal.export_tariff is not ExportTariff.NONE:
        return Payers(market_wh=market, export_tariff_wh=rest)
    green = min(rest, of_panels) if deal.fit_export is FitExport.METERED else 0
    return Payers(market_wh=market, fit_export_wh=green, not_paid_wh=rest - green)


def tariff_price(deal: FeedIn, half_hourly_gbp_per_kwh: float) -> Decimal | None:
    """Return what an export tariff pays in a half-hour; None without one. [GBP/kWh]"""
    match deal.export_tariff:
        case ExportTariff.NONE:
            return None
        case ExportTariff.FLAT:
            return exact(deal.export_gbp_per_kwh or 0.0)
        case ExportTariff.HALF_HOURLY:
            return exact(half_hourly_gbp_per_kwh)


def tariff_gbp(rows: Sequence[Export]) -> Decimal:
    """Return what the export tariff pays for a home's half-hours, rounded once."""
    parts = (row.payers.export_tariff_wh / WH_PER_KWH * (row.gbp_per_kwh or 0) for row in rows)
    return pounds(sum(parts, Decimal(0)))
