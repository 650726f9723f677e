"""Energy from registers that do not just count on: never negative, never invented, and said so."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.time import HALF_HOUR, Interval
from aggregator.registers import MOST_W, EventKind, Gap, events_between, gaps, run_on
from aggregator.settlement import ESTIMATED, MEASURED, RESTARTED, metered, settle
from tests.builders import EVENING, NOON, SLOTS, ZONE, a_nomination, a_product, a_reading
from tests.unit.test_settlement import an_awarded, an_order

MINUTE = timedelta(minutes=1)


def readings(*export_wh, apart=MINUTE, start=NOON, charger_id="charger-1"):
    return [
        a_reading(charger_id=charger_id, measured_at=start + n * apart, export_wh=wh, import_wh=500)
        for n, wh in enumerate(export_wh)
    ]


def steps(shown):
    mended, events = run_on(shown)
    return [b.export_wh - a.export_wh for a, b in pairwise(mended)], events


@pytest.mark.parametrize(
    ("shown", "moved", "kinds"),
    [
        ((100, 150, 150, 200), [50, 0, 50], []),
        ((900_000, 900_050, 0, 40), [50, 0, 40], [EventKind.RESTART]),
        ((900_000, 900_050, 30, 70, 0, 10), [50, 0, 40, 0, 10], [EventKind.RESTART] * 2),
        ((999_980, 10, 60), [30, 50], [EventKind.ROLL_OVER]),
        ((2**32 - 20, 80, 90), [100, 10], [EventKind.ROLL_OVER]),
        ((900_000, 5, 900_100, 900_150), [100, 50], [EventKind.WRONG]),
        ((900_000, 5_000_000, 5_000_050), [0, 50], [EventKind.JUMP]),
        ((900_000, 5_000_000, 900_100, 900_150), [0, 0, 50], [EventKind.JUMP, EventKind.RESTART]),
    ],
)
def test_what_passed_across_an_event_is_known_or_nothing(shown, moved, kinds):
    found, events = steps(readings(*shown))
    assert (found, [event.kind for event in events]) == (moved, kinds)


def test_an_event_says_when_and_from_what_to_what():
    ((event,),) = [list(events_between(*readings(900_000, 10)))]
    assert (event.meter_id, event.register) == ("charger-1", "export_wh")
    assert (event.since, event.at, event.before_wh, event.after_wh) == (NOON, NOON + MINUTE, 900_000, 10)
    assert not event.counts


counted = st.lists(st.integers(0, 1500), min_size=1, max_size=20)


@given(counted, st.integers(0, 900_000), st.data())
def test_energy_across_restarts_is_never_negative_and_never_more_than_passed(wh, begins, data):
    """What passed, shown by a register that restarts at 0 now and then, far from any counter's end."""
    register, shown = begins, [begins]
    for step in wh:
        register = 0 if data.draw(st.integers(0, 5)) == 0 else register + step
        shown.append(register)
    found, _ = steps(readings(*shown))
    assert all(step >= 0 for step in found)
    assert sum(found) <= sum(wh)


@given(st.lists(st.integers(0, 10**10), min_size=2, max_size=12))
def test_whatever_registers_show_they_run_on_at_a_power_there_is(shown):
    mended, _ = run_on(readings(*shown))
    for before, after in pairwise(mended):
        apart = (after.measured_at - before.measured_at) / timedelta(hours=1)
        assert 0 <= after.export_wh - before.export_wh <= MOST_W * apart
    assert run_on(mended) == (mended, [])


@given(counted, st.integers(1, 10**6 - 1))
def test_a_register_that_rolls_over_loses_nothing(wh, begins):
    true = [begins]
    for step in wh:
        true.append(true[-1] + step)
    found, events = steps(readings(*[register % 10**6 for register in true]))
    assert found == wh
    assert all(event.kind is EventKind.ROLL_OVER for event in events)


def test_a_half_hour_with_a_restart_says_so_and_counts_what_is_known():
    half = 15 * MINUTE
    shown = readings(900_000, 901_000, 0, 1000, 2000, apart=half, start=EVENING.start)
    found = metered({"charger-1": shown}, SLOTS[:2])
    assert [meter.export_wh for (meter,) in found.values()] == [1000, 2000]
    assert [meter.restarted for (meter,) in found.values()] == [True, False]
    nominations = {slot: a_nomination(zone=ZONE, period=slot, export_wh=0) for slot in SLOTS}
    lines = settle(an_awarded(an_order()), a_product(), nominations, found, {"charger-1": "car-1"}).lines
    assert lines[0].quality == f"{RESTARTED} (1 of 1 chargers)"
    assert lines[1].quality == MEASURED
    assert all(ESTIMATED not in line.quality for line in lines[:2])


def test_gaps_are_found_within_and_at_the_ends():
    span = Interval(NOON, NOON + HALF_HOUR)
    shown = [
        reading for n, reading in enumerate(readings(*range(31))) if n not in {0, 1, 2, 10, 11, 12, 13, 30}
    ]
    first, second = Interval(NOON, NOON + 3 * MINUTE), Interval(NOON + 9 * MINUTE, NOON + 14 * MINUTE)
    assert list(gaps(shown, span, 2 * MINUTE)) == [Gap(first, is_quiet=False), Gap(second, is_quiet=False)]
    assert list(gaps([], span, 2 * MINUTE)) == [Gap(span, is_quiet=False)]
    assert list(gaps(shown, span, HALF_HOUR)) == []


def test_a_gap_is_quiet_where_the_registers_stood_still_across_it():
    span = Interval(NOON + MINUTE, NOON + HALF_HOUR)
    before, *shown = (reading for n, reading in enumerate(readings(*[7] * 16)) if n in {0, 9, 15})
    found = [gap.is_quiet for gap in gaps(shown, span, 2 * MINUTE, before)]
    assert found == [True, True, False]  # what came after the last one is not known
    assert [gap.is_quiet for gap in gaps(shown, span, 2 * MINUTE)] == [False, True, False]


def test_events_are_kept_once(store):
    (event,) = events_between(*readings(900_000, 10))
    assert store.register_events.add([event], NOON) == (event,)
    assert store.register_events.add([event], NOON + MINUTE) == ()
    assert store.register_events.add([], NOON) == ()
    assert store.register_events.all() == [event]
