"""The words of a bid's making: what is asked of the optimiser.

One zone, one window, one direction, one battery; several lines, one for each need of the window. The window
is the peak window and every bid window that touches it, so that base discharge and bids share the energy
there.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.energy import Reach
from aggregator.model.market import BidShape, Direction
from aggregator.model.time import LONDON, Interval
from aggregator.solver import SolverChoice

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

KW_PER_MW = 1000.0
MAX_SLOTS = 48

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Cvar:
    """A limit on the CVaR of each line's unmet energy, given that all bids are called.

    Attributes:
        level: The mean is taken over the worst ``1 - level`` part, in [0, 1). [-]
        limit: Most allowed, as a part of the energy bid. [-]
    """

    level: float = 0.9
    limit: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One need that may be bid on. Arrays have shape (slots,), of the problem's window.

    Attributes:
        name: Of its opportunity.
        bid_slots: Where bids are wanted.
        needed_kw: Most that may be offered; 0 outside bid slots. [kW]
        bid_shape: Flat, one level for all bid slots, or per slot.
        tick_kw: Bids are whole multiples. [kW]
        min_kw: Smallest bid that is not nothing. [kW]
        hold_back: Whether base discharge may be held back, in bid slots, to serve the bid.
        utilisation_gbp_per_mwh: Asked per MWh delivered.
        availability_gbp_per_mw_h: Asked per MW held for an hour.
        award_probability: a: that the bid is awarded and called. [-]
        penalty_gbp_per_mwh: For each MWh of the bid not delivered.
        factor: Delivered over committed on past like days, in (0, 1]: what is offered is this part of what
            the scenarios are asked for. 1 where there is no such past. [-]
        least_held: Part of the base discharge in bid slots that any bid holds back at least. [-]
        most_missed: Share of the scenarios that may miss more than a twentieth of the bid. [-]
    """

    name: str
    bid_slots: BoolArray
    needed_kw: FloatArray
    bid_shape: BidShape
    tick_kw: float
    min_kw: float
    hold_back: bool
    utilisation_gbp_per_mwh: float
    availability_gbp_per_mw_h: float
    award_probability: float
    penalty_gbp_per_mwh: float
    factor: float = 1.0
    least_held: float = 0.0
    most_missed: float = 1.0

    @property
    def least_kw(self) -> float:
        """The smallest offer that is not nothing, in whole ticks. [kW]"""
        return float(np.ceil(self.min_kw / self.tick_kw - _ROUNDING) * self.tick_kw)

    @property
    def most_kw(self) -> FloatArray:
        """The largest offer per slot in whole ticks; for a flat bid the same in all bid slots. [kW]"""
        needed = np.where(self.bid_slots, self.needed_kw, 0.0)
        if self.bid_shape is BidShape.FLAT and self.bid_slots.any():
            needed = np.where(self.bid_slots, needed[self.bid_slots].min(), 0.0)
        return np.asarray(np.floor(needed / self.tick_kw + _ROUNDING) * self.tick_kw)

    def without(self, slots: BoolArray) -> "Line":
        """Return the line with no bid in some slots; a flat bid that loses one is none at all."""
        lost = self.bid_slots & slots
        all_of_it = self.bid_shape is BidShape.FLAT and bool(lost.any())
        kept = np.zeros_like(lost) if all_of_it else self.bid_slots & ~lost
        return replace(self, bid_slots=kept, needed_kw=np.where(kept, self.needed_kw, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """Energy that is cheaper to give than the rest: it need not be bought back, or only at night.

    Attributes:
        reach: What the cars can give of it; part of what they can give in all.
        saving_gbp_per_mwh: By how much it is cheaper than the next tier. [GBP/MWh]
    """

    reach: Reach
    saving_gbp_per_mwh: float


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One zone and window: what may be bid, what it earns, what the cars of each scenario can do.

    Arrays per slot have shape (slots,). Powers are magnitudes in kW at the grid side, at least 0.

    Attributes:
        slots: The window's slots, equally long, at most 48.
        direction: Of all lines.
        lines: The needs, at least one.
        base_kw: b0, expected base discharge with every bid at zero, less what commitments hold back. [kW]
        charge_kw: c, expected charging, must-charge included. [kW]
        committed_kw: Bids of the zone that stand already, served before any line. [kW]
        reach: What the cars of each scenario can do, in the direction of the lines.
        scenario_labels: What each scenario is called: the past day it was.
        probability: Of each scenario; sums to 1. [-]
        spread_gbp_per_mwh: What a MWh given (or taken, down) earns beside the product: net of recharge with
            losses and of wear, at the price of the dearest tier.
        tiers: Cheaper energy, the widest tier first, each within the one before.
        cars: Cars behind the bid.
        inputs_digest: SHA-256 of all inputs.
        plugged: How many cars are plugged in for all of a slot, shape (scenarios, slots); None where that is
            not told.
        cvar: Limit on unmet energy, None without one.
        solver: Which solver, how long.
    """

    slots: tuple[Interval, ...]
    direction: Direction
    lines: tuple[Line, ...]
    base_kw: FloatArray
    charge_kw: FloatArray
    committed_kw: FloatArray
    reach: Reach
    scenario_labels: tuple[str, ...]
    probability: FloatArray
    spread_gbp_per_mwh: FloatArray
    base_gbp_per_mwh: FloatArray
    cars: int
    inputs_digest: str
    tiers: tuple[Tier, ...] = ()
    plugged: IntArray | None = None
    cvar: Cvar | None = field(default_factory=Cvar)
    solver: SolverChoice = field(default_factory=SolverChoice)

    @property
    def slot_hours(self) -> float:
        """D, the length of a slot. [h]"""
        return self.slots[0].hours

    @property
    def shape(self) -> tuple[int, int]:
        """Lines and slots."""
        return len(self.lines), len(self.slots)

    @property
    def order(self) -> tuple[int, ...]:
        """The lines in the order in which they are served when energy is short: the dearest to miss first."""
        weight = [-line.award_probability * self.unmet_gbp_per_mwh(line) for line in self.lines]
        return tuple(int(q) for q in np.argsort(weight, kind="stable"))

    def unmet_gbp_per_mwh(self, line: Line) -> float:
        """What an undelivered MWh of a called bid costs: what it would have earned at best, and penalty.

        Where delivering loses more than the penalty is, it costs nothing: nobody misses a bid on purpose.
        """
        spread = self.spread_gbp_per_mwh[line.bid_slots].max(initial=-np.inf)
        dearest = float(spread) if np.isfinite(spread) else 0.0
        return max(0.0, line.utilisation_gbp_per_mwh + dearest + line.penalty_gbp_per_mwh)

    def held_gbp_per_mwh(self, line: Line) -> FloatArray:
        """What a MWh of base discharge held back for a line costs, shape (slots,).

        Called, it is part of what the line gives, at the product's price instead of its own; not called, it
        is lost. Where base discharge loses money, holding it back is still only done to serve a bid.
        """
        called = self.spread_gbp_per_mwh if self.tiers else np.maximum(self.spread_gbp_per_mwh, 0.0)
        return np.asarray(line.award_probability * called + np.maximum(self.base_gbp_per_mwh, 0.0))

    def standing_kw(self, held_kw: FloatArray) -> FloatArray:
        """Return b - c and commitments in the product's direction, ``held_kw`` (slots,) held back. [kW]"""
        net_kw = self.direction.sign * (self.base_kw - held_kw - self.charge_kw)
        return np.asarray(net_kw + self.committed_kw)

    def giving_kw(self, held_kw: FloatArray) -> FloatArray:
        """Return what is given without any line: base discharge that stays, and commitments. [kW]"""
        return np.asarray(self.base_kw - held_kw + self.committed_kw)

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


def why_not(problem: Problem) -> str | None:
    """Return in words what makes a problem unfit for the programme, None if nothing does."""
    n, scenarios = len(problem.slots), len(problem.probability)
    if not 1 <= n <= MAX_SLOTS:
        return f"the window has {n} slots; 1 to {MAX_SLOTS} can be bid at once"
    if len({slot.hours for slot in problem.slots}) != 1:
        return "the window's slots are not equally long"
    if not problem.lines:
        return "no need may be bid on"
    prices = (problem.spread_gbp_per_mwh, problem.base_gbp_per_mwh)
    series = (problem.base_kw, problem.charge_kw, problem.committed_kw, *prices)
    of_lines = [values for line in problem.lines for values in (line.bid_slots, line.needed_kw)]
    if any(values.shape != (n,) for values in (*series, *of_lines)):
        return f"not every series has one figure for each of the {n} slots"
    reaches = (problem.reach, *(tier.reach for tier in problem.tiers))
    if any((reach.scenarios, reach.slots) != (scenarios, n) for reach in reaches):
        return f"what the fleet can do is not known for {scenarios} scenarios and {n} slots"
    if len(problem.scenario_labels) != scenarios:
        return f"{len(problem.scenario_labels)} scenarios are named, {scenarios} have a probability"
    return _why_not_figures(problem)


def _why_not_figures(problem: Problem) -> str | None:
    needs = [line.needed_kw for line in problem.lines]
    arrays = (*needs, problem.base_kw, problem.charge_kw, problem.committed_kw, problem.probability)
    if any(not np.isfinite(values).all() or (values < 0.0).any() for values in arrays):
        return "needs, base plan and probabilities must be finite and at least 0"
    if not np.isfinite(problem.reach.energy_kwh(np.eye(len(problem.slots), dtype=np.bool_))).all():
        return "what the fleet can do must be finite"
    if not np.isfinite([problem.spread_gbp_per_mwh, problem.base_gbp_per_mwh]).all():
        return "prices must be finite"
    if abs(float(problem.probability.sum()) - 1.0) > _ROUNDING:
        return f"the scenarios' probabilities sum to {float(problem.probability.sum()):g}, not to 1"
    return next(filter(None, (_why_not_line(problem, line) for line in problem.lines)), None)


def _why_not_line(problem: Problem, line: Line) -> str | None:
    if line.tick_kw <= 0.0 or line.min_kw < 0.0 or not 0.0 < line.factor <= 1.0:
        return "the tick must be above 0, the minimum at least 0, the factor above 0 and at most 1"
    at_stake = line.award_probability * line.penalty_gbp_per_mwh
    held_gbp = line.availability_gbp_per_mw_h
    if problem.cvar is None and held_gbp > 0.0 and at_stake <= held_gbp:
        return (
            f"the penalty is too low: {at_stake:g} GBP/MWh expected for not delivering does not exceed "
            f"{held_gbp:g} GBP/MW/h for holding, so that bidding more than there is "
            "would pay; raise penalty_gbp_per_mwh or set a CVaR limit"
        )
    return None
