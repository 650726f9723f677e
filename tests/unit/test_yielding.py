"""The desk hears once of an order that another one of its zone goes before."""

from datetime import timedelta

import pytest

from aggregator.model.opportunity import Instructed, InstructionCancelled, replay
from aggregator.store import open_store
from aggregator.yielding import Yielding
from tests.builders import EVENING, NOON, SLOTS, an_event_key, an_instruction, some_steps

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


def ordered(name, *steps, modification=0, **changes):
    """Return an opportunity with one order: kW in the evening's half-hours from the first on."""
    key = an_event_key(event_id=name, modification=modification)
    order = an_instruction(key=key, **{"steps": some_steps(*steps), "issued_at": NOON, **changes})
    return replay(f"dno:{name}", [Instructed(NOON, order)])


def told(store, *opportunities, at=NOON):
    Yielding(store).tell(opportunities, at)
    return [(alarm.code, alarm.where, alarm.text) for alarm in store.alarms.open()]


def test_the_order_of_lower_priority_is_told_with_what_goes_before_it(store):
    first = ordered("E1", 60, 60, 60, priority=1)
    second = ordered("E2", steps=some_steps(90, slots=SLOTS[1:2]), priority=3)
    said = "dno's order E2, 90 kW Wed 15 Jan 17:30-18:00, yields to E1 of priority 1"
    assert told(store, first, second) == [("order_yields", "dno:E2", said)]


def test_it_is_told_once_also_after_a_restart_an_amendment_and_its_acknowledgement(store):
    first, second = ordered("E1", 60, priority=1), ordered("E2", 90, priority=3)
    told(store, first, second)
    amended = ordered("E2", 80, modification=1, priority=3)
    assert len(told(store, first, amended)) == 1
    store.alarms.clear([1], NOON, "ann")
    assert told(store, first, amended, at=NOON + MINUTE) == []


def test_of_equal_priority_the_earlier_one_yields(store):
    first, second = ordered("E1", 60), ordered("E2", 90, issued_at=NOON + MINUTE)
    ((_, where, text),) = told(store, first, second)
    assert where == "dno:E1"
    assert text.endswith("yields to E2 that came later")


@pytest.mark.parametrize(
    "other",
    [
        {"zone": "WEST", "steps": some_steps(90)},
        {"steps": some_steps(90, slots=SLOTS[1:2])},
    ],
)
def test_orders_that_do_not_overlap_or_of_other_zones_yield_to_none(store, other):
    assert told(store, ordered("E1", 60, priority=1), ordered("E2", **other)) == []


def test_what_is_over_or_cancelled_is_not_told(store):
    first, second = ordered("E1", 60, priority=1), ordered("E2", 90, priority=3)
    assert told(store, first, second, at=EVENING.start + 30 * MINUTE) == []
    gone = first.after(InstructionCancelled(NOON, an_event_key(event_id="E1", modification=1)))
    assert told(store, gone, second) == []
