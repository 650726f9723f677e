"""From a record to the fleet of a backtest: cars, homes, zones, and stays in the market's days.

Each session is moved by the multiple of 364 days that lands in the market's days, so that weekdays stay
weekdays and clocks on the wall show what they showed; where a market's clock change makes that doubtful a car
comes at the later and leaves at the earlier instant. A user's sessions moved by one multiple are one car:
each source year is a car of its own. What comes before the market's days by the same move is that car's past.

What an operator knows beside the sessions: a car is in the fleet from its first plug-in on, as long as its
site is in the record, but for times when it has not been seen for two months; that a site is given up is
known beforehand, that a driver stops coming is not.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from aggregator.backtest.sessions import Record, Recorded
from aggregator.model.fleet import Car, Charger, ExportSource, Intent, Site
from aggregator.model.time import LONDON, Interval

YEAR = timedelta(days=364)
LONGEST_ABSENCE = timedelta(days=60)
MOST_YEARS = 60
MINUTE_S = 60.0

CHARGER_KW = 7.4
ETA = 0.93
FLOOR_SOC = 0.3
TARGET_SOC = 0.9
LEAST_ARRIVAL_SOC = 0.1
LARGE_KWH, SMALL_KWH, LARGE_ABOVE_KWH = 62.0, 40.0, 40.0
FUSE_KW = 18.4
USUAL_DEPARTURE = time(7, 30)
MORNING = (time(4), time(12))
LEAST_DEPARTURES = 3


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay of a car in the market's days, to the minute.

    Attributes:
        plugged: From plugging in, rounded up, to plugging out, rounded down.
        energy_kwh: What the recorded session drew, net: what was driven since the stay before. [kWh AC]
    """

    plugged: Interval
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class Driver:
    """A car of the backtest.

    Attributes:
        car_id: User and the source year that lies in the market's first day.
        location: The recorded site.
        zone: The zone of ours that the site is in.
        capacity_kwh: Usable. [kWh]
        visits: In order of time, apart from each other.
        record_ends: When the site's record ends: its last plug-in.
    """

    car_id: str
    location: str
    zone: str
    capacity_kwh: float
    visits: tuple[Visit, ...]
    record_ends: datetime

    def is_known(self, gate: datetime, until: datetime) -> bool:
        """Whether it is in the fleet at ``gate`` for a horizon that ends at ``until``."""
        begun = bisect_left(self.visits, gate, key=_plugged_at)
        lately = begun > 0 and self.visits[begun - 1].plugged.end > gate - LONGEST_ABSENCE
        return lately and self.record_ends >= until

    def car(self, at: datetime) -> Car:
        """Return it as the fleet file would describe it, by what is known at ``at``."""
        charger = Charger(f"{self.car_id}/charger", CHARGER_KW, CHARGER_KW, ETA, ETA)
        site = Site(f"{self.car_id}/home", self.zone, CHARGER_KW, ExportSource.G99, FUSE_KW)
        intent = Intent(self.usual_departure(at), TARGET_SOC)
        return Car(self.car_id, self.capacity_kwh, FLOOR_SOC, intent, charger, site)

    def usual_arrival_soc(self, visit: Visit) -> float:
        """Return the state of charge it comes with if it left last as full as promised."""
        return max(LEAST_ARRIVAL_SOC, TARGET_SOC - ETA * visit.energy_kwh / self.capacity_kwh)

    def usual_departure(self, at: datetime) -> time:
        """Return when it usually leaves in the morning, by the stays over at ``at``.

        The lower quartile of its departures between 04:00 and 12:00 local, down to the half-hour; 07:30
        where there are fewer than three.
        """
        ends = (visit.plugged.end for visit in self.visits if visit.plugged.end <= at)
        local = sorted(end.astimezone(LONDON).time() for end in ends)
        mornings = [shown for shown in local if MORNING[0] <= shown < MORNING[1]]
        if len(mornings) < LEAST_DEPARTURES:
            return USUAL_DEPARTURE
        usual = mornings[(len(mornings) - 1) // 4]
        return usual.replace(minute=usual.minute // 30 * 30, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class World:
    """All cars of all zones.

    Attributes:
        zones: Names of ours, in order.
        locations: Recorded sites by zone.
        drivers: All cars, by zone.
        unpredicted: Users without a predicted battery: they count as small.
    """

    zones: tuple[str, ...]
    locations: dict[str, tuple[str, ...]]
    drivers: dict[str, tuple[Driver, ...]]
    unpredicted: int


def make_world(record: Record, days: Sequence[date], zones: int, local: ZoneInfo) -> World:
    """Return the cars that may be in the fleet on one of the market's days.

    Args:
        record: What was recorded.
        days: Horizons to be replayed, in order.
        zones: Number of zones of ours; the recorded sites, by name, are dealt to them in turn.
        local: Zone of the record's wall times.
    """
    places = sorted({session.location for session in record.sessions})
    names = tuple(f"zone-{n + 1}" for n in range(min(zones, len(places))))
    zone_of = {place: names[n % len(names)] for n, place in enumerate(places)}
    by_user: dict[str, list[Recorded]] = defaultdict(list)
    for session in record.sessions:
        by_user[session.user].append(session)
    last_seen = {
        place: max(session.start for session in record.sessions if session.location == place)
        for place in places
    }
    found: dict[str, list[Driver]] = {name: [] for name in names}
    for user, own in sorted(by_user.items()):
        place = own[-1].location
        predicted = record.capacity_kwh.get(user, 0.0)
        for shift in _shifts(own[0].start.date(), last_seen[place].date(), days):
            visits = tuple(_visits(own, shift, local, days[-1]))
            if visits:
                found[zone_of[place]].append(
                    Driver(
                        car_id=f"{user}@{(days[0] - shift).year}",
                        location=place,
                        zone=zone_of[place],
                        capacity_kwh=LARGE_KWH if predicted > LARGE_ABOVE_KWH else SMALL_KWH,
                        visits=visits,
                        record_ends=_instant(last_seen[place] + shift, local, later=False),
                    )
                )
    return World(
        zones=names,
        locations={name: tuple(p for p in places if zone_of[p] == name) for name in names},
        drivers={name: tuple(cars) for name, cars in found.items()},
        unpredicted=len(set(by_user) - set(record.capacity_kwh)),
    )


def _shifts(begun: date, ended: date, days: Sequence[date]) -> Iterator[timedelta]:
    """Yield the moves by which a user has begun by the last day, and the site's record reaches the first."""
    for years in range(-MOST_YEARS, MOST_YEARS + 1):
        shift = years * YEAR
        if begun + shift <= days[-1] and ended + shift >= days[0]:
            yield shift


def _plugged_at(visit: Visit) -> datetime:
    return visit.plugged.start


def _visits(sessions: Sequence[Recorded], shift: timedelta, local: ZoneInfo, last: date) -> Iterator[Visit]:
    for session in sessions:
        start = _instant(session.start + shift, local, later=True)
        end = _instant(session.end + shift, local, later=False)
        if start < end and start.date() <= last + timedelta(days=2):
            yield Visit(Interval(start, end), session.energy_kwh)


def _instant(wall: datetime, zone: ZoneInfo, *, later: bool) -> datetime:
    """Return when clocks show ``wall``, to the minute; the later or the earlier where that is doubtful."""
    both = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    instant = max(both) if later else min(both)
    minutes = instant.timestamp() / MINUTE_S
    return datetime.fromtimestamp((ceil(minutes) if later else floor(minutes)) * MINUTE_S, UTC)
