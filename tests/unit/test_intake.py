"""From a platform's event to a durable decision, on a real store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.desk import said_window
from aggregator.intake import take, take_batch
from aggregator.model.opportunity import Approved, Declined, Proposed, Stage, Withdrawn
from aggregator.model.time import Interval, said_at
from aggregator.ports import CallBatch, CallKind, Decision, Opt
from aggregator.store import open_store
from aggregator.workflow import Workflow
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    VTN,
    ZONE,
    a_call,
    a_draft,
    a_need_call,
    a_peak_call,
    a_peak_window,
    a_product,
    a_requirement,
    an_award,
    an_award_call,
    an_instruction,
    an_order_call,
    cancelled,
    key_of,
    some_steps,
)
from tests.fakes.clock import FakeClock
from tests.unit.intake_steps import CALL_PRODUCT, NEED_ID, a_flow, awarded, bid_for, named, refusals

LATER = NOON + timedelta(minutes=5)
WINDOW = said_window(EVENING)
KW = f"{max(step.value for step in an_instruction().steps):g}"


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def clock():
    return FakeClock(NOON)


@pytest.fixture
def flow(store, clock):
    return a_flow(store, clock)


# requirements


def test_a_need_begins_an_opportunity_and_its_answer_is_durable(flow):
    assert take(flow, a_need_call()).opt is Opt.IN
    one = named(flow)
    assert (one.stage, one.requirement) == (Stage.RECEIVED, a_requirement())
    entry = flow.store.inbox.get(key_of("requirement-1"))
    assert (entry.decision, entry.opportunity_id, entry.raw) == (Opt.IN, NEED_ID, b"<oadrPayload/>")
    assert refusals(flow) == []


def test_a_redelivery_gets_the_same_answer_and_makes_no_second_fact(flow, clock):
    take(flow, a_need_call())
    clock.set(EVENING.end)
    assert take(flow, a_need_call()).opt is Opt.IN
    assert len(flow.store.journal.facts(NEED_ID)) == 1
    assert len(flow.store.inbox.all()) == 1


def test_a_refused_event_stays_refused_and_is_one_alarm(flow):
    call = a_need_call(problem="zone MARS is not ours")
    refused = Decision(Opt.OUT, "zone MARS is not ours")
    assert [take(flow, call), take(flow, call)] == [refused, refused]
    assert refusals(flow) == ["zone MARS is not ours"]


def test_an_amended_need_goes_back_to_be_bid_for_again(flow):
    take(flow, a_need_call())
    bid_for(flow)
    assert take(flow, a_need_call(1)).opt is Opt.IN
    assert (named(flow).stage, named(flow).draft, named(flow).submitted is None) == (
        Stage.RECEIVED,
        None,
        False,
    )


def test_a_need_taken_back_closes(flow):
    take(flow, a_need_call())
    assert take(flow, cancelled(a_need_call())).opt is Opt.IN
    assert named(flow).closed_because == "RequirementCancelled"


def test_an_older_version_that_comes_late_changes_nothing(flow):
    take(flow, a_need_call(3))
    assert take(flow, a_need_call(2)).opt is Opt.OUT
    assert take(flow, cancelled(a_need_call(), modification=1)).opt is Opt.OUT
    assert (named(flow).version, named(flow).stage) == (1, Stage.RECEIVED)
    assert refusals(flow) == [
        "event requirement-1 modification 2 does not follow 3",
        "event requirement-1 modification 1 does not follow 3",
    ]


def test_a_product_nobody_configured_is_refused(flow):
    call = a_need_call(content=a_requirement(product_id="moonlight"))
    assert take(flow, call).opt is Opt.OUT
    assert refusals(flow) == ["product 'moonlight' is not configured"]
    assert named(flow).stage is Stage.NEW


def test_a_need_whose_gate_has_closed_is_refused(flow, clock):
    clock.set(NOON + timedelta(hours=2))
    assert take(flow, a_need_call()).opt is Opt.OUT
    assert refusals(flow) == ["the gate for this window closed Wed 15 Jan 14:00"]


def test_the_same_event_id_of_another_platform_is_another_need(flow):
    take(flow, a_need_call())
    key = replace(key_of("requirement-1"), vtn_id="other")
    assert take(flow, a_need_call(key=key, content=a_requirement(key=key))).opt is Opt.IN
    assert len(flow.store.journal.ids()) == 2


# awards and orders by reference


def test_award_and_order_find_their_need_by_its_event_id(flow):
    one = awarded(flow)
    assert (one.stage, one.award.awarded_kw) == (Stage.AWARDED, (30.0, 50.0, 50.0, 20.0))
    assert take(flow, an_order_call(opportunity_ref="requirement-1", at=LATER)).opt is Opt.IN
    one = named(flow)
    assert one.instruction.steps == an_instruction().steps
    assert one.orders[0].at == NOON


def test_a_reference_to_nothing_is_refused_and_not_matched_otherwise(flow):
    take(flow, a_need_call())
    bid_for(flow)
    assert take(flow, an_award_call(opportunity_ref="requirement-9")).opt is Opt.OUT
    assert refusals(flow) == ["Awarded is not allowed when NEW"]
    assert named(flow).award is None


def test_an_award_for_a_bid_never_made_is_refused(flow):
    take(flow, a_need_call())
    assert take(flow, an_award_call(opportunity_ref="requirement-1")).opt is Opt.OUT
    assert refusals(flow) == [
        f"the DNO awarded 50 kW in {ZONE}, {WINDOW}, for a bid that was not sent to it; it is not followed"
    ]


def test_an_order_without_an_award_is_refused(flow):
    take(flow, a_need_call())
    bid_for(flow)
    assert take(flow, an_order_call(opportunity_ref="requirement-1")).opt is Opt.OUT
    assert refusals(flow) == [
        f"the DNO ordered {KW} kW in {ZONE}, {WINDOW}, for a bid that it has not awarded; it is not followed"
    ]


def test_an_order_for_a_bid_that_was_withdrawn_is_told_in_the_desk_s_words_at_its_bid(flow, clock):
    take(flow, a_need_call())
    bid_for(flow)
    clock.set(LATER)
    flow.record(named(flow), Withdrawn(LATER, "a charger recall", "ann"), by="ann")
    assert take(flow, an_order_call(opportunity_ref="requirement-1")).opt is Opt.OUT
    (alarm,) = flow.store.alarms.open()
    assert (alarm.code, alarm.where) == ("event_refused", NEED_ID)
    assert alarm.text == (
        f"the DNO ordered {KW} kW in {ZONE}, {WINDOW}, for a bid that was withdrawn"
        f" {said_at(LATER)}; it is not followed"
    )


def test_the_award_of_a_scheduled_product_is_itself_the_order_and_starts_by_the_clock(flow, clock):
    flow.products[PRODUCT] = a_product(scheduled=True)
    one = awarded(flow)
    assert one.stage is Stage.AWARDED
    assert [one.instruction.value_at(slot.start) for slot in SLOTS] == list(one.award.awarded_kw)
    assert one.instruction.value_at(EVENING.end) is None
    clock.set(EVENING.start)
    assert flow.advance(one).stage is Stage.DELIVERING
    clock.set(EVENING.end)
    assert flow.advance(named(flow)).stage is Stage.DELIVERED


def test_the_cancelled_award_of_a_scheduled_product_takes_its_order_back(flow):
    flow.products[PRODUCT] = a_product(scheduled=True)
    awarded(flow)
    take(flow, cancelled(an_award_call(opportunity_ref="requirement-1", modification=1)))
    assert (named(flow).stage, named(flow).instruction) == (Stage.CLOSED, None)


def test_a_cancelled_award_closes(flow):
    awarded(flow)
    assert take(flow, cancelled(an_award_call(opportunity_ref="requirement-1"))).opt is Opt.IN
    assert (named(flow).stage, named(flow).award) == (Stage.CLOSED, None)


# by match


def test_without_a_reference_platform_zone_product_and_interval_decide(flow):
    take(flow, a_need_call())
    bid_for(flow)
    assert take(flow, an_award_call()).opt is Opt.IN
    assert take(flow, an_order_call()).opt is Opt.IN
    assert named(flow).instruction is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"zones": ("WESTGATE",)},
        {"interval": Interval(EVENING.end, EVENING.end + timedelta(hours=1))},
        {"content": an_award(key=key_of("award-1"), product_id="other")},
        {"key": replace(key_of("award-1"), vtn_id="other")},
    ],
    ids=["zone", "interval", "product", "platform"],
)
def test_an_award_that_fits_nothing_is_refused_and_never_a_guess(flow, changes):
    take(flow, a_need_call())
    bid_for(flow)
    assert take(flow, an_award_call(**changes)).opt is Opt.OUT
    (reason,) = refusals(flow)
    assert "fits 0 opportunities" in reason
    assert named(flow).stage is Stage.SUBMITTED


def test_an_award_that_fits_two_is_refused(flow):
    take(flow, a_need_call())
    take(flow, a_need_call(event_id="requirement-2"))
    assert take(flow, an_award_call()).opt is Opt.OUT
    assert refusals(flow) == [f"event award-1 fits 2 opportunities in '{ZONE}', not one"]


def test_what_is_closed_is_not_matched(flow):
    take(flow, a_need_call())
    flow.record(named(flow), Declined(NOON, "no", "ann"), by="ann")
    assert take(flow, an_award_call()).opt is Opt.OUT
    assert "fits 0 opportunities" in refusals(flow)[0]


def test_an_order_that_was_matched_keeps_its_place_when_it_is_amended_or_cancelled(flow):
    """A cancellation names no product: it must not be lost because a second need overlaps by then."""
    take(flow, a_need_call())
    bid_for(flow)
    take(flow, an_award_call())
    take(flow, an_order_call())
    take(flow, a_need_call(event_id="requirement-2"))
    assert take(flow, an_order_call(1, at=LATER)).opt is Opt.IN
    assert take(flow, cancelled(an_order_call(), modification=2, modified_at=LATER)).opt is Opt.IN
    assert named(flow).instruction is None
    assert refusals(flow) == []


# standing contracts


def test_an_operational_call_under_a_standing_contract_enters_at_awarded(flow):
    assert take(flow, an_order_call(product_id=CALL_PRODUCT)).opt is Opt.IN
    one = named(flow, f"{VTN}:dispatch-1:{ZONE}")
    assert (one.stage, one.product_id, one.requirement) == (Stage.AWARDED, CALL_PRODUCT, None)


def test_a_call_that_overlaps_another_one_stands_by_itself(flow):
    """Each is settled on its own; which is served first is a matter of priority."""
    take(flow, an_order_call(product_id=CALL_PRODUCT))
    assert take(flow, an_order_call(event_id="dispatch-2", product_id=CALL_PRODUCT, at=LATER)).opt is Opt.IN
    for event_id in ("dispatch-1", "dispatch-2"):
        one = named(flow, f"{VTN}:{event_id}:{ZONE}")
        assert [order.key.event_id for order in one.in_force] == [event_id]


@pytest.mark.parametrize("product_id", [PRODUCT, "moonlight"])
def test_a_call_without_a_standing_contract_is_refused(flow, product_id):
    assert take(flow, an_order_call(product_id=product_id)).opt is Opt.OUT
    assert refusals(flow) == ["no bid, award or standing contract is behind this instruction"]


def test_a_cancelled_call_ends_it_even_when_it_says_no_interval(flow):
    call = an_order_call(product_id=CALL_PRODUCT)
    take(flow, call)
    assert take(flow, cancelled(call, interval=None, modified_at=LATER)).opt is Opt.IN
    assert named(flow, f"{VTN}:dispatch-1:{ZONE}").instruction is None


def test_a_cancellation_of_nothing_is_noted(flow):
    assert take(flow, cancelled(an_order_call())).opt is Opt.IN
    assert flow.store.inbox.get(key_of("dispatch-1", 1)).reason == "nothing of it runs"
    assert (flow.store.journal.ids(), refusals(flow)) == ((), [])


# test events, peaks, nonsense


def test_a_test_event_is_noted_and_changes_nothing(flow):
    assert take(flow, a_need_call(test=True)).opt is Opt.IN
    assert flow.store.journal.ids() == ()
    assert "test event" in flow.store.inbox.get(key_of("requirement-1")).reason


def test_a_test_peak_moves_no_car(flow):
    assert take(flow, a_peak_call(test=True)).opt is Opt.IN
    assert flow.store.inbox.peaks(ZONE) == []


def test_peaks_hold_until_amended_or_cancelled(flow):
    assert take(flow, a_peak_call()).opt is Opt.IN
    assert flow.store.inbox.peaks(ZONE) == [a_peak_window()]
    amended = a_peak_window(key=key_of("peak-1", 1), steps=some_steps(2))
    assert take(flow, a_peak_call(1, content=amended)).opt is Opt.IN
    assert flow.store.inbox.peaks(ZONE) == [amended]
    assert take(flow, cancelled(a_peak_call(), modification=2)).opt is Opt.IN
    assert flow.store.inbox.peaks(ZONE) == []
    assert flow.store.journal.ids() == ()


def test_an_event_of_no_known_kind_is_refused(flow):
    assert take(flow, a_call(kind=CallKind.UNKNOWN, content=None)).opt is Opt.OUT
    assert len(refusals(flow)) == 1


def test_a_batch_is_decided_event_by_event(flow):
    calls = (a_need_call(), a_need_call(event_id="requirement-2", problem="unreadable"), a_peak_call())
    decisions = take_batch(flow, CallBatch(VTN, "request-1", calls))
    assert [decisions[call].opt for call in calls] == [Opt.IN, Opt.OUT, Opt.IN]


# races


class OvertakingClock(FakeClock):
    """Lets somebody else act between the look at an opportunity and the writing of its fact.

    An event is decided at one reading of the clock and recorded at the next.
    """

    def __init__(self, act):
        super().__init__(NOON)
        self._waiting = [None, act]

    def now(self):
        act = self._waiting.pop(0) if self._waiting else None
        if act is not None:
            act()
        return super().now()


def overtaken(flow, act):
    return Workflow(flow.store, OvertakingClock(act), flow.products, flow.desk)


def test_an_award_that_was_overtaken_by_the_acknowledgement_is_taken_all_the_same(flow):
    take(flow, a_need_call())
    draft = a_draft(bid_id=NEED_ID)
    flow.record(named(flow), Proposed(NOON, draft), Approved(NOON, draft.digest, "bob"), by="test")
    racing = overtaken(flow, lambda: flow.acknowledged(draft.report_id))
    assert take(racing, an_award_call(opportunity_ref="requirement-1")).opt is Opt.IN
    assert named(flow).stage is Stage.AWARDED
    assert named(flow).submitted == draft
    assert refusals(flow) == []


def test_two_deliveries_at_once_make_one_fact_and_get_one_answer(flow):
    racing = overtaken(flow, lambda: take(flow, a_need_call()))
    assert take(racing, a_need_call()).opt is Opt.IN
    assert len(flow.store.journal.facts(NEED_ID)) == 1
    assert refusals(flow) == []


def test_what_was_ordered_is_cut_as_it_came(flow):
    awarded(flow)
    steps = some_steps(1, 2, slots=SLOTS[2:])
    order = an_instruction(key=key_of("dispatch-1"), steps=steps)
    take(flow, an_order_call(opportunity_ref="requirement-1", content=order))
    assert named(flow).instruction.window == Interval(SLOTS[2].start, SLOTS[3].end)


def test_an_order_that_stands_before_its_award_in_one_message_is_taken_all_the_same(flow):
    take(flow, a_need_call())
    bid_for(flow)
    order = an_order_call(opportunity_ref="requirement-1")
    award = an_award_call(opportunity_ref="requirement-1")
    answers = take_batch(flow, CallBatch(VTN, "request-1", (order, award)))
    assert set(answers.values()) == {Decision(Opt.IN)}
    assert named(flow).instruction is not None
