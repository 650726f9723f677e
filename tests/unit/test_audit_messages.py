"""The audit of what was answered, over stores in which events lived their whole lives."""

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.audit.evidence import Evidence
from aggregator.audit.messages import p8_durable
from aggregator.config import read_settings
from aggregator.intake import take
from aggregator.store import open_store
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    a_need_call,
    a_peak_call,
    a_product,
    an_award_call,
    an_order_call,
    cancelled,
)
from tests.fakes.clock import FakeClock
from tests.unit.desk_steps import DESK
from tests.unit.intake_steps import a_flow, awarded, named

SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")
REF = {"opportunity_ref": "requirement-1"}


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def flow(store):
    flow = a_flow(store, FakeClock(NOON))
    flow.desk = DESK
    return flow


def breaches(store):
    found = p8_durable(Evidence(store, SETTINGS))
    assert found.checked > 0
    return found.breaches


def test_an_order_amended_tried_taken_back_and_opted_out_of_has_an_answer_for_each_fact(flow, store):
    awarded(flow)
    order = an_order_call(**REF)
    for call in (
        order,
        an_order_call(1, **REF),
        cancelled(order, modification=2),
        cancelled(order, modification=3),
        an_order_call(0, "dispatch-2", **REF),
        replace(an_order_call(1, "dispatch-2", **REF), test=True),
        replace(an_order_call(0, "dispatch-3", **REF), test=True),
        replace(cancelled(order, modification=0), key=replace(order.key, event_id="never"), completed=True),
        a_peak_call(),
        a_need_call(event_id="requirement-2"),
        cancelled(a_need_call(event_id="requirement-2")),
    ):
        take(flow, call)
    flow.withdraw(named(flow), "a charger recall", "tim")
    take(flow, an_award_call(1, **REF))
    assert breaches(store) == ()


def test_the_award_of_a_scheduled_product_makes_two_facts_of_two_kinds(flow, store):
    flow.products[PRODUCT] = a_product(scheduled=True)
    awarded(flow)
    flow._clock.set(EVENING.start)
    flow.advance(named(flow))
    take(flow, cancelled(an_award_call(**REF)))
    assert breaches(store) == ()
