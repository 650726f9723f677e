"""What an amended bid, or a part that was awarded, is expected to earn: the model's valuation, over its days.

Neither days nor cars are kept with a draft. All that it stood on is, so its problem is made again as the
audit does, and counts only where its inputs have the digest, and its answer the levels, that the model's
draft says. Where they do not, as after another fleet was imported, nobody knows, and None is said.

Making it again takes a second or more, valuing another level a few milliseconds: the last few are kept.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import structlog

from aggregator.bidding import Infeasible, Line, Problem, Proposal, propose, revalued
from aggregator.config import Settings
from aggregator.drafting import per_need_slot, valued
from aggregator.forecast import History
from aggregator.model.errors import BadMessage, Unavailable
from aggregator.model.facts import MODEL
from aggregator.model.fleet import Fleet
from aggregator.model.market import Draft, Product, Requirement
from aggregator.model.time import Interval
from aggregator.problems import asking_at
from aggregator.proposals import Proposer, proposer_of
from aggregator.store import Store
from aggregator.zone_day import SaidKnown

log = structlog.get_logger()

MOST_KEPT = 16


def revaluing_of(
    settings: Settings, store: Store, fleet: Fleet, history: History, said: SaidKnown
) -> "Revaluing":
    """Return what values amended drafts by what a store knows, for a fleet and by a configuration."""
    proposer = proposer_of(settings, store, fleet, history, said)
    return Revaluing(proposer, store, settings.products)


@dataclass(frozen=True, slots=True, eq=False)
class _Again:
    """A draft's problem, made again, and its answer."""

    problem: Problem
    proposal: Proposal


class Revaluing:
    """Values amended drafts and awards in part; see ``aggregator.workflow.Revalue``.

    Args:
        proposer: Makes problems again. Nobody else uses it: it is not made for two threads.
        store: The record.
        products: Rules by id.
    """

    def __init__(self, proposer: Proposer, store: Store, products: Mapping[str, Product]) -> None:
        self._proposer, self._store, self._products = proposer, store, products
        self._kept: OrderedDict[str, _Again | None] = OrderedDict()
        self._turn = Lock()

    def __call__(
        self, need: Requirement, model: Draft, new: Draft, slots: Sequence[Interval]
    ) -> Draft | None:
        """Return a draft at other levels, or at another price, with its own margins, misses and costs.

        Args:
            need: What was bid on.
            model: The model's draft.
            new: The other one.
            slots: Of the levels it offers.

        Returns:
            The other one; None where nobody knows.
        """
        again = self._again(need, model)
        if again is None:
            return None
        problem, proposal = again.problem, again.proposal
        number = [line.name for line in problem.lines].index(model.bid_id)
        line, accepted = self._line(problem.lines[number], need, model, new)
        levels_kw = [_level_kw(slots, slot, new.offered_kw) for slot in problem.slots]
        offered_kw = proposal.offers[number].offered_kw.clip(max=levels_kw)
        offer = revalued(problem, proposal, line, offered_kw)
        return valued(new, offer, need, self._proposer.terms.rule, accepted)

    def _line(self, line: Line, need: Requirement, model: Draft, new: Draft) -> tuple[Line, float]:
        """Return the draft's line at the price it asks, and how likely that is accepted."""
        price, known_at = new.utilisation_gbp_per_mwh, model.why.known_at
        if price == model.utilisation_gbp_per_mwh or known_at is None:
            return line, model.why.accepted
        accepted = asking_at(self._proposer.terms, need, price, known_at).accepted
        awarded = self._products[need.product_id].award_probability * accepted
        return replace(line, utilisation_gbp_per_mwh=float(price), award_probability=awarded), accepted

    def _again(self, need: Requirement, model: Draft) -> _Again | None:
        with self._turn:
            if model.digest not in self._kept:
                self._kept[model.digest] = self._made(need, model)
            self._kept.move_to_end(model.digest)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[model.digest]

    def _made(self, need: Requirement, model: Draft) -> _Again | None:
        if model.by != MODEL:
            return None
        ready = self._proposer.again(self._store, self._products, need, model)
        if isinstance(ready, str) or ready.problem.inputs_digest != model.why.inputs_digest:
            return None
        try:
            proposal = propose(ready.problem)
        except (Unavailable, BadMessage) as failed:
            log.warning("not_valued_anew", opportunity_id=model.bid_id, error=str(failed))
            return None
        if isinstance(proposal, Infeasible):
            return None
        mine = next(one for one in proposal.offers if one.name == model.bid_id)
        offered_kw = per_need_slot(need, ready.problem.slots, mine.offered_kw.tolist(), min)
        return _Again(ready.problem, proposal) if offered_kw == model.offered_kw else None


def _level_kw(slots: Sequence[Interval], slot: Interval, offered_kw: Sequence[float]) -> float:
    """Return what is offered all through a half-hour by levels of some slots; 0 outside them. [kW]"""
    touching = zip(slots, offered_kw, strict=True)
    return min((kw for part, kw in touching if part.overlap(slot) is not None), default=0.0)
