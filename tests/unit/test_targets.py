from datetime import timedelta

import pytest

from aggregator.model.market import Direction, OrderMode, Step
from aggregator.model.opportunity import Instructed, InstructionCancelled, Opportunity, replay
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.targets import zone_target
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    ZONE,
    a_nomination,
    a_peak_window,
    an_event_key,
    an_instruction,
    some_steps,
)

RED = a_peak_window(steps=some_steps(2, 2, 2, 2))
NOMINATED_KW = (9.0, 8.0, -2.0, 0.0)
NOMINATIONS = {
    slot: a_nomination(period=slot, export_wh=round(kw * 500))
    for slot, kw in zip(SLOTS, NOMINATED_KW, strict=True)
}


def an_ordered(**changes) -> Opportunity:
    return replay("opportunity-1", [Instructed(NOON, an_instruction(**changes))])


def target(*orders, now=EVENING.start, nominations=NOMINATIONS, peaks=(RED,)):
    return zone_target(ZONE, now, orders, nominations, peaks)


def levels(found):
    return list(zip(found.slots, found.export_kw, strict=True))


def test_nothing_is_asked_outside_any_window():
    assert target(now=EVENING.start - timedelta(seconds=1)) is None
    assert target(now=EVENING.end) is None
    assert target(peaks=()) is None


def test_the_nomination_is_followed_through_red_half_hours():
    found = target()
    assert levels(found) == list(zip(SLOTS, NOMINATED_KW, strict=True))
    assert found.opportunity_ids == (None,) * 4
    assert (found.zone, found.direction) == (ZONE, Direction.UP)


def test_amber_half_hours_bind_nobody():
    found = target(peaks=[a_peak_window(steps=some_steps(2, 2, 1, 2))])
    assert found.slots == SLOTS[:2]
    assert target(peaks=[a_peak_window(steps=some_steps(1, 2, 2, 2))]) is None


def test_a_red_half_hour_that_was_never_nominated_binds_nobody():
    nominations = {slot: NOMINATIONS[slot] for slot in SLOTS[:1]}
    assert target(nominations=nominations).slots == SLOTS[:1]


def test_an_order_comes_upon_the_nomination():
    found = target(an_ordered(steps=some_steps(30, 50)))
    assert found.export_kw == (39.0, 58.0, -2.0, 0.0)
    assert found.opportunity_ids == ("opportunity-1", "opportunity-1", None, None)


def test_an_order_holds_where_nothing_is_red_or_nominated():
    found = target(an_ordered(steps=some_steps(30, 50)), peaks=(), nominations={})
    assert levels(found) == [(SLOTS[0], 30.0), (SLOTS[1], 50.0)]


def test_a_set_point_order_is_the_zones_export_itself():
    found = target(an_ordered(mode=OrderMode.SETPOINT, steps=some_steps(30, 4)))
    assert found.export_kw[:2] == (30.0, 4.0)


def test_a_cancelled_order_leads_back_to_the_nomination():
    ordered = an_ordered()
    over = ordered.after(InstructionCancelled(NOON, an_event_key(event_id="dispatch-1", modification=1)))
    assert target(over) == target()
    assert target(over, peaks=()) is None


def test_an_amended_order_replaces_the_one_before():
    key = an_event_key(event_id="dispatch-1", modification=1)
    amended = an_ordered().after(Instructed(NOON, an_instruction(key=key, steps=some_steps(5))))
    assert target(amended).export_kw == (14.0, 8.0, -2.0, 0.0)


@pytest.mark.parametrize(("mode", "kw"), [(OrderMode.DELTA, -20), (OrderMode.SETPOINT, -11)])
def test_an_order_that_takes_export_away_is_a_down_order(mode, kw):
    found = target(an_ordered(mode=mode, steps=some_steps(kw)))
    assert found.direction is Direction.DOWN
    assert found.export_kw[0] == -11.0


def test_the_running_slot_begins_now():
    now = SLOTS[1].start + timedelta(minutes=7, seconds=3)
    found = target(an_ordered(), now=now)
    assert levels(found) == [
        (Interval(now, SLOTS[1].end), 58.0),
        (SLOTS[2], 48.0),
        (SLOTS[3], 20.0),
    ]


def test_slots_are_cut_at_half_hours_and_at_the_orders_steps():
    start, end = EVENING.start + timedelta(minutes=10), EVENING.start + timedelta(minutes=40)
    found = target(an_ordered(steps=(Step(Interval(start, end), 10.0),)))
    cuts = [EVENING.start, start, SLOTS[1].start, end, SLOTS[2].start]
    assert [slot.start for slot in found.slots][:5] == cuts
    assert found.export_kw[:4] == (9.0, 19.0, 18.0, 8.0)


def test_slots_follow_each_other_without_a_gap():
    found = target(an_ordered(), now=EVENING.start + timedelta(seconds=1))
    assert found.slots[-1].end == EVENING.end
    assert [slot.end for slot in found.slots[:-1]] == [slot.start for slot in found.slots[1:]]


def test_the_target_ends_at_the_first_slot_that_is_in_no_window():
    later = (Step(Interval(EVENING.end + HALF_HOUR, EVENING.end + 2 * HALF_HOUR), 10.0),)
    assert target(an_ordered(steps=later)).slots == SLOTS
