"""From the programme's bids to offers: the factor, whole ticks, and 0 or at least the minimum.

Rounding down is always safe, as of what can be split every part can. From there, ticks are added, moved and
taken off while that earns more. Where this leaves more than a little on the table and there are few enough
integers, integer programming has a try too; the better of both is kept. What it has found when its time runs
out is not used: it would depend on how busy the machine is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from aggregator.bidding.problem import BoolArray, FloatArray, Problem
from aggregator.bidding.program import Optimum, Search, can_hold_kw, is_torn, must_hold_kw, optimise
from aggregator.bidding.value import Bids, keeps_limits, margin_gbp, unmet_kw, worth_gbp
from aggregator.model.market import BidShape

MAX_INTEGERS = 16
GOOD_ENOUGH, WORTH_TRYING = 2e-4, 2e-3
"""How far from the best without ticks a bid may stay before it is climbed from, and before integer
programming is tried. [-]"""

_MAX_MOVES = 200
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MAX_TRIALS, _MAX_LONG_TRIALS = 4000, 60
_MOST_SEEDS, _FEW_PLACES = 3, 6
_MOST_STEPS = 64
_SHORT = 12
"""Half-hours up to which a window has a table; looking at a bid of a longer one is a search."""
_ROUNDING = 1e-6
_GBP_NOISE, _GBP_DIGITS = 1e-9, 9
_SAME = 1e-3
"""Bids rounded by less than this part keep their hold-back."""


def offers(problem: Problem, relaxed: Optimum) -> tuple[Bids, bool]:
    """Return what is offered: whole ticks after the factor, within the limits, with its hold-back.

    Args:
        problem: No two lines want the same slot any more.
        relaxed: The programme's answer without ticks and minimum.

    Returns:
        The bids, and whether the search for them was cut short by the solver's time limit.
    """
    best, cut_short = _rounded(problem, relaxed)
    held_kw = _held_for(problem, best, relaxed)
    return _within_limits(problem, Bids(best.bid_kw, held_kw)), cut_short


def _rounded(problem: Problem, relaxed: Optimum) -> tuple[Bids, bool]:
    """Return the best offers that are found, with the hold-back they were found with; and if cut short."""
    bound_gbp = margin_gbp(problem, relaxed.bids)
    floor = Bids(floored(problem, relaxed.bids.bid_kw), relaxed.bids.held_kw)
    best = _within_limits(problem, floor)
    proven = not is_torn(problem)
    if proven and bound_gbp - _worth(problem, best) <= GOOD_ENOUGH * abs(bound_gbp):
        return best, False
    best = _climbed(problem, best)
    if proven and bound_gbp - _worth(problem, best) <= WORTH_TRYING * abs(bound_gbp):
        return best, False
    starts = [best]
    raised_kw = _raised(problem, relaxed.bids.bid_kw)
    if raised_kw is not None:
        starts.append(_within_limits(problem, Bids(raised_kw, relaxed.bids.held_kw)))
    if relaxed.bids.held_kw.any():  # one energy, two uses: where one begins, one may end
        starts += [_within_limits(problem, Bids(floor.bid_kw, kw)) for kw in _extreme_holds(problem)]
    if not proven and len(problem.slots) <= _SHORT:
        starts += _seeds(problem, floor)
    best = max((_climbed(problem, start) for start in starts), key=lambda one: _worth(problem, one))
    left_gbp = bound_gbp - _worth(problem, best)
    if left_gbp <= WORTH_TRYING * abs(bound_gbp) or integers(problem) > MAX_INTEGERS:
        return best, False
    whole = optimise(problem, Search(whole=True, cuts=relaxed.cuts))
    if not whole.finished:
        return best, whole.run.status in {"feasible", "time_limit"}
    found = _within_limits(problem, Bids(floored(problem, whole.bids.bid_kw), whole.bids.held_kw))
    return max(best, found, key=lambda one: round(_worth(problem, one), _GBP_DIGITS)), False


def _held_for(problem: Problem, offered: Bids, relaxed: Optimum) -> FloatArray:
    """Return the hold-back that offers still need: as they were found with, or less that serves better."""
    asked = asked_of_cars(problem, offered)
    less = np.abs(asked.bid_kw - relaxed.bids.bid_kw).sum()
    if not asked.held_kw.any() or less <= _SAME * relaxed.bids.bid_kw.sum():
        return asked.held_kw
    again = optimise(problem, Search(fixed_kw=asked.bid_kw, cuts=relaxed.cuts))
    if not again.run.solved:
        return asked.held_kw
    fewer_kw = np.where(again.bids.held_kw < _ROUNDING, 0.0, again.bids.held_kw)
    return max(asked.held_kw, fewer_kw, key=lambda kw: _worth(problem, Bids(offered.bid_kw, kw)))


def integers(problem: Problem) -> int:
    """Return how many whole numbers decide the bids."""
    flat = [line.bid_shape is BidShape.FLAT for line in problem.lines]
    wanted = [int(line.bid_slots.sum()) for line in problem.lines]
    return sum(min(count, 1) if one else count for one, count in zip(flat, wanted, strict=True))


def floored(problem: Problem, bid_kw: FloatArray) -> FloatArray:
    """Return bids times their factors, down to whole ticks; below the minimum is 0. [kW]"""
    offered_kw = np.zeros(problem.shape)
    for q, line in enumerate(problem.lines):
        kw = np.minimum(line.factor * bid_kw[q], line.most_kw)
        ticks = np.floor(np.maximum(kw, 0.0) / line.tick_kw + _ROUNDING)
        offered_kw[q] = np.where(ticks * line.tick_kw < line.least_kw, 0.0, ticks * line.tick_kw)
    return offered_kw


def asked_of_cars(problem: Problem, offered: Bids) -> Bids:
    """Return offers at the size that scenarios are asked for, before the factor; no hold-back for nothing."""
    factors = np.array([line.factor for line in problem.lines])
    held_kw = offered.held_kw * offered.bid_kw.any(axis=-1, keepdims=True)
    return Bids(offered.bid_kw / factors[:, None], held_kw)


def _worth(problem: Problem, offered: Bids) -> float:
    return float(worth_gbp(problem, asked_of_cars(problem, offered)))


def _worths(problem: Problem, offered: Sequence[Bids]) -> FloatArray:
    """Return the worth of each of some offers, shape (offers,). [GBP]"""
    return worth_gbp(problem, asked_of_cars(problem, Bids.together(offered)))


def _raised(problem: Problem, bid_kw: FloatArray) -> FloatArray | None:
    """Return the bids with those below the minimum lifted to it, None where there are none."""
    lifted = bid_kw.copy()
    for q, line in enumerate(problem.lines):
        small = (bid_kw[q] > _ROUNDING) & (line.factor * bid_kw[q] < line.least_kw)
        lifted[q] = np.where(small, line.least_kw / line.factor, bid_kw[q])
    return floored(problem, lifted) if (lifted != bid_kw).any() else None


def _climbed(problem: Problem, start: Bids) -> Bids:
    """Follow the best single move while one earns more."""
    best, worth = start, _worth(problem, start)
    left = _MAX_TRIALS if len(problem.slots) <= _SHORT else _MAX_LONG_TRIALS
    for _ in range(_MAX_MOVES):
        moves = [Bids(kw, best.held_kw) for kw in _moves(problem, best.bid_kw)]
        moves += [Bids(best.bid_kw, kw) for kw in _hold_moves(problem, best.held_kw)]
        left -= len(moves)
        if not moves or left < 0:
            break
        worths = _worths(problem, moves)
        top = int(np.argmax(worths))
        if worths[top] <= worth + _GBP_NOISE + 1e-7 * abs(worth):
            break
        best, worth = moves[top], float(worths[top])
    return best


def _moves(problem: Problem, offered_kw: FloatArray) -> Iterator[FloatArray]:
    """Yield every bid one tick, or one switch between 0 and the minimum, away from another."""
    for q, line in enumerate(problem.lines):
        for where in _handles(problem, q):
            level = float(offered_kw[q][where].max(initial=0.0))
            most_kw = float(line.most_kw[where].min(initial=np.inf))
            up = max(level + line.tick_kw, line.least_kw)
            down = level - line.tick_kw if level - line.tick_kw >= line.least_kw - _ROUNDING else 0.0
            for new in {up, down, 0.0} - {level}:
                if 0.0 <= new <= most_kw + _ROUNDING:
                    moved = offered_kw.copy()
                    moved[q][where] = new
                    yield moved


def _hold_moves(problem: Problem, held_kw: FloatArray) -> Iterator[FloatArray]:
    """Yield every hold-back that differs in one half-hour: by quarters of what may be held there."""
    least_kw, most_kw = must_hold_kw(problem), can_hold_kw(problem)
    others_kw = held_kw.sum(axis=0) - held_kw
    for q, slot in np.argwhere(most_kw > 0.0).tolist():
        left_kw = min(float(most_kw[q, slot]), float(problem.base_kw[slot] - others_kw[q, slot]))
        for part in _QUARTERS:
            moved = held_kw.copy()
            moved[q, slot] = max(part * left_kw, float(least_kw[q, slot]))
            yield moved


def _seeds(problem: Problem, floor: Bids) -> list[Bids]:
    """Return the best of many bids beside some of the base discharge held back, in all half-hours or in one.

    Where what was promised before cannot be kept on every day, a bid far from the programme's may earn more,
    and no single move leads there. Beside a given hold-back, what a level earns rises up to one best.
    """
    ranges = [
        _Range(problem, Bids(floor.bid_kw, held_kw), q, where)
        for held_kw in _some_holds(problem)
        for q in range(len(problem.lines))
        for where in _blocks(problem, q)
    ]
    found = _at_peaks(problem, ranges)
    order = np.argsort(-_worths(problem, found), kind="stable")
    return [found[n] for n in order[:_MOST_SEEDS]]


def _some_holds(problem: Problem) -> Iterator[FloatArray]:
    """Yield hold-back by quarters: of all that may be held, and of one half-hour where these are few."""
    least_kw, most_kw = must_hold_kw(problem), _extreme_holds(problem)[1]
    places = np.argwhere(most_kw > least_kw).tolist()
    for part in _QUARTERS:
        yield np.maximum(least_kw, part * most_kw)
        for q, slot in places if part > 0.0 and 1 < len(places) <= _FEW_PLACES else ():
            held_kw = least_kw.copy()
            held_kw[q, slot] = max(held_kw[q, slot], part * most_kw[q, slot])
            yield held_kw


def _blocks(problem: Problem, q: int) -> list[BoolArray]:
    """Return the sets of a line's slots that are tried at one level: all of them, and each alone."""
    alone = list(_handles(problem, q))
    return [problem.lines[q].bid_slots, *alone] if len(alone) > 1 else alone


@dataclass(frozen=True, slots=True, eq=False)
class _Range:
    """Bids with one line at one level in some slots and nothing in others, whatever the level."""

    problem: Problem
    start: Bids
    q: int
    where: BoolArray

    @property
    def ticks(self) -> tuple[int, int]:
        """The least level and the highest."""
        line = self.problem.lines[self.q]
        least = max(1, round(line.least_kw / line.tick_kw))
        return least, round(float(line.most_kw[self.where].max(initial=0.0)) / line.tick_kw)

    def at(self, ticks: int) -> Bids:
        """Return the bids at a level."""
        line, bid_kw = self.problem.lines[self.q], self.start.bid_kw.copy()
        kw = np.where(self.where, np.minimum(ticks * line.tick_kw, line.most_kw), 0.0)
        bid_kw[self.q] = np.where(kw < line.least_kw - _ROUNDING, 0.0, kw)
        return Bids(bid_kw, self.start.held_kw)


def _at_peaks(problem: Problem, ranges: Sequence[_Range]) -> list[Bids]:
    """Return the bids of each range at its best level, all by halving, step by step at once."""
    low, high = (np.array(ends) for ends in zip(*(one.ticks for one in ranges), strict=True))
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low + high) // 2
        tried = [ranges[n].at(middle[n] + more) for n in open_.tolist() for more in (0, 1)]
        worths = _worths(problem, tried).reshape(-1, 2)
        rises = worths[:, 1] > worths[:, 0]
        low[open_] = np.where(rises, middle[open_] + 1, low[open_])
        high[open_] = np.where(rises, high[open_], middle[open_])
    return [one.at(int(level)) for one, level in zip(ranges, low, strict=True)]


def _extreme_holds(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Return the least hold-back, and all of it, the first line's first, both of shape (lines, slots)."""
    most_kw = can_hold_kw(problem)
    taken_kw = np.minimum(np.cumsum(most_kw, axis=0), problem.base_kw)
    return must_hold_kw(problem), np.diff(taken_kw, axis=0, prepend=0.0)


def _handles(problem: Problem, q: int) -> Iterator[BoolArray]:
    """Yield the sets of slots of a line that move together."""
    line = problem.lines[q]
    if line.bid_shape is BidShape.FLAT:
        if line.bid_slots.any():
            yield line.bid_slots
        return
    for slot in np.flatnonzero(line.bid_slots).tolist():
        yield np.arange(len(line.bid_slots)) == slot


def _within_limits(problem: Problem, offered: Bids) -> Bids:
    """Take ticks off the line that breaks the limit most until all keep it; no hold-back for nothing."""
    offered_kw, q, steps = offered.bid_kw, 0, 1
    while True:
        fewer = [offered_kw, *islice(_lower(problem, offered_kw, q), steps - 1)]
        bids = asked_of_cars(problem, Bids.together([Bids(kw, offered.held_kw) for kw in fewer]))
        unmet = unmet_kw(problem, bids)
        kept = keeps_limits(problem, bids, unmet)
        part_missed = (problem.probability @ unmet) / np.maximum(bids.bid_kw.sum(axis=-1), _ROUNDING)
        worst = part_missed.argmax(axis=-1)
        ends = np.flatnonzero(kept | (worst != q))
        at = int(ends[0]) if ends.size else len(fewer) - 1
        offered_kw = fewer[at]
        if kept[at] or not offered_kw.any():
            return Bids(offered_kw, offered.held_kw * offered_kw.any(axis=1, keepdims=True))
        q, steps = int(worst[at]), min(2 * steps, _MOST_STEPS) + 1


def _lower(problem: Problem, offered_kw: FloatArray, q: int) -> Iterator[FloatArray]:
    """Yield bids with ever more ticks off one line, off its highest slots, until nothing of it is left."""
    line, kw = problem.lines[q], offered_kw[q]
    while kw.any():
        lower = line.bid_slots if line.bid_shape is BidShape.FLAT else kw == kw.max()
        kw = np.maximum(0.0, kw - line.tick_kw * lower)
        kw = np.where(kw < line.least_kw - _ROUNDING, 0.0, kw)
        less_kw = offered_kw.copy()
        less_kw[q] = kw
        yield less_kw
