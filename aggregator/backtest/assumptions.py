"""What the figures of a backtest stand on, in sentences: they go with every result."""

from zoneinfo import ZoneInfo

from aggregator.backtest.offers import Rules
from aggregator.backtest.replay import GATE_HOUR
from aggregator.backtest.world import (
    CHARGER_KW,
    ETA,
    FLOOR_SOC,
    LARGE_ABOVE_KWH,
    LARGE_KWH,
    LEAST_ARRIVAL_SOC,
    SMALL_KWH,
    TARGET_SOC,
)

BY_RISK = {
    "record": 'Flexloop bids by the record of its own bids, `[bidding] risk = "record"`. The default of a '
    'gateway, "cvar", bids less: `--risk cvar` replays that.',
    "cvar": 'Flexloop bids within the standard CVaR limit, `[bidding] risk = "cvar"`, as a gateway does by '
    "default; the factor from past delivery, by which a gateway may bid less still, is left out.",
}


def assumptions(rules: Rules, sessions_zone: ZoneInfo) -> list[str]:
    """Return them."""
    return [
        f"A session's times are wall times of {sessions_zone.key}, moved by the multiple of 364 days that "
        "lands in the market's days; each source year of a user is a car of its own, with its own home.",
        f"Every car has {SMALL_KWH:g} kWh, or {LARGE_KWH:g} where over {LARGE_ABOVE_KWH:g} is predicted, "
        f"a {CHARGER_KW:g} kW charger with {ETA:g} efficiency each way, a floor of {FLOOR_SOC:.0%} and a "
        f"target of {TARGET_SOC:.0%}. It comes with what it left with, less what the session drew, at least "
        f"{LEAST_ARRIVAL_SOC:.0%}.",
        "A car is in the fleet from its first plug-in until its site's record ends, but for times when it "
        "has not been seen for two months: the end of a contract is known beforehand, that a driver stays "
        "away is not.",
        "The DNO's zones, by name, are dealt to ours in turn, kW as they are. A zone takes one call a day "
        "from noon to noon, the best paid one; a call across noon takes both days. All that is bid is "
        "awarded, up to the need, at the recorded prices, and called.",
        BY_RISK[rules.risk],
        "The clairvoyant plays what it might bid, the other policies' bids, too, and takes what earns most.",
        f"The gate closes at {GATE_HOUR}:00 the day before; prices are known up to 23:00 of the day of the "
        "gate, later ones are taken as at the same time of the last day known. The cars themselves follow "
        "the true prices from noon on.",
        f"GBP {rules.penalty_gbp_per_mwh:g} for each MWh awarded and missing, "
        f"GBP {rules.wear_gbp_per_kwh:g} of wear and GBP {rules.export_gbp_per_kwh:g} of other income for "
        f"each kWh given. Bids are whole {rules.tick_kw:g} kW, at least {rules.min_kw:g}.",
        "The record's public holidays fall on other days of the market's year: they are not known.",
    ]
