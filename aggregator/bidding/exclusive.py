"""One DNO service per place and time: where two lines want the same slot, only one may bid there."""

from dataclasses import replace

import numpy as np

from aggregator.bidding.problem import BoolArray, Problem
from aggregator.bidding.program import Search, optimise
from aggregator.bidding.rounding import MAX_INTEGERS, integers
from aggregator.model.market import BidShape

_NOTHING_KW = 1e-6
_FINE_TICKS = 100
"""Bids of more ticks than this are chosen between without them: they are within a percent."""


def assigned(problem: Problem) -> tuple[Problem, tuple[str | None, ...]]:
    """Return the problem with every slot given to one line at most, and to which line each lost a slot.

    Few choices are made by integer programming, so that the lines together earn most; many, or where that
    finds nothing in time, by what a MWh of each line earns. A flat line has all its slots or none.
    """
    wanted = np.array([line.bid_slots for line in problem.lines])
    if (wanted.sum(axis=0) <= 1).all():
        return problem, (None,) * len(problem.lines)
    owned = _shared_out(problem, wanted, _claims(problem))
    lines = tuple(line.without(~own) for line, own in zip(problem.lines, owned, strict=True))
    winner = owned.argmax(axis=0)
    lost = [wanted[q] & ~owned[q] & owned.any(axis=0) for q in range(len(lines))]
    lost_to = tuple(
        problem.lines[int(winner[np.flatnonzero(slots)[0]])].name if slots.any() else None for slots in lost
    )
    return replace(problem, lines=lines), lost_to


def _claims(problem: Problem) -> BoolArray:
    """Return where each line bids in the best joint bid known, shape (lines, slots)."""
    nothing = np.zeros(problem.shape, dtype=np.bool_)
    if integers(problem) > MAX_INTEGERS:
        return nothing
    coarse = any(line.most_kw.max(initial=0.0) < _FINE_TICKS * line.tick_kw for line in problem.lines)
    found = optimise(problem, Search(exclusive=True, whole=coarse))
    return found.bids.bid_kw > _NOTHING_KW if found.finished else nothing


def _shared_out(problem: Problem, wanted: BoolArray, claims: BoolArray) -> BoolArray:
    """Return who has each slot, shape (lines, slots): claims first, then lines by what a MWh earns."""
    owned = np.zeros_like(wanted)
    for asked in (claims, wanted):
        for q in sorted(range(len(wanted)), key=lambda q: -_earns_gbp_per_mwh(problem, q)):
            free = asked[q] & ~owned.any(axis=0)
            if problem.lines[q].bid_shape is BidShape.FLAT and (free != wanted[q]).any():
                continue
            owned[q] |= free
    return owned


def _earns_gbp_per_mwh(problem: Problem, q: int) -> float:
    line = problem.lines[q]
    spread = float(problem.spread_gbp_per_mwh[line.bid_slots].mean()) if line.bid_slots.any() else 0.0
    paid = line.availability_gbp_per_mw_h + line.utilisation_gbp_per_mwh
    return line.award_probability * (paid + spread)
