"""What others wrote is what its lock says, file by file, with its licence."""

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "aggregator/web/static/vendor", ROOT / "tests/vendor")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_vendored_files_are_those_of_their_lock(folder):
    lock = json.loads((folder / "lock.json").read_text())
    notes = {path.name for path in folder.iterdir() if path.suffix in (".json", ".LICENSE")}
    assert {path.name for path in folder.iterdir()} - notes == lock.keys()
    for name, said in lock.items():
        assert said.keys() == {"npm", "version", "licence", "sha256"}
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == said["sha256"], name
        assert any(said["npm"].lower().startswith(note.lower().removesuffix(".license")) for note in notes)
