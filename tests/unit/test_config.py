"""Wrong configuration stops the start: one line a fault, with file, field, value and what is allowed."""

import re
import shutil
from datetime import time
from decimal import Decimal

import pytest

from aggregator.config import read_settings
from aggregator.model.errors import BadMessage
from tests.unit.config_steps import BASELINE, CONFIG, a_config, edit, factor, faults_of


@pytest.fixture
def config(tmp_path):
    return a_config(tmp_path)


def test_the_packaged_configuration_reads_clean():
    settings = read_settings(CONFIG / "gateway.toml")
    assert settings.fleet.zones == ("Canvey", "Hendon Way", "Wrotham")
    product = settings.products["day-ahead"]
    assert (product.slot.total_seconds(), product.penalty_gbp_per_mwh) == (1800, Decimal(600))
    assert [rule.rule_id for rule in settings.desk.rule] == ["nights-and-small"]


def test_health_is_told_nowhere_unless_asked_for(monkeypatch):
    assert read_settings(CONFIG / "gateway.toml").http.listen == ""
    for listen in ("127.0.0.1:8080", "[::1]:0", "localhost:9", ""):
        monkeypatch.setenv("FLEXLOOP_HTTP__LISTEN", listen)
        assert read_settings(CONFIG / "gateway.toml").http.listen == listen


@pytest.mark.parametrize(
    "listen", ["8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "gateway:80", "127.0.0.1:+1"]
)
def test_an_address_that_is_none_is_refused(config, listen):
    (line,) = faults_of(config, ("[fleet]", f'[http]\nlisten = "{listen}"\n\n[fleet]'))
    assert "gateway.toml: http.listen" in line
    assert listen in line
    assert "such as 127.0.0.1:8080" in line


def test_the_environment_wins_over_the_file(monkeypatch):
    monkeypatch.setenv("FLEXLOOP_STORE__URL", "sqlite:////elsewhere/f.db")
    monkeypatch.setenv("FLEXLOOP_DISPATCH__CYCLE_S", "30")
    settings = read_settings(CONFIG / "gateway.toml")
    assert settings.store.url == "sqlite:////elsewhere/f.db"
    assert settings.dispatch.cycle_s == 30


def test_the_command_line_wins_over_file_and_environment(monkeypatch):
    assert read_settings(CONFIG / "gateway.toml", "sqlite:///a.db").store.url == "sqlite:///a.db"
    monkeypatch.setenv("FLEXLOOP_STORE__URL", "sqlite:///b.db")
    assert read_settings(CONFIG / "gateway.toml", "sqlite:///a.db").store.url == "sqlite:///a.db"


def test_a_variable_is_text_and_may_mean_a_number_or_a_yes(monkeypatch):
    monkeypatch.setenv("FLEXLOOP_BIDDING__SCENARIOS", "7")
    monkeypatch.setenv("FLEXLOOP_DESK__TWO_PEOPLE", "false")
    monkeypatch.setenv("FLEXLOOP_DISPATCH", '{"cycle_s": "30"}')
    settings = read_settings(CONFIG / "gateway.toml")
    assert (settings.bidding.scenarios, settings.desk.two_people, settings.dispatch.cycle_s) == (7, False, 30)


def test_two_people_are_two_who_may_approve(config):
    other = ('approved_by = "ben"', 'approved_by = "anna"'), ('written_by = "anna"', 'written_by = "ben"')
    (line,) = faults_of(config, ('roles = ["approver"]', 'roles = ["viewer"]'), *other)
    assert line.startswith("gateway.toml: desk.user: 'anna' is not allowed; at least two users")
    edit(config / "gateway.toml", ("two_people = true", "two_people = false"))
    assert read_settings(config / "gateway.toml").desk.two_people is False
    edit(
        config / "gateway.toml",
        ('approved_by = "anna"', 'approved_by = "ben"'),
        ('by = "ben"', 'by = "anna"'),
    )
    (line,) = faults_of(config)
    assert "desk.rule[0].approved_by: 'ben' is not allowed; a user with the role approver: anna" in line


@pytest.mark.parametrize(
    ("name", "value"), [("FLEXLOOP_STORE", "not json"), ("FLEXLOOP_STORE__URLL", "sqlite:///b.db")]
)
def test_a_wrong_environment_is_a_fault_too(config, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    (line,) = faults_of(config)
    assert "store" in line.lower()


@pytest.mark.parametrize(
    ("old", "new", "where", "value", "allowed"),
    [
        ("cycle_s = 60", "cycle_seconds = 60", "dispatch.cycle_seconds", "60", "known here: cycle_s,"),
        ("\n[store]", "\n[stroe]", "stroe", "sqlite", "unknown key; known here: bidding, desk,"),
        ("cycle_s = 60", "cycle_s = 5", "dispatch.cycle_s", "5", "greater than or equal to 10"),
        ("cycle_s = 60", "cycle_s = nan", "dispatch.cycle_s", "nan", "finite"),
        ("cycle_s = 60", "cycle_s = inf", "dispatch.cycle_s", "inf", ""),
        ("zone_ramp_kw_per_minute = 500", "zone_ramp_kw_per_minute = true", "zone_ramp_kw", "True", "number"),
        (
            "set_point_s = 120",
            "set_point_s = 121",
            "dispatch.set_point_s",
            "121",
            "less than or equal to 120",
        ),
        ('kind = "simulated"', 'kind = "ocpi"', "link.kind", "ocpi", "'simulated'"),
        ('url = "http://127.0.0.1:8091/link"', 'url = "ftp://x"', "link.url", "ftp://x", "'http' or 'https'"),
        ('url = "http://127.0.0.1:8091/link"', "", "link.url", "(missing)", "there is no default"),
        ('solver = "glpk"', 'solver = "cbc"', "bidding.solver", "cbc", "'glpk' or 'highs'"),
        ("cvar_level = 0.9", "cvar_level = 1.0", "bidding.cvar_level", "1.0", "less than 1"),
        ("cvar_limit = 0.05", "cvar_limit = -1", "bidding.cvar_limit", "-1", "greater than or equal to 0"),
        ("least_margin_gbp_per_mwh = 0", "least_margin_gbp_per_mwh = -5", "least_margin", "-5", "to 0"),
        (
            '# acceptance = "dispatches.csv"',
            'acceptance = "x.csv" #',
            "bidding.acceptance",
            "x.csv",
            "exists",
        ),
        ('roles = ["approver"]', 'roles = ["king"]', "desk.user[1].roles[0]", "king", "'approver'"),
        ('approved_by = "ben"', 'approved_by = "anna"', "rule[0].approved_by", "anna", "somebody else"),
        ('approved_by = "ben"', 'approved_by = "eve"', "rule[0].approved_by", "eve", "approver: anna, ben"),
        ("two_people = true", 'two_people = "yes"', "desk.two_people", "yes", "true or false, without"),
        ("two_people = true", "two_people = 1", "desk.two_people", "1", "true or false, without"),
        ("cycle_s = 60", 'cycle_s = "60"', "dispatch.cycle_s", "60", "a number, without quotes"),
        ("scenarios = 20", 'scenarios = "20"', "bidding.scenarios", "20", "a number, without quotes"),
        ("scenarios = 20", "scenarios = 2.5", "bidding.scenarios", "2.5", "a whole number"),
        ("set_point_s = 120", "set_point_s = 50", "dispatch.set_point_s", "50", "at least cycle_s (60)"),
        ('zones = ["Canvey", "Hendon Way", "Wrotham"]', "zones = 1", "fleet.zones", "1", "a list"),
        ("max_kw = 50", "max_kw = -1", "desk.rule[0].max_kw", "-1", "greater than 0"),
        ('# zones = ["Canvey"]', 'zones = ["Camden"]', "desk.rule[0].zones", "Camden", "one of Canvey,"),
        ('# products = ["day-ahead"]', 'products = ["x"]', "desk.rule[0].products", "x", "one of day-ahead"),
        ('from_local = "05:00"', 'from_local = "06:00"', "tariff", "", "cover the day once"),
        ('from_local = "05:00"', 'from_local = "05:00Z"', "tariff[1].from_local", "05:00Z", "without a zone"),
        ('from_local = "05:00"', "from_local = 5", "tariff[1].from_local", "5", "local time of day"),
        ("import_gbp_per_kwh = 0.2011", "import_gbp_per_kwh = nan", "tariff[0].import_gbp", "nan", "finite"),
        ('# holidays = "GB-ENG"', 'holidays = "XX"', "fleet.holidays", "XX", "NO or GB-ENG, or none"),
        ('# history = "sessions.csv"', 'history = "none.csv"', "fleet.history", "none.csv", "that exists"),
        (
            '["markets/ukpn.toml"]',
            '["markets/x.toml"]',
            "market[0]",
            "markets/x.toml",
            "path of a market file",
        ),
        (
            '["markets/ukpn.toml"]',
            '"markets/ukpn.toml"',
            "market",
            "markets/ukpn.toml",
            "paths of market files",
        ),
        ('["markets/ukpn.toml"]', "[]", "market", "[]", "paths of market files"),
    ],
)
def test_a_wrong_value_is_named_with_file_field_and_what_is_allowed(config, old, new, where, value, allowed):
    (line,) = faults_of(config, (old, new))
    assert line.startswith("gateway.toml: ")
    assert where in line
    assert value in line
    assert allowed in line


@pytest.mark.parametrize(
    ("old", "new", "where", "value", "allowed"),
    [
        ('direction = "up"', 'direction = "north"', "product[0].direction", "north", "'up' or 'down'"),
        ("tick_kw = 1", "tick_kw = 0", "product[0].tick_kw", "0", "greater than 0"),
        (
            'gate_local = "14:00"',
            'gate_local = "14:00+01:00"',
            "product[0].gate_local",
            "14:00+01:00",
            "zone",
        ),
        ('gate_local = "14:00"', "gate_local = 14", "product[0].gate_local", "14", "local time of day"),
        ('gate_local = "14:00"', 'gate_local = "2pm"', "product[0].gate_local", "2pm", "local time of day"),
        ("hold_back = true", 'hold_back = "true"', "product[0].hold_back", "true", "without quotes"),
        ("retry_first_s = 1", "retry_first_s = 90", "vtn.retry_most_s", "60", "at least retry_first_s (90)"),
        ("# vtn_fingerprint = ", 'vtn_fingerprint = "x" #', "vtn.vtn_fingerprint", "x", "10 or 32 pairs"),
        ("hold_back = true", "holdback = true", "product[0].hold", "", ""),
        (
            "award_probability = 0.9",
            "award_probability = 1.1",
            "award_probability",
            "1.1",
            "less than or equal",
        ),
        ("price_steps = 1", "price_steps = 5", "product[0].price_steps", "5", "less than or equal to 4"),
        ("price_steps = 1", "price_steps = 0", "product[0].price_steps", "0", "greater than or equal to 1"),
        ("penalty_gbp_per_mwh = 600", "penalty_gbp_per_mwh = nan", "penalty_gbp", "nan", "finite"),
        ('vtn_id = "DSO-Example"', 'vtn_id = ""', "vtn.vtn_id", "''", "at least 1 character"),
        (BASELINE, 'baseline = "last year"', "product[0].baseline.method", "last year", "'bl01'"),
        (BASELINE, "baseline = 7", "product[0].baseline", "7", "table"),
        (BASELINE, "baseline = { fallback = 'zero' }", "baseline.method", "(missing)", "must be stated"),
        (BASELINE, "baseline = { method = 'bl01', days = 3 }", "baseline.days", "3", "known here: adjusted"),
        (BASELINE, "baseline = { method = 'bl01', calendar = 'XX' }", "baseline.calendar", "XX", "ISO 3166"),
        (BASELINE, "baseline = { method = 'bl01', lookback_days = 0 }", "lookback_days", "0", "equal to 1"),
        (BASELINE, "baseline = { method = 'zero', adjusted = true }", "baseline.adjusted", "true", "bl01"),
        (BASELINE, "baseline = { method = 'fixed' }", "baseline.profile_kw", "0 figures", "48 half-hours"),
        (
            BASELINE,
            "baseline = { method = 'zero', profile_kw = [1] }",
            "profile_kw",
            "1 figures",
            "fixed only",
        ),
        (BASELINE, factor(measure="'luck'"), "utilisation.measure", "luck", "'delivery'"),
        (BASELINE, factor(over="'week'"), "utilisation.over", "week", "'half_hour'"),
        (BASELINE, factor(grace="5"), "utilisation.grace", "5", "less than or equal to 1"),
        (BASELINE, factor(multiplier="nan"), "utilisation.multiplier", "nan", "finite"),
        (BASELINE, factor(floor="0.5", cap="0.4"), "utilisation.floor", "0.5", "at most the cap (0.4)"),
        (BASELINE, factor(first_period="43"), "utilisation.first_period", "43", "at most last_period"),
        (BASELINE, factor(measure="'schedule_accuracy'"), "utilisation.over", "event", "month_before"),
        (BASELINE, factor(least_kw="5"), "utilisation.least_kw", "5", "schedule_accuracy"),
    ],
)
def test_a_wrong_market_file_is_named_too(config, old, new, where, value, allowed):
    line, *_ = faults_of(config, market=[(old, new)])
    assert line.startswith("ukpn.toml: ")
    assert where in line
    assert value in line
    assert allowed in line


def test_bad_toml_names_the_file_and_the_line(config):
    (line,) = faults_of(config, ("\n[store]", "\n[store"))
    assert line.startswith("gateway.toml: ")
    assert "line" in line
    edit(config / "gateway.toml", ("\n[store\n", "\n[store]\n"))
    (line,) = faults_of(config, market=[("[vtn]", "[vtn")])
    assert line.startswith("ukpn.toml: ")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(config, content):
    path = config / "gateway.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadMessage, match=r"gateway\.toml.*a readable UTF-8 text file"):
        read_settings(path)


def test_a_product_stands_once_over_all_markets(config):
    shutil.copy(config / "markets" / "ukpn.toml", config / "markets" / "other.toml")
    lines = faults_of(config, ('["markets/ukpn.toml"]', '["markets/ukpn.toml", "markets/other.toml"]'))
    assert [("day-ahead" in line, "DSO-Example" in line) for line in lines] == [(True, False), (False, True)]


def test_bands_that_cover_the_day_twice_are_refused(config):
    band = '[[tariff]]\nfrom_local = "02:00"\nuntil_local = "02:00"\n'
    prices = "import_gbp_per_kwh = 0.1\nexport_gbp_per_kwh = 0.1\n\n"
    (line,) = faults_of(
        config, ('[[tariff]]\nfrom_local = "02:00"', f'{band}{prices}[[tariff]]\nfrom_local = "02:00"')
    )
    assert "cover the day once" in line


LATER = """[[tariff]]
valid_from = 2025-04-01
from_local = "00:00"
until_local = "00:00"
import_gbp_per_kwh = 0.27
export_gbp_per_kwh = 0.15

"""


def test_a_tariff_may_change_and_each_of_them_covers_the_day_once(config):
    first = '[[tariff]]\nfrom_local = "02:00"'
    edit(config / "gateway.toml", (first, LATER + first))
    assert len(read_settings(config / "gateway.toml").tariff) == 5
    edit(config / "gateway.toml", ('until_local = "00:00"', 'until_local = "12:00"'))
    with pytest.raises(BadMessage, match="cover the day once"):
        read_settings(config / "gateway.toml")


def test_one_band_from_midnight_to_midnight_is_a_fixed_tariff(config):
    path = config / "gateway.toml"
    before, *_, after = re.split(r"(?m)^\[\[tariff\]\]$", path.read_text())
    path.write_text(
        f"{before}{LATER.replace('valid_from = 2025-04-01', '')}{after.partition('# [[tariff]]')[2]}"
    )
    (band,) = read_settings(path).tariff
    assert (band.from_local, band.until_local, band.import_gbp_per_kwh) == (time(0), time(0), 0.27)


def test_some_tariff_holds_before_the_first_change(config):
    path = config / "gateway.toml"
    path.write_text(re.sub("(?m)^from_local", "valid_from = 2025-04-01\\nfrom_local", path.read_text()))
    with pytest.raises(BadMessage, match="without valid_from"):
        read_settings(config / "gateway.toml")


@pytest.mark.parametrize(
    ("prices", "where", "value", "allowed"),
    [
        ('import_csv = "none.csv"', "prices.import_csv", "none.csv", "a price file that exists"),
        ('export_csv = "none.csv"', "prices.export_csv", "none.csv", "a price file that exists"),
        ('beyond = "yesterday"', "prices.beyond", "yesterday", "'tariff' or 'week_before'"),
        ("export_gbp_per_kwh = inf", "prices.export_gbp_per_kwh", "inf", "finite"),
        ('published_local = "noon"', "prices.published_local", "noon", "local time of day"),
        (
            'export_csv = "gateway.toml"\nexport_gbp_per_kwh = 0.1',
            "prices.export_gbp_per_kwh",
            "0.1",
            "left out beside export_csv",
        ),
    ],
)
def test_prices_that_cannot_be_used_are_named(config, prices, where, value, allowed):
    (line,) = faults_of(config, ("# [prices]", f"[prices]\n{prices}\n#"))
    assert where in line
    assert repr(value) in line
    assert allowed in line


def test_all_faults_of_all_files_are_told_at_once(config):
    lines = faults_of(
        config,
        ("cycle_s = 60", "cycle_s = 5"),
        ("\n[store]", "\n[stroe]"),
        ('# zones = ["Canvey"]', 'zones = ["Camden"]'),
        ('# history = "sessions.csv"', 'history = "none.csv"'),
        ('["markets/ukpn.toml"]', '["markets/ukpn.toml", "markets/none.toml"]'),
        market=[("tick_kw = 1", "tick_kw = 0"), ("min_kw = 10", "minimum = 10")],
    )
    for part in ("cycle_s", "stroe", "Camden", "none.csv", "none.toml", "tick_kw", "minimum", "min_kw"):
        assert [line for line in lines if part in line], part


def test_a_missing_market_hides_no_other_fault(config):
    lines = faults_of(config, ('market = ["markets/ukpn.toml"]', ""), ("cycle_s = 60", "cycle_s = 5"))
    assert len(lines) == 2
    assert "gateway.toml: market" in lines[0]
    assert "cycle_s" in lines[1]
