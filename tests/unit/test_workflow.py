"""The desk's rules, on a real store: who may approve, amend, refuse and take back, and what then leaves."""

from dataclasses import replace
from decimal import Decimal

import pytest

from aggregator.bid_text import in_words
from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.model.explanation import Change
from aggregator.model.facts import MODEL
from aggregator.model.opportunity import Received, Stage
from aggregator.model.steps import PriceStep
from aggregator.outgoing import bid_report
from aggregator.store import open_store
from aggregator.workflow import Workflow
from tests.builders import (
    NOON,
    PRODUCT,
    SLOTS,
    VTN,
    ZONE,
    a_draft,
    a_product,
    a_requirement,
    an_event_key,
)
from tests.fakes.clock import FakeClock
from tests.unit.desk_steps import (
    DESK,
    GATE,
    RULE,
    a_workflow,
    amended_need,
    approved,
    bids,
    in_review,
    now_of,
    received,
    refused,
    ruled,
    submitted,
)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def clock():
    return FakeClock(NOON)


@pytest.fixture
def flow(store, clock):
    return a_workflow(store, clock)


# approval


def test_two_people_approve_and_exactly_the_draft_leaves(flow):
    one = approved(flow)
    assert one.stage is Stage.APPROVED
    (entry,) = flow.store.outbox.pending(VTN)
    assert entry.report == bid_report(one.requirement, one.draft, a_product(), NOON)
    assert bids(flow) == [("bid-1:1", [30.0, 50.0, 50.0, 20.0])]


def test_one_person_does_not_approve_alone(flow):
    one = in_review(flow)
    with refused(flow, "somebody else must check this draft first"):
        flow.approve(one, one.draft.digest, "bob")
    one = flow.check(one, one.draft.digest, "bob")
    with refused(flow, "bob has checked this draft; somebody else must approve it"):
        flow.approve(one, one.draft.digest, "bob")


def test_one_person_approves_where_the_desk_says_so(flow):
    alone = Workflow(flow.store, flow._clock, flow.products, replace(DESK, two_people=False))
    one = in_review(alone)
    assert alone.approve(one, one.draft.digest, "bob").stage is Stage.APPROVED


def test_nobody_approves_a_draft_of_their_own(flow):
    three = replace(DESK, traders=frozenset({"bob"}), approvers=frozenset({"ann", "bob", "cyd"}))
    both = Workflow(flow.store, flow._clock, flow.products, three)
    one = in_review(both)
    one = both.amend(one, one.draft.digest, "bob", 20.0, None)
    one = both.check(one, one.draft.digest, "ann")
    with refused(both, "bob wrote this draft"):
        both.approve(one, one.draft.digest, "bob")
    assert both.approve(one, one.draft.digest, "cyd").stage is Stage.APPROVED


def test_no_check_leaves_a_draft_without_anybody_who_may_approve_it(flow):
    """Two approvers, one of whom wrote it: the author checks, the other approves."""
    both = Workflow(flow.store, flow._clock, flow.products, replace(DESK, traders=frozenset({"bob"})))
    one = in_review(both)
    one = both.amend(one, one.draft.digest, "bob", 20.0, None)
    with refused(both, "let bob check it, then approve it"):
        both.check(one, one.draft.digest, "ann")
    one = both.check(one, one.draft.digest, "bob")
    assert both.approve(one, one.draft.digest, "ann").stage is Stage.APPROVED


def test_only_approvers_check_and_approve(flow):
    one = in_review(flow)
    with refused(flow, "tim is no approver; approvers: ann, bob"):
        flow.check(one, one.draft.digest, "tim")
    with refused(flow, "tim is no approver"):
        flow.approve(one, one.draft.digest, "tim")


@pytest.mark.parametrize("user", ["eve", "", "rule small", "model"])
def test_somebody_unknown_is_wrong_input(flow, user):
    one = in_review(flow)
    for act in (
        lambda: flow.check(one, one.draft.digest, user),
        lambda: flow.approve(one, one.draft.digest, user),
        lambda: flow.amend(one, one.draft.digest, user, 20.0, None),
        lambda: flow.withdraw(one, "no", user),
    ):
        with pytest.raises(BadMessage, match="a user of the configuration: ann, bob, tim"):
            act()
    assert now_of(flow) == one


def test_a_second_check_by_the_same_user_adds_nothing(flow):
    one = in_review(flow)
    one = flow.check(one, one.draft.digest, "ann")
    assert flow.check(one, one.draft.digest, "ann") == one == now_of(flow)


def test_a_refusal_speaks_the_desks_words(flow, clock):
    one = received(flow)
    with refused(flow, "bid bid-1 has no draft yet; nothing can be checked"):
        flow.check(one, "d" * 64, "ann")
    with refused(flow, "bid bid-1 has no draft yet; nothing can be amended"):
        flow.amend(one, "d" * 64, "tim", 20.0, None)
    one = flow.propose(one, a_draft())
    one = flow.approve(flow.check(one, one.draft.digest, "ann"), one.draft.digest, "bob")
    with refused(flow, "bid bid-1 is approved and leaves now; it can only be withdrawn, not refused"):
        flow.decline(one, "too cold", "tim")
    flow.acknowledged(one.draft.report_id)
    one = now_of(flow)
    with refused(flow, "bid bid-1 is with the DNO; it can be amended or withdrawn, not approved"):
        flow.approve(one, one.draft.digest, "bob")
    one = flow.withdraw(one, "a recall", "tim")
    with refused(flow, r"bid bid-1 is closed \(withdrawn: a recall\); nothing can be amended any more"):
        flow.amend(one, one.draft.digest, "tim", 20.0, None)


def test_what_the_gate_closed_says_when_it_did(flow, clock):
    one = in_review(flow)
    clock.set(GATE)
    one = flow.advance(one)
    with refused(flow, r"closed \(lapsed: .* by its gate, Wed 15 Jan 14:00\); nothing can be checked"):
        flow.check(one, one.draft.digest, "ann")


def test_a_stale_draft_is_refused_at_every_step(flow):
    old = in_review(flow)
    one = flow.amend(old, old.draft.digest, "tim", 20.0, None)
    for act in (
        lambda: flow.check(one, old.draft.digest, "ann"),
        lambda: flow.amend(one, old.draft.digest, "tim", 10.0, None),
    ):
        with refused(flow, "the draft changed after it was shown"):
            act()
    one = flow.check(one, one.draft.digest, "ann")
    with refused(flow, "the draft changed after it was shown"):
        flow.approve(one, old.draft.digest, "bob")


def test_a_stale_screen_is_refused(flow):
    shown = in_review(flow)
    flow.decline(shown, "too cold", "tim")
    with refused(flow, "changed after it was read"):
        flow.check(shown, shown.draft.digest, "ann")


# rules


def test_a_written_rule_approves_the_models_draft_within_its_limits(flow):
    one = ruled(flow, RULE).propose(received(flow), a_draft())
    assert one.stage is Stage.APPROVED
    fact = flow.store.journal.facts("bid-1")[-1].fact
    assert (fact.rule, fact.by, fact.draft_digest) == ("small", "rule small", one.draft.digest)
    assert [name for name, _ in bids(flow)] == ["bid-1:1"]


@pytest.mark.parametrize(
    "limit",
    [{"max_kw": 49.9}, {"min_margin_gbp": 4.26}, {"zones": ("WESTGATE",)}, {"products": ("other",)}],
    ids=str,
)
def test_a_rule_approves_nothing_beyond_its_limits(flow, limit):
    one = ruled(flow, replace(RULE, **limit)).propose(received(flow), a_draft())
    assert one.stage is Stage.IN_REVIEW
    assert bids(flow) == []


def test_the_first_rule_that_allows_it_is_named(flow):
    strict = replace(RULE, rule_id="strict", max_kw=1.0)
    wide = replace(RULE, rule_id="wide", zones=None)
    ruled(flow, strict, wide, RULE).propose(received(flow), a_draft())
    assert flow.store.journal.facts("bid-1")[-1].fact.rule == "wide"


def test_a_rule_does_not_approve_what_a_person_wrote(flow):
    with_rule = ruled(flow, RULE)
    one = with_rule.propose(received(flow), a_draft(offered_kw=(60.0,) * 4))
    one = with_rule.amend(one, one.draft.digest, "tim", 20.0, None)
    assert with_rule.advance(one).stage is Stage.IN_REVIEW


def test_a_rule_written_later_approves_on_the_next_tick(flow):
    one = in_review(flow)
    assert ruled(flow, RULE).advance(one).stage is Stage.APPROVED


# amending


def test_an_amended_draft_replaces_the_one_before_and_voids_its_check(flow):
    one = in_review(flow)
    one = flow.check(one, one.draft.digest, "ann")
    amended = flow.amend(one, one.draft.digest, "tim", 30.0, Decimal("290.5"))
    assert amended.draft.offered_kw == (30.0, 30.0, 30.0, 20.0)
    assert amended.draft.utilisation_gbp_per_mwh == Decimal("290.5")
    assert (amended.draft.version, amended.draft.by, amended.checked_by) == (2, "tim", None)
    assert amended.draft.digest == amended.draft.sealed().digest != one.draft.digest
    assert amended.draft.why.change == Change(1, kw=-20.0, gbp_per_mwh=-9.5, margin_gbp=0.0, inputs=())
    assert amended.draft.kept_kw == one.draft.kept_kw
    words = list(in_words(amended))
    assert "  since draft 1: -20 kW, GBP -9.50/MWh, by tim" in words
    assert any("written by tim: kW and prices" in line for line in words)
    assert not any("written by" in line for line in in_words(one))


def test_the_models_own_level_is_the_ceiling_also_after_amending_down(flow):
    one = in_review(flow)
    one = flow.amend(one, one.draft.digest, "tim", 20.0, Decimal("290.5"))
    with refused(flow, "51 kW is outside 0 to 50 kW"):
        flow.amend(one, one.draft.digest, "tim", 51.0, None)
    one = flow.amend(one, one.draft.digest, "tim", 50.0, None)
    assert one.draft.offered_kw == (30.0, 50.0, 50.0, 20.0)
    assert one.draft.utilisation_gbp_per_mwh == Decimal("290.5")


STEPS = (
    PriceStep((20.0, 20.0, 20.0, 20.0), Decimal("300.00")),
    PriceStep((10.0, 10.0, 10.0, 0.0), Decimal("310.00")),
    PriceStep((0.0, 20.0, 20.0, 0.0), Decimal("345.50")),
)


def test_amending_the_level_cuts_the_dearest_steps_and_back_up_brings_them_back(flow):
    one = flow.propose(received(flow), a_draft(steps=STEPS))
    one = flow.amend(one, one.draft.digest, "tim", 40.0, None)
    assert one.draft.steps == (*STEPS[:2], PriceStep((0.0, 10.0, 10.0, 0.0), Decimal("345.50")))
    one = flow.amend(one, one.draft.digest, "tim", 20.0, None)
    assert (one.draft.steps, one.draft.asks) == ((), "GBP 300.00/MWh")
    one = flow.amend(one, one.draft.digest, "tim", 50.0, None)
    assert one.draft.steps == STEPS
    assert one.draft.asks == "GBP 300.00 to 345.50/MWh in 3 steps"
    assert one.draft.digest == one.draft.sealed().digest != a_draft().digest


@pytest.mark.parametrize("price", ["300.00", "320.00"])
def test_amending_the_price_is_one_price_for_all_and_stays_so(flow, price):
    one = flow.propose(received(flow), a_draft(steps=STEPS))
    one = flow.amend(one, one.draft.digest, "tim", None, Decimal(price))
    assert one.draft.steps == ()
    one = flow.amend(one, one.draft.digest, "tim", 40.0, None)
    assert (one.draft.steps, one.draft.asks) == ((), f"GBP {price}/MWh")


def test_the_steps_leave_and_a_bid_taken_back_is_one_of_nothing(flow):
    one = flow.propose(received(flow), a_draft(steps=STEPS))
    one = flow.check(one, one.draft.digest, "ann")
    one = flow.approve(one, one.draft.digest, "bob")
    rows = {
        (row.r_id.removeprefix(f"{ZONE}/{PRODUCT}/"), row.value)
        for row in flow.store.outbox.get(one.draft.report_id).report.rows
        if row.interval == SLOTS[1]
    }
    assert {row for row in rows if not row[0].startswith("avail")} == {
        *(("kw/1", 20.0), ("kw/2", 10.0), ("kw/3", 20.0)),
        *(("util/1", 300.0), ("util/2", 310.0), ("util/3", 345.5)),
    }
    flow.withdraw(one, "prices moved", "tim")
    assert bids(flow)[-1] == ("bid-1:2", [0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("kw", "price", "match"),
    [
        (51.0, None, "51 kW is outside 0 to 50 kW"),
        (-1.0, None, "outside 0 to 50 kW"),
        (float("nan"), None, "outside 0 to 50 kW"),
        (20.5, None, "20.5 kW is no whole multiple of the product's 1 kW"),
        (9.0, None, "9 kW is under the product's minimum of 10 kW"),
        (None, Decimal("350.01"), "GBP 350.01/MWh is outside 0 to the ceiling of 350.00"),
        (None, Decimal("-1"), "outside 0 to the ceiling"),
        (None, Decimal("NaN"), "outside 0 to the ceiling"),
        (None, Decimal("Infinity"), "outside 0 to the ceiling"),
    ],
)
def test_an_amendment_beyond_what_is_possible_is_refused(flow, kw, price, match):
    one = in_review(flow)
    with refused(flow, match):
        flow.amend(one, one.draft.digest, "tim", kw, price)


def test_only_traders_amend_and_withdraw_and_approvers_too_refuse(flow):
    one = in_review(flow)
    for act in (
        lambda: flow.amend(one, one.draft.digest, "ann", 20.0, None),
        lambda: flow.withdraw(one, "no", "ann"),
    ):
        with refused(flow, "ann is no trader; traders: tim"):
            act()
    with pytest.raises(BadMessage, match="'eve' is not allowed"):
        flow.decline(one, "no", "eve")


def test_a_tick_that_floats_cannot_write_still_divides(flow):
    flow.products = {PRODUCT: a_product(tick_kw=0.1, min_kw=0.0)}
    one = in_review(flow)
    assert flow.amend(one, one.draft.digest, "tim", 0.3, None).draft.offered_kw == (0.3,) * 4


# taking back


@pytest.mark.parametrize("reach", [approved, submitted], ids=["approved", "submitted"])
def test_a_bid_taken_back_sends_a_bid_of_nothing_with_a_higher_version(flow, reach):
    one = flow.withdraw(reach(flow), "a charger recall", "tim")
    assert (one.stage, one.closed_because) == (Stage.CLOSED, "Withdrawn: a charger recall")
    assert bids(flow)[-1] == ("bid-1:2", [0.0] * 4)


def test_a_draft_that_never_left_cannot_be_taken_back(flow):
    one = in_review(flow)
    with refused(flow, "refuse the draft instead"):
        flow.withdraw(one, "no", "tim")


def test_refusing_a_draft_sends_nothing(flow):
    one = flow.decline(in_review(flow), "too few cars", "tim")
    assert (one.stage, one.closed_because, bids(flow)) == (Stage.CLOSED, "Declined: too few cars", [])


def test_no_bid_for_an_amended_need_takes_the_submitted_one_back_in_the_new_shape(flow):
    one = flow.decline(amended_need(flow, needed_kw=(5.0, 5.0)), "too little", MODEL)
    assert one.stage is Stage.CLOSED
    assert bids(flow)[-1] == ("bid-1:2", [0.0] * 2)


def test_a_submitted_bid_is_binding_once_the_gate_has_closed(flow, clock):
    amended_need(flow)
    clock.set(GATE)
    one = flow.advance(now_of(flow))
    assert one.stage is Stage.SUBMITTED
    with pytest.raises(RuleViolation, match="the gate closed"):
        flow.withdraw(one, "a charger recall", "tim")


def test_a_bid_may_leave_only_while_it_is_the_approved_one_and_the_gate_is_open(flow, clock):
    one = approved(flow)
    report = flow.store.outbox.get(one.draft.report_id).report
    assert flow.may_leave(report)
    clock.set(GATE)
    assert not flow.may_leave(report)


def test_a_bid_of_an_amended_need_may_no_longer_leave(flow):
    one = approved(flow)
    report = flow.store.outbox.get(one.draft.report_id).report
    flow.record(one, Received(flow.now(), a_requirement(key=an_event_key(modification=1))), by="platform")
    assert not flow.may_leave(report)


def test_a_draft_for_an_amended_need_bears_a_version_of_its_own(flow):
    one = amended_need(flow)
    assert one.draft is None
    assert one.last_draft_version == 1
