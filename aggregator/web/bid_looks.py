"""The pages of bids and of what happens now, and the same as JSON."""

import asyncio

from aiohttp import web

from aggregator import acting
from aggregator.bid_text import by_gate, summary, whole
from aggregator.files.inputs import validate
from aggregator.model.errors import BadMessage
from aggregator.web.answers import as_json
from aggregator.web.bid_view import bid_view
from aggregator.web.bids_view import SORTED_BY, Choice, bid_rows
from aggregator.web.bodies import Amendment, of_form
from aggregator.web.effect import Effect, effect_of
from aggregator.web.evening import Evenings
from aggregator.web.fan import Fans
from aggregator.web.frame import Frame
from aggregator.web.pages import link_to
from aggregator.web.people import Person
from aggregator.web.routes import Answer
from aggregator.web.stream import stamp
from aggregator.web.today_view import today_view

WAITS_S = 2
"""Wall seconds after which Today is made anew while the next evening is being worked out."""


class BidLooks:
    """Answers who looks at bids, or at now.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._fans = Fans(frame.gateway)
        self._evenings = Evenings(frame.gateway, self._fans)

    def answers(self) -> dict[str, Answer]:
        """Return what answers each look of ``aggregator/web/routes.py``, by name."""
        return {
            "today": self._today,
            "bids": self._bids,
            "bid": self._bid,
            "live": self._live,
            "bids_json": self._bids_json,
            "bid_json": self._bid_json,
            "fan_json": self._fan_json,
            "live_json": self._live_json,
        }

    async def _today(self, request: web.Request, person: Person) -> web.Response:
        evening = self._evenings.next()

        def made() -> web.Response:
            stamped = self._frame.stamp()
            view, live = today_view(self._frame.gateway.workflow, person.name), self._frame.now()
            return self._frame.page(
                "today",
                person,
                request,
                stamp=stamped,
                view=view,
                live=live,
                places=self._frame.places(live.alarms),
                evening=evening,
                every_s=WAITS_S if evening is None else 0,
            )

        return await asyncio.to_thread(made)

    async def _bids(self, request: web.Request, person: Person) -> web.Response:
        choice = Choice.of(request.query)

        def made() -> web.Response:
            stamped = self._frame.stamp()
            rows = bid_rows(self._frame.gateway.workflow, person.name, choice)
            return self._frame.page(
                "bids",
                person,
                request,
                stamp=stamped,
                rows=rows,
                choice=choice,
                zones=self._frame.ground.zones,
                products=sorted(self._frame.gateway.settings.products),
                sorts=SORTED_BY,
                link=lambda **changes: link_to(choice, **changes),
            )

        return await asyncio.to_thread(made)

    async def _bid(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped = self._frame.stamp()
            flow, one = self._frame.gateway.workflow, self._frame.ground.bid(request.match_info["bid"])
            view = bid_view(flow, one, person.name)
            return self._frame.page(
                "bid",
                person,
                request,
                stamp=stamped,
                shows=stamp(view.row.digest, view.slots),
                own=stamp(one.version, view.row.gate_open, sorted(view.may.items())),
                page="bids",
                view=view,
                effect=self._effect(request, person, view.row.digest),
            )

        return await asyncio.to_thread(made)

    async def _live(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped, live = self._frame.stamp(), self._frame.now()
            return self._frame.page(
                "live",
                person,
                request,
                stamp=stamped,
                live=live,
                places=self._frame.places(live.alarms),
                zones=self._frame.ground.zones,
                may_restart=self._frame.gateway.workflow.desk.may(person.name, *acting.RESTART),
            )

        return await asyncio.to_thread(made)

    async def _bids_json(self, request: web.Request, person: Person) -> web.Response:
        choice = Choice.of(request.query)

        def made() -> web.Response:
            flow = self._frame.gateway.workflow
            wanted = {row.bid for row in bid_rows(flow, person.name, choice)}
            every = flow.store.journal.find() if choice.shown == "all" else flow.open()
            found = [one for one in every if one.opportunity_id in wanted]
            return as_json({"bids": [summary(one, flow) for one in by_gate(found, flow)]})

        return await asyncio.to_thread(made)

    async def _bid_json(self, request: web.Request, _: Person) -> web.Response:
        def made() -> web.Response:
            return as_json(
                whole(self._frame.ground.bid(request.match_info["bid"]), self._frame.gateway.workflow)
            )

        return await asyncio.to_thread(made)

    async def _fan_json(self, request: web.Request, _: Person) -> web.Response:
        def made() -> web.Response:
            return as_json(self._fans.fan(self._frame.ground.bid(request.match_info["bid"])))

        return await asyncio.to_thread(made)

    async def _live_json(self, _request: web.Request, _: Person) -> web.Response:
        return as_json(await asyncio.to_thread(self._frame.picture))

    def _effect(self, request: web.Request, person: Person, digest: str) -> Effect | None:
        """Return what an amendment that the page was asked with would do; None where it was not."""
        asked = {"kw": request.query.get("kw", ""), "gbp_per_mwh": request.query.get("price", "")}
        if "kw" not in request.query or not digest:
            return None
        if not any(map(str.strip, asked.values())):
            return Effect(None, None, "state another level or price")
        try:
            body = validate(Amendment, of_form([("draft", digest), *asked.items()]), "amendment")
        except BadMessage as bad:
            fault = bad.faults[0]
            return Effect(None, None, f"{fault.value} is not {fault.allowed}")
        one = self._frame.ground.bid(request.match_info["bid"])
        return effect_of(self._frame.gateway.workflow, one, person.name, body.kw, body.gbp_per_mwh)
