"""What operators ask for, award and order; what we offer. Powers in kW of the product's own direction.

An *up* product is paid for more export or less import, a *down* product for the reverse. ``kw`` of a
requirement, bid, award or instruction is a magnitude in that direction, at least 0; ``export_kw`` is signed.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from aggregator.model.explanation import Explanation
from aggregator.model.money import pounds
from aggregator.model.rules import IN_FULL, NOMINATION, BaselineRule, Performance
from aggregator.model.steps import PriceStep
from aggregator.model.time import LONDON, Interval

WH_PER_KWH = 1000


class Direction(StrEnum):
    """Which way the product moves power: ``up`` is more export or less import."""

    UP = "up"
    DOWN = "down"

    @property
    def sign(self) -> int:
        """+1 where delivery adds export, -1 where it takes export away."""
        return 1 if self is Direction.UP else -1


class BidShape(StrEnum):
    """Whether a bid is one level for its whole window or one per slot."""

    FLAT = "flat"
    PER_SLOT = "per_slot"


@dataclass(frozen=True, slots=True)
class Product:
    """A market's rules, as data.

    Attributes:
        product_id: The name that follows ``requirement/`` in the market context.
        direction: Which way delivery moves power.
        bid_shape: Flat or per slot.
        slot: Length of a slot.
        tick_kw: Bids are whole multiples of this. [kW]
        min_kw: Smallest bid that is not nothing. [kW]
        gate_days_before: Days before delivery on which the gate closes.
        gate_local: Local time of day at which it closes.
        hold_back: Whether base discharge may be held back to serve this product.
        award_probability: Probability that a bid is awarded and called.
        penalty_gbp_per_mwh: Paid for each MWh instructed and not delivered.
        metering_point: ``asset`` or ``boundary``.
        export_counts: Whether export beyond zero import counts as delivery.
        standing_contract: Whether the operator may order without a bid before.
        scheduled: Whether an award is itself the order, delivered by the clock.
        baseline: What delivery is measured against.
        performance: By what factors payments are cut.
        price_steps: Most price steps that a bid is sent in.
        call_gbp_per_mwh: Paid per MWh delivered of an order that no bid preceded; None where none is agreed.
    """

    product_id: str
    direction: Direction
    bid_shape: BidShape
    slot: timedelta
    tick_kw: float
    min_kw: float
    gate_days_before: int
    gate_local: time
    hold_back: bool
    award_probability: float
    penalty_gbp_per_mwh: Decimal
    metering_point: str = "asset"
    export_counts: bool = True
    standing_contract: bool = False
    scheduled: bool = False
    baseline: BaselineRule = NOMINATION
    performance: Performance = IN_FULL
    price_steps: int = 1
    call_gbp_per_mwh: Decimal | None = None

    def gate_closes_at(self, window: Interval) -> datetime:
        """Return when bids for ``window`` must be in."""
        day = window.start.astimezone(LONDON).date() - timedelta(days=self.gate_days_before)
        return datetime.combine(day, self.gate_local, LONDON)


@dataclass(frozen=True, slots=True)
class EventKey:
    """One version of one event of one platform: what the durable inbox is keyed by."""

    vtn_id: str
    event_id: str
    modification: int


@dataclass(frozen=True, slots=True)
class Requirement:
    """A DNO's need: kW per slot in one zone, and the most it pays.

    Attributes:
        key: The event that said so.
        zone: Where.
        product_id: Under which rules.
        window: The whole window.
        needed_kw: Per slot, at least 0. [kW]
        utilisation_ceiling: Most paid per MWh delivered, None without a ceiling. [GBP/MWh]
        availability_ceiling: Most paid per MW held for an hour, None without one. [GBP/MW/h]
    """

    key: EventKey
    zone: str
    product_id: str
    window: Interval
    needed_kw: tuple[float, ...]
    utilisation_ceiling: Decimal | None = None
    availability_ceiling: Decimal | None = None

    @property
    def slots(self) -> tuple[Interval, ...]:
        """The window cut into as many equal slots as there are figures."""
        return self.window.slots((self.window.end - self.window.start) / len(self.needed_kw))


@dataclass(frozen=True, slots=True)
class Award:
    """What was cleared of a bid: kW per slot, maybe less than bid, at what prices.

    ``issued_at`` is the platform's own stamp of it; None where it was taken in before that was kept.
    """

    key: EventKey
    zone: str
    product_id: str
    window: Interval
    awarded_kw: tuple[float, ...]
    utilisation_gbp_per_mwh: Decimal
    availability_gbp_per_mw_h: Decimal = Decimal(0)
    issued_at: datetime | None = None

    @property
    def slots(self) -> tuple[Interval, ...]:
        """The window cut into as many equal slots as there are figures."""
        return self.window.slots((self.window.end - self.window.start) / len(self.awarded_kw))

    def as_order(self, direction: Direction, issued_at: datetime) -> "Instruction":
        """Return the order that the award of a scheduled product is: all of it, from its start to its end."""
        levels = zip(self.slots, self.awarded_kw, strict=True)
        steps = tuple(Step(slot, direction.sign * kw) for slot, kw in levels)
        return Instruction(self.key, self.zone, self.product_id, OrderMode.DELTA, steps, issued_at)


@dataclass(frozen=True, slots=True)
class Step:
    """One level held over one interval; its meaning is its owner's. [kW, or a SIMPLE level]"""

    interval: Interval
    value: float


class OrderMode(StrEnum):
    """How an order is to be read: as a change to the nomination, as net export itself, or as a multiple."""

    DELTA = "delta"
    SETPOINT = "setpoint"
    MULTIPLIER = "multiplier"


@dataclass(frozen=True, slots=True)
class Instruction:
    """An order for kW, positive in the export direction, per interval.

    Attributes:
        key: The event version that said so; a higher modification replaces a lower one.
        zone: Where.
        product_id: Under which rules.
        mode: Delta on the nomination, net export of the zone, or multiple of the nomination.
        steps: Export-positive kW per interval, in order, not overlapping; multiples are numbers. [kW]
        issued_at: The platform's own stamp of this modification; since when it holds, its fact says.
        priority: Among orders of a zone that overlap: 1 is served first, 0 last.
        ramp_up_s: How long before its start the zone's power moves towards it. [s]
        notice_s: How long before its start the platform means to tell of it; kept to be shown. [s]
        delay_s: By how much its steps were moved, drawn within the tolerance of its start. [s]
        open_ended: Its platform has told no end: the last step's is what it is taken to last at most.
    """

    key: EventKey
    zone: str
    product_id: str
    mode: OrderMode
    steps: tuple[Step, ...]
    issued_at: datetime
    priority: int = 0
    ramp_up_s: float = 0.0
    notice_s: float = 0.0
    delay_s: float = 0.0
    open_ended: bool = False

    @property
    def window(self) -> Interval:
        """From the first interval's start to the last one's end."""
        return Interval(self.steps[0].interval.start, self.steps[-1].interval.end)

    @property
    def ramp_starts_at(self) -> datetime:
        """When the zone's power begins to move; the start itself without a ramp."""
        return self.window.start - timedelta(seconds=self.ramp_up_s)

    @property
    def rank(self) -> tuple[bool, int, datetime]:
        """What orders that overlap are sorted by, the one to be served last: priority, then the later one."""
        return self.priority > 0, -self.priority, self.issued_at

    def change_kw(self, value: float, nominated_kw: float) -> float:
        """Return what a step's value adds to what was nominated. [kW, export positive]"""
        match self.mode:
            case OrderMode.DELTA:
                return value
            case OrderMode.SETPOINT:
                return value - nominated_kw
            case OrderMode.MULTIPLIER:
                return (value - 1.0) * nominated_kw

    def value_at(self, at: datetime) -> float | None:
        """Return the step's value in force at ``at``, None where nothing is ordered."""
        for step in self.steps:
            if at in step.interval:
                return step.value
        return None


@dataclass(frozen=True, slots=True)
class PeakWindow:
    """A standing signal for a zone: a level, a price, or both, per interval.

    Attributes:
        key: The event version that said so.
        zone: Where.
        steps: SIMPLE levels: 0 green, 1 amber, 2 red, 3 emergency; green where only a price was given.
        prices: What a kWh drawn costs, for the plan: in place of the tariff's. [GBP/MWh]
    """

    key: EventKey
    zone: str
    steps: tuple[Step, ...]
    prices: tuple[Step, ...] = ()

    @property
    def window(self) -> Interval:
        """From the first interval's start to the last one's end."""
        return Interval(self.steps[0].interval.start, self.steps[-1].interval.end)

    def level_at(self, at: datetime) -> int:
        """Return the level in force at ``at``; 0 outside the window."""
        return next((int(step.value) for step in self.steps if at in step.interval), 0)

    def price_at(self, at: datetime) -> float | None:
        """Return the price in force at ``at``; None where there is none. [GBP/MWh]"""
        return next((step.value for step in self.prices if at in step.interval), None)


RED_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A test event as it is kept: of what kind, when it is played, and nothing that could move a car."""

    key: EventKey
    kind: str
    window: Interval


@dataclass(frozen=True, slots=True)
class Plan:
    """A zone's plan per half-hour, frozen before the opportunity's price is read, with its digest.

    Attributes:
        zone: Where.
        slots: Half-hours, in order.
        base_discharge_kw: b0: expected base discharge with every bid at zero, >= 0. [kW]
        base_charge_kw: c: expected charging, >= 0. [kW]
        digest: SHA-256 of the inputs it was made from.
    """

    zone: str
    slots: tuple[Interval, ...]
    base_discharge_kw: tuple[float, ...]
    base_charge_kw: tuple[float, ...]
    digest: str


def _to_the_penny(price: Decimal) -> Decimal:
    """Return a price with two digits after its point, or as many more as it has."""
    return pounds(price) if price == pounds(price) else price


@dataclass(frozen=True, slots=True)
class Draft:
    """A bid as it may be shown, approved and sent: exactly this or nothing (P7).

    Attributes:
        bid_id: Opaque id, the idempotency key with ``version``.
        version: Counts up with each draft of the same bid.
        offered_kw: Per slot of the requirement, at least 0. [kW]
        utilisation_gbp_per_mwh: Asked per MWh delivered; where there are steps, of the cheapest.
        availability_gbp_per_mw_h: Asked per MW held for an hour.
        base_kw: b0 per slot of the requirement. [kW]
        kept_kw: b per slot: base discharge that stays beside the bid. [kW]
        expected_margin_gbp: What the model expects it to earn.
        why: The explanation shown beside it.
        by: Who made it: ``model`` or a user.
        digest: SHA-256 over all fields.
        steps: Where the bid is sent in several price steps, all of them: together ``offered_kw``.
    """

    bid_id: str
    version: int
    offered_kw: tuple[float, ...]
    utilisation_gbp_per_mwh: Decimal
    availability_gbp_per_mw_h: Decimal
    base_kw: tuple[float, ...]
    kept_kw: tuple[float, ...]
    expected_margin_gbp: float
    why: Explanation
    by: str
    digest: str = ""
    # left out of the words where it says nothing: drafts from before there were steps keep their digest
    steps: tuple[PriceStep, ...] = field(default=(), repr=False)

    @property
    def priced(self) -> tuple[PriceStep, ...]:
        """The bid as steps, the cheapest first; one where it has one price."""
        return self.steps or (PriceStep(self.offered_kw, self.utilisation_gbp_per_mwh),)

    @property
    def asks(self) -> str:
        """What is asked per MWh, in words."""
        if not self.steps:
            return f"GBP {_to_the_penny(self.utilisation_gbp_per_mwh)}/MWh"
        first, last = (_to_the_penny(step.gbp_per_mwh) for step in (self.steps[0], self.steps[-1]))
        return f"GBP {first} to {last}/MWh in {len(self.steps)} steps"

    @property
    def is_zero(self) -> bool:
        """Whether it offers nothing at all."""
        return not any(self.offered_kw)

    @property
    def report_id(self) -> str:
        """The id the platform sees: bid and version."""
        return f"{self.bid_id}:{self.version}"

    def sealed(self) -> "Draft":
        """Return the draft with its digest, a SHA-256 over every other field."""
        content = repr(replace(self, digest="")) + (repr(self.steps) if self.steps else "")
        content += "valued anew" if self.why.valued_anew else ""
        return replace(self, digest=hashlib.sha256(content.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Nomination:
    """A zone's net export in one half-hour as frozen and sent at gate closure; it never moves afterwards.

    Attributes:
        zone: Where.
        period: The half-hour.
        export_wh: Net export, positive from zone to grid. [Wh]
        base_wh: b0, the base discharge with every bid at zero. [Wh]
        kept_wh: b, the base discharge kept beside the bid. [Wh]
        frozen_at: When.
    """

    zone: str
    period: Interval
    export_wh: int
    base_wh: int
    kept_wh: int
    frozen_at: datetime


def mean_kw(nomination: Nomination | None) -> float:
    """Return the mean power of a nomination, 0 where nothing was nominated. [kW, export positive]"""
    return 0.0 if nomination is None else nomination.export_wh / WH_PER_KWH / nomination.period.hours
