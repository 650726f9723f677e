"""The few things the core needs from outside, as Protocols and the values they carry."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from aggregator.model.market import Award, Direction, EventKey, Instruction, PeakWindow, Requirement
from aggregator.model.metering import CarReport, Outcome, SafeDefault, SetPoint
from aggregator.model.time import Interval

NO_TIME = timedelta(0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """The domain clock."""

    def now(self) -> datetime:
        """Return the domain instant, aware, in UTC."""

    def wall_seconds_until(self, at: datetime) -> float:
        """Return the wall seconds until the domain shows ``at``, at least 0. [s]"""

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the domain shows ``at``."""

    def hold(self, worker: str, at: datetime | None) -> None:
        """Say that this worker must act by ``at``, None for never: a simulation's clock may wait for it."""


class Opt(StrEnum):
    """The answer to an event."""

    IN = "optIn"
    OUT = "optOut"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered to an event, and why in words where it is not simply opted in."""

    opt: Opt
    reason: str | None = None


class CallKind(StrEnum):
    """What a platform's event is about; ``unknown`` where the profile does not say.

    In the inbox a test of any kind is a ``test``, and nothing else.
    """

    REQUIREMENT = "requirement"
    AWARD = "award"
    DISPATCH = "dispatch"
    PEAK = "peak"
    TEST = "test"
    UNKNOWN = "unknown"


Content = Requirement | Award | Instruction | PeakWindow


@dataclass(frozen=True, slots=True)
class MarketCall:
    """One version of one event, as a platform sent it and in our words.

    Attributes:
        key: Platform, event and modification.
        kind: What it is about.
        content: In our words; None where it cannot be read (``problem`` says why) or is cancelled.
        opportunity_ref: The requirement's event id that it names, if any.
        zones: The zones it targets.
        interval: Its active period; None where open-ended or unreadable.
        cancelled: Whether it takes the event back.
        test: Whether it is only a test.
        wants_answer: Whether the platform wants optIn or optOut.
        problem: Why it cannot be read or is not ours; None where all is well.
        raw: The message it came in; its own part where there are several events in it.
        modified_at: The platform's own stamp of this modification; where it has none, when it was created.
        completed: Whether the platform says that it has ended; it has no content then.
    """

    key: EventKey
    kind: CallKind
    content: Content | None
    opportunity_ref: str | None
    zones: tuple[str, ...]
    interval: Interval | None
    cancelled: bool
    test: bool
    wants_answer: bool
    problem: str | None
    raw: bytes
    modified_at: datetime
    completed: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing of the event may run any more, by what the platform says of it."""
        return self.cancelled or self.completed


@dataclass(frozen=True, slots=True)
class CallBatch:
    """All events of one oadrDistributeEvent; they are answered together."""

    vtn_id: str
    request_id: str
    calls: tuple[MarketCall, ...]


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a platform asked to be told.

    Attributes:
        vtn_id: Which platform.
        request_id: Its reportRequestID.
        specifier: Which of our reports: telemetry, status, history, bid, nomination, settlement.
        granularity: Length of an interval; zero where there is one report when there is one.
        back_duration: How often it is sent; zero where it is sent once, or when there is one.
        asked_at: Domain instant; the same request told again keeps it.
        window: From when to when; None for ever.
        r_ids: The values wanted; all of the report's if empty.
        cancelled: Whether the platform no longer wants it.
    """

    vtn_id: str
    request_id: str
    specifier: str
    granularity: timedelta
    back_duration: timedelta
    asked_at: datetime
    window: Interval | None = None
    r_ids: tuple[str, ...] = ()
    cancelled: bool = False

    @property
    def once(self) -> bool:
        """Whether it is answered once, as soon as all that it asks for is measured."""
        return not self.back_duration

    @property
    def starts_at(self) -> datetime:
        """From when values are wanted: as asked, else the last whole period before it was asked for."""
        if self.window is not None:
            return self.window.start
        length = self.back_duration or self.granularity
        return self.asked_at - (self.asked_at - EPOCH) % length - length if length else self.asked_at

    @property
    def ends_at(self) -> datetime | None:
        """Until when values are wanted; None for ever."""
        if self.window is not None:
            return self.window.end
        return self.starts_at + self.granularity if self.once else None

    def wants(self, r_id: str) -> bool:
        """Whether a value is among those asked for."""
        return not self.r_ids or r_id in self.r_ids


class Quality(StrEnum):
    """How far a measured value can be relied on."""

    GOOD = "good"
    ESTIMATED = "estimated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One value: power or energy export-positive in kW or kWh, a price, or a state.

    Attributes:
        r_id: Which value.
        interval: When it was so.
        value: 0 where it is missing.
        quality: None for what is no measurement.
    """

    r_id: str
    interval: Interval
    value: float
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report on its way to a platform; sent again until acknowledged, the same each time.

    Attributes:
        report_id: Ours, unique, also the eiReportID.
        vtn_id: To whom.
        request_id: The reportRequestID it answers.
        specifier: Which of our reports.
        created_at: Domain instant.
        rows: Its values.
        last: Whether nothing follows under its request.
    """

    report_id: str
    vtn_id: str
    request_id: str
    specifier: str
    created_at: datetime
    rows: tuple[ReportRow, ...]
    last: bool = False


@dataclass(frozen=True, slots=True)
class OptOut(Report):
    """Word that we no longer serve an event that we had opted into; kept and sent as reports are.

    Attributes:
        event: The event version.
    """

    event: EventKey = field(kw_only=True)


class VenMemory(Protocol):
    """What a VEN must not forget across a restart."""

    def recall(self, vtn_id: str, name: str) -> str | None:
        """Return what was remembered under ``name``."""

    def remember(self, vtn_id: str, name: str, value: str) -> None:
        """Store ``value``, durably, before returning."""


class ChargerLink(Protocol):
    """A way to many chargers: OCPP, a vendor's cloud, the simulator."""

    async def apply(self, points: Sequence[SetPoint]) -> Sequence[Outcome]:
        """Send set-points, each once; return what became of each, in order. Never raises, never hangs."""

    async def set_fallback(self, defaults: Mapping[str, SafeDefault]) -> None:
        """Tell chargers, with a car or without, what to do by themselves once no set-point holds."""

    def reports(self) -> AsyncIterator[tuple[CarReport, ...]]:
        """Yield batches of car reports as they come; silent while the link is down."""


@dataclass(frozen=True, slots=True)
class ZoneTarget:
    """What a zone must export, slot by slot, from now to the end of the window.

    Attributes:
        zone: Where.
        slots: Consecutive; the first may already be running.
        export_kw: Net export wanted per slot: the nomination, and the order upon it. [kW, export positive]
        direction: ``up`` unless an order takes export away.
        opportunity_ids: The order served in each slot, None where only the nomination is.
    """

    zone: str
    slots: tuple[Interval, ...]
    export_kw: tuple[float, ...]
    direction: Direction
    opportunity_ids: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Rebound:
    """What a zone that was called must keep to afterwards.

    Attributes:
        ended_at: When the last order ended.
        import_kw: The most it nominated to draw in any half-hour, at least 0. [kW]
    """

    ended_at: datetime
    import_kw: float


class Orders(Protocol):
    """What the control loop must follow."""

    def targets(self, now: datetime) -> Sequence[ZoneTarget]:
        """Return the target of every zone that is in a window at ``now``."""

    def stopped(self) -> Collection[str]:
        """Return the zones in which somebody stopped the cars."""

    def rebound(self, zone: str, now: datetime) -> Rebound | None:
        """Return what a zone must keep to after an event; None where nothing was called lately."""
