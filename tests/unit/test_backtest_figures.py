"""Cycles, intervals, and what the cars of a moved record are."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from aggregator.backtest.figures import Share
from aggregator.backtest.sessions import Record, Recorded
from aggregator.backtest.world import make_world
from aggregator.cycles import cycles
from aggregator.model.time import LONDON, Interval

MARCH = [date(2025, 3, 1) + timedelta(days=n) for n in range(31)]


def stay(start, end):
    return Interval(*(datetime.fromisoformat(text).replace(tzinfo=LONDON) for text in (start, end)))


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2025-03-03T17:59", "2025-03-04T05:00", 1),
        ("2025-03-03T18:00", "2025-03-04T05:00", 0),
        ("2025-03-03T17:59", "2025-03-04T04:59", 0),
        ("2025-03-03T17:00", "2025-03-06T09:00", 3),
        ("2025-03-29T17:00", "2025-03-30T05:00", 1),
        ("2025-02-28T17:00", "2025-03-01T09:00", 0),
    ],
)
def test_a_night_connected_is_a_cycle(start, end, count):
    assert cycles([("ann", stay(start, end))], MARCH)["cycles"] == count


def test_twelve_nights_of_a_month_earn_the_credit():
    def nights(count):
        return [
            ("ann", stay(f"2025-03-{day:02}T17:00", f"2025-03-{day + 1:02}T07:00"))
            for day in range(1, count + 1)
        ]

    assert cycles(nights(11), MARCH) == {
        "cycles": 11,
        "driver_months": 1,
        "months_earning": 0,
        "credit_gbp": 0,
    }
    assert cycles(nights(12), MARCH)["credit_gbp"] == 30


def test_wilsons_interval_of_48_in_60():
    """Wilson 1927: (p + z²/2n -+ z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), p = 0.8, n = 60, z = 1.96."""
    low, high = Share(48, 60).interval
    assert (low, high) == (pytest.approx(0.6822, abs=1e-4), pytest.approx(0.8817, abs=1e-4))
    assert Share(0, 0).interval is None


def world_of(*sessions, zones=1, days=MARCH):
    record = Record(tuple(sessions), {"big": 75.0}, ())
    return make_world(record, days, zones, ZoneInfo("Europe/Oslo"))


def recorded(user, start, end, place="A"):
    return Recorded(place, user, datetime.fromisoformat(start), datetime.fromisoformat(end), 5.0)


def test_a_session_keeps_weekday_and_clock_and_each_source_year_is_a_car():
    world = world_of(
        recorded("big", "2019-03-12 16:00", "2019-03-13 07:00"),
        recorded("big", "2020-03-10 16:00", "2020-03-11 07:00"),
    )
    newer, older = world.drivers["zone-1"]
    assert [car.car_id for car in (newer, older)] == ["big@2020", "big@2019"]
    assert newer.capacity_kwh == 62.0
    (past, present), (only,) = ([v.plugged for v in car.visits] for car in (newer, older))
    tuesday = datetime(2025, 3, 4, 15, tzinfo=UTC)
    assert present.start == tuesday == only.start, "16:00 in Oslo"
    assert past.start == present.start - timedelta(days=364)


def test_a_clock_change_of_the_market_shortens_a_doubtful_stay():
    source = datetime(2025, 3, 30, 2, 30) - timedelta(days=5 * 364)  # noqa: DTZ001 - a wall time
    stamp = source.isoformat(" ")
    end = (source + timedelta(hours=6)).isoformat(" ")
    (car,) = world_of(recorded("ann", stamp, end)).drivers["zone-1"]
    assert car.visits[0].plugged.start == datetime(2025, 3, 30, 1, 30, tzinfo=UTC), "02:30 is not shown"


def test_sites_are_dealt_to_zones_in_turn():
    sessions = [
        recorded(f"u{n}", "2020-03-10 16:00", "2020-03-11 07:00", place) for n, place in enumerate("CABD")
    ]
    world = world_of(*sessions, zones=3)
    assert world.locations == {"zone-1": ("A", "D"), "zone-2": ("B",), "zone-3": ("C",)}
    assert world_of(*sessions, zones=9).zones == ("zone-1", "zone-2", "zone-3", "zone-4")
