"""P4 on random homes: approvals, panels, loads, fuses, meters that fall silent, two cars at a home.

The control loop and the interlock each work out a home's room by themselves. Here it is worked out a third
time, from what the homes truly do: nothing the loop says may be beyond it, nor be refused by the interlock.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.energy import Tariff
from aggregator.model.fleet import Approval, Car, ExportSource, Fleet, Site
from aggregator.model.market import Direction
from aggregator.model.metering import Boundary, CarReport
from aggregator.model.time import HALF_HOUR, LONDON, Interval, floor_half_hour
from aggregator.ports import ZoneTarget
from dispatch.interlock import Interlock
from tests.builders import ZONE, a_car, a_car_report, a_charger, a_set_point, a_site
from tests.unit.test_controller import SETTINGS, Loop

DAY = date(2025, 7, 10)
MIDNIGHT = datetime(2025, 7, 9, 23, tzinfo=UTC)
LEAST_KW = [0.0, 1.4, 2.3, 3.0]
STALE = 2 * SETTINGS.reporting_interval
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Home:
    """A home, what it truly does beside its cars, and when its boundary meter was last heard.

    Attributes:
        beside_w: By its meter, positive from home to grid.
        heard_s: Seconds before now; None where the meter was never heard.
    """

    site: Site
    cars: tuple[Car, ...]
    beside_w: int
    heard_s: int | None

    def rooms_w(self, now: datetime) -> tuple[float, float]:
        """What its cars may give and draw: the promise in plain words."""
        site = self.site
        fuse_w = site.import_limit_kw * 1000
        fresh = site.boundary_meter and self.heard_s is not None and self.heard_s <= STALE.total_seconds()
        if fresh:
            fuse_w = min(fuse_w, fuse_w + self.beside_w)
        day_has_come = site.approved_from is None or now.astimezone(LONDON).date() >= site.approved_from
        if site.approval != "granted" or site.export_source == "none" or not day_has_come:
            return 0.0, fuse_w
        if fresh:
            return site.export_limit_kw * 1000 - self.beside_w, fuse_w
        return site.export_limit_kw * 1000 - (0 if self._dark(now) else site.solar_kw * 1000), fuse_w

    def _dark(self, now: datetime) -> bool:
        """Whether it is surely dark for as long as a set-point holds."""
        begin, end = self.site.dark_from, self.site.dark_until
        if begin is None or end is None:
            return False
        seconds = [(now + n * SECOND).astimezone(LONDON).time() for n in range(0, 121, 10)]
        return all(one >= begin or one < end for one in seconds)


@st.composite
def homes(draw, number: int):
    meter = draw(st.booleans())
    site = a_site(
        site_id=f"home-{number}",
        export_limit_kw=draw(st.sampled_from([0.0, 1.0, 3.68, 7.36])),
        export_source=draw(st.sampled_from([*ExportSource, ExportSource.G99, ExportSource.G99])),
        import_limit_kw=draw(st.sampled_from([6.0, 9.2, 18.4])),
        solar_kw=draw(st.sampled_from([0.0, 2.0, 5.0])),
        dark_from=draw(st.sampled_from([None, time(22), time(23, 59, 30)])),
        approval=draw(st.sampled_from([Approval.GRANTED] * 6 + [Approval.APPLIED, Approval.REFUSED])),
        approved_from=draw(st.sampled_from([None, DAY])),
        boundary_meter=meter,
        house_load_kw=draw(st.sampled_from([(), (0.8,)])),
    )
    site = replace(
        site, dark_until=None if site.dark_from is None else draw(st.sampled_from([time(0, 1), time(5)]))
    )
    cars = tuple(
        a_car(
            car_id=f"car-{number}-{n}",
            charger=a_charger(charger_id=f"charger-{number}-{n}", min_kw=draw(st.sampled_from(LEAST_KW))),
            site=site,
        )
        for n in range(draw(st.integers(1, 3)))
    )
    heard_s = draw(st.sampled_from([None, 0, 0, 30, 120, 121, 600])) if meter else None
    return Home(site, cars, draw(st.integers(-6000, 5000)), heard_s)


def reports_of(home: Home, draw, now: datetime) -> list[CarReport]:
    """What its chargers told: the meter when it was last heard, all of them just now."""
    given_w = [draw(st.integers(-7400, 6000)) for _ in home.cars]
    told = []
    for at, meter in ((now - timedelta(seconds=home.heard_s or 0), home.heard_s is not None), (now, False)):
        boundary = Boundary(home.beside_w + sum(given_w), 0, 0) if meter else None
        told += [
            a_car_report(
                car_id=car.car_id,
                measured_at=at,
                soc=draw(st.sampled_from([0.8, 0.8, 0.8, 0.33, 0.2])),
                export_w=watts,
                boundary=boundary,
                boost=draw(st.sampled_from([False] * 5 + [True])),
            )
            for car, watts in zip(home.cars, given_w, strict=True)
            if meter or home.heard_s != 0
        ]
    return told


@st.composite
def nights(draw):
    now = MIDNIGHT + timedelta(seconds=draw(st.sampled_from([-1800, -120, -60, -1, 0, 1, 30, 900, 7200])))
    found = [draw(homes(number)) for number in range(draw(st.integers(1, 3)))]
    reports = [report for home in found for report in reports_of(home, draw, now)]
    ends = floor_half_hour(now) + HALF_HOUR
    slots = (Interval(now, ends), Interval(ends, ends + HALF_HOUR))
    direction = draw(st.sampled_from([Direction.UP, Direction.UP, Direction.DOWN]))
    kw = direction.sign * draw(st.sampled_from([40.0, 40.0, 5.0, 0.0]))
    target = ZoneTarget(ZONE, slots, (kw, kw), direction, ("order", "order"))
    return now, found, reports, draw(st.sampled_from([(target,), ()]))


def dear_now(zone, slots):
    price = np.where(np.arange(len(slots)) < 4, 0.5, 0.1)
    return Tariff(price, np.where(np.arange(len(slots)) < 4, 0.45, 0.05), np.zeros(len(slots), dtype=bool))


@given(nights())
@settings(max_examples=120, deadline=None)
def test_no_home_is_told_more_than_it_may_and_the_interlock_agrees(night):
    now, found, reports, targets = night
    fleet = Fleet(tuple(car for home in found for car in home.cars), "n" * 64)
    loop = Loop(fleet, *targets, prices=dear_now)
    loop.clock.set(now)
    told = asyncio.run(loop.cycle(*reports))
    refused = [one.text for one in loop.records[-1].notices if one.code == "interlock"]
    assert refused == []
    for home in found:
        points = [told[car.car_id].export_w for car in home.cars if car.car_id in told]
        room_w, fuse_w = home.rooms_w(now)
        assert sum(max(0, watts) for watts in points) <= max(0.0, room_w) + 1
        assert sum(max(0, -watts) for watts in points) <= max(0.0, fuse_w) + 1
        least_w = {car.car_id: car.charger.min_kw * 1000 for car in home.cars if car.car_id in told}
        assert all(not 0 < abs(told[name].export_w) < watts for name, watts in least_w.items())


@given(nights(), st.data())
@settings(max_examples=120, deadline=None)
def test_whatever_is_asked_the_interlock_lets_nothing_through_that_is_beyond_a_home(night, data):
    now, found, reports, _ = night
    cars = tuple(car for home in found for car in home.cars)
    interlock = Interlock(Fleet(cars, "n" * 64), SETTINGS.reporting_interval)
    interlock.observe(reports)
    points = [
        a_set_point(
            car_id=car.car_id,
            export_w=data.draw(st.integers(-8000, 6000)),
            issued_at=now,
            expires_at=now + 120 * SECOND,
        )
        for car in cars
    ]
    refused = {refusal.point.car_id for refusal in interlock.check(points)}
    for home in found:
        ours = {car.car_id for car in home.cars} - refused
        through = [point.export_w for point in points if point.car_id in ours]
        room_w, fuse_w = home.rooms_w(now)
        assert sum(max(0, watts) for watts in through) <= max(0.0, room_w) + 1
        assert sum(max(0, -watts) for watts in through) <= max(0.0, fuse_w) + 1
