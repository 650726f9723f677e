"""What the clock and the platform bring to a bid, on a real store: gate closure, delivery, settlement."""

from datetime import timedelta
from decimal import Decimal

import pytest

from aggregator.desk import why_closed
from aggregator.model.errors import BadMessage
from aggregator.model.facts import MODEL
from aggregator.model.market import Direction
from aggregator.model.opportunity import Instructed, Stage, Submitted
from aggregator.model.time import HALF_HOUR
from aggregator.outgoing import bid_report, settlement_report_id
from aggregator.store import SendState, StoredStatement, open_store
from aggregator.workflow import fleet_of
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_draft,
    a_fleet,
    a_plan,
    a_product,
    a_report,
    a_requirement,
    an_instruction,
)
from tests.fakes.clock import FakeClock
from tests.unit.desk_steps import (
    GATE,
    RULE,
    a_workflow,
    approved,
    awarded,
    bids,
    in_review,
    now_of,
    re_proposed,
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


# the gate


@pytest.mark.parametrize("reach", [received, in_review], ids=["received", "in review"])
def test_the_gate_closes_what_nobody_approved(flow, clock, reach):
    one = reach(flow)
    clock.set(GATE - timedelta(seconds=1))
    assert flow.advance(one) == one
    clock.set(GATE)
    assert flow.advance(one).closed_because == "GateClosed"
    assert bids(flow) == []


def test_a_draft_that_nobody_decided_on_leaves_an_alarm_once(flow, clock):
    one = in_review(flow)
    clock.set(GATE)
    flow.advance(flow.advance(one))
    (alarm,) = flow.store.alarms.all()
    assert (alarm.at, alarm.code, alarm.where) == (GATE, "undecided", one.opportunity_id)
    assert alarm.text == (
        f"{one.zone}, Wed 15 Jan 17:00 to 19:00: the gate closed Wed 15 Jan 14:00 with nobody having"
        f" decided on the draft of {max(one.draft.offered_kw):g} kW; nothing was bid"
    )


def test_of_a_new_draft_that_lapses_the_alarm_says_what_stands(flow, clock):
    one = re_proposed(flow)
    clock.set(GATE)
    flow.advance(one)
    (alarm,) = flow.store.alarms.all()
    assert alarm.text.endswith("the bid sent before stands")


def test_no_alarm_is_raised_where_somebody_had_decided(flow, clock):
    one = approved(flow)
    clock.set(GATE)
    flow.advance(one)
    assert "undecided" not in {alarm.code for alarm in flow.store.alarms.all()}


def test_a_need_without_a_draft_at_its_gate_leaves_an_alarm_and_says_so(flow, clock):
    one = received(flow)
    clock.set(GATE)
    one = flow.advance(one)
    (alarm,) = flow.store.alarms.all()
    assert (alarm.code, alarm.where) == ("no_bid_made", one.opportunity_id)
    assert alarm.text.endswith("the gate closed Wed 15 Jan 14:00 and no draft had been made; nothing was bid")
    assert why_closed(one, GATE) == "lapsed: no draft had been made by its gate, Wed 15 Jan 14:00"


def test_a_need_that_the_model_would_not_bid_on_leaves_no_alarm(flow, clock):
    one = flow.decline(received(flow), "no cars", MODEL)
    clock.set(GATE)
    flow.advance(one)
    assert flow.store.alarms.all() == []


def test_after_the_gate_nothing_is_approved_or_amended(flow, clock):
    one = in_review(flow)
    one = flow.check(one, one.draft.digest, "ann")
    clock.set(GATE)
    with refused(flow, "the gate closed Wed 15 Jan 14:00"):
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
    (alarm,) = flow.store.alarms.open()
    assert (alarm.code, alarm.where) == ("bid_unacknowledged", "bid-1:1")
    assert alarm.text.endswith("had not acknowledged the bid of 50 kW; it never left")


def test_a_bid_that_may_have_arrived_waits_for_the_award(flow, clock):
    one = approved(flow)
    flow.store.outbox.mark_attempt("bid-1:1", NOON, "timeout")
    clock.set(GATE)
    assert flow.advance(one).stage is Stage.APPROVED
    assert flow.advance(one).stage is Stage.APPROVED
    (alarm,) = flow.store.alarms.open()
    assert "the DNO may hold it" in alarm.text
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
    assert flow.advance(flow.advance(one)).closed_because == "NotAwarded"
    (alarm,) = flow.store.alarms.open()
    assert (alarm.at, alarm.code, alarm.where) == (EVENING.start, "unanswered", one.opportunity_id)
    assert alarm.text.startswith(f"{one.zone}, Wed 15 Jan 17:00 to 19:00: the window began and the DNO")
    assert "acknowledged the bid of 50 kW" in alarm.text


def test_no_answer_is_missed_where_nothing_was_offered(flow, clock):
    one = submitted(flow, offered_kw=(0.0,) * 4)
    clock.set(EVENING.start)
    assert flow.advance(one).closed_because == "NotAwarded"
    assert flow.store.alarms.open() == []


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


# reports


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
