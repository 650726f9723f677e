"""``flexloop readings import``, and what settles anew because of it: late, corrected, wrong and odd ones."""

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy.exc import IntegrityError

from aggregator.cli import run
from aggregator.model.fleet import Fleet
from aggregator.model.opportunity import DeliveryEnded, DeliveryStarted, Instructed
from aggregator.model.time import LONDON, Interval, settlement_periods, utc_text
from aggregator.store import open_store
from tests.builders import EVENING, a_fleet, a_nomination, an_instruction, some_steps
from tests.e2e.command_line import only_line, refused
from tests.e2e.test_same_bytes import NAMES, ROOT, ZONE, filled

CONFIG = str(ROOT / "config" / "gateway.toml")
HALF_HOURS = Interval(EVENING.start, EVENING.end).slots(timedelta(minutes=30))
DAY = ("--from", "2025-01-15", "--to", "2025-01-16")
MINUTE = timedelta(minutes=1)
HOME = "home a1"


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'f.db'}"
    filled(url)
    return url


def said(capsys, url, *words):
    assert run(["--config", CONFIG, "--database", url, "--json", *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def wrong(capsys, url, *words):
    return only_line(capsys, "--config", CONFIG, "--database", url, *words)


def metered(tmp_path, kw, meters=NAMES, periods=HALF_HOURS):
    """Write a file of half-hours at one power; return it."""
    file = tmp_path / "meters.csv"
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["meter_id", "timestamp", "power_kw"])
        table.writerows([[meter, utc_text(one.end), kw] for meter in meters for one in periods])
    return file


def settled(capsys, tmp_path, url, *words):
    said(capsys, url, "settle", *DAY, "--out", tmp_path / "out", *words)
    with (tmp_path / "out" / "statement.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stored(url):
    with open_store(url, create=False) as store:
        return (
            store.intervals.within(NAMES, EVENING),
            store.readings.count(),
            store.boundary_readings.count(),
        )


# csv


def test_a_file_counts_in_place_of_registers_and_makes_a_new_version_once(capsys, tmp_path, url):
    before = settled(capsys, tmp_path, url)
    file = metered(tmp_path, 3.0)
    first = said(capsys, url, "readings", "import", file)
    assert first == {"readings": 40, "new": 40, "meters": 10, "events": 0}
    assert said(capsys, url, "readings", "import", file)["new"] == 0
    rows = settled(capsys, tmp_path, url)
    assert [row["metered_export_kwh"] for row in rows] == ["15.000"] * 4
    assert {row["quality"] for row in rows} == {"from meter operators' files (10 of 10 chargers)"}
    assert [row["version"] for row in rows] == [str(int(row["version"]) + 1) for row in before]
    again = settled(capsys, tmp_path, url)
    assert again == rows
    versions = json.loads((tmp_path / "out" / "statement.json").read_text())["versions"]
    assert [one["reason"] for one in versions] == ["first settlement", "readings changed"]
    assert all(one["comes_out_again"] for one in versions)


def test_a_correction_changes_only_what_it_corrects_and_what_was_known_stays_known(capsys, tmp_path, url):
    said(capsys, url, "readings", "import", metered(tmp_path, 3.0))
    with open_store(url, create=False) as store:
        known_at = max(one.received_at for one in store.intervals.within(NAMES, EVENING))
    corrected = metered(tmp_path, 1.0, meters=NAMES[:1], periods=HALF_HOURS[:1])
    assert said(capsys, url, "readings", "import", corrected)["new"] == 1
    now = settled(capsys, tmp_path, url)
    assert [row["metered_export_kwh"] for row in now] == ["14.000", *["15.000"] * 3]
    then = settled(capsys, tmp_path, url, "--as-known-at", utc_text(known_at))
    assert [row["metered_export_kwh"] for row in then] == ["15.000"] * 4


def test_a_file_with_one_wrong_line_leaves_nothing(capsys, tmp_path, url):
    before, file = stored(url), metered(tmp_path, 3.0)
    with file.open("a") as out:
        out.write("a1,2025-01-15T18:10:00Z,1\nnobody,2025-01-15T18:30:00Z,x\n")
    lines, body = refused(capsys, "--config", CONFIG, "--database", url, "readings", "import", file)
    assert [one["where"] for one in body["errors"]] == [
        "meters.csv: line 42.timestamp",
        "meters.csv: line 43.meter_id",
        "meters.csv: line 43.power_kw",
    ]
    assert "at :00 or :30; minutes are read with --every 1" in lines[0]
    assert stored(url) == before


@pytest.mark.parametrize(("day", "count"), [("2025-03-30", 46), ("2025-10-26", 50)])
def test_days_on_which_clocks_change_are_read_whole(capsys, tmp_path, url, day, count):
    file = metered(tmp_path, -2.0, meters=["007"], periods=settlement_periods(date.fromisoformat(day)))
    assert said(capsys, url, "readings", "import", file)["new"] == count


@pytest.mark.parametrize(("day", "hours", "count"), [("2025-03-30", 2, 4), ("2025-10-26", 4, 8)])
def test_a_night_in_which_clocks_change_is_settled_half_hour_by_half_hour(
    capsys, tmp_path, day, hours, count
):
    """From local midnight to 03:00: four half-hours in spring, eight in autumn."""
    url, local_day = f"sqlite:///{tmp_path / 'night.db'}", date.fromisoformat(day)
    periods = settlement_periods(local_day)
    night = Interval(periods[0].start, periods[count - 1].end)
    assert night.hours == hours
    with open_store(url, create=True) as store:
        called(store, night)
        nominations = [a_nomination(zone=ZONE, period=one, export_wh=-1000) for one in periods[:count]]
        store.nominations.freeze(nominations)
    file = tmp_path / "meters.csv"
    lines = [f"{utc_text(one.end)},{n}.0" for n, one in enumerate(periods, start=1)]
    file.write_text("\n".join(["timestamp,power_kw", *lines]) + "\n")
    assert said(capsys, url, "readings", "import", file, "--meter", "charger-1")["new"] == len(periods)
    following = (local_day + timedelta(days=1)).isoformat()
    words = ["settle", "--from", day, "--to", following, "--out", tmp_path / "out", "--flexible-power"]
    assert said(capsys, url, *words)["rows"] == count
    rows = list(csv.DictReader((tmp_path / "out" / "statement.csv").read_text().splitlines()))
    assert [int(row["settlement_period"]) for row in rows] == list(range(1, count + 1))
    assert [float(row["metered_export_kwh"]) for row in rows] == [n / 2 for n in range(1, count + 1)]
    assert [float(row["delivered_kwh"]) for row in rows] == [min(5.0, 1 + n / 2) for n in range(1, count + 1)]
    told = (tmp_path / "out" / "flexible_power_readings_Hendon Way_day-ahead.csv").read_text().splitlines()
    assert told[1:] == [f"{utc_text(one.end)},{n / 2:.3f}" for n, one in enumerate(periods[:count], start=1)]


def test_a_call_that_was_never_nominated_is_said_not_to_be_settled(capsys, tmp_path):
    url = f"sqlite:///{tmp_path / 'night.db'}"
    with open_store(url, create=True) as store:
        called(store, EVENING)
    words = ["settle", *DAY, "--out", tmp_path / "out"]
    body = said(capsys, url, *words)
    assert (body["rows"], body["cannot_be_settled"], body["totals"]["amount_gbp"]) == (4, 4, "0.00")
    assert run(["--config", CONFIG, "--database", url, *map(str, words)]) == 0
    assert "4 of them cannot be settled: they have no baseline" in capsys.readouterr().out


def called(store, window):
    """Record an order of 10 kW over a window that no bid preceded, of one car."""
    car = a_fleet(1).cars[0]
    car = replace(car, site=replace(car.site, zone=ZONE))
    store.fleet.replace(Fleet((car,), digest="f" * 64), window.start - timedelta(days=1), "fleet.toml")
    at = window.start - timedelta(hours=1)
    steps = some_steps(*[10.0] * round(2 * window.hours), slots=window.slots(timedelta(minutes=30)))
    order = an_instruction(zone=ZONE, product_id="day-ahead", steps=steps, issued_at=at)
    facts = (Instructed(at, order), DeliveryStarted(window.start), DeliveryEnded(window.end))
    for n, fact in enumerate(facts):
        store.journal.append("night", fact, expected_version=n, by="test", recorded_at=fact.at)


def test_options_are_checked(capsys, tmp_path, url):
    file = metered(tmp_path, 1.0)
    assert "--every: '15' is not allowed; 30 or 1" in wrong(
        capsys, url, "readings", "import", file, "--every", "15"
    )
    assert "--meter: 'nobody'" in wrong(capsys, url, "readings", "import", file, "--meter", "nobody")
    assert "meters.csv: header" in wrong(capsys, url, "readings", "import", file, "--meter", "007")
    assert (
        "line 2.meter_id"
        in refused(capsys, "--config", CONFIG, "--database", url, "readings", "import", file, "--boundary")[
            0
        ][0]
    )
    assert "no.csv" in wrong(capsys, url, "readings", "import", tmp_path / "no.csv")
    assert "with CSV only" in wrong(
        capsys, url, "readings", "import", tmp_path / "no.parquet", "--every", "1"
    )


def test_a_statement_is_written_in_the_flexible_power_form(capsys, tmp_path, url):
    said(capsys, url, "readings", "import", metered(tmp_path, 3.0))
    settled(capsys, tmp_path, url, "--flexible-power")
    name = "flexible_power_readings_Hendon Way_day-ahead.csv"
    assert (tmp_path / "out" / name).read_text() == (
        "timestamp,energy_kwh\n"
        "2025-01-15T17:30:00Z,15.000\n2025-01-15T18:00:00Z,15.000\n"
        "2025-01-15T18:30:00Z,15.000\n2025-01-15T19:00:00Z,15.000\n"
    )


# registers


def parquet(tmp_path, rows, name="registers.parquet", **types):
    kinds = {
        "meter_id": pyarrow.string(),
        "measured_at": pyarrow.timestamp("us", tz="UTC"),
        "import_wh": pyarrow.int64(),
        "export_wh": pyarrow.int64(),
    } | types
    columns = dict(zip(kinds, zip(*rows, strict=True), strict=False)) if rows else {one: [] for one in kinds}
    table = pyarrow.table({one: list(columns[one]) for one in kinds}, schema=pyarrow.schema(kinds.items()))
    pyarrow.parquet.write_table(table, tmp_path / name)
    return tmp_path / name


def registers(meter="=1+1", start=10**6, step=50, minutes=60):
    at = EVENING.start - timedelta(days=1)
    return [(meter, at + n * MINUTE, 5000, start + step * n) for n in range(minutes)]


def test_registers_are_taken_once_from_parquet(capsys, tmp_path, url):
    count = stored(url)[1]
    file = parquet(tmp_path, [*registers(), *registers()[:5]])
    assert said(capsys, url, "readings", "import", file) == {
        "readings": 60,
        "new": 60,
        "meters": 1,
        "events": 0,
    }
    assert said(capsys, url, "readings", "import", file)["new"] == 0
    assert stored(url)[1] == count + 60


def test_a_register_that_restarts_in_a_file_is_an_event_with_an_alarm(capsys, tmp_path, url):
    rows = registers(HOME)
    fallen = [*rows[:30], *((*row[:3], row[3] - 10**6) for row in rows[30:])]
    file = parquet(tmp_path, fallen)
    assert said(capsys, url, "readings", "import", file, "--boundary")["events"] == 1
    assert stored(url)[2] == 60
    with open_store(url, create=False) as store:
        assert [alarm.code for alarm in store.alarms.open()] == ["register_event"]


def test_a_database_that_fails_half_way_is_left_as_it_was(capsys, tmp_path, url):
    before, file = stored(url), parquet(tmp_path, [*registers(), *registers("é")])
    with closing(sqlite3.connect(tmp_path / "f.db")) as database, database:
        fails = "BEGIN SELECT RAISE(ABORT, 'no more'); END"
        database.execute(f"CREATE TRIGGER full BEFORE INSERT ON readings WHEN new.charger_id = 'é' {fails}")
    with pytest.raises(IntegrityError, match="no more"):
        run(["--config", CONFIG, "--database", url, "readings", "import", str(file)])
    assert stored(url) == before
    with closing(sqlite3.connect(tmp_path / "f.db")) as database, database:
        database.execute("DROP TRIGGER full")
    assert said(capsys, url, "readings", "import", file)["new"] == 120


@pytest.mark.parametrize(
    ("row", "where", "value"),
    [
        (("nobody", EVENING.start, 1, 1), "row 61.meter_id", "nobody"),
        (("a1", EVENING.start + timedelta(days=40_000), 1, 1), "row 61.measured_at", "2134-07-23T17:00:00"),
        (("a1", EVENING.start, -1, 1), "row 61.import_wh", "-1"),
        (("a1", EVENING.start, 1, 10**13), "row 61.export_wh", str(10**13)),
        (("a1", EVENING.start, 1, None), "row 61.export_wh", "(missing)"),
        (("=1+1", EVENING.start - timedelta(days=1), 5001, 10**6), "row 61", "=1+1 at 2025-01-14T17:00:00"),
    ],
)
def test_a_row_that_is_wrong_is_named_and_nothing_is_stored(capsys, tmp_path, url, row, where, value):
    before = stored(url)
    line = wrong(capsys, url, "readings", "import", parquet(tmp_path, [*registers(), row]))
    assert f"registers.parquet: {where}" in line
    assert value in line
    assert stored(url) == before


@pytest.mark.parametrize(
    ("types", "rows", "told"),
    [
        ({"measured_at": pyarrow.timestamp("us")}, registers(), "measured_at: 'timestamp[us]'"),
        ({"import_wh": pyarrow.float64()}, registers(), "import_wh: 'double'"),
        ({"note": pyarrow.string()}, [(*row, "x") for row in registers()], "columns"),
        ({}, [], "no row"),
    ],
)
def test_a_file_of_another_form_is_refused(capsys, tmp_path, url, types, rows, told):
    assert told in wrong(capsys, url, "readings", "import", parquet(tmp_path, rows, **types))


@pytest.mark.parametrize("body", [b"", b"PAR1", b"meter_id,measured_at\n"])
def test_what_is_no_parquet_is_refused(capsys, tmp_path, url, body):
    (tmp_path / "x.parquet").write_bytes(body)
    assert "x.parquet" in wrong(capsys, url, "readings", "import", tmp_path / "x.parquet")
    assert "missing.parquet" in wrong(capsys, url, "readings", "import", tmp_path / "missing.parquet")


def test_without_pyarrow_it_is_told_which_extra_is_missing(capsys, tmp_path, url, monkeypatch):
    file = parquet(tmp_path, registers())
    monkeypatch.setattr("aggregator.files.registers.has_parquet", lambda: False)
    assert "pip install 'flexloop[parquet]'" in wrong(capsys, url, "readings", "import", file)


# templates


def test_a_week_s_nominations_are_a_template(capsys, tmp_path, url):
    words = ["settle", "baseline", "--zone", ZONE, "--product", "day-ahead", "--out", tmp_path / "week.csv"]
    gaps = wrong(capsys, url, *words, "--from", "2025-01-13")
    assert "a week that was nominated; nothing was for 332 of 336 half-hours" in gaps
    assert "--zone: 'Nowhere'" in wrong(capsys, url, *words, "--zone", "Nowhere", "--from", "2025-01-13")
    assert not (tmp_path / "week.csv").exists()


@pytest.mark.parametrize(
    ("first", "sunday", "count"), [("2025-03-24", "2025-03-30", 46), ("2025-10-20", "2025-10-26", 50)]
)
def test_a_week_in_which_clocks_change_is_a_template_of_48_half_hours_a_day(
    capsys, tmp_path, url, first, sunday, count
):
    """Each half-hour is nominated its local hour in kW: one that clocks skip takes the next."""
    days = [date.fromisoformat(first) + timedelta(days=n) for n in range(7)]
    periods = [period for day in days for period in settlement_periods(day)]
    assert len(settlement_periods(date.fromisoformat(sunday))) == count
    with open_store(url, create=False) as store:
        store.nominations.freeze(
            [
                a_nomination(zone=ZONE, period=one, export_wh=500 * one.start.astimezone(LONDON).hour)
                for one in periods
            ]
        )
    out = tmp_path / "week.csv"
    words = ["settle", "baseline", "--zone", ZONE, "--product", "day-ahead", "--from", first, "--out", out]
    assert said(capsys, url, *words)["rows"] == 336
    lines = out.read_text().splitlines()
    assert lines[:3] == ["day_of_week,local_time,power_kw", "MONDAY,00:00,0.000", "MONDAY,00:30,0.000"]
    assert f"SUNDAY,01:00,{2 if count == 46 else 1}.000" in lines
    assert "SUNDAY,23:30,23.000" in lines
