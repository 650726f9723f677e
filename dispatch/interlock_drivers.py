"""What drivers want, as the interlock reads it for itself (P6): from raw words and raw reports.

The loop's own reading is elsewhere and shares nothing with this one but the words. Where the two differ, a
set-point is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.model.drivers import NO_WORDS, ChargerWord, Departure, Floor, Topic, V2g, Week, Word, Words
from aggregator.model.fleet import LOWEST_FLOOR_SOC, Car, Intent
from aggregator.model.metering import CarReport
from aggregator.model.time import LONDON, next_local

A_WEEK = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class _Heard:
    """Something a charger passes on, and from when on without a break."""

    what: object
    since: datetime


class DriversRights:
    """What each car's driver has said at the door and at the charger."""

    def __init__(self, charger_words: Mapping[str, ChargerWord]) -> None:
        self._words: Mapping[str, Words] = {}
        self._boost: dict[str, _Heard] = {}
        self._intent: dict[str, _Heard] = {}
        for car_id, word in charger_words.items():
            if word.boost_since is not None:
                self._boost[car_id] = _Heard(word.boost, word.boost_since)
            if word.intent_since is not None:
                self._intent[car_id] = _Heard((word.depart_at, word.target_soc), word.intent_since)

    def hear(self, words: Mapping[str, Words]) -> None:
        """Take the drivers' latest words, as they were told at the door."""
        self._words = words

    def observe(self, report: CarReport) -> None:
        """Take a raw report, not older than the one before."""
        pressed = self._boost.get(report.car_id)
        if report.boost != (pressed.what if pressed is not None else False):
            self._boost[report.car_id] = _Heard(report.boost, report.measured_at)
        intent = (report.depart_at, report.target_soc)
        stated = self._intent.get(report.car_id)
        if intent == (None, None):
            self._intent.pop(report.car_id, None)
        elif stated is None or stated.what != intent:
            self._intent[report.car_id] = _Heard(intent, report.measured_at)

    def refusal(self, car_id: str, at: datetime) -> str | None:
        """Return why a car must not be discharged at all (P3); None where it may."""
        switch = self._word(car_id, Topic.V2G)
        if switch is not None and isinstance(switch.saying, V2g) and not switch.saying.on:
            return "discharge of a car whose driver has switched V2G off"
        word, pressed = self._word(car_id, Topic.BOOST), self._boost.get(car_id)
        if word is not None and (pressed is None or pressed.since <= word.told_at):
            boosted = word.saying is not None and (word.until is None or at < word.until)
        else:
            boosted = pressed is not None and pressed.what is True
        return "discharge of a boosted car" if boosted else None

    def floor_kwh(self, car: Car) -> float:
        """Return what must be left: 30%, the car's own floor or its driver's, the highest. [kWh]"""
        word = self._word(car.car_id, Topic.FLOOR)
        own = word.saying.soc if word is not None and isinstance(word.saying, Floor) else 0.0
        return max(LOWEST_FLOOR_SOC, car.floor_soc, own) * car.capacity_kwh

    def needed(self, car: Car, report: CarReport, at: datetime) -> tuple[datetime, float]:
        """Return when the car is next needed, and how full as a fraction."""
        once, stated = self._word(car.car_id, Topic.DEPARTURE), self._intent.get(car.car_id)
        saying = once.saying if once is not None and (once.until is None or at < once.until) else None
        by_default = car.default_intent
        passed_on = stated is not None and (once is None or stated.since > once.told_at)
        if isinstance(saying, Departure) and not passed_on:
            return saying.depart_at, saying.target_soc
        if stated is not None:
            target = report.target_soc if report.target_soc is not None else by_default.target_soc
            return report.depart_at or next_local(report.measured_at, by_default.depart_local), target
        usual = self._word(car.car_id, Topic.WEEK)
        if usual is not None and isinstance(usual.saying, Week):
            return _soonest(usual.saying, by_default, report.measured_at)
        return next_local(report.measured_at, by_default.depart_local), by_default.target_soc

    def _word(self, car_id: str, topic: Topic) -> Word | None:
        return self._words.get(car_id, NO_WORDS).get(topic)


def _soonest(week: Week, by_default: Intent, after: datetime) -> tuple[datetime, float]:
    """Return the first departure of a week, each day's looked for by itself."""
    wanted = dict.fromkeys(range(7), (by_default.depart_local, by_default.target_soc))
    wanted |= {row.day: (row.depart_local, row.target_soc) for row in week.days}
    found = []
    for day, (local, target_soc) in wanted.items():
        instant = next_local(after, local)
        while instant.astimezone(LONDON).weekday() != day and instant < after + A_WEEK:
            instant = next_local(instant, local)
        found.append((instant, target_soc))
    return min(found)
