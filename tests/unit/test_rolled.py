"""Readings of closed days in files: on either database, late ones, missing and changed files."""

from datetime import UTC, date, datetime, timedelta

import pytest

from aggregator.model.errors import BadMessage
from aggregator.model.time import Interval
from aggregator.store import rolled_files
from tests.builders import a_reading

MINUTE, HALF_HOUR, ONE_DAY = timedelta(minutes=1), timedelta(minutes=30), timedelta(days=1)
NIGHT = datetime(2025, 10, 25, 23, tzinfo=UTC)  # London's 26 October, a day of 25 hours
LONG_DAY = date(2025, 10, 26)
ALWAYS = Interval(NIGHT - 9 * ONE_DAY, NIGHT + 9 * ONE_DAY)
METERS = ("a", "b")


def some_readings(first=0, last=60, late=MINUTE, wh=100):
    """Return a register each half-hour of two chargers, from London's midnight on."""
    return [
        a_reading(
            charger_id=meter,
            measured_at=NIGHT + n * HALF_HOUR,
            received_at=NIGHT + n * HALF_HOUR + late,
            export_wh=n * wh,
        )
        for meter in METERS
        for n in range(first, last)
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "files"


def roll(store, folder, before=LONG_DAY + ONE_DAY):
    return list(store.rolling.roll(before, folder))


def test_a_local_day_is_moved_whole_and_answers_as_before(store, folder):
    store.readings.add(some_readings())
    before = store.readings.between(METERS, ALWAYS), store.readings.first(), store.readings.count()
    (day,) = roll(store, folder)
    assert (day.settlement_date, day.rows) == (LONG_DAY, 2 * 50)
    assert (store.readings.between(METERS, ALWAYS), store.readings.first(), store.readings.count()) == before
    assert roll(store, folder) == []
    (following,) = roll(store, folder, LONG_DAY + 9 * ONE_DAY)
    assert following.settlement_date == LONG_DAY + ONE_DAY
    assert store.readings.between(METERS, ALWAYS) == before[0]
    for one in (day, following):
        assert one.sha256 == rolled_files.digest_of(one.path.read_bytes())
        assert one.path.name == f"readings-{one.settlement_date}-{one.sha256[:16]}.parquet"


def test_the_same_readings_make_the_same_bytes(store, folder):
    store.readings.add(some_readings())
    (first,) = roll(store, folder / "first")
    list(store.rolling.unroll(date.min))
    (again,) = roll(store, folder / "again")
    assert first.path.read_bytes() == again.path.read_bytes()
    assert (first.path.name, first.sha256) == (again.path.name, again.sha256)


def test_a_late_reading_of_a_rolled_day_is_a_new_version_and_a_repeat_is_none(store, folder):
    store.readings.add(some_readings())
    roll(store, folder)
    at = NIGHT + 7 * HALF_HOUR
    said = {"charger_id": "a", "measured_at": at}
    store.readings.add([a_reading(**said, received_at=NIGHT + 3 * ONE_DAY, export_wh=700)])
    assert store.readings.last_before(["a"], at) == (
        a_reading(**said, received_at=at + MINUTE, export_wh=700),
    )
    corrected = a_reading(**said, received_at=NIGHT + 4 * ONE_DAY, export_wh=701)
    new = a_reading(charger_id="a", measured_at=at + MINUTE, received_at=NIGHT + 4 * ONE_DAY, export_wh=702)
    store.readings.add([corrected, new])
    around = Interval(at, at + 2 * MINUTE)
    assert store.readings.between(["a"], around) == (corrected, new)
    (as_known,) = store.readings.between(["a"], around, NIGHT + 3 * ONE_DAY)
    assert (as_known.export_wh, as_known.received_at) == (700, at + MINUTE)
    roll(store, folder)
    assert store.readings.between(["a"], around) == (corrected, new)


def test_what_came_meanwhile_is_in_the_file_or_stays(store, folder, monkeypatch):
    store.readings.add(some_readings(last=40))
    write, late = rolled_files.write, some_readings(first=40)

    def write_and_hear(*said):
        if late:
            store.readings.add([late.pop(), late.pop(0)])
        return write(*said)

    monkeypatch.setattr(rolled_files, "write", write_and_hear)
    heard = [*some_readings(last=40), late[-1], late[0]]
    late[1:-1] = []
    (day,) = roll(store, folder)
    assert day.rows == 2 * 40 + 1  # the other one is of the next day
    assert len(list(folder.iterdir())) == 1
    assert set(store.readings.between(METERS, ALWAYS)) == set(heard)


@pytest.mark.parametrize("harm", ["missing", "changed", "cut", "another"])
def test_a_file_that_is_not_as_it_was_is_said_and_no_gap(store, folder, harm):
    store.readings.add(some_readings(last=110))
    first, second = roll(store, folder, LONG_DAY + 2 * ONE_DAY)
    data = first.path.read_bytes()
    match harm:
        case "missing":
            first.path.unlink()
        case "changed":
            first.path.write_bytes(data[:99] + bytes([data[99] ^ 1]) + data[100:])
        case "cut":
            first.path.write_bytes(data[:-1])
        case "another":
            first.path.write_bytes(second.path.read_bytes())
    for ask in (
        lambda: store.readings.between(["a"], ALWAYS),
        lambda: store.readings.at_or_around(["a"], [NIGHT + 10 * HALF_HOUR]),
        lambda: list(store.rolling.unroll(date.min)),
    ):
        with pytest.raises(BadMessage, match=r"\.parquet: .* the file as it was rolled") as told:
            ask()
        assert (len(told.value.faults), told.value.code) == (1, "rolled_readings")
    assert store.readings.last_before(["a"], second_day_ends := NIGHT + 3 * ONE_DAY)
    assert store.readings.newest_at(METERS) is not None
    assert store.readings.between(["a"], Interval(second_day_ends, second_day_ends + ONE_DAY)) == ()
    first.path.write_bytes(data)
    assert len(store.readings.between(METERS, ALWAYS)) == 220


def test_without_pyarrow_it_is_said_which_extra_is_missing(store, folder, monkeypatch):
    store.readings.add(some_readings())
    roll(store, folder)
    monkeypatch.setattr(rolled_files, "find_spec", lambda _: None)
    with pytest.raises(BadMessage, match=r"pip install 'flexloop\[parquet\]'"):
        roll(store, folder)
    with pytest.raises(BadMessage, match=r"pip install 'flexloop\[parquet\]'"):
        store.readings.between(METERS, ALWAYS)
    later = some_readings(first=52)
    assert store.readings.add(later) == 0
    assert store.readings.between(["a"], Interval(later[0].measured_at, ALWAYS.end)) == tuple(later[:8])


def test_homes_are_rolled_too(store, folder):
    store.boundary_readings.add(some_readings())
    (day,) = roll(store, folder)
    assert day.readings == "boundary_readings"
    assert list(store.boundary_readings.between(METERS, ALWAYS)) == some_readings()
