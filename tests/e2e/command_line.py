"""The command line as people and programs use it, in a folder of its own."""

import json
from pathlib import Path

from aggregator.cli import run
from aggregator.store import open_store
from tests.builders import PRODUCT, ZONE

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


def facts_of():
    """Return how many facts the journal has of the bid."""
    with open_store("sqlite:///flexloop.db", create=False) as store:
        return len(store.journal.facts(BID))
