"""From the offer of a line to a draft: what is shown, approved and sent, and why it is what it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import numpy as np

from aggregator.acceptance import PENNY, Asking, PriceRule
from aggregator.bidding import Offer, Problem, Proposal
from aggregator.model.explanation import Beside, Change, Explanation, PricedPart
from aggregator.model.facts import MODEL
from aggregator.model.market import Draft, Product, Requirement
from aggregator.model.money import exact, gained
from aggregator.model.opportunity import Opportunity
from aggregator.model.steps import PriceStep, steps_of
from aggregator.model.time import Interval
from aggregator.risk import Level

ROUNDED_TO = 6
"""Digits of a kW kept from the solver: a milliwatt; the rest is its noise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One need that is bid on.

    Attributes:
        name: Of its opportunity.
        need: The need.
        product: Its rules.
    """

    name: str
    need: Requirement
    product: Product


@dataclass(frozen=True, slots=True)
class Grounds:
    """What an explanation tells beside the model's answer.

    Attributes:
        known_at: What was known by then was used.
        asking: The price asked, and how likely it is accepted.
        rule: By which it was found.
        inputs: Digest of each input, by name.
        beside: The zone's other opportunities that were looked at.
        level: How far the record of past bids lets this one go; None where it was not asked.
    """

    known_at: datetime
    asking: Asking
    rule: PriceRule
    inputs: Mapping[str, str]
    beside: tuple[Beside, ...]
    level: Level | None = None


def drafted(
    opportunity: Opportunity,
    asked: Asked,
    problem: Problem,
    proposal: Proposal,
    offer: Offer,
    grounds: Grounds,
) -> Draft:
    """Return the next draft of an opportunity, sealed.

    Args:
        opportunity: As it stands.
        asked: Its need and product.
        problem: What the model was asked.
        proposal: What it answered.
        offer: The part of this opportunity.
        grounds: What else is told.
    """
    need, slots = asked.need, problem.slots
    base_kw = per_need_slot(need, slots, problem.base_kw.tolist(), _mean)
    held_kw = per_need_slot(need, slots, np.round(offer.held_kw, ROUNDED_TO).tolist(), _mean)
    offered_kw = per_need_slot(need, slots, offer.offered_kw.tolist(), min)
    parts = _parts(offer, need, grounds.rule)
    steps = _steps(offered_kw, parts, grounds.asking, asked.product)
    price = steps[0].gbp_per_mwh
    why = Explanation(
        binding=offer.binding,
        bad_scenarios=tuple(str(scenario) for scenario in offer.bad_scenarios),
        marginal_cost_gbp_per_mwh=offer.marginal_cost_gbp_per_mwh,
        held_back_kwh=offer.held_back_kwh,
        factor=offer.factor,
        cars=proposal.cars,
        scenarios=len(problem.scenario_labels),
        solver=_ended(proposal),
        margin_p10_gbp=offer.margin_p10_gbp,
        inputs_digest=proposal.inputs_digest,
        known_at=grounds.known_at,
        margin_p90_gbp=offer.margin_p90_gbp,
        held_back_gbp=offer.held_back_gbp,
        accepted=grounds.asking.accepted,
        parts=parts,
        inputs=tuple(sorted(grounds.inputs.items())),
        beside=grounds.beside,
        change=_change(opportunity.draft, offer, price, grounds.inputs),
        hope_gbp=grounds.level.hope_gbp if grounds.level else 0.0,
        miss=offer.missed,
        miss_gbp=grounds.level.miss_gbp if grounds.level else 0.0,
    )
    return Draft(
        bid_id=opportunity.opportunity_id,
        version=opportunity.last_draft_version + 1,
        offered_kw=offered_kw,
        utilisation_gbp_per_mwh=price,
        availability_gbp_per_mw_h=need.availability_ceiling or Decimal(0),
        base_kw=base_kw,
        kept_kw=tuple(base - held for base, held in zip(base_kw, held_kw, strict=True)),
        expected_margin_gbp=offer.expected_margin_gbp,
        why=why,
        by=MODEL,
        steps=steps if len(steps) > 1 else (),
    ).sealed()


def valued(draft: Draft, offer: Offer, need: Requirement, rule: PriceRule, accepted: float) -> Draft:
    """Return a person's draft with what it earns, costs and misses by the model's own valuation.

    What stops the model's draft from being larger, and what is held back, are still that draft's.

    Args:
        draft: At its own level and price.
        offer: What the model makes of it.
        need: What is bid on.
        rule: By which prices are found.
        accepted: How likely its price is.
    """
    why = replace(
        draft.why,
        bad_scenarios=tuple(str(scenario) for scenario in offer.bad_scenarios),
        marginal_cost_gbp_per_mwh=offer.marginal_cost_gbp_per_mwh,
        margin_p10_gbp=offer.margin_p10_gbp,
        margin_p90_gbp=offer.margin_p90_gbp,
        accepted=accepted,
        parts=_parts(offer, need, rule),
        miss=offer.missed,
        valued_anew=True,
    )
    return replace(draft, expected_margin_gbp=offer.expected_margin_gbp, why=why)


def _ended(proposal: Proposal) -> str:
    """Say how the solve ended; a bid that depends on how fast the machine was says so."""
    run = proposal.run
    late = "; its time ran out, more might find a better bid" if proposal.cut_short else ""
    return f"{run.name} {run.status}, gap {run.gap:.2g}{late}"


def is_same(draft: Draft | None, new: Draft) -> bool:
    """Whether a draft offers and nominates what a new one would: then there is no reason for another."""
    if draft is None or draft.by != MODEL:
        return False
    said = (
        "offered_kw",
        "utilisation_gbp_per_mwh",
        "availability_gbp_per_mw_h",
        "base_kw",
        "kept_kw",
        "steps",
    )
    return all(getattr(draft, name) == getattr(new, name) for name in said)


def why_nothing(offer: Offer) -> str:
    """Return in words why a line offers nothing."""
    if offer.lost_to is not None:
        return f"{offer.lost_to} earns more in the same half-hours: one service per place and time"
    bad = "; ".join(str(scenario) for scenario in offer.bad_scenarios[:3])
    nothing = "no bid, from the least that the DNO takes upwards, would pay"
    return f"{nothing}; it would fall short on {bad}" if bad else nothing


def per_need_slot(
    need: Requirement,
    slots: Sequence[Interval],
    values: Sequence[float],
    over: Callable[[list[float]], float],
) -> tuple[float, ...]:
    """Return a figure for each slot of the need from those of the half-hours it touches."""
    return tuple(
        over([value for slot, value in zip(slots, values, strict=True) if slot.overlap(part) is not None])
        for part in need.slots
    )


def _parts(offer: Offer, need: Requirement, rule: PriceRule) -> tuple[PricedPart, ...]:
    """Return marginal cost and price of the bid's parts by the desk's rule, never falling."""
    parts: list[PricedPart] = []
    for tranche in offer.tranches:
        asked = float(rule.ask(tranche.marginal_gbp_per_mwh, need.utilisation_ceiling, ()).gbp_per_mwh)
        price = max(asked, parts[-1].price_gbp_per_mwh if parts else 0.0)
        parts.append(PricedPart(tranche.up_to_kw, round(tranche.marginal_gbp_per_mwh, 2), price))
    return tuple(parts)


def _steps(
    offered_kw: tuple[float, ...], parts: Sequence[PricedPart], asking: Asking, product: Product
) -> tuple[PriceStep, ...]:
    """Return the steps to be sent: each at its part's price, and never below the price asked for all."""
    if product.price_steps == 1:
        return (PriceStep(offered_kw, asking.gbp_per_mwh),)
    priced = [(part.up_to_kw, max(asking.gbp_per_mwh, exact(part.price_gbp_per_mwh))) for part in parts]
    return steps_of(offered_kw, priced, product.price_steps)


def _change(before: Draft | None, offer: Offer, price: Decimal, inputs: Mapping[str, str]) -> Change | None:
    if before is None:
        return None
    known = dict(before.why.inputs)
    return Change(
        from_version=before.version,
        kw=float(offer.offered_kw.max(initial=0.0)) - max(before.offered_kw),
        gbp_per_mwh=float((price - before.utilisation_gbp_per_mwh).quantize(PENNY)),
        margin_gbp=gained(offer.expected_margin_gbp, before.expected_margin_gbp),
        inputs=tuple(name for name, digest in sorted(inputs.items()) if known.get(name) != digest),
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
