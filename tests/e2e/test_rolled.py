"""``readings roll``: the statement's bytes stay, whatever happens on the way; what is wrong is one line."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from aggregator.cli import run
from aggregator.store import open_store, rolled_files
from tests.builders import EVENING, NOON, a_reading
from tests.property.settled import figures

from .processes import FORKS, play
from .test_same_bytes import MINUTE, ROOT, filled

BEFORE, AFTER = "2025-01-15", "2025-01-16"
SIGKILL = -9


def shared(url):
    return ["--config", str(ROOT / "config" / "gateway.toml"), "--database", url]


def settled(url, out, *more):
    words = ["settle", "--from", BEFORE, "--to", AFTER, "--out", str(out), *more]
    assert run([*shared(url), *words]) == 0
    return {file.name: file.read_bytes() for file in sorted(Path(out).iterdir())}


def lines_of(files):
    """Return a statement's figures, without its version: that is of when it was made."""
    return figures(pd.read_csv(BytesIO(files["statement.csv"]), dtype=str, keep_default_na=False))


def rolled(url, *more, before=AFTER):
    return run([*shared(url), "readings", "roll", "--before", before, "--json", *more])


def test_a_statement_has_the_same_bytes_after_its_day_was_rolled_and_back(made_url, tmp_path, capsys):
    filled(made_url)
    plain = settled(made_url, tmp_path / "plain")
    folder = tmp_path / "files"
    assert rolled(made_url, "--out", str(folder)) == 0
    said = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert [day["settlement_date"] for day in said["days"]] == [BEFORE]
    assert said["readings"] == said["days"][0]["rows"] > 100
    assert settled(made_url, tmp_path / "rolled") == plain
    assert run([*shared(made_url), "settle", "explain", "one", "35", "car 007"]) == 0
    assert run([*shared(made_url), "readings", "unroll", "--from", BEFORE]) == 0
    assert settled(made_url, tmp_path / "back") == plain


def test_a_late_reading_of_a_rolled_day_makes_a_new_version(tmp_path):
    url = f"sqlite:///{tmp_path / 'f.db'}"
    filled(url)
    plain = settled(url, tmp_path / "plain")
    assert rolled(url) == 0
    with open_store(url, create=False) as store:
        at = EVENING.start + 30 * MINUTE
        late = a_reading(charger_id="=1+1", measured_at=at, received_at=NOON.replace(day=18), export_wh=9)
        store.readings.add([late])
    lines = settled(url, tmp_path / "late")["statement.csv"].decode().splitlines()
    assert lines != plain["statement.csv"].decode().splitlines()
    versions = json.loads((tmp_path / "late" / "statement.json").read_bytes())["versions"]
    assert [one["version"] for one in versions] == [1, 2]
    known = "--as-known-at", "2025-01-17T00:00:00Z"
    as_known = settled(url, tmp_path / "known", *known)
    assert lines_of(as_known) == lines_of(plain)


def after_the_file() -> None:
    """Die when a file is there and nothing is told of it."""
    write = rolled_files.write

    def write_and_die(*said):
        write(*said)
        os.kill(os.getpid(), signal.SIGKILL)

    rolled_files.write = write_and_die


def half_a_file() -> None:
    """Die when half of a file is written."""

    def half(folder, stem, data):
        folder.mkdir(exist_ok=True)
        (folder / f"{stem}.part").write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    rolled_files.write = half


def before_commit() -> None:
    """Die when all is told and deleted, and before it is committed."""

    @event.listens_for(Engine, "before_cursor_execute")
    def note(connection, _cursor, statement, *_):
        if statement.lower().startswith("delete from readings"):
            connection.info["deletes"] = True

    @event.listens_for(Engine, "commit")
    def die_instead(connection):
        if connection.info.get("deletes"):
            os.kill(os.getpid(), signal.SIGKILL)


def _dying(point, words, log):
    point()
    play(words, log)


@pytest.mark.slow
def test_killed_at_any_point_nothing_is_lost_or_done_twice(tmp_path):
    url, log = f"sqlite:///{tmp_path / 'f.db'}", tmp_path / "log"
    filled(url)
    plain = settled(url, tmp_path / "plain")
    with open_store(url, create=False) as store:
        count = store.readings.count()
    roll = [*shared(url), "readings", "roll", "--before", AFTER]
    for point in (half_a_file, after_the_file, before_commit):
        process = FORKS.Process(target=_dying, args=(point, roll, log))
        process.start()
        process.join(60)
        assert process.exitcode == SIGKILL, point.__name__
        with open_store(url, create=False) as store:
            assert (store.readings.count(), list(store.rolling.unroll(NOON.date()))) == (count, [])
    assert rolled(url) == 0
    with open_store(url, create=False) as store:
        assert store.readings.count() == count
    with closing(sqlite3.connect(tmp_path / "f.db")) as database:
        assert database.execute("SELECT count(*) FROM readings").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM rolled_days").fetchone() == (1,)
    assert settled(url, tmp_path / "rolled") == plain
    assert len(list((tmp_path / "f.db.rolled").glob("*.parquet"))) == 1


def test_what_is_wrong_is_one_line(tmp_path, capsys, postgres):
    url = f"sqlite:///{tmp_path / 'f.db'}"
    filled(url)
    assert rolled(url) == 0
    (file,) = (tmp_path / "f.db.rolled").iterdir()
    file.write_bytes(file.read_bytes() + b"0")
    capsys.readouterr()
    for verb in (["settle", "--from", BEFORE, "--to", AFTER, "--out", str(tmp_path / "o")], ["audit"]):
        assert run([*shared(url), *verb]) == 2
        line, *more = capsys.readouterr().err.splitlines()
        assert (more, file.name in line, "put it back from a copy" in line) == ([], True, True)
    assert not (tmp_path / "o").exists()
    with open_store(url, create=False) as store:
        store.readings.add([a_reading(measured_at=NOON.replace(day=17))])
    for words, part in (
        (["roll", "--before", "3000-01-01"], "later days are not closed"),
        (["roll", "--before", "then"], "a date"),
        (["roll", "--before", "2025-02-01", "--out", str(file)], "a folder that can be written"),
        (["unroll", "--from", BEFORE], "put it back from a copy"),
    ):
        assert run([*shared(url), "readings", *words]) == 2
        assert part in capsys.readouterr().err
    server = postgres.create()
    open_store(server, create=True).close()
    assert rolled(server) == 2
    assert "a folder that whoever uses the store can read" in capsys.readouterr().out
    assert run([*shared(url), "db", "downgrade", "0006"]) == 2
    assert "readings unroll" in capsys.readouterr().err
