"""Bids whose windows cross noon, and what they leave for others on either side of it."""

import pytest

from aggregator.audit.evidence import Evidence
from aggregator.audit.plans import p11_split, p13_nomination
from aggregator.forecast import Horizon
from aggregator.standing import standing_now
from tests.bid_world import ZONE, at
from tests.noon_world import a_desk, a_lazy_past

CARS = 10


@pytest.fixture
def desk(tmp_path):
    with a_desk(tmp_path, CARS, a_lazy_past(CARS)) as desk:
        yield desk


def promised(desk, name):
    return set(desk.now(name).draft.offered_kw)


def test_a_window_across_noon_is_bid_from_what_the_evening_s_base_discharge_leaves(desk):
    # No car has left for days: each is due at 07:30 with 48 of 60 kWh, floor and guard are 19.2 kWh. It can
    # give 0.91 x 28.8 = 26.208 kWh, ten of them 262.08. Of that 180 are nominated from 16:00 to 19:00, 60 kW,
    # their limit): 82.08 are left, 20.52 kW for four hours.
    desk.ask((11, 15), 100.0, 459, approve=False)
    assert promised(desk, "11-15") == {20.0}
    assert desk.now("11-15").draft.why.cars == CARS


def test_a_bid_before_the_evening_leaves_its_base_discharge_the_energy(tmp_path):
    # At noon each car has 0.52 x 60 + 0.92 x 10 = 40.4 kWh and can give 0.91 x 21.2, ten of them 192.92. The
    # three cheap hours of the night put 20.424 kWh back, so that it pays to go down to 27.576: 116.70 kWh are
    # nominated in the evening. 76.22 are left, 38.1 kW for two hours; nobody buys them back by day.
    with a_desk(tmp_path, CARS, a_lazy_past(CARS, soc=0.52)) as desk:
        desk.ask((12.5, 14.5), 100.0, 459, approve=False)
        assert promised(desk, "12.5-14.5") == {38.0}


def test_a_window_that_holds_the_evening_holds_its_base_discharge_back(desk):
    # 262.08 kWh over 15 hours: 17.47 kW.
    desk.ask((8, 23), 100.0, 459, approve=False)
    assert promised(desk, "8-23") == {17.0}
    assert max(desk.now("8-23").draft.base_kw) == pytest.approx(60.0)


def test_a_whole_day_is_not_bid_on_where_cars_charge_in_its_night_for_what_they_gave_in_the_evening(desk):
    desk.ask((0, 24), 100.0, 459, approve=False)
    assert "no bid, from the least that the DNO takes upwards, would pay" in desk.now("0-24").closed_because


def test_a_whole_day_is_bid_from_both_of_a_car_s_stays(tmp_path):
    # Where export is paid little nothing is given in the evening. Until 07:30 each car has 57.2 kWh, of which
    # 48 are promised: 0.91 x 9.2 kWh in 7.5 hours, ten of them 11.2. From then on they have 48, and another
    # night to be that full again: 262.08 kWh in 16.5 hours, 15.9 kW. Flat is the lesser.
    with a_desk(tmp_path, CARS, a_lazy_past(CARS), export_gbp_per_kwh=0.05) as desk:
        desk.ask((0, 24), 100.0, 459, approve=False)
        assert promised(desk, "0-24") == {11.0}


def test_a_window_of_more_than_48_half_hours_is_refused_in_one_line(desk):
    desk.ask((11, 35.5), 100.0, 459, approve=False)
    assert "the window has 49 half-hours; 1 to 48 can be bid at once" in desk.now("11-35.5").closed_because


def test_needs_of_one_day_are_bid_jointly_whichever_comes_first(desk):
    desk.ask((17, 19), 100.0, 459, approve=False)
    alone = promised(desk, "17-19")
    desk.ask((11, 15), 100.0, 600, approve=False)
    both = 2 * sum(promised(desk, "17-19")) + 4 * sum(promised(desk, "11-15"))
    assert alone == {60.0}
    assert both <= 262.08
    plans = [desk.gateway.store.plans.get(name) for name in ("17-19", "11-15")]
    assert plans[0] == plans[1]
    assert plans[0].slots == Horizon(at(12).date(), 2).slots


def test_the_noons_of_two_days_are_drafted_apart_and_count_on_each_other(desk):
    desk.ask((11, 15), 100.0, 459, approve=False)
    desk.ask((35, 39), 100.0, 459, approve=False)
    need, gateway = desk.now("35-39").requirement, desk.gateway
    standing = standing_now(gateway.store, gateway.workflow.products, need, "35-39", desk.clock.now())
    (other,) = standing.others
    assert (other.apart, other.free_need, other.levels[0][1]) == (True, None, 20.0)
    assert [len(plan.slots) for plan in standing.plans] == [48]
    assert desk.now("11-15").version == 2


def test_each_day_is_nominated_once_and_as_it_was_planned(desk):
    desk.ask((8, 10), 100.0, 459, approve=True)  # its day is Tuesday's, from noon to noon
    desk.ask((11, 15), 100.0, 459, approve=True)
    desk.ask((41, 43), 100.0, 459, approve=True)
    store = desk.gateway.store
    desk.at_gates(14 - 24)
    frozen = store.nominations.between(ZONE, Horizon(at(12).date(), 2).interval)
    assert len(frozen) == 96 - 4  # the first two hours were over
    desk.at_gates(14)
    assert store.nominations.between(ZONE, Horizon(at(12).date(), 2).interval) == frozen
    assert len(store.nominations.between(ZONE, Horizon(at(36).date()).interval)) == 48
    evidence = Evidence(store, desk.gateway.settings)
    for check in (p11_split, p13_nomination):
        finding = check(evidence)
        assert finding.breaches == ()
        assert finding.checked
