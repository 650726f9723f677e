"""The sets of slots that stop a bid, found as they are needed: of 2^n in each scenario only a few ever do.

For a group of lines Q, scenario w and set S of slots the bids must leave missing

    sum_{q in Q} u_wq >= (standing + sum_{q in Q} B_q)(S) - h_w(S)/D - v_w

where standing is nomination and commitments, and v_w is what these miss without any line. As S grows through
whatever a trial bid breaks worst, the programme closes in on the optimum. Groups are every line alone, the
lines dearest to miss, first one, first two and so on, and so all of them: what the optimum ever needs, as
energy that is short goes to the dearest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from aggregator.bidding.problem import BoolArray, FloatArray, Problem
from aggregator.bidding.value import Bids, missing_kw

_BROKEN = 1e-7
_NOTHING_KW = 1e-6
_LADDER = (1.0, 0.8, 0.6, 0.4)
_MOST_PREFIXES = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """One row: a scenario, a group of lines, a set of slots and what is left of its capability.

    Attributes:
        scenario: Its number.
        lines: The group.
        slots: The set.
        room_kw: h_w(S)/D. [kW, summed over the slots]
    """

    scenario: int
    lines: tuple[int, ...]
    slots: tuple[int, ...]
    room_kw: float


@dataclass(frozen=True, slots=True, eq=False)
class Tangent:
    """v_w near a given hold-back: a lower bound everywhere, exact there.

    What standing promises miss is the largest of linear functions of the hold-back; each of them alone is a
    bound from below, and taking too little as missed anyway is careful with the bids.

    Attributes:
        at_kw: The hold-back, shape (slots,). [kW]
        missed_kw: v there, shape (scenarios,). [kW, summed]
        members: The set that binds there, shape (scenarios, slots); empty where nothing is missed.
    """

    at_kw: FloatArray
    missed_kw: FloatArray
    members: BoolArray

    @classmethod
    def of(cls, problem: Problem, held_kw: FloatArray) -> "Tangent":
        """Return it at a hold-back, shape (slots,)."""
        standing = problem.standing_kw(held_kw)
        asked_kwh = np.tile(problem.slot_hours * standing, (len(problem.probability), 1))
        members, _ = problem.reach.tightest(asked_kwh)
        return cls(held_kw, missing_kw(problem, standing), members)

    @property
    def matters(self) -> bool:
        """Whether anything is missed without any line."""
        return bool((self.missed_kw > _NOTHING_KW).any())


def groups(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """Return the groups of lines that rows are made for."""
    order = [q for q in problem.order if problem.lines[q].bid_slots.any()]
    chain = [tuple(sorted(order[: count + 1])) for count in range(len(order))]
    return tuple(dict.fromkeys([*chain, *((q,) for q in order)]))


def first_cuts(problem: Problem, held_kw: FloatArray) -> set[Cut]:
    """Return rows to begin with: single slots, all slots, and what a ladder of trial bids breaks."""
    most_kw = np.array([line.most_kw / line.factor for line in problem.lines])
    n, scenarios = len(problem.slots), range(len(problem.probability))
    everything = tuple(range(n))
    found: set[Cut] = set()
    for group in groups(problem):
        wanted = np.flatnonzero(most_kw[list(group)].any(axis=0)).tolist()
        sets = dict.fromkeys([everything, tuple(wanted), *((slot,) for slot in wanted)])
        found |= _cuts(problem, group, ((w, one) for w in scenarios for one in sets if one))
        possible = np.zeros(problem.shape)
        possible[list(group)] = most_kw[list(group)]
        possible *= _possible_part(problem, possible, held_kw)
        trials = [part * possible for part in _LADDER] + [
            possible * some for some in _dearest(problem, wanted)
        ]
        for bid_kw in trials:
            found |= _broken(problem, Bids(bid_kw, np.zeros(problem.shape)), held_kw, group)
    return found


def _dearest(problem: Problem, wanted: list[int]) -> Iterator[BoolArray]:
    """Yield growing sets of the wanted slots, those that earn most first: what greedy bidding would fill."""
    order = sorted(wanted, key=lambda slot: (-problem.spread_gbp_per_mwh[slot], slot))
    sizes = sorted({round(size) for size in np.linspace(1, len(order), min(len(order), _MOST_PREFIXES))})
    for size in sizes:
        yield np.isin(np.arange(len(problem.slots)), order[:size])


def broken_cuts(problem: Problem, bids: Bids, unmet: FloatArray) -> set[Cut]:
    """Return the rows that a solution breaks, the worst of each group and scenario.

    Args:
        problem: The problem.
        bids: The solution's.
        unmet: The solution's u, shape (scenarios, lines). [kW]
    """
    held_kw = bids.held_kw.sum(axis=0)
    return set().union(*(_broken(problem, bids, held_kw, group, unmet) for group in groups(problem)))


def _possible_part(problem: Problem, bid_kw: FloatArray, held_kw: FloatArray) -> float:
    """Return which part of all bids the best scenario's cars could give in all, in (0, 1]."""
    standing = problem.standing_kw(held_kw)
    asked = float(bid_kw.sum())
    most_kwh = problem.reach.most_kwh(problem.slot_hours * (standing + bid_kw.sum(axis=0)))
    given = float(most_kwh.max()) / problem.slot_hours - float(standing.sum())
    return float(np.clip(given / asked, 0.01, 1.0)) if asked > 0.0 else 1.0


def _broken(
    problem: Problem,
    bids: Bids,
    held_kw: FloatArray,
    group: tuple[int, ...],
    unmet: FloatArray | None = None,
) -> set[Cut]:
    demand_kw = problem.standing_kw(held_kw) + bids.bid_kw[list(group)].sum(axis=0)
    asked_kwh = np.tile(problem.slot_hours * demand_kw, (len(problem.probability), 1))
    members, excess_kwh = problem.reach.tightest(asked_kwh)
    allowed_kw = missing_kw(problem, problem.standing_kw(held_kw))
    if unmet is not None:
        allowed_kw = allowed_kw + unmet[:, list(group)].sum(axis=1)
    scale = max(1.0, float(np.abs(demand_kw).sum()))
    worst = np.flatnonzero(excess_kwh / problem.slot_hours > allowed_kw + _BROKEN * scale).tolist()
    return _cuts(problem, group, ((w, tuple(np.flatnonzero(members[w]).tolist())) for w in worst))


def _cuts(problem: Problem, group: tuple[int, ...], sets: Iterable[tuple[int, tuple[int, ...]]]) -> set[Cut]:
    return {Cut(w, group, slots, room) for w, slots, room in _with_room(problem, list(sets))}


def _with_room(
    problem: Problem, sets: list[tuple[int, tuple[int, ...]]]
) -> Iterator[tuple[int, tuple[int, ...], float]]:
    distinct = list(dict.fromkeys(slots for _, slots in sets))
    if not distinct:
        return
    members = np.zeros((len(distinct), len(problem.slots)), dtype=np.bool_)
    for row, slots in enumerate(distinct):
        members[row, list(slots)] = True
    room_kw = problem.reach.energy_kwh(members) / problem.slot_hours
    rows = {slots: row for row, slots in enumerate(distinct)}
    for w, slots in sets:
        yield w, slots, float(room_kw[w, rows[slots]])
