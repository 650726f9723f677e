"""``flexloop bids`` after the award: orders are shown, and an award is taken back."""

import json
import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from aggregator.cli import run
from aggregator.model.explanation import Change, PricedPart
from aggregator.model.opportunity import Approved, Awarded, Instructed, Proposed, Received
from aggregator.model.steps import PriceStep
from aggregator.store import open_store
from tests.builders import NOON, a_draft, a_requirement, an_award, an_explanation, an_instruction

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


def test_a_draft_is_told_in_words(capsys):
    change = Change(1, kw=-20.0, gbp_per_mwh=0.0, margin_gbp=-1.5, inputs=("needs", "peak signals"))
    why = an_explanation(
        margin_p90_gbp=6.0,
        held_back_gbp=0.12,
        accepted=0.8,
        parts=(PricedPart(25.0, 150.0, 300.0), PricedPart(50.0, 182.4, 300.0)),
        change=change,
    )
    with open_store("sqlite:///flexloop.db", create=False) as store:
        facts = [
            Received(NOON, a_requirement(product_id="day-ahead")),
            Proposed(NOON, a_draft(version=2, why=why)),
        ]
        store.journal.append_many("two", facts, expected_version=0, by="test", recorded_at=NOON)
    assert run(["bids", "show", "two"]) == 0
    told = capsys.readouterr().out
    for line in (
        "17:00-17:30  30 of 40 kW; base discharge 10 kW, 1 kW held back",
        "17:30-18:00  50 of 60 kW; base discharge 10.5 kW",
        "asks GBP 300.00/MWh delivered, 10/MW/h held ready",
        "expected margin GBP 4.25, nine past days in ten earn 1.10 or more (P10), "
        "one in ten 6.00 or more (P90)",
        "12 cars behind it, over 30 past days; solver: glpk optimal 0.0",
        "cut to 0.970 of what the past days allow, by what was delivered of earlier bids",
        "the price is held to be accepted 80% of the time, by prices cleared before",
        "holds 1.5 kWh of base discharge back, which would have earned GBP 0.12",
        "up to 50 kW the last MWh costs GBP 182.40, price GBP 300.00",
        "what stops it:\n    energy in 17:30 to 18:30",
        "days on which it falls short:\n    2024-12-24: 3.2 kWh",
        "since draft 1: -20 kW, GBP +0.00/MWh, margin GBP -1.50; changed: needs, peak signals",
    ):
        assert line in told
    _, shown = bids(capsys, "show", "two")
    assert shown["why"]["parts"][1]["price_gbp_per_mwh"] == 300.0
    assert shown["why"]["change"]["inputs"] == ["needs", "peak signals"]


def test_the_price_steps_of_a_draft_are_shown(capsys):
    steps = (
        PriceStep((20.0, 20.0, 20.0, 20.0), Decimal("300.00")),
        PriceStep((10.0, 30.0, 30.0, 0.0), Decimal("345.50")),
    )
    facts = [Received(NOON, a_requirement(product_id="day-ahead")), Proposed(NOON, a_draft(steps=steps))]
    with open_store("sqlite:///flexloop.db", create=False) as store:
        store.journal.append_many("other", facts, expected_version=0, by="test", recorded_at=NOON)
    assert run(["bids", "show", "other"]) == 0
    told = capsys.readouterr().out
    assert "asks GBP 300.00 to 345.50/MWh in 2 steps delivered, 10/MW/h held ready" in told
    assert "20 kW at GBP 300.00/MWh" in told
    assert "30 kW at GBP 345.50/MWh" in told
    _, shown = bids(capsys, "show", "other")
    assert shown["price_steps"] == [
        {"offered_kw": [20.0, 20.0, 20.0, 20.0], "gbp_per_mwh": "300.00"},
        {"offered_kw": [10.0, 30.0, 30.0, 0.0], "gbp_per_mwh": "345.50"},
    ]
