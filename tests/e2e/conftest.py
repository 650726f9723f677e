"""The demo's day, played once for all tests that look at what it leaves; a folder to run commands in."""

import json
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .command_line import ROOT


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that has ended: its folder, exit code, JSON object and story."""

    out: Path
    code: int
    body: dict[str, Any]
    story: str

    @property
    def database(self) -> Path:
        return self.out / "flexloop.db"


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "aggregator", "demo", "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return Played(out, done.returncode, json.loads(done.stdout), done.stderr)


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
