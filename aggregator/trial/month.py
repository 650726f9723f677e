"""A calendar month of all drivers: nights, energy, wear, needs, and who pays for what their homes exported.

A function of what was known at a time, as statements are. Nights belong to their evening's month, energy to
the half-hours of London's month. Each half-hour is told by the fleet in force at its start. What a battery
took in and gave is what its charger's registers counted, by the worst one-way efficiencies that are stated.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property

from aggregator.audit.departures import promises
from aggregator.audit.evidence import Evidence
from aggregator.config import Settings
from aggregator.cycles import (
    LONGEST_SILENCE,
    Night,
    days_of,
    first_after,
    judged,
    month_around,
    night_of,
    span_of,
)
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import NOBODY_PAYS, Car, ExportTariff, FeedIn, Fleet, Fleets
from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, LONDON, Interval, local_day
from aggregator.reports import StatementBook
from aggregator.statement_books import make_book
from aggregator.store import CarState, Store
from aggregator.store.car_history import Heard, presence_of
from aggregator.trial.exports import Export, Sold, paid_by, tariff_price
from aggregator.trial.meters import Meters, Steps
from aggregator.trial.values import DriverMonth, HomeMonth, Month, Need, Wear
from aggregator.wiring import prices_of

ONE_DAY = timedelta(days=1)
MOST_NAMED = 5
WH_PER_KWH = 1000.0
Watched = Callable[[Sequence[str]], Iterable[str]]


def make_month(
    store: Store,
    settings: Settings,
    fleets: Fleets,
    first: date,
    *,
    cars: Sequence[str] | None = None,
    known_at: datetime | None = None,
    watched: Watched = iter,
) -> Month:
    """Return a month as it was known at a time.

    Args:
        store: Where registers, states and orders are.
        settings: Products, prices, and how often chargers report.
        fleets: Whose cars, at any time.
        first: Its first day.
        cars: Only these drivers, and their homes; None for all.
        known_at: Only what was learnt by then; None for all.
        watched: Passes the cars on as they are worked on.

    Raises:
        BadMessage: If nothing was measured by the end of the month, or a car was not in the fleet in it.
    """
    begun_on = _begun_on(store, first)
    there = _cars_in(fleets, span_of(first).slots(HALF_HOUR))
    unknown = [car for car in cars or () if car not in there]
    if unknown:
        some = ", ".join(there[:MOST_NAMED])
        raise BadMessage(Fault("car", unknown[0], f"a car of {first:%B %Y}: {some}, ..."))
    book = make_book(store, settings.products, fleets, first, first_after(first), None, known_at)
    names = [car for car in there if cars is None or car in cars]
    look = _Look(store, settings, fleets, first, begun_on, known_at, book, names)
    drivers = tuple(look.driver(car) for car in watched(names))
    homes = sorted({site for driver in drivers for site in driver.homes})
    return Month(first, drivers, tuple(look.home(site) for site in homes), begun_on, known_at)


def _begun_on(store: Store, first: date) -> date:
    """Return the local day of the first reading."""
    begun = store.readings.first()
    if begun is None:
        raise BadMessage(Fault("month", f"{first:%Y-%m}", "a month with readings: there are none"))
    if begun >= span_of(first).end:
        allowed = f"{begun.astimezone(LONDON):%Y-%m} or later: nothing was measured before"
        raise BadMessage(Fault("month", f"{first:%Y-%m}", allowed))
    return begun.astimezone(LONDON).date()


def _cars_in(fleets: Fleets, periods: Sequence[Interval]) -> list[str]:
    """Return the cars that were in the fleet in one of the half-hours, sorted."""
    return sorted({car.car_id for period in periods for car in fleets.at(period.start).cars})


def sold_in(book: StatementBook, settings: Settings) -> dict[tuple[str, Interval], Sold]:
    """Return what each car gave to events that pay for more export, by half-hour."""
    sold: dict[tuple[str, Interval], Sold] = {}
    for row in book.rows:
        line, product = row.line, settings.products[row.line.product]
        if product.direction is Direction.UP and line.utilisation_gbp > 0:
            for car, wh in line.shares_wh:
                part = Sold(0, wh) if product.metering_point == "boundary" else Sold(wh)
                sold[car, line.period] = sold.get((car, line.period), Sold()) + part
    return sold


class _Look:
    """Works out one driver or home after the other."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        fleets: Fleets,
        first: date,
        begun_on: date,
        known_at: datetime | None,
        book: StatementBook,
        names: Sequence[str],
    ) -> None:
        self._store = store
        self._settings = settings
        self._fleets = fleets
        self._first = first
        self._known_at = known_at
        self._periods = span_of(first).slots(HALF_HOUR)
        self._fleet_at = [fleets.at(period.start) for period in self._periods]
        self._evidence = Evidence(store, settings)
        self._sold = sold_in(book, settings)
        self._delivered: dict[str, int] = defaultdict(int)
        for row in book.rows:
            for car, wh in row.line.shares_wh:
                self._delivered[car] += wh
        meters = Meters(store, fleets, known_at)
        fleets_there = {id(fleet): fleet for fleet in self._fleet_at}
        self._homes = {key: _by_home(fleet) for key, fleet in fleets_there.items()}
        mine = set(names)
        described = [car for fleet in fleets_there.values() for car in fleet.cars]
        homes = {car.site.site_id for car in described if car.car_id in mine}
        at_home = sorted({car.car_id for car in described if car.site.site_id in homes})
        metered = sorted({car.site.site_id for car in described if car.site.boundary_meter} & homes)
        count = (first_after(first) - begun_on).days
        self._steps = meters.of_cars(at_home, self._periods)
        self._ever = meters.of_cars(names, [local_day(begun_on + n * ONE_DAY) for n in range(count)])
        self._boundary = meters.of_homes(metered, self._periods)

    def driver(self, car_id: str) -> DriverMonth:
        """Return one driver's month."""
        cars = [car for fleet in self._fleet_at if (car := fleet.by_id.get(car_id)) is not None]
        steps = self._steps[car_id]
        around = month_around(self._first)
        heard = self._store.car_history.heard(car_id, around, LONGEST_SILENCE, self._known_at)
        return DriverMonth(
            car=cars[-1],
            homes=tuple(sorted({car.site.site_id for car in cars})),
            nights=self._nights(car_id, heard),
            needs=self._needs([one.state for one in heard]),
            days=self._days(steps),
            delivered_wh=self._delivered.get(car_id, 0),
            wear=Wear(_through(cars[-1], steps), _through(cars[-1], self._ever[car_id])),
            doubtful=steps.doubtful,
            unmetered=len(cars) - int(steps.known.sum()),
        )

    def home(self, site_id: str) -> HomeMonth:
        """Return what one home exported."""
        at_home = [self._homes[id(fleet)].get(site_id, ()) for fleet in self._fleet_at]
        here = {car.car_id: car.site for cars in at_home for car in cars}
        site = [cars[-1].site for cars in at_home if cars][-1]
        boundary = self._boundary.get(site_id)
        rows = []
        for n, (period, cars) in enumerate(zip(self._periods, at_home, strict=True)):
            cars_wh = sum(int(self._steps[car.car_id].export_wh[n]) for car in cars)
            metered = boundary is not None and bool(boundary.known[n])
            export_wh = int(boundary.export_wh[n]) if boundary is not None and metered else cars_wh
            if export_wh:
                deal = cars[-1].site.feed_in.at(period.start) if cars else NOBODY_PAYS
                sold = sum((self._sold.get((car.car_id, period), Sold()) for car in cars), Sold())
                payers = paid_by(export_wh, cars_wh, sold, deal)
                rows.append(Export(period, payers, min(cars_wh, export_wh), self._price(deal, period)))
        doubts = [boundary] if boundary is not None else [self._steps[car] for car in here]
        return HomeMonth(
            site_id,
            tuple(sorted(here)),
            at_boundary=boundary is not None and bool(boundary.known.any()),
            deal=site.feed_in.at(self._periods[-1].start),
            exports=tuple(rows),
            doubtful=sum(one.doubtful for one in doubts),
        )

    def _price(self, deal: FeedIn, period: Interval) -> Decimal | None:
        half_hourly = deal.export_tariff is ExportTariff.HALF_HOURLY
        return tariff_price(deal, self._prices[period] if half_hourly else 0.0)

    @cached_property
    def _prices(self) -> Mapping[Interval, float]:
        """What the gateway's own prices pay for a kWh exported; the same in every zone. [GBP/kWh]"""
        tariff = prices_of(self._settings, lambda _: ())("", self._periods)
        return dict(zip(self._periods, map(float, tariff.export_gbp_per_kwh), strict=True))

    def _days(self, steps: Steps) -> tuple[tuple[int, int], ...]:
        sums: dict[date, list[int]] = {day: [0, 0] for day in days_of(self._first)}
        for n, period in enumerate(self._periods):
            both = sums[period.start.astimezone(LONDON).date()]
            both[0] += int(steps.import_wh[n])
            both[1] += int(steps.export_wh[n])
        return tuple((in_wh, out_wh) for in_wh, out_wh in sums.values())

    def _nights(self, car_id: str, heard: Sequence[Heard]) -> tuple[Night, ...]:
        presence = presence_of(heard, LONGEST_SILENCE)
        return tuple(
            judged(day, presence, self._known_at)
            for day in days_of(self._first)
            if self._fleets.car(car_id, night_of(day).start) is not None
        )

    def _needs(self, states: Sequence[CarState]) -> tuple[Need, ...]:
        span, resolution = span_of(self._first), self._settings.dispatch.soc_resolution
        found = []
        for one in promises(self._evidence, states):
            if one.due_at in span and one.due_at - one.reported_at <= LONGEST_SILENCE:
                short = one.target_soc - one.soc_when_due if one.missed(resolution) else 0.0
                short_kwh = short * one.car.capacity_kwh
                found.append(Need(one.due_at, one.target_soc, one.soc_when_due, short_kwh, one.reachable))
        return tuple(sorted(found, key=lambda need: need.due_at))


def _by_home(fleet: Fleet) -> dict[str, list[Car]]:
    """Return a fleet's cars by their home's site id."""
    found: dict[str, list[Car]] = {}
    for car in fleet.cars:
        found.setdefault(car.site.site_id, []).append(car)
    return found


def _through(car: Car, steps: Steps) -> int:
    """Return what went into and out of a battery, for what its charger counted. [Wh]"""
    into = int(steps.import_wh.sum()) * car.charger.eta_charge
    out = int(steps.export_wh.sum()) / car.charger.eta_discharge
    return round(into + out)
