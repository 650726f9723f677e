"""How bold a bid may be: a missed bid costs more than its penalty, by as much as the record calls for.

A bid is kept if at least 95% of what was awarded is delivered, and nine in ten are to be kept. The expected
margin alone would have a bid kept or not, whatever pays. So each miss is given a price beside the penalty:
so many times what bids earn ("fear"). It falls a little with every bid kept, and rises thirteen
times as much with one missed. Bids then take the risk of a miss where most is to be earned by it, and the
small ones take none; those that the operator's need keeps small are kept anyway, and leave room to be bolder
elsewhere. Where base discharge may be held back, and before there is a record, only bids are made that no
more than a tenth of the drawn days miss: the first price of a miss was found on cars that give nothing by
themselves.

Whatever the cars do, T bids have at most ``AIMED_MISS * T + (most fear ever) / STEP`` misses, as each miss
raises fear by ``STEP * (1 - AIMED_MISS)``: dual ascent on the share of misses, which is what adaptive
conformal inference does for a quantile (Gibbs and Candes, NeurIPS 2021, arXiv 2106.00170).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from aggregator.bidding import Bids, Line, Problem
from aggregator.bidding.problem import FloatArray
from aggregator.bidding.program import can_hold_kw
from aggregator.bidding.value import ENOUGH, SAME, margins_gbp, missed, unmet_kw
from aggregator.model.market import BidShape

AIMED_MISS = 0.07
"""Share of bids that may be missed: one in ten is allowed, the rest is left to chance."""
ALLOWED_MISS = 0.1
FIRST_FEAR = 0.5
"""Without a record a miss costs half of what a bid earns."""
STEP = 1.0
MOST_LEVELS = 48
HELD_PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the base discharge, what holding back is weighed at: the more, the fewer days miss the bid."""


@dataclass(frozen=True, slots=True)
class Caution:
    """What the record of settled bids says to the next one.

    Attributes:
        fear: Price of a miss, in margins. [-]
        hopes_gbp: What was expected of each settled bid at best. [GBP]
    """

    fear: float = FIRST_FEAR
    hopes_gbp: tuple[float, ...] = ()

    @property
    def most_miss(self) -> float:
        """Share of days drawn that may miss a bid beside base discharge: a tenth, more by each bid settled.

        Until ten bids are settled the price of a miss is a guess.
        """
        return ALLOWED_MISS * (len(self.hopes_gbp) + 1) + SAME

    def miss_gbp(self, hope_gbp: float) -> float:
        """Return the price of a miss for a bid of which ``hope_gbp`` are expected at best. [GBP]

        The geometric mean of its own hope and of the average one counts: a miss counts the same in every bid,
        but where it cost as much in small ones, none of these would ever be made.
        """
        hopes = (*self.hopes_gbp, hope_gbp)
        return self.fear * sqrt(hope_gbp * sum(hopes) / len(hopes))


def caution_after(settled: Iterable[tuple[float, float]]) -> Caution:
    """Return what settled bids say: delivered over committed and best hope of each, in order of settling."""
    fear, hopes = FIRST_FEAR, []
    for ratio, hope_gbp in settled:
        fear = max(0.0, fear + STEP * (float(ratio < ENOUGH) - AIMED_MISS))
        hopes.append(hope_gbp)
    return Caution(fear, tuple(hopes))


@dataclass(frozen=True, slots=True)
class Level:
    """A flat level for a problem of one line.

    Attributes:
        most_kw: The most that should be bid, whole ticks; 0 where no level is worth its risk. [kW]
        held: Part of the base discharge in its slots that is held back for it at least. [-]
        miss: Share of the scenarios that miss it then.
        hope_gbp: Best expected margin of any level, at least 0. [GBP]
        miss_gbp: What a miss was taken to cost beside its penalty. [GBP]
    """

    most_kw: float
    held: float
    miss: float
    hope_gbp: float
    miss_gbp: float = 0.0

    def within(self, line: Line) -> Line:
        """Return the line kept to this level: no more kW, no less held back, not missed more often."""
        needed_kw = np.minimum(line.needed_kw, self.most_kw)
        return replace(line, needed_kw=needed_kw, least_held=self.held, most_missed=self.miss)


def best_level(problem: Problem, caution: Caution) -> Level:
    """Return the level with the best expected margin less the price of its misses.

    For every level, base discharge is held back by quarters, from none of it to all: holding back costs what
    it would have earned, called or not, and leaves the bid more energy on days with few cars.
    Where the need has more than 48 ticks, 48 levels are looked at, then every tick around the best of them.
    """
    line = problem.lines[0]
    needed_kw = line.needed_kw[line.bid_slots]
    most_kw = needed_kw.min(initial=np.inf) if line.bid_shape is BidShape.FLAT else needed_kw.max(initial=0.0)
    ticks = int(float(most_kw) / line.tick_kw + 1e-9) if needed_kw.size else 0
    parts = HELD_PARTS if can_hold_kw(problem).any() else (0.0,)

    def prospects(first: int, last: int) -> list[_Prospect]:
        counts = np.unique(np.linspace(first, last, min(last - first + 1, MOST_LEVELS)).astype(np.int64))
        return _prospects(problem, np.repeat(line.tick_kw * counts, len(parts)), np.tile(parts, len(counts)))

    tried = prospects(1, ticks) if ticks else []
    hope_gbp = max((one.margin_gbp for one in tried), default=0.0)
    if hope_gbp <= 0.0:
        return Level(0.0, 0.0, 0.0, 0.0)
    if ticks > MOST_LEVELS:
        step, at = ticks // MOST_LEVELS + 1, round(_best(tried, caution, hope_gbp).level_kw / line.tick_kw)
        tried += prospects(max(1, at - step), min(ticks, at + step))
        hope_gbp = max(one.margin_gbp for one in tried)
    best, price_gbp = _best(tried, caution, hope_gbp), caution.miss_gbp(hope_gbp)
    if best.margin_gbp <= price_gbp * best.miss:
        return Level(0.0, 0.0, 0.0, hope_gbp, price_gbp)
    return Level(best.level_kw, best.held, best.miss, hope_gbp, price_gbp)


@dataclass(frozen=True, slots=True)
class _Prospect:
    """What a level earns on average, on what share of the scenarios it is missed, and whether beside b0."""

    level_kw: float
    held: float
    margin_gbp: float
    miss: float
    beside_base: bool


def _best(tried: Iterable[_Prospect], caution: Caution, hope_gbp: float) -> _Prospect:
    price_gbp, nothing = caution.miss_gbp(hope_gbp), _Prospect(0.0, 0.0, 0.0, 0.0, beside_base=False)
    may = [one for one in tried if not one.beside_base or one.miss <= caution.most_miss]
    return max([nothing, *may], key=lambda one: one.margin_gbp - price_gbp * one.miss)


def _prospects(problem: Problem, level_kw: FloatArray, held: FloatArray) -> list[_Prospect]:
    """Return those of some levels, each with a part of the base discharge held back, both (levels,)."""
    line, can_hold = problem.lines[0], can_hold_kw(problem)
    bid_kw = np.where(line.bid_slots, np.minimum(level_kw[:, None, None], line.needed_kw), 0.0)
    bids = Bids(bid_kw, held[:, None, None] * can_hold)
    unmet = unmet_kw(problem, bids)
    margin_gbp = margins_gbp(problem, bids, unmet)[..., 0] @ problem.probability
    miss, beside_base = missed(problem, bids, unmet)[:, 0], bool(can_hold.any())
    each = zip(level_kw.tolist(), held.tolist(), margin_gbp.tolist(), miss.tolist(), strict=True)
    return [_Prospect(*figures, beside_base=beside_base) for figures in each]
