"""An order's whole life, from its arrival to what the control loop follows, on a real store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.book import Book
from aggregator.desk import said_window
from aggregator.intake import take
from aggregator.model.market import OrderMode
from aggregator.model.opportunity import InstructionCancelled, Stage
from aggregator.model.time import HALF_HOUR, Interval, said_at
from aggregator.ordered import instructed_wh
from aggregator.ports import Opt
from aggregator.rehearsals import Rehearsals
from aggregator.store import open_store
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    ZONE,
    a_need_call,
    a_nomination,
    a_peak_call,
    a_product,
    an_award_call,
    an_instruction,
    an_order_call,
    cancelled,
    completed,
    key_of,
    some_steps,
)
from tests.fakes.clock import FakeClock
from tests.unit.intake_steps import CALL_PRODUCT, a_flow, awarded, bid_for, named, refusals

REF = {"opportunity_ref": "requirement-1"}
RUNNING = EVENING.start + timedelta(minutes=40)


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


def an_order(modification=0, *values, slots=SLOTS, **changes):
    steps = some_steps(*(values or (30, 50, 50, 20)), slots=slots)
    order = an_instruction(key=key_of("dispatch-1", modification), steps=steps, issued_at=NOON)
    return an_order_call(modification, content=order, **(REF | changes))


def asked_kw(flow):
    """Return what the control loop would follow now, None where it is in no window. [kW]"""
    book = Book(flow.store, (ZONE,))
    book.refresh(flow.now())
    return next((target.export_kw[0] for target in book.targets(flow.now())), None)


def asked_until(flow):
    book = Book(flow.store, (ZONE,))
    book.refresh(flow.now())
    (target,) = book.targets(flow.now())
    return target.slots[-1].end


def ordered(flow, clock=None, *values, running=False, **changes):
    """Bring an opportunity to an order, running if wanted."""
    awarded(flow)
    assert take(flow, an_order(0, *values, **changes)).opt is Opt.IN
    if running:
        clock.set(RUNNING)
        flow.advance(named(flow))
    return named(flow)


# first seen


@pytest.mark.parametrize("at", [NOON, EVENING.start - timedelta(minutes=1), RUNNING], ids=str)
def test_an_order_first_seen_far_near_or_active_is_followed_in_its_time(flow, clock, at):
    awarded(flow)
    clock.set(at)
    assert take(flow, an_order(0)).opt is Opt.IN
    assert asked_kw(flow) == (50.0 if at is RUNNING else None)
    clock.set(EVENING.start)
    assert asked_kw(flow) == 30.0


@pytest.mark.parametrize("over", [cancelled, completed])
@pytest.mark.parametrize("call", [a_need_call, an_award_call, an_order_call, a_peak_call])
def test_what_is_over_when_first_seen_starts_nothing(flow, clock, over, call):
    clock.set(RUNNING)
    opt = take(flow, over(call())).opt
    missed = over is completed and call in (an_award_call, an_order_call)
    assert opt is (Opt.OUT if missed else Opt.IN)
    assert len(refusals(flow)) == (1 if missed else 0)
    assert flow.store.journal.ids() == ()
    assert asked_kw(flow) is None


def test_the_end_of_another_event_of_the_same_need_ends_nothing(flow, clock):
    ordered(flow, clock, running=True)
    other = replace(cancelled(an_order(0)), key=key_of("dispatch-2", 1))
    assert take(flow, other).opt is Opt.IN
    assert asked_kw(flow) == 50.0


# modified


def test_an_order_is_shortened_and_lengthened_while_it_runs(flow, clock):
    ordered(flow, clock, running=True)
    assert asked_until(flow) == EVENING.end
    assert take(flow, an_order(1, 30, 50, slots=SLOTS[:2])).opt is Opt.IN
    assert asked_until(flow) == SLOTS[1].end
    slots = (*SLOTS, Interval(EVENING.end, EVENING.end + HALF_HOUR))
    assert take(flow, an_order(2, 30, 50, 50, 20, 50, slots=slots)).opt is Opt.IN
    assert asked_until(flow) == EVENING.end + HALF_HOUR
    assert named(flow).stage is Stage.DELIVERING
    clock.set(EVENING.end)
    assert flow.advance(named(flow)).stage is Stage.DELIVERING
    clock.set(EVENING.end + HALF_HOUR)
    assert flow.advance(named(flow)).stage is Stage.DELIVERED


def test_an_order_modified_before_it_begins_is_followed_as_modified(flow, clock):
    ordered(flow)
    assert take(flow, an_order(1, 10, 10)).opt is Opt.IN
    clock.set(EVENING.start)
    assert asked_kw(flow) == 10.0


def test_an_order_modified_after_its_end_is_refused(flow, clock):
    ordered(flow, clock, running=True)
    clock.set(EVENING.end)
    flow.advance(named(flow))
    assert take(flow, an_order(1, 30)).opt is Opt.OUT
    assert refusals(flow) == [
        f"the DNO ordered 30 kW in {ZONE}, {said_window(SLOTS[0])}, for a bid whose window ended"
        f" {said_at(EVENING.end)}; it is not followed"
    ]


@pytest.mark.parametrize("over", [cancelled, completed])
def test_an_order_that_ends_after_its_end_is_noted(flow, clock, over):
    ordered(flow, clock, running=True)
    clock.set(EVENING.end)
    before = flow.advance(named(flow))
    assert take(flow, over(an_order(0))).opt is Opt.IN
    assert (named(flow), refusals(flow)) == (before, [])


def test_a_modification_that_is_refused_leaves_the_order_before_it_in_force(flow, clock):
    ordered(flow, clock, running=True)
    assert take(flow, an_order(1, problem="signal 'x' is not allowed")).opt is Opt.OUT
    assert asked_kw(flow) == 50.0
    assert take(flow, cancelled(an_order(0), modification=2)).opt is Opt.IN
    assert asked_kw(flow) is None


def test_an_order_does_not_move_to_another_zone(flow, clock):
    ordered(flow, clock, running=True, opportunity_ref=None)
    moved = an_order(1, zones=("WESTGATE",), opportunity_ref=None)
    assert take(flow, moved).opt is Opt.OUT
    assert refusals(flow) == ["event dispatch-1 was for 'EASTGATE', it cannot move to 'WESTGATE'"]


# ended


def test_a_running_order_that_is_cancelled_is_gone_at_once_and_counts_until_then(flow, clock):
    ordered(flow, clock, running=True)
    assert asked_kw(flow) == 50.0
    assert take(flow, cancelled(an_order(0), modified_at=RUNNING)).opt is Opt.IN
    assert asked_kw(flow) is None
    wh = [instructed_wh(named(flow), a_product(), 0, slot) for slot in SLOTS]
    assert wh == [15_000, round(50_000 / 6), 0, 0]


def test_an_open_ended_order_ends_when_the_platform_says_so(flow, clock):
    day = (Interval(EVENING.start, EVENING.start + timedelta(days=1)),)
    ordered(flow, clock, 20, running=True, slots=day, interval=None)
    assert asked_kw(flow) == 20.0
    assert asked_until(flow) == EVENING.end  # of what was awarded, unless it is ended before
    assert take(flow, completed(an_order(0))).opt is Opt.IN
    fact = flow.store.journal.facts(named(flow).opportunity_id)[-1].fact
    assert fact == InstructionCancelled(RUNNING, key_of("dispatch-1", 1))
    assert asked_kw(flow) is None


def test_a_running_peak_ends_when_the_platform_says_so(flow):
    take(flow, a_peak_call())
    assert take(flow, completed(a_peak_call())).opt is Opt.IN
    assert flow.store.inbox.peaks(ZONE) == []


def test_an_award_that_is_completed_changes_nothing(flow):
    before = awarded(flow)
    assert take(flow, completed(an_award_call(**REF))).opt is Opt.IN
    assert named(flow) == before


def test_an_award_taken_back_while_it_is_delivered_ends_the_order_and_keeps_its_price(flow, clock):
    ordered(flow, clock, running=True)
    assert take(flow, cancelled(an_award_call(**REF), modified_at=RUNNING)).opt is Opt.IN
    one = named(flow)
    assert (one.stage, one.instruction, one.orders[-1].at) == (Stage.DELIVERED, None, RUNNING)
    assert one.award is not None
    assert asked_kw(flow) is None


def scheduled(flow, clock):
    flow.products[PRODUCT] = a_product(scheduled=True)
    awarded(flow)
    clock.set(RUNNING)
    flow.advance(named(flow))
    assert asked_kw(flow) == 50.0


def test_a_scheduled_award_is_amended_while_it_runs(flow, clock):
    scheduled(flow, clock)
    less = an_award_call(1, **REF)
    less = replace(less, content=replace(less.content, awarded_kw=(10.0,) * 4), modified_at=RUNNING)
    assert take(flow, less).opt is Opt.IN
    assert (asked_kw(flow), named(flow).stage) == (10.0, Stage.DELIVERING)


@pytest.mark.parametrize("over", [cancelled, completed])
def test_a_scheduled_award_that_ends_while_it_runs_ends_its_order(flow, clock, over):
    scheduled(flow, clock)
    assert take(flow, over(an_award_call(**REF), modified_at=RUNNING)).opt is Opt.IN
    ended = Stage.DELIVERED if over is cancelled else Stage.DELIVERING
    assert (asked_kw(flow), named(flow).stage) == (None, ended)


def test_a_call_that_has_run_for_days_is_still_amended(flow, clock):
    days = (Interval(EVENING.start, EVENING.start + timedelta(days=5)),)
    call = replace(an_order(0, 30, slots=days), opportunity_ref=None)
    call = replace(call, content=replace(call.content, product_id=CALL_PRODUCT))
    assert take(flow, call).opt is Opt.IN
    clock.set(EVENING.start + timedelta(days=3))
    key = key_of("dispatch-1", 1)
    amended = replace(call, key=key, content=replace(call.content, key=key, steps=some_steps(20, slots=days)))
    assert take(flow, amended).opt is Opt.IN
    assert asked_kw(flow) == 20.0
    assert refusals(flow) == []


def test_a_need_completed_after_its_award_is_noted(flow):
    before = awarded(flow)
    assert take(flow, completed(a_need_call())).opt is Opt.IN
    assert named(flow) == before


def test_a_need_taken_back_after_its_bid_was_refused_is_noted(flow):
    take(flow, a_need_call())
    bid_for(flow)
    take(flow, cancelled(a_need_call()))
    closed = named(flow)
    assert take(flow, cancelled(a_need_call(), modification=2)).opt is Opt.IN
    assert named(flow) == closed


# more than was awarded


@pytest.mark.parametrize("values", [(30.4,), (30, 50, 50, 20.4)])
def test_less_than_half_a_tick_above_the_award_is_rounding(flow, clock, values):
    ordered(flow, clock, running=True)
    assert take(flow, an_order(1, *values)).opt is Opt.IN


@pytest.mark.parametrize("values", [(31,), (30, 50, 50, 20.6)])
def test_an_order_for_more_than_was_awarded_is_refused_and_told(flow, clock, values):
    ordered(flow, clock, running=True)
    assert take(flow, an_order(1, *values)).opt is Opt.OUT
    (reason,) = refusals(flow)
    assert "awarded" in reason
    assert asked_kw(flow) == 50.0


@pytest.mark.parametrize(("kw", "opt"), [(35.0, Opt.IN), (35.6, Opt.OUT)])
def test_a_set_point_counts_by_what_it_adds_to_the_nomination(flow, kw, opt):
    awarded(flow)
    flow.store.nominations.freeze([a_nomination(export_wh=2_500)])
    order = an_order(0, kw)
    order = replace(order, content=replace(order.content, mode=OrderMode.SETPOINT))
    assert take(flow, order).opt is opt


def test_an_order_that_was_delayed_is_held_against_the_slots_it_was_for(flow):
    awarded(flow)
    late = tuple(Interval(slot.start + HALF_HOUR / 3, slot.end + HALF_HOUR / 3) for slot in SLOTS)
    order = an_order(0, slots=late)
    assert take(flow, replace(order, content=replace(order.content, delay_s=600.0))).opt is Opt.IN


def test_a_delayed_set_point_is_held_against_what_was_nominated_for_its_own_slots(flow):
    awarded(flow)
    flow.store.nominations.freeze(
        [a_nomination(export_wh=2_500, period=slot) for slot in SLOTS]
        + [a_nomination(export_wh=-8_000, period=Interval(SLOTS[-1].end, SLOTS[-1].end + HALF_HOUR))]
    )
    late = tuple(Interval(slot.start + HALF_HOUR / 3, slot.end + HALF_HOUR / 3) for slot in SLOTS)
    order = an_order(0, 35, 55, 55, 25, slots=late)
    order = replace(order, content=replace(order.content, mode=OrderMode.SETPOINT, delay_s=600.0))
    assert take(flow, order).opt is Opt.IN


# tests of the platform


def notices(flow):
    return [(alarm.code, alarm.where) for alarm in flow.store.alarms.all()]


def tell(flow, rehearsals=None):
    book = Book(flow.store, (ZONE,))
    book.refresh(flow.now())
    (rehearsals or Rehearsals(flow.store)).tell(book.tests, flow.now())


STARTED, ENDED = (
    ("test_event_started", "dno event dispatch-1"),
    ("test_event_ended", "dno event dispatch-1"),
)


def test_a_test_is_played_to_its_end_and_told_once_also_over_a_restart(flow, clock):
    awarded(flow)
    before = named(flow)
    assert take(flow, an_order(0, test=True)).opt is Opt.IN
    tell(flow)
    assert notices(flow) == []
    clock.set(RUNNING)
    once = Rehearsals(flow.store)
    for teller in (once, once, None):
        tell(flow, teller)
    assert notices(flow) == [STARTED]
    assert asked_kw(flow) is None
    clock.set(EVENING.end)
    for teller in (once, None):
        tell(flow, teller)
    assert notices(flow) == [STARTED, ENDED]
    assert named(flow) == before
    assert "no car moves" in flow.store.alarms.all()[0].text


@pytest.mark.parametrize("over", [cancelled, completed])
def test_a_test_that_the_platform_ends_is_told(flow, clock, over):
    take(flow, an_order(0, test=True))
    clock.set(RUNNING)
    tell(flow)
    assert take(flow, over(an_order(0, test=True))).opt is Opt.IN
    tell(flow)
    assert notices(flow) == [STARTED, ENDED]


def test_a_test_that_was_taken_back_before_its_start_is_not_played(flow, clock):
    take(flow, an_order(0, test=True))
    take(flow, cancelled(an_order(0, test=True)))
    clock.set(RUNNING)
    tell(flow)
    assert notices(flow) == []


@pytest.mark.parametrize("call", [a_need_call, an_award_call, an_order_call, a_peak_call])
def test_a_test_of_any_kind_is_marked_and_moves_nothing(flow, clock, call):
    assert take(flow, call(test=True)).opt is Opt.IN
    (entry,) = flow.store.inbox.tests()
    assert (entry.content.window, entry.decision) == (EVENING, Opt.IN)
    assert (flow.store.journal.ids(), flow.store.inbox.peaks(ZONE)) == ((), [])


def test_an_order_that_becomes_a_test_runs_no_more(flow, clock):
    ordered(flow, clock, running=True)
    assert take(flow, an_order(1, test=True)).opt is Opt.IN
    assert asked_kw(flow) is None
