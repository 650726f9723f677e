"""How a battery slows down near full, learnt where the registry does not say so."""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from aggregator.model.fleet import Fleet, Intent, Taper
from aggregator.store import open_store
from dispatch.fleet_view import FleetView
from dispatch.notices import SHORT_OF_TARGET
from dispatch.slowing import Slowing
from tests.builders import a_car, a_car_report, a_set_point
from tests.fakes.clock import FakeClock
from tests.fakes.driven_fleet import MINUTE, Driven, keeping
from tests.fakes.simulated_fleet import FIVE_PM, a_leaf, a_stay

HOUR = timedelta(hours=1)
CAR = a_car()
FULL_KW = CAR.charger.charge_kw


def learnt(took_kw, told_kw=FULL_KW, first=0.6, last=0.99):
    """Return a car's taper once it has been charged from one charge to another."""
    slowing = Slowing(CAR)
    for step in range(int(first * 500), int(last * 500)):
        slowing.note(step / 500, told_kw, min(told_kw, took_kw(step / 500)))
    return slowing.taper


def slows_down(soc):
    return FULL_KW * min(1.0, 1.0 - 0.8 * (soc - 0.8) / 0.2)


@pytest.mark.parametrize("told_kw", [FULL_KW, FULL_KW / 2])
def test_what_a_battery_takes_less_and_less_of_is_its_taper(told_kw):
    taper = learnt(slows_down, told_kw)
    assert (taper.from_soc, taper.full_share) == pytest.approx((0.8, 0.2), abs=0.02)


@pytest.mark.parametrize(
    "took_kw",
    [lambda soc: FULL_KW, lambda soc: FULL_KW / 2, lambda soc: 0.0, lambda soc: FULL_KW * (soc < 0.9)],
    ids=["as told", "half all the time", "deaf", "full at once"],
)
def test_what_does_not_fall_as_the_car_fills_is_no_taper(took_kw):
    assert learnt(took_kw) == CAR.taper


def test_a_few_percents_are_too_few_to_tell():
    assert learnt(slows_down, last=0.84) == CAR.taper
    assert learnt(slows_down, last=0.88) != CAR.taper


def test_it_is_learnt_from_set_points_that_are_renewed_each_minute():
    view, wh, soc, at = FleetView(Fleet((CAR,), "f" * 64), 0.02, 0.01, 0.01), 0.0, 0.75, FIVE_PM
    while soc < 0.92:
        view.observe([a_car_report(measured_at=at, soc=soc, import_wh=round(wh), export_wh=0, export_w=0)])
        told_at = at + timedelta(seconds=3)
        view.sent([a_set_point(export_w=-7400, issued_at=told_at, expires_at=told_at + 2 * MINUTE)])
        taken_kwh = slows_down(soc) / 60
        wh, soc, at = wh + 1000 * taken_kwh, soc + taken_kwh * 0.92 / CAR.capacity_kwh, at + MINUTE
    taper = view.of(CAR.car_id).car.taper
    assert (taper.from_soc, taper.full_share) == pytest.approx((0.8, 0.2), abs=0.03)


async def test_a_driver_is_told_of_what_a_battery_misses_that_slows_down_unstated(tmp_path):
    """Planned as the registry has it the car would be full at 07:15; it slows down from 80% on."""
    car = replace(a_leaf(), default_intent=Intent(time(7, 30), 1.0), taper=Taper())
    at = FIVE_PM + 12 * HOUR
    stay = a_stay(plugged_in_at=at + MINUTE, plugged_out_at=FIVE_PM + 15 * HOUR, arrival_soc=0.62)
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        one = Driven(store, [car], [stay], ordered_kw=None, clock=FakeClock(at))
        async with keeping(one):
            await one.minutes(105)
            foreseen_kwh = dict(one.controller.shortfalls.kwh)
            await one.minutes(44)
        notices = [alarm.text for alarm in store.alarms.open() if alarm.code == SHORT_OF_TARGET]
    assert notices
    assert foreseen_kwh["leaf-1"] == pytest.approx((1.0 - one.soc()) * car.capacity_kwh, abs=0.5)
