"""By how much drivers' targets will be missed, and when that is news (P2)."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dispatch.records import Notice

NOTHING_KWH = 0.01
"""Ten watt-hours are nothing to a driver."""

TOLD_AGAIN_KWH = 1.0


class Shortfalls:
    """What each cycle finds out.

    Attributes:
        kwh: Per car that misses its target even at full power, by the last whole cycle: by how much. [kWh]
    """

    def __init__(self) -> None:
        self.kwh: Mapping[str, float] = {}
        self._now: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def begin(self, anew: Iterable[str]) -> None:
        """Begin a cycle; of cars whose drivers want something else than before all is news."""
        self._now = {}
        for car_id in anew:
            self._told.pop(car_id, None)

    def note(self, car_id: str, kwh: float, now: datetime) -> list[Notice]:
        """Return the notice for driver and desk: once, and again when it grows by a kWh."""
        told = self._told.get(car_id, 0.0)
        if kwh <= NOTHING_KWH:
            self._told.pop(car_id, None)
            return []
        self._now[car_id] = kwh
        if told and kwh < told + TOLD_AGAIN_KWH:
            return []
        self._told[car_id] = kwh
        text = f"will miss its target by {kwh:.2f} kWh although it charges at full power"
        return [Notice(now, "short_of_target", car_id, text)]

    def finish(self) -> None:
        """End a cycle: what it found out is what is known."""
        self.kwh = self._now
