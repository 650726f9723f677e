"""``flexloop settle drivers``: nights, credits and exports of a month, as a user asks for them."""

import csv
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from aggregator.audit.evidence import Evidence
from aggregator.audit.money import p10_sums
from aggregator.cli import run
from aggregator.config import read_settings
from aggregator.model.fleet import ExportTariff, FeedIn, FitExport
from aggregator.store import open_store
from aggregator.trial.month_files import page_name
from tests.driver_month import DAYS, METERED, corrected_away, filled, late_reports, the_fleet
from tests.e2e.command_line import ROOT, done, only_line

MONTH = ("settle", "drivers", "--month", "2024-10")


@pytest.fixture(scope="module")
def october(tmp_path_factory):
    """The month's store, to be copied."""
    path = tmp_path_factory.mktemp("october") / "flexloop.db"
    filled(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(october, tmp_path):
    path = tmp_path / "flexloop.db"
    path.write_bytes(october.read_bytes())
    return f"sqlite:///{path}"


def shared(url):
    return ["--config", ROOT / "config" / "gateway.toml", "--database", url]


def rows(out, name):
    with (out / name).open(newline="") as file:
        return list(csv.DictReader(file))


def by(out, name, key):
    return {row[key]: row for row in rows(out, name)}


def all_bytes(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_month_says_which_nights_count_and_why_not(url, tmp_path, capsys):
    out = tmp_path / "out"
    said = done(capsys, *shared(url), *MONTH, "--out", out)
    assert "4 drivers, 75 nights that count; 3 drivers earn GBP 90.00" in said
    drivers = by(out, "drivers.csv", "car_id")
    assert {name: row["cycles"] for name, row in drivers.items()} == {
        "ann": "14",
        "bea": "0",
        "cat": "30",
        "dan": "31",
    }
    why = {(row["car_id"], row["evening"]): (row["counts"], row["why"]) for row in rows(out, "nights.csv")}
    assert len(why) == 4 * len(DAYS)
    assert why["ann", "2024-10-17"] == ("no", "not plugged in")
    assert why["ann", "2024-10-26"] == ("yes", "plugged in from 16:00 BST to 07:00 GMT")
    assert why["bea", "2024-10-09"] == ("no", "arrived 18:04")
    lost = "link lost from 21:30 to 09:00, not plugged in when it was back"
    assert why["cat", "2024-10-12"] == ("no", lost)
    page = (out / "drivers" / "bea.html").read_text()
    assert "arrived 18:04" in page
    assert "GBP 0.00" in page


def test_battery_and_departures_are_told(url, tmp_path, capsys):
    out = tmp_path / "out"
    done(capsys, *shared(url), *MONTH, "--out", out)
    ann = by(out, "drivers.csv", "car_id")["ann"]
    through = 159 * Decimal("0.92") + 42 / Decimal("0.91")
    assert abs(Decimal(ann["throughput_kwh"]) - through) < Decimal("0.001")
    assert abs(Decimal(ann["equivalent_cycles"]) - through / 120) < Decimal("0.001")
    assert abs(Decimal(ann["warranty_used"]) - through / 500) < Decimal("0.001")
    bea = [row for row in rows(out, "needs.csv") if row["car_id"] == "bea"]
    assert len(bea) == 31
    assert {(row["due_london"][-5:], row["percent"], row["short_kwh"]) for row in bea} == {
        ("07:30", "75.0", "3.000")
    }


def test_each_exported_kwh_is_paid_for_once_and_sums_close(url, tmp_path, capsys):
    out = tmp_path / "out"
    done(capsys, *shared(url), *MONTH, "--out", out)
    body = json.loads((out / "drivers.json").read_text())
    homes = by(out, "homes.csv", "site_id")
    parts = ("market_kwh", "fit_export_kwh", "export_tariff_kwh", "not_paid_kwh")
    for row in [*homes.values(), *rows(out, "exports.csv")]:
        assert sum(Decimal(row[part]) for part in parts) == Decimal(row["export_kwh"])
    for name in ("export_kwh", *parts):
        for site, row in homes.items():
            own = [Decimal(one[name]) for one in rows(out, "exports.csv") if one["site_id"] == site]
            assert sum(own) == Decimal(row[name])
        total = body["totals"]["homes_export_kwh" if name == "export_kwh" else name]
        assert sum(Decimal(row[name]) for row in homes.values()) == Decimal(total)
    panels = homes["h-cat"]
    assert (panels["fit_export_kwh"], panels["cars_kwh"], panels["market_kwh"]) == (
        "49.600",
        "186.000",
        "3.000",
    )
    assert (homes["h-ann"]["export_tariff_kwh"], homes["h-ann"]["export_tariff_gbp"]) == ("40.500", "6.08")
    money = [Decimal(row["credit_gbp"]) for row in rows(out, "drivers.csv")]
    assert sum(money) == Decimal(body["totals"]["credit_gbp"]) == Decimal("90.00")


def test_a_rerun_gives_the_same_bytes(url, tmp_path, capsys):
    first = json.loads(done(capsys, *shared(url), *MONTH, "--out", tmp_path / "a", "--json"))
    second = json.loads(done(capsys, *shared(url), *MONTH, "--out", tmp_path / "b", "--json"))
    assert first == second
    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")


def test_a_correction_is_a_row_with_the_difference_and_never_an_edit(url, tmp_path, capsys):
    only = ("--car", "ann")
    done(capsys, *shared(url), *MONTH, *only, "--out", tmp_path / "a")
    (first,) = rows(tmp_path / "a", "credits.csv")
    corrected_away(url, 18, 20, 31)
    done(capsys, *shared(url), *MONTH, *only, "--out", tmp_path / "b")
    again, second = rows(tmp_path / "b", "credits.csv")
    assert again == first
    assert second == {
        "credit_id": "2024-10/ann/2",
        "car_id": "ann",
        "month": "2024-10",
        "version": "2",
        "amount_gbp": "-30.00",
        "total_gbp": "0.00",
        "cycles": "11",
        "reason": "correction: nights that count: 11, not 14: without 2024-10-18, 2024-10-20, 2024-10-31",
        "corrects": "2024-10/ann/1",
    }
    page = (tmp_path / "b" / "drivers" / "ann.html").read_text()
    assert '<td class="text">nights changed</td>' in page
    known = ("--as-known-at", "2024-11-01T12:00:00Z")
    done(capsys, *shared(url), *MONTH, *only, *known, "--out", tmp_path / "c")
    assert by(tmp_path / "c", "drivers.csv", "car_id")["ann"]["cycles"] == "14"


def test_what_changes_no_credit_is_a_version_without_a_row(url, tmp_path, capsys):
    few = ("--car", "cat", "--car", "ann")
    done(capsys, *shared(url), *MONTH, *few, "--out", tmp_path / "a")
    before = (tmp_path / "a" / "credits.csv").read_text()
    late_reports(url)
    done(capsys, *shared(url), *MONTH, *few, "--out", tmp_path / "b")
    after = (tmp_path / "b" / "credits.csv").read_text()
    assert after == before  # thirty nights or thirty-one: the credit is the same
    assert by(tmp_path / "b", "drivers.csv", "car_id")["cat"]["cycles"] == "31"
    assert by(tmp_path / "b", "drivers.csv", "car_id")["cat"]["version"] == "2"
    assert by(tmp_path / "b", "drivers.csv", "car_id")["ann"]["version"] == "1"
    page = (tmp_path / "b" / "drivers" / "cat.html").read_text()
    assert "nights, departures changed" in page
    known = ("--as-known-at", "2024-11-01T12:00:00Z")
    done(capsys, *shared(url), *MONTH, *few, *known, "--out", tmp_path / "c")
    assert by(tmp_path / "c", "drivers.csv", "car_id")["cat"]["cycles"] == "30"


def test_a_file_of_generation_stands_beside_the_exports(tmp_path, capsys):
    url, out, told = f"sqlite:///{tmp_path / 'f.db'}", tmp_path / "out", tmp_path / "generated.csv"
    filled(
        url,
        the_fleet(FeedIn("Example Energy", FitExport.DEEMED), FeedIn(export_tariff=ExportTariff.HALF_HOURLY)),
    )
    told.write_text("site_id,month,generated_kwh\nh-cat,2024-10,123.4\nh-cat,2024-09,1\n")
    done(capsys, *shared(url), *MONTH, "--out", out, "--generation", told)
    home = by(out, "homes.csv", "site_id")["h-cat"]
    assert (home["fit_generation_kwh"], home["fit_deemed_export_kwh"]) == ("123.400", "61.700")
    assert (home["fit_export_kwh"], home["export_tariff_kwh"]) == ("0.000", "0.000")
    ann = by(out, "homes.csv", "site_id")["h-ann"]
    assert ann["export_tariff_gbp"] == str(
        round(Decimal("26.5") * Decimal("0.3593") + Decimal("14") * Decimal("0.3593"), 2)
    )
    told.write_text("site_id,month,generated_kwh\nh-ann,2024-10,1\nh-cat,2024-10,much\n")
    line = [*shared(url), *MONTH, "--out", out, "--generation", told]
    assert run([str(word) for word in line]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "flexloop: generated.csv: line 2.site_id: 'h-ann' is not allowed;"
        " a home whose fit_generation_payer the fleet file states",
        "flexloop: generated.csv: line 3.generated_kwh: 'much' is not allowed; a number of kWh, 0 to 1e+09",
    ]


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--month", "2024-13"), 2, "a calendar month, 2025-01"),
        (("--month", "October"), 2, "a calendar month, 2025-01"),
        (("--month", "2024-08"), 2, "2024-09 or later: nothing was measured before"),
        (("--month", "2024-10", "--car", "eve"), 2, "a car of October 2024: ann, bea, cat, dan"),
        (("--month", "2024-10", "--as-known-at", "noon"), 2, "as London's clocks show it, or with a zone"),
        (("--month", "2998-01"), 1, "January 2998 is over at 01 February 2998, 05:00, London time"),
    ],
)
def test_what_can_not_be_told_is_one_line(url, tmp_path, capsys, words, code, part):
    line = only_line(capsys, *shared(url), "settle", "drivers", "--out", tmp_path / "out", *words, code=code)
    assert part in line
    assert not (tmp_path / "out").exists()


def test_a_month_that_runs_is_shown_and_nothing_is_recorded(url, tmp_path, capsys):
    out, known = tmp_path / "out", ("--as-known-at", "2024-10-20T12:00:00Z")
    done(capsys, *shared(url), *MONTH, *known, "--out", out)
    assert rows(out, "credits.csv") == []
    assert by(out, "drivers.csv", "car_id")["ann"]["cycles"] == "2"
    assert by(out, "drivers.csv", "car_id")["ann"]["version"] == "0"
    why = {(row["car_id"], row["evening"]): row["why"] for row in rows(out, "nights.csv")}
    assert why["ann", "2024-10-20"] == "the night is not over"
    assert METERED.fit_generation_payer in (out / "drivers" / "cat.html").read_text()


def test_a_month_is_the_same_bytes_on_postgresql(url, postgres, tmp_path, capsys):
    other = postgres.create()
    filled(other)
    for where, out in ((url, tmp_path / "a"), (other, tmp_path / "b")):
        done(capsys, *shared(where), *MONTH, "--out", out)
        corrected_away(where, 18, 20, 31)
        done(capsys, *shared(where), *MONTH, "--out", out)
    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")


def test_the_audit_adds_up_what_drivers_were_told(url, tmp_path, capsys):
    done(capsys, *shared(url), *MONTH, "--out", tmp_path / "out")
    settings = read_settings(ROOT / "config" / "gateway.toml")
    with open_store(url, create=False) as store:
        found = p10_sums(Evidence(store, settings))
        assert found.breaches == ()
        assert found.what == "statement lines, and drivers' statements (4)"
        assert found.checked >= 4
        (ann,) = store.statements.all("driver 2024-10 ann")
        told = json.loads(ann.body)
        told["figures"]["month"]["credit_gbp"] = "60.00"
        told["figures"]["home"][0]["market_kwh"] = "2.500"
        wrong = replace(ann, version=2, digest="0" * 64, body=json.dumps(told).encode())
        store.statements.put(wrong.name, version=2, reason="by hand", digest=wrong.digest, body=wrong.body)
        breaches = p10_sums(Evidence(store, settings)).breaches
    assert [text.split(": ", 1)[1] for text in breaches] == [
        "its digest is not that of what it says",
        "GBP 60.00 for 14 nights",
        "home h-ann: who pays does not add to 42.000 kWh exported",
        "home h-ann: half-hours do not add to market_kwh 2.500",
    ]


def test_pages_have_names_of_their_own_that_lead_nowhere_else():
    ids = ("a b", "A b", "..", "../x", "a/b", "=1+1", "Zoë", "zoë", "x" * 300, "x" * 301, "a%2Fb", "con")
    names = {page_name(one).lower() for one in ids}
    assert len(names) == len(ids)
    assert all("/" not in name and len(name) < 200 and name.endswith(".html") for name in names)
    assert not {".html", "..html"} & {name.removesuffix(".html") for name in names}
