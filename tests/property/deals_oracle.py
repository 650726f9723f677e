"""What was needed, awarded and ordered, for the settlement's re-computation: facts as SQL gives them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.property.registers_oracle import HOUR_US

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HALF_HOUR_US = HOUR_US // 2
FOREVER = 10**18


@dataclass
class Deal:
    """One opportunity as its facts leave it; instants in microseconds since 1970."""

    name: str
    zone: str
    product: str
    windows: list[tuple[int, int]] = field(default_factory=list)
    award: dict[str, Any] | None = None
    orders: list[dict[str, Any]] = field(default_factory=list)
    held_until: int = FOREVER
    delivered: bool = False

    def after(self, name: str, said: dict[str, Any]) -> None:
        """Take one fact in."""
        at = micros(said["at"])
        match name:
            case "Received":
                self._spans(said["requirement"]["window"])
            case "Awarded":
                self.award = said["award"]
                self._spans(said["award"]["window"])
            case "Instructed":
                order = said["instruction"]
                self._ends(order["key"]["event_id"], at)
                self.orders.append({"from": at, "until": FOREVER, **order})
                self.windows.append(
                    (
                        micros(order["steps"][0]["interval"]["start"]),
                        micros(order["steps"][-1]["interval"]["end"]),
                    )
                )
            case "InstructionCancelled":
                self._ends(said["key"]["event_id"], at)
            case "OptedOut" | "AwardCancelled":
                self._ends(None, at)
                self.held_until = min(self.held_until, at)

    @property
    def half_hours(self) -> list[int]:
        """The starts of all half-hours that need, award or an order touches."""
        touched: set[int] = set()
        for start, end in self.windows:
            touched.update(range(start // HALF_HOUR_US * HALF_HOUR_US, end, HALF_HOUR_US))
        return sorted(touched)

    def _spans(self, window: dict[str, str]) -> None:
        kind = (micros(window["start"]), micros(window["end"]))
        self.windows.append(kind)

    def _ends(self, event: str | None, at: int) -> None:
        for order in self.orders:
            if event in (None, order["key"]["event_id"]) and order["until"] == FOREVER:
                order["until"] = at


def micros(text: str) -> int:
    """Return an instant as whole microseconds since 1970."""
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
