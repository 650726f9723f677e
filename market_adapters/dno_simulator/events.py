"""What the operator publishes, and how that becomes the event objects of openleadr.

openleadr works out the status of an event by the wall clock. The payloads here are in domain time, so the
status is worked out here and the events are handed over as plain dicts, which openleadr renders as they are.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from .ordering import PLAIN, Form
from .span import Span

_NO_TIME = timedelta(0)

Unit = Literal["kw", "gbp_per_mwh", "gbp_per_mw_h"]

_MEASUREMENTS: dict[Unit, dict[str, Any]] = {
    "kw": {
        "name": "powerReal",
        "description": "RealPower",
        "unit": "W",
        "scale": "k",
        "power_attributes": {"hertz": 50, "voltage": 230, "ac": True},
    },
    # Milli-pounds per kWh: the number reads GBP/MWh, a unit that the schema itself refuses.
    "gbp_per_mwh": {"name": "currencyPerKWh", "description": "currencyPerKWh", "unit": "GBP", "scale": "m"},
    "gbp_per_mw_h": {"name": "customUnit", "description": "GBP/MW/h", "unit": "GBP/MW/h", "scale": "none"},
}


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of an event: one value per slot, as it stands on the wire (kW count load)."""

    name: str
    type: str
    id: str
    values: tuple[float, ...]
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One version of an event.

    Attributes:
        context: Market context, programme included, e.g. ``http://dso.example/flex/award/day-ahead``.
        comment: Event id of the requirement it belongs to, or empty.
        modified_at: Domain time from which this version is in force.
        keep_until: Until when it is served, whatever its own end.
    """

    id: str
    context: str
    zone: str
    comment: str
    modification: int
    created_at: datetime
    modified_at: datetime
    start: datetime
    slot: timedelta
    signals: tuple[Signal, ...]
    keep_until: datetime
    cancelled: bool = False
    open_ended: bool = False
    form: Form = PLAIN

    @property
    def span(self) -> Span:
        """Active period; empty where open-ended."""
        return Span(self.start, self.start + len(self.signals[0].values) * self.length)

    @property
    def length(self) -> timedelta:
        """Length of each interval; none where open-ended."""
        return _NO_TIME if self.open_ended else self.slot

    def status(self, now: datetime) -> str:
        """Event status at a domain time; ``near`` while it ramps up."""
        if self.cancelled:
            return "cancelled"
        if now < self.span.start:
            ramp_up = timedelta(minutes=self.form.ramp_up_minutes)
            return "far" if now < self.span.start - ramp_up else "near"
        return "active" if now < self.span.end or self.open_ended else "completed"


def as_event(notice: Notice, now: datetime, clock_offset: timedelta) -> dict[str, Any]:
    """The event as openleadr's ``oadrDistributeEvent`` takes it, with its status at a domain time.

    Its stamps are off as far as the platform's clock is; the times of delivery are not.
    """
    period, form = notice.span, notice.form
    random_start = _minutes(form.random_start_minutes)
    return {
        "event_descriptor": {
            "event_id": notice.id,
            "modification_number": notice.modification,
            "modification_date_time": notice.modified_at + clock_offset,
            "priority": form.priority,
            "market_context": notice.context,
            "created_date_time": notice.created_at + clock_offset,
            "event_status": notice.status(now),
            "test_event": form.test,
            "vtn_comment": notice.comment,
        },
        "active_period": {
            "dtstart": period.start,
            "duration": period.end - period.start,
            # openleadr leaves out what is None
            "tolerance": random_start and {"startafter": random_start},
            "notification_period": _minutes(form.notification_minutes),
            "ramp_up_period": _minutes(form.ramp_up_minutes),
        },
        "event_signals": [_signal(signal, notice) for signal in notice.signals],
        "targets": [{"group_id": notice.zone}],
        "response_required": form.answer,
    }


def _minutes(minutes: float) -> timedelta | None:
    return timedelta(minutes=minutes) if minutes else None


def _signal(signal: Signal, notice: Notice) -> dict[str, Any]:
    return {
        "signal_name": signal.name,
        "signal_type": signal.type,
        "signal_id": signal.id,
        "measurement": None if signal.unit is None else dict(_MEASUREMENTS[signal.unit]),
        "current_value": 0 if signal.name == "SIMPLE" else None,
        "intervals": [
            {"dtstart": notice.start + n * notice.slot, "duration": notice.length, "signal_payload": value}
            for n, value in enumerate(signal.values)
        ],
    }
