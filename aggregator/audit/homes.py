"""The promise to the grid at every home's boundary (P4): approval, export limit and fuse.

Set-points are judged by the rule that holds without a boundary meter, home by home, and none may discharge
before the home's approval. At a home with a meter it is the boundary itself that is judged: the true power
where cars are simulated, else what its registers show. A kettle that is done makes such a home give more than
it may until the loop has heard of it and told its cars: that long, and no longer, it is no breach.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter

from aggregator.audit.evidence import ALWAYS, Evidence, Finding
from aggregator.model.fleet import Car, Site
from aggregator.model.metering import Reading, SetPoint
from aggregator.model.time import HOUR, Interval, utc_text
from aggregator.store import TrueState

LONGEST_DISCHARGE = timedelta(seconds=120)
W_PER_KW = 1000.0
TOLERANCE_W = 1.0
IDLE_W = 50
"""What a charger draws for itself is no car's charging."""

ROUNDED_WH = 2
"""Registers show whole watt-hours: a difference of two is that uncertain."""


def p4_sites(evidence: Evidence) -> Finding:
    """What a home's cars do together keeps within its export approval and its fuse."""
    told, breaches = _told(evidence)
    for look in (_truly, _by_registers):
        checked, found = look(evidence)
        told += checked
        breaches += found
    what = "accepted set-points, home by home, and what boundaries truly carried or their registers showed"
    return Finding("P4 sites", what, told, tuple(breaches))


def _grace(evidence: Evidence) -> timedelta:
    """Return how long a change at a boundary may take to be heard, be stale at worst, and be acted upon."""
    settings = evidence.settings.dispatch
    return timedelta(seconds=2 * settings.reporting_interval_s + settings.cycle_s)


def _told(evidence: Evidence) -> tuple[int, list[str]]:
    standing: dict[str, dict[str, SetPoint]] = defaultdict(dict)
    breaches = []
    for issued_at, batch in itertools.groupby(evidence.accepted, key=lambda one: one.point.issued_at):
        touched = {}
        cars = evidence.fleets.at(issued_at).by_id
        for one in batch:
            car = cars.get(one.point.car_id)
            if car is None:
                breaches.append(f"{one.point.car_id} was not in the fleet at {utc_text(issued_at)}")
            else:
                standing[car.site.site_id][one.point.car_id] = one.point
                touched[car.site.site_id] = car.site
        for site_id, site in touched.items():
            live = [point for point in standing[site_id].values() if point.expires_at > issued_at]
            breaches += _told_too_much(site, issued_at, live)
    return len(evidence.accepted), breaches


def _told_too_much(site: Site, issued_at: datetime, live: Sequence[SetPoint]) -> Iterator[str]:
    export_w, import_w = sum(max(0, one.export_w) for one in live), sum(max(0, -one.export_w) for one in live)
    at = utc_text(issued_at)
    if export_w > 0 and not site.may_discharge(issued_at):
        yield f"home {site.site_id} at {at}: {export_w} W out, and no approval in force"
        return
    until = max((one.expires_at for one in live if one.export_w > 0), default=None)
    room_w, fuse_w = float("inf"), site.import_limit_kw * W_PER_KW
    if until is not None and not site.boundary_meter:
        room_w = site.least_export_room_kw(Interval(issued_at, until)) * W_PER_KW
    if export_w > room_w + TOLERANCE_W or import_w > fuse_w + TOLERANCE_W:
        yield f"home {site.site_id} at {at}: {export_w} W out, {import_w} W in"


@dataclass(slots=True)
class _Home:
    """A home as its boundary goes on: what each car moves, and since when it is beyond its limits."""

    car_w: dict[str, int] = field(default_factory=dict)
    beyond_since: datetime | None = None


def _truly(evidence: Evidence) -> tuple[int, list[str]]:
    """Judge simulated homes by the true power at their boundary, while their cars move any of it.

    What is still done for two minutes after an import was told by the fleet before it.
    """
    rows = [row for states in evidence.truth.values() for row in states if row.boundary_w is not None]
    homes: dict[str, _Home] = defaultdict(_Home)
    breaches: list[str] = []
    for at, together in itertools.groupby(sorted(rows, key=attrgetter("at", "car_id")), key=attrgetter("at")):
        fleet = evidence.fleets.at(at)
        told_before = fleet is not evidence.fleets.at(at - LONGEST_DISCHARGE)
        sites: dict[str, tuple[Site, int]] = {}
        for row in together:
            car = fleet.by_id.get(row.car_id)
            if car is not None and not told_before:
                homes[car.site.site_id].car_w[row.car_id] = row.export_w if row.plugged else 0
                sites[car.site.site_id] = car.site, _boundary_w(row)
        for site_id, (site, boundary_w) in sites.items():
            breaches += _beyond(homes[site_id], site, boundary_w, at, _grace(evidence))
    return len(rows), breaches


def _beyond(home: _Home, site: Site, boundary_w: int, at: datetime, grace: timedelta) -> Iterator[str]:
    """Yield a home's breach once it lasts: of its limits, because of its cars."""
    given_w = sum(max(0, watts) for watts in home.car_w.values())
    drawn_w = sum(-watts for watts in home.car_w.values() if -watts >= IDLE_W)
    above_w = boundary_w - site.export_limit_kw * W_PER_KW
    below_w = -boundary_w - site.import_limit_kw * W_PER_KW
    over = (given_w > 0 and above_w > TOLERANCE_W) or (
        site.boundary_meter and drawn_w > 0 and below_w > TOLERANCE_W
    )
    if given_w > 0 and not site.may_discharge(at):
        yield f"home {site.site_id} at {utc_text(at)}: cars gave {given_w} W, and no approval in force"
    if not over:
        home.beyond_since = None
        return
    home.beyond_since = home.beyond_since or at
    if not site.boundary_meter or at - home.beyond_since > grace:
        yield (
            f"home {site.site_id} at {utc_text(at)}: {boundary_w} W out at the boundary since"
            f" {utc_text(home.beyond_since)}, allowed {site.export_limit_kw:g} kW out,"
            f" {site.import_limit_kw:g} kW in"
        )


def _boundary_w(row: TrueState) -> int:
    return row.boundary_w or 0


def _by_registers(evidence: Evidence) -> tuple[int, list[str]]:
    """Judge homes with a meter by its registers, where no true power is known and cars were told to give."""
    if any(row.boundary_w is not None for rows in evidence.truth.values() for row in rows):
        return 0, []
    metered = _metered_homes(evidence)
    by_home: dict[str, list[Reading]] = defaultdict(list)
    for reading in evidence.store.boundary_readings.between(sorted(metered), ALWAYS):
        by_home[reading.charger_id].append(reading)
    giving: dict[str, list[Interval]] = defaultdict(list)
    for one in evidence.accepted:
        if one.point.export_w > 0 and one.point.expires_at > one.point.issued_at:
            giving[one.point.car_id].append(Interval(one.point.issued_at, one.point.expires_at))
    checked, breaches = 0, []
    for site_id, readings in by_home.items():
        told = [span for car in metered[site_id] for span in giving[car.car_id]]
        judged, found = _home_by_registers(evidence, metered[site_id][0], readings, told)
        checked += judged
        breaches += found
    return checked, breaches


def _home_by_registers(
    evidence: Evidence, car: Car, readings: Sequence[Reading], giving: Sequence[Interval]
) -> tuple[int, list[str]]:
    """Judge a home from reading to reading, while any of its cars was told to give."""
    checked, breaches, since = 0, [], None
    for before, after in itertools.pairwise(readings):
        span, export_wh = Interval(before.measured_at, after.measured_at), after.export_wh - before.export_wh
        site = (evidence.fleets.car(car.car_id, span.start) or car).site
        limit_wh = site.export_limit_kw * W_PER_KW * span.hours
        told = any(part.overlap(span) is not None for part in giving)
        checked += told
        if not told or export_wh <= limit_wh + ROUNDED_WH:
            since = None
            continue
        since = since or span.start
        if span.end - since > _grace(evidence):
            breaches.append(
                f"home {site.site_id} gave {export_wh} Wh in {span.hours * HOUR} until {utc_text(span.end)},"
                f" allowed {limit_wh:.0f} Wh, and too much since {utc_text(since)}"
            )
    return checked, breaches


def _metered_homes(evidence: Evidence) -> Mapping[str, Sequence[Car]]:
    """Return the cars of each home that ever had a boundary meter."""
    homes: dict[str, dict[str, Car]] = defaultdict(dict)
    for _, fleet in evidence.fleets.terms:
        for car in fleet.cars:
            if car.site.boundary_meter:
                homes[car.site.site_id][car.car_id] = car
    return {name: list(cars.values()) for name, cars in homes.items()}
