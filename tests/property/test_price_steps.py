"""A bid in price steps: adds up, is cut from the dear end, and is cleared in price order by the operator."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytest import approx

from aggregator.acceptance import PENNY
from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Opportunity, Proposed, Received
from aggregator.model.steps import cut_to, mean_price, steps_of
from aggregator.model.time import Interval
from aggregator.outgoing import bid_report
from aggregator.plausible import must_be_plausible
from market_adapters.dno_simulator.book import Book
from market_adapters.dno_simulator.edge import checked
from market_adapters.dno_simulator.market import cleared, terms
from market_adapters.dno_simulator.reading import Reading, Report
from market_adapters.dno_simulator.scenario import Scenario
from tests.builders import a_draft, a_product, a_requirement, an_award
from tests.protocol.dno_platform import REQUIREMENT, SCENARIO, START

DAY_BEFORE = datetime(2025, 1, 7, 13, tzinfo=UTC)
WINDOW = Interval(START, START + timedelta(hours=2))
prices = st.decimals(1, 350, places=2)
levels = st.tuples(*[st.integers(0, 60).map(float)] * 4)


@st.composite
def bids(draw):
    """Draw kW per slot, parts with their prices, and the most steps allowed."""
    offered = draw(levels.filter(any))
    top = max(offered)
    ends = sorted({*draw(st.lists(st.integers(1, int(top)).map(float), max_size=3)), top})
    return offered, list(zip(ends, sorted(draw(prices) for _ in ends), strict=True)), draw(st.integers(1, 4))


@given(bids())
def test_steps_add_up_and_no_kw_is_asked_less_than_its_part(drawn):
    offered, parts, most = drawn
    steps = steps_of(offered, parts, most)
    assert 1 <= len(steps) <= most
    assert [sum(kw) for kw in zip(*(step.offered_kw for step in steps), strict=True)] == list(offered)
    asked = [step.gbp_per_mwh for step in steps]
    assert asked == sorted(set(asked))
    assert {price for _, price in parts} >= set(asked)
    for end, price in parts:
        begun = [step for step in steps if cut_to(steps, [min(kw, end) for kw in offered])[-1] == step]
        assert all(step.gbp_per_mwh >= price for step in begun)
    if most >= len({price for _, price in parts}) and len(parts) <= most:
        cost = sum(
            price * Decimal(sum(max(0.0, min(kw, end) - below) for kw in offered))
            for (end, price), below in zip(parts, [0.0, *(end for end, _ in parts)], strict=False)
        )
        assert mean_price(steps) * Decimal(sum(offered)) == approx(cost)


@given(bids(), levels)
def test_what_is_cut_off_is_the_dearest(drawn, room):
    offered, parts, most = drawn
    steps = steps_of(offered, parts, most)
    kept, left = cut_to(steps, room), [min(one, kw) for one, kw in zip(room, offered, strict=True)]
    assert [sum(step.offered_kw[n] for step in kept) for n in range(len(left))] == left
    for slot, kw in enumerate(left):
        for n, step in enumerate(steps):
            below = sum(one.offered_kw[slot] for one in steps[:n])
            taken = sum(one.offered_kw[slot] for one in kept if one.gbp_per_mwh == step.gbp_per_mwh)
            assert taken == min(step.offered_kw[slot], max(0.0, kw - below))
    assert cut_to(steps, offered) == steps


@given(bids(), st.sampled_from([1.0, 0.8, 0.5, 0.3]), st.floats(5.0, 70.0))
@settings(max_examples=60)
def test_the_operator_takes_the_cheapest_steps_and_its_award_is_plausible_to_us(drawn, fraction, need_kw):
    offered, parts, most = drawn
    steps = steps_of(offered, parts, most)
    need = a_requirement(window=WINDOW, needed_kw=(need_kw,) * 4, utilisation_ceiling=Decimal(350))
    draft = a_draft(
        offered_kw=offered,
        utilisation_gbp_per_mwh=steps[0].gbp_per_mwh,
        availability_gbp_per_mw_h=Decimal(0),
        steps=steps if len(steps) > 1 else (),
    )
    clearing, paid = the_clearing(need, draft, fraction)
    assert not clearing.refused
    assume(clearing.awarded)
    assert clearing.awarded_kw == tuple(
        int(min(kw, need_kw) * fraction + 1e-9) for kw in offered
    )  # whole ticks
    taken = cut_to(draft.priced, clearing.awarded_kw)
    (price,) = {Decimal(str(one)) for one in paid.price_gbp_per_mwh}
    assert abs(price - mean_price(taken)) <= Decimal("0.00501")
    one = Opportunity("bid-1").after(Received(DAY_BEFORE, need)).after(Proposed(DAY_BEFORE, draft))
    award = an_award(window=need.window, awarded_kw=clearing.awarded_kw, utilisation_gbp_per_mwh=price)
    must_be_plausible(award, one, DAY_BEFORE)
    below = mean_price(taken).quantize(PENNY, ROUND_DOWN) - PENNY
    with pytest.raises(RuleViolation, match="cleared at"):
        must_be_plausible(replace(award, utilisation_gbp_per_mwh=below), one, DAY_BEFORE)


def the_clearing(need, draft, fraction):
    """Return what the operator makes of our report, read as it stands on the wire."""
    asked = {
        **REQUIREMENT,
        "id": "REQ",
        "zone": need.zone,
        "product": need.product_id,
        "start": need.window.start.isoformat(),
        "end": need.window.end.isoformat(),
        "kw": list(need.needed_kw),
        "ceiling_gbp_per_mwh": 350.0,
        "accept_fraction": fraction,
    }
    scenario = checked(Scenario, SCENARIO | {"requirement": [asked]}, "x.toml")
    report = bid_report(need, draft, a_product(), DAY_BEFORE)
    readings = tuple(
        Reading(
            row.r_id,
            row.interval.start,
            row.interval.end - row.interval.start,
            -row.value if "/kw/" in row.r_id else row.value,
        )
        for row in report.rows
    )
    book = Book(scenario)
    at = scenario.requirement[0].publish_at
    book.take_report(Report("REQ", "bid", draft.report_id, readings), at)
    return cleared(scenario.requirement[0], book), terms(scenario.requirement[0], scenario, book)
