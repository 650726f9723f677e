"""An amended draft's margin: by the model's own valuation, over the days that its draft was made from."""

from dataclasses import replace
from decimal import Decimal

import pytest

from aggregator.model.opportunity import Awarded
from aggregator.revaluing import Revaluing
from aggregator.worth import worth_of
from tests.bid_world import a_need, a_past, a_world
from tests.builders import an_award
from tests.unit.test_proposals import AWARDED

LATE_SPREAD = 225.2 - 201.1 / (0.92 * 0.91) - 20.0  # export 19 on, less recharge with losses, less wear


def amending(world):
    world.workflow.revalue = Revaluing(world.proposer, world.store, world.workflow.products)
    return world.workflow


def amend(world, one, kw=None, price=None):
    flow = world.workflow if isinstance(world.workflow.revalue, Revaluing) else amending(world)
    return flow.amend(world.now(one), world.now(one).draft.digest, "anna", kw, price)


@pytest.fixture
def world(tmp_path):
    with a_world(tmp_path, red=False) as world:
        yield world


def test_the_model_s_own_level_is_worth_what_the_model_said(tmp_path):
    with a_world(tmp_path, past=a_past(10, seed=3)) as world:
        one = world.proposed(a_need(16.5, 19.5))
        own = one.draft
        again = amending(world).revalue(one.requirement, own, replace(own, by="anna"), one.requirement.slots)
    assert own.expected_margin_gbp > 0.0
    assert again.expected_margin_gbp == pytest.approx(own.expected_margin_gbp, rel=1e-12)
    assert again.why == replace(own.why, valued_anew=True)


def test_half_the_kw_earn_half_and_another_price_earns_by_it(world):
    # A need after the peak, when the cars give nothing: 0.9 x (price + spread) per MWh, 60 kW for an hour.
    one = world.proposed(a_need(19.5, 20.5))
    half = amend(world, one, 30.0).draft
    assert half.expected_margin_gbp == pytest.approx(0.03 * AWARDED * (459 + LATE_SPREAD), abs=0.01)
    assert half.why.change.margin_gbp == pytest.approx(-half.expected_margin_gbp, abs=0.01)
    cheaper = amend(world, one, None, Decimal(200)).draft
    assert cheaper.offered_kw == (30.0, 30.0)
    assert cheaper.expected_margin_gbp == pytest.approx(0.03 * AWARDED * (200 + LATE_SPREAD), abs=0.01)
    assert cheaper.why.change.margin_gbp == pytest.approx(-0.03 * AWARDED * 259, abs=0.01)
    assert cheaper.digest == cheaper.sealed().digest


def test_a_margin_changes_by_what_the_two_that_are_shown_differ(world):
    one = world.proposed(a_need(19.5, 20.5))
    for price in (450, 431, 413, 377, 333):
        before = world.now(one).draft.expected_margin_gbp
        after = amend(world, one, None, Decimal(price)).draft
        shown = float(f"{after.expected_margin_gbp:.2f}") - float(f"{before:.2f}")
        assert after.why.change.margin_gbp == pytest.approx(shown, abs=1e-9)


def test_fewer_kw_are_delivered_more_surely(tmp_path):
    with a_world(tmp_path, red=False, past=a_past(10, seed=3), cvar_limit=0.5) as world:
        one = world.proposed(a_need(19.5, 20.5))
        less = amend(world, one, 10.0).draft
    assert less.why.miss < one.draft.why.miss
    assert len(less.why.bad_scenarios) < len(one.draft.why.bad_scenarios)
    assert less.why.margin_p10_gbp <= less.expected_margin_gbp <= less.why.margin_p90_gbp + 1e-9


def test_needs_of_one_window_are_valued_beside_each_other(tmp_path):
    with a_world(tmp_path, past=a_past(10, seed=3)) as world:
        world.proposed(a_need(16.5, 17.5, event="one"))
        second = world.proposed(a_need(17.5, 18.5, event="two"))
        mine = replace(second.draft, by="anna")
        again = amending(world).revalue(second.requirement, second.draft, mine, second.requirement.slots)
    assert again.expected_margin_gbp == pytest.approx(second.draft.expected_margin_gbp, rel=1e-12)


def test_a_draft_whose_grounds_come_out_otherwise_keeps_the_model_s_figures(world):
    one = world.proposed(a_need(19.5, 20.5))
    flow = amending(world)
    world.proposer._fleet = replace(world.proposer._fleet, digest="e" * 64)
    after = flow.amend(one, one.draft.digest, "anna", 30.0, None).draft
    assert not after.why.valued_anew
    assert after.expected_margin_gbp == one.draft.expected_margin_gbp
    assert after.why.change.margin_gbp == 0.0


def test_what_was_valued_once_is_not_made_again(world, monkeypatch):
    one = world.proposed(a_need(19.5, 20.5))
    amend(world, one, 30.0)
    monkeypatch.setattr(type(world.proposer), "prepare", lambda *_: pytest.fail("made again"))
    assert amend(world, one, 20.0).draft.why.valued_anew


def awarded(world, one, kw, **changes):
    """Return a bid as approved, and then awarded, with what that is worth."""
    flow = amending(world)
    one = flow.approve(flow.check(one, one.draft.digest, "anna"), one.draft.digest, "ben")
    need = one.requirement
    award = an_award(zone=need.zone, product_id=need.product_id, window=need.window, awarded_kw=kw, **changes)
    return flow.value_award(flow.record(one, Awarded(flow.now(), award), by="platform"))


@pytest.mark.parametrize(
    ("kw", "mwh"),
    [((30.0, 30.0), 0.03), ((20.0, 60.0), 0.04), ((30.0, 30.0, 60.0, 0.0), 0.03)],
    ids=["half", "half-hour by half-hour", "finer than the need"],
)
def test_an_award_in_part_is_worth_what_an_amendment_to_it_would_be(world, kw, mwh):
    one = awarded(world, world.proposed(a_need(19.5, 20.5)), kw)
    if len(kw) == 2:
        assert one.worth.margin_gbp == pytest.approx(mwh * AWARDED * (459 + LATE_SPREAD), abs=0.01)
    else:  # within a half-hour no more can be relied on than its least level
        assert one.worth.margin_gbp == pytest.approx(0.015 * AWARDED * (459 + LATE_SPREAD), abs=0.01)
    assert worth_of(one) == one.worth
    assert world.workflow.value_award(one) == one


def test_an_award_of_all_is_worth_what_the_draft_is(world):
    one = awarded(world, world.proposed(a_need(19.5, 20.5)), (60.0, 60.0))
    assert one.worth is None
    assert worth_of(one).margin_gbp == one.draft.expected_margin_gbp


def test_what_nobody_knows_of_an_award_in_part_is_said_to_be_unknown(world):
    one = world.proposed(a_need(19.5, 20.5))
    world.proposer._fleet = replace(world.proposer._fleet, digest="e" * 64)
    assert worth_of(awarded(world, one, (30.0, 30.0))) is None
