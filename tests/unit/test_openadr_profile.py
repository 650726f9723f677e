"""The conformance statement names tests; each of them exists, so that the statement stays true."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PROFILE = TESTS.parent / "market_adapters" / "openadr" / "PROFILE.md"


def test_every_test_that_the_conformance_statement_names_exists():
    named = set(re.findall(r"`(test_\w+)`", PROFILE.read_text(encoding="utf-8")))
    defined = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 50
    assert named - defined == set()
