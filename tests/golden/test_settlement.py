"""Settlement against a published worked example; settlement/README.md says whose arithmetic it is."""

import json
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from aggregator.model.opportunity import Approved, Awarded, Instructed, Proposed, Received, replay
from aggregator.model.rules import Performance
from aggregator.settlement import Metered, settle
from tests.builders import (
    NOON,
    SLOTS,
    a_draft,
    a_nomination,
    a_product,
    a_requirement,
    an_award,
    an_instruction,
    some_steps,
)

CASES = sorted(path.parent for path in (Path(__file__).parent / "settlement").glob("*/case.toml"))
PERIOD = SLOTS[0]
WH_PER_MWH = 1_000_000
KW_FOR_A_MWH_IN_HALF_AN_HOUR = 2000.0


def settled(case):
    award = an_award(
        window=PERIOD,
        awarded_kw=(0.0,),
        utilisation_gbp_per_mwh=Decimal(case["flex_price_per_mw"]),
        availability_gbp_per_mw_h=Decimal(0),
    )
    steps = some_steps(case["ordered_flex_mw"] * KW_FOR_A_MWH_IN_HALF_AN_HOUR)
    draft = a_draft()
    facts = [
        Received(NOON, a_requirement(window=PERIOD, needed_kw=(0.0,))),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Awarded(NOON, award),
        Instructed(NOON, an_instruction(steps=steps)),
    ]
    nomination = a_nomination(period=PERIOD, export_wh=-case["baseline_mw"] * WH_PER_MWH)
    meters = {PERIOD: (Metered("charger-1", -case["allocation_mw"] * WH_PER_MWH, False),)}
    product = a_product(
        penalty_gbp_per_mwh=Decimal(case["penalty_per_mw"]),
        performance=Performance(wrong_way_is_missing=True),
    )
    return settle(replay("example", facts), product, {PERIOD: nomination}, meters, {"charger-1": "car-1"})


@pytest.mark.parametrize("path", CASES, ids=[path.name for path in CASES])
def test_a_published_example_settles_as_published(path):
    expected = json.loads((path / "expected.json").read_text())
    statement = settled(tomllib.loads((path / "case.toml").read_text()))
    (line,) = statement.lines
    assert line.delivered_wh == expected["delivered"] * WH_PER_MWH
    assert line.deficiency_wh == expected["deficiency"] * WH_PER_MWH
    assert line.utilisation_gbp == expected["flex_paid"]
    assert line.penalty_gbp == expected["penalty"]
    assert statement.amount_gbp == expected["settlement"]


def test_there_are_published_examples():
    assert [path.name for path in CASES] == ["enough", "just_enough", "nothing", "too_little", "wrong_way"]
