"""Whatever a platform stamps, an order counts as it stood when we had it, but for an outage of ours."""

from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.intake import take
from aggregator.ordered import instructed_wh
from aggregator.ports import Opt
from aggregator.store import open_store
from tests.builders import EVENING, NOON, SLOTS, VTN, ZONE, a_product, an_order_call, cancelled, some_steps
from tests.fakes.clock import FakeClock
from tests.unit.intake_steps import CALL_PRODUCT, a_flow

MINUTE = timedelta(minutes=1)
NAMES = count()
minutes = st.integers(-300, 300).map(lambda n: EVENING.start + n * MINUTE)
versions = st.lists(st.tuples(minutes, minutes, st.booleans()), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def flow():
    with (
        TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'f.db'}", create=True) as store,
    ):
        yield a_flow(store, FakeClock(NOON))


def a_call_of(name, modification=0, **changes):
    """Return an order whose opportunity is its own, among those of all the examples before."""
    call = an_order_call(modification, event_id=name, product_id=CALL_PRODUCT, **changes)
    return replace(call, opportunity_ref=name)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first_stamp=minutes, versions=versions)
def test_a_version_holds_from_when_it_came_or_from_a_stamp_after_the_one_before_came(
    flow, first_stamp, versions
):
    """Times at which versions came are as drawn, in order; each is a level of its own, or a cancellation."""
    clock, name = FakeClock(NOON), f"dispatch-{next(NAMES)}"
    flow = a_flow(flow.store, clock)
    came, stamps = [NOON], [first_stamp]
    assert take(flow, a_call_of(name, at=first_stamp)).opt is Opt.IN
    told = sorted(at for at, _, _ in versions)
    for number, (at, (_, stamp, over)) in enumerate(zip(told, versions, strict=True), start=1):
        if at <= came[-1] or at >= EVENING.end:
            continue
        clock.set(at)
        call = a_call_of(name, number, at=stamp)
        steps = some_steps(*[float(number)] * 4)
        amended = replace(call, content=replace(call.content, steps=steps))
        before = len(_orders(flow, name))
        take(flow, cancelled(call, modification=number) if over else amended)
        if len(_orders(flow, name)) > before:  # what is cancelled cannot be cancelled again
            came.append(at)
            stamps.append(stamp)
    held = [change.at for change in _orders(flow, name)]
    assert held[0] == NOON
    for n, (at, stamp) in enumerate(zip(held[1:], stamps[1:], strict=True), start=1):
        assert came[n - 1] < at <= came[n]
        assert at in {stamp, came[n]}
        if stamp == first_stamp:
            assert at == came[n]
    assert all(earlier < later for earlier, later in pairwise(held))
    recorded = flow.store.journal.facts(f"{VTN}:{name}:{ZONE}")
    assert all(one.fact.at <= one.recorded_at for one in recorded)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told_at=st.integers(1, 119), stamp=minutes)
def test_a_running_order_counts_until_its_end_was_told_unless_we_were_away(flow, told_at, stamp):
    clock, name = FakeClock(NOON), f"dispatch-{next(NAMES)}"
    flow = a_flow(flow.store, clock)
    call = a_call_of(name)
    call = replace(call, content=replace(call.content, steps=some_steps(30, 30, 30, 30)))
    take(flow, call)
    told = EVENING.start + told_at * MINUTE
    clock.set(told)
    assert take(flow, cancelled(call, modified_at=stamp)).opt is Opt.IN
    end = stamp if NOON < stamp <= told else told
    one = flow.store.journal.opportunity(f"{VTN}:{name}:{ZONE}")
    wh = sum(instructed_wh(one, a_product(), 0, slot) for slot in SLOTS)
    assert wh == pytest.approx(500 * max(0, (end - EVENING.start) / MINUTE), abs=4)


def _orders(flow, name):
    return flow.store.journal.opportunity(f"{VTN}:{name}:{ZONE}").orders
