"""What else the zone has bid, or may, when a bid is made: read from the journal, now or as it was then.

A bid that was checked, approved, submitted or awarded, or that a person amended, is a commitment: it keeps
its kW and what it holds back. A need without a draft, or with one that only the model has seen, may be
drafted (anew) as long as its gate is open. Where the zone is committed, or its nomination frozen, the base
figures are those of the plan that this was done by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.model.explanation import Beside
from aggregator.model.market import Direction, Draft, Nomination, OrderMode, Plan, Product, Requirement
from aggregator.model.opportunity import Opportunity, Stage, replay
from aggregator.model.time import Interval
from aggregator.store import Store
from aggregator.workflow import MODEL

COMMITTED = (Stage.APPROVED, Stage.SUBMITTED, Stage.AWARDED, Stage.DELIVERING)
LIVE = (Stage.RECEIVED, Stage.IN_REVIEW, *COMMITTED)


@dataclass(frozen=True, slots=True)
class Other:
    """Another opportunity of the zone.

    Attributes:
        opportunity: As its facts leave it.
        product: Its rules.
        levels: What it is committed to, kW in the product's direction per interval; empty for one that may
            be drafted.
    """

    opportunity: Opportunity
    product: Product
    levels: tuple[tuple[Interval, float], ...] = ()

    @property
    def free_need(self) -> Requirement | None:
        """The need, where it may be drafted."""
        return None if self.opportunity.stage in COMMITTED or self.levels else self.opportunity.requirement

    @property
    def holding_back(self) -> tuple[Requirement, Draft] | None:
        """The need and the draft by which base discharge is held back, where it is committed."""
        one = self.opportunity
        draft = one.draft or one.submitted
        if not self.levels or draft is None or one.requirement is None:
            return None
        return one.requirement, draft


@dataclass(frozen=True, slots=True)
class Standing:
    """All that stands in a zone beside the need that is bid on.

    Attributes:
        others: Its other live opportunities.
        plan: The base figures that hold; None where they may be made anew.
        frozen: Nominations that were sent, by half-hour.
    """

    others: tuple[Other, ...] = ()
    plan: Plan | None = None
    frozen: Mapping[Interval, Nomination] | None = None

    @property
    def seen(self) -> tuple[Beside, ...]:
        """The others, to be found again."""
        return tuple(Beside(one.opportunity.opportunity_id, one.opportunity.version) for one in self.others)


NOTHING = Standing()


def standing_now(
    store: Store, products: Mapping[str, Product], zone: str, day: Interval, but: str, now: datetime
) -> Standing:
    """Return what stands in a zone on a day.

    Args:
        store: The store.
        products: Rules by id.
        zone: Where.
        day: From the plan's first half-hour to its last.
        but: The opportunity that is bid on.
        now: Gates that have closed by then are closed.
    """
    found = store.journal.find(zone=zone, overlapping=day, stages=LIVE)
    return _standing(store, products, zone, day, [one for one in found if one.opportunity_id != but], now)


def standing_then(
    store: Store,
    products: Mapping[str, Product],
    zone: str,
    day: Interval,
    seen: Sequence[Beside],
    known_at: datetime,
) -> Standing:
    """Return what stood when a draft was made that says which others it had seen."""
    found = [
        replay(
            one.opportunity_id,
            [recorded.fact for recorded in store.journal.facts(one.opportunity_id)][: one.version],
        )
        for one in seen
    ]
    return _standing(store, products, zone, day, found, known_at)


def _standing(
    store: Store,
    products: Mapping[str, Product],
    zone: str,
    day: Interval,
    found: Sequence[Opportunity],
    now: datetime,
) -> Standing:
    others = [_other(one, products[one.product_id], now) for one in found]
    there = tuple(one for one in others if one is not None)
    frozen = {one.period: one for one in store.nominations.between(zone, day, now)}
    committed = [one.opportunity.opportunity_id for one in there if one.levels]
    return Standing(there, newest_plan(store, committed, day, now), frozen or None)


def newest_plan(store: Store, opportunity_ids: Sequence[str], day: Interval, until: datetime) -> Plan | None:
    """Return the plan of a day that was made last by an instant, for any of some opportunities."""
    made = [
        (at, name, plan)
        for name in opportunity_ids
        for at, plan in store.plans.all(name)
        if at <= until and plan.slots[0].start == day.start and plan.slots[-1].end == day.end
    ]
    return max(made, key=lambda one: one[:2])[2] if made else None


def _other(one: Opportunity, product: Product, now: datetime) -> Other | None:
    """Return an opportunity's part, None for one that is over or has no way to be bid on any more."""
    draft = one.draft
    if one.stage in COMMITTED:
        return Other(one, product, _levels(one, product))
    if one.requirement is None or now >= product.gate_closes_at(one.window):
        return None
    touched = one.checked_by is not None or one.submitted is not None or (draft and draft.by != MODEL)
    if one.stage is Stage.IN_REVIEW and draft is not None and touched:
        return Other(one, product, _levels(one, product))
    return Other(one, product)


def _levels(one: Opportunity, product: Product) -> tuple[tuple[Interval, float], ...]:
    """Return what is promised, kW in the product's direction per interval: the most of what may be called."""
    if one.award is not None:
        return tuple(zip(one.award.slots, one.award.awarded_kw, strict=True))
    if one.requirement is not None:
        slots = one.requirement.slots
        offered = [draft.offered_kw for draft in (one.draft, one.submitted) if draft is not None]
        as_long = [levels for levels in offered if len(levels) == len(slots)]
        if not as_long:  # the need was amended to another length since
            return tuple((slot, max(map(max, offered))) for slot in slots)
        return tuple(zip(slots, map(max, *as_long, [0.0] * len(slots)), strict=True))
    sign = 1 if product.direction is Direction.UP else -1
    return tuple(
        (step.interval, max(0.0, sign * step.value) if order.mode is OrderMode.DELTA else abs(step.value))
        for order in one.in_force
        for step in order.steps
    )
