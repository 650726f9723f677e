"""What the control loop runs by, and what each of its cycles leaves."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.model.metering import CarReport, Outcome, SetPoint


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How the loop runs.

    Attributes:
        cycle: Time between cycles, on the domain clock.
        set_point: Most that a set-point of a window holds.
        reporting_interval: How often a charger reports; after two of them in silence a car is stale.
        soc_resolution: Step in which cars report their state of charge.
        zone_ramp_kw_per_minute: Most power moved per minute in a zone. [kW]
        total_ramp_kw_per_minute: Most power moved per minute in all. [kW]
    """

    cycle: timedelta
    set_point: timedelta
    reporting_interval: timedelta
    soc_resolution: float
    zone_ramp_kw_per_minute: float
    total_ramp_kw_per_minute: float


@dataclass(frozen=True, slots=True)
class Sent:
    """A set-point and what became of it."""

    point: SetPoint
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a driver or the desk must be told.

    Attributes:
        at: Domain instant.
        code: Stable word: ``interlock``, ``short_of_target``, ``ramp_held``, ``not_taken``,
            ``not_following``, ``capacity_differs``, ``order_short``, ``peak_exceeded``.
        where: Car or zone.
        text: With all figures.
        goes_on: It may have been told before: an alarm only where none of its code and place is open.
        about: What beside the place tells it from others of its code, such as the order; None where nothing.
        amount: How much it tells of, in its code's own unit: by that it is told again when it gets worse.
    """

    at: datetime
    code: str
    where: str
    text: str
    goes_on: bool = False
    about: str | None = None
    amount: float | None = None


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """All that a cycle leaves to be stored, with the instant at which it began."""

    at: datetime
    reports: tuple[CarReport, ...]
    sent: tuple[Sent, ...]
    notices: tuple[Notice, ...]
