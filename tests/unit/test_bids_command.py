"""``flexloop bids`` after the award: orders are shown, and an award is taken back."""

import json
import re
import shutil
from pathlib import Path

import pytest

from aggregator.cli import run
from aggregator.model.opportunity import Approved, Awarded, Instructed, Proposed, Received
from aggregator.store import open_store
from tests.builders import NOON, a_draft, a_requirement, an_award, an_instruction

ROOT = Path(__file__).parents[2]
BID = "dno:requirement-1:EASTGATE"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Work in a folder with a configuration, and an opportunity that was awarded and ordered."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    config = tmp_path / "config" / "gateway.toml"
    config.write_text(re.sub(r"(?m)^history = .*$", "", config.read_text()))
    monkeypatch.chdir(tmp_path)
    draft, product = a_draft(), "day-ahead"
    order = an_instruction(product_id=product, priority=1, ramp_up_s=600.0, notice_s=7200.0, delay_s=5.0)
    facts = [
        Received(NOON, a_requirement(product_id=product)),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "ben"),
        Awarded(NOON, an_award(product_id=product)),
        Instructed(NOON, order),
    ]
    with open_store("sqlite:///flexloop.db", create=True) as store:
        store.journal.append_many(BID, facts, expected_version=0, by="test", recorded_at=NOON)


def bids(capsys, *words):
    code = run(["bids", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_orders_in_force_are_shown_with_priority_ramp_notice_and_delay(capsys):
    _, shown = bids(capsys, "show", BID)
    (order,) = shown["orders"]
    assert order == {
        "event": "dispatch-1",
        "modification": 0,
        "start": "2025-01-15T17:00:00Z",
        "end": "2025-01-15T19:00:00Z",
        "mode": "delta",
        "values": [30.0, 50.0, 50.0, 20.0],
        "priority": 1,
        "ramp_up_s": 600.0,
        "notice_s": 7200.0,
        "delay_s": 5.0,
    }


def test_an_award_is_taken_back_by_a_trader_and_not_twice(capsys):
    assert bids(capsys, "withdraw", BID, "--as", "ben", "--reason", "recall")[0] == 1
    code, after = bids(capsys, "withdraw", BID, "--as", "anna", "--reason", "recall")
    assert (code, after["stage"], after["closed_because"]) == (
        0,
        "CLOSED",
        "taken back after the award: recall",
    )
    assert bids(capsys, "withdraw", BID, "--as", "anna", "--reason", "recall")[0] == 1
    assert bids(capsys, "show", BID)[1]["orders"] == []
    with open_store("sqlite:///flexloop.db", create=False) as store:
        told = [entry.report.event.event_id for entry in store.outbox.pending("dno")]
    assert told == ["award-1", "dispatch-1"]
