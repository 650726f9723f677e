"""A driver's own page: how the car is, tonight's plan, last night, the month's nights; what is said there.

What a form says goes the way of the drivers' door (``aggregator/drivers/own_car.py``): the same rules, stored
before it is answered, told to the control loop at once. A wrong input comes back with what was typed and what
is allowed beside it; what was heard is confirmed once, on the page that the form leads to. Which car it is
says the session's token alone: no path names one.
"""

import asyncio
from datetime import datetime

from aiohttp import web

from aggregator.cycles import CREDIT_GBP, NIGHTS_PER_CREDIT
from aggregator.drivers.answers import below_floor
from aggregator.drivers.bodies import FARTHEST
from aggregator.drivers.limits import Buckets
from aggregator.drivers.own_car import TAKEN_BACK, OwnCars
from aggregator.drivers.problems import Refused
from aggregator.model.drivers import DAYS, Topic, Week, WeekDay, Word
from aggregator.model.errors import BadMessage
from aggregator.model.figures import figure, is_of_percent, percent_of
from aggregator.model.fleet import Car
from aggregator.web.answers import as_json, see
from aggregator.web.car_view import CarPage, ahead, car_page, stretches
from aggregator.web.driver_forms import (
    BOOSTS,
    FIELDS,
    MILES,
    PERCENT,
    UNITS,
    field_of,
    read_form,
    unknown_fields,
)
from aggregator.web.fleet_looks import car_body
from aggregator.web.frame import Frame
from aggregator.web.night_view import CarNight, car_night, last_evening
from aggregator.web.people import CSRF_FIELD, Person, must_be_meant
from aggregator.web.routes import Answer
from aggregator.web.typed import NOTHING_TYPED, Typed

LONGEST_FIELD = 100
PAGE = "/my-car"
HEARD, HEARD_S = "heard", 60
"""The cookie that tells the next page which topic was heard, and how long it may wait for that page."""

DAY_NAMES = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}


class DriverLooks:
    """Answers a driver.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame, self._gateway = frame, frame.gateway
        self._cars = OwnCars(frame.gateway, frame.controller)
        self._by_driver = Buckets(frame.gateway.settings.drivers.requests_per_minute)

    def answers(self) -> dict[str, Answer]:
        """Return what answers each look and form of ``aggregator/web/routes.py``, by name."""
        return {
            "my_car": self._my_car,
            "my_car_json": self._my_car_json,
            "say": self._say,
            "take_back": self._take_back,
        }

    async def _my_car(self, request: web.Request, person: Person) -> web.Response:
        self._must_wait(person.name)
        page = await asyncio.to_thread(self._page, request, person, NOTHING_TYPED)
        if HEARD in request.cookies:
            page.del_cookie(HEARD, path=PAGE)
        return page

    async def _my_car_json(self, _: web.Request, person: Person) -> web.Response:
        self._must_wait(person.name)
        now = self._gateway.clock.now()
        return as_json(car_body(await asyncio.to_thread(self._view, person, now), self._cars))

    async def _say(self, request: web.Request, person: Person) -> web.Response:
        topic, fields = await self._asked(request, person)
        if unknown := unknown_fields(FIELDS[topic], fields):
            return await self._back(request, person, Typed(topic, fields, unknown))
        try:
            body = read_form(topic, fields, self._gateway.clock.now())
            await self._cars.put(self._car(person), topic, body, person.token_id or "")
        except BadMessage as bad:
            faults = {field_of(topic, one.where, fields): one for one in bad.faults}
            return await self._back(request, person, Typed(topic, fields, faults))
        return _heard(request, topic)

    async def _take_back(self, request: web.Request, person: Person) -> web.Response:
        topic, fields = await self._asked(request, person)
        if topic not in TAKEN_BACK:
            raise web.HTTPNotFound
        if unknown := unknown_fields((), fields):
            return await self._back(request, person, Typed(topic, {}, unknown))
        await self._cars.take_back(self._car(person), topic, person.token_id or "")
        return _heard(request, topic)

    async def _back(self, request: web.Request, person: Person, typed: Typed) -> web.Response:
        """Answer a form that came to nothing with its page, and what is wrong in it."""
        page = await asyncio.to_thread(self._page, request, person, typed)
        page.set_status(422)
        return page

    async def _asked(self, request: web.Request, person: Person) -> tuple[Topic, dict[str, str]]:
        """Return what a form is about, and its fields as typed."""
        form = await request.post()
        must_be_meant(request, person, form.get(CSRF_FIELD))
        self._must_wait(f"{person.name} says")  # who only looks too often can still boost at once (P3)
        try:
            topic = Topic(request.match_info["topic"])
        except ValueError:
            raise web.HTTPNotFound from None
        return topic, {
            name: value[:LONGEST_FIELD] if isinstance(value, str) else "a file"
            for name, value in form.items()
            if name != CSRF_FIELD
        }

    def _must_wait(self, key: str) -> None:
        if wait_s := self._by_driver.wait_s(key):
            raise Refused(429, f"too many requests: wait {wait_s} s", headers={"Retry-After": str(wait_s)})

    def _car(self, person: Person) -> Car:
        car = self._gateway.fleet.by_id.get(person.name)
        if car is None:
            raise Refused(404, "your car is not in the fleet that is served now: ask whoever runs it")
        return car

    def _view(self, person: Person, now: datetime) -> CarPage:
        car, controller = self._car(person), self._frame.controller
        return car_page(self._gateway, controller, self._cars, car, last_evening(now), now)

    def _page(self, request: web.Request, person: Person, typed: Typed) -> web.Response:
        now = self._gateway.clock.now()
        view = self._view(person, now)
        said = request.cookies.get(HEARD, "") if typed.topic is None else ""
        week = _usual_week(view.words.get(Topic.WEEK), now)
        week_unit = _unit_said(*(row.target_soc for row in week))
        return self._frame.page(
            "my_car",
            person,
            view=view,
            ahead=self._ahead(view),
            lines=list(stretches(view.view.car, view.plan)),
            typed=typed,
            said=said if said in set(Topic) else "",
            boost=self._cars.word(view.car.car_id, Topic.BOOST),
            days=DAY_NAMES,
            week={
                DAYS[row.day]: (
                    f"{row.depart_local:%H:%M}",
                    self._amount(view.car, row.target_soc, week_unit),
                )
                for row in week
            },
            week_unit=week_unit,
            unit_said=_unit_said,
            amount=self._amount,
            low_days=[
                DAY_NAMES[DAYS[row.day]]
                for row in week
                if below_floor(row.target_soc, view.view.car.floor_soc)
            ],
            units=UNITS,
            boosts=BOOSTS,
            needed=NIGHTS_PER_CREDIT,
            credit_gbp=CREDIT_GBP,
            miles_per_kwh=self._cars.miles_per_kwh,
            farthest=FARTHEST,
        )

    def _amount(self, car: Car, soc: float, unit: str) -> str:
        """Return a share as a form takes it in a unit."""
        return (
            figure(soc * car.capacity_kwh * self._cars.miles_per_kwh, 1) if unit == MILES else percent_of(soc)
        )

    def _ahead(self, view: CarPage) -> CarNight | None:
        """Return what is to come for a picture; None where nothing is planned."""
        if not view.plan:
            return None
        span = ahead(view.now, view.plan)
        return car_night(self._gateway, self._cars, view.car, span, view.now, view.plan)


def _heard(request: web.Request, topic: Topic) -> web.Response:
    """Send the browser to the page, which confirms it once."""
    to = see(PAGE)
    to.set_cookie(
        HEARD,
        topic.value,
        path=PAGE,
        max_age=HEARD_S,
        httponly=True,
        samesite="Lax",
        secure=request.secure,
    )
    return to


def _unit_said(*socs: float) -> str:
    """Return in which unit some shares were said, as far as they show it: they are kept as shares."""
    return PERCENT if all(map(is_of_percent, socs)) else MILES


def _usual_week(word: Word | None, now: datetime) -> tuple[WeekDay, ...]:
    """Return the days that a driver's usual week names, while it holds."""
    holds = word is not None and word.holds(now)
    return word.saying.days if holds and word and isinstance(word.saying, Week) else ()
