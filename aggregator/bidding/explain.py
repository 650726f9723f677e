"""Why bids are what they are: what stops them, where they fall short, what each part of them costs."""

from collections.abc import Iterator

import numpy as np

from aggregator.bidding.answer import BadScenario, Offer, Tranche, day_words
from aggregator.bidding.problem import KW_PER_MW, BoolArray, FloatArray, Problem
from aggregator.bidding.value import (
    Bids,
    expected,
    margin_gbp,
    margins_gbp,
    missed,
    missing_kw,
    percentile,
    unmet_kw,
)
from aggregator.model.figures import kwh
from aggregator.model.market import Direction
from aggregator.plan_value import cvar as cvar_of

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
    return tuple(
        offer_of(problem, offered, unmet, q, _binding(problem, relaxed, q), lost_to[q])
        for q in range(len(problem.lines))
    )


def offer_of(
    problem: Problem, offered: Bids, unmet: FloatArray, q: int, binding: tuple[str, ...], lost_to: str | None
) -> Offer:
    """Return line ``q``'s offer with what it earns, costs and misses; see ``offers_of``."""
    line, hours, held_kw = problem.lines[q], problem.slot_hours, offered.held_kw[q]
    margins = margins_gbp(problem, offered, unmet)[:, q]
    return Offer(
        name=line.name,
        offered_kw=offered.bid_kw[q],
        held_kw=held_kw,
        held_back_kwh=hours * float(held_kw.sum()),
        held_back_gbp=hours / KW_PER_MW * float((problem.base_gbp_per_mwh * held_kw).sum()),
        expected_margin_gbp=expected(problem, margins),
        margin_p10_gbp=percentile(problem, margins, 0.1),
        margin_p90_gbp=percentile(problem, margins, 0.9),
        tranches=_tranches(problem, offered, q),
        binding=binding,
        bad_scenarios=_bad_scenarios(problem, hours * unmet[:, q]),
        missed=float(missed(problem, offered, unmet)[q]),
        factor=line.factor,
        lost_to=lost_to,
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
    """Return the bids with a line cut to a level; the energy it gives up is first what was held back.

    Of nothing bid nothing is held, also where more was held back than was bid: the first part carries that,
    as on the days that fall short the nomination is served first, and no bid is without it.
    """
    bid_kw, held_kw = offered.bid_kw.copy(), offered.held_kw.copy()
    bid_kw[q] = np.minimum(bid_kw[q], level_kw)
    held, less = float(held_kw[q].sum()), float(offered.bid_kw[q].sum() - bid_kw[q].sum())
    if held > 0.0:
        held_kw[q] *= max(0.0, held - less) / held if level_kw > 0.0 else 0.0
    return Bids(bid_kw, held_kw)


def _mwh(problem: Problem, bids: Bids, q: int) -> float:
    return problem.slot_hours / KW_PER_MW * float(bids.bid_kw[q].sum())


def _binding(problem: Problem, relaxed: Bids, q: int) -> tuple[str, ...]:
    """Say what stops the programme's bid: need, risk limit or price, and the days that are short, why."""
    line, bid_kw = problem.lines[q], relaxed.bid_kw[q]
    if not bid_kw.any():
        return ()
    met = line.bid_slots & (bid_kw >= line.most_kw / line.factor - _TIGHT)
    words = [f"the need: all of it is offered in {problem.words(met)}"] if met.any() else []
    if not met[line.bid_slots].all():
        words += [*_limits(problem, relaxed, q), *_short_days(problem, relaxed, q)]
    return tuple(words[:_MAX_WORDS])


def _limits(problem: Problem, relaxed: Bids, q: int) -> Iterator[str]:
    """Say which limit a bid of a tick more would break; where it breaks none, it does not pay."""
    line, cvar = problem.lines[q], problem.cvar
    more = Bids(relaxed.bid_kw.copy(), relaxed.held_kw)
    more.bid_kw[q] += np.where(line.bid_slots, line.tick_kw, 0.0)
    unmet, in_all_kw = unmet_kw(problem, more), float(more.bid_kw[q].sum())
    tick, broken = f"{line.tick_kw:g} kW more", False
    share = float(missed(problem, more, unmet)[q])
    if share > line.most_missed + _TIGHT:
        broken = True
        yield (
            f"P(deliver): with {tick} {share:.0%} of the past days would miss a twentieth of the bid or more,"
            f" {line.most_missed:.0%} may, by the record of past bids"
        )
    if cvar is not None:
        worst = float(cvar_of(unmet[:, q], problem.probability, cvar.level)) / in_all_kw
        if worst > cvar.limit + _TIGHT:
            broken = True
            yield (
                f"the CVaR limit: with {tick} the worst {1 - cvar.level:.0%} of the past days would miss"
                f" {worst:.1%} of the bid, {cvar.limit:.0%} may be missed"
            )
    if not broken:
        yield f"the price: {tick} would cost as much as it earns, or more"


def _short_days(problem: Problem, relaxed: Bids, q: int) -> Iterator[str]:
    """Say on which days the cars cannot do a tick more, the likeliest first, and what they lack."""
    line = problem.lines[q]
    held_kw = relaxed.held_kw.sum(axis=0)
    more = relaxed.bid_kw.sum(axis=0) + np.where(line.bid_slots, line.tick_kw, 0.0)
    demand_kw = problem.standing_kw(held_kw) + more
    asked_kwh = np.tile(problem.slot_hours * demand_kw, (len(problem.probability), 1))
    members, _ = problem.reach.tightest(asked_kwh)
    short = missing_kw(problem, demand_kw) > missing_kw(problem, demand_kw - more) + _TIGHT
    for w in np.argsort(-problem.probability, kind="stable").tolist():
        if short[w] and members[w].any():
            yield _short_day(problem, w, members[w])


def _short_day(problem: Problem, w: int, members: BoolArray) -> str:
    """Say what the cars of a day could do in some slots, and whether power or energy ends there."""
    gives = problem.direction is Direction.UP
    most_kwh = float(problem.reach.energy_kwh(members[None])[w, 0])
    slots = np.flatnonzero(members)
    alone_kwh = problem.reach.energy_kwh(np.eye(len(members), dtype=np.bool_)[slots])[w].sum()
    if most_kwh < alone_kwh - _MISSING_KWH:
        by = "energy above floors and departures" if gives else "room in their batteries"
    else:
        by = "power of chargers and site limits"
    there = ""
    if problem.plugged is not None:
        low, high = problem.plugged[w, slots].min(), problem.plugged[w, slots].max()
        there = f", with {low if low == high else f'{low} to {high}'} cars plugged in,"
    return (
        f"{by}: on {day_words(problem.scenario_labels[w])}{there} no more than {kwh(most_kwh)} could be"
        f" {'given' if gives else 'taken'} in {problem.words(members)}, nomination included"
    )


def _bad_scenarios(problem: Problem, missing_kwh: FloatArray) -> tuple[BadScenario, ...]:
    order = np.argsort(-missing_kwh, kind="stable").tolist()
    return tuple(
        BadScenario(problem.scenario_labels[w], float(missing_kwh[w]))
        for w in order
        if missing_kwh[w] > _MISSING_KWH
    )
