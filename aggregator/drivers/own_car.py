"""A driver and the own car: what is known and planned of it, and what is said about it.

The door for programs and the driver's page both go through here, so that there is one way to store a word and
to wake the control loop, and both tell the same.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, timedelta

import structlog

from aggregator.cycles import LONGEST_SILENCE, month_around, nights
from aggregator.drivers.bodies import read_saying
from aggregator.drivers.night import Row, Scene, night
from aggregator.drivers.overdue import Overdue
from aggregator.drivers.problems import Refused
from aggregator.drivers.shares import ZoneShares
from aggregator.gateway import Gateway
from aggregator.model.drivers import NO_WORDS, Saying, Topic, V2g, Word, Words, overrules
from aggregator.model.errors import RuleViolation
from aggregator.model.fleet import Car
from aggregator.model.time import Interval
from aggregator.said import UNTOLD
from dispatch.controller import Controller
from dispatch.fleet_view import CarView

log = structlog.get_logger()

TRIES = 5
NIGHTS_HOLD = timedelta(minutes=10)
MOST_KEPT = 5000
TAKEN_BACK = (Topic.DEPARTURE, Topic.WEEK, Topic.BOOST, Topic.FLOOR)
"""What can be taken back; V2G is switched on again instead."""

MustMatch = Callable[[Word | None], None]
"""Refuses, where who speaks has seen another word than the one that stands."""


def whatever_stands(_: Word | None) -> None:
    """Refuse nothing: who stated no version follows whoever was faster."""


class OwnCars:
    """Tells of cars, and takes what their drivers say.

    Args:
        gateway: Whose drivers.
        controller: Its control loop.
    """

    def __init__(self, gateway: Gateway, controller: Controller) -> None:
        self._gateway, self._loop = gateway, controller
        self._nights: OrderedDict[tuple[str, date], tuple[datetime, tuple[date, ...]]] = OrderedDict()
        self.stale_after = 2 * timedelta(seconds=gateway.settings.dispatch.reporting_interval_s)
        self._shares = ZoneShares(gateway, controller, self.view, self.stale_after)

    @property
    def miles_per_kwh(self) -> float:
        """What drivers go by who state nothing else."""
        return self._gateway.settings.drivers.miles_per_kwh

    # what is told

    def view(self, car: Car, now: datetime) -> CarView:
        """Return a car as its driver wants it now: the loop takes what was just said a moment later."""
        return self._loop.view.wished(car.car_id, self.words(car.car_id), now)

    def faults(self, view: CarView) -> list[str]:
        """Return what is wrong besides silence, each in words."""
        name, zone, found = view.car.car_id, view.car.site.zone, []
        if zone in self._loop.orders.stopped():
            found.append("your zone is stopped by its operator: no car gives energy")
        if view.is_plugged() and not self._loop.following.follows(name):
            found.append("the car does not do what it is told: it is not counted on")
        if name in self._loop.shortfalls.kwh:
            found.append("your target will be missed: see shortfall")
        return found

    def plan(self, car: Car, now: datetime) -> tuple[CarView, list[Row]]:
        """Return a car's view and what is planned for it, nothing while it is not plugged in; in a thread."""
        view, zone = self.view(car, now), car.site.zone
        if not view.is_plugged():
            return view, []
        scene = Scene(
            view,
            self._beside(car, now),
            lambda slots: self._gateway.prices(zone, slots),
            self._gateway.book.windows(zone),
            self._shares.of(zone, now),
            self._loop.guard_soc,
            zone in self._loop.orders.stopped(),
        )
        return view, night(scene, now)

    def short_kwh(self, view: CarView, now: datetime) -> float | None:
        """Return by how much a driver's target will be missed; None where nothing can be said. [kWh]

        What the loop's last cycle found is more than the car alone where a home is shared; it counts once the
        loop has taken what was just said.
        """
        if not view.is_plugged() or view.report is None or view.report.soc is None:
            return None
        name = view.car.car_id
        is_taken = self._loop.view.of(name).wish == view.wish
        by_loop_kwh = self._loop.shortfalls.kwh.get(name, 0.0) if is_taken else 0.0
        short_kwh = max(by_loop_kwh, view.short_kwh(now))
        return short_kwh if self._loop.shortfalls.counts(view.car, short_kwh) else 0.0

    def overdue(self, view: CarView, now: datetime) -> Overdue | None:
        """Return what became of a driver's word whose time is past; None where it is not. Reads the store."""
        due = view.stated_at(now)
        if not view.is_plugged() or due >= now:
            return None
        before = Interval(due - LONGEST_SILENCE, due)
        told = self._gateway.store.states.between([view.car.car_id], before)
        soc = next((one.soc for one in reversed(told) if one.plugged and one.soc is not None), None)
        missing_kwh = view.target_kwh() - (soc or 0.0) * view.car.capacity_kwh
        met = None if soc is None else not self._loop.shortfalls.counts(view.car, missing_kwh)
        word = self.word(view.car.car_id, Topic.DEPARTURE)
        is_by_door = view.wish is not None and view.wish.source == Topic.DEPARTURE
        return Overdue(due, word.until if word is not None and is_by_door else None, soc, met)

    def counted_nights(self, car_id: str, month: date, now: datetime) -> tuple[date, ...]:
        """Return the evenings of a month that count, by when a car was plugged in; in a thread.

        A month of reports takes half a second to look through, and few of them make another night: what was
        found is told again for ten minutes.

        Args:
            car_id: Which car.
            month: Its first day.
            now: Domain instant.
        """
        known = self._nights.pop((car_id, month), None)
        if known is None or not timedelta(0) <= now - known[0] < NIGHTS_HOLD:
            history = self._gateway.store.car_history
            stays = history.presence(car_id, month_around(month), LONGEST_SILENCE).stays
            found = {night for stay in stays for night in nights(stay)}
            mine = (night for night in found if (night.year, night.month) == (month.year, month.month))
            known = now, tuple(sorted(mine))
        self._nights[car_id, month] = known
        while len(self._nights) > MOST_KEPT:
            self._nights.popitem(last=False)
        return known[1]

    def words(self, car_id: str) -> Words:
        """Return the latest words of a car's driver, by topic."""
        return self._gateway.said.words().get(car_id, NO_WORDS)

    def word(self, car_id: str, topic: Topic) -> Word | None:
        """Return what was said last about a topic."""
        return self.words(car_id).get(topic)

    def _beside(self, car: Car, now: datetime) -> list[CarView]:
        """Return the other plugged cars of a car's home."""
        others = [one for one in self._gateway.fleet.cars if one.site.site_id == car.site.site_id]
        views = [self.view(one, now) for one in others if one.car_id != car.car_id]
        return [view for view in views if view.is_plugged()]

    # what is said

    async def put(
        self, car: Car, topic: Topic, data: object, by: str, must_match: MustMatch = whatever_stands
    ) -> None:
        """Store what a driver says, durably, and wake the loop; what holds already is not said again.

        Args:
            car: As registered.
            topic: What it is about.
            data: As ``read_saying`` takes it.
            by: The id of the token that its driver showed.
            must_match: Refuses what was said for another word than the one that stands.

        Raises:
            BadMessage: With every fault; nothing is stored.
            Refused: By ``must_match``, or 412 where others never stop to speak.
        """

        def anew() -> Word | None:
            saying, until = read_saying(topic, data, car, self.miles_per_kwh, self._gateway.clock.now())
            return self._unless_said(_word(car, topic, saying, by, until))

        await self._say(car, topic, by, must_match, anew)

    async def take_back(
        self, car: Car, topic: Topic, by: str, must_match: MustMatch = whatever_stands
    ) -> None:
        """Take back what holds about a topic, also what the charger says of boost; as ``put``."""

        def anew() -> Word | None:
            word, now = self.word(car.car_id, topic), self._gateway.clock.now()
            charger = self._loop.view.charger_word(car.car_id)
            holds = word is not None and word.holds(now)
            at_charger = topic is Topic.BOOST and charger.boost
            overruled = at_charger and overrules(charger, word, topic)
            return _word(car, topic, None, by) if holds or overruled else None

        await self._say(car, topic, by, must_match, anew)

    async def _say(
        self, car: Car, topic: Topic, by: str, must_match: MustMatch, anew: Callable[[], Word | None]
    ) -> None:
        """Store a word where it says something new."""
        for _ in range(TRIES):
            standing = self.word(car.car_id, topic)
            must_match(standing)
            word, seen = anew(), standing.version if standing is not None else 0
            if word is None:
                return
            try:
                await asyncio.to_thread(self._gateway.said.say, word, seen)
            except RuleViolation as overtaken:
                log.info("overtaken", car_id=car.car_id, reason=str(overtaken))
                continue
            self._loop.wake()
            log.info("driver_said", car_id=car.car_id, topic=topic.value, version=seen + 1, by=by)
            return
        raise Refused(412, "others say something about this all the time: look, and try again")

    def _unless_said(self, word: Word) -> Word | None:
        """Return a word; None where the same holds already, and no charger has said otherwise since."""
        last = self.word(word.car_id, word.topic)
        if last is None:
            same = isinstance(word.saying, V2g) and word.saying.on
            return None if same else word
        overruled = overrules(self._loop.view.charger_word(word.car_id), last, word.topic)
        holds = last.holds(self._gateway.clock.now())
        same = holds and (last.saying, last.until) == (word.saying, word.until)
        return None if same and not overruled else word


def _word(car: Car, topic: Topic, saying: Saying | None, by: str, until: datetime | None = None) -> Word:
    return Word(car.car_id, topic, 0, UNTOLD, by, saying, until)
