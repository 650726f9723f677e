"""Baselines worked out a second time, on tables, from the published text alone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.baselines import baseline
from aggregator.model.market import Direction
from aggregator.model.rules import BaselineMethod, BaselineRule, Fallback
from aggregator.model.time import HALF_HOUR, Interval

LONDON = ZoneInfo("Europe/London")
ENGLISH = holidays.country_holidays("GB", subdiv="ENG")
DAY = timedelta(days=1)


@st.composite
def histories(draw):
    """Return 75 days of half-hours before and of an event, some unknown, and days with other events."""
    day = draw(st.dates(date(2024, 3, 1), date(2025, 12, 31)))
    hour = draw(st.integers(12, 20))
    starts = pd.date_range(
        datetime.combine(day - 75 * DAY, datetime.min.time(), LONDON), periods=48 * 76, freq="30min"
    ).tz_convert("UTC")
    seed = draw(st.integers(0, 2**16))
    known = pd.Series(
        [
            None if (n * 7919 + seed) % 97 == 0 else (n * seed * 31 + n * n) % 9001 - 6000
            for n in range(len(starts))
        ],
        index=starts,
        dtype=object,
    )
    events = draw(st.sets(st.integers(1, 60), max_size=8))
    start = datetime.combine(day, datetime.min.time(), LONDON).replace(hour=hour).astimezone(UTC)
    length = draw(st.integers(1, 6))
    periods = [Interval(start + n * HALF_HOUR, start + (n + 1) * HALF_HOUR) for n in range(length)]
    return day, periods, known, frozenset(day - n * DAY for n in events)


def again(day, periods, known, events, *, adjusted, trimmed):
    """Work out BL01, or mid-8-of-10, on a table of local days by local times; None with too few days."""
    local = known.index.tz_convert("Europe/London")
    table = pd.DataFrame({"day": local.date, "time": local.strftime("%H:%M"), "wh": known.to_numpy()})
    table = table.drop_duplicates(["day", "time"]).pivot(index="day", columns="time", values="wh")
    at = [f"{period.start.astimezone(LONDON):%H:%M}" for period in periods]
    ends = periods[0].start - timedelta(hours=1)
    ahead = (
        [f"{(ends - n * HALF_HOUR).astimezone(LONDON):%H:%M}" for n in range(6, 0, -1)] if adjusted else []
    )

    def off(one):
        return one.weekday() >= 5 or one in ENGLISH

    like = [one for one in table.index if day - 60 * DAY <= one < day and off(one) == off(day)]
    like = table.loc[[one for one in like if one not in events], ahead + at].dropna().astype(float)
    wanted = 10 if trimmed or not off(day) else 4
    if len(like) < wanted:
        return None
    like = like.tail(wanted)
    if trimmed:
        like = like.loc[like[at].sum(axis=1).sort_values(kind="stable").index[1:-1]]
    mean = like.mean()
    measured = table.loc[day, ahead].dropna().astype(float) if adjusted else pd.Series(dtype=float)
    moved = (measured - mean[ahead]).sum() / 6 if adjusted and len(measured) == 6 else 0.0
    return [mean[time] + moved for time in at]


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("method", [BaselineMethod.BL01, BaselineMethod.MIDDLE_8_OF_10])
@settings(deadline=None, max_examples=30)
@given(history=histories())
def test_tables_give_the_same_baseline(method, adjusted, history):
    day, periods, known, events = history
    rule = BaselineRule(method, adjusted=adjusted, fallback=Fallback.NOMINATED)
    told = known.to_dict()
    nominated = [7] * len(periods)
    found = baseline(
        *(rule, Direction.UP, periods, nominated),
        lambda ones: [told[pd.Timestamp(one.start)] for one in ones],
        *(events, 1),
    )
    expected = again(
        day, periods, known, events, adjusted=adjusted, trimmed=method is not BaselineMethod.BL01
    )
    if expected is None:
        assert list(found.export_wh) == nominated
        assert found.remark.startswith("baseline nominated instead")
    else:
        assert all(abs(wh - other) <= 0.5 + 1e-6 for wh, other in zip(found.export_wh, expected, strict=True))
