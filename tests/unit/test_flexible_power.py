"""Readings and baselines in the Flexible Power form: UTC and ends, local time and starts."""

import csv
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.files.metered import Asked, read_metered
from aggregator.flexible_power import WEEKDAYS, flexible_power_files, template_csv
from aggregator.model.errors import BadMessage
from aggregator.model.metering import MeteredInterval
from aggregator.model.time import HALF_HOUR, LONDON, Interval, settlement_periods, utc_text
from aggregator.operators_meters import told_by_operators
from aggregator.reports import StatementRow
from aggregator.settlement import MEASURED, NO_REGISTER, NOT_NOMINATED, Line
from aggregator.store import open_store
from tests.builders import ZONE

MINUTE = timedelta(minutes=1)
NOW = datetime(2025, 12, 1, tzinfo=UTC)
SPRING, AUTUMN, WINTER = date(2025, 3, 30), date(2025, 10, 26), date(2025, 1, 15)
METERS = ("007", "charger-1")


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


def read(tmp_path, *lines, header="meter_id,timestamp,power_kw", length=HALF_HOUR, meter=None):
    file = tmp_path / "meters.csv"
    file.write_text("\n".join([header, *lines]) + "\n")
    return read_metered(file, Asked(length, METERS, meter, NOW))


def refusals(tmp_path, *lines, **changes):
    with pytest.raises(BadMessage) as bad:
        read(tmp_path, *lines, **changes)
    return [(one.where.removeprefix("meters.csv: "), one.value) for one in bad.value.faults]


# reading


def test_a_stamp_is_utc_and_names_the_end_and_positive_is_export(tmp_path):
    first, second = read(tmp_path, "007,2025-06-15T17:30:00Z,-3.0", "charger-1,2025-06-15 18:00,7.4")
    assert first.span == Interval(
        datetime(2025, 6, 15, 17, tzinfo=UTC), datetime(2025, 6, 15, 17, 30, tzinfo=UTC)
    )
    assert (first.meter_id, first.export_wh, first.received_at) == ("007", -1500.0, NOW)
    assert (second.span.start, second.export_wh) == (first.span.end, 3700.0)


def test_energy_is_read_as_well_as_power_and_a_file_may_have_one_meter(tmp_path):
    (one,) = read(tmp_path, "2025-06-15 18:00:00+00:00,-0.25", header="timestamp,energy_kwh", meter="007")
    assert (one.meter_id, one.export_wh) == ("007", -250.0)
    (minute,) = read(tmp_path, "007,2025-06-15T17:31:00Z,6", length=MINUTE)
    assert (minute.export_wh, minute.span.end - minute.span.start) == (100.0, MINUTE)


def test_a_line_that_stands_twice_counts_once(tmp_path):
    assert len(read(tmp_path, "007,2025-06-15T17:30:00Z,1.0", "007,2025-06-15 17:30,1")) == 1


@pytest.mark.parametrize(
    ("line", "where", "value"),
    [
        ("unknown,2025-06-15T17:30:00Z,1", "meter_id", "unknown"),
        (",2025-06-15T17:30:00Z,1", "meter_id", "(missing)"),
        ("007,2025-06-15T17:30:00+01:00,1", "timestamp", "2025-06-15T17:30:00+01:00"),
        ("007,2025-06-15,1", "timestamp", "2025-06-15"),
        ("007,15/06/2025 17:30,1", "timestamp", "15/06/2025 17:30"),
        ("007,2025-06-31T17:30:00Z,1", "timestamp", "2025-06-31T17:30:00Z"),
        ("007,2025-06-15T17:31:00Z,1", "timestamp", "2025-06-15T17:31:00Z"),
        ("007,2025-12-01T00:30:00Z,1", "timestamp", "2025-12-01T00:30:00Z"),
        ("007,1999-12-01T00:30:00Z,1", "timestamp", "1999-12-01T00:30:00Z"),
        ("007,2025-06-15T17:30:00Z,nan", "power_kw", "nan"),
        ("007,2025-06-15T17:30:00Z,inf", "power_kw", "inf"),
        ("007,2025-06-15T17:30:00Z,1_0", "power_kw", "1_0"),
        ("007,2025-06-15T17:30:00Z,101", "power_kw", "101"),
        ("007,2025-06-15T17:30:00Z", "power_kw", "(missing)"),
        ("007,2025-06-15T17:30:00Z,1,2", "", "007,2025-06-15T17:30:00Z,1,2"),
    ],
)
def test_a_line_that_is_wrong_is_named_with_its_column_and_value(tmp_path, line, where, value):
    good = "charger-1,2025-06-15T17:30:00Z,1"
    found = refusals(tmp_path, good, line)
    assert found == [(f"line 3.{where}".rstrip("."), value)]


def test_two_lines_that_say_different_things_of_one_end_are_refused(tmp_path):
    found = refusals(tmp_path, "007,2025-06-15T17:30:00Z,1", "007,2025-06-15T17:30:00Z,2", "x,,")
    assert found[0] == ("line 3.power_kw", "2")
    assert len(found) == 4


@pytest.mark.parametrize(
    ("header", "meter"),
    [
        ("timestamp,power_kw", None),
        ("meter_id,timestamp", None),
        ("meter_id,timestamp,power_kw,energy_kwh", None),
        ("meter_id,timestamp,power_kw,note", None),
        ("meter_id,timestamp,power_kw", "007"),
        ("", None),
    ],
)
def test_other_columns_are_refused(tmp_path, header, meter):
    assert refusals(tmp_path, header=header, meter=meter)[0][0] == "header"


# half-hours


@pytest.mark.parametrize(("day", "count"), [(SPRING, 46), (WINTER, 48), (AUTUMN, 50)])
def test_a_day_of_lines_is_a_day_of_half_hours(tmp_path, store, day, count):
    periods = settlement_periods(day)
    lines = [f"007,{utc_text(one.end)},{n}" for n, one in enumerate(periods)]
    assert store.intervals.add(read(tmp_path, *lines)) == count
    found = told_by_operators(store.intervals, METERS, periods)
    assert [found["007", one] for one in periods] == [500 * n for n in range(count)]
    assert len(found) == count
    assert store.intervals.add(read(tmp_path, *reversed(lines))) == 0


def minutes_of(period, meter="007", wh=10.0, known_at=NOW):
    return [MeteredInterval(meter, one, known_at, wh) for one in period.slots(MINUTE)]


def test_minutes_fill_a_half_hour_only_all_together(store):
    first, second, _ = settlement_periods(WINTER)[:3]
    store.intervals.add([*minutes_of(first), *minutes_of(second)[:-1], *minutes_of(second, "charger-1")[1:]])
    assert told_by_operators(store.intervals, METERS, [first, second]) == {("007", first): 300}


def test_of_what_was_told_twice_the_later_word_counts_and_the_earlier_is_still_known(store):
    period = settlement_periods(WINTER)[34]
    half_hour = MeteredInterval("007", period, NOW - 2 * MINUTE, 900.0)
    corrected = replace(half_hour, received_at=NOW - MINUTE, export_wh=-900.0)
    for told in ([half_hour], [corrected], minutes_of(period)):
        store.intervals.add(told)
    known = [
        told_by_operators(store.intervals, METERS, [period], NOW - n * MINUTE).get(("007", period))
        for n in (3, 2, 1, 0)
    ]
    assert known == [None, 900, -900, 300]


@given(st.lists(st.floats(-50, 50), min_size=30, max_size=30))
def test_minutes_of_power_come_to_the_half_hour_s_energy(tmp_path_factory, powers):
    period = settlement_periods(WINTER)[0]
    lines = [f"007,{utc_text(one.end)},{kw!r}" for one, kw in zip(period.slots(MINUTE), powers, strict=True)]
    rows = read(tmp_path_factory.mktemp("minutes"), *lines, length=MINUTE)
    assert sum(one.export_wh for one in rows) == pytest.approx(1000 * sum(powers) / 60, abs=1e-3)


# writing


def test_a_template_has_48_half_hours_each_day_of_the_week_whatever_clocks_do():
    for first in (SPRING - timedelta(days=3), AUTUMN - timedelta(days=6), WINTER):
        text = template_csv(first, lambda period: float(period.start.astimezone(LONDON).hour))
        rows = list(csv.DictReader(text.splitlines()))
        assert [row["day_of_week"] for row in rows] == [day for day in WEEKDAYS for _ in range(48)]
        assert {row["local_time"] for row in rows} == {f"{n // 2:02}:{30 * (n % 2):02}" for n in range(48)}
        plain = [row for row in rows if row["local_time"] not in ("01:00", "01:30")]
        assert all(float(row["power_kw"]) == int(row["local_time"][:2]) for row in plain)


def power_at_one(first, power_at):
    rows = csv.DictReader(template_csv(first, power_at).splitlines())
    return [
        row["power_kw"] for row in rows if row["day_of_week"] == "SUNDAY" and row["local_time"] == "01:00"
    ]


def test_a_skipped_time_takes_the_next_one_and_a_repeated_one_the_mean():
    hours = {"01:00": 3.0, "02:00": 2.0}
    assert power_at_one(SPRING, lambda one: hours.get(f"{one.start.astimezone(LONDON):%H:%M}", 0.0)) == [
        "2.000"
    ]
    fold = {0: -1.0, 1: 2.0}
    assert power_at_one(AUTUMN, lambda one: fold[one.start.astimezone(LONDON).fold]) == ["0.500"]


def test_a_template_with_a_half_hour_missing_is_refused():
    gap = settlement_periods(WINTER)[3]
    with pytest.raises(ValueError, match="1 of 336 half-hours, from 2025-01-15T01:30:00Z on"):
        template_csv(WINTER, lambda period: None if period == gap else 0.0)


def a_row(period, opportunity="one", quality=MEASURED, **changes):
    nothing = dict.fromkeys(("availability_gbp", "utilisation_gbp", "penalty_gbp"), Decimal(0))
    energies = ("instructed_wh", "baseline_export_wh", "base_wh", "kept_wh", "delivered_wh", "deficiency_wh")
    said = dict.fromkeys(energies, 0) | nothing
    said |= {"zone": ZONE, "product": "up/1", "settlement_date": WINTER, "settlement_period": 1}
    said |= {
        "needed_kw": 0.0,
        "metered_export_wh": -1234,
        "factor": Decimal(1),
        "amount_gbp": Decimal("0.00"),
    }
    said |= {"shares_wh": (), "period": period, "opportunity": opportunity, "quality": quality}
    return StatementRow(Line(**said | changes), 1)


def test_a_statement_is_told_by_ends_in_utc_without_what_nobody_measured():
    first, second, third = settlement_periods(date(2025, 6, 15))[:3]
    rows = [
        a_row(second, quality=f"{NOT_NOMINATED}; {NO_REGISTER}"),
        a_row(third, quality=f"{NO_REGISTER} (1 of 2 chargers)"),
        a_row(first, delivered_wh=5000),
        a_row(first, "=two"),
    ]
    files = flexible_power_files(rows)
    readings, statement = (
        files[f"flexible_power_{name}_{ZONE}_up%2F1.csv"] for name in ("readings", "statement")
    )
    assert readings == "timestamp,energy_kwh\n2025-06-14T23:30:00Z,-1.234\n2025-06-15T00:30:00Z,-1.234\n"
    told = list(csv.DictReader(statement.splitlines()))
    assert [(one["timestamp"], one["opportunity"]) for one in told] == [
        ("2025-06-14T23:30:00Z", "'=two"),
        ("2025-06-14T23:30:00Z", "one"),
        ("2025-06-15T00:00:00Z", "one"),
        ("2025-06-15T00:30:00Z", "one"),
    ]
    assert told[1]["delivered_kwh"] == "5.000"
