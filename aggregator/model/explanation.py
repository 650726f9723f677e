"""Why a bid is what it is, as the desk is shown it and the journal keeps it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PricedPart:
    """A part of a bid, from nothing up.

    Attributes:
        up_to_kw: The bid's highest level where this part ends. [kW]
        marginal_gbp_per_mwh: What its energy costs to deliver. [GBP/MWh]
        price_gbp_per_mwh: What it would be asked for alone: cost and the desk's margin, and never less than
            the desk's share of the ceiling, never more than the ceiling. [GBP/MWh]
    """

    up_to_kw: float
    marginal_gbp_per_mwh: float
    price_gbp_per_mwh: float


@dataclass(frozen=True, slots=True)
class Worth:
    """What a bid, or what was awarded of it, is expected to earn, and how surely it is delivered.

    Attributes:
        margin_gbp: Expected. [GBP]
        p10_gbp: Nine of ten drawn days earn so much or more. [GBP]
        p90_gbp: One of ten drawn days earns so much or more. [GBP]
        deliver: Share of the drawn days on which 95% of it or more would be delivered.
    """

    margin_gbp: float
    p10_gbp: float
    p90_gbp: float
    deliver: float


@dataclass(frozen=True, slots=True)
class Beside:
    """Another opportunity of the zone that was looked at: as its first ``version`` facts had left it."""

    opportunity_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from the draft before.

    Attributes:
        from_version: Of that draft.
        kw: Of the highest level offered. [kW]
        gbp_per_mwh: Of the price asked. [GBP/MWh]
        margin_gbp: Of the expected margin. [GBP]
        inputs: Which inputs are others now.
    """

    from_version: int
    kw: float
    gbp_per_mwh: float
    margin_gbp: float
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a bid is what it is.

    Attributes:
        binding: What stops it from being larger, in words.
        bad_scenarios: The past days on which the bid would fall short, with the kWh missing.
        marginal_cost_gbp_per_mwh: What the last part costs: recharge with losses and wear, spread given up,
            penalties on days that fall short.
        held_back_kwh: Base discharge given up to serve the bid. [kWh]
        factor: Scale from past delivery; 1 where there is none.
        cars: Cars behind the bid: most that any scenario counts on.
        scenarios: Past days drawn.
        solver: Name, status and gap of the solve.
        margin_p10_gbp: Expected margin in the scenario at the 10th percentile.
        inputs_digest: SHA-256 of all inputs; same inputs, same bid.
        known_at: What was known by then was used; None for a bid that no model made.
        margin_p90_gbp: The same at the 90th percentile.
        held_back_gbp: What the base discharge given up would have earned. [GBP]
        accepted: How likely the price was held to be accepted, by prices cleared before; 1 without such.
        parts: Marginal cost and price of the bid's parts.
        inputs: Digest of each input, by name.
        beside: The zone's other opportunities that were looked at.
        change: From the draft before; None for a first one.
        hope_gbp: Expected margin of the best bid if a miss cost no more than its penalty; 0 if not asked.
        miss: Share of the drawn days on which less than 95% of the bid would be delivered.
        miss_gbp: What the record of past bids lets a miss cost beside its penalty; 0 where it was not asked.
        valued_anew: Of a person's draft: whether margins, misses and costs are its own, worked out over the
            scenarios of the model's draft; else they are that draft's.
    """

    binding: tuple[str, ...]
    bad_scenarios: tuple[str, ...]
    marginal_cost_gbp_per_mwh: float
    held_back_kwh: float
    factor: float
    cars: int
    scenarios: int
    solver: str
    margin_p10_gbp: float
    inputs_digest: str
    known_at: datetime | None = None
    margin_p90_gbp: float = 0.0
    held_back_gbp: float = 0.0
    accepted: float = 1.0
    parts: tuple[PricedPart, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    beside: tuple[Beside, ...] = ()
    change: Change | None = None
    hope_gbp: float = 0.0
    miss: float = 0.0
    miss_gbp: float = 0.0
    # left out of the words: drafts from before there was this keep their digest
    valued_anew: bool = field(default=False, repr=False)
