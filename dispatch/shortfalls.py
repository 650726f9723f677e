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

    def note(self, car_id: str, kwh: float, metered_kw: float | None, now: datetime) -> list[Notice]:
        """Return the notice for driver and desk: once, and again when it grows by a kWh.

        That it has grown is an alarm only where nobody has the first one before him any more.

        Args:
            car_id: Which car.
            kwh: By how much it will miss its target. [kWh]
            metered_kw: What its meter shows where it does not do what it is told; None where it does. [kW,
                export positive]
            now: Domain instant.
        """
        told = self._told.get(car_id, 0.0)
        if kwh <= NOTHING_KWH:
            self._told.pop(car_id, None)
            return []
        self._now[car_id] = kwh
        if told and kwh < told + TOLD_AGAIN_KWH:
            return []
        self._told[car_id] = kwh
        shows = "" if metered_kw is None else f"; told to charge, its meter shows {metered_kw:z.2f} kW"
        text = f"will miss its target by {kwh:.2f} kWh even at full power{shows}"
        return [Notice(now, "short_of_target", car_id, text, goes_on=told > 0)]

    def finish(self) -> None:
        """End a cycle: what it found out is what is known."""
        self.kwh = self._now
