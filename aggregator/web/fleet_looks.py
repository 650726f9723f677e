"""The desk's pages of the fleet and of one car, and the same as JSON."""

import asyncio
from datetime import date, datetime
from functools import partial
from urllib.parse import urlencode

from aiohttp import web

from aggregator.cycles import CREDIT_GBP, NIGHTS_PER_CREDIT
from aggregator.drivers import answers
from aggregator.drivers.own_car import OwnCars
from aggregator.drivers.problems import Refused
from aggregator.model.drivers import Topic
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Car
from aggregator.model.time import LONDON, utc_text
from aggregator.web.answers import as_json
from aggregator.web.car_view import CarPage, car_page, for_the_desk
from aggregator.web.fleet_view import (
    SHOWN,
    SORTED_BY,
    FleetChoice,
    FleetPage,
    fleet_page,
    page_body,
    row_body,
)
from aggregator.web.frame import Frame
from aggregator.web.night_view import CarNight, evening_of
from aggregator.web.people import Person
from aggregator.web.routes import Answer

OLDEST = date(2000, 1, 1)
EVERY_S = 30
"""Charge and power change with every report: these pages are made anew so often in a browser."""


class FleetLooks:
    """Answers who looks at cars.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._cars = OwnCars(frame.gateway, frame.controller)

    def answers(self) -> dict[str, Answer]:
        """Return what answers each look of ``aggregator/web/routes.py``, by name."""
        return {
            "fleet": self._fleet,
            "car": self._car,
            "fleet_json": self._fleet_json,
            "car_json": self._car_json,
        }

    async def _fleet(self, request: web.Request, person: Person) -> web.Response:
        choice = FleetChoice.of(request.query)

        def made() -> web.Response:
            stamped = self._frame.stamp()
            return self._frame.page(
                "fleet",
                person,
                request,
                stamp=stamped,
                every_s=EVERY_S,
                view=self._page(choice),
                choice=choice,
                zones=self._frame.ground.zones,
                shown=SHOWN,
                sorts=SORTED_BY,
                link=partial(link_to, choice),
            )

        return await asyncio.to_thread(made)

    async def _car(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped = self._frame.stamp()
            view = self._one(request)
            return self._frame.page(
                "car",
                person,
                request,
                stamp=stamped,
                every_s=EVERY_S,
                page="fleet",
                view=view,
                needed=NIGHTS_PER_CREDIT,
                credit_gbp=CREDIT_GBP,
            )

        return await asyncio.to_thread(made)

    async def _fleet_json(self, request: web.Request, _: Person) -> web.Response:
        choice = FleetChoice.of(request.query)
        return as_json(page_body(await asyncio.to_thread(self._page, choice)))

    async def _car_json(self, request: web.Request, _: Person) -> web.Response:
        view = await asyncio.to_thread(self._one, request)
        bids = [one.bid for one in view.night.events]
        return as_json({**car_body(view, self._cars), "bids": bids})

    def _page(self, choice: FleetChoice) -> FleetPage:
        gateway = self._frame.gateway
        return fleet_page(gateway, self._frame.controller, self._cars, choice, gateway.clock.now())

    def _one(self, request: web.Request) -> CarPage:
        car, now = self._known(request.match_info["car"]), self._frame.gateway.clock.now()
        evening = evening_asked(request, now)
        found = car_page(self._frame.gateway, self._frame.controller, self._cars, car, evening, now)
        return for_the_desk(found)

    def _known(self, name: str) -> Car:
        car = self._frame.gateway.fleet.by_id.get(name)
        if car is None:
            raise Refused(404, "no car of that id is in the fleet")
        return car


def evening_asked(request: web.Request, now: datetime) -> date:
    """Return the evening of the night that is asked for; of the night around now where none is.

    Raises:
        BadMessage: If it is no day until today.
    """
    text, today = request.query.get("night"), now.astimezone(LONDON).date()
    if text is None:
        return evening_of(now)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not OLDEST <= found <= today:
        allowed = f"the day of its evening, until {today}, such as {today}"
        raise BadMessage(Fault("query: night", text, allowed))
    return found


def link_to(choice: FleetChoice, **changes: str) -> str:
    """Return the path of the list of cars with some of a choice changed; other cars begin on page 1."""
    query = {
        "zone": choice.zone,
        "shown": choice.shown,
        "text": choice.text,
        "sort": choice.sort if choice.sort != "car" else "",
        **changes,
    }
    kept = urlencode({name: value for name, value in query.items() if value})
    return f"/fleet?{kept}" if kept else "/fleet"


def car_body(view: CarPage, cars: OwnCars) -> dict[str, object]:
    """Return one car and one night of it as JSON values, with nothing of the desk's in it."""
    miles, now = cars.miles_per_kwh, view.now
    return {
        **row_body(view.row),
        "now": utc_text(now),
        "faults": list(view.faults),
        "shortfall": answers.shortfall_body(view.view, view.short_kwh, miles, now),
        "cycles": answers.cycles_body(view.car.car_id, view.month, view.nights),
        "words": [answers.word_body(topic, view.words.get(topic), view.view, miles, now) for topic in Topic],
        "plan": answers.plan_body(view.view, view.plan, now)["half_hours"],
        "night": night_body(view.night),
    }


def night_body(night: CarNight) -> dict[str, object]:
    """Return a night as JSON values."""
    return {
        "from": utc_text(night.span.start),
        "until": utc_text(night.span.end),
        "took_kwh": round(night.took_kwh, 3),
        "gave_kwh": round(night.gave_kwh, 3),
        "lowest_soc": night.lowest_soc,
        "needed": None if night.need is None else {"at": utc_text(night.need.at), "soc": night.need.soc},
        "floors": [{"from": utc_text(at), "soc": soc} for at, soc in night.floors],
        "plugged": [{"from": utc_text(one.start), "until": utc_text(one.end)} for one in night.stays],
        "not_known": [{"from": utc_text(one.start), "until": utc_text(one.end)} for one in night.unknown],
        "events": [
            {
                "from": utc_text(one.window.start),
                "until": utc_text(one.window.end),
                "served": one.served,
                "ended_at": utc_text(one.ended_at) if one.ended_at is not None else None,
                "ran": [
                    {"from": utc_text(level.span.start), "until": utc_text(level.span.end), "kw": level.kw}
                    for level in one.ran
                ],
            }
            for one in night.events
        ],
        "half_hours": [
            {
                "from": utc_text(one.slot.start),
                "until": utc_text(one.slot.end),
                "took_wh": one.took_wh,
                "gave_wh": one.gave_wh,
                "soc_at_end": one.soc,
                "why": one.why,
            }
            for one in night.past
        ],
    }
