"""Why a night counts, or does not, in words a driver can check."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from aggregator.cycles import credit_gbp, days_of, judged, month_around, night_of, span_of
from aggregator.model.metering import Presence
from aggregator.model.time import LONDON, Interval

DAY = date(2024, 10, 8)


def at(text, day=DAY):
    """Return the instant at which London's clocks show a time, of the next day with a ``+``."""
    plus = text.count("+")
    shown = time.fromisoformat(text.lstrip("+"))
    return datetime.combine(day + timedelta(days=plus), shown, LONDON).astimezone(UTC)


def span(text, day=DAY):
    start, end = text.split("..")
    return Interval(at(start, day), at(end, day))


def seen(*stays, silences=(), heard="00:00..++23:00", day=DAY):
    silent = tuple(span(one, day) for one in silences)
    return Presence(tuple(span(one, day) for one in stays), silent, span(heard, day))


@pytest.mark.parametrize(
    ("presence", "why"),
    [
        (seen("16:12..+07:45"), "plugged in from 16:12 to 07:45"),
        (seen("17:59:59..+05:00"), "plugged in from 17:59:59 to 05:00"),
        (seen("16:12..+++07:45"), "plugged in from 16:12 to 07:45 on 11 October"),
        (
            seen("16:12..+07:45", silences=["23:10..+01:05"]),
            "plugged in from 16:12 to 07:45; link lost from 23:10 to 01:05, plugged in before and after",
        ),
    ],
)
def test_a_night_that_counts_says_from_when_to_when(presence, why):
    night = judged(DAY, presence)
    assert (night.counts, night.why) == (True, why)


@pytest.mark.parametrize(
    ("presence", "why"),
    [
        (seen("18:04..+07:45"), "arrived 18:04"),
        (seen("18:00..+07:45"), "arrived 18:00"),
        (seen("18:00:07..+07:45"), "arrived 18:00:07"),
        (seen("16:12..+04:40"), "left 04:40"),
        (seen("16:12..+04:59:59"), "left 04:59:59"),
        (seen("19:00..+04:00"), "arrived 19:00; left 04:00"),
        (seen("16:00..22:10", "22:15..+07:00"), "unplugged from 22:10 to 22:15"),
        (seen("10:00..17:30"), "not plugged in"),
        (seen(), "not plugged in"),
        (Presence(()), "nothing heard from the charger"),
        (seen(heard="00:00..17:00"), "nothing heard from the charger"),
        (seen(silences=["17:00..+06:00"]), "link lost from 17:00 to 06:00"),
        (
            seen("16:00..23:12", silences=["23:12..+06:01"]),
            "link lost from 23:12 to 06:01, not plugged in when it was back",
        ),
        (
            seen("19:05..+07:00", silences=["16:20..19:05"]),
            "link lost from 16:20 to 19:05, plugged in when it was back",
        ),
        (seen("16:00..23:12", heard="00:00..23:12"), "link lost from 23:12 on"),
        (seen("19:05..+07:00", heard="19:05..+23:00"), "nothing heard before 19:05, plugged in then"),
    ],
)
def test_a_night_that_does_not_count_says_why(presence, why):
    night = judged(DAY, presence)
    assert (night.counts, night.why) == (False, why)


@pytest.mark.parametrize(
    ("evening", "hours", "left", "why"),
    [
        (date(2024, 10, 26), 12, "+04:40", "left 04:40 GMT"),
        (date(2024, 3, 30), 10, "+04:40", "left 04:40 BST"),
        (date(2024, 10, 8), 11, "+04:40", "left 04:40"),
    ],
)
def test_clock_change_nights_are_longer_or_shorter_and_name_the_zone(evening, hours, left, why):
    night = night_of(evening)
    assert night.hours == hours
    assert judged(evening, seen("17:00..+05:00", day=evening)).counts
    short = Presence((Interval(night.start - timedelta(hours=1), night.end - timedelta(seconds=1)),))
    assert not judged(evening, short).counts
    assert judged(evening, seen(f"17:00..{left}", day=evening)).why == why


def test_a_night_that_is_not_over_does_not_count_yet():
    presence = seen("16:00..+07:00")
    before = judged(DAY, presence, night_of(DAY).end - timedelta(seconds=1))
    assert (before.counts, before.why) == (False, "the night is not over")
    assert judged(DAY, presence, night_of(DAY).end).counts


def test_twelve_nights_earn_thirty_pounds_and_eleven_nothing():
    assert [credit_gbp(n) for n in (0, 11, 12, 31)] == [
        Decimal(gbp) for gbp in ("0.00", "0.00", "30.00", "30.00")
    ]


@pytest.mark.parametrize(
    ("month", "days", "hours"),
    [(date(2024, 10, 1), 31, 745), (date(2024, 3, 1), 31, 743), (date(2024, 2, 1), 29, 696)],
)
def test_a_month_has_its_own_days_and_hours(month, days, hours):
    assert len(days_of(month)) == days
    assert span_of(month).hours == hours
    around = month_around(month)
    assert around.start < span_of(month).start
    assert around.end > night_of(days_of(month)[-1]).end
