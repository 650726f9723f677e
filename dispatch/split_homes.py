"""Homes where some must charge and others hold nothing or a least power: decided anew by the exact split.

When a car charges decides whether another's least power fits behind the home's limit, so that both are one
question; thresholds and shares ask them one after the other.
"""

from dataclasses import replace

import numpy as np

from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_exact import split_exactly
from dispatch.split_parts import LargeFleet, Moves
from dispatch.split_problem import SplitProblem

_SAME_KWH = 1e-6
_WORTH = 1e-4
"""A share of what is moved that is worth a program."""
_MOST_HOMES, _MOST_NODES = 150, 50
"""Decided in a split, and nodes of the search for each: some two seconds."""


def decide_homes(fleet: LargeFleet, moves: Moves) -> None:
    """Let homes serve more of what is asked for by when their cars charge; the moves are changed in place."""
    problem, hours = fleet.problem, fleet.hours
    place = np.full(problem.cars.count, -1)
    place[moves.takers] = np.arange(moves.takers.size)
    wanted = np.asarray(problem.request_kw) * hours
    missing = wanted - moves.free.sum(axis=1) + moves.taken.sum(axis=1)
    worth = _WORTH * float(moves.free.sum())
    for rows in _homes(fleet):
        if np.maximum(0.0, missing).sum() <= worth:
            return
        takers, free = rows[place[rows] >= 0], rows[place[rows] < 0]
        before = moves.free[:, free].sum(axis=1) - moves.taken[:, place[takers]].sum(axis=1)
        home = _alone(problem, rows, (missing + before) / hours)
        try:
            best = split_exactly(home, most_nodes=_MOST_NODES)
        except RuntimeError:  # so few nodes found nothing by which all reach what they have to: it stays
            continue
        export = dict(zip(rows.tolist(), best.export_kw * hours, strict=True))
        after = np.asarray(sum(export.values()))
        asked = missing + before
        gains = np.minimum(asked, after).sum() > np.minimum(asked, before).sum() + _SAME_KWH
        if not gains or np.any(after > np.maximum(asked, before) + _SAME_KWH):
            continue
        for row in free.tolist():
            moves.free[:, row] = np.maximum(0.0, export[row])
        for row in takers.tolist():
            moves.taken[:, place[row]] = np.maximum(0.0, -export[row])
        missing = asked - after


def _homes(fleet: LargeFleet) -> list[IntArray]:
    """Return the cars of each home where some must charge and others have a least power."""
    cars, sites = fleet.problem.cars, fleet.problem.sites.count
    steps = fleet.moves_freely & (fleet.least_kw > 0) & (fleet.energy_kwh > 0)
    both = (np.bincount(cars.site[fleet.duty.must], minlength=sites) > 0) & (
        np.bincount(cars.site[steps], minlength=sites) > 0
    )
    order = np.argsort(cars.site, kind="stable")
    first = np.searchsorted(cars.site[order], np.arange(sites + 1))
    return [order[first[home] : first[home + 1]] for home in np.flatnonzero(both)[:_MOST_HOMES].tolist()]


def _alone(problem: SplitProblem, rows: IntArray, request_kw: FloatArray) -> SplitProblem:
    """Return a home's problem by itself."""
    cars = problem.cars.at(rows)
    return replace(
        problem,
        cars=replace(cars, site=np.zeros(cars.count, np.intp)),
        sites=problem.sites.at(problem.cars.site[rows[:1]]),
        request_kw=tuple(request_kw.tolist()),
    )
