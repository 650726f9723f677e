"""What chargers tell and are told: reports, meter registers, set-points."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aggregator.model.time import Interval


@dataclass(frozen=True, slots=True)
class Reading:
    """A charger's two meter registers at one instant. Registers are the truth, power samples are hints.

    Attributes:
        charger_id: Whose registers.
        measured_at: When they showed this.
        received_at: When we learnt it.
        import_wh: Energy ever drawn from the grid. [Wh]
        export_wh: Energy ever given to the grid. [Wh]
    """

    charger_id: str
    measured_at: datetime
    received_at: datetime
    import_wh: int
    export_wh: int


@dataclass(frozen=True, slots=True)
class MeteredInterval:
    """What passed a meter in a span of time, as its operator's file tells it.

    Attributes:
        meter_id: Whose.
        span: The minute or half-hour.
        received_at: When we learnt it.
        export_wh: Net energy, positive to the grid. [Wh]
    """

    meter_id: str
    span: Interval
    received_at: datetime
    export_wh: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """What the meter at a home's boundary shows: house, panels and cars together.

    Attributes:
        export_w: Power now, positive from the home to the grid. [W]
        import_wh: Import register. [Wh]
        export_wh: Export register. [Wh]
    """

    export_w: int
    import_wh: int
    export_wh: int


@dataclass(frozen=True, slots=True)
class CarReport:
    """A car's state as its charger reports it: noisy, coarse, its state of charge maybe late.

    Attributes:
        car_id: Which car.
        measured_at: When it was so.
        plugged: Whether the car is connected.
        soc: State of charge, fraction of usable capacity; None when the car does not say.
        export_w: Power now, positive from car to grid. [W]
        import_wh: Import register. [Wh]
        export_wh: Export register. [Wh]
        boost: Whether the driver has switched V2G off.
        depart_at: When the driver said the car is next needed; None for the default intent.
        target_soc: How full the driver said it must be; None for the default intent.
        boundary: What its home's boundary meter showed then; None where its charger reads none.
        soc_at: When the state of charge was so, if that is not ``measured_at`` but before it.
    """

    car_id: str
    measured_at: datetime
    plugged: bool
    soc: float | None
    export_w: int
    import_wh: int
    export_wh: int
    boost: bool = False
    depart_at: datetime | None = None
    target_soc: float | None = None
    boundary: Boundary | None = None
    soc_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """When a car was plugged in at its charger, by what this told.

    Attributes:
        stays: In order. From the first report that says so to the first that says otherwise; to the last one
            before a silence in which the car went, or before the end of all reports. A silence with the car
            plugged in before and after is no break.
        silences: When longer than usual nothing was heard, whether the car was there or not.
        heard: From the first report to the last; None where there is at most one.
    """

    stays: tuple[Interval, ...]
    silences: tuple[Interval, ...] = ()
    heard: Interval | None = None


class Purpose(StrEnum):
    """Why a car was told what it was told."""

    PLAN = "plan"
    INSTRUCTION = "instruction"
    BOOST = "boost"
    MUST_CHARGE = "must-charge"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class SetPoint:
    """Power for one car until ``expires_at``; never without an end.

    Attributes:
        car_id: Which car.
        export_w: Positive from car to grid. [W]
        issued_at: When it was decided.
        expires_at: When the charger must drop it by itself.
        purpose: Why.
        opportunity_id: The instruction served, if any.
    """

    car_id: str
    export_w: int
    issued_at: datetime
    expires_at: datetime
    purpose: Purpose
    opportunity_id: str | None = None


@dataclass(frozen=True, slots=True)
class SafeDefault:
    """What one charger does by itself once no set-point holds; it gives nothing then.

    Attributes:
        most_w: Most that it draws by itself, boosted or not. [W, 0 or more]
        charge_from: When it begins to charge if its driver does not boost; None leaves what it was told.
        waits_until: Before this it draws nothing by itself, boosted or not: another charger of its home may
            still draw more than its part. None where it need not wait.
    """

    most_w: int
    charge_from: datetime | None = None
    waits_until: datetime | None = None


class Outcome(StrEnum):
    """What became of a set-point."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    INTERLOCKED = "interlocked"
