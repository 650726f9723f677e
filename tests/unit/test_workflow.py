"""The desk's rules and the clock's, on a real store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.model.market import Direction
from aggregator.model.opportunity import Awarded, Instructed, Received, Stage, Submitted
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.store import SendState, StoredStatement, open_store
from aggregator.workflow import MODEL, Desk, Rule, Workflow, bid_report, fleet_of, settlement_report_id
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    VTN,
    ZONE,
    a_draft,
    a_fleet,
    a_plan,
    a_product,
    a_report,
    a_requirement,
    an_award,
    an_event_key,
    an_instruction,
)
from tests.fakes.clock import FakeClock

GATE = datetime(2025, 1, 15, 14, tzinfo=UTC)
LATER = timedelta(minutes=1)
RULE = Rule("small", "ann", "bob", max_kw=50.0, min_margin_gbp=1.0, zones=(ZONE,), products=None)
DESK = Desk(True, frozenset({"ann", "bob"}), frozenset({"tim"}), ())


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def clock():
    return FakeClock(NOON)


@pytest.fixture
def flow(store, clock):
    return Workflow(store, clock, {PRODUCT: a_product()}, DESK)


def ruled(flow, *rules):
    return Workflow(flow.store, flow._clock, flow.products, replace(flow.desk, rules=rules))


def received(flow, **changes):
    new = flow.store.journal.opportunity("bid-1")
    return flow.record(new, Received(flow.now(), a_requirement(**changes)), by="platform")


def in_review(flow, **changes):
    return flow.propose(received(flow), a_draft(**changes))


def approved(flow, **changes):
    one = in_review(flow, **changes)
    return flow.approve(flow.check(one, one.draft.digest, "ann"), one.draft.digest, "bob")


def submitted(flow, **changes):
    one = approved(flow, **changes)
    flow.store.outbox.mark_sent(one.draft.report_id, flow.now())
    flow.acknowledged(one.draft.report_id)
    return now_of(flow)


def awarded(flow):
    return flow.record(submitted(flow), Awarded(flow.now(), an_award()), by="platform")


def now_of(flow):
    return flow.store.journal.opportunity("bid-1")


def bids(flow):
    """Return every bid made for the platform as (report id, kW per slot)."""
    return [
        (entry.report.report_id, [row.value for row in entry.report.rows if "/kw/" in row.r_id])
        for entry in flow.store.outbox.all()
        if entry.report.specifier == "bid"
    ]


def refused(flow, match):
    """Expect a refusal that changes nothing."""
    before = now_of(flow), bids(flow)

    class Expectation:
        def __enter__(self):
            self.raises = pytest.raises(RuleViolation, match=match)
            self.raises.__enter__()

        def __exit__(self, *error):
            swallowed = self.raises.__exit__(*error)
            assert (now_of(flow), bids(flow)) == before
            return swallowed

    return Expectation()


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
    both = Workflow(flow.store, flow._clock, flow.products, replace(DESK, traders=frozenset({"bob"})))
    one = in_review(both)
    one = both.amend(one, one.draft.digest, "bob", 20.0, None)
    one = both.check(one, one.draft.digest, "ann")
    with refused(both, "bob wrote this draft"):
        both.approve(one, one.draft.digest, "bob")


@pytest.mark.parametrize("user", ["tim", "eve", "", "rule small"])
def test_only_approvers_check_and_approve(flow, user):
    one = in_review(flow)
    with refused(flow, "is no approver; approvers: ann, bob"):
        flow.check(one, one.draft.digest, user)
    with refused(flow, "is no approver"):
        flow.approve(one, one.draft.digest, user)


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
    with refused(flow, "changed after it was read|not allowed"):
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


@pytest.mark.parametrize(
    ("kw", "price", "match"),
    [
        (51.0, None, "51.0 kW is outside 0 to 50.0 kW"),
        (-1.0, None, "outside 0 to 50.0 kW"),
        (float("nan"), None, "outside 0 to 50.0 kW"),
        (20.5, None, "20.5 kW is no whole multiple of the product's 1.0 kW"),
        (9.0, None, "9.0 kW is under the product's minimum of 10.0 kW"),
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


def test_only_traders_amend_refuse_and_withdraw(flow):
    one = in_review(flow)
    for act in (
        lambda: flow.amend(one, one.draft.digest, "ann", 20.0, None),
        lambda: flow.decline(one, "no", "ann"),
        lambda: flow.withdraw(one, "no", "ann"),
    ):
        with refused(flow, "ann is no trader; traders: tim"):
            act()


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


def re_proposed(flow):
    """Return an opportunity with a bid submitted and a new draft in review."""
    return flow.propose(submitted(flow), a_draft(version=2, offered_kw=(10.0,) * 4))


def test_refusing_a_draft_over_a_submitted_bid_takes_that_bid_back(flow):
    one = flow.decline(re_proposed(flow), "too few cars", "tim")
    assert one.stage is Stage.CLOSED
    assert bids(flow)[-1] == ("bid-1:3", [0.0] * 4)


def amended_need(flow, **changes):
    need = a_requirement(key=an_event_key(modification=1), **changes)
    return flow.record(submitted(flow), Received(flow.now(), need), by="platform")


def test_no_bid_for_an_amended_need_takes_the_submitted_one_back_in_the_new_shape(flow):
    one = flow.decline(amended_need(flow, needed_kw=(5.0, 5.0)), "too little", MODEL)
    assert one.stage is Stage.CLOSED
    assert bids(flow)[-1] == ("bid-1:2", [0.0] * 2)


def test_a_submitted_bid_that_survived_the_gate_can_still_be_taken_back(flow, clock):
    amended_need(flow)
    clock.set(GATE)
    one = flow.advance(now_of(flow))
    assert one.stage is Stage.SUBMITTED
    flow.withdraw(one, "a charger recall", "tim")
    assert bids(flow)[-1] == ("bid-1:2", [0.0] * 4)


def test_a_draft_for_an_amended_need_bears_a_version_of_its_own(flow):
    one = amended_need(flow)
    assert one.draft is None
    assert one.last_draft_version == 1


# the gate


@pytest.mark.parametrize("reach", [received, in_review], ids=["received", "in review"])
def test_the_gate_closes_what_nobody_approved(flow, clock, reach):
    one = reach(flow)
    clock.set(GATE - timedelta(seconds=1))
    assert flow.advance(one) == one
    clock.set(GATE)
    assert flow.advance(one).closed_because == "GateClosed"
    assert bids(flow) == []


def test_after_the_gate_nothing_is_approved_or_amended(flow, clock):
    one = in_review(flow)
    one = flow.check(one, one.draft.digest, "ann")
    clock.set(GATE)
    with refused(flow, r"the gate closed at 2025-01-15 14:00 GMT"):
        flow.approve(one, one.draft.digest, "bob")
    with refused(flow, "the gate closed"):
        flow.amend(one, one.draft.digest, "tim", 20.0, None)


def test_a_rule_does_not_approve_after_the_gate(flow, clock):
    one = in_review(flow)
    clock.set(GATE)
    assert ruled(flow, RULE).advance(one).stage is Stage.CLOSED


def test_a_bid_the_platform_never_took_is_given_up_at_the_gate(flow, clock):
    one = approved(flow)
    clock.set(GATE)
    assert flow.advance(one).stage is Stage.CLOSED
    assert flow.store.outbox.get("bid-1:1").state is SendState.DEAD


def test_a_bid_that_may_have_arrived_waits_for_the_award(flow, clock):
    one = approved(flow)
    flow.store.outbox.mark_attempt("bid-1:1", NOON, "timeout")
    clock.set(GATE)
    assert flow.advance(one).stage is Stage.APPROVED
    clock.set(EVENING.start)
    assert flow.advance(one).stage is Stage.CLOSED


def test_a_new_draft_nobody_approved_leaves_the_submitted_bid_standing(flow, clock):
    one = re_proposed(flow)
    clock.set(GATE)
    one = flow.advance(one)
    assert (one.stage, one.draft.version, bids(flow)) == (
        Stage.SUBMITTED,
        1,
        [("bid-1:1", [30.0, 50.0, 50.0, 20.0])],
    )


def test_a_new_bid_that_never_arrived_leaves_the_submitted_one_standing(flow, clock):
    one = re_proposed(flow)
    one = flow.approve(flow.check(one, one.draft.digest, "ann"), one.draft.digest, "bob")
    clock.set(GATE)
    one = flow.advance(one)
    assert (one.stage, one.draft) == (Stage.SUBMITTED, one.submitted)
    assert flow.store.outbox.get("bid-1:2").state is SendState.DEAD


def test_a_submitted_bid_waits_beyond_the_gate_until_its_window(flow, clock):
    one = submitted(flow)
    clock.set(EVENING.start - timedelta(seconds=1))
    assert flow.advance(one) == one
    clock.set(EVENING.start)
    assert flow.advance(one).closed_because == "NotAwarded"


# delivery and settlement


def test_delivery_begins_with_the_first_ordered_step_and_ends_with_the_window(flow, clock):
    steps = an_instruction().steps[1:]
    one = flow.record(awarded(flow), Instructed(NOON, an_instruction(steps=steps)), by="platform")
    clock.set(SLOTS[1].start - timedelta(seconds=1))
    assert flow.advance(one) == one
    clock.set(SLOTS[1].start)
    one = flow.advance(one)
    assert one.stage is Stage.DELIVERING
    assert flow.advance(one) == one
    clock.set(EVENING.end)
    assert flow.advance(one).stage is Stage.DELIVERED


def test_an_award_never_called_is_delivered_with_its_window(flow, clock):
    one = awarded(flow)
    clock.set(EVENING.start)
    assert flow.advance(one) == one
    clock.set(EVENING.end)
    assert flow.advance(one).stage is Stage.DELIVERED


def test_an_acknowledgement_moves_only_what_waits_for_it(flow):
    one = approved(flow)
    flow.acknowledged("somebody-else:1")
    assert now_of(flow) == one
    flow.acknowledged("bid-1:1")
    assert (now_of(flow).stage, now_of(flow).submitted) == (Stage.SUBMITTED, one.draft)
    flow.acknowledged("bid-1:1")
    assert now_of(flow).version == one.version + 1


def test_an_acknowledged_settlement_closes(flow, clock):
    one = awarded(flow)
    clock.set(EVENING.end)
    one = flow.advance(one)
    statement = StoredStatement("bid-1", 1, "first settlement", "d" * 64, b"statement")
    report_id = settlement_report_id("bid-1", 1)
    one = flow.settled(
        one, statement, Decimal("3.20"), [a_report(report_id=report_id, specifier="settlement")]
    )
    assert (one.stage, one.statement_version) == (Stage.SETTLED, 1)
    assert flow.store.statements.latest("bid-1").digest == "d" * 64
    flow.acknowledged(settlement_report_id("bid-1", 2))
    assert now_of(flow).stage is Stage.SETTLED
    flow.acknowledged(report_id)
    assert now_of(flow).stage is Stage.CLOSED
    assert flow.open() == []


def test_two_who_act_at_once_make_one_fact(flow):
    one = submitted(flow)
    flow.record(one, Submitted(NOON, "bid-1:1"), by="clock")
    with refused(flow, "changed after it was read"):
        flow.withdraw(one, "too late", "tim")


# nominations and reports


def test_a_nomination_is_base_discharge_kept_less_charging_and_never_moves(flow):
    flow.freeze_nominations(ZONE, a_plan(), [(a_requirement(), a_draft())])
    found = flow.store.nominations.between(ZONE, EVENING)
    assert [(one.base_wh, one.kept_wh, one.export_wh) for one in found] == [
        (5000, 4500, 4500),
        (5250, 5250, 5250),
        (50, 50, -950),
        (0, 0, -2000),
    ]
    flow.freeze_nominations(ZONE, a_plan(base_discharge_kw=(0.0,) * 4), [])
    assert flow.store.nominations.between(ZONE, EVENING) == found


def test_what_bids_hold_back_is_spread_over_the_half_hours_they_touch(flow):
    window = Interval(SLOTS[0].start, SLOTS[1].end)
    need = a_requirement(window=window, needed_kw=(40.0,))
    draft = a_draft(offered_kw=(4.0,), base_kw=(10.0,), kept_kw=(6.0,))
    flow.freeze_nominations(ZONE, a_plan(), [(need, draft)])
    kept = [one.kept_wh for one in flow.store.nominations.between(ZONE, EVENING)]
    assert kept == [3000, 3250, 50, 0]


def test_a_down_bid_is_written_as_export_taken_away():
    report = bid_report(a_requirement(), a_draft(), a_product(direction=Direction.DOWN), NOON)
    assert [row.value for row in report.rows if "/kw/" in row.r_id] == [-30.0, -50.0, -50.0, -20.0]
    assert (report.report_id, report.request_id) == ("bid-1:1", "requirement-1")
    assert {row.interval.end - row.interval.start for row in report.rows} == {HALF_HOUR}


def test_the_plan_behind_a_draft_is_kept(flow):
    flow.propose(received(flow), a_draft(), a_plan())
    assert flow.store.plans.get("bid-1") == a_plan()


def test_no_fleet_says_what_to_do(store):
    with pytest.raises(BadMessage, match="flexloop fleet import"):
        fleet_of(store)
    store.fleet.replace(a_fleet(2), imported_at=NOON, source="fleet.toml")
    assert fleet_of(store) == a_fleet(2)
