"""The words of a bid's making: what is asked of the optimiser, and what it answers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aggregator.model.market import BidShape, Direction
from aggregator.model.time import LONDON, Interval
from aggregator.solver import SolverChoice, SolverRun

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

KW_PER_MW = 1000.0


@dataclass(frozen=True, slots=True)
class Cvar:
    """A limit on the CVaR of unmet energy, given that the bid is called.

    Attributes:
        level: The mean is taken over the worst ``1 - level`` part, in [0, 1). [-]
        limit: Most allowed, as a part of the energy bid. [-]
    """

    level: float = 0.9
    limit: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One zone and window: what may be bid, what it earns, what the cars of each scenario can do.

    Arrays per slot have shape (slots,). Powers are magnitudes in kW at the grid side, at least 0.

    Attributes:
        slots: The window's slots, equally long: the union of peak window and bid windows; at most 12.
        direction: Of the product.
        bid_slots: Where bids are wanted.
        needed_kw: Most that may be offered; 0 outside bid slots. [kW]
        bid_shape: Flat or per slot.
        tick_kw: Bids are whole multiples. [kW]
        min_kw: Smallest bid that is not nothing. [kW]
        hold_back: Whether base discharge may be held back, in bid slots, to serve the bid.
        base_kw: b0, expected base discharge with every bid at zero. [kW]
        charge_kw: c, expected charging, must-charge included. [kW]
        capability_kwh: h_w(S): most net export (up) or net import (down) over the slots in S, shape
            (scenarios, 2**slots); bit t of the column's index says whether slot t is in S. May be negative;
            the empty set's column is not looked at. [kWh]
        scenario_labels: What each scenario is called: the past day it was.
        probability: Of each scenario; sums to 1. [-]
        spread_gbp_per_mwh: What base discharge earns net of recharge with losses and of wear. [GBP/MWh]
        energy_cost_gbp_per_mwh: Recharge with losses and wear. [GBP/MWh]
        utilisation_gbp_per_mwh: Asked per MWh delivered. [GBP/MWh]
        availability_gbp_per_mw_h: Asked per MW held for an hour. [GBP/MW/h]
        award_probability: a: that the bid is awarded and called. [-]
        penalty_gbp_per_mwh: For each MWh of the bid not delivered. [GBP/MWh]
        nomination_penalty_gbp_per_mwh: For each MWh nominated and not delivered. [GBP/MWh]
        cars: Cars behind the bid.
        inputs_digest: SHA-256 of all inputs.
        factor: Delivered over committed on past like days, in (0, 1]; 1 where there is none. [-]
        cvar: Limit on unmet energy, None without one.
        solver: Which solver, how long.
    """

    slots: tuple[Interval, ...]
    direction: Direction
    bid_slots: BoolArray
    needed_kw: FloatArray
    bid_shape: BidShape
    tick_kw: float
    min_kw: float
    hold_back: bool
    base_kw: FloatArray
    charge_kw: FloatArray
    capability_kwh: FloatArray
    scenario_labels: tuple[str, ...]
    probability: FloatArray
    spread_gbp_per_mwh: FloatArray
    energy_cost_gbp_per_mwh: float
    utilisation_gbp_per_mwh: float
    availability_gbp_per_mw_h: float
    award_probability: float
    penalty_gbp_per_mwh: float
    nomination_penalty_gbp_per_mwh: float
    cars: int
    inputs_digest: str
    factor: float = 1.0
    cvar: Cvar | None = None
    solver: SolverChoice = field(default_factory=SolverChoice)

    @property
    def slot_hours(self) -> float:
        """D, the length of a slot. [h]"""
        return self.slots[0].hours

    @property
    def unmet_gbp_per_mwh(self) -> FloatArray:
        """What an undelivered MWh of a called bid costs: what it would have earned, and the penalty."""
        return self.utilisation_gbp_per_mwh + self.spread_gbp_per_mwh + self.penalty_gbp_per_mwh

    @property
    def nomination_gbp_per_mwh(self) -> float:
        """What an undelivered nominated MWh costs: never less than one of the bid.

        Otherwise a bid could pay by breaking the nomination.
        """
        dearest = self.award_probability * float(self.unmet_gbp_per_mwh.max(initial=0.0))
        return max(self.nomination_penalty_gbp_per_mwh, 1.01 * dearest + 1.0)

    def nominated_kw(self, held_kw: FloatArray) -> FloatArray:
        """Return b - c in the product's own direction, ``held_kw`` (slots,) being held back. [kW]"""
        return self.direction.sign * (self.base_kw - held_kw - self.charge_kw)

    def words(self, members: BoolArray) -> str:
        """Say which slots a set holds, in local time: ``17:00-18:00, 18:30-19:00``."""
        runs: list[Interval] = []
        for slot in (slot for slot, is_in in zip(self.slots, members, strict=True) if is_in):
            if runs and runs[-1].end == slot.start:
                runs[-1] = Interval(runs[-1].start, slot.end)
            else:
                runs.append(slot)
        stamps = [(run.start.astimezone(LONDON), run.end.astimezone(LONDON)) for run in runs]
        return ", ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in stamps)


@dataclass(frozen=True, slots=True, eq=False)
class Shortfall:
    """What each scenario misses, shape (scenarios, slots). [kW]

    Attributes:
        unmet_kw: u: of the bid.
        nomination_kw: v: of the nomination.
    """

    unmet_kw: FloatArray
    nomination_kw: FloatArray


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
        return f"{self.label}: {self.missing_kwh:.1f} kWh"


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A bid, and why it is what it is. Margins are against bidding nothing.

    Attributes:
        offered_kw: Per slot, whole ticks; 0 outside bid slots. [kW]
        kept_kw: b per slot: base discharge that stays beside the bid. [kW]
        held_back_kwh: Base discharge given up. [kWh]
        expected_margin_gbp: Mean over scenarios, award and call. [GBP]
        margin_p10_gbp: The same in the scenario at the 10th percentile. [GBP]
        marginal_cost_gbp_per_mwh: What the last MWh costs: recharge with losses and wear, and the spread it
            would have earned where base discharge is held back. [GBP/MWh]
        binding: The cuts that bind, in words.
        bad_scenarios: Where it falls short, worst first.
        shortfall: u and v per scenario and slot.
        factor: As applied.
        cars: Cars behind the bid.
        run: How the solve ended.
        inputs_digest: Of the problem.
    """

    offered_kw: FloatArray
    kept_kw: FloatArray
    held_back_kwh: float
    expected_margin_gbp: float
    margin_p10_gbp: float
    marginal_cost_gbp_per_mwh: float
    binding: tuple[str, ...]
    bad_scenarios: tuple[BadScenario, ...]
    shortfall: Shortfall
    factor: float
    cars: int
    run: SolverRun
    inputs_digest: str

    @property
    def is_zero(self) -> bool:
        """Whether it offers nothing at all."""
        return not self.offered_kw.any()


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No bid can be made, and why, in words for the desk."""

    reason: str
