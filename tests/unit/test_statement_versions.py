"""A late reading makes a new version that says why and what changed; each version comes out again."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier

import pytest

from aggregator.explain_text import details, in_words
from aggregator.explaining import explain
from aggregator.model.opportunity import DeliveryEnded, DeliveryStarted, Instructed
from aggregator.reports import to_html, to_json
from aggregator.settlement import NOT_OVER, metered, settled_periods
from aggregator.settling import baseline_behind, settle_named, settle_opportunity, work_out
from aggregator.store import open_store
from aggregator.workflow import fleets_of
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    a_product,
    a_reading,
    an_event_key,
    an_instruction,
    some_steps,
)
from tests.fakes.clock import FakeClock
from tests.unit.intake_steps import a_flow
from tests.unit.test_settling import HOUR, MINUTE, SETTLED_AT, book, store

__all__ = ["store"]

LATE_AT = SETTLED_AT + 2 * HOUR


@pytest.fixture
def settled(store):
    """Two statements: a correction of the last register came in between."""
    clock = FakeClock(SETTLED_AT)
    flow = a_flow(store, clock)
    one = settle_opportunity(flow, flow.store.journal.opportunity("one"), fleets_of(store), None)
    late = a_reading(
        charger_id="charger-1",
        measured_at=EVENING.end,
        received_at=LATE_AT,
        export_wh=7000,
        import_wh=0,
    )
    store.readings.add([late])
    clock.set(LATE_AT + MINUTE)
    settle_opportunity(flow, one, fleets_of(store), None)
    return store


def test_a_version_says_why_and_what_it_changed(settled):
    first, second = book(settled).versions
    assert (first.version, first.reason, first.changes, first.again) == (1, "first settlement", (), True)
    assert (second.version, second.reason, second.again) == (2, "readings changed", True)
    changed = {(one.column, one.before, one.after) for one in second.changes}
    assert ("metered_export_kwh", "4.000", "3.000") in changed
    assert {one.period_start_utc for one in second.changes} == {"2025-01-15T18:30:00Z"}
    assert second.amount_gbp == Decimal(book(settled).totals["amount_gbp"])


def test_versions_are_those_known_at_the_time(settled):
    assert [one.version for one in book(settled, LATE_AT - MINUTE).versions] == [1]
    assert book(settled, LATE_AT - MINUTE).rows == book(settled, SETTLED_AT).rows


def test_files_tell_versions_and_changes(settled):
    assert "3.000" in to_html(book(settled))
    assert "readings changed" in to_html(book(settled))
    assert '"before": "4.000"' in to_json(book(settled))


def test_a_second_run_makes_no_version(settled):
    flow = a_flow(settled, FakeClock(LATE_AT + HOUR))
    one = settled.journal.opportunity("one")
    assert settle_opportunity(flow, one, fleets_of(settled), None) is one


def test_no_version_is_made_before_the_last_half_hour_is_over(store):
    """An order that ends at a quarter past is settled by the registers at half past."""
    clock = FakeClock(EVENING.end - MINUTE)
    flow = a_flow(store, clock)
    worked = settle_named(flow, fleets_of(store), "one")
    assert NOT_OVER in worked.statement.lines[-1].quality
    assert store.statements.latest("one") is None
    clock.set(EVENING.end)
    settle_named(flow, fleets_of(store), "one")
    assert store.statements.latest("one").version == 1


def explained(store, *wanted):
    product, fleets = a_product(), fleets_of(store)
    worked = work_out(store, store.journal.opportunity("one"), product, fleets)
    return explain(worked, product, baseline_behind(store, worked, product, fleets), wanted)


def test_every_figure_is_walked_back_to_what_it_was_made_from(settled):
    found = explained(settled)
    assert [one.line for one in found.lines] == [row.line for row in book(settled).rows]
    for one in found.lines:
        line = one.line
        assert round(1000 * sum(part.kwh for part in one.parts)) == line.instructed_wh
        assert sum(step.metered.export_wh for step in one.cars) == line.metered_export_wh
        assert sum(step.share_wh for step in one.cars) == line.delivered_wh
        assert sum(step.share_gbp for step in one.cars) == line.amount_gbp
        for step in one.cars:
            ends = [step.start.before, step.end.before]
            assert ends[1].export_wh - ends[0].export_wh == step.metered.export_wh
            assert (step.start.rule, step.end.rule) == ("read", "read")


def test_one_half_hour_shows_the_versions_of_its_order(settled):
    (one,) = explained(settled, SLOTS[1]).lines
    assert [(part.kw, part.instruction.key.modification) for part in one.parts] == [(5.0, 1)]
    assert one.nominated.frozen_at < EVENING.start


def test_an_order_that_yields_delivers_nothing_and_says_to_which(settled):
    """What the zone moved is counted once, under the order that was followed."""
    key = an_event_key(event_id="other")
    steps = some_steps(1, slots=SLOTS[1:2])
    order = an_instruction(key=key, steps=steps, priority=1, issued_at=NOON)
    facts = (Instructed(NOON, order), DeliveryStarted(EVENING.start), DeliveryEnded(EVENING.end))
    for n, fact in enumerate(facts):
        settled.journal.append("two", fact, expected_version=n, by="test", recorded_at=LATE_AT + 30 * MINUTE)
    lines = {row.line.opportunity: row.line for row in book(settled).rows if row.line.period == SLOTS[1]}
    one, two = lines["one"], lines["two"]
    assert (one.instructed_wh, one.delivered_wh, one.deficiency_wh) == (2500, 0, 2500)
    assert (two.instructed_wh, two.delivered_wh, two.deficiency_wh) == (500, 500, 0)
    assert one.quality == "measured; yields to two"
    found = explained(settled, SLOTS[1])
    said = "\n".join(in_words(found, None))
    assert "followed in the zone from 17:30 to 18:00: other of two (priority 1, issued" in said
    assert "before one (no priority, issued" in said
    assert "its part is that of 0.000 kWh in the 0.500 kWh that was followed" in said
    (half_hour,) = details(found, None)["half_hours"]
    assert half_hour["followed"][0]["yielding"] == {"one": "dispatch-1"}
    flow = a_flow(settled, FakeClock(LATE_AT + HOUR))
    settle_opportunity(flow, settled.journal.opportunity("one"), fleets_of(settled), None)
    assert settled.statements.latest("one").reason == "other orders changed"


def test_a_register_between_readings_is_told_as_such(store):
    late = [replace(one, measured_at=one.measured_at + timedelta(minutes=7)) for one in readings_of(store)]
    product, fleets = a_product(), fleets_of(store)
    worked = work_out(store, store.journal.opportunity("one"), product, fleets)
    found = {"charger-1": late, "charger-2": []}
    moved = replace(worked, readings=found, meters=metered(found, settled_periods(worked.opportunity)))
    found = explain(moved, product, baseline_behind(store, worked, product, fleets), [SLOTS[1], SLOTS[0]])
    by_car = {step.car_id: step for step in found.lines[1].cars}
    assert by_car["car-1"].start.rule == by_car["car-1"].end.rule == "interpolated"
    assert by_car["car-1"].metered.estimated
    assert by_car["car-2"].metered is None
    assert found.lines[0].cars[0].start.rule == "held"


def readings_of(store):
    product, fleets = a_product(product_id=PRODUCT), fleets_of(store)
    return work_out(store, store.journal.opportunity("one"), product, fleets).readings["charger-1"]


def test_two_runs_at_once_make_one_version(store, tmp_path):
    """Each has a store of its own, as two processes would."""
    ready = Barrier(2)

    def run(_):
        with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=False) as own:
            flow, fleets = a_flow(own, FakeClock(SETTLED_AT)), fleets_of(own)
            ready.wait(timeout=60)
            return settle_named(flow, fleets, "one").digest

    with ThreadPoolExecutor(2) as both:
        assert len(set(both.map(run, range(2)))) == 1
    assert [one.version for one in store.statements.all("one")] == [1]
    assert store.journal.opportunity("one").statement_version == 1
