"""`plan` as one programme with a variable per car, slot and scenario; shares nothing with the code."""

from typing import Any

import highspy
import numpy as np

PRINTED_KWH = 1e-5
"""What the solver's tolerance and the printed digits may put a bid above the risk limit that binds it."""


def best_revenue(problem: dict[str, Any], *, fixed_kw: list[float] | None = None) -> float:
    """Return the highest expected revenue [GBP], or that of ``fixed_kw`` if it is given."""
    oracle = _Oracle(problem, slack_kwh=PRINTED_KWH if fixed_kw is not None else 0.0)
    if fixed_kw is not None:
        for column, kw in zip(oracle.bid, fixed_kw, strict=True):
            oracle.solver.changeColBounds(column, kw, kw)
    oracle.solver.run()
    assert oracle.solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return -float(oracle.solver.getObjectiveValue())


class _Oracle:
    def __init__(self, problem: dict[str, Any], slack_kwh: float) -> None:
        self.problem, self.slack_kwh = problem, slack_kwh
        self.solver = highspy.Highs()
        self.solver.silent()
        self.solver.setOptionValue("mip_rel_gap", 1e-9)
        self.solver.setOptionValue("primal_feasibility_tolerance", 1e-9)
        self.solver.setOptionValue("dual_feasibility_tolerance", 1e-9)
        hours, slots = problem["slot_hours"], range(problem["n_slots"])
        self.top = sum(car["discharge_kw"] for car in problem["cars"])
        hold = [
            hours * (price - problem["activation_probability"] * problem["penalty_per_kwh_short"])
            for price in problem["availability_price_per_kwh"]
        ]
        self.bid = [self.column(hold[t], 0.0, self.top) for t in slots]
        for column in self.bid:
            self.put_on_grid(column)
        got = [self.scenario(w) for w in range(len(problem["presence"]))]
        if problem.get("cvar"):
            self.limit_risk(got)

    def column(self, gain: float, low: float, high: float) -> int:
        self.solver.addCol(-gain, low, high, 0, [], [])
        return int(self.solver.getNumCol()) - 1

    def row(self, high: float, terms: list[tuple[int, float]]) -> None:
        index, value = zip(*terms, strict=True)
        self.solver.addRow(-highspy.kHighsInf, high, len(terms), np.array(index), np.array(value))

    def put_on_grid(self, bid: int) -> None:
        block, least = self.problem["block_kw"], self.problem["min_bid_kw"]
        if block is not None:
            blocks = self.column(0.0, 0.0, np.floor(self.top / block + 1e-9))
            self.solver.changeColIntegrality(blocks, highspy.HighsVarType.kInteger)
            self.row(0.0, [(bid, 1.0), (blocks, -block)])
            self.row(0.0, [(bid, -1.0), (blocks, block)])
        if least > 0.0:
            on = self.column(0.0, 0.0, 1.0)
            self.solver.changeColIntegrality(on, highspy.HighsVarType.kInteger)
            self.row(0.0, [(bid, 1.0), (on, -self.top)])
            self.row(self.slack_kwh, [(bid, -1.0), (on, least)])

    def scenario(self, w: int) -> list[int]:
        problem, hours = self.problem, self.problem["slot_hours"]
        weight = problem["probability"][w] * problem["activation_probability"] * hours
        got = []
        for t in range(problem["n_slots"]):
            gain = problem["utilisation_price_per_kwh"][t] - problem["energy_cost_per_kwh"]
            column = self.column(weight * (gain + problem["penalty_per_kwh_short"]), 0.0, highspy.kHighsInf)
            self.row(0.0, [(column, 1.0), (self.bid[t], -1.0)])
            got.append(column)
        export = []
        for car, there in zip(problem["cars"], problem["presence"][w], strict=True):
            most = car["discharge_kw"] * there
            export.append([self.column(0.0, 0.0, most) for _ in got])
            self.row(car["exportable_kwh"], [(column, hours) for column in export[-1]])
        for t, column in enumerate(got):
            self.row(0.0, [(column, 1.0), *((one[t], -1.0) for one in export)])
        return got

    def limit_risk(self, got: list[list[int]]) -> None:
        problem, hours = self.problem, self.problem["slot_hours"]
        level, limit = problem["cvar"]["level"], problem["cvar"]["limit"]
        alpha = self.column(0.0, -highspy.kHighsInf, highspy.kHighsInf)
        mean: list[tuple[int, float]] = []
        for probability, delivered in zip(problem["probability"], got, strict=True):
            beyond = self.column(0.0, 0.0, highspy.kHighsInf)
            short = [(bid, hours) for bid in self.bid] + [(column, -hours) for column in delivered]
            self.row(0.0, [*short, (alpha, -1.0), (beyond, -1.0)])
            mean.append((beyond, probability / (1.0 - level)))
        self.row(self.slack_kwh, [(alpha, 1.0), *mean, *((bid, -limit * hours) for bid in self.bid)])
