"""What else the zone has bid, or may, when a bid is made: read from the journal, now or as it was then.

A bid that was checked, approved, submitted or awarded, or that a person amended, is a commitment: it keeps
its kW and what it holds back. A need without a draft, or with one that only the model has seen, may be
drafted (anew) as long as its gate is open and it is planned in the same days; in others its draft counts as
a commitment, so that nothing is promised twice. Where the zone is committed, or its nomination frozen, the
base figures are those of the plan that this was done by, day by day from noon to noon.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aggregator.forecast import Horizon
from aggregator.model.explanation import Beside
from aggregator.model.facts import MODEL
from aggregator.model.market import Direction, Draft, Nomination, OrderMode, Plan, Product, Requirement
from aggregator.model.opportunity import Opportunity, Stage, replay
from aggregator.model.time import Interval, utc_text
from aggregator.store import Store

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
        apart: Whether it is planned in other days, and drafted only there.
    """

    opportunity: Opportunity
    product: Product
    levels: tuple[tuple[Interval, float], ...] = ()
    apart: bool = False

    @property
    def free_need(self) -> Requirement | None:
        """The need, where it may be drafted."""
        settled = self.opportunity.stage in COMMITTED or self.levels or self.apart
        return None if settled else self.opportunity.requirement

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
        plans: The base figures that hold, of each day that has some; those of the others may be made anew.
        frozen: Nominations that were sent, by half-hour.
    """

    others: tuple[Other, ...] = ()
    plans: tuple[Plan, ...] = ()
    frozen: Mapping[Interval, Nomination] | None = None

    @property
    def seen(self) -> tuple[Beside, ...]:
        """The others, to be found again."""
        return tuple(Beside(one.opportunity.opportunity_id, one.opportunity.version) for one in self.others)

    def base(self, fresh: Plan) -> Plan:
        """Return the base figures that hold over a plan made just now: its own where there are no others."""
        if not self.plans:
            return fresh
        if self.plans[0].slots == fresh.slots:
            return self.plans[0]
        held = {
            slot: figures
            for plan in self.plans
            for slot, *figures in zip(plan.slots, plan.base_discharge_kw, plan.base_charge_kw, strict=True)
        }
        made = zip(fresh.slots, fresh.base_discharge_kw, fresh.base_charge_kw, strict=True)
        figures = [held.get(slot, [base_kw, charge_kw]) for slot, base_kw, charge_kw in made]
        base_kw, charge_kw = (tuple(kw) for kw in zip(*figures, strict=True))
        digest = _digest(fresh.digest, *(plan.digest for plan in self.plans))
        return Plan(fresh.zone, fresh.slots, base_kw, charge_kw, digest)


NOTHING = Standing()


def standing_now(
    store: Store, products: Mapping[str, Product], need: Requirement, name: str, now: datetime
) -> Standing:
    """Return what stands in a zone beside a need, in the days that it is planned in.

    Args:
        store: The store.
        products: Rules by id.
        need: The need that is bid on.
        name: Its opportunity.
        now: Gates that have closed by then are closed.
    """

    def live(horizon: Horizon) -> list[Other]:
        found = store.journal.find(zone=need.zone, overlapping=horizon.interval, stages=LIVE)
        return _others((one for one in found if one.opportunity_id != name), products, now)

    others = live(Horizon.over(need.window))
    return _standing(store, need, live(Horizon.over(need.window, _windows(others))), now)


def standing_then(
    store: Store,
    products: Mapping[str, Product],
    need: Requirement,
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
    return _standing(store, need, _others(found, products, known_at), known_at)


def _standing(store: Store, need: Requirement, others: Sequence[Other], now: datetime) -> Standing:
    windows = (need.window, *_windows(others))
    horizon = Horizon.over(need.window, windows)
    there = tuple(_apart(one, horizon, windows) for one in others)
    frozen = {one.period: one for one in store.nominations.between(need.zone, horizon.interval, now)}
    plans = []
    for day in (part.interval for part in horizon.parts):
        committed = [one.opportunity for one in there if one.levels and one.opportunity.window.overlap(day)]
        plans.append(newest_plan(store, [one.opportunity_id for one in committed], day, now))
    return Standing(there, tuple(plan for plan in plans if plan is not None), frozen or None)


def newest_plan(store: Store, opportunity_ids: Sequence[str], day: Interval, until: datetime) -> Plan | None:
    """Return the plan of a day, noon to noon, that was made last by an instant for some opportunities."""
    made = [
        (at, name, own)
        for name in opportunity_ids
        for at, plan in store.plans.all(name)
        if at <= until and (own := plan_of(plan, day)) is not None
    ]
    return max(made, key=lambda one: one[:2])[2] if made else None


def plan_of(plan: Plan, day: Interval) -> Plan | None:
    """Return a plan's part that is a whole day's, None where it does not hold that day."""
    first, last = plan.slots[0].start, plan.slots[-1].end
    if (first, last) == (day.start, day.end):
        return plan
    if day.start < first or last < day.end:
        return None
    own = [n for n, slot in enumerate(plan.slots) if slot.start in day]
    part = slice(own[0], own[-1] + 1)
    return Plan(
        plan.zone,
        plan.slots[part],
        plan.base_discharge_kw[part],
        plan.base_charge_kw[part],
        _digest(plan.digest, utc_text(day.start)),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _windows(others: Iterable[Other]) -> tuple[Interval, ...]:
    return tuple(one.opportunity.window for one in others)


def _apart(one: Other, horizon: Horizon, windows: Sequence[Interval]) -> Other:
    """Return an opportunity as it stands for a horizon: one drafted in another is committed by its draft."""
    opportunity = one.opportunity
    if one.free_need is None or Horizon.over(opportunity.window, windows) == horizon:
        return one
    drafted = opportunity.draft is not None or opportunity.submitted is not None
    return replace(one, levels=_levels(opportunity, one.product) if drafted else (), apart=True)


def _others(found: Iterable[Opportunity], products: Mapping[str, Product], now: datetime) -> list[Other]:
    others = (_other(one, products[one.product_id], now) for one in found)
    return [one for one in others if one is not None]


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
