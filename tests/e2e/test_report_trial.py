"""``flexloop report trial``: a page to be shown, and its figures."""

import json
import re
from datetime import UTC, datetime

import pytest

from aggregator.model.time import HALF_HOUR
from tests.driver_month import EVENT, filled
from tests.e2e.command_line import ROOT, done, only_line


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    found = f"sqlite:///{tmp_path_factory.mktemp('october') / 'flexloop.db'}"
    filled(found)
    return found


def line(url, *words):
    return ["--config", ROOT / "config" / "gateway.toml", "--database", url, "report", "trial", *words]


DAYS = ("--from", "2024-10-20", "--to", "2024-10-29")


def an_intensity(path, hours=24 * 14, g_per_kwh=lambda local: 100 + local):
    start = datetime(2024, 10, 19, 22, tzinfo=UTC)
    starts = [start + n * HALF_HOUR for n in range(2 * hours)]
    told = "".join(f"{at.isoformat()},{g_per_kwh(at.hour)}\n" for at in starts)
    path.write_text(f"datetime_utc,gco2_per_kwh\n{told}")
    return path


def test_the_page_and_its_figures(url, tmp_path, capsys):
    grid = an_intensity(tmp_path / "grid.csv")
    done(capsys, *line(url, *DAYS, "--intensity", grid, "--out", tmp_path / "out"))
    body = json.loads((tmp_path / "out" / "trial.json").read_text())
    page = (tmp_path / "out" / "trial.html").read_text()
    for heading in ("Availability", "Delivered", "Accuracy", "Response", "Energy and losses", "Carbon"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg") == 5
    others = set(re.findall(r"(?:https?:)?//[^\s\"'<>]+", page))
    assert all(one.startswith("http://www.w3.org/") for one in others)
    by_time = {row["local"]: row for row in body["availability"]["by_time_of_day"]}
    assert (by_time["19:00"]["least_cars"], by_time["19:00"]["most_cars"]) == (4, 4)
    assert by_time["09:00"]["mean_cars"] == 0
    (event,) = body["events"]
    assert (event["instructed_kwh"], event["delivered_kwh"]) == (6.0, 4.5)
    assert body["accuracy"]["half_hours"] == 4
    assert body["accuracy"]["delivered_share"] == 0.75
    (response,) = body["responses"]
    assert (response["ordered_kw"], response["began_at"]) == (
        3.0,
        EVENT.start.isoformat().replace("+00:00", "Z"),
    )
    assert response["followed_s"] == 60  # on the line between two half-hourly registers: 6 kW at once
    assert body["cycles"]["cycles"] == 3 * 9
    assert {one["promise"] for one in body["promises"]} == {"P1 floor", "P2 departure"}


def test_carbon_is_energy_by_the_intensity_of_its_half_hour(url, tmp_path, capsys):
    flat = an_intensity(tmp_path / "flat.csv", g_per_kwh=lambda _: 200)
    done(capsys, *line(url, *DAYS, "--intensity", flat, "--out", tmp_path / "out"))
    body = json.loads((tmp_path / "out" / "trial.json").read_text())
    energy, carbon = body["energy"], body["carbon"]
    assert carbon["charged_kg"] == pytest.approx(0.2 * energy["import_kwh"])
    assert carbon["given_kg"] == pytest.approx(0.2 * energy["export_kwh"])
    assert carbon["kwh_without_intensity"] == 0
    short = an_intensity(tmp_path / "short.csv", hours=24)
    done(capsys, *line(url, *DAYS, "--intensity", short, "--out", tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "trial.json").read_text())["carbon"]["kwh_without_intensity"] > 0


def test_it_is_read_only_and_gives_the_same_bytes(url, tmp_path, capsys):
    first = json.loads(done(capsys, *line(url, *DAYS, "--out", tmp_path / "a", "--json")))
    second = json.loads(done(capsys, *line(url, *DAYS, "--out", tmp_path / "b", "--json")))
    assert first["files"] == second["files"]
    assert first["carbon"] is None


def test_days_without_anything_are_told_so(url, tmp_path, capsys):
    done(capsys, *line(url, "--from", "2023-01-01", "--to", "2023-01-02", "--out", tmp_path / "out"))
    page = (tmp_path / "out" / "trial.html").read_text()
    assert "Nothing was ordered in these days." in page
    assert "No car was heard of in these days." in page


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--from", "2024-10-20", "--to", "2024-10-20"), "a date after 2024-10-20"),
        (("--from", "2024-10-20", "--to", "2026-10-20"), "by 366 days at most"),
        (("--from", "soon", "--to", "2026-10-20"), "a date, 2025-01-15"),
        ((*DAYS, "--intensity", "nowhere.csv"), "a readable UTF-8 text file"),
    ],
)
def test_what_is_wrong_is_one_line(url, tmp_path, capsys, words, part):
    assert part in only_line(capsys, *line(url, *words, "--out", tmp_path / "out"))


def test_an_intensity_file_is_read_whole_or_not_at_all(url, tmp_path, capsys):
    file = tmp_path / "grid.csv"
    file.write_text("datetime_utc,gco2_per_kwh\n2024-10-20 00:00:00+00:00,-1\n")
    told = only_line(capsys, *line(url, *DAYS, "--intensity", file, "--out", tmp_path / "out"))
    assert told.endswith("grid.csv: line 2.gco2_per_kwh: '-1' is not allowed; a number of g/kWh, 0 to 2000")
