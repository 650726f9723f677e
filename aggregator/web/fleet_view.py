"""The fleet as rows: what is known of each car now, what its driver wants, and what its home allows.

All of it comes from the running loop's memory, so that a look at 5,000 cars asks no database but for those
shown whose drivers are late; a page holds ``PER_PAGE`` of them. A shortfall is what the loop's last cycle
found; a car's own page works it out anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aggregator.cycles import LONGEST_SILENCE
from aggregator.drivers import answers
from aggregator.drivers.overdue import Overdue
from aggregator.drivers.own_car import OwnCars
from aggregator.gateway import Gateway
from aggregator.model.fleet import ExportSource, Site
from aggregator.model.time import LONDON, utc_text
from aggregator.web.live_view import STATES, state_of
from dispatch.controller import Controller
from dispatch.fleet_view import CarView

PER_PAGE = 100
W_PER_KW = 1000.0
LONGEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class SiteRow:
    """What a home's connection allows.

    Attributes:
        source: ``G98``, ``G99``, ``G100``, or nothing.
        limit_kw: Most that it may export. [kW]
        import_kw: What its fuse carries. [kW]
        bar: Why no car may discharge there now; None where one may.
        approved_from: From when on an approval holds, where that is still to come.
        dark: Its stated dark hours, local; empty where its panels have none.
    """

    source: str
    limit_kw: float
    import_kw: float
    bar: str | None
    approved_from: str
    dark: str


@dataclass(frozen=True, slots=True)
class CarRow:
    """One car.

    Attributes:
        car_id: Which.
        zone: Where its home is.
        state: As on Live, one of ``STATES``.
        link: How its charger is heard: ``connected``, ``silent``, ``not following`` or ``not heard yet``.
        heard_s: How long ago it was heard; None where it never was. [s]
        since: When it was plugged in or went; None where that was before anything was heard.
        soc: State of charge, a fraction; None where it is not known.
        floor_soc: Never discharged below this.
        target_soc: What its driver wants at departure.
        departs_at: When that is, as stated, past where the driver is late; None while it is not plugged in.
        said: Whose word that is: ``departure``, ``week``, ``charger`` or ``default``.
        boosted: Whether its driver has taken it out of all.
        v2g: Whether its driver lets it give energy.
        export_kw: What it moves, by its last word; None where it is silent or away. [kW, export positive]
        short_kwh: What will be missing at departure. [kWh]
        capacity_kwh: Usable. [kWh]
        site: What its home allows.
        overdue: What became of its driver's word where its time is past.
    """

    car_id: str
    zone: str
    state: str
    link: str
    heard_s: float | None
    since: datetime | None
    soc: float | None
    floor_soc: float
    target_soc: float
    departs_at: datetime | None
    said: str
    boosted: bool
    v2g: bool
    export_kw: float | None
    short_kwh: float
    capacity_kwh: float
    site: SiteRow
    overdue: Overdue | None = None

    @property
    def is_plugged(self) -> bool:
        """Whether it is connected, by its last word."""
        return self.state != "away"

    @property
    def target_below_floor(self) -> str | None:
        """What comes of a target below the floor, in words; None of any other."""
        return answers.below_floor(self.target_soc, self.floor_soc)


SHOWN: Mapping[str, tuple[str, Callable[[CarRow], bool]]] = {
    "plugged": ("plugged in", lambda row: row.is_plugged),
    **{name: (name, lambda row, name=name: row.state == name) for name in STATES},  # type: ignore[misc]
    "short": ("short of target", lambda row: row.short_kwh > 0),
    "boosted": ("boosted", lambda row: row.boosted),
    "no-v2g": ("V2G switched off", lambda row: not row.v2g),
    "no-export": ("may not export", lambda row: row.site.bar is not None),
    "not-heard": ("not heard yet", lambda row: row.heard_s is None),
}
"""What the list can be cut down to: a word for it, and whether a car is meant."""

LAST = float("inf")
SORTS: Mapping[str, Callable[[CarRow], Any]] = {
    "car": lambda row: (),
    "zone": lambda row: row.zone,
    "soc": lambda row: row.soc if row.soc is not None else LAST,
    "departs": lambda row: row.departs_at.timestamp() if row.departs_at is not None else LAST,
    "power": lambda row: -row.export_kw if row.export_kw is not None else LAST,
    "short": lambda row: -row.short_kwh,
    "heard": lambda row: -row.heard_s if row.heard_s is not None else -LAST,
}
SORTED_BY = (
    ("", "car"),
    ("zone", "zone"),
    ("soc", "charge, least first"),
    ("departs", "needed, next first"),
    ("short", "will miss, most first"),
    ("power", "power, most given first"),
    ("heard", "link, longest silent first"),
)
"""What a phone offers in place of the table's heads."""

FALLING = ("power", "short", "heard")
"""Those that begin with the largest."""


@dataclass(frozen=True, slots=True)
class FleetChoice:
    """Which cars are shown, in which order."""

    zone: str = ""
    shown: str = ""
    text: str = ""
    sort: str = "car"
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "FleetChoice":
        """Return what a query asks for; what makes no sense is as usual."""
        shown, sort, page = query.get("shown", ""), query.get("sort", ""), query.get("page", "")
        return cls(
            zone=query.get("zone", ""),
            shown=shown if shown in SHOWN else "",
            text=query.get("text", "").strip()[:LONGEST_TEXT],
            sort=sort if sort in SORTS else "car",
            page=int(page) if page.isdecimal() and len(page) < 6 else 1,  # noqa: PLR2004 - digits
        )

    def means(self, row: CarRow) -> bool:
        """Whether a car is meant."""
        text = self.text.casefold()
        return (
            (not self.zone or row.zone == self.zone)
            and (not self.shown or SHOWN[self.shown][1](row))
            and (not text or text in f"{row.car_id} {row.zone} {row.site.source}".casefold())
        )


@dataclass(frozen=True, slots=True)
class FleetPage:
    """A page of the list, and figures of all that is meant.

    Attributes:
        now: Domain instant.
        rows: Those on this page.
        found: How many cars are meant.
        of: How many there are.
        page: Which page, from 1.
        pages: How many, at least 1.
        heard: How many of those meant have been heard of, ever: of the others nothing is known.
        plugged: How many of those meant are plugged in.
        mean_soc: Of those plugged in and known; None without one.
        above_floors_kwh: What these store above their floors, where their homes may export. [kWh]
        may_export: How many are at homes that may export now.
        short: How many will miss their targets.
        boosted: How many are boosted.
    """

    now: datetime
    rows: Sequence[CarRow]
    found: int
    of: int
    page: int
    pages: int
    heard: int
    plugged: int
    mean_soc: float | None
    above_floors_kwh: float
    may_export: int
    short: int
    boosted: int


def fleet_page(
    gateway: Gateway, controller: Controller, cars: OwnCars, choice: FleetChoice, now: datetime
) -> FleetPage:
    """Return the cars that a choice means, a page of them."""
    views = (cars.view(car, now) for car in gateway.fleet.cars)
    every = [_row(view, controller, cars, now) for view in views]
    meant = sorted(filter(choice.means, every), key=SORTS[choice.sort])
    pages = max(1, -(-len(meant) // PER_PAGE))
    page = min(max(1, choice.page), pages)
    known = [row for row in meant if row.is_plugged and row.soc is not None]
    above = [
        max(0.0, (row.soc or 0.0) - row.floor_soc) * row.capacity_kwh
        for row in known
        if row.site.bar is None and row.v2g and not row.boosted
    ]
    return FleetPage(
        now=now,
        rows=[_told(row, gateway, cars, now) for row in meant[(page - 1) * PER_PAGE : page * PER_PAGE]],
        found=len(meant),
        of=len(every),
        page=page,
        pages=pages,
        heard=sum(row.heard_s is not None for row in meant),
        plugged=sum(row.is_plugged for row in meant),
        mean_soc=sum(row.soc or 0.0 for row in known) / len(known) if known else None,
        above_floors_kwh=sum(above),
        may_export=sum(row.site.bar is None for row in meant),
        short=sum(row.short_kwh > 0 for row in meant),
        boosted=sum(row.boosted for row in meant),
    )


def car_row(view: CarView, controller: Controller, cars: OwnCars, now: datetime) -> CarRow:
    """Return what is known of a car now; reads the store where its driver is late."""
    return replace(_row(view, controller, cars, now), overdue=cars.overdue(view, now))


def _told(row: CarRow, gateway: Gateway, cars: OwnCars, now: datetime) -> CarRow:
    """Return a row that tells what became of its driver's word where its time is past."""
    if row.departs_at is None or row.departs_at >= now:
        return row
    return replace(row, overdue=cars.overdue(cars.view(gateway.fleet.by_id[row.car_id], now), now))


def _row(view: CarView, controller: Controller, cars: OwnCars, now: datetime) -> CarRow:
    car, report, wish = view.car, view.report, view.wish
    state = state_of(view, controller, now, cars.stale_after)
    heard = report is not None and state not in ("away", "silent")
    stated = report is not None and (report.depart_at is not None or report.target_soc is not None)
    return CarRow(
        car_id=car.car_id,
        zone=car.site.zone,
        state=state,
        link=_link(view, state, now),
        heard_s=(now - report.measured_at).total_seconds() if report is not None else None,
        since=view.since,
        soc=report.soc if report is not None else None,
        floor_soc=car.floor_soc,
        target_soc=view.target_kwh() / car.capacity_kwh,
        departs_at=view.stated_at(now) if view.is_plugged() else None,
        said=wish.source if wish is not None else "charger" if stated else "default",
        boosted=view.is_boosted(),
        v2g=wish.v2g if wish is not None else True,
        export_kw=report.export_w / W_PER_KW if heard and report is not None else None,
        short_kwh=controller.shortfalls.kwh.get(car.car_id, 0.0),
        capacity_kwh=car.capacity_kwh,
        site=site_row(car.site, now),
    )


def _link(view: CarView, state: str, now: datetime) -> str:
    """Return how well a charger is heard; one without a car may tell so every half-hour only."""
    if view.report is None:
        return "not heard yet"
    if state == "away":
        return "silent" if now - view.report.measured_at > LONGEST_SILENCE else "connected"
    return state if state in ("silent", "not following") else "connected"


def site_row(site: Site, now: datetime) -> SiteRow:
    """Return what a home's connection allows now."""
    later = site.approved_from is not None and site.approved_from > now.astimezone(LONDON).date()
    has_dark_hours = site.solar_kw > 0 and site.dark_from is not None and site.dark_until is not None
    return SiteRow(
        source="" if site.export_source is ExportSource.NONE else site.export_source.value.upper(),
        limit_kw=site.export_limit_kw,
        import_kw=site.import_limit_kw,
        bar=site.bar_to_discharge(now),
        approved_from=f"{site.approved_from:%d %b %Y}" if later else "",
        dark=f"{site.dark_from:%H:%M} to {site.dark_until:%H:%M}" if has_dark_hours else "",
    )


def row_body(row: CarRow) -> dict[str, object]:
    """Return a car as JSON values."""
    return {
        "car_id": row.car_id,
        "zone": row.zone,
        "state": row.state,
        "plugged": row.is_plugged,
        "link": row.link,
        "heard_s": row.heard_s,
        "since": utc_text(row.since) if row.since is not None else None,
        "soc": row.soc,
        "floor_soc": row.floor_soc,
        "target_soc": round(row.target_soc, 4),
        "target_below_floor": row.target_below_floor,
        "departs_at": utc_text(row.departs_at) if row.departs_at is not None else None,
        "departure_said": row.said,
        "departure_overdue": answers.overdue_body(row.overdue),
        "boost": row.boosted,
        "v2g": row.v2g,
        "export_kw": row.export_kw,
        "short_kwh": round(row.short_kwh, 3),
        "site": {
            "export_source": row.site.source.lower() or "none",
            "export_limit_kw": row.site.limit_kw,
            "import_limit_kw": row.site.import_kw,
            "bar_to_discharge": row.site.bar,
            "dark_hours": row.site.dark or None,
        },
    }


def page_body(view: FleetPage) -> dict[str, object]:
    """Return a page of the list as JSON values."""
    return {
        "now": utc_text(view.now),
        "found": view.found,
        "of": view.of,
        "page": view.page,
        "pages": view.pages,
        "heard": view.heard,
        "plugged": view.plugged,
        "mean_soc": None if view.mean_soc is None else round(view.mean_soc, 4),
        "above_floors_kwh": round(view.above_floors_kwh, 3),
        "may_export": view.may_export,
        "short": view.short,
        "boosted": view.boosted,
        "cars": [row_body(row) for row in view.rows],
    }
