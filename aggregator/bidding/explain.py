"""Why bids are what they are: what stops them, where they fall short, what each part of them costs."""

import numpy as np

from aggregator.bidding.answer import BadScenario, Offer, Tranche
from aggregator.bidding.problem import KW_PER_MW, FloatArray, Problem
from aggregator.bidding.value import Bids, expected, margin_gbp, margins_gbp, missed, missing_kw, percentile

TRANCHES = 4

_MAX_WORDS = 8
_MISSING_KWH = 1e-3
_TIGHT = 1e-6


def offers_of(
    problem: Problem, offered: Bids, unmet: FloatArray, relaxed: Bids, lost_to: tuple[str | None, ...]
) -> tuple[Offer, ...]:
    """Return each line's offer with its reasons.

    Args:
        problem: The problem, no two lines in one slot.
        offered: What is offered, hold-back included.
        unmet: What each scenario misses of it, shape (scenarios, lines). [kW]
        relaxed: The programme's answer before factor, ticks and minimum: what binds is said of it.
        lost_to: Which line bids instead of each.
    """
    margins = margins_gbp(problem, offered, unmet)
    hours, misses = problem.slot_hours, missed(problem, offered, unmet)
    return tuple(
        Offer(
            name=line.name,
            offered_kw=offered.bid_kw[q],
            held_kw=offered.held_kw[q],
            held_back_kwh=hours * float(offered.held_kw[q].sum()),
            held_back_gbp=hours / KW_PER_MW * float((problem.base_gbp_per_mwh * offered.held_kw[q]).sum()),
            expected_margin_gbp=expected(problem, margins[:, q]),
            margin_p10_gbp=percentile(problem, margins[:, q], 0.1),
            margin_p90_gbp=percentile(problem, margins[:, q], 0.9),
            tranches=_tranches(problem, offered, q),
            binding=_binding(problem, relaxed, q),
            bad_scenarios=_bad_scenarios(problem, hours * unmet[:, q]),
            missed=float(misses[q]),
            factor=line.factor,
            lost_to=lost_to[q],
        )
        for q, line in enumerate(problem.lines)
    )


def _tranches(problem: Problem, offered: Bids, q: int) -> tuple[Tranche, ...]:
    """Return what a called MWh of each part of a bid must be paid so that the part earns nothing.

    Parts are equal ones where ticks allow; the others' bids are unchanged. All that the margin counts is in
    it: recharge and wear, export income, what is held back, what bad scenarios miss.
    """
    line, top_kw = problem.lines[q], float(offered.bid_kw[q].max(initial=0.0))
    if top_kw <= 0.0:
        return ()
    levels = np.unique(np.ceil(np.linspace(0.0, top_kw, TRANCHES + 1) / line.tick_kw - _TIGHT) * line.tick_kw)
    cuts = [_cut_to(offered, q, float(level)) for level in levels]
    margins = [margin_gbp(problem, cut) for cut in cuts]
    called_mwh = [line.award_probability * _mwh(problem, cut, q) for cut in cuts]
    paid = line.utilisation_gbp_per_mwh + line.availability_gbp_per_mw_h
    marginal = paid - np.diff(margins) / np.maximum(np.diff(called_mwh), 1e-12)
    return tuple(
        Tranche(min(float(level), top_kw), float(price))
        for level, price in zip(levels[1:], marginal, strict=True)
    )


def _cut_to(offered: Bids, q: int, level_kw: float) -> Bids:
    """Return the bids with a line cut to a level; the energy it gives up is first what was held back."""
    bid_kw, held_kw = offered.bid_kw.copy(), offered.held_kw.copy()
    bid_kw[q] = np.minimum(bid_kw[q], level_kw)
    held, less = float(held_kw[q].sum()), float(offered.bid_kw[q].sum() - bid_kw[q].sum())
    if held > 0.0:
        held_kw[q] *= max(0.0, held - less) / held
    return Bids(bid_kw, held_kw)


def _mwh(problem: Problem, bids: Bids, q: int) -> float:
    return problem.slot_hours / KW_PER_MW * float(bids.bid_kw[q].sum())


def _binding(problem: Problem, relaxed: Bids, q: int) -> tuple[str, ...]:
    """Say what stops the programme's bid: the need itself, and sets of slots, the likeliest days first."""
    line, bid_kw = problem.lines[q], relaxed.bid_kw[q]
    if not bid_kw.any():
        return ()
    words = []
    met = line.bid_slots & (bid_kw >= line.most_kw / line.factor - _TIGHT)
    if met.any():
        words.append(f"the whole need in {problem.words(met)}")
    held_kw = relaxed.held_kw.sum(axis=0)
    more = relaxed.bid_kw.sum(axis=0) + np.where(line.bid_slots, line.tick_kw, 0.0)
    demand_kw = problem.standing_kw(held_kw) + more
    asked_kwh = np.tile(problem.slot_hours * demand_kw, (len(problem.probability), 1))
    members, _ = problem.reach.tightest(asked_kwh)
    short = missing_kw(problem, demand_kw) > missing_kw(problem, demand_kw - more) + _TIGHT
    for w in np.argsort(-problem.probability, kind="stable").tolist():
        if short[w] and members[w].any():
            words.append(f"{problem.words(members[w])} on {problem.scenario_labels[w]}")
    return tuple(words[:_MAX_WORDS])


def _bad_scenarios(problem: Problem, missing_kwh: FloatArray) -> tuple[BadScenario, ...]:
    order = np.argsort(-missing_kwh, kind="stable").tolist()
    return tuple(
        BadScenario(problem.scenario_labels[w], float(missing_kwh[w]))
        for w in order
        if missing_kwh[w] > _MISSING_KWH
    )
