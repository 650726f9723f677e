"""What zones nominate: by their bids, under standing contracts, and when an order comes before that."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.audit.evidence import Evidence
from aggregator.audit.plans import p13_nomination
from aggregator.forecast import History, Horizon
from aggregator.intake import take
from aggregator.model.market import OrderMode, Step
from aggregator.model.opportunity import Stage
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.nominating import nominated
from aggregator.ports import Opt
from aggregator.store import open_store
from tests.bid_world import ZONE as CANVEY
from tests.bid_world import at
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    ZONE,
    a_draft,
    a_plan,
    a_requirement,
    an_instruction,
    an_order_call,
    key_of,
)
from tests.noon_world import a_desk, a_lazy_past

CARS = 4
KW = 10.0
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def desk(tmp_path):
    with a_desk(tmp_path, CARS, a_lazy_past(CARS), standing_contract=True) as desk:
        yield desk


def call(desk, start, end, modification=0, kw=KW):
    """Let the platform order kW for hours of the delivery day; return its answer."""
    steps = tuple(Step(slot, kw) for slot in Interval(at(start), at(end)).slots(HALF_HOUR))
    key = key_of("call-1", modification)
    order = an_instruction(key=key, zone=CANVEY, product_id="day-ahead", mode=OrderMode.DELTA, steps=steps)
    now = desk.clock.now()
    order = replace(order, issued_at=now)
    said = {"content": order, "zones": (CANVEY,), "interval": order.window, "key": key, "modified_at": now}
    return take(desk.gateway.workflow, an_order_call(**said)).opt


def frozen(desk, start, end):
    return desk.gateway.store.nominations.between(CANVEY, Interval(at(start), at(end)))


def must_be_kept(desk):
    finding = p13_nomination(Evidence(desk.gateway.store, desk.gateway.settings))
    assert (finding.breaches, bool(finding.checked)) == ((), True)


# what is nominated


def test_a_nomination_is_base_discharge_kept_less_charging_and_never_moves(store):
    store.nominations.freeze(nominated(a_plan(), [(a_requirement(), a_draft())], NOON))
    found = store.nominations.between(ZONE, EVENING)
    assert [(one.base_wh, one.kept_wh, one.export_wh) for one in found] == [
        (5000, 4500, 4500),
        (5250, 5250, 5250),
        (50, 50, -950),
        (0, 0, -2000),
    ]
    store.nominations.freeze(nominated(a_plan(base_discharge_kw=(0.0,) * 4), [], NOON))
    assert store.nominations.between(ZONE, EVENING) == found


def test_what_bids_hold_back_is_spread_over_the_half_hours_they_touch():
    need = a_requirement(window=Interval(SLOTS[0].start, SLOTS[1].end), needed_kw=(40.0,))
    draft = a_draft(offered_kw=(4.0,), base_kw=(10.0,), kept_kw=(6.0,))
    assert [one.kept_wh for one in nominated(a_plan(), [(need, draft)], NOON)] == [3000, 3250, 50, 0]


# standing contracts


def test_a_standing_contract_nominates_each_day_at_its_gate_called_or_not(desk):
    desk.at_gates(13.9 - 24)
    assert frozen(desk, 12, 36) == []
    desk.at_gates(14 - 24)
    found = frozen(desk, 12, 36)
    assert [one.period for one in found] == list(Horizon(at(12).date()).slots)
    assert {one.frozen_at for one in found} == {at(14 - 24)}
    desk.at_gates(12, 14)
    assert frozen(desk, 12, 36) == found
    assert len(frozen(desk, 36, 60)) == len(Horizon(at(36).date()).slots)
    must_be_kept(desk)


def test_an_order_after_the_gate_moves_no_nomination(desk):
    desk.at_gates(14 - 24, 16.5)
    before = frozen(desk, 12, 36)
    assert call(desk, 17, 18) is Opt.IN
    desk.at_gates(16.6, 17.5)
    assert frozen(desk, 12, 36) == before
    must_be_kept(desk)


def test_a_gateway_that_was_down_at_the_gate_nominates_what_is_left_as_the_order_is_accepted(desk):
    desk.clock.set(at(17) + 10 * MINUTE)
    assert call(desk, 17, 18) is Opt.IN
    found = frozen(desk, 12, 36)
    assert found[0].period.start == at(17)
    assert {one.frozen_at for one in found} == {at(17) + 10 * MINUTE}
    must_be_kept(desk)


def test_the_plan_behind_it_does_not_know_the_order(tmp_path):
    found = []
    for name, kw in (("called", KW), ("not", None)):
        (tmp_path / name).mkdir()
        with a_desk(tmp_path / name, CARS, a_lazy_past(CARS), standing_contract=True) as desk:
            desk.clock.set(at(16))
            if kw is not None:
                call(desk, 17, 19, kw=kw)
            else:
                desk.gateway.tick()
            found.append(frozen(desk, 12, 36))
    assert found[0] == found[1]


def test_an_order_that_is_lengthened_beyond_noon_is_nominated_there_too(desk):
    desk.clock.set(at(10))
    assert call(desk, 11, 11.5) is Opt.IN
    assert frozen(desk, 12, 13) == []
    assert call(desk, 11, 13, modification=1) is Opt.IN
    assert len(frozen(desk, 11, 13)) == 4
    must_be_kept(desk)


def test_a_bid_that_is_taken_back_after_the_nomination_was_frozen_leaves_it_as_it_was(desk):
    desk.ask((17, 19), 100.0, 459, approve=True)
    assert desk.now("17-19").stage is Stage.SUBMITTED
    assert call(desk, 20, 20.5) is Opt.IN  # told the day before, with the bid's gate still open
    assert any(one.kept_wh < one.base_wh for one in frozen(desk, 17, 19))
    desk.clock.pass_by(MINUTE)
    desk.gateway.workflow.withdraw(desk.now("17-19"), "changed our minds", "anna")
    must_be_kept(desk)


def test_without_a_past_an_order_is_accepted_with_an_alarm_and_no_nomination(tmp_path):
    with a_desk(tmp_path, CARS, History(()), standing_contract=True) as desk:
        desk.at_gates(14 - 24, 16.5)
        assert call(desk, 17, 18) is Opt.IN
        assert frozen(desk, 12, 36) == []
        (alarm,) = desk.gateway.store.alarms.open()
        assert (alarm.code, alarm.where) == ("not_nominated", CANVEY)
        assert "no history of like days" in alarm.text
