"""The words of a bid's making: what the optimiser answers."""

from dataclasses import dataclass
from datetime import date

from aggregator.bidding.problem import FloatArray
from aggregator.model.figures import kwh
from aggregator.solver import SolverRun


@dataclass(frozen=True, slots=True)
class BadScenario:
    """A past day on which the bid would fall short.

    Attributes:
        label: The day.
        missing_kwh: Of the bid. [kWh]
    """

    label: str
    missing_kwh: float

    def __str__(self) -> str:
        return f"{day_words(self.label)}: {kwh(self.missing_kwh)} missing"


def day_words(label: str) -> str:
    """Return what people call a scenario: ``Wed 18 Dec 2024`` where it is a day."""
    try:
        return f"{date.fromisoformat(label):%a %d %b %Y}"
    except ValueError:
        return label


@dataclass(frozen=True, slots=True)
class Tranche:
    """A part of a bid, from nothing up.

    Attributes:
        up_to_kw: The bid's highest level where this part ends. [kW]
        marginal_gbp_per_mwh: What its energy costs to deliver: recharge with losses, wear, spread given up
            by holding back, and penalties on the days that fall short.
    """

    up_to_kw: float
    marginal_gbp_per_mwh: float


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """The bid of one line, and why it is what it is. Margins are against not bidding on it.

    Attributes:
        name: Of the line.
        offered_kw: Whole ticks; 0 outside bid slots, shape (slots,). [kW]
        held_kw: Base discharge held back for it, shape (slots,). [kW]
        held_back_kwh: The same in all. [kWh]
        held_back_gbp: Spread that this gives up, whether called or not. [GBP]
        expected_margin_gbp: Mean over scenarios, award and call. [GBP]
        margin_p10_gbp: The same in the scenario at the 10th percentile. [GBP]
        margin_p90_gbp: And at the 90th. [GBP]
        tranches: Marginal cost of its parts.
        binding: What stops it from being larger, in words.
        bad_scenarios: Where it falls short, worst first.
        missed: Share of the scenarios that miss more than a twentieth of it. [-]
        factor: As applied.
        lost_to: The line that bids in the same slots instead; None where there is none.
    """

    name: str
    offered_kw: FloatArray
    held_kw: FloatArray
    held_back_kwh: float
    held_back_gbp: float
    expected_margin_gbp: float
    margin_p10_gbp: float
    margin_p90_gbp: float
    tranches: tuple[Tranche, ...]
    binding: tuple[str, ...]
    bad_scenarios: tuple[BadScenario, ...]
    missed: float
    factor: float
    lost_to: str | None = None

    @property
    def is_zero(self) -> bool:
        """Whether it offers nothing at all."""
        return not self.offered_kw.any()

    @property
    def marginal_cost_gbp_per_mwh(self) -> float:
        """What the last part costs to deliver; 0 for a bid of nothing."""
        return self.tranches[-1].marginal_gbp_per_mwh if self.tranches else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """The bids of a window, one offer for each line.

    Attributes:
        offers: In the order of the problem's lines.
        kept_kw: b per slot: base discharge that stays beside the bids. [kW]
        unmet_kw: u: what each scenario misses of each line, summed over slots, (scenarios, lines). [kW]
        cars: Cars behind the bids.
        run: How the solve ended; its gap is that to the best bids without ticks and minimum.
        inputs_digest: Of the problem.
        cut_short: Whether the solver ran out of time: more of it might find better bids.
    """

    offers: tuple[Offer, ...]
    kept_kw: FloatArray
    unmet_kw: FloatArray
    cars: int
    run: SolverRun
    inputs_digest: str
    cut_short: bool = False

    @property
    def offered_kw(self) -> FloatArray:
        """All offers together: at most one bids in a slot; shape (slots,). [kW]"""
        return sum((offer.offered_kw for offer in self.offers[1:]), self.offers[0].offered_kw)

    @property
    def expected_margin_gbp(self) -> float:
        """Of all offers. [GBP]"""
        return sum(offer.expected_margin_gbp for offer in self.offers)

    @property
    def is_zero(self) -> bool:
        """Whether it offers nothing at all."""
        return all(offer.is_zero for offer in self.offers)


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No bid can be made, and why, in words for the desk."""

    reason: str
