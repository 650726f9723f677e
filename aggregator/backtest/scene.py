"""One event on one day, played for each policy from the same batteries, and what it earned."""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.backtest.calling import call
from aggregator.backtest.dispatches import Event
from aggregator.backtest.garage import SLOT_HOURS, Course, Day, follow
from aggregator.backtest.offers import Offer, Rules, window_of
from aggregator.backtest.story import Result
from aggregator.energy import FloatArray

KW_PER_MW = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An event on a day.

    Attributes:
        day: The day.
        event: What is needed.
        rules: The market's.
        window: The event's half-hours.
        before: The day until the window.
        uncalled: The whole day without a call.
    """

    day: Day
    event: Event
    rules: Rules
    window: slice
    before: Course
    uncalled: Course

    @classmethod
    def of(cls, day: Day, event: Event, rules: Rules, start_kwh: FloatArray) -> "Scene":
        """Return the scene that begins with ``start_kwh`` in the batteries, shape (cars,)."""
        window = window_of(event, day.slots)
        before = follow(day, start_kwh, 0, window.start)
        idle = before.then(follow(day, before.energy_kwh, window.start, window.stop))
        return cls(day, event, rules, window, before, _to_the_end(day, idle, window.stop))

    @property
    def uncalled_kw(self) -> FloatArray:
        """The zone's net export in the window if nothing is called, shape (slots,). [kW]"""
        return self.uncalled.export_kwh[self.window] / SLOT_HOURS

    def play(self, offer: Offer) -> tuple[Result, Course]:
        """Return what an offer earns, and the whole day with its call, if there is one.

        Award: all that is bid, up to what was needed, at the recorded prices; all of it is called.
        """
        awarded_kw = min(offer.bid_kw, self.event.need_kw)
        if awarded_kw <= 0.0:
            return Result(why=offer.why), self.uncalled
        window, hours = self.window, self.event.window.hours
        called = self.before.then(
            call(self.day, self.before.energy_kwh, window.start, window.stop, offer.nominated_kw + awarded_kw)
        )
        course = _to_the_end(self.day, called, window.stop)
        beyond_kwh = course.export_kwh[window] - SLOT_HOURS * offer.nominated_kw
        delivered_kwh = float(np.clip(beyond_kwh, 0.0, SLOT_HOURS * awarded_kw).sum())
        committed_kwh = awarded_kw * hours
        utilisation_gbp = self.event.utilisation_gbp_per_mwh * delivered_kwh / KW_PER_MW
        availability_gbp = self.event.availability_gbp_per_mw_h * committed_kwh / KW_PER_MW
        result = Result(
            bid_kw=offer.bid_kw,
            committed_kwh=committed_kwh,
            delivered_kwh=delivered_kwh,
            revenue_gbp=availability_gbp + utilisation_gbp,
            penalty_gbp=self.rules.penalty_gbp_per_mwh * (committed_kwh - delivered_kwh) / KW_PER_MW,
            energy_gbp=self._energy_gbp(course),
            wear_gbp=self.rules.wear_gbp_per_kwh
            * float(course.given_kwh.sum() - self.uncalled.given_kwh.sum()),
        )
        return result, course

    def _energy_gbp(self, course: Course) -> float:
        """Return what energy cost more than uncalled; what is missing in the end is bought back. [GBP]"""
        tariff, cars = self.day.tariff, self.day.arrays
        missing_kwh = float(((self.uncalled.energy_kwh - course.energy_kwh) / cars.eta_charge).sum())
        more_gbp = course.cost_gbp(tariff) - self.uncalled.cost_gbp(tariff)
        return more_gbp + missing_kwh * tariff.buy_back_gbp_per_kwh


class Plays:
    """The plays of one scene; what is offered twice is played once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._known: dict[tuple[float, bytes], tuple[Result, Course]] = {}

    def __call__(self, offer: Offer) -> tuple[Result, Course]:
        """Return what an offer earns, and the day with its call."""
        key = offer.bid_kw, offer.nominated_kw.tobytes()
        if key not in self._known:
            self._known[key] = self.scene.play(offer)
        result, course = self._known[key]
        return replace(result, why=offer.why), course


def _to_the_end(day: Day, course: Course, first: int) -> Course:
    return course.then(follow(day, course.energy_kwh, first, len(day.slots)))
