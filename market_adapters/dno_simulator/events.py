"""What the operator publishes, and how that becomes the event objects of openleadr.

openleadr works out the status of an event by the wall clock. The payloads here are in domain time, so the
status is worked out here and the events are handed over as plain dicts, which openleadr renders as they are.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from .span import Span

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
        programme: What follows the market context, e.g. ``award/day-ahead``.
        comment: Event id of the requirement it belongs to, or empty.
        modified_at: Domain time from which this version is in force.
        keep_until: Until when it is served, whatever its own end.
    """

    id: str
    programme: str
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

    @property
    def span(self) -> Span:
        """Active period."""
        return Span(self.start, self.start + len(self.signals[0].values) * self.slot)

    def status(self, now: datetime) -> str:
        """Event status at a domain time; never ``near``, which takes a ramp-up period to be near to."""
        if self.cancelled:
            return "cancelled"
        if now < self.span.start:
            return "far"
        return "active" if now < self.span.end else "completed"


def as_event(notice: Notice, market_context: str, now: datetime) -> dict[str, Any]:
    """The event as openleadr's ``oadrDistributeEvent`` takes it, with its status at a domain time."""
    period = notice.span
    return {
        "event_descriptor": {
            "event_id": notice.id,
            "modification_number": notice.modification,
            "modification_date_time": notice.modified_at,
            "priority": 0,
            "market_context": f"{market_context}/{notice.programme}",
            "created_date_time": notice.created_at,
            "event_status": notice.status(now),
            "test_event": False,
            "vtn_comment": notice.comment,
        },
        "active_period": {"dtstart": period.start, "duration": period.end - period.start},
        "event_signals": [_signal(signal, notice) for signal in notice.signals],
        "targets": [{"group_id": notice.zone}],
        "response_required": "always",
    }


def _signal(signal: Signal, notice: Notice) -> dict[str, Any]:
    return {
        "signal_name": signal.name,
        "signal_type": signal.type,
        "signal_id": signal.id,
        "measurement": None if signal.unit is None else dict(_MEASUREMENTS[signal.unit]),
        "current_value": 0 if signal.name == "SIMPLE" else None,
        "intervals": [
            {"dtstart": notice.start + n * notice.slot, "duration": notice.slot, "signal_payload": value}
            for n, value in enumerate(signal.values)
        ],
    }
