"""``flexloop forecast`` as people and programs use it."""

import csv
import json
from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from .command_line import DATA, done, edit, only_line

pytestmark = pytest.mark.usefixtures("home")

DAY = ("--date", "2025-01-08")


def test_a_zone_that_is_not_configured_is_named(capsys):
    line = only_line(capsys, "forecast", "--zone", "Camden")
    assert "--zone: 'Camden'" in line
    assert "one of Canvey, Hendon Way, Wrotham" in line


@pytest.mark.parametrize("text", ["tomorrow", "2025-02-30", "9999-12-31", "0001-01-01", ""])
def test_a_day_must_be_one_that_can_be_forecast(capsys, text):
    assert "--date" in only_line(capsys, "forecast", "--date", text)


def test_without_a_fleet_it_says_what_to_do(capsys):
    done(capsys, "db", "upgrade")
    assert "flexloop fleet import FILE" in only_line(capsys, "forecast", *DAY)


def test_without_history_it_says_so_and_is_no_failure(capsys):
    done(capsys, "fleet", "import", "fleet.toml")
    assert "no past days of this kind" in done(capsys, "forecast", "--date", "2025-01-08")
    body = json.loads(done(capsys, "forecast", *DAY, "--json"))
    assert {zone["reason"] for zone in body["zones"]} <= {
        "no past days of this kind to forecast from",
        "no cars at home in this zone",
    }
    assert all(zone["slots"] == [] for zone in body["zones"])


@pytest.fixture
def fleet(home, capsys):
    done(capsys, "fleet", "import", DATA / "fleet.csv")
    edit(home / "config" / "gateway.toml", ("[fleet]", f'[fleet]\nhistory = "{DATA / "sessions.csv"}"'))


@pytest.mark.usefixtures("fleet")
def test_percentiles_rise_and_the_files_say_the_same_each_time(capsys, home):
    line = ("forecast", *DAY, "--json", "--out")
    body = json.loads(done(capsys, *line, "out"))
    assert [zone["zone"] for zone in body["zones"]] == ["Canvey", "Hendon Way", "Wrotham"]
    for zone in body["zones"]:
        assert (zone["cars"], len(zone["drawn_from"]), len(zone["slots"])) == (45, 20, 48)
        for slot in zone["slots"]:
            for name in ("cars", "discharge_kw", "exportable_kwh"):
                assert 0 <= slot[f"{name}_p10"] <= slot[f"{name}_p50"] <= slot[f"{name}_p90"]
            assert slot["cars_p90"] <= 45
    with (home / "out" / "forecast.csv").open() as file:
        rows = list(csv.DictReader(file))
    slots = [slot for zone in body["zones"] for slot in zone["slots"]]
    assert [float(row["discharge_kw_p50"]) for row in rows] == [slot["discharge_kw_p50"] for slot in slots]
    plot = (home / "out" / "forecast-Hendon Way.svg").read_bytes()
    assert b"kW P10" in plot
    assert etree.fromstring(plot).tag.endswith("svg")
    assert json.loads(done(capsys, *line, "again"))["files"] == body["files"]
    assert sorted(path.name for path in (home / "out").iterdir()) == sorted(body["files"])


@pytest.mark.usefixtures("fleet")
def test_a_day_in_the_past_knows_nothing_later_than_its_noon(capsys):
    body = json.loads(done(capsys, "forecast", "--date", "2024-12-18", "--zone", "Canvey", "--json"))
    assert body["known_at"] == "2024-12-18T12:00:00Z"
    assert body["zones"][0]["drawn_from"][0] == "2024-12-17"


@pytest.mark.usefixtures("fleet")
def test_people_get_a_table_for_the_zone_they_ask_for(capsys):
    text = done(capsys, "forecast", *DAY, "--zone", "Canvey")
    assert "Canvey, 2025-01-08 from noon: 45 cars, 20 past days" in text
    assert "Wed 18:30" in text
    assert "Wrotham" not in text


def test_a_price_file_that_is_wrong_is_told_before_anything_runs(capsys, home):
    (home / "config" / "agile.csv").write_text(
        "datetime_utc,p_per_kwh_inc_vat\n2025-01-15 17:00:00+00:00,soon\n"
    )
    edit(home / "config" / "gateway.toml", ("# [prices]", '[prices]\nimport_csv = "agile.csv"\n#'))
    line = only_line(capsys, "check-config")
    assert "agile.csv: line 2.p_per_kwh_inc_vat: 'soon'" in line
    assert "a number of pence" in line


@pytest.mark.usefixtures("fleet")
def test_half_hourly_prices_shape_what_is_left_to_give(capsys, home):
    """Exports pay from 16:00 to 18:30, so that the base plan gives: that is not left then."""
    start = datetime(2025, 1, 8, 12, tzinfo=UTC)
    pence = [45 if 8 <= number < 13 else 1 for number in range(48)]
    rows = [f"{(start + n * timedelta(minutes=30)).isoformat()},{pence[n]}" for n in range(48)]
    (home / "config" / "out.csv").write_text("\n".join(["datetime_utc,p_per_kwh_inc_vat", *rows]))
    line = ("forecast", *DAY, "--zone", "Canvey", "--json")
    edit(home / "config" / "gateway.toml", ("# [prices]", "[prices]\nexport_gbp_per_kwh = 0.01\n#"))
    kept = json.loads(done(capsys, *line))["zones"][0]["slots"][13]
    edit(home / "config" / "gateway.toml", ("export_gbp_per_kwh = 0.01", 'export_csv = "out.csv"'))
    sold = json.loads(done(capsys, *line))["zones"][0]["slots"][13]
    assert sold["cars_p50"] == kept["cars_p50"] > 0
    assert sold["exportable_kwh_p50"] < 0.7 * kept["exportable_kwh_p50"]
