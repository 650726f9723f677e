"""Random fleets for bids: tables by the formula itself, and an explicit split over cars to check them."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import highspy
import numpy as np

from aggregator.bidding import Infeasible, Line, Offer, Problem, Proposal, propose
from aggregator.bidding.problem import FloatArray
from aggregator.energy import TableReach
from aggregator.model.market import BidShape, Direction
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.solver import SolverChoice

HOURS = 0.5


@dataclass(frozen=True)
class Fleet:
    """Cars: energy (scenarios, cars), power (cars,), plugged slots (scenarios, cars, slots)."""

    energy_kwh: FloatArray
    power_kw: FloatArray
    plugged: np.ndarray

    @property
    def table(self) -> FloatArray:
        """h_w(S) = sum_i min(E_i, p_i*D*|S & A_i|), set by set."""
        scenarios, _, slots = self.plugged.shape
        table = np.zeros((scenarios, 2**slots))
        for number in range(2**slots):
            members = [t for t in range(slots) if number >> t & 1]
            shared = self.plugged[:, :, members].sum(axis=2)
            table[:, number] = np.minimum(self.energy_kwh, self.power_kw * HOURS * shared).sum(axis=1)
        return table


def a_fleet(seed: int, *, cars: int, slots: int, scenarios: int) -> Fleet:
    """Draw a fleet; the same seed gives the same one."""
    draw = np.random.default_rng(seed)
    arrive = draw.integers(0, slots, (scenarios, cars, 1))
    depart = draw.integers(0, slots + 1, (scenarios, cars, 1))
    when = np.arange(slots)
    return Fleet(
        energy_kwh=np.round(
            draw.uniform(0.0, 12.0, (scenarios, cars)) * draw.integers(0, 2, (scenarios, cars)), 1
        ),
        power_kw=draw.choice([3.6, 7.4], cars),
        plugged=(arrive <= when) & (when < depart),
    )


def a_line(slots: int, **changes: Any) -> Line:
    """A need of all slots, at prices at which bidding pays."""
    line = Line(
        name="need",
        bid_slots=np.ones(slots, dtype=bool),
        needed_kw=np.full(slots, 1000.0),
        bid_shape=BidShape.PER_SLOT,
        tick_kw=0.1,
        min_kw=0.0,
        hold_back=False,
        utilisation_gbp_per_mwh=300.0,
        availability_gbp_per_mw_h=10.0,
        award_probability=0.8,
        penalty_gbp_per_mwh=400.0,
    )
    return replace(line, **changes)


LINE = frozenset(field.name for field in fields(Line))


def a_problem(fleet: Fleet, *lines: Line, **changes: Any) -> Problem:
    """A problem on ``fleet``, nothing planned, no CVaR limit; changes of a line's fields go to a line."""
    scenarios, _, slots = fleet.plugged.shape
    start = datetime(2024, 12, 11, 16, tzinfo=UTC)
    nothing = np.zeros(slots)
    of_line = {name: changes.pop(name) for name in LINE & changes.keys()}
    spread = changes.pop("spread_gbp_per_mwh", np.full(slots, 20.0))
    problem = Problem(
        slots=Interval(start, start + slots * HALF_HOUR).slots(timedelta(minutes=30)),
        direction=Direction.UP,
        lines=lines or (a_line(slots, **of_line),),
        base_kw=nothing,
        charge_kw=nothing,
        committed_kw=nothing,
        reach=TableReach(fleet.table),
        scenario_labels=tuple(f"2024-11-{day + 1:02}" for day in range(scenarios)),
        probability=np.full(scenarios, 1.0 / scenarios),
        spread_gbp_per_mwh=spread,
        base_gbp_per_mwh=spread,
        cars=len(fleet.power_kw),
        inputs_digest="d" * 64,
        cvar=None,
        solver=SolverChoice("highs"),
    )
    return replace(problem, **changes)


def proposed(problem: Problem) -> Proposal:
    """Propose, where a proposal is sure."""
    answer = propose(problem)
    assert not isinstance(answer, Infeasible), answer.reason
    return answer


def the_offer(problem: Problem) -> Offer:
    """Propose for a problem of one line."""
    (offer,) = proposed(problem).offers
    return offer


def split_shortfall_kwh(fleet: Fleet, scenario: int, wanted_kw: FloatArray) -> float:
    """Return the least energy that an explicit split over the cars misses of ``wanted_kw`` (slots,). [kWh]"""
    solver = highspy.Highs()
    solver.silent()
    cars, slots = fleet.plugged.shape[1:]
    missing = []
    for kw in wanted_kw:
        solver.addCol(HOURS, 0.0, max(0.0, kw), 0, [], [])
        missing.append(solver.getNumCol() - 1)
    export = np.zeros((cars, slots), dtype=int)
    for i in range(cars):
        for t in range(slots):
            solver.addCol(0.0, 0.0, fleet.power_kw[i] * fleet.plugged[scenario, i, t], 0, [], [])
            export[i, t] = solver.getNumCol() - 1
        solver.addRow(0.0, fleet.energy_kwh[scenario, i], slots, export[i], np.full(slots, HOURS))
    for t, kw in enumerate(wanted_kw):
        solver.addRow(kw, highspy.kHighsInf, cars + 1, np.append(export[:, t], missing[t]), np.ones(cars + 1))
    solver.run()
    return float(solver.getObjectiveValue())
