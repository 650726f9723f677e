"""By how much drivers' targets will be missed, and when that is news (P2).

Less than a step in which cars report their charge is no news: neither driver nor car could tell, and what is
reckoned of a charge is off by as much.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from aggregator.model import figures
from aggregator.model.fleet import Car
from dispatch.notices import SHORT_OF_TARGET
from dispatch.records import Notice

TOLD_AGAIN_KWH = 1.0


class Shortfalls:
    """What each cycle finds out.

    Args:
        soc_step: In which cars report their state of charge. [fraction of capacity]

    Attributes:
        kwh: Per car that misses its target even at full power, by the last whole cycle: by how much. [kWh]
        before: Per car that was said to miss it before this began, and has not been judged yet. [kWh]
    """

    def __init__(self, soc_step: float) -> None:
        self._soc_step = soc_step
        self.kwh: Mapping[str, float] = {}
        self._now: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self.before: dict[str, float] = {}
        self._recalled: set[str] = set()

    def recall(self, told: Iterable[Notice]) -> None:
        """Take in what was told before this began and goes on: of each car until it is first judged."""
        self.before = {one.where: one.amount for one in told if one.amount is not None}
        self._recalled = set(self.before)

    def left(self, cars: Iterable[str]) -> None:
        """Forget what was told before this began of cars that are not plugged in."""
        for car_id in cars:
            self.before.pop(car_id, None)
            self._recalled.discard(car_id)

    def begin(self, anew: Iterable[str]) -> None:
        """Begin a cycle; of cars whose drivers want something else than before all is news."""
        self._now = {}
        self.forget(anew)

    def forget(self, cars: Iterable[str]) -> None:
        """Let all be news of cars that came, left, or whose drivers want something else."""
        for car_id in cars:
            self._told.pop(car_id, None)

    def counts(self, car: Car, kwh: float) -> bool:
        """Whether so much is missing of a car's target that anybody could tell."""
        return kwh > self._soc_step * car.capacity_kwh

    def note(self, car: Car, kwh: float, metered_kw: float | None, now: datetime) -> list[Notice]:
        """Return the notice for driver and desk: once, and again when it grows by a kWh.

        What is over is news when it comes back if so much less was missing meanwhile.
        That it has grown is an alarm only where nobody has the first one before him any more; so is what was
        told before a restart, until the car leaves: what is known of it at first is little.

        Args:
            car: Which car.
            kwh: By how much it will miss its target. [kWh]
            metered_kw: What its meter shows where it does not do what it is told; None where it does. [kW,
                export positive]
            now: Domain instant.
        """
        car_id = car.car_id
        if car_id in self.before:
            self._told[car_id] = self.before.pop(car_id)
        told = self._told.get(car_id, 0.0)
        if not self.counts(car, kwh):
            if kwh <= told - TOLD_AGAIN_KWH:
                self._told.pop(car_id, None)
            return []
        self._now[car_id] = kwh
        if told and kwh < told + TOLD_AGAIN_KWH:
            return []
        self._told[car_id] = kwh
        shows = "" if metered_kw is None else f"; told to charge, its meter shows {figures.kw(metered_kw)}"
        text = f"will miss its target by {figures.kwh(kwh)} even at full power{shows}"
        goes_on = told > 0 or car_id in self._recalled
        return [Notice(now, SHORT_OF_TARGET, car_id, text, goes_on=goes_on, amount=kwh)]

    def finish(self) -> None:
        """End a cycle: what it found out is what is known."""
        self.kwh = self._now
