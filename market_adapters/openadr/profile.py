"""How a platform uses OpenADR: all of it is configuration, as no UK DNO publishes its own profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from aggregator.model.market import Direction
from aggregator.ports import CallKind

WITH_PRODUCT = (CallKind.REQUIREMENT, CallKind.AWARD, CallKind.DISPATCH)


@dataclass(frozen=True, slots=True)
class Profile:
    """One platform's ways.

    Attributes:
        context: What every market context of ours begins with, e.g. ``http://dso.example/flex``.
        zones: The groupIDs that are ours.
        products: What may follow ``requirement/``, ``award/``, ``dispatch/``, and which way it moves power.
        price_steps: Most price steps of a bid, by product; 1 where nothing is said.
        load_sign: +1 where every kW and kWh on the wire counts load (export is negative), -1 where export.
        need_signal: kW of a requirement.
        ceiling_signal: Most paid per MWh.
        availability_signal: Most paid, or what was cleared, per MW held for an hour.
        cleared_signal: kW of an award.
        cleared_price_signal: Price per MWh of an award.
        order_signal: kW of an instruction.
        level_signal: Level of a peak window.
        open_end: How long an open-ended order is taken to last unless it is amended or ended before; where
            something was awarded, it lasts no longer than that.
    """

    context: str
    zones: tuple[str, ...]
    products: Mapping[str, Direction]
    price_steps: Mapping[str, int] = field(default_factory=dict)
    load_sign: int = 1
    need_signal: str = "LOAD_DISPATCH"
    ceiling_signal: str = "ELECTRICITY_PRICE"
    availability_signal: str = "x-AVAILABILITY_PRICE"
    cleared_signal: str = "BID_LOAD"
    cleared_price_signal: str = "BID_PRICE"
    order_signal: str = "LOAD_DISPATCH"
    level_signal: str = "SIMPLE"
    open_end: timedelta = timedelta(days=1)

    def kind_of(self, market_context: str) -> tuple[CallKind, str | None]:
        """Return what a market context of exactly our prefix is about, and its product."""
        prefix = self.context.rstrip("/") + "/"
        if not market_context.startswith(prefix):
            return CallKind.UNKNOWN, None
        return kind_by_path(market_context.removeprefix(prefix), whole=True)


def kind_by_path(market_context: str, *, whole: bool = False) -> tuple[CallKind, str | None]:
    """Return what a market context is about by its last parts, and its product.

    Args:
        market_context: A URI, or what follows our prefix.
        whole: Whether nothing else may stand before those parts.
    """
    parts = [part for part in market_context.split("/") if part]
    if len(parts) > 1 and parts[-2] in WITH_PRODUCT and (not whole or len(parts) == len(("kind", "product"))):
        return CallKind(parts[-2]), parts[-1]
    if parts and parts[-1] == CallKind.PEAK and (len(parts) == 1 or not whole):
        return CallKind.PEAK, None
    return CallKind.UNKNOWN, None
