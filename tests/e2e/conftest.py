"""The demo's day, played once for all tests that look at what it leaves."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


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
