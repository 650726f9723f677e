"""What every page has around it, and what all of them look at: how things stand now, and a stamp of it.

A page carries the stamp of what it showed; the stream tells the newest one, and a page that is no longer true
is made anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from aiohttp import web

from aggregator.acting import DONE, extent
from aggregator.gateway import Gateway
from aggregator.model.time import utc_text
from aggregator.store import Alarm, DeskAction
from aggregator.web.actions import Ground
from aggregator.web.ahead import Ahead
from aggregator.web.alarms_view import OF_BIDS, Place
from aggregator.web.assets import Assets
from aggregator.web.live_view import LiveView, ZoneNow, live_view, remembered
from aggregator.web.making import Making
from aggregator.web.pages import Pages
from aggregator.web.people import Person
from aggregator.web.stream import stamp
from aggregator.web.typed import NOTHING_TYPED, TYPED
from aggregator.web.words import half_hour_text, plain_span
from aggregator.web.workshop import Workshop
from dispatch.controller import Controller

MANY_KEPT = 20
"""Most outcomes told of one form."""

WAIT_FOR_MORE = ("check", "amend", "stop", "restart")
"""What is confirmed of these holds until somebody does the next thing."""


class Frame:
    """Makes pages, and tells how things stand.

    Args:
        gateway: Whose desk.
        controller: Its control loop.
        assets: Style and scripts.
    """

    def __init__(self, gateway: Gateway, controller: Controller, assets: Assets) -> None:
        self.gateway, self.controller = gateway, controller
        self.workshop = Workshop(gateway.clock.now)
        self.making = Making(gateway, self.workshop)
        self.ground = Ground(gateway.workflow, gateway.settings.fleet.zones, self.making)
        self._pages = Pages(assets)
        self._alarms: tuple[Alarm, ...] = ()

    def page(
        self, name: str, person: Person | None = None, request: web.Request | None = None, **values: object
    ) -> web.Response:
        """Return a page; what came of the forms that led to it is told above."""
        flashes = self._flashes(request, person) if request is not None and person is not None else []
        text = self._pages.render(
            name,
            **{
                "person": person,
                "flashes": flashes,
                "called": self._called(flashes),
                "page": name,
                "now": self.gateway.clock.now(),
                "typed": request.get(TYPED, NOTHING_TYPED) if request is not None else NOTHING_TYPED,
                **values,
            },
        )
        response = web.Response(text=text, content_type="text/html")
        response.enable_compression()
        return response

    def now(self) -> LiveView:
        """Return how things stand."""
        return live_view(self.gateway, self.controller)

    def picture(self) -> Mapping[str, object]:
        """Return the live picture; its ``stamp`` is that of pages that are still true."""
        view = self.now()
        self._alarms = view.alarms
        return {**_picture(view), "stamp": self._stamp_of(view)}

    def picture_without_store(self) -> Mapping[str, object]:
        """Return the live picture as the loop knows it, with the alarms that were open last, and no stamp."""
        known = remembered(self.gateway, self._alarms)
        return _picture(live_view(self.gateway, self.controller, known))

    def stamp(self) -> str:
        """Return the stamp of now; taken before all that a page shows, the page is never newer than it."""
        return self._stamp_of(self.now())

    def _stamp_of(self, view: LiveView) -> str:
        """Return what changes whenever a page shows something else, but for what is shown each second."""
        return stamp(
            self.gateway.store.journal.length(),
            [(alarm.alarm_id, alarm.over_at) for alarm in view.alarms],
            view.halts,
            [(zone.zone, zone.stopped, zone.serving, zone.until, zone.bids) for zone in view.zones],
            [car.car_id for car in view.silent],
        )

    def places(self, alarms: Iterable[Alarm]) -> dict[str, Place]:
        """Return the bids that alarms are about, by what the alarms call them."""
        told = {}
        for where in {one.where for one in alarms if one.code in OF_BIDS}:
            for name in (where, where.rpartition(":")[0]):  # a report's name is its bid's and a version
                one = self.ground.store.journal.opportunity(name)
                if one.version > 0:
                    told[where] = Place(f"{one.zone} {plain_span(one.window)}", name)
                    break
        return told

    def _called(self, deeds: Sequence[DeskAction]) -> dict[str, str]:
        """Return what people call the bids that deeds are about, by their ids."""
        found = (self.ground.store.journal.opportunity(one.subject) for one in deeds)
        return {
            one.opportunity_id: f"{one.zone}, {plain_span(one.window)}" for one in found if one.version > 0
        }

    def _flashes(self, request: web.Request, person: Person) -> list[DeskAction]:
        """Return what came of the forms that led here: the person's own, by their numbers."""
        numbers = [int(text) for text in request.query.get("did", "").split("-") if text.isdecimal()]
        found = self.ground.store.desk_trail.of_user(person.name, numbers[:MANY_KEPT])
        return [one for one in found if one.action != "sign-in" and not self._is_past(one)]

    def _is_past(self, one: DeskAction) -> bool:
        """Whether its thing has changed since a refusal, or since what waits for more was confirmed."""
        if one.status == DONE and one.action not in WAIT_FOR_MORE:
            return False
        store = self.ground.store
        if one.action in ("stop", "restart"):
            moved = [halt for halt in store.halts.all() if extent(halt) == one.subject]
            times = [at for halt in moved for at in (halt.at, halt.first_restart_at, halt.restarted_at) if at]
            later = [row for row in store.desk_trail.about(one.subject) if row.action_id > one.action_id]
            return any(at > one.at for at in times) or any(
                row.status == DONE and "restart" in (row.action, one.action) for row in later
            )
        return any(recorded.recorded_at > one.at for recorded in store.journal.facts(one.subject))


def _picture(view: LiveView) -> dict[str, object]:
    return {
        "now": utc_text(view.now),
        "fleet_kw": view.fleet_kw,
        "states": dict(view.states),
        "cycle_age_s": view.cycle_age_s,
        "alarms": len(view.alarms),
        "silent": [asdict(car) for car in view.silent],
        "half_hour": half_hour_text(view.half_hour),
        "zones": [_zone_row(zone) for zone in view.zones],
    }


def _zone_row(zone: ZoneNow) -> dict[str, object]:
    return {
        "zone": zone.zone,
        "target_kw": zone.target_kw,
        "nominated_kw": zone.nominated_kw,
        "metered_kw": zone.metered_kw,
        "ordered_kw": zone.ordered_kw,
        "beyond_kw": zone.beyond_kw,
        "missing_kw": zone.missing_kw,
        "serving": zone.serving,
        "until": utc_text(zone.until) if zone.until else None,
        "stopped": zone.stopped,
        "cars": zone.cars,
        "ahead": [_ahead_row(one.bid, level) for one in zone.bids for level in one.ahead],
    }


def _ahead_row(bid: str, level: Ahead) -> dict[str, object]:
    return {
        "bid": bid,
        "start": utc_text(level.start),
        "ordered": level.value,
        "before": level.before,
        "unit": level.unit,
        "amended_at": utc_text(level.amended_at) if level.amended_at else None,
        "was": level.was,
    }
