"""The demo's packaged extracts say what their README says, and the script that makes them keeps its rules."""

import csv
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

import aggregator.demo
from aggregator.demo.extract import main
from aggregator.files.fleet import read_fleet
from aggregator.model.fleet import ExportSource

DATA = Path(aggregator.demo.__file__).parent / "data"
ZONES = ("Wrotham", "Canvey", "Hendon Way")
STAMP = "%Y-%m-%dT%H:%M:%SZ"
SESSION_HEADER = "location,user_id,session_id,plugin_time,plugout_time,connection_time,energy_session"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def instant(text: str) -> datetime:
    return datetime.strptime(text, STAMP).replace(tzinfo=UTC)


def plugged_through(first_hour: int, last_hour: int) -> Counter[str]:
    start, end = (datetime(2025, 1, 8, hour, tzinfo=UTC) for hour in (first_hour, last_hour))
    zone_of = {car.car_id: car.site.zone for car in read_fleet(DATA / "fleet.csv").cars}
    return Counter(
        zone_of[row["car_id"]]
        for row in rows(DATA / "sessions.csv")
        if instant(row["plugged_in_at"]) <= start and end <= instant(row["plugged_out_at"])
    )


def test_the_fleet_file_is_one_the_gateway_takes() -> None:
    fleet = read_fleet(DATA / "fleet.csv", ZONES)
    assert len(fleet.cars) == 135
    assert Counter(car.site.zone for car in fleet.cars) == dict.fromkeys(ZONES, 45)
    assert {car.capacity_kwh for car in fleet.cars} == {40.0, 62.0}
    assert len({car.site.site_id for car in fleet.cars}) == 134
    approvals = Counter(car.site.export_source for car in fleet.cars)
    assert approvals == {ExportSource.G98: 100, ExportSource.G99: 33, ExportSource.NONE: 2}
    for car in fleet.cars:
        assert (car.site.export_source is ExportSource.NONE) == (car.site.export_limit_kw == 0)
        assert car.site.export_source is not ExportSource.G98 or car.site.export_limit_kw == 3.68


def test_the_sessions_are_utc_whole_and_never_overlap() -> None:
    per_car: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in rows(DATA / "sessions.csv"):
        per_car[row["car_id"]].append((instant(row["plugged_in_at"]), instant(row["plugged_out_at"])))
        assert float(row["energy_kwh"]) > 0
        assert 0.1 <= float(row["arrival_soc"]) <= 0.9
    assert set(per_car) == {car.car_id for car in read_fleet(DATA / "fleet.csv").cars}
    for stays in per_car.values():
        assert all(start < end for start, end in stays)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(stays))


def test_energy_on_arrival_follows_from_what_was_charged() -> None:
    capacity_kwh = {car.car_id: car.capacity_kwh for car in read_fleet(DATA / "fleet.csv").cars}
    for row in rows(DATA / "sessions.csv"):
        expected = max(0.1, 0.9 - 0.93 * float(row["energy_kwh"]) / capacity_kwh[row["car_id"]])
        assert float(row["arrival_soc"]) == pytest.approx(expected, abs=0.00051)


def test_the_dispatches_are_the_real_ones() -> None:
    found = {
        row["zone"]: (
            row["fu_id"],
            row["utilisation_mw_req"],
            row["utilisation_price"],
            row["start_time_utc"],
            row["end_time_utc"],
        )
        for row in rows(DATA / "dispatches.csv")
    }
    window = ("598.0", "2025-01-08 17:00:00+00:00", "2025-01-08 19:00:00+00:00")
    assert found == {
        "Canvey": ("canvey-da-ev-portfolio", "0.03", *window),
        "Hendon Way": ("hendon-way-da-ev-portfolio", "0.03", *window),
        "Wrotham": ("wrotham-da-ev-portfolio", "0.04", *window),
    }
    assert {row["product"] for row in rows(DATA / "dispatches.csv")} == {"Day-Ahead"}


@pytest.mark.parametrize(("hours", "counts"), [((16, 19), (8, 11, 10, 29)), ((17, 19), (15, 15, 14, 44))])
def test_as_many_are_plugged_in_as_the_readme_says(
    hours: tuple[int, int], counts: tuple[int, int, int, int]
) -> None:
    there = plugged_through(*hours)
    assert (*(there[zone] for zone in ZONES), there.total()) == counts
    line = f"| {hours[0]}-{hours[1]} | {' | '.join(str(count) for count in counts)} |"
    assert line in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_sources_are_credited_and_the_extracts_small() -> None:
    text = (DATA / "README.md").read_text(encoding="utf-8")
    for needed in ("CC BY 4.0", "Sørensen et al.", "10.5281/zenodo.13896176", "UK Power Networks"):
        assert needed in text
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 500_000
    assert [row["car_id"] for row in rows(DATA / "sources.csv")] == [
        car.car_id for car in read_fleet(DATA / "fleet.csv").cars
    ]


def write_sources(folder: Path, sessions: str, **changed: str) -> list[str]:
    texts: Mapping[str, str] = {
        "sessions.csv": f"{SESSION_HEADER}\n{sessions}",
        "users_predicted.csv": "user_id,charging_power,battery_capacity\n007,7,64\n",
        "dispatches.csv": (DATA / "dispatches.csv").read_text(encoding="utf-8"),
    } | changed
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    dispatches, out = folder / "dispatches.csv", folder / "out"
    return ["--sessions", str(folder), "--dispatches", str(dispatches), "--out", str(out)]


def test_a_source_year_moves_by_whole_weeks_and_keeps_its_wall_clock(tmp_path: Path) -> None:
    sessions = (
        "A,007,1,2020-01-15 16:30:00,2020-01-16 07:50:00,15.3,10\n"
        "A,007,2,2020-01-15 18:00:00,2020-01-15 19:00:00,1,5\n"
        "A,007,3,2020-01-17 16:30:00,,,5\n"
    )
    assert main(write_sources(tmp_path, sessions)) == 0
    assert rows(tmp_path / "out" / "sessions.csv") == [
        {
            "car_id": "leaf-001",
            "plugged_in_at": "2025-01-08T16:30:00Z",
            "plugged_out_at": "2025-01-09T07:50:00Z",
            "energy_kwh": "10.0",
            "arrival_soc": "0.75",
        }
    ]
    assert rows(tmp_path / "out" / "sources.csv")[0]["source_user"] == "007@2020"
    assert read_fleet(tmp_path / "out" / "fleet.csv").cars[0].capacity_kwh == 62.0
    written, packaged = ((folder / "dispatches.csv").read_bytes() for folder in (tmp_path / "out", DATA))
    assert written == packaged


def test_the_autumn_clock_change_follows_london(tmp_path: Path) -> None:
    sessions = "A,007,1,2019-11-02 16:00:00,2019-11-08 07:00:00,135,10\n"
    assert main(write_sources(tmp_path, sessions)) == 0
    (session,) = rows(tmp_path / "out" / "sessions.csv")
    assert (session["plugged_in_at"], session["plugged_out_at"]) == (
        "2024-10-26T15:00:00Z",
        "2024-11-01T07:00:00Z",
    )


def test_all_that_is_wrong_with_the_sources_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = "A,007,1,yesterday,2020-01-16 07:50:00,15.3,10\nA,007,2,2020-01-15 18:00:00,soon,1,nan\n"
    assert main(write_sources(tmp_path, sessions)) == 2
    told = capsys.readouterr().err
    for where in (
        "line 2.plugin_time: 'yesterday'",
        "line 3.plugout_time: 'soon'",
        "line 3.energy_session: 'nan'",
    ):
        assert where in told
    assert not (tmp_path / "out").exists()


def test_missing_columns_of_all_files_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {"sessions.csv": "user_id,plugin_time\n", "dispatches.csv": "zone\nCanvey\n"}
    assert main(write_sources(tmp_path, "", **changed)) == 2
    told = capsys.readouterr().err
    for where in ("a column plugout_time", "a column energy_session", "a column utilisation_price"):
        assert where in told


def test_the_demo_runs_by_the_configuration_that_the_repository_shows():
    """All but where things lie and how fast a platform is polled."""
    root = Path(__file__).parents[2] / "config"
    for shown, own, differing in (
        (root / "gateway.toml", DATA / "gateway.toml", ("market =", "history =", "# this file")),
        (root / "markets" / "ukpn.toml", DATA / "market.toml", ("vtn_id =", "poll_interval_s", "retry_")),
    ):
        lines = [
            [line for line in path.read_text().splitlines() if not line.lstrip("# ").startswith(differing)]
            for path in (shown, own)
        ]
        assert lines[0] == lines[1]
