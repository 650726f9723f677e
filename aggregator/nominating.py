"""What a zone nominates, and when: frozen once, half-hour by half-hour, and never moved afterwards.

Where it bids, a zone nominates the plan that its bids stand on, at the first of their gates. Where the
operator may order without a bid (a standing contract) it nominates every day from noon to noon at the
product's gate, called or not: the baseline is there, and sent, before anybody can know of an order. What is
not nominated yet when an order is accepted, because the order is told before the gate or the gateway was down
at it, is frozen then, before a car moves for it; the statement says so. Such a plan is made as if nobody had
called: from what is known of drivers, tariff and peaks, without the order. From then on bids of that day
cannot hold base discharge back.

Half-hours that are over are not nominated.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import structlog

from aggregator.forecast import Horizon
from aggregator.model.errors import BadMessage, Unavailable
from aggregator.model.market import Draft, Instruction, Nomination, Plan, Product, Requirement
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import HALF_HOUR, HOUR, Interval, utc_text
from aggregator.standing import newest_plan
from aggregator.store import Alarm, Store

log = structlog.get_logger()
WH_PER_KWH = 1000
MADE_FOR_ITSELF = "nomination of"
"""How the plan is called that no bid stands on."""

PlanFor = Callable[[str, Interval, datetime], Plan | str]
"""A zone's plan from one noon to the next as known at an instant, or why there is none."""


class Nominating:
    """Freezes what zones nominate.

    Args:
        store: Where it is kept.
        plan_for: Makes a plan where no bid has one.
        contracts: Platforms with each product that they may order without a bid.
        zones: All of them.
    """

    def __init__(
        self,
        store: Store,
        plan_for: PlanFor,
        contracts: Sequence[tuple[str, Product]],
        zones: Sequence[str],
    ) -> None:
        self._store = store
        self._plan_for = plan_for
        self._contracts = tuple(contracts)
        self._zones = tuple(zones)
        self._freezing = threading.Lock()
        self._unplanned: dict[tuple[str, Interval], str] = {}
        self._told: set[tuple[str, Interval]] = set()

    def standing_days(self, now: datetime) -> Iterator[tuple[str, str, Interval]]:
        """Yield platform, zone and day of what standing contracts have nominated by now, from today on."""
        running = Horizon.over(Interval(now, now + timedelta.resolution)).day
        for vtn_id, product in self._contracts:
            ahead = 0
            while product.gate_closes_at(day := Horizon(running + timedelta(days=ahead)).interval) <= now:
                yield from ((vtn_id, zone, day) for zone in self._zones)
                ahead += 1

    def freeze(self, zone: str, day: Interval, now: datetime, *, unasked: bool = False) -> bool:
        """Freeze what a zone nominates from a noon to the next; return whether that was done just now.

        Args:
            zone: Which.
            day: From a noon to the next.
            now: Domain instant.
            unasked: Whether a plan is made where no bid has one. Where none can be made it is logged once.
        """
        with self._freezing:  # an order and the clock may ask at once
            left = [slot for slot in day.slots(HALF_HOUR) if slot.end > now]
            if not left or self._store.nominations.between(zone, day):
                return False
            near = self._store.journal.find(zone=zone, overlapping=day)
            plan = newest_plan(self._store, [one.opportunity_id for one in near], day, now)
            made = None
            if plan is None and unasked:
                plan = made = self._made(zone, day, now)
            if plan is None:
                return False
            frozen = nominated(plan, bids_that_stand(near), now)
            with self._store.at_once():
                if made is not None:
                    name = f"{MADE_FOR_ITSELF} {zone} from {utc_text(day.start)}"
                    self._store.plans.put(made, made_at=now, opportunity_id=name)
                self._store.nominations.freeze([one for one in frozen if one.period in left])
            return True

    def before_order(self, order: Instruction, now: datetime) -> None:
        """Freeze what is not nominated yet of the days of an order that is about to be accepted.

        Where nothing can be nominated that is an alarm, and settlement goes by what the product names for it.
        """
        for part in Horizon.over(Interval(order.ramp_starts_at, order.window.end)).parts:
            day = part.interval
            self.freeze(order.zone, day, now, unasked=True)
            reason = self._unplanned.get((order.zone, day))
            if reason is not None and (order.zone, day) not in self._told:
                self._told.add((order.zone, day))
                text = f"{utc_text(day.start)} to {utc_text(day.end)} is not nominated: {reason}"
                alarm = Alarm(now, "not_nominated", order.zone, text, about=utc_text(day.start))
                self._store.alarms.raise_once(alarm)

    def _made(self, zone: str, day: Interval, now: datetime) -> Plan | None:
        """Return a plan made just now; None, told once, where there can be none."""
        try:
            plan = self._plan_for(zone, day, now)
        except (Unavailable, BadMessage, ArithmeticError, ValueError) as failed:
            plan = f"{type(failed).__name__}: {failed}"
        if isinstance(plan, Plan):
            self._unplanned.pop((zone, day), None)
            return plan
        if (zone, day) not in self._unplanned:
            log.warning("not_nominated", zone=zone, day=utc_text(day.start), reason=plan)
        self._unplanned[zone, day] = plan
        return None


def nominated(
    plan: Plan, drafts: Iterable[tuple[Requirement, Draft]], frozen_at: datetime
) -> list[Nomination]:
    """Return a zone's nomination: what runs when nothing is called.

    That is base discharge kept beside the bids that stand, less expected charging.

    Args:
        plan: The zone's.
        drafts: The bids that stand, with their requirements.
        frozen_at: Domain instant.
    """
    held_back = held_back_kw(plan, drafts)
    found = []
    for slot, base_kw, charge_kw in zip(plan.slots, plan.base_discharge_kw, plan.base_charge_kw, strict=True):
        kept_wh = _wh(max(0.0, base_kw - held_back.get(slot, 0.0)))
        found.append(
            Nomination(
                zone=plan.zone,
                period=slot,
                export_wh=kept_wh - _wh(charge_kw),
                base_wh=_wh(base_kw),
                kept_wh=kept_wh,
                frozen_at=frozen_at,
            )
        )
    return found


def held_back_kw(plan: Plan, drafts: Iterable[tuple[Requirement, Draft]]) -> dict[Interval, float]:
    """Return the base discharge given up for bids, per half-hour of the plan. [kW]"""
    held: dict[Interval, float] = {}
    for need, draft in drafts:
        for slot, base, kept in zip(need.slots, draft.base_kw, draft.kept_kw, strict=True):
            for period in plan.slots:
                part = slot.overlap(period)
                if part is not None:
                    held[period] = held.get(period, 0.0) + (base - kept) * part.hours / period.hours
    return held


def bids_that_stand(opportunities: Iterable[Opportunity]) -> list[tuple[Requirement, Draft]]:
    """Return the bids that a platform holds or is about to be sent, with their requirements."""
    found: list[tuple[Requirement, Draft]] = []
    for one in opportunities:
        draft = one.submitted or (one.draft if one.approved_digest else None)
        need = one.submitted_for if one.submitted else one.requirement
        if draft is not None and need is not None and one.stage is not Stage.CLOSED:
            found.append((need, draft))
    return found


def _wh(kw: float) -> int:
    return round(kw * (HALF_HOUR / HOUR) * WH_PER_KWH)
