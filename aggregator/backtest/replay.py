"""One zone through its days: each is bid with what was known at its gate, then happens.

Day by day: the fleet as known, the forecast, the bid, the award, the split, the meters, the money. All
policies meet the same day with the same batteries; these then go on as our own policy left them.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np

from aggregator.backtest.dispatches import Event
from aggregator.backtest.garage import SLOT_HOURS, Course, Day, follow
from aggregator.backtest.hindsight import clairvoyant
from aggregator.backtest.offers import (
    Offer,
    Outlook,
    Rules,
    forecast_outlook,
    model_offer,
    rival_offer,
    true_outlook,
)
from aggregator.backtest.prices import Prices
from aggregator.backtest.promises import judge
from aggregator.backtest.scene import Plays, Scene
from aggregator.backtest.story import CLAIRVOYANT, MEAN, MODEL, P10, Fan, Lived, Result, Settled, Story
from aggregator.backtest.world import TARGET_SOC, Driver
from aggregator.energy import FloatArray, Tariff
from aggregator.forecast import History, Horizon, Session, StatedIntent
from aggregator.model.fleet import Car
from aggregator.model.time import LONDON, Interval
from aggregator.risk import Caution, caution_after

GATE_HOUR = 14
LOOK_BACK = timedelta(days=150)
"""More than 28 weekend days go back."""
SURE = 0.8
"""A car there on this share of the like days is one that was counted on."""


def gate_of(window_start: datetime) -> datetime:
    """Return when bids for a window must be in: 14:00 local the day before."""
    before = window_start.astimezone(LONDON).date() - timedelta(days=1)
    return datetime(before.year, before.month, before.day, GATE_HOUR, tzinfo=LONDON)


class Zone:
    """One zone's replay: its batteries, and what it has learnt."""

    def __init__(
        self, name: str, drivers: Sequence[Driver], prices: Prices, rules: Rules, *, stated: bool
    ) -> None:
        self._name = name
        self._drivers = tuple(drivers)
        self._prices = prices
        self._rules = rules
        self._stated = stated
        self._energy_kwh = np.array([TARGET_SOC * driver.capacity_kwh for driver in drivers])
        self._arrival_soc: dict[tuple[str, datetime], float] = {}
        self._cars: dict[str, Car] = {}
        self._month: tuple[int, int] | None = None
        self._lived_until = date.min

    def live(self, day: date, event: Event | None, record: Sequence[Settled]) -> Lived:
        """Return what becomes of the next day.

        Args:
            day: The local day after the last one.
            event: What is offered on it; one across noon is lived at once with the day after it.
            record: Of all settled bids.
        """
        if day <= self._lived_until:
            return Lived(day)
        horizon = Horizon(day) if event is None else event.horizon
        slots, day = horizon.slots, horizon.day
        gate = gate_of(event.window.start if event is not None else slots[0].start)
        rows = [n for n, one in enumerate(self._drivers) if one.is_known(gate, slots[-1].end)]
        prices = self._prices.of(slots)
        if not rows or prices is None:
            return Lived(day, left_open="no car" if not rows else "no prices")
        drivers = [self._drivers[n] for n in rows]
        cars = self._described(drivers, day, gate)
        true_day = Day.of(drivers, cars, slots, self._tariff(prices), stated=self._stated)
        start_kwh = self._energy_kwh[rows]
        if event is None:
            lived, course = self._uneventful(day, true_day, start_kwh)
        else:
            caution = caution_after(one[1:] for one in record if one[0] <= gate)
            lived, course = self._eventful(day, event, true_day, gate, start_kwh, caution)
        self._energy_kwh[rows] = course.energy_kwh
        self._lived_until = day
        self._remember(true_day, course)
        return lived

    def _described(self, drivers: Sequence[Driver], day: date, gate: datetime) -> tuple[Car, ...]:
        """Return the cars as the fleet file has them; it is written anew each month."""
        if self._month != (day.year, day.month):
            self._month = day.year, day.month
            self._cars = {}
        for driver in drivers:
            if driver.car_id not in self._cars:
                self._cars[driver.car_id] = driver.car(gate)
        return tuple(self._cars[driver.car_id] for driver in drivers)

    def _tariff(self, prices: Sequence[float]) -> Tariff:
        return Tariff(
            import_gbp_per_kwh=np.array(prices),
            export_gbp_per_kwh=np.full(len(prices), self._rules.export_gbp_per_kwh),
            red=np.zeros(len(prices), dtype=np.bool_),
            wear_gbp_per_kwh=self._rules.wear_gbp_per_kwh,
        )

    def _uneventful(self, day: date, true_day: Day, start_kwh: FloatArray) -> tuple[Lived, Course]:
        course = follow(true_day, start_kwh, 0, len(true_day.slots))
        judged = judge(true_day, course)
        return Lived(day, None, None, judged.checked, judged.breaches, judged.early_short), course

    def _eventful(
        self, day: date, event: Event, true_day: Day, gate: datetime, start_kwh: FloatArray, caution: Caution
    ) -> tuple[Lived, Course]:
        outlook = self._outlook(event, true_day, gate)
        if outlook is None:
            lived, course = self._uneventful(day, true_day, start_kwh)
            return replace(lived, left_open="no like day, or no price, to forecast from"), course
        slots, rules = true_day.slots, self._rules
        scene = Scene.of(true_day, event, rules, start_kwh)
        truth = true_outlook(true_day, scene.uncalled, scene.window)
        offers = {
            MODEL: model_offer(event, outlook, slots, rules, caution),
            MEAN: rival_offer(event, outlook, rules, "mean"),
            P10: rival_offer(event, outlook, rules, "p10"),
        }
        plays, known = Plays(scene), model_offer(event, truth, slots, rules)
        offers[CLAIRVOYANT] = clairvoyant(plays, known, offers.values(), rules)
        played = {policy: plays(offer) for policy, offer in offers.items()}
        course = played[MODEL][1]
        results = {policy: result for policy, (result, _) in played.items()}
        judged = [judge(true_day, one) for _, one in played.values()]
        lived = Lived(
            day,
            _story(self._name, scene, day, outlook, truth, offers[MODEL], caution, results),
            _fan(self._name, day, slots, outlook, truth),
            sum(one.checked for one in judged),
            tuple(breach for one in judged for breach in one.breaches),
            judged[0].early_short,
        )
        return lived, course

    def _outlook(self, event: Event, true_day: Day, gate: datetime) -> Outlook | None:
        prices = self._prices.of(true_day.slots, gate)
        if prices is None:
            return None
        history = self._history(gate)
        tariff = self._tariff(prices)
        intents = self._intents(gate) if self._stated else None
        return forecast_outlook(history, true_day.cars, event, true_day.slots, tariff, gate, intents)

    def _history(self, gate: datetime) -> History:
        """Return what was seen by ``gate``: each car's first stay, and all of the last months."""
        since = gate - LOOK_BACK
        return History.of(
            Session(
                driver.car_id,
                visit.plugged,
                visit.energy_kwh,
                self._arrival_soc.get((driver.car_id, visit.plugged.start), driver.usual_arrival_soc(visit)),
            )
            for driver in self._drivers
            for number, visit in enumerate(driver.visits)
            if visit.plugged.start < gate and (number == 0 or visit.plugged.start >= since)
        )

    def _intents(self, gate: datetime) -> dict[str, StatedIntent]:
        return {
            driver.car_id: StatedIntent(visit.plugged.end, TARGET_SOC)
            for driver in self._drivers
            for visit in driver.visits
            if gate in visit.plugged
        }

    def _remember(self, day: Day, course: Course) -> None:
        start = day.slots[0].start
        for plugged in course.plugged:
            if plugged.part.start_h >= 0.0:
                car = day.cars[plugged.car]
                began = start + timedelta(minutes=round(plugged.part.start_h * 60))
                self._arrival_soc[car.car_id, began] = plugged.energy_kwh / car.capacity_kwh


def _story(
    zone: str,
    scene: Scene,
    day: date,
    outlook: Outlook,
    truth: Outlook,
    offer: Offer,
    caution: Caution,
    results: dict[str, Result],
) -> Story:
    begin_h, end_h = (SLOT_HOURS * bound for bound in (scene.window.start, scene.window.stop))
    came = np.array(
        [any(part.start_h <= begin_h and part.end_h >= end_h for part in own) for own in scene.day.parts]
    )
    absent = np.flatnonzero((outlook.present.mean(axis=0) >= SURE) & ~came)
    return Story(
        zone=zone,
        day=day,
        event=scene.event,
        cars=len(came),
        results=results,
        fear=caution.fear,
        level=offer.level,
        forecast_kw=tuple(outlook.flat_kw(offer.nominated_kw).tolist()),
        true_kw=float(truth.flat_kw(offer.nominated_kw)[0]),
        expected_cars=float(outlook.present.sum(axis=1).mean()),
        came=int(came.sum()),
        absent=tuple(scene.day.cars[car].car_id for car in absent),
    )


def _fan(zone: str, day: date, slots: Sequence[Interval], outlook: Outlook, truth: Outlook) -> Fan:
    low_kw, middle_kw, high_kw = np.quantile(outlook.plugged_kw, (0.1, 0.5, 0.9), axis=0).tolist()
    return Fan(
        zone=zone,
        day=day,
        starts=tuple(slot.start for slot in slots),
        low_kw=tuple(low_kw),
        middle_kw=tuple(middle_kw),
        high_kw=tuple(high_kw),
        true_kw=tuple(truth.plugged_kw[0].tolist()),
    )
