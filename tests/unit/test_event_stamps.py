"""Since when an order, its modification or its end holds: by the platform's stamp where that can be true."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.intake import take
from aggregator.model.opportunity import Stage
from aggregator.model.time import Interval
from aggregator.ordered import instructed_wh
from aggregator.ports import Opt
from aggregator.store import open_store
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    a_product,
    an_award_call,
    an_order_call,
    cancelled,
    completed,
    key_of,
    some_steps,
)
from tests.fakes.clock import FakeClock
from tests.unit.intake_steps import CALL_PRODUCT, a_flow, awarded, named, refusals

REF = {"opportunity_ref": "requirement-1"}
MINUTE = timedelta(minutes=1)
TOLD = EVENING.start + 40 * MINUTE
AWAY = EVENING.start + 10 * MINUTE
MEANS_NOW = {
    "unchanged": NOON,
    "before the version before was received": NOON - MINUTE,
    "ahead": TOLD + 20 * MINUTE,
    "another age": NOON.replace(year=1970),
}


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


def an_order(modification=0, *values, at=NOON, slots=SLOTS, **changes):
    call = an_order_call(modification, at=at, **(REF | changes))
    steps = some_steps(*(values or (30, 50, 50, 20)), slots=slots)
    return replace(call, content=replace(call.content, steps=steps))


def running(flow, clock, *, stamp=NOON):
    """Bring an order that was told at noon to where it runs since 40 minutes."""
    awarded(flow)
    assert take(flow, an_order(at=stamp)).opt is Opt.IN
    clock.set(EVENING.start)
    flow.advance(named(flow))
    clock.set(TOLD)


def ordered_wh(flow):
    return [instructed_wh(named(flow), a_product(), 0, slot) for slot in SLOTS]


UNTIL_TOLD = [15_000, round(50_000 / 6), 0, 0]
UNTIL_AWAY = [5_000, 0, 0, 0]


@pytest.mark.parametrize("stamp", MEANS_NOW.values(), ids=MEANS_NOW)
def test_a_cancellation_whose_stamp_cannot_be_true_counts_from_when_it_came(flow, clock, stamp):
    running(flow, clock)
    assert take(flow, cancelled(an_order(), modified_at=stamp)).opt is Opt.IN
    assert named(flow).orders[-1].at == TOLD
    assert ordered_wh(flow) == UNTIL_TOLD


@pytest.mark.parametrize("stamp", MEANS_NOW.values(), ids=MEANS_NOW)
def test_a_modification_whose_stamp_cannot_be_true_counts_from_when_it_came(flow, clock, stamp):
    running(flow, clock)
    assert take(flow, an_order(1, 0, 0, 0, 0, at=stamp)).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_TOLD


def test_a_stamp_within_an_outage_of_ours_is_believed(flow, clock):
    running(flow, clock)
    assert take(flow, an_order(1, 0, 0, 0, 0, at=AWAY)).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_AWAY


@pytest.mark.parametrize("over", [cancelled, completed])
def test_an_end_stamped_within_an_outage_of_ours_is_believed(flow, clock, over):
    running(flow, clock)
    assert take(flow, over(an_order(), modified_at=AWAY)).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_AWAY


def test_a_stamp_before_the_version_before_came_is_not_believed_whatever_that_one_said(flow, clock):
    running(flow, clock)
    take(flow, an_order(1, 10, 10, at=AWAY))
    clock.set(TOLD + 10 * MINUTE)
    take(flow, cancelled(an_order(), modification=2, modified_at=AWAY + MINUTE))
    assert [change.at for change in named(flow).orders] == [NOON, AWAY, TOLD + 10 * MINUTE]


@pytest.mark.parametrize("event", ["order", "award"])
def test_a_stamp_that_was_ahead_and_is_not_raised_is_not_believed_once_it_has_passed(flow, clock, event):
    ahead = NOON + 20 * MINUTE
    award = an_award_call(**REF)
    content = replace(award.content, issued_at=ahead)
    awarded(flow, content=content, modified_at=ahead)
    take(flow, an_order(at=ahead if event == "order" else NOON))
    clock.set(EVENING.start)
    flow.advance(named(flow))
    clock.set(TOLD)
    over = an_order() if event == "order" else award
    assert take(flow, cancelled(over, modified_at=ahead)).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_TOLD


@pytest.mark.parametrize("stamp", MEANS_NOW.values(), ids=MEANS_NOW)
def test_an_award_taken_back_ends_its_order_when_that_came(flow, clock, stamp):
    running(flow, clock)
    assert take(flow, cancelled(an_award_call(**REF), modified_at=stamp)).opt is Opt.IN
    assert (named(flow).stage, ordered_wh(flow)) == (Stage.DELIVERED, UNTIL_TOLD)


def test_an_award_taken_back_within_an_outage_of_ours_is_believed(flow, clock):
    running(flow, clock)
    assert take(flow, cancelled(an_award_call(**REF), modified_at=AWAY)).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_AWAY


@pytest.mark.parametrize("stamp", MEANS_NOW.values(), ids=MEANS_NOW)
def test_a_scheduled_award_amended_under_such_a_stamp_holds_from_when_it_came(flow, clock, stamp):
    flow.products[PRODUCT] = a_product(scheduled=True)
    awarded(flow)
    clock.set(TOLD)
    less = an_award_call(1, **REF)
    less = replace(less, content=replace(less.content, awarded_kw=(0.0,) * 4), modified_at=stamp)
    assert take(flow, less).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_TOLD


def test_an_order_taken_up_again_holds_from_when_that_came(flow, clock):
    running(flow, clock)
    take(flow, cancelled(an_order()))
    clock.set(TOLD + 5 * MINUTE)
    assert take(flow, an_order(2, at=NOON)).opt is Opt.IN
    assert ordered_wh(flow)[1] == round(50_000 * 25 / 60)


# first told of late


def test_an_order_that_is_partly_over_when_it_comes_counts_from_then(flow, clock):
    awarded(flow)
    clock.set(TOLD)
    assert take(flow, an_order(at=NOON)).opt is Opt.IN
    assert ordered_wh(flow) == [0, round(50_000 / 3), 25_000, 10_000]


def test_an_order_that_was_over_before_it_was_told_is_refused_and_an_alarm(flow, clock):
    clock.set(EVENING.end)
    call = replace(an_order_call(product_id=CALL_PRODUCT), opportunity_ref=None)
    assert take(flow, call).opt is Opt.OUT
    (reason,) = refusals(flow)
    assert reason == "the order was over before it was told: it ended at 2025-01-15T19:00:00Z"
    assert flow.store.journal.ids() == ()


def test_a_scheduled_award_that_was_over_before_it_was_told_is_refused(flow, clock):
    flow.products[PRODUCT] = a_product(scheduled=True)
    awarded(flow)
    clock.set(EVENING.end)
    other = an_award_call(**REF)
    key = key_of("award-2")
    other = replace(other, key=key, content=replace(other.content, key=key))
    assert take(flow, other).opt is Opt.OUT
    assert "over before it was told" in refusals(flow)[0]


def test_an_order_that_runs_may_be_ended_by_a_shorter_one_in_the_past(flow, clock):
    running(flow, clock)
    first = Interval(EVENING.start, EVENING.start + 30 * MINUTE)
    assert take(flow, an_order(1, 30, slots=(first,), at=NOON)).opt is Opt.IN
    assert ordered_wh(flow) == UNTIL_TOLD
