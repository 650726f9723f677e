"""Prices per slot, and what a kWh in the battery is worth at each of them."""

from dataclasses import dataclass

from aggregator.energy.cars import BoolArray, FloatArray

RED_GBP_PER_KWH = 1e4
"""Above any price, so that a red half-hour is used only where nothing else keeps floor and target."""

TRIFLE_GBP_PER_KWH = 1e-8
"""Decides between equal prices and between no others: published ones differ by 1e-5 and more."""


@dataclass(frozen=True, slots=True, eq=False)
class Tariff:
    """What all cars of one plan pay and get.

    Attributes:
        import_gbp_per_kwh: Price of a kWh drawn, per slot, shape (slots,). [GBP/kWh AC]
        export_gbp_per_kwh: Price of a kWh given, per slot, shape (slots,). [GBP/kWh AC]
        red: Slots without import but for P1 to P3, shape (slots,).
        wear_gbp_per_kwh: Battery wear of a kWh given. [GBP/kWh AC]
        surplus_gbp_per_kwh: At what price energy beyond the target is bought back after the stay; None for
            the cheapest slot of the plan that is not red. [GBP/kWh AC]
        bid: Slots that somebody may pay us for, shape (slots,); None for none. Of equal prices others are
            bought at first, so that no tie makes turn-down that was never given up.
    """

    import_gbp_per_kwh: FloatArray
    export_gbp_per_kwh: FloatArray
    red: BoolArray
    wear_gbp_per_kwh: float = 0.0
    surplus_gbp_per_kwh: float | None = None
    bid: BoolArray | None = None

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.red)

    @property
    def asked_gbp_per_kwh(self) -> FloatArray:
        """What decides where to buy: the price, dearest where red, a trifle dearer where bid. [GBP/kWh AC]"""
        asked = self.import_gbp_per_kwh + RED_GBP_PER_KWH * self.red
        return asked if self.bid is None else asked + TRIFLE_GBP_PER_KWH * self.bid

    @property
    def buy_back_gbp_per_kwh(self) -> float:
        """Price at which energy beyond the target is bought back, at least 0. [GBP/kWh AC]"""
        if self.surplus_gbp_per_kwh is not None:
            return self.surplus_gbp_per_kwh
        usable = self.import_gbp_per_kwh[~self.red]
        return max(0.0, float((usable if usable.size else self.import_gbp_per_kwh).min()))
