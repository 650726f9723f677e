"""Wrong input at the command line: one line or one JSON object, the right exit code, nothing half-written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.files.dispatches import COLUMNS
from aggregator.store import open_store

from .command_line import GARBAGE, done, edit, only_line, refused

pytestmark = pytest.mark.usefixtures("home")


# usage


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["frobnicate"], "No such command 'frobnicate'; see flexloop --help"),
        (["bids"], "Missing command; see flexloop bids --help"),
        (["bids", "frobnicate"], "see flexloop bids --help"),
        (["check-config", "--frobnicate"], "No such option: --frobnicate; see flexloop check-config --help"),
        (["split"], "Missing argument 'FILE'; see flexloop split --help"),
        (["split", "a", "b"], "see flexloop split --help"),
        (["demo", "--seed", "soon"], "'--seed'"),
        (["bids", "approve", "x", "--draft", "12345678"], "'--as'"),
        (["settle", "--from", "2025-01-01", "--to", "2025-01-02"], "'--out'"),
    ],
)
def test_wrong_usage_says_whose_help_to_read(capsys, words, part):
    assert part in only_line(capsys, *words)


def test_no_command_at_all_shows_the_help(capsys):
    assert "check-config" in done(capsys)


def test_the_program_itself_ends_without_a_traceback(home):
    command = [sys.executable, "-m", "aggregator", "fleet", "import", "none.toml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=home)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert json.loads(ended.stdout)["error"]["allowed"]


def test_a_solver_prints_nothing_beside_the_answer(home):
    """A car that arrives later and one that must charge: no closed form, so that a solver runs."""
    car = {"id": "a", "site": "home", "capacity_kwh": 40, "floor_kwh": 12, "max_kwh": 40, "energy_kwh": 30}
    car |= {"charge_kw": 7, "discharge_kw": 7, "depart_slot": 9, "target_kwh": 12, "arrive_slot": 1}
    low = car | {"id": "b", "energy_kwh": 10, "arrive_slot": 0}
    problem = {
        "id": "solved",
        "slot_hours": 0.5,
        "eta_charge": 0.9,
        "eta_discharge": 0.9,
        "cars": [car, low],
        "sites": {"home": {"export_limit_kw": 3.68, "import_limit_kw": 18}},
        "event": {"n_slots": 3, "request_kw": [2, 3, 3]},
    }
    Path(home / "solved.json").write_text(json.dumps(problem))
    command = [sys.executable, "-m", "aggregator", "split", "solved.json", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["export_kw"].keys() == {"a", "b"}


# configuration


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("cycle_s = 60", "cycel_s = 60", "gateway.toml: dispatch.cycel_s: '60'"),
        ("cycle_s = 60", f"cycle_s = {'9' * 5000}", "gateway.toml: "),
        ("cycle_s = 60", f"cycle_s = {'9' * 400}", "gateway.toml: dispatch.cycle_s"),
        ("time_limit_s = 30", "time_limit_s = 1e300", "bidding.time_limit_s: '1e+300'"),
        ("\n[store]", "\n[store", "gateway.toml: "),
        ("\n[store]", "\nx = " + "[" * 100_000 + "\n[store]", "gateway.toml: "),
        ('zones = ["Canvey",', 'zones = ["Canvey", "Canvey",', "fleet.zones: 'Canvey'"),
        ('name = "ben"', 'name = "anna"', "desk.user.name: 'anna'"),
        ('["markets/ukpn.toml"]', '["markets"]', "markets: 'Is a directory'"),
        ("# glpsol =", 'glpsol = "nonexistent" #', "'nonexistent' is not allowed; it must be the path"),
        ("# glpsol =", 'glpsol = "/bin/false" #', "bidding.glpsol: '/bin/false'"),
        ("sqlite:///flexloop.db", "mysql://x", "database: 'mysql://x'"),
        ("sqlite:///flexloop.db", "sqlite:///no/f.db", "a file in a folder that exists; no does not"),
    ],
)
def test_a_wrong_configuration_is_one_line(capsys, old, new, where):
    edit("config/gateway.toml", (old, new))
    assert where in only_line(capsys, "check-config")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("slot_minutes = 30", "slot_minutes = 7", "ukpn.toml: product[0].slot_minutes: '7'"),
        ("penalty_gbp_per_mwh = 600", "penalty_gbp_per_mwh = 1e300", "penalty_gbp_per_mwh"),
        ("# ca =", 'ca = "none.pem" #', "ukpn.toml: vtn.ca: 'none.pem'"),
        ("tick_kw = 1", "tick_kw = true", "ukpn.toml: product[0].tick_kw: 'True'"),
    ],
)
def test_a_wrong_market_file_is_one_line(capsys, old, new, where):
    edit("config/markets/ukpn.toml", (old, new))
    assert where in only_line(capsys, "check-config")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLEXLOOP_STOER__URL", "sqlite:///x.db"),
        ("FLEXLOOP_STORE_URL", "sqlite:///x.db"),
        ("FLEXLOOP_STORE__URLL", "sqlite:///x.db"),
        ("FLEXLOOP_DISPATCH__CYCLE_S", "1"),
    ],
)
def test_a_wrong_variable_is_named(capsys, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert only_line(capsys, "check-config").startswith(f"flexloop: {variable}: ")


def test_check_config_reads_the_history_that_is_named(capsys):
    edit("config/gateway.toml", ("[link]", "[link] "), ("[fleet]", '[fleet]\nhistory = "h.csv"'))
    Path("config/h.csv").write_text("car,when\n")
    assert "h.csv: header" in only_line(capsys, "check-config")


def test_check_config_reads_the_cleared_prices_that_it_names(capsys):
    Path("config/d.csv").write_text(f"{','.join(COLUMNS)}\nA,f,Z,P,yesterday,2025-01-08T17:00Z,0,1,0,1\n")
    edit("config/gateway.toml", ("# acceptance =", 'acceptance = "d.csv" #'))
    assert "start_time_utc is 'yesterday'" in only_line(capsys, "check-config")


def test_all_faults_of_all_files_come_at_once(capsys):
    edit("config/gateway.toml", ("cycle_s = 60", "cycle_s = nan"), ('solver = "glpk"', 'solver = "x"'))
    edit("config/markets/ukpn.toml", ("tick_kw = 1", "tick_kw = -1"))
    lines, body = refused(capsys, "check-config")
    assert [row["where"] for row in body["errors"]] == [
        "ukpn.toml: product[0].tick_kw",
        "gateway.toml: dispatch.cycle_s",
        "gateway.toml: bidding.solver",
    ]
    assert body["error"] == body["errors"][0]
    assert len(lines) == 3


@pytest.mark.parametrize("path", ["none.toml", ".", "/dev/null"])
def test_a_configuration_that_is_no_file_is_named(capsys, path):
    refused(capsys, "check-config", "--config", path)


# fleet


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("floor_soc = 0.30", "floor_soc = 0.29", "car[0].floor_soc: '0.29'"),
        ("floor_soc = 0.30", "floor_soc = true", "car[0].floor_soc: 'True'"),
        ("export_limit_kw = 3.68", "", "site[0].export_limit_kw: '(missing)'"),
        ('export_source = "g98"', "", "site[0].export_source: '(missing)'"),
        ('car_id = "leaf-2"', 'car_id = "leaf-1"', "car[1].car_id: 'leaf-1'"),
        ('zone = "Canvey"', 'zone = "Nowhere"', "site[1].zone: 'Nowhere'"),
        ('depart_local = "07:30"', 'depart_local = "07:30Z"', "default_depart_local: '07:30Z'"),
        ("capacity_kwh = 40", "capacity_kwh = nan", "car[0].capacity_kwh: 'nan'"),
        ("capacity_kwh = 40", "capacity_kwh = 1e300", "car[0].capacity_kwh: '1e+300'"),
        ("capacity_kwh = 40", f"capacity_kwh = {'9' * 5000}", "fleet.toml: "),
    ],
)
def test_a_wrong_fleet_is_one_line_and_leaves_no_store(capsys, old, new, where):
    edit("fleet.toml", (old, new))
    assert where in only_line(capsys, "fleet", "import", "fleet.toml")
    assert not Path("flexloop.db").exists()


@pytest.mark.parametrize("suffix", ["toml", "csv"])
@pytest.mark.parametrize("content", GARBAGE)
def test_a_fleet_file_of_garbage_is_refused(capsys, suffix, content):
    Path(f"f.{suffix}").write_bytes(GARBAGE[content])
    refused(capsys, "fleet", "import", f"f.{suffix}")
    assert not Path("flexloop.db").exists()


def test_a_wrong_fleet_leaves_the_one_before(capsys):
    done(capsys, "fleet", "import", "fleet.toml")
    edit("fleet.toml", ("floor_soc = 0.30", "floor_soc = 0.1"))
    refused(capsys, "fleet", "import", "fleet.toml")
    with open_store("sqlite:///flexloop.db", create=False) as store:
        assert [car.floor_soc for car in store.fleet.load().cars] == [0.3, 0.4]


def test_homes_without_discharge_are_told_in_counts_by_why(capsys):
    assert "no discharge" not in done(capsys, "fleet", "import", "fleet.toml")
    edit("fleet.toml", ('# approval = "granted"', 'approval = "applied" #'))
    for words in (("fleet", "import", "fleet.toml"), ("check-config",)):
        assert "no discharge at 1 of 2 homes (approval applied: 1)" in done(capsys, *words)
        assert json.loads(done(capsys, *words, "--json"))["no_discharge"] == {"approval applied": 1}


@pytest.mark.parametrize("verb", ["serve", "fleet import fleet.toml"])
def test_a_store_that_a_gateway_holds_is_left_to_it(capsys, home, verb):
    done(capsys, "fleet", "import", "fleet.toml")
    (home / "same.db").symlink_to("flexloop.db")
    with open_store("sqlite:///flexloop.db", create=False) as store, store.held():
        for database in ("flexloop.db", "same.db", home / "flexloop.db"):
            words = ["--database", f"sqlite:///{database}", *verb.split()]
            told = f"flexloop: refused: {database} is held by a running gateway; stop it first"
            assert only_line(capsys, *words, code=1) == told
        assert len(store.fleet.all().terms) == 1
    done(capsys, "fleet", "import", "fleet.toml")
