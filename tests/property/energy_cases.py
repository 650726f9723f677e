"""Random fleets, stays and tariffs, and a small LP to hold the closed forms against."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import highspy
import numpy as np
from hypothesis import strategies as st

from aggregator.energy import CarArrays, FleetWindow, Stay, Tariff, base_plan, fleet_window

SLOT_HOURS = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet with its stays and prices."""

    cars: CarArrays
    stay: Stay
    tariff: Tariff


@st.composite
def cases(
    draw: st.DrawFn, *, most_cars: int = 5, shared: bool = True, discharge: bool = True, flat: bool = False
) -> Case:
    """Draw a case: any arrival energy, departures beyond the horizon, some absent, some never in time."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    count = draw(st.integers(1, most_cars))
    slots = draw(st.integers(2, 14))
    capacity = rng.choice([24.0, 40.0, 62.0, 77.3], count)
    sites = rng.integers(0, count, count) if shared else np.arange(count)
    cars = CarArrays(
        capacity_kwh=capacity,
        floor_kwh=capacity * rng.choice([0.3, 0.45], count),
        charge_kw=rng.choice([3.7, 7.4, 11.0], count),
        discharge_kw=rng.choice([0.0, 3.7, 6.8], count) if discharge else np.zeros(count),
        eta_charge=rng.choice([0.9, 0.93, 1.0], count),
        eta_discharge=rng.choice([0.88, 0.93, 1.0], count),
        site=sites.astype(np.int64),
        export_room_kw=rng.choice([0.0, 3.68, 5.0, 12.0], count),
        import_room_kw=rng.choice([6.0, 9.2, 18.4], count),
    )
    arrive = rng.integers(0, slots, count) * rng.integers(0, 2, count)
    depart = arrive + rng.integers(0, slots + 6, count)
    stay = Stay(
        arrive_slot=arrive,
        depart_slot=depart,
        energy_kwh=capacity * rng.choice([0.1, 0.29, 0.31, 0.6, 0.8, 1.0], count),
        target_kwh=capacity * rng.choice([0.2, 0.6, 0.9, 1.0], count),
    )
    prices = [0.2] if flat else [-0.02, 0.05, 0.1, 0.2, 0.31]
    red = np.zeros(slots, dtype=bool)
    red[slots // 3 : slots // 3 + int(rng.integers(0, 5))] = True
    tariff = Tariff(
        import_gbp_per_kwh=rng.choice(prices, slots),
        export_gbp_per_kwh=rng.choice([0.0, 0.15, 0.3, 0.5], slots),
        red=red,
        wear_gbp_per_kwh=float(rng.choice([0.0, 0.03])),
        surplus_gbp_per_kwh=float(rng.choice([0.06, 0.25])) if rng.random() < 0.5 else None,
    )
    return Case(cars, stay, tariff)


def window_of(case: Case, first_slot: int = 0, n_slots: int | None = None) -> FleetWindow:
    """Return the window of a case's base plan from ``first_slot`` on."""
    plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    length = case.tariff.slots - first_slot if n_slots is None else n_slots
    return fleet_window(case.cars, case.stay, plan, first_slot, length, SLOT_HOURS)


@dataclass(slots=True)
class Lp:
    """Minimise cost over bounded variables and ranged rows."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    rows: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def var(self, low: float = 0.0, high: float = highspy.kHighsInf, cost: float = 0.0) -> int:
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        return len(self.cost) - 1

    def row(
        self, terms: dict[int, float], low: float = -highspy.kHighsInf, high: float = highspy.kHighsInf
    ) -> None:
        self.rows.append((terms, low, high))

    def minimum(self) -> float | None:
        """Return the least cost, None where there is no solution."""
        if not self.cost:
            return 0.0
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.cost), len(self.rows)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = map(np.array, (self.cost, self.low, self.high))
        lp.row_lower_ = np.array([low for _, low, _ in self.rows])
        lp.row_upper_ = np.array([high for *_, high in self.rows])
        terms = [terms for terms, *_ in self.rows]
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.cumsum([0, *map(len, terms)])
        lp.a_matrix_.index_ = np.array([var for row in terms for var in row])
        lp.a_matrix_.value_ = np.array([value for row in terms for value in row.values()])
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("primal_feasibility_tolerance", 1e-9)
        solver.setOptionValue("dual_feasibility_tolerance", 1e-9)
        solver.passModel(lp)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return float(solver.getInfo().objective_function_value)


def subsets(slots: int) -> Sequence[list[int]]:
    """Return the slots of every set, by its number."""
    return [[slot for slot in range(slots) if chosen >> slot & 1] for chosen in range(1 << slots)]
