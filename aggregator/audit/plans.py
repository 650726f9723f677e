"""The promises about plans: what is bid can be split, and what is nominated is what was planned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

from aggregator.audit.evidence import Evidence, Finding
from aggregator.bidding import holds
from aggregator.bidding_table import expected, margins_gbp, shortfall
from aggregator.bidding_types import FloatArray
from aggregator.files.sessions import read_sessions
from aggregator.forecast import History
from aggregator.model.market import Draft, Requirement
from aggregator.model.opportunity import Declined, Proposed, Received, Withdrawn
from aggregator.model.time import Interval, utc_text
from aggregator.proposals import Prepared, Proposer
from aggregator.workflow import MODEL, held_back_kw

WH_PER_KWH = 1000
TOLERANCE_GBP = 0.005


@dataclass(frozen=True, slots=True)
class _Made:
    """A draft of the model's, and the same bid's problem made again from what was known then."""

    opportunity_id: str
    need: Requirement
    draft: Draft
    again: Prepared | str


def p11_split(evidence: Evidence) -> Finding:
    """Each draft's problem comes out the same again, and in each scenario the split reaches what was bid."""
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
        offered = _on_slots(made.need, made.again, made.draft.offered_kw)
        held = _on_slots(made.need, made.again, made.draft.base_kw) - _on_slots(
            made.need, made.again, made.draft.kept_kw
        )
        short = shortfall(problem, offered, held)
        if not holds(problem, offered, problem.base_kw - held, short):
            breaches.append(f"{name}: the cars of a scenario cannot split it")
        # any bid holds with enough shortfall: it must be the shortfall that the margin was worked out with
        margin_gbp = expected(problem, margins_gbp(problem, offered, held, short))
        if abs(margin_gbp - made.draft.expected_margin_gbp) > TOLERANCE_GBP:
            breaches.append(
                f"{name}: with what its scenarios miss it earns GBP {margin_gbp:.2f},"
                f" it says GBP {made.draft.expected_margin_gbp:.2f}"
            )
    return Finding("P11 split", "scenarios of the model's drafts", checked, tuple(breaches))


def p13_nomination(evidence: Evidence) -> Finding:
    """What was frozen is the plan made before the price was read, less what approved bids hold back."""
    checked, breaches = 0, []
    for made in _made_again(evidence):
        stored = evidence.store.plans.get(made.opportunity_id)
        if stored is None or isinstance(made.again, str):
            continue
        if stored.digest != made.again.plan.digest:
            breaches.append(f"{made.opportunity_id}: b0 comes out differently now")
        span = Interval(stored.slots[0].start, stored.slots[-1].end)
        nominated = {one.period: one for one in evidence.store.nominations.between(made.need.zone, span)}
        held_kw = held_back_kw(stored, _standing(evidence, made.need.zone, span))
        rows = zip(stored.slots, stored.base_discharge_kw, stored.base_charge_kw, strict=True)
        for slot, base_kw, charge_kw in rows:
            one = nominated.get(slot)
            if one is not None:
                checked += 1
                kept_wh = _wh(max(0.0, base_kw - held_kw.get(slot, 0.0)), slot)
                planned = (_wh(base_kw, slot), kept_wh, kept_wh - _wh(charge_kw, slot))
                if (one.base_wh, one.kept_wh, one.export_wh) != planned:
                    breaches.append(f"{one.zone} {utc_text(slot.start)}: nominated is not what was planned")
    unchecked = "bias within 5% over days on which nothing is called"
    return Finding("P13 nomination", "half-hours nominated", checked, tuple(breaches), unchecked)


def _standing(evidence: Evidence, zone: str, span: Interval) -> Iterator[tuple[Requirement, Draft]]:
    """Yield the bids that the platform held when the gate closed, with their requirements."""
    for one in evidence.opportunities:
        taken_back = (one.closed_because or "").startswith((Withdrawn.__name__, Declined.__name__))
        near = one.zone == zone and one.window.overlap(span) is not None
        if near and not taken_back and one.submitted is not None and one.requirement is not None:
            yield one.requirement, one.submitted


@lru_cache(maxsize=1)  # two promises ask, and making a problem again is most of the audit's work
def _made_again(evidence: Evidence) -> tuple[_Made, ...]:
    """Return the model's drafts that led to a plan, each with its problem made again."""
    return tuple(_make_again(evidence))


def _make_again(evidence: Evidence) -> Iterator[_Made]:
    history_file = evidence.settings.fleet.history
    history = read_sessions(history_file) if history_file is not None else History(())
    for name, facts in evidence.facts.items():
        need: Requirement | None = None
        for fact in facts:
            if isinstance(fact, Received):
                need = fact.requirement
            elif isinstance(fact, Proposed) and need is not None and fact.draft.by == MODEL:
                known_at = fact.draft.why.known_at
                if known_at is not None:
                    yield _Made(name, need, fact.draft, _again(evidence, history, need, known_at))


def _again(evidence: Evidence, history: History, need: Requirement, known_at: datetime) -> Prepared | str:
    proposer = Proposer(evidence.settings, evidence.fleets.at(known_at), history, evidence.store.inbox.peaks)
    return proposer.prepare(need, evidence.settings.products[need.product_id], known_at)


def _on_slots(need: Requirement, prepared: Prepared, levels: Sequence[float]) -> FloatArray:
    """Return a figure per slot of the requirement on the model's half-hours, 0 outside."""
    spread = np.zeros(len(prepared.problem.slots))
    for n, slot in enumerate(prepared.problem.slots):
        for part, level in zip(need.slots, levels, strict=True):
            if part.overlap(slot) is not None:
                spread[n] = level
    return spread


def _wh(kw: float, slot: Interval) -> int:
    return round(kw * slot.hours * WH_PER_KWH)
