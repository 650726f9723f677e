"""From a problem to bids: the optimum, made smaller by what is known of it, then checked once more.

Order: who may bid in which slot; the programme; the conformal factor, whole ticks and minimum; hold-back and
shortfall anew for the bids as they stand; P11, checked on them. Cars are in none of it, only what they can do
(`aggregator.energy.Reach`): the programme is as large for a million cars as for ten.

The drivers' GBP 30 a month for 12 nights plugged in is in no margin: a night counts by when the car is
plugged in, so that nothing in a bid can make or void it.
"""

from dataclasses import replace

import numpy as np

from aggregator.bidding.answer import BadScenario, Infeasible, Offer, Proposal, Tranche
from aggregator.bidding.exclusive import assigned
from aggregator.bidding.explain import offer_of, offers_of
from aggregator.bidding.problem import Cvar, FloatArray, Line, Problem, Tier, why_not
from aggregator.bidding.program import optimise
from aggregator.bidding.rounding import asked_of_cars, offers
from aggregator.bidding.value import Bids, holds, margin_gbp, unmet_kw
from aggregator.model.errors import Unavailable
from aggregator.solver import SolverRun

__all__ = [
    "BadScenario",
    "Bids",
    "Cvar",
    "Infeasible",
    "Line",
    "Offer",
    "Problem",
    "Proposal",
    "Tier",
    "Tranche",
    "holds",
    "propose",
    "revalued",
]


def propose(problem: Problem) -> Proposal | Infeasible:
    """Find the bids with the highest expected margin that every scenario can split.

    A bid of zero is a proposal like any other. The same problem always gives the same answer.

    Raises:
        BadMessage: If the solver is not installed.
        Unavailable: If it found no answer, though there always is one: it failed, or its time ran out.
    """
    reason = why_not(problem)
    if reason is not None:
        return Infeasible(reason)
    alone, lost_to = assigned(problem)
    if not any(line.most_kw.any() for line in alone.lines):
        nothing = Bids.nothing(alone)
        return _proposal(alone, nothing, SolverRun(alone.solver.name, "optimal", 0.0), lost_to, nothing)
    relaxed = optimise(alone)
    if not relaxed.run.solved:
        raise Unavailable(f"the solver {relaxed.run.name} found no bid: {relaxed.run.status}")
    offered, cut_short = offers(alone, relaxed)
    if not holds(alone, offered):
        return Infeasible("no scenario can split the bid: what the fleet can do is inconsistent")
    best_gbp = margin_gbp(alone, relaxed.bids)
    found_gbp = margin_gbp(alone, asked_of_cars(alone, offered))
    gap = max(0.0, best_gbp - found_gbp) / max(abs(best_gbp), 1e-9) if best_gbp > 0.0 else 0.0
    run = replace(relaxed.run, gap=min(1.0, max(gap, relaxed.run.gap)))
    found = _proposal(alone, offered, run, lost_to, relaxed.bids)
    return replace(found, cut_short=cut_short or not relaxed.finished)


def revalued(problem: Problem, proposal: Proposal, line: Line, offered_kw: FloatArray) -> Offer:
    """Return a line's offer with another level or price put in place of the model's, all else as it was.

    What is held back stays, and so do the other lines' bids: nothing is searched for.

    Args:
        problem: As it was proposed on.
        proposal: The answer.
        line: One of the problem's, at the price that is asked now.
        offered_kw: What is offered of it, nowhere more than the proposal does, shape (slots,). [kW]
    """
    alone, _ = assigned(problem)
    q = [one.name for one in alone.lines].index(line.name)
    mine = replace(line, bid_slots=alone.lines[q].bid_slots, needed_kw=alone.lines[q].needed_kw)
    asked = replace(alone, lines=(*alone.lines[:q], mine, *alone.lines[q + 1 :]))
    bid_kw = np.array([offer.offered_kw for offer in proposal.offers])
    bid_kw[q] = offered_kw
    bids, before = Bids(bid_kw, np.array([offer.held_kw for offer in proposal.offers])), proposal.offers[q]
    return offer_of(asked, bids, unmet_kw(asked, bids), q, before.binding, before.lost_to)


def _proposal(
    problem: Problem, offered: Bids, run: SolverRun, lost_to: tuple[str | None, ...], relaxed: Bids
) -> Proposal:
    unmet = unmet_kw(problem, offered)
    return Proposal(
        offers=offers_of(problem, offered, unmet, relaxed, lost_to),
        kept_kw=problem.base_kw - offered.held_kw.sum(axis=0),
        unmet_kw=unmet,
        cars=problem.cars,
        run=run,
        inputs_digest=problem.inputs_digest,
    )
