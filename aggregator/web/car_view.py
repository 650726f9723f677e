"""One car as data, for the desk's page and its driver's own: now, one night, words, nights that count."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby

from aggregator.drivers.night import LEAST_KW, Row
from aggregator.drivers.own_car import OwnCars
from aggregator.gateway import Gateway
from aggregator.model.drivers import Word, Words
from aggregator.model.figures import kw
from aggregator.model.fleet import Car
from aggregator.model.time import HALF_HOUR, LONDON, Interval, floor_half_hour
from aggregator.store import Alarm
from aggregator.web.fleet_view import CarRow, car_row
from aggregator.web.night_view import CarNight, around_night, car_night
from dispatch.controller import Controller
from dispatch.fleet_view import CarView

BEFORE_NOW = timedelta(hours=2)
LEAST_AHEAD = timedelta(hours=6)
MOST_WORDS = 30
PENCE = 100
ALMOST = 0.9
"""What moves so much of what it was told, or takes so much of what it can, does it."""

FOR_THE_DESK = (
    (re.compile(r"\bbefore you leave\b"), "before it leaves"),
    (re.compile(r"\bas you need it\b"), "as its driver needs it"),
    (re.compile(r"\bwhat you need\b"), "what its driver needs"),
    (re.compile(r"\byour\b"), "its"),
)
_PRICE = re.compile(r", (?:a kWh given earns )?GBP (-?\d+\.\d+)(?: a kWh)?")
"""As ``aggregator/drivers/night.py`` tells prices: each half-hour's is another, the reason is the same."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Half-hours with one reason, as a line of words.

    Attributes:
        span: When.
        does: ``gives``, ``takes`` or ``rests``.
        kwh: What is moved, a magnitude. [kWh AC]
        soc: Charge at its end, a fraction.
        why: In words, prices left out.
        pence: The lowest and the highest price of a kWh that reasons name; None where they name none.
    """

    span: Interval
    does: str
    kwh: float
    soc: float
    why: str
    pence: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class CarPage:
    """One car.

    Attributes:
        now: Domain instant.
        car: As registered.
        view: As its driver wants it now.
        row: What is known of it now.
        short_kwh: What will be missing at departure; None where nothing can be said. [kWh]
        faults: What is wrong, in words.
        plan: Half-hours to come.
        evening: Of the night that is shown.
        night: That night.
        words: What its driver said last, by topic.
        said: All that was said, the newest first.
        month: First day of the running month.
        nights: The evenings of it that count.
        alarms: About it, the newest first.
    """

    now: datetime
    car: Car
    view: CarView
    row: CarRow
    short_kwh: float | None
    faults: Sequence[str]
    plan: Sequence[Row]
    evening: date
    night: CarNight
    words: Words
    said: Sequence[Word]
    month: date
    nights: Sequence[date]
    alarms: Sequence[Alarm]

    @property
    def cycles(self) -> int:
        """How many nights of the month count."""
        return len(self.nights)

    @property
    def does(self) -> str:
        """What it does about its target, by what it is told and what its meter shows, in words."""
        told_kw, metered_kw = -self.view.moving_kw(self.now), self.row.export_kw
        if told_kw < LEAST_KW:
            return (
                "it is not told to charge at the moment"
                if told_kw > -LEAST_KW
                else "it is told to give energy"
            )
        if metered_kw is None:
            return f"it is told to charge with {kw(told_kw)}; what it does is not known"
        if -metered_kw < ALMOST * min(told_kw, self.view.taken_kw(self.now)):
            does = "gives" if metered_kw > LEAST_KW else "takes"
            return f"it is told to charge with {kw(told_kw)} and {does} {kw(abs(metered_kw))}"
        is_full_power = told_kw >= ALMOST * self.view.taken_kw(self.now)
        return "it charges at full power" if is_full_power else f"it charges with {kw(-metered_kw)}"

    @property
    def is_tonight(self) -> bool:
        """Whether the night that is shown is not over."""
        return self.night.span.end > self.now


def car_page(
    gateway: Gateway, controller: Controller, cars: OwnCars, car: Car, evening: date, now: datetime
) -> CarPage:
    """Return one car and one night of it; reads the store: in a thread."""
    view, plan = cars.plan(car, now)
    month = now.astimezone(LONDON).date().replace(day=1)
    told = gateway.store.drivers.of(car.car_id)
    alarms = [one for one in gateway.store.alarms.open() if car.car_id in one.where.split(", ")]
    return CarPage(
        now=now,
        car=car,
        view=view,
        row=car_row(view, controller, cars, now),
        short_kwh=cars.short_kwh(view, now),
        faults=cars.faults(view),
        plan=plan,
        evening=evening,
        night=car_night(gateway, cars, car, around_night(evening), now, plan),
        words=cars.words(car.car_id),
        said=sorted(told, key=lambda one: one.told_at, reverse=True)[:MOST_WORDS],
        month=month,
        nights=cars.counted_nights(car.car_id, month, now),
        alarms=alarms[::-1],
    )


def for_the_desk(page: CarPage) -> CarPage:
    """Return a car's page in the desk's words: reasons are told to drivers, of their own cars."""
    night = page.night
    return replace(
        page,
        faults=[_of_the_car(one) for one in page.faults],
        plan=[replace(row, why=_of_the_car(row.why)) for row in page.plan],
        night=replace(
            night,
            past=[replace(one, why=_of_the_car(one.why)) for one in night.past],
            planned=[replace(row, why=_of_the_car(row.why)) for row in night.planned],
        ),
    )


def _of_the_car(words: str) -> str:
    for drivers, desks in FOR_THE_DESK:
        words = drivers.sub(desks, words)
    return words


def ahead(now: datetime, plan: Sequence[Row]) -> Interval:
    """Return the span of a picture of what is to come, with a little of what has passed."""
    end = max(plan[-1].slot.end if plan else now, now + LEAST_AHEAD)
    return Interval(
        floor_half_hour(now - BEFORE_NOW), floor_half_hour(end - timedelta(seconds=1)) + HALF_HOUR
    )


def stretches(car: Car, plan: Sequence[Row]) -> Iterator[Stretch]:
    """Yield a plan in as few lines as it has reasons."""
    for (does, why), found in groupby(plan, key=lambda row: (_does(row), _PRICE.sub("", row.why))):
        rows = list(found)
        prices = [PENCE * float(one) for row in rows for one in _PRICE.findall(row.why)]
        yield Stretch(
            span=Interval(rows[0].slot.start, rows[-1].slot.end),
            does=does,
            kwh=sum(abs(row.export_kw) * row.slot.hours for row in rows),
            soc=rows[-1].energy_kwh / car.capacity_kwh,
            why=why,
            pence=(min(prices), max(prices)) if prices else None,
        )


def _does(row: Row) -> str:
    if row.export_kw > LEAST_KW:
        return "gives"
    return "takes" if row.export_kw < -LEAST_KW else "rests"
