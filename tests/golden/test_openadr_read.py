"""``openadr read`` against messages whose reading is known."""

import json
from pathlib import Path

import pytest

from market_adapters.openadr.read import read_message

CASES = sorted((Path(__file__).parent / "openadr_read").glob("*.xml"))


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_message_reads_as_expected(path):
    assert read_message(path) == json.loads(path.with_suffix(".json").read_text())


def test_the_same_text_as_the_contract_gives():
    path = CASES[0].parent / "dispatch.xml"
    assert json.dumps(read_message(path), indent=1) == path.with_suffix(".json").read_text().rstrip("\n")
