"""What each home's cars may give and draw now (P4): by a fresh boundary meter, or else cautiously.

What a home does beside its cars is what its boundary meter shows less what its chargers show at the same
instant. It counts until the reading is stale: then, at once, the house counts as drawing nothing and the
panels as giving all they can. What one car draws makes no room for another's export, nor the other way
round: a car may stop at any moment, and its neighbour's set-point would stand. Nor do panels make room for
charging: there are clouds.

A charger that stands idle with a car plugged in draws a few watts of the fuse, too, whatever it was told:
those of all cars but the one that draws are left to them.

A kettle may be done before the next reading: so a house's load, as it is measured, makes room for more export
than is approved only where a G100 scheme of the home's own acts at its boundary meanwhile. Rooms are looked
at with each report, and a home above its own is told at once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.fleet import WATT_DIGITS, Car, Fleet, Site
from aggregator.model.metering import Boundary, CarReport, Purpose, SetPoint
from aggregator.model.time import Interval
from dispatch.fleet_view import IDLE_W
from dispatch.haste import Haste, shares_kw

W_PER_KW = 1000.0
RANKS = (
    {Purpose.BOOST},
    {Purpose.MUST_CHARGE},
    set(Purpose) - {Purpose.BOOST, Purpose.MUST_CHARGE},
)
"""Who draws before whom."""

AFTER = timedelta(seconds=1)
BORNE_W = 100.0
"""By so much may a fuse be exceeded until the next cycle: houses never draw quite the same."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a home's cars together may do now. [kW, at least 0]

    Attributes:
        export_kw: Most that they may give.
        import_kw: Most that they may draw.
        house_kw: What the house draws beyond what its panels give, as measured; None where that is not known.
    """

    export_kw: float
    import_kw: float
    house_kw: float | None = None


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a home gave beside its cars at an instant. [kW, export positive]"""

    at: datetime
    beside_kw: float


class HomeRooms:
    """Keeps what is known of every home's boundary.

    Args:
        fleet: The cars and their homes.
        stale_after: A reading counts until it is so old.
        holds: What is said of a room holds for so long: no set-point that discharges lasts longer.
    """

    def __init__(self, fleet: Fleet, stale_after: timedelta, holds: timedelta) -> None:
        self._stale_after, self._holds = stale_after, holds
        self._cars = fleet.by_id
        self._at_home: dict[str, list[str]] = defaultdict(list)
        for car in fleet.cars:
            self._at_home[car.site.site_id].append(car.car_id)
        self._reports: dict[str, CarReport] = {}
        self._measured: dict[str, _Measured] = {}

    def observe(self, reports: Iterable[CarReport]) -> frozenset[str]:
        """Take reports in; return the homes of which something new was measured at the boundary."""
        found: set[str] = set()
        for report in reports:
            car, before = self._cars.get(report.car_id), self._reports.get(report.car_id)
            if car is None or (before is not None and before.measured_at > report.measured_at):
                continue
            self._reports[report.car_id] = report
            if report.boundary is not None and car.site.boundary_meter:
                found |= self._measure(car.site.site_id, report, report.boundary)
        return frozenset(found)

    def room(self, site: Site, now: datetime) -> Room:
        """Return what the cars of a home may do from ``now`` on."""
        measured, idle_kw = self._measured.get(site.site_id), self._idle_kw(site)
        if measured is None or now - measured.at > self._stale_after:
            room = cautious_room(site, Interval(now, now + self._holds + AFTER))
            return replace(room, import_kw=max(0.0, room.import_kw - idle_kw))
        house_kw = max(0.0, -measured.beside_kw)
        beside_kw = measured.beside_kw if site.is_limited_by_itself else max(0.0, measured.beside_kw)
        export_kw = site.export_limit_kw - beside_kw if site.may_discharge(now) else 0.0
        import_kw = site.import_limit_kw - house_kw - idle_kw
        return Room(max(0.0, export_kw), max(0.0, import_kw), house_kw)

    def exceeded(self, homes: Collection[str], standing: Iterable[SetPoint], now: datetime) -> bool:
        """Return whether any of these homes has no room for what its cars were told to give or draw."""
        given_w, drawn_w = dict.fromkeys(homes, 0), dict.fromkeys(homes, 0)
        for point in standing:
            site_id = self._cars[point.car_id].site.site_id
            if site_id in given_w:
                given_w[site_id] += max(0, point.export_w)
                drawn_w[site_id] += max(0, -point.export_w)
        rooms = {name: self.room(self._cars[self._at_home[name][0]].site, now) for name in homes}
        return any(
            given_w[name] > room.export_kw * W_PER_KW or drawn_w[name] > room.import_kw * W_PER_KW + BORNE_W
            for name, room in rooms.items()
        )

    def stale_at(self, now: datetime) -> list[datetime]:
        """Return when the readings that count now will be stale, so that the cautious rule holds at once."""
        ends = (measured.at + self._stale_after + AFTER for measured in self._measured.values())
        return [end for end in ends if end > now]

    def _idle_kw(self, site: Site) -> float:
        """Return what a home's idle chargers draw, but for one where none is at work: it may be next. [kW]"""
        known = [self._reports.get(car_id) for car_id in self._at_home[site.site_id]]
        drawn_w = [-one.export_w for one in known if one is not None and one.plugged]
        idle_w = [watts for watts in drawn_w if 0 < watts < IDLE_W]
        beside_w = sum(idle_w) if len(idle_w) < len(drawn_w) else sum(sorted(idle_w)[:-1])
        return beside_w / W_PER_KW

    def _measure(self, site_id: str, report: CarReport, boundary: Boundary) -> set[str]:
        """Note what a home gives beside its cars, if all that are plugged in were heard at that instant.

        Returns:
            The home, if it was noted.
        """
        known = [self._reports.get(car_id) for car_id in self._at_home[site_id]]
        cars = [one for one in known if one is not None]
        heard = [one.measured_at == report.measured_at for one in cars if one.plugged]
        if len(cars) < len(known) or not all(heard):
            return set()
        given_w = sum(one.export_w for one in cars if one.measured_at == report.measured_at)
        fuse_kw = self._cars[report.car_id].site.import_limit_kw
        beside_kw = (boundary.export_w - given_w) / W_PER_KW
        self._measured[site_id] = _Measured(report.measured_at, max(beside_kw, -fuse_kw))
        return {site_id}


def cautious_room(site: Site, span: Interval) -> Room:
    """Return what the cars of a home may do all through ``span`` where nothing is measured."""
    return Room(site.least_export_room_kw(span), site.import_limit_kw)


def within_rooms(
    points: Sequence[SetPoint],
    standing: Iterable[SetPoint],
    cars: Mapping[str, Car],
    rooms: Mapping[str, Room],
    hastes: Mapping[str, Haste],
) -> list[SetPoint]:
    """Return the set-points cut so that no home draws or gives more than its room (P4).

    What would be left of one, but is less than its charger can hold, goes to the others.

    Boosted cars share what may be drawn, pro rata (P3 before P1 and P2), those that must charge the rest of
    it, by their haste and as far as their batteries take it, and the others the rest of that.
    A plan that only meant to serve the house (V2H) gives no more than the house is measured to draw.

    Args:
        points: What cars are to be told, at most one each.
        standing: What other cars were told and may still do; it takes its part of their homes' rooms.
        cars: All cars, by id.
        rooms: Of their homes, by id.
        hastes: How much those that must charge press, by car.
    """
    by_site: dict[str, list[SetPoint]] = defaultdict(list)
    for point in points:
        by_site[cars[point.car_id].site.site_id].append(point)
    given_w, drawn_w = dict.fromkeys(by_site, 0), dict.fromkeys(by_site, 0)
    for point in standing:
        site_id = cars[point.car_id].site.site_id
        if site_id in by_site:
            given_w[site_id] += max(0, point.export_w)
            drawn_w[site_id] += max(0, -point.export_w)
    least_w = {point.car_id: cars[point.car_id].charger.min_w for point in points}
    cut: dict[str, SetPoint] = {}
    for site_id, together in by_site.items():
        room = rooms[site_id]
        left_w = room.import_kw * W_PER_KW - drawn_w[site_id]
        cut |= _drawing([point for point in together if point.export_w < 0], left_w, hastes, least_w)
        giving = [point for point in together if point.export_w > 0]
        most_w = _most_given_w(giving, cars, room) - given_w[site_id]
        cut |= {point.car_id: point for point in _cut(giving, most_w, least_w)}
    return [cut.get(point.car_id, point) for point in points]


def _drawing(
    points: Sequence[SetPoint], left_w: float, hastes: Mapping[str, Haste], least_w: Mapping[str, int]
) -> dict[str, SetPoint]:
    """Return the set-points of a home's charging cars, cut to what is left for them."""
    if -sum(point.export_w for point in points) <= left_w:
        return {point.car_id: point for point in points}
    cut: dict[str, SetPoint] = {}
    for purposes in RANKS:
        group = [point for point in points if point.purpose in purposes]
        pressing = Purpose.MUST_CHARGE in purposes
        taken = _by_haste(group, left_w, hastes) if pressing else _cut(group, left_w, least_w)
        left_w += sum(point.export_w for point in taken)
        cut |= {point.car_id: point for point in taken}
    urgent = [point for point in points if point.purpose is Purpose.MUST_CHARGE]
    rest = [replace(point, export_w=point.export_w - cut[point.car_id].export_w) for point in urgent]
    idle = {name: watts for name, watts in least_w.items() if name in cut and not cut[name].export_w}
    for point in _cut(rest, left_w, idle):  # what nobody else asks for, should they take more than is thought
        less = cut[point.car_id]
        cut[point.car_id] = replace(less, export_w=less.export_w + point.export_w)
    return cut


def _by_haste(points: Sequence[SetPoint], most_w: float, hastes: Mapping[str, Haste]) -> list[SetPoint]:
    """Return what those that must charge draw of ``most_w``: who can wait least first."""
    if not points:
        return []
    asking = []
    for point in points:
        one = hastes[point.car_id]
        asked_kw = -point.export_w / W_PER_KW
        asking.append(replace(one, takes_kw=min(max(one.takes_kw, one.min_kw), asked_kw)))
    shares = shares_kw(asking, max(0.0, most_w) / W_PER_KW)
    return [
        replace(point, export_w=-int(round(kw * W_PER_KW, WATT_DIGITS)))
        for point, kw in zip(points, shares, strict=True)
    ]


def _most_given_w(giving: Sequence[SetPoint], cars: Mapping[str, Car], room: Room) -> float:
    """Return what a home's cars may give: its room, or what its house draws if that is all they are for."""
    most_w = room.export_kw * W_PER_KW
    if not giving or room.house_kw is None or any(point.purpose is not Purpose.PLAN for point in giving):
        return most_w
    stated_w = cars[giving[0].car_id].site.house_kw(giving[0].issued_at) * W_PER_KW
    only_house = 0.0 < sum(point.export_w for point in giving) <= stated_w
    return min(most_w, room.house_kw * W_PER_KW) if only_house else most_w


def _cut(points: Sequence[SetPoint], most_w: float, least_w: Mapping[str, int]) -> list[SetPoint]:
    """Return set-points of one direction, in whole watts, cut pro rata to no more than ``most_w`` in all.

    One after the other, the last first, those that would be below what their chargers hold are told 0.
    """
    wanted_w = [abs(point.export_w) for point in points]
    while True:
        total_w = sum(wanted_w)
        share = 1.0 if total_w <= max(0.0, most_w) else max(0.0, most_w) / total_w
        cut_w = [int(watts * share) for watts in wanted_w]
        idle = [n for n, one in enumerate(points) if 0 < cut_w[n] < least_w.get(one.car_id, 0)]
        if not idle:
            signs = [1 if point.export_w > 0 else -1 for point in points]
            return [replace(point, export_w=s * w) for point, s, w in zip(points, signs, cut_w, strict=True)]
        wanted_w[idle[-1]] = 0
