import pytest

from aggregator.files.sessions import read_sessions
from aggregator.model.errors import BadMessage

HEADER = "car_id,plugged_in_at,plugged_out_at,energy_kwh,arrival_soc"
GOOD = "007,2025-01-14T17:30:00Z,2025-01-15T07:15:00+00:00,12.5,0.45"


def a_file(tmp_path, *lines, header=HEADER):
    path = tmp_path / "sessions.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def faults_of(path):
    with pytest.raises(BadMessage) as refused:
        read_sessions(path)
    lines = [str(fault) for fault in refused.value.faults]
    assert all("\n" not in line for line in lines)
    assert all("sessions.csv" in line for line in lines)
    return lines


def test_sessions_are_read_by_car(tmp_path):
    history = read_sessions(a_file(tmp_path, GOOD, GOOD.replace("007", "7")))
    assert history == read_sessions(a_file(tmp_path, GOOD, GOOD.replace("007", "7")))
    assert history != read_sessions(a_file(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("line", "where", "allowed"),
    [
        (GOOD.replace("007", ""), "line 2.car_id", "an id"),
        (GOOD.replace("17:30:00Z", "17:30:00"), "line 2.plugged_in_at", "an instant with a zone"),
        (GOOD.replace("2025-01-14T17:30:00Z", "monday"), "line 2.plugged_in_at", "an instant with a zone"),
        (
            GOOD.replace("2025-01-14T17:30:00Z", "0001-01-01T00:00+01:00"),
            "line 2.plugged_in_at",
            "an instant",
        ),
        (GOOD.replace("2025-01-15", "2025-01-13"), "line 2.plugged_out_at", "after plugged_in_at"),
        (GOOD.replace("12.5", "nan"), "line 2.energy_kwh", "a number from 0 to 1000"),
        (GOOD.replace("12.5", "-1"), "line 2.energy_kwh", "a number from 0 to 1000"),
        (GOOD.replace("0.45", "45"), "line 2.arrival_soc", "a number from 0 to 1"),
        (GOOD.replace(",0.45", ""), "line 2.arrival_soc", "a number from 0 to 1"),
        (GOOD + ",extra", "line 2", "5 fields"),
    ],
)
def test_a_wrong_line_is_named_with_field_and_what_is_allowed(tmp_path, line, where, allowed):
    (found,) = faults_of(a_file(tmp_path, line))
    assert where in found
    assert allowed in found


def test_all_faults_are_told_at_once(tmp_path):
    lines = faults_of(
        a_file(tmp_path, GOOD.replace("007", ""), GOOD, GOOD.replace("0.45", "2").replace("12.5", "x"))
    )
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "line 2.car_id",
        "line 4.energy_kwh",
        "line 4.arrival_soc",
    ]


@pytest.mark.parametrize("header", ["", "car,in,out,kwh,soc", HEADER + ",more", "plugged_in_at,car_id"])
def test_another_header_is_refused(tmp_path, header):
    (line,) = faults_of(a_file(tmp_path, GOOD, header=header))
    assert "header" in line


def test_a_field_longer_than_any_csv_field_is_refused(tmp_path):
    assert faults_of(a_file(tmp_path, "x" * 200_000))


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "sessions.csv" in faults_of(tmp_path / "sessions.csv")[0]
