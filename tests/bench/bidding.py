"""Bids: what a fleet can do in a window as a table, and the linear programme over it."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np

from aggregator.bidding import Infeasible, Line, Problem, propose
from aggregator.bidding.program import optimise
from aggregator.energy import (
    BasePlan,
    CarArrays,
    FleetWindow,
    Reach,
    Stay,
    base_plan,
    expected_nomination,
    reach,
)
from aggregator.energy import fleet_window as windowed
from aggregator.model.market import BidShape, Direction
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.solver import SolverChoice, SolverName
from tests.bench.fleets import SLOT_HOURS, some_cars, some_prices, some_stays
from tests.bench.measure import Row, median_ms

HORIZON = 48
FIRST, SLOTS = 8, 8
"""From 16:00 to 20:00 on a horizon from noon."""

ONE_SCENARIO_MS = {135: None, 1_000: None, 10_000: 50.0, 100_000: None, 1_000_000: 2000.0}
MANY_SCENARIOS_MS = 2000.0
SCENARIOS = (1, 10, 30, 100)
LARGEST_PLANNED = 100_000
"""Cars whose base plans are made; larger fleets are this one over and over."""
SOLVERS: tuple[SolverName, ...] = ("glpk", "highs")


class Zone:
    """Cars of one zone with a base plan for each of some past days."""

    def __init__(self, count: int, scenarios: int, seed: int = 0) -> None:
        self.times = max(1, count // LARGEST_PLANNED)
        self.cars: CarArrays = some_cars(count // self.times, seed=seed)
        self.stays: list[Stay] = [
            some_stays(self.cars, HORIZON, seed=100 * seed + n) for n in range(scenarios)
        ]
        self.tariff = some_prices(HORIZON)
        self.plans: list[BasePlan] = self.base_plans()

    def base_plans(self) -> list[BasePlan]:
        """Plan every scenario."""
        return [base_plan(self.cars, stay, self.tariff, SLOT_HOURS) for stay in self.stays]

    def reach(self) -> Reach:
        """Return what the cars can do, scenario by scenario."""
        windows = [
            windowed(self.cars, stay, plan, FIRST, SLOTS, SLOT_HOURS)
            for stay, plan in zip(self.stays, self.plans, strict=True)
        ]
        return reach([_times_over(window, self.times) for window in windows], SLOT_HOURS, up=True)

    def problem(self, able: Reach, solver: SolverName) -> Problem:
        """Ask for all the zone has, from 17:00 to 19:00."""
        scenarios = len(self.stays)
        base_kw, charge_kw = expected_nomination(self.plans, None, FIRST, SLOTS)
        count = self.times * self.cars.count
        wanted = (np.arange(SLOTS) >= 2) & (np.arange(SLOTS) < 6)
        start = datetime(2025, 1, 15, 16, tzinfo=UTC)
        line = Line(
            name="evening",
            bid_slots=wanted,
            needed_kw=np.where(wanted, 6.0 * count, 0.0),
            bid_shape=BidShape.PER_SLOT,
            tick_kw=1.0,
            min_kw=10.0,
            hold_back=True,
            utilisation_gbp_per_mwh=500.0,
            availability_gbp_per_mw_h=10.0,
            award_probability=0.8,
            penalty_gbp_per_mwh=400.0,
        )
        return Problem(
            slots=Interval(start, start + SLOTS * HALF_HOUR).slots(HALF_HOUR),
            direction=Direction.UP,
            lines=(line,),
            base_kw=self.times * base_kw,
            charge_kw=self.times * charge_kw,
            committed_kw=np.zeros(SLOTS),
            reach=able,
            scenario_labels=tuple(f"day {n}" for n in range(scenarios)),
            probability=np.full(scenarios, 1.0 / scenarios),
            spread_gbp_per_mwh=np.full(SLOTS, 20.0),
            base_gbp_per_mwh=np.full(SLOTS, 20.0),
            cars=count,
            inputs_digest="b" * 64,
            solver=SolverChoice(solver),
        )

    def bid(self, solver: SolverName) -> None:
        """Go from plans to a bid.

        Raises:
            RuntimeError: If there is none: a measurement of nothing would look fast.
        """
        proposal = propose(self.problem(self.reach(), solver))
        if isinstance(proposal, Infeasible) or proposal.is_zero:
            raise RuntimeError(f"the bench's problem has no bid: {proposal}")


def _times_over(window: FleetWindow, times: int) -> FleetWindow:
    """Return the window of a fleet in which each car is there so many times, each at a home of its own."""
    if times == 1:
        return window
    per_car = {
        field.name: np.tile(value, times)
        for field in fields(window)
        if isinstance(value := getattr(window, field.name), np.ndarray)
    }
    homes = len(window.export_room_kw)
    per_car["site"] = per_car["site"] + np.repeat(np.arange(times) * homes, len(window.site))
    return replace(window, **per_car)


def rows() -> Iterator[Row]:
    """Measure one scenario at growing sizes."""
    for count, budget_ms in ONE_SCENARIO_MS.items():
        zone = Zone(count, 1)
        size = f"{count:,} cars, 1 scenario, {SLOTS} slots"
        yield median_ms("bid, table alone", size, zone.reach)
        cuts = len(optimise(zone.problem(zone.reach(), "highs")).cuts)
        yield Row("bid, rows of the LP", size, cuts, "rows", 1)
        for solver in SOLVERS:
            yield median_ms(
                f"bid, table and LP, {solver}", size, lambda z=zone, s=solver: z.bid(s), budget_ms
            )


def scenario_rows() -> Iterator[Row]:
    """Measure growing numbers of scenarios."""
    for scenarios in SCENARIOS:
        zone = Zone(1_000, scenarios)
        size = f"1,000 cars, {scenarios} scenarios, {SLOTS} slots"
        for solver in SOLVERS:
            yield median_ms(f"bid, tables and LP, {solver}", size, lambda z=zone, s=solver: z.bid(s))
        cuts = len(optimise(zone.problem(zone.reach(), "highs")).cuts)
        yield Row("bid, rows of the LP", size, cuts, "rows", 1)


def many_rows() -> Iterator[Row]:
    """Measure 30 scenarios in two zones."""
    zones = [Zone(1_000, 30, seed) for seed in (1, 2)]
    size = f"1,000 cars in each of 2 zones, 30 scenarios, {SLOTS} slots"
    yield median_ms("bid, base plans before it", size, lambda: [zone.base_plans() for zone in zones])
    for solver in SOLVERS:
        yield median_ms(
            f"bid, tables and LP, {solver}",
            size,
            lambda s=solver: [zone.bid(s) for zone in zones],
            MANY_SCENARIOS_MS,
        )
