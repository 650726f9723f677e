"""Chargers that hold nothing or a least power, in a large fleet: some homes at a time are decided anew.

Who runs in which slot, who stands in for whom and when those charge that must is one question; the steps
before ask it bit by bit. For a few homes it is small enough for the exact split. While the rest of the fleet
stands still, some homes, drawn by lot, serve together what they served and as much as they can of what is
missing.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dispatch.split_cars import Cars, FloatArray, IntArray
from dispatch.split_exact import split_exactly
from dispatch.split_parts import LargeFleet, Moves
from dispatch.split_problem import SplitProblem

_SAME_KWH = 1e-6
_WORTH = 1e-4
"""A share of what is moved that is worth programs."""
_TOGETHER, _MOST_NODES = 1_000, 1
"""Cars times slots decided together, and nodes of the search for them."""
_MOST, _ROUNDS = 6_000, 3
"""The same in all of a split, which takes some seconds; who is decided with whom is drawn by lot."""


def decide_together(fleet: LargeFleet, moves: Moves) -> None:
    """Let homes serve more of what is asked for; the moves are changed in place."""
    net_kwh = moves.free.copy()
    net_kwh[:, moves.takers] -= moves.taken
    missing = np.asarray(fleet.problem.request_kw) * fleet.hours - net_kwh.sum(axis=1)
    worth, lots, decided = _WORTH * float(moves.free.sum()), np.random.default_rng(0), 0
    for _ in range(_ROUNDS):
        missed_kwh = float(np.maximum(0.0, missing).sum())
        for rows in _groups(fleet.problem.cars, _TOGETHER // fleet.hours.size, lots):
            if np.maximum(0.0, missing).sum() <= worth or decided >= _MOST:
                break
            before = net_kwh[:, rows]
            net_kwh[:, rows] = _decided(fleet, rows, before, missing)
            missing += before.sum(axis=1) - net_kwh[:, rows].sum(axis=1)
            decided += rows.size * fleet.hours.size
        if missed_kwh - np.maximum(0.0, missing).sum() <= worth:
            break
    moves.taken[:] = np.maximum(0.0, -net_kwh[:, moves.takers])
    net_kwh[:, moves.takers] = 0.0
    moves.free[:] = np.maximum(0.0, net_kwh)


def _groups(cars: Cars, count: int, lots: np.random.Generator) -> Iterator[IntArray]:
    """Yield the cars of some homes at a time, so many or a few more."""
    by_home = np.argsort(lots.permutation(cars.site.max() + 1)[cars.site], kind="stable")
    ends = np.flatnonzero(np.diff(cars.site[by_home], append=-1)) + 1
    first = 0
    for end in ends.tolist():
        if end - first >= count or end == by_home.size:
            yield by_home[first:end]
            first = end


def _decided(fleet: LargeFleet, rows: IntArray, before: FloatArray, missing: FloatArray) -> FloatArray:
    """Return what some homes' cars move at best, as before where that is no better, (slots, rows). [kWh]"""
    had = before.sum(axis=1)
    asked = missing + had
    try:
        best = split_exactly(_part(fleet.problem, rows, asked / fleet.hours), most_nodes=_MOST_NODES)
    except RuntimeError:  # so few nodes found nothing by which all reach what they have to
        return before
    moved = best.export_kw.T * fleet.hours[:, None]
    has = moved.sum(axis=1)
    gains = np.minimum(asked, has).sum() > np.minimum(asked, had).sum() + _SAME_KWH
    most = asked + np.maximum(0.0, -np.asarray(fleet.problem.request_kw) * fleet.hours)
    return moved if gains and np.all(has <= np.maximum(most, had) + _SAME_KWH) else before


def _part(problem: SplitProblem, rows: IntArray, request_kw: FloatArray) -> SplitProblem:
    """Return the problem of some homes by themselves."""
    cars = problem.cars.at(rows)
    homes, home = np.unique(cars.site, return_inverse=True)
    return replace(
        problem,
        cars=replace(cars, site=home.reshape(-1)),
        sites=problem.sites.at(homes),
        request_kw=tuple(request_kw.tolist()),
    )
