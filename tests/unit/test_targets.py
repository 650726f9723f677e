from datetime import timedelta

import pytest

from aggregator.model.market import Direction, OrderMode, Step
from aggregator.model.opportunity import Instructed, InstructionCancelled, Opportunity, replay
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.targets import targets_ahead, zone_target
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


def test_an_order_without_an_end_is_looked_at_for_two_hours_ahead():
    day = (Interval(EVENING.start, EVENING.start + timedelta(days=1)),)
    steps = some_steps(30, slots=day)
    now = EVENING.start + timedelta(minutes=10)
    found = target(an_ordered(steps=steps, open_ended=True), now=now)
    assert found.slots[-1].end == EVENING.start + 5 * HALF_HOUR
    whole = target(an_ordered(steps=steps), now=now)
    assert whole.slots[-1].end == day[0].end


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


@pytest.mark.parametrize(("mode", "kw"), [(OrderMode.DELTA, -4), (OrderMode.SETPOINT, 5)])
def test_less_export_than_nominated_is_still_export(mode, kw):
    found = target(an_ordered(mode=mode, steps=some_steps(kw)))
    assert (found.direction, found.export_kw[0]) == (Direction.UP, 5.0)


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


# several orders


def ordered_as(name, **changes):
    key = an_event_key(event_id=name)
    return replay(name, [Instructed(NOON, an_instruction(key=key, **changes))])


def served(found):
    return [(name, kw) for name, kw in zip(found.opportunity_ids, found.export_kw, strict=True)]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ({"priority": 2}, {"priority": 1}),
        ({"priority": 0}, {"priority": 9}),
        ({"priority": 3}, {"priority": 3, "issued_at": NOON + timedelta(seconds=1)}),
        ({}, {"issued_at": NOON + timedelta(seconds=1)}),
    ],
    ids=["lower-number", "zero-is-last", "tie-later", "none-later"],
)
def test_of_orders_that_overlap_the_first_in_rank_is_served_and_the_other_resumes(low, high):
    long = ordered_as("long", steps=some_steps(10, 10, 10, 10), **low)
    short = ordered_as("short", steps=some_steps(30, slots=SLOTS[1:]), **high)
    expected = [("long", 10.0), ("short", 30.0), ("long", 10.0), ("long", 10.0)]
    for orders in ((long, short), (short, long)):
        assert served(target(*orders, peaks=(), nominations={})) == expected


def test_an_order_the_other_way_is_not_looked_at_before_it_begins():
    """In one split all cars move one way: with a later turn-down in it, none would discharge now."""
    up = ordered_as("up", steps=some_steps(10, 10))
    down = ordered_as("down", steps=some_steps(-20, -20, slots=SLOTS[2:]))
    for orders in ((up, down), (down, up)):
        first = target(*orders)
        assert (first.direction, served(first)) == (Direction.UP, [("up", 19.0), ("up", 18.0)])
        then = target(*orders, now=SLOTS[2].start)
        assert (then.direction, served(then)) == (Direction.DOWN, [("down", -22.0), ("down", -20.0)])


def test_what_was_nominated_is_followed_until_an_order_to_turn_down_begins():
    down = ordered_as("down", steps=some_steps(-20, slots=SLOTS[2:]))
    before = target(down)
    assert (before.direction, served(before)) == (Direction.UP, [(None, 9.0), (None, 8.0)])


def test_orders_of_one_opportunity_stand_side_by_side():
    first = Instructed(NOON, an_instruction(key=an_event_key(event_id="one"), steps=some_steps(30)))
    then = Instructed(
        NOON, an_instruction(key=an_event_key(event_id="two"), steps=some_steps(20, slots=SLOTS[1:]))
    )
    both = replay("bid-1", [first, then])
    assert target(both, peaks=(), nominations={}).export_kw == (30.0, 20.0)
    left = both.after(InstructionCancelled(NOON, an_event_key(event_id="two", modification=1)))
    assert target(left, peaks=(), nominations={}).export_kw == (30.0,)


@pytest.mark.parametrize(("times", "kw"), [(2.0, (18.0, Direction.UP)), (0.5, (4.5, Direction.UP))])
def test_a_multiplier_multiplies_the_nomination(times, kw):
    found = target(an_ordered(mode=OrderMode.MULTIPLIER, steps=some_steps(times)))
    assert (found.export_kw[0], found.direction) == kw


def test_a_ramp_leads_from_the_nomination_to_the_order_before_its_start():
    ramped = an_ordered(steps=some_steps(30, slots=SLOTS[1:]), ramp_up_s=600.0)
    found = target(ramped, now=EVENING.start)
    ramp = [kw - 9.0 for slot, kw in levels(found) if slot.start < SLOTS[1].start]
    assert ramp == pytest.approx([0.0] + [30 * (n + 0.5) / 10 for n in range(10)])
    assert found.export_kw[11] == 38.0
    assert found.opportunity_ids[:12] == (None,) + ("opportunity-1",) * 11


def test_a_ramp_is_followed_where_nothing_is_nominated():
    ramped = an_ordered(steps=some_steps(30), ramp_up_s=120.0)
    now = EVENING.start - timedelta(minutes=2)
    found = target(ramped, now=now, nominations={}, peaks=())
    assert found.export_kw == (7.5, 22.5, 30.0)
    assert target(ramped, now=now - timedelta(seconds=1), nominations={}, peaks=()) is None


def test_a_ramp_takes_nothing_from_an_order_that_runs():
    running = ordered_as("running", steps=some_steps(30))
    ahead = ordered_as("ahead", steps=some_steps(40, slots=SLOTS[1:]), ramp_up_s=600.0, priority=1)
    found = target(running, ahead, nominations={}, peaks=())
    assert {served for served in served(found) if served[0] == "running"} == {("running", 30.0)}
    assert found.export_kw[-1] == 40.0


def test_windows_ahead_are_each_told_once_and_in_order():
    later = Interval(EVENING.end + timedelta(hours=3), EVENING.end + timedelta(hours=4))
    order = an_instruction(steps=some_steps(3, 3, slots=later.slots(HALF_HOUR)))
    ordered = replay("opportunity-2", [Instructed(NOON, order)])
    at = EVENING.start + timedelta(minutes=40)
    for now in (at, EVENING.start - timedelta(hours=5)):
        span = Interval(now, now + timedelta(hours=20))
        first, second = targets_ahead(ZONE, span, [ordered], NOMINATIONS, [RED])
        assert first == target(ordered, now=max(now, EVENING.start))
        assert second == target(ordered, now=later.start)
    assert list(targets_ahead(ZONE, Interval(later.end, span.end), [ordered], NOMINATIONS, [RED])) == []
