"""Times that stand in words, as pages show them: by London's clocks, in UTC on hover and for programs."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta

from markupsafe import Markup, escape

from aggregator.model.time import LONDON, Interval, local_day, shown_on
from aggregator.web.words import UTC_STAMP, at, stamp_form, stamp_of, sterling

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CLOCK = re.compile(
    rf"(?:\b(?P<day>\d\d) (?P<month>{'|'.join(MONTHS)})(?: (?P<year>\d{{4}}))? )?"
    r"(?<![\d:.])(?P<clock>(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?)(?!:?\d)"
)
TO = re.compile(r"[-–]| to ")


def told(text: str, window: Interval | None = None) -> Markup:
    """Return words as pages show them (``aggregator/web/words.py``), each instant with its hover.

    Args:
        text: Words; instants in UTC are shown by London's clocks.
        window: About when they are, for times by London's clocks without a date; those stay bare where that
            does not say which day is meant.
    """
    parts: list[Markup] = []
    end = 0
    for found in UTC_STAMP.finditer(text):
        instant = stamp_of(found)
        if instant is not None:
            parts += [_local(text[end : found.start()], window), at(instant, stamp_form(instant))]
            end = found.end()
    return Markup("").join([*parts, _local(text[end:], window)])


def day_of(instant: datetime) -> Interval:
    """Return London's day of an instant: of what was written then, a time without a date is of that day."""
    return local_day(instant.astimezone(LONDON).date())


def _local(text: str, window: Interval | None) -> Markup:
    """Return words with the hover of the times by London's clocks in them."""
    text = sterling(text)
    return Markup("").join(_parts(text, window)) if window is not None else escape(text)


def _parts(text: str, window: Interval) -> Iterator[Markup]:
    end, before = 0, time.min
    day: date | None = None
    is_first = True
    for found in CLOCK.finditer(text):
        clock = time.fromisoformat(found["clock"])
        if found["month"]:
            day = _date(found, window.start.astimezone(LONDON).date())
        elif is_first or TO.fullmatch(text[end : found.start()]) is None:
            day = _day_in(window, clock)
        elif day is not None and clock < before:
            day += timedelta(days=1)
        yield escape(text[end : found.start("clock")])
        shown = shown_on(day, clock) if day is not None else None
        is_one = shown is not None and shown[0] == shown[1]
        yield at(shown[0], _as(found["clock"])) if shown and is_one else escape(found["clock"])
        end, before, is_first = found.end(), clock, False
    yield escape(text[end:])


def _day_in(window: Interval, clock: time) -> date | None:
    """Return the day on which clocks show a time first in a window of a day at most; None in a longer one."""
    if window.end - window.start > timedelta(days=1):
        return None
    start = window.start.astimezone(LONDON)
    return start.date() if clock >= start.time() else start.date() + timedelta(days=1)


def _date(found: re.Match[str], near: date) -> date | None:
    """Return the date that words name, without a year the nearest to another; None where there is none."""
    years = [int(found["year"])] if found["year"] else [near.year + n for n in (-1, 0, 1)]
    dates = []
    for year in years:
        with suppress(ValueError):
            dates.append(date(year, MONTHS.index(found["month"]) + 1, int(found["day"])))
    return min(dates, key=lambda one: abs(one - near), default=None)


def _as(clock: str) -> str:
    return "%H:%M:%S" if clock.count(":") > 1 else "%H:%M"
