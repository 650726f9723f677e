"""What an amendment of a bid would do, said before anybody does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.model.explanation import Worth
from aggregator.model.market import Draft
from aggregator.model.opportunity import Opportunity
from aggregator.model.steps import PriceStep
from aggregator.workflow import Workflow
from aggregator.worth import is_valued, said_by

KWH_PER_MWH = 1000.0


@dataclass(frozen=True, slots=True)
class Effect:
    """What an amendment would do, or why it cannot be.

    Attributes:
        kw: As asked for; None where it stays. [kW]
        price: As asked for; None where it stays. [GBP/MWh]
        refused: Why not; empty where it may be.
        before_kwh: What is offered now, over the window. [kWh]
        after_kwh: What would be.
        before_gbp: Most that utilisation pays if all is called, at the prices asked. [GBP]
        after_gbp: The same after.
        prices: What its steps would ask. [GBP/MWh]
        now: What the draft there is is worth; None where nobody knows.
        then: The same after.
        check_lost: Who has checked the draft there is, and would have to again.
    """

    kw: float | None
    price: Decimal | None
    refused: str = ""
    before_kwh: float = 0.0
    after_kwh: float = 0.0
    before_gbp: float = 0.0
    after_gbp: float = 0.0
    prices: tuple[PriceStep, ...] = ()
    now: Worth | None = None
    then: Worth | None = None
    check_lost: str | None = None


def effect_of(flow: Workflow, one: Opportunity, user: str, kw: float | None, price: Decimal | None) -> Effect:
    """Return what an amendment would do; nothing is recorded."""
    draft, need = one.draft, one.requirement
    try:
        new = flow.amended(one, draft.digest if draft else "", user, kw, price)
    except (RuleViolation, BadMessage) as refused:
        return Effect(kw, price, str(refused))
    if draft is None or need is None:
        return Effect(kw, price, "there is no draft")
    hours = [slot.hours for slot in need.slots]
    return Effect(
        kw,
        price,
        before_kwh=energy_kwh(draft.offered_kw, hours),
        after_kwh=energy_kwh(new.offered_kw, hours),
        before_gbp=_gbp(draft, hours),
        after_gbp=_gbp(new, hours),
        prices=new.priced,
        now=said_by(draft) if is_valued(draft) else None,
        then=said_by(new) if is_valued(new) else None,
        check_lost=one.checked_by,
    )


def energy_kwh(levels: Sequence[float], hours: Sequence[float]) -> float:
    """Return what levels come to over slots of so many hours. [kW to kWh]"""
    return sum(kw * span for kw, span in zip(levels, hours, strict=True))


def _gbp(draft: Draft, hours: Sequence[float]) -> float:
    """Return what utilisation pays for all of a draft at the prices it asks. [GBP]"""
    priced = ((energy_kwh(step.offered_kw, hours), float(step.gbp_per_mwh)) for step in draft.priced)
    return sum(kwh / KWH_PER_MWH * gbp_per_mwh for kwh, gbp_per_mwh in priced)
