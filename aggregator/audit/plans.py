"""The promises about plans: what is bid can be split, and what is nominated is what was planned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

from aggregator.audit.evidence import Evidence, Finding
from aggregator.bidding import Bids, Infeasible, holds, propose
from aggregator.drafting import per_need_slot
from aggregator.forecast import History, Horizon
from aggregator.lookback import known
from aggregator.model.facts import MODEL
from aggregator.model.market import Draft, Plan, Requirement
from aggregator.model.opportunity import Opportunity, Proposed, Received
from aggregator.model.time import Interval, half_hours, utc_text
from aggregator.nominating import MADE_FOR_ITSELF, bids_that_stand, held_back_kw
from aggregator.problems import Prepared
from aggregator.proposals import Proposer, history_of, proposer_of
from aggregator.settling import SETTLED_STAGES, biases_before
from aggregator.standing import newest_plan, plan_of

WH_PER_KWH = 1000
TOLERANCE_GBP = 0.005
MOST_BIAS = 0.05
LEAST_DAYS = 20
"""Days without a call from which on nominations are held to their bias: fewer tell of those days only."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A draft of the model's, and the same bid's problem made again from what was known then."""

    opportunity_id: str
    need: Requirement
    draft: Draft
    again: Prepared | str


def p11_split(evidence: Evidence) -> Finding:
    """Each draft comes out the same again, and in each scenario the split reaches what was bid."""
    checked, breaches = 0, []
    for made in _made_again(evidence):
        name = f"{made.opportunity_id} draft {made.draft.version}"
        if isinstance(made.again, str):
            breaches.append(f"{name}: now nothing could be bid: {made.again}")
            continue
        problem = made.again.problem
        checked += len(problem.scenario_labels)
        if problem.inputs_digest != made.draft.why.inputs_digest:
            breaches.append(f"{name}: its inputs come out differently now")
            continue
        proposal = propose(problem)
        if isinstance(proposal, Infeasible):
            breaches.append(f"{name}: now nothing could be bid: {proposal.reason}")
            continue
        bids = Bids(
            np.array([offer.offered_kw for offer in proposal.offers]),
            np.array([offer.held_kw for offer in proposal.offers]),
        )
        if not holds(problem, bids):
            breaches.append(f"{name}: the cars of a scenario cannot split it")
        offer = proposal.offers[[line.name for line in problem.lines].index(made.opportunity_id)]
        offered_kw = per_need_slot(made.need, problem.slots, offer.offered_kw.tolist(), min)
        if offered_kw != made.draft.offered_kw:
            breaches.append(f"{name}: it offers {made.draft.offered_kw} kW, made again {offered_kw}")
        if abs(offer.expected_margin_gbp - made.draft.expected_margin_gbp) > TOLERANCE_GBP:
            breaches.append(
                f"{name}: made again it earns GBP {offer.expected_margin_gbp:.2f},"
                f" it says GBP {made.draft.expected_margin_gbp:.2f}"
            )
    return Finding("P11 split", "scenarios of the model's drafts", checked, tuple(breaches))


def p13_nomination(evidence: Evidence) -> Finding:
    """What was frozen is the plan made before the price was read, less what approved bids hold back."""
    checked, breaches = 0, []
    days: dict[tuple[str, Interval], list[str]] = {}
    for made in _made_again(evidence):
        plans = [plan for _, plan in evidence.store.plans.all(made.opportunity_id)]
        if not plans or isinstance(made.again, str):
            continue
        if made.again.plan.digest not in {plan.digest for plan in plans}:
            breaches.append(f"{made.opportunity_id}: b0 comes out differently now")
        for span in (part.interval for part in Horizon.over(made.need.window).parts):
            if plan_of(plans[-1], span) is not None:
                days.setdefault((made.need.zone, span), []).append(made.opportunity_id)
    for name, made_at, plan in evidence.store.plans.named(MADE_FOR_ITSELF):
        span = Interval(plan.slots[0].start, plan.slots[-1].end)
        days.setdefault((plan.zone, span), []).append(name)
        if _digest_again(evidence, plan.zone, span, made_at) != plan.digest:
            breaches.append(f"{name}: b0 comes out differently now")
    for (zone, span), names in days.items():
        found = _nominated(evidence, zone, span, names)
        checked += found[0]
        breaches += found[1]
    biased, unchecked = _biased(evidence)
    return Finding("P13 nomination", "half-hours nominated", checked, (*breaches, *biased), unchecked)


def _biased(evidence: Evidence) -> tuple[list[str], str]:
    """Return the windows at whose hours nominations are biased, and what too few days say nothing of."""
    breaches, too_few = [], 0
    products = evidence.settings.products
    ordered = [
        one
        for one in evidence.opportunities
        if one.product_id in products and one.stage in SETTLED_STAGES and one.orders
    ]
    biases = biases_before(evidence.store, ordered, products, evidence.fleets)
    for one in ordered:
        bias = biases[one.opportunity_id]
        if bias.share is None or bias.half_hours < LEAST_DAYS * len(list(half_hours(one.window))):
            too_few += 1
        elif abs(bias.share) > MOST_BIAS:
            told = f"nominated {bias.nominated_kwh:.1f} kWh, metered {bias.metered_kwh:.1f} kWh"
            breaches.append(
                f"{one.opportunity_id}: {told} at its hours on uncalled days, {bias.share:.1%} off"
            )
    unchecked = f"bias within 5%: {too_few} windows have fewer than {LEAST_DAYS} days without a call"
    return breaches, unchecked if too_few else ""


def _nominated(evidence: Evidence, zone: str, span: Interval, names: Sequence[str]) -> tuple[int, list[str]]:
    """Return how many half-hours of a zone's day were nominated, and which are not what was planned."""
    nominated = {one.period: one for one in evidence.store.nominations.between(zone, span)}
    if not nominated:
        return 0, []
    frozen_at = max(one.frozen_at for one in nominated.values())
    plan = newest_plan(evidence.store, names, span, frozen_at)
    if plan is None:
        return 0, [f"{zone} {utc_text(span.start)}: nominated without a plan"]
    checked, breaches = 0, []
    held_kw = held_back_kw(plan, bids_that_stand(_near(evidence, zone, span, frozen_at)))
    for slot, base_kw, charge_kw in zip(plan.slots, plan.base_discharge_kw, plan.base_charge_kw, strict=True):
        one = nominated.get(slot)
        if one is not None:
            checked += 1
            kept_wh = _wh(max(0.0, base_kw - held_kw.get(slot, 0.0)), slot)
            planned = (_wh(base_kw, slot), kept_wh, kept_wh - _wh(charge_kw, slot))
            if (one.base_wh, one.kept_wh, one.export_wh) != planned:
                breaches.append(f"{zone} {utc_text(slot.start)}: nominated is not what was planned")
    return checked, breaches


def _near(evidence: Evidence, zone: str, span: Interval, at: datetime) -> Iterator[Opportunity]:
    """Yield a zone's opportunities about a day as they stood at an instant."""
    for one in evidence.opportunities:
        if one.zone == zone and one.window.overlap(span) is not None:
            yield known(evidence.store, one, at)


def _digest_again(evidence: Evidence, zone: str, span: Interval, known_at: datetime) -> str | None:
    """Return the digest of a day's plan made again from what was known then; None where there is none."""
    plan = _proposer(evidence, known_at).base_plan(zone, span, known_at)
    return plan.digest if isinstance(plan, Plan) else None


@lru_cache(maxsize=1)  # two promises ask, and making a problem again is most of the audit's work
def _made_again(evidence: Evidence) -> tuple[_Made, ...]:
    """Return the model's drafts that led to a plan, each with its problem made again."""
    return tuple(_make_again(evidence))


def _make_again(evidence: Evidence) -> Iterator[_Made]:
    for name, facts in evidence.facts.items():
        need: Requirement | None = None
        for fact in facts:
            if isinstance(fact, Received):
                need = fact.requirement
            elif isinstance(fact, Proposed) and need is not None and fact.draft.by == MODEL:
                yield _Made(name, need, fact.draft, _again(evidence, need, fact.draft))


def _again(evidence: Evidence, need: Requirement, draft: Draft) -> Prepared | str:
    known_at = draft.why.known_at
    if known_at is None:
        return "no model made it"
    return _proposer(evidence, known_at).again(evidence.store, evidence.settings.products, need, draft)


def _proposer(evidence: Evidence, known_at: datetime) -> Proposer:
    """Return what makes plans and drafts again from the fleet in force at an instant."""
    settings, fleet = evidence.settings, evidence.fleets.at(known_at)
    return proposer_of(settings, evidence.store, fleet, _history(settings.fleet.history), evidence.said_by)


@lru_cache(maxsize=1)
def _history(file: Path | None) -> History:
    return history_of(file)


def _wh(kw: float, slot: Interval) -> int:
    return round(kw * slot.hours * WH_PER_KWH)
