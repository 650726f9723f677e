"""What is known of a battery stays near the truth, by its own word, whatever car and charger say and do."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.battery import Battery
from dispatch.interlock_energy import Reckoning
from tests.builders import NOON, a_car, a_car_report, a_charger

MINUTE = timedelta(minutes=1)
CAPACITY_KWH, ETA = 40.0, 0.93
BETTER = 0.03
"""By how much chargers may be better than their worst."""


def reports_of(draw, minutes, *, wrong, sigma, step, late=0, silent=(0, 0), start=0.6, eta=ETA):
    """Yield what a car reports each minute, and its true state of charge, as it is moved to and fro."""
    capacity, soc, power_kw = CAPACITY_KWH * (1 + wrong), start, 0.0
    import_wh = export_wh = 10.0**6
    past = []
    for minute in range(minutes):
        if minute % 20 == 0:
            power_kw = draw.choice([-7.4, 0.0, 3.7, 7.4])
        power_kw = -7.4 if soc < 0.2 else 7.4 if soc > 0.95 else power_kw
        moved_wh = power_kw * 1000 / 60
        export_wh, import_wh = export_wh + max(0.0, moved_wh), import_wh + max(0.0, -moved_wh)
        soc += (max(0.0, -moved_wh) * eta - max(0.0, moved_wh) / eta) / 1000 / capacity
        said = np.clip(np.round((soc + sigma * draw.standard_normal()) / step) * step, 0.0, 1.0)
        past.append(float(said))
        told = {"soc": past[minute - late] if minute >= late else None}
        if late and minute >= late:
            told["soc_at"] = NOON + (minute - late) * MINUTE
        if silent[0] <= minute < silent[1]:
            told = {"soc": None}
        at = NOON + minute * MINUTE
        report = a_car_report(measured_at=at, import_wh=int(import_wh), export_wh=int(export_wh), **told)
        yield report, soc


def a_leaf():
    charger = a_charger(charge_kw=7.4, discharge_kw=7.4, eta_charge=ETA, eta_discharge=ETA)
    return a_car(capacity_kwh=CAPACITY_KWH, charger=charger)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([-0.1, 0.0, 0.1]),
    st.sampled_from([(0.0, 0.01), (0.005, 0.01), (0.01, 0.01), (0.0, 0.05), (0.01, 0.05)]),
    st.sampled_from([0, 3, 10, 55]),
    st.sampled_from([(0, 0), (60, 120)]),
    st.floats(0.25, 0.9),
    st.floats(ETA, ETA + BETTER),
)
def test_the_truth_lies_within_twice_the_doubt(seed, wrong, told, late, silent, start, eta):
    sigma, step = told
    battery, draw = Battery(a_leaf(), step), np.random.default_rng(seed)
    way = {"wrong": wrong, "sigma": sigma, "step": step, "late": late, "silent": silent}
    for report, soc in reports_of(draw, 240, **way, start=start, eta=eta):
        battery.observe(report)
        if battery.soc is not None:
            assert abs(battery.soc - soc) <= 2 * battery.doubt
            assert battery.doubt >= step


@pytest.mark.parametrize("wrong", [-0.15, -0.1, 0.1, 0.15])
def test_a_wrong_capacity_is_learnt_for_the_most_part_and_a_right_one_left(wrong):
    for seed in range(3):
        battery, right = Battery(a_leaf(), 0.01), Battery(a_leaf(), 0.01)
        for found, off in ((battery, wrong), (right, 0.0)):
            draw = np.random.default_rng(seed)
            for report, _ in reports_of(draw, 1200, wrong=off, sigma=0.01, step=0.01, eta=ETA + 0.02):
                found.observe(report)
        assert abs(battery.capacity_kwh / (CAPACITY_KWH * (1 + wrong)) - 1) <= 0.6 * abs(wrong)
        assert right.capacity_kwh == pytest.approx(CAPACITY_KWH, rel=0.02)
        assert not right.is_odd


def test_a_late_state_of_charge_is_aged_by_the_registers_before_it_is_used():
    battery = Battery(a_leaf(), 0.01)
    report = a_car_report(measured_at=NOON, soc=0.6, export_wh=10**6, import_wh=10**6)
    battery.observe(report)
    for minute in range(1, 11):
        late = {"soc": 0.6, "soc_at": NOON} if minute == 10 else {"soc": None}
        at = NOON + minute * MINUTE
        battery.observe(replace(report, measured_at=at, export_wh=10**6 + 100 * minute, **late))
    assert battery.soc == pytest.approx(0.6 - 1.0 / ETA / CAPACITY_KWH, abs=1e-9)


@pytest.mark.parametrize("late", [45, 60, 110])
def test_a_first_state_of_charge_of_an_hour_ago_counts_for_the_loop_and_the_interlock(late):
    battery, reckoning, car = Battery(a_leaf(), 0.01), Reckoning(), a_leaf()
    for minute in range(late + 1):
        told = {"soc": 0.5, "soc_at": NOON} if minute == late else {"soc": None}
        registers = {"import_wh": 10**6 + 100 * minute, "export_wh": 10**6}
        report = a_car_report(measured_at=NOON + minute * MINUTE, **registers, **told)
        battery.observe(report)
        reckoned = reckoning.at_registers(car, report).soc
    taken = 0.1 * late * ETA / CAPACITY_KWH
    assert battery.soc == pytest.approx(0.5 + taken)
    assert battery.doubt >= 0.1 * taken
    assert 0.5 + 0.8 * taken < reckoned < 0.5 + taken


def test_without_a_word_the_registers_go_on_and_the_doubt_grows():
    battery = Battery(a_leaf(), 0.01)
    report = a_car_report(measured_at=NOON, soc=0.9, export_wh=10**6, import_wh=10**6)
    battery.observe(report)
    doubts = []
    for hour in (1, 2):
        at = NOON + hour * 60 * MINUTE
        battery.observe(replace(report, measured_at=at, soc=None, export_wh=10**6 + 7400 * hour))
        doubts.append(battery.doubt)
    assert battery.soc == pytest.approx(0.9 - 14.8 / ETA / CAPACITY_KWH)
    assert 0.01 < doubts[0] < doubts[1]
    assert doubts[1] >= 0.1 * 14.8 / ETA / CAPACITY_KWH


def test_a_car_that_finds_out_better_is_believed_at_once_and_no_less_sure_for_it():
    battery = Battery(a_leaf(), 0.01)
    report = a_car_report(measured_at=NOON, soc=0.6, export_wh=10**6, import_wh=10**6)
    for minute, soc in enumerate([0.6, 0.6, 0.4, 0.4, 0.55]):
        battery.observe(replace(report, measured_at=NOON + minute * MINUTE, soc=soc))
        assert battery.soc == pytest.approx(soc)
    assert battery.doubt <= 0.02


def test_a_car_that_leaves_or_a_meter_that_is_changed_begins_anew():
    report = a_car_report(measured_at=NOON, soc=0.9, export_wh=10**6, import_wh=10**6)
    for between in ({"plugged": False, "soc": None}, {"export_wh": 5, "soc": None}):
        battery = Battery(a_leaf(), 0.01)
        battery.observe(report)
        battery.observe(replace(report, measured_at=NOON + MINUTE, **between))
        assert battery.soc is None
        battery.observe(replace(report, measured_at=NOON + 2 * MINUTE, soc=0.4))
        assert battery.soc == 0.4


def discharged_in_silence(battery_or_reckon, wrong, minutes):
    """Let a car say 70% once and then give 7.4 kW without another word; return what it then truly has."""
    report = a_car_report(measured_at=NOON, soc=0.7, export_wh=10**6, import_wh=10**6)
    battery_or_reckon(report)
    for minute in range(1, minutes + 1):
        wh = 10**6 + int(7400 * minute / 60)
        at = NOON + minute * MINUTE
        battery_or_reckon(replace(report, measured_at=at, export_wh=wh, soc=None))
    return 0.7 - 7.4 * minutes / 60 / ETA / (CAPACITY_KWH * (1 + wrong))


@pytest.mark.parametrize("wrong", [-0.2, -0.1, 0.0])
@pytest.mark.parametrize("minutes", [1, 30, 100])
def test_what_leaves_a_silent_battery_is_counted_for_the_least_capacity_by_loop_and_interlock(wrong, minutes):
    battery, reckoning, car = Battery(a_leaf(), 0.01), Reckoning(), a_leaf()
    reckoned = []

    def hear(report):
        battery.observe(report)
        reckoned.append(reckoning.at_registers(car, report).soc)

    left_soc = max(0.0, discharged_in_silence(hear, wrong, minutes))
    assert battery.least_soc <= left_soc + 0.001
    assert reckoned[-1] <= left_soc + 0.001


def test_a_battery_that_speaks_again_is_known_without_a_margin():
    battery = Battery(a_leaf(), 0.01)
    discharged_in_silence(battery.observe, 0.0, 60)
    silent_soc = 0.7 - 1.25 * 7.4 / ETA / CAPACITY_KWH
    assert battery.least_soc == pytest.approx(silent_soc, abs=1e-4)
    at, soc = NOON + 61 * MINUTE, 0.7 - 7.4 / ETA / CAPACITY_KWH
    battery.observe(a_car_report(measured_at=at, soc=soc, export_wh=10**6 + 7400, import_wh=10**6))
    assert battery.least_soc == battery.soc == pytest.approx(soc, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-0.2, -0.1, 0.0, 0.1]), st.sampled_from([0, 5, 20, 55]))
def test_the_interlock_never_reckons_more_than_is_there(seed, wrong, late):
    reckoning, draw, car = Reckoning(), np.random.default_rng(seed), a_leaf()
    way = {"wrong": wrong, "sigma": 0.0, "step": 0.001, "late": late, "silent": (60, 120)}
    for report, soc in reports_of(draw, 180, **way):
        reckoned = reckoning.at_registers(car, report).soc
        assert reckoned is None or reckoned <= soc + 0.002


def test_a_car_that_reports_in_coarser_steps_than_is_stated_is_found_out():
    battery, draw = Battery(a_leaf(), 0.01), np.random.default_rng(1)
    for report, _ in reports_of(draw, 600, wrong=0.0, sigma=0.005, step=0.05, eta=ETA + 0.02):
        battery.observe(report)
    assert battery.doubt >= 0.05
    assert battery.capacity_kwh == pytest.approx(CAPACITY_KWH, rel=0.02)
