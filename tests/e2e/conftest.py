"""The demo's day, played once for all tests that look at what it leaves; a folder to run commands in."""

import json
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aggregator.cli import run
from aggregator.clock import Pace, start_fast_clock
from aggregator.model.opportunity import Proposed, Received
from aggregator.store import open_store
from tests.builders import NOON, PRODUCT, ZONE, a_draft, a_requirement

from .command_line import BID, ROOT, edit
from .watched import Watcher


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that has ended: its folder, exit code, JSON object and story, and who watched its desk."""

    out: Path
    code: int
    body: dict[str, Any]
    story: str
    watcher: Watcher

    @property
    def database(self) -> Path:
        return self.out / "flexloop.db"


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    out, result, watcher, story = folder / "out", folder / "result.json", Watcher(), []
    command = [
        sys.executable,
        "-m",
        "aggregator",
        "demo",
        "--out",
        str(out),
        "--json",
        "--desk",
        "127.0.0.1:0",
    ]
    with (
        result.open("w") as stdout,
        subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as demo,
    ):
        for line in demo.stderr or ():
            story.append(line)
            watcher.hear(line)
    watcher.end()
    text = result.read_text()
    assert text, "".join(story)
    return Played(out, demo.returncode, json.loads(text), "".join(story), watcher)


@pytest.fixture
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


@pytest.fixture
def desk(capsys, home):
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
