"""Which days a window is planned in, and what a car does in two of them."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.energy import CarArrays
from aggregator.forecast import History, Horizon, Session, StatedIntent, scenarios
from aggregator.model.time import HALF_HOUR, LONDON, Interval
from tests.builders import NOON, a_car, a_site

DAY = date(2025, 1, 15)


def local(day, hour, minute=0):
    return datetime.combine(day + timedelta(days=hour // 24), time(hour % 24, minute), LONDON)


def window(start, end, day=DAY):
    return Interval(local(day, *divmod(round(start * 60), 60)), local(day, *divmod(round(end * 60), 60)))


@pytest.mark.parametrize(
    ("start", "end", "days_before", "days"),
    [
        (17, 19, 0, 1),
        (12, 36, 0, 1),
        (9, 12, 1, 1),
        (0, 2, 1, 1),
        (11, 15, 0, 2),
        (11.5, 13, 0, 2),
        (8, 23, 0, 2),
        (0, 24, 0, 2),
        (3, 23, 0, 2),
        (22, 38, -1, 2),
    ],
)
def test_a_window_is_planned_from_noon_to_noon_or_in_the_two_days_around_the_noon_it_crosses(
    start, end, days_before, days
):
    horizon = Horizon.over(window(start, end))
    assert horizon == Horizon(DAY - timedelta(days=days_before), days)
    assert horizon.interval.end - horizon.interval.start == timedelta(days=days)
    assert len(horizon.slots) == 48 * days


@pytest.mark.parametrize(("day", "slots"), [(date(2025, 3, 30), 46), (date(2024, 10, 27), 50)])
def test_half_hours_are_counted_where_the_clocks_change(day, slots):
    assert len(Horizon.over(window(9, 11, day)).slots) == slots
    around = Horizon.over(window(11, 15, day))
    assert len(around.slots) == slots + 48
    assert [len(part.slots) for part in around.parts] == [slots, 48]
    assert len(Horizon.over(window(11, 15, day - timedelta(days=1))).slots) == 48 + slots


@given(st.integers(0, 48 * 400), st.integers(1, 48))
def test_every_window_of_up_to_48_half_hours_has_a_horizon_that_holds_it(first, count):
    start = datetime(2024, 9, 1, tzinfo=UTC) + first * HALF_HOUR
    wanted = Interval(start, start + count * HALF_HOUR)
    horizon = Horizon.over(wanted)
    span = horizon.interval
    assert span.start <= wanted.start < wanted.end <= span.end
    assert all(part.interval.overlap(wanted) for part in horizon.parts)
    assert horizon.days <= 2 or (wanted.hours == 24 and len(horizon.slots) < 3 * 48)
    assert [slot for part in horizon.parts for slot in part.slots] == list(horizon.slots)


def test_needs_of_one_local_day_share_the_two_days_around_its_noon_once_one_of_them_crosses_it():
    midday, evening, morning = window(11, 15), window(17, 19), window(7, 9)
    assert Horizon.over(evening, [morning]) == Horizon(DAY)
    for one in (midday, evening, morning, window(22, 30, DAY - timedelta(days=1))):
        assert Horizon.over(one, [midday, evening, morning]) == Horizon(DAY, 2)
    tomorrow = window(11, 15, DAY + timedelta(days=1))
    assert Horizon.over(evening, [tomorrow]) == Horizon(DAY)
    assert Horizon.over(midday, [tomorrow]) == Horizon(DAY, 2)
    assert Horizon.over(window(31, 33), [tomorrow]) == Horizon(DAY + timedelta(days=1), 2)


def stays(*sessions, intents=None, until=NOON + timedelta(days=1)):
    """Return what a car does on 14 and 15 January if they go like 7 and 8 January: two rows."""
    cars = [a_car(car_id="a")]  # by default it leaves at 07:30, 80% full
    horizon = Horizon(date(2025, 1, 15), 2)
    drawn = scenarios(History.of(sessions), cars, horizon, local(date(2025, 1, 14), 9), 20, intents or {})
    stay = next(one.stay for one in drawn if one.label == "2025-01-08")
    return [
        (int(arrive), int(depart), pytest.approx(kwh), pytest.approx(target))
        for arrive, depart, kwh, target in zip(*(getattr(stay, name) for name in stay.__slots__), strict=True)
    ]


def session(day, start, end, soc=0.5, kwh=10.0):
    return Session("a", window(start, end, date(2025, 1, day)), kwh, soc)


EARLIER = [session(day, 18, 31) for day in (3, 4, 5, 6)]


def test_a_car_comes_twice_in_two_days_each_time_with_what_it_came_with():
    car = a_car(car_id="a")
    found = stays(*EARLIER, session(7, 18, 31), session(8, 17, 30, soc=0.4))
    full, target = car.capacity_kwh, 0.8 * car.capacity_kwh
    assert found == [(12, 38, 0.5 * full, target), (58, 84, 0.4 * full, target)]


def test_a_car_that_stays_on_in_the_morning_is_there_with_what_was_promised_for_then():
    car = a_car(car_id="a")
    found = stays(*EARLIER, session(7, 18, 45, kwh=60.0))
    target = 0.8 * car.capacity_kwh
    assert found == [(12, 39, 0.5 * car.capacity_kwh, target), (39, 66, target, target)]


def test_a_car_whose_driver_has_said_to_stay_has_one_stay():
    until = local(date(2025, 1, 15), 20)
    found = stays(*EARLIER, session(7, 18, 31), session(8, 17, 30), intents={"a": StatedIntent(until, 0.9)})
    assert [row[:2] for row in found] == [(12, 64), (0, 0)]


def test_a_home_of_one_car_has_all_its_room_in_each_of_its_stays_and_a_shared_one_shares_it():
    homes = ("own", "shared", "shared")
    cars = [
        a_car(car_id=f"{n}", site=a_site(site_id=home, import_limit_kw=10.0)) for n, home in enumerate(homes)
    ]
    once = CarArrays.of(cars, NOON)
    twice = once.repeated(2)
    assert twice.count == 6
    assert twice.site[0] != twice.site[3]
    assert twice.site[1] == twice.site[2] == twice.site[4] == twice.site[5]
    assert twice.import_room_kw[twice.site].tolist() == [10.0] * 6
    there = twice.capacity_kwh > 0.0
    assert twice.shared_charge_kw(there)[[0, 3]].tolist() == once.shared_charge_kw(there[:3])[[0, 0]].tolist()
    assert once.repeated(1).site.tolist() == once.site.tolist()
