"""What an event may say at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import Interval
from aggregator.plausible import must_be_plausible
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_draft,
    a_peak_window,
    a_requirement,
    an_award,
    an_instruction,
    some_steps,
)

BID = Opportunity("bid-1", requirement=a_requirement(), submitted=a_draft())


def shifted(slots, by):
    return [Interval(slot.start + by, slot.end + by) for slot in slots]


@pytest.mark.parametrize("year", [1, 1970, 9998])
def test_a_window_of_another_age_is_refused(year):
    start = datetime(year, 6, 1, 17, tzinfo=UTC)
    window = Interval(start, start + timedelta(hours=2))
    with pytest.raises(RuleViolation, match="not plausible"):
        must_be_plausible(a_requirement(window=window), None, NOON)
    slots = shifted(SLOTS, start - SLOTS[0].start)
    for content in (
        an_instruction(steps=some_steps(1, 1, 1, 1, slots=slots)),
        a_peak_window(steps=some_steps(2, 2, 2, 2, slots=slots)),
    ):
        with pytest.raises(RuleViolation, match="not plausible"):
            must_be_plausible(content, BID, NOON)


def test_sizes_and_prices_have_bounds():
    for changes in ({"needed_kw": (1e30, 0.0, 0.0, 0.0)}, {"utilisation_ceiling": Decimal("1e30")}):
        with pytest.raises(RuleViolation, match="plausible"):
            must_be_plausible(a_requirement(**changes), None, NOON)
    must_be_plausible(a_requirement(), None, NOON)


def test_an_award_stays_within_the_bid():
    most = max(BID.submitted.offered_kw)
    price = BID.submitted.utilisation_gbp_per_mwh
    good = an_award(awarded_kw=(most,) * 4, utilisation_gbp_per_mwh=price)
    must_be_plausible(good, BID, NOON)
    for bad in (
        replace(good, awarded_kw=(most + 1,) * 4),
        replace(good, utilisation_gbp_per_mwh=price - 1),
        replace(good, window=Interval(EVENING.start - timedelta(hours=1), EVENING.end)),
    ):
        with pytest.raises(RuleViolation):
            must_be_plausible(bad, BID, NOON)


def test_an_order_lies_near_its_requirement():
    slots = shifted(SLOTS, timedelta(days=1))
    with pytest.raises(RuleViolation, match="not near"):
        must_be_plausible(an_instruction(steps=some_steps(1, 1, 1, 1, slots=slots)), BID, NOON)
