"""Of splits that are equally good, the one in which the cars of a home go on as they do.

Where a home's room binds, it is often all the same which of its cars uses it, and a program picks now one,
now the other. To hand over costs time, as chargers may follow late (``handing_over``), and wears them. So
what one car of a home would begin in the running slot is left to one that would stop: with energy to spare,
or in exchange for what that one would do later. In every slot the home moves as much as before.
"""

import numpy as np

from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_duty import duty_of
from dispatch.split_problem import SplitProblem

_SAME_KW = 1e-6


def steadied(problem: SplitProblem, export_kw: FloatArray, present_kw: FloatArray) -> FloatArray:
    """Return a split that serves as much at each home, with less handed over in the first slot.

    Args:
        problem: What was split.
        export_kw: Its split, shape (cars, slots). [kW, export positive]
        present_kw: What each car does now, shape (cars,). [kW, export positive]
    """
    way, site = problem.way, problem.cars.site
    moved_kw = np.maximum(0.0, way * export_kw)
    gap_kw = np.maximum(0.0, way * present_kw) - moved_kw[:, 0]
    mates = np.flatnonzero((np.bincount(site, minlength=problem.sites.count) > 1)[site])
    stops, begins = mates[gap_kw[mates] > _SAME_KW], mates[gap_kw[mates] < -_SAME_KW]
    homes = np.intersect1d(site[stops], site[begins])
    if not homes.size:
        return export_kw
    swaps = _Swaps(problem, moved_kw, gap_kw)
    for home in homes.tolist():
        for stopping in stops[site[stops] == home].tolist():
            for beginning in begins[site[begins] == home].tolist():
                swaps.undo(stopping, beginning)
    steady_kw = export_kw.copy()
    rows = np.flatnonzero(np.isin(site, homes) & ~swaps.must)
    steady_kw[rows] = way * moved_kw[rows]
    return steady_kw


class _Swaps:
    """Works on what cars move, shape (cars, slots) [kW], and how far they are off what they do now [kW]."""

    def __init__(self, problem: SplitProblem, moved_kw: FloatArray, gap_kw: FloatArray) -> None:
        cars, up, duty = problem.cars, problem.way > 0, duty_of(problem)
        self._hours = np.asarray(problem.slot_hours)
        self._moved_kw, self._gap_kw = moved_kw, gap_kw
        self._most_kw = cars.discharge_kw if up else cars.charge_kw
        self._least_kw = cars.min_kw
        can_kwh = duty.exportable_kwh if up else duty.headroom_kwh
        self._spare_kwh = np.maximum(0.0, can_kwh - moved_kw @ self._hours)
        self._end: IntArray = duty.end
        self._here = (duty.start == 0) & (duty.end > 0)
        self.must = duty.must

    def undo(self, stopping: int, beginning: int) -> None:
        """Let one go on in the first slot in place of another, as far as that costs nothing later."""
        if self.must[stopping] or self.must[beginning] or not self._here[stopping]:
            return
        moved, hours, slots = self._moved_kw, self._hours, np.arange(1, len(self._hours))
        most_kw = min(self._gap_kw[stopping], -self._gap_kw[beginning])
        most_kw = min(most_kw, self._most_kw[stopping] - moved[stopping, 0])
        left_kw = np.where(slots < self._end[beginning], self._most_kw[beginning] - moved[beginning, 1:], 0.0)
        later_kwh = np.maximum(0.0, np.minimum(moved[stopping, 1:], left_kw)) * hours[1:]
        kw = min(most_kw, (self._spare_kwh[stopping] + later_kwh.sum()) / hours[0])
        stays_kw = moved[beginning, 0] - kw
        if 0.0 < stays_kw < self._least_kw[beginning]:
            kw = moved[beginning, 0] - self._least_kw[beginning]
        if kw <= _SAME_KW or moved[stopping, 0] + kw < self._least_kw[stopping]:
            return
        spared_kwh = min(self._spare_kwh[stopping], kw * hours[0])
        share = (kw * hours[0] - spared_kwh) / max(float(later_kwh.sum()), _SAME_KW)
        for car, sign in ((stopping, 1.0), (beginning, -1.0)):
            moved[car, 0] += sign * kw
            moved[car, 1:] -= sign * share * later_kwh / hours[1:]
            self._gap_kw[car] -= sign * kw
            self._spare_kwh[car] -= sign * spared_kwh
