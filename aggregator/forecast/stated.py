"""What drivers said before a day: it overrides what they usually do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time

from aggregator.forecast.days import Horizon
from aggregator.forecast.draw import StatedIntent
from aggregator.model.drivers import (
    NO_WORDS,
    SILENT,
    Topic,
    Week,
    Words,
    as_wished,
    intent_on,
    said,
    wish_of,
)
from aggregator.model.fleet import Car
from aggregator.model.time import shown_on

NOON = time(12)


def as_stated(
    cars: Sequence[Car], words: Mapping[str, Words], day: date, known_at: datetime
) -> tuple[tuple[Car, ...], dict[str, StatedIntent]]:
    """Return the cars as their drivers want them on a day from noon to noon, and the departures they stated.

    A car with V2G off, or boosted over the day's beginning, gives nothing. A usual week is what its driver
    needs by default on the morning that ends the day, and a stated departure on the day's own afternoon.

    Args:
        cars: As registered.
        words: The latest of each driver, told by ``known_at``.
        day: The local day whose noon begins it.
        known_at: The instant of the forecast.
    """
    found = tuple(_car(car, words.get(car.car_id, NO_WORDS), day, known_at) for car in cars)
    intents = {
        car.car_id: intent
        for car in cars
        if (intent := _intent(car, words.get(car.car_id, NO_WORDS), day, known_at)) is not None
    }
    return found, intents


def _car(car: Car, words: Words, day: date, known_at: datetime) -> Car:
    if not words:
        return car
    wish = wish_of(words, SILENT, car.default_intent, known_at)
    boosted = said(words, Topic.BOOST, max(known_at, Horizon(day).interval.start)) is not None
    car = as_wished(car, replace(wish, v2g=wish.v2g and not boosted))
    week = said(words, Topic.WEEK, known_at)
    if not isinstance(week, Week):
        return car
    morning = date.fromordinal(day.toordinal() + 1)
    return replace(car, default_intent=intent_on(week, car.default_intent, morning.weekday()))


def _intent(car: Car, words: Words, day: date, known_at: datetime) -> StatedIntent | None:
    wish = wish_of(words, SILENT, car.default_intent, known_at)
    if wish.source == Topic.DEPARTURE and wish.depart_at is not None and wish.target_soc is not None:
        return StatedIntent(wish.depart_at, wish.target_soc)
    week = said(words, Topic.WEEK, known_at)
    if not isinstance(week, Week):
        return None
    usual = intent_on(week, car.default_intent, day.weekday())
    if usual.depart_local <= NOON:
        return None
    return StatedIntent(shown_on(day, usual.depart_local)[0], usual.target_soc)
