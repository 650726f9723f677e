from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aggregator.model.time import (
    HALF_HOUR,
    LONDON,
    Interval,
    floor_half_hour,
    half_hours,
    local_day,
    next_local,
    parse_instant,
    settlement_period,
    settlement_periods,
    utc_text,
)
from tests.strategies import instants, intervals

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
days = st.dates(date(1996, 1, 1), date(2037, 12, 30))
zones = st.sampled_from([LONDON, AMSTERDAM])
short = st.builds(
    lambda start, length: Interval(start, start + length),
    instants,
    st.timedeltas(timedelta(seconds=1), timedelta(hours=30)),
)


def utc(text):
    return parse_instant(f"{text}Z")


@pytest.mark.parametrize(
    ("day", "count", "quarters"),
    [(date(2025, 3, 30), 46, 92), (date(2025, 1, 15), 48, 96), (date(2025, 10, 26), 50, 100)],
)
def test_a_day_has_46_48_or_50_periods(day, count, quarters):
    assert len(settlement_periods(day)) == count
    assert len(settlement_periods(day, AMSTERDAM, timedelta(minutes=15))) == quarters


@given(days, zones)
def test_periods_tile_the_day_and_the_days_tile_time(day, zone):
    periods = settlement_periods(day, zone)
    assert periods[0].start == local_day(day, zone).start
    assert periods[-1].end == local_day(day + timedelta(days=1), zone).start
    assert all(one.end == following.start for one, following in pairwise(periods))
    assert all(period.end - period.start == HALF_HOUR for period in periods)


@given(days, zones, st.data())
def test_a_period_and_its_number_name_each_other(day, zone, data):
    periods = settlement_periods(day, zone)
    number = data.draw(st.integers(1, len(periods)))
    period = periods[number - 1]
    within = data.draw(st.timedeltas(timedelta(0), HALF_HOUR - timedelta(microseconds=1)))
    assert settlement_period(period.start + within, zone) == (day, number)


def test_a_length_that_does_not_divide_the_day_is_refused():
    with pytest.raises(ValueError, match="does not divide"):
        settlement_periods(date(2025, 1, 15), LONDON, timedelta(minutes=7))


@pytest.mark.parametrize("ask", [settlement_period, lambda at: next_local(at, time(7)), utc_text])
def test_a_naive_instant_is_refused(ask):
    with pytest.raises(ValueError, match="has no time zone"):
        ask(datetime(2025, 1, 15, 17))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2025-01-15", "2025-01-15T17:00:00", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00+01:00"],
)
def test_a_text_that_is_no_instant_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_instant(text)


@given(instants)
def test_an_instant_is_read_back_from_its_text(instant):
    assert parse_instant(utc_text(instant)) == instant
    assert parse_instant(instant.astimezone(AMSTERDAM).isoformat()) == instant


@given(intervals)
def test_an_interval_is_half_open_and_never_empty(interval):
    assert interval.start in interval
    assert interval.end not in interval
    assert interval.hours > 0
    for start, end in ((interval.start, interval.start), (interval.end, interval.start)):
        with pytest.raises(ValueError, match="must not be empty"):
            Interval(start, end)


def test_an_interval_without_a_zone_is_refused_and_any_zone_becomes_utc():
    naive = datetime(2025, 1, 15, 17)  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="interval end has no time zone"):
        Interval(datetime(2025, 1, 15, tzinfo=UTC), naive)
    summer = datetime(2025, 7, 1, 17, tzinfo=LONDON)
    assert Interval(summer, summer + HALF_HOUR).start.isoformat() == "2025-07-01T16:00:00+00:00"


def test_an_interval_over_the_autumn_night_counts_the_hour_twice():
    assert local_day(date(2025, 10, 26)).hours == 25
    assert local_day(date(2025, 3, 30)).hours == 23


@given(short, short)
def test_an_overlap_is_what_both_hold(one, other):
    shared = one.overlap(other)
    assert shared == other.overlap(one)
    assert one.overlap(one) == one
    if shared is None:
        assert one.end <= other.start or other.end <= one.start
    else:
        assert shared.overlap(one) == shared == shared.overlap(other)
        assert shared.start in one
        assert shared.start in other


@given(instants, st.timedeltas(timedelta(microseconds=1), timedelta(hours=3)), st.integers(1, 40))
def test_slots_tile_an_interval(start, length, count):
    interval = Interval(start, start + count * length)
    slots = interval.slots(length)
    assert len(slots) == count
    assert (slots[0].start, slots[-1].end) == (interval.start, interval.end)
    assert all(one.end == following.start for one, following in pairwise(slots))


@given(short)
def test_half_hours_cover_an_interval_and_no_more(interval):
    found = list(half_hours(interval))
    assert found[0].start == floor_half_hour(interval.start)
    assert found[-1].start < interval.end <= found[-1].end
    assert all(one.end == following.start for one, following in pairwise(found))
    assert sum(one.overlap(interval).hours for one in found) == pytest.approx(interval.hours)


local_times = st.times(time(0), time(23, 59)).map(lambda at: at.replace(second=0, microsecond=0))
nights = st.sampled_from(["2025-03-29T12:00", "2025-10-25T12:00", "2025-01-15T12:00", "2025-07-01T12:00"])


@given(nights, st.timedeltas(timedelta(0), timedelta(hours=36)), local_times)
def test_the_next_local_time_is_the_first_at_which_clocks_show_it(night, into, at):
    after = utc(night) + into
    found = next_local(after, at)
    minutes = int((found - after) / timedelta(minutes=1)) + 1
    first = after.replace(second=0, microsecond=0)
    shown = [
        instant
        for n in range(minutes + 2)
        if after < (instant := first + timedelta(minutes=n)) <= found
        and instant.astimezone(LONDON).time() == at
    ]
    assert found > after
    assert found - after <= timedelta(hours=25)
    skipped = date(2025, 3, 30) == found.astimezone(LONDON).date() and at.hour == 1
    assume(not skipped)
    assert shown == [found]


def test_a_time_that_comes_twice_is_met_twice():
    half_past_one = time(1, 30)
    first = next_local(utc("2025-10-26T00:00"), half_past_one)
    second = next_local(first, half_past_one)
    assert (first, second) == (utc("2025-10-26T00:30"), utc("2025-10-26T01:30"))
    assert next_local(second, half_past_one) == utc("2025-10-27T01:30")


def test_a_time_that_clocks_skip_is_met_as_much_after_the_skip():
    assert next_local(utc("2025-03-30T00:45"), time(1, 30)) == utc("2025-03-30T01:30")
    assert next_local(utc("2025-03-30T01:30"), time(1, 30)) == utc("2025-03-31T00:30")
