"""Baselines against published arithmetic, and what happens where the rule cannot be kept."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest

from aggregator.baselines import adjustment_window, baseline, like_days, same_time
from aggregator.model.market import Direction
from aggregator.model.rules import BaselineMethod, BaselineRule, Fallback
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.working_days import is_working_day
from tests.builders import EVENING, SLOTS

TODAY = date(2025, 1, 15)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BL01 = BaselineRule(BaselineMethod.BL01)
ADJUSTED = BaselineRule(BaselineMethod.BL01, adjusted=True)
MIDDLE = BaselineRule(BaselineMethod.MIDDLE_8_OF_10)
NO_NOMINATION = (None,) * len(SLOTS)


def used(of):
    """Return a past that tells, for each half-hour, what ``of`` makes of its start. [Wh, export positive]"""
    return lambda periods: [of(period.start) for period in periods]


def worked(
    rule, usage, *, periods=SLOTS, direction=Direction.UP, nominated=NO_NOMINATION, events=(), chargers=3
):
    return baseline(rule, direction, periods, nominated, usage, frozenset(events), chargers)


def by_day(start):
    """Return 1 Wh for yesterday, 2 for the day before and so on; nothing is known of days before 60."""
    back = (TODAY - start.date()).days
    return back if back <= 60 else None


# the simple ones


def test_the_nomination_counts_unless_a_product_says_otherwise():
    assert worked(BaselineRule(), used(by_day), nominated=(1, -2, None, 4)).export_wh == (1, -2, None, 4)


def test_zero_is_zero():
    assert worked(BaselineRule(BaselineMethod.ZERO), used(by_day)).export_wh == (0, 0, 0, 0)


def test_a_profile_is_read_at_local_time():
    kw = tuple(-0.1 * n for n in range(48))
    rule = BaselineRule(BaselineMethod.FIXED, profile_kw=kw)
    assert worked(rule, used(by_day)).export_wh == (-1700, -1750, -1800, -1850)
    summer = [Interval(slot.start + 181 * DAY, slot.end + 181 * DAY) for slot in SLOTS]
    assert worked(rule, used(by_day), periods=summer).export_wh == (-1800, -1850, -1900, -1950)


def test_a_profile_may_be_a_week_and_that_of_one_charger():
    kw = (0.0,) * (2 * 48 + 34) + (-0.83,) * 4 + (0.0,) * (5 * 48 - 38)
    rule = BaselineRule(BaselineMethod.FIXED, profile_kw=kw, per_charger=True)
    assert worked(rule, used(by_day), chargers=150).export_wh == (-62_250,) * 4
    monday = [Interval(slot.start - 2 * DAY, slot.end - 2 * DAY) for slot in SLOTS]
    assert worked(rule, used(by_day), periods=monday).export_wh == (0,) * 4


# like days


def test_like_days_are_of_the_same_kind_and_without_an_event():
    days = list(islice(like_days(BL01, TODAY, {date(2025, 1, 13)}), 9))
    january = [date(2025, 1, n) for n in (14, 10, 9, 8, 7, 6, 3, 2)]
    assert days == [*january, date(2024, 12, 31)]  # New Year's Day is a holiday


def test_a_bank_holiday_is_like_weekends():
    days = list(islice(like_days(BL01, date(2025, 5, 5), ()), 4))
    assert days == [date(2025, 5, 4), date(2025, 5, 3), date(2025, 4, 27), date(2025, 4, 26)]


@pytest.mark.parametrize(
    ("day", "code", "working"),
    [
        (date(2025, 1, 2), "GB-ENG", True),
        (date(2025, 1, 2), "GB-SCT", False),
        (date(2025, 12, 26), "GB-ENG", False),
        (date(2025, 12, 26), "none", True),
        (date(2025, 12, 27), "none", False),
        (date(2025, 5, 17), "NO", False),
    ],
)
def test_working_days_are_a_countrys(day, code, working):
    assert is_working_day(day, code) is working


def test_an_unknown_country_is_no_calendar():
    with pytest.raises(ValueError, match="ISO 3166"):
        is_working_day(TODAY, "XX")


def test_no_day_is_sought_beyond_the_lookback():
    days = list(like_days(BL01, TODAY, ()))
    assert days[-1] == date(2024, 11, 18)
    assert all(TODAY - 60 * DAY <= day < TODAY for day in days)


def test_a_like_day_has_the_same_local_time():
    summer = datetime(2025, 4, 1, 16, tzinfo=UTC)
    period = Interval(summer, summer + HALF_HOUR)
    assert same_time(period, date(2025, 4, 1), date(2025, 3, 28)).start == datetime(
        2025, 3, 28, 17, tzinfo=UTC
    )


def test_an_hour_that_clocks_skip_is_like_no_other():
    night = datetime(2025, 3, 31, 0, 30, tzinfo=UTC)
    period = Interval(night, night + HALF_HOUR)
    assert same_time(period, date(2025, 3, 31), date(2025, 3, 30)) is None
    assert same_time(period, date(2025, 3, 31), date(2025, 3, 29)) is not None


def test_an_event_over_midnight_looks_at_the_night_after_a_like_day():
    late = datetime(2025, 1, 15, 23, 30, tzinfo=UTC)
    periods = [Interval(late + n * HALF_HOUR, late + (n + 1) * HALF_HOUR) for n in range(2)]
    asked = []
    worked(BL01, lambda ones: asked.append(ones) or [0] * len(ones), periods=periods, nominated=(0, 0))
    assert [one.start for one in asked[0][:2]] == [period.start - DAY for period in periods]


# BL01


def test_bl01_is_the_mean_of_the_ten_latest_working_days():
    found = worked(BL01, used(by_day))
    assert len(found.days) == 10
    assert found.days[0] == date(2025, 1, 14)
    assert found.days[-1] == date(2024, 12, 31)
    assert found.export_wh == (round(sum((TODAY - day).days for day in found.days) / 10),) * 4
    assert found.remark == ""


def test_bl01_of_a_weekend_takes_four_days():
    saturday = [Interval(slot.start + 3 * DAY, slot.end + 3 * DAY) for slot in SLOTS]
    assert worked(BL01, used(lambda _: -500), periods=saturday).days == (
        *(date(2025, 1, 12), date(2025, 1, 11), date(2025, 1, 5), date(2025, 1, 4)),
    )


def test_a_mean_is_rounded_once_half_to_even():
    assert worked(BL01, used(lambda at: -5 if at.date().day % 2 else -4)).export_wh[0] == -4


def test_the_published_in_day_adjustment():
    """The formula quoted for the DFS: use of 0.5 kWh on like days, 0.25 in the window and in the event."""
    usage = used(lambda at: -250 if at.date() == TODAY else -500)
    found = worked(ADJUSTED, usage)
    assert found.moved_wh == 250
    assert found.export_wh == (-250,) * 4
    assert [wh - -250 for wh in found.export_wh] == [0] * 4  # delivered


def test_the_adjustment_window_is_three_hours_that_end_an_hour_before():
    window = adjustment_window(SLOTS)
    assert len(window) == 6
    assert window[0].start == EVENING.start - 4 * HOUR
    assert window[-1].end == EVENING.start - HOUR


def test_the_adjustment_is_the_mean_difference_in_its_window():
    def of(at):
        if at.date() == TODAY:
            return -1000 - 100 * ((at - EVENING.start) // HALF_HOUR)
        return -400

    found = worked(ADJUSTED, used(of))
    assert found.moved_wh == round(sum(-600 - 100 * n for n in range(-8, -2)) / 6)


def test_an_adjustment_window_that_was_not_measured_moves_nothing():
    found = worked(ADJUSTED, used(lambda at: None if at.date() == TODAY else -500))
    assert found.export_wh == (-500,) * 4
    assert "not adjusted" in found.remark


@pytest.mark.parametrize(
    ("direction", "before", "flagged"),
    [
        (Direction.UP, -1000, "use raised before the event: 500 Wh a half-hour in our favour"),
        (Direction.UP, -600, ""),
        (Direction.UP, 0, ""),
        (Direction.DOWN, -100, "use lowered before the event: 400 Wh a half-hour in our favour"),
        (Direction.DOWN, -1000, ""),
    ],
)
def test_use_that_moves_the_baseline_in_our_favour_is_flagged(direction, before, flagged):
    usage = used(lambda at: before if at.date() == TODAY else -500)
    found = worked(ADJUSTED, usage, direction=direction)
    assert found.remark.startswith(flagged) if flagged else found.remark == ""
    assert found.moved_wh == before + 500


# mid-8-of-10


def test_mid_8_of_10_leaves_out_the_highest_and_the_lowest_day():
    found = worked(MIDDLE, used(by_day))
    ten = worked(BL01, used(by_day)).days
    assert found.days == ten[1:-1]
    assert found.export_wh == (round(sum((TODAY - day).days for day in ten[1:-1]) / 8),) * 4


def test_mid_8_of_10_takes_ten_days_at_weekends_too():
    saturday = [Interval(slot.start + 3 * DAY, slot.end + 3 * DAY) for slot in SLOTS]
    assert len(worked(MIDDLE, used(lambda _: -500), periods=saturday).days) == 8


def test_the_highest_day_is_that_of_the_event_not_of_the_adjustment_window():
    rule = BaselineRule(BaselineMethod.MIDDLE_8_OF_10, adjusted=True)

    def of(at):
        in_event = at.time() >= EVENING.start.time()
        return by_day(at) if in_event else -by_day(at)

    assert worked(rule, used(of)).days == worked(MIDDLE, used(by_day)).days


# too few days


def a_few(at):
    """Three like days are known: 14, 13 and 10 January."""
    return -600 if at.date() > date(2025, 1, 9) else None


def test_a_day_with_a_gap_is_passed_over():
    gap = datetime(2025, 1, 14, 18, tzinfo=UTC)
    found = worked(BL01, used(lambda at: None if at == gap else -600))
    assert found.days[0] == date(2025, 1, 13)
    assert len(found.days) == 10


@pytest.mark.parametrize(
    ("fallback", "export_wh", "remark"),
    [
        (Fallback.NOMINATED, (7, None, 8, 9), "baseline nominated instead: 3 like days of 10"),
        (Fallback.ZERO, (0, 0, 0, 0), "baseline zero instead: 3 like days of 10"),
        (Fallback.FEWER_DAYS, (-600,) * 4, "baseline of fewer days: 3 like days of 10"),
    ],
)
@pytest.mark.parametrize("method", [BaselineMethod.BL01, BaselineMethod.MIDDLE_8_OF_10])
def test_too_few_days_have_a_named_fallback(method, fallback, export_wh, remark):
    found = worked(BaselineRule(method, fallback=fallback), used(a_few), nominated=(7, None, 8, 9))
    assert (found.export_wh, found.remark) == (export_wh, remark)


def test_of_no_day_at_all_there_is_no_mean():
    found = worked(BaselineRule(BaselineMethod.BL01, fallback=Fallback.FEWER_DAYS), used(lambda _: None))
    assert found.export_wh == (None,) * 4
    assert found.remark == "no baseline: 0 like days of 10"
