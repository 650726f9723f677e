"""Charging that slows down near full: how long it takes, and that departures are planned for with it."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.energy import CarArrays, Stay, Tapers, Tariff, base_plan, emin_kwh, need_kwh
from aggregator.model.fleet import Fleet, Taper
from dispatch.interlock import Interlock
from tests.builders import EVENING, a_car, a_car_report, a_charger, a_set_point
from tests.property.energy_cases import Lp

CAPACITY_KWH, FULL_KW, ETA = 40.0, 7.0, 0.9
HOURS, SLOTS = 0.5, 24
BEND_KWH = 0.15
"""What straight lines in place of a bend, and half-hours in place of minutes, may cost a home."""
socs = st.floats(0.0, 1.0)
knees, shares = st.floats(0.5, 1.0), st.floats(0.05, 1.0)


def charged_kwh(start_kwh: float, hours: float, knee: float, share: float) -> float:
    """Charge by small steps: power falls linearly from the knee to its share at 100%."""
    energy_kwh, step_h = start_kwh, hours / 1000
    for _ in range(1000):
        soc = energy_kwh / CAPACITY_KWH
        part = 1.0 if soc <= knee or knee >= 1.0 else 1.0 - (1.0 - share) * (soc - knee) / (1.0 - knee)
        energy_kwh = min(CAPACITY_KWH, energy_kwh + ETA * FULL_KW * part * step_h)
    return energy_kwh


def tapers(knee: float, share: float) -> Tapers:
    return Tapers.of(np.array([CAPACITY_KWH]), np.array([knee]), np.array([share]))


@given(socs, st.floats(0.01, 8.0), knees, shares)
@settings(max_examples=60, deadline=None)
def test_effort_is_time_at_full_power(soc, hours, knee, share):
    way = tapers(knee, share)
    effort_kwh = way.effort_kwh(np.array([soc * CAPACITY_KWH])) + ETA * FULL_KW * hours
    reached_kwh = min(CAPACITY_KWH, float(way.energy_kwh(effort_kwh)[0]))
    assert reached_kwh == pytest.approx(charged_kwh(soc * CAPACITY_KWH, hours, knee, share), abs=0.05)


@given(socs, st.floats(0.0, 8.0), knees, shares)
@settings(max_examples=60, deadline=None)
def test_from_the_least_energy_full_power_just_reaches_the_target(target, hours, knee, share):
    figures = (np.array([0.0]), np.array([target * CAPACITY_KWH]), np.array([FULL_KW]), np.array([ETA]))
    least_kwh = float(emin_kwh(*figures, np.array([hours]), tapers(knee, share))[0])
    reached_kwh = charged_kwh(least_kwh, hours, knee, share) if hours else least_kwh
    assert reached_kwh >= target * CAPACITY_KWH - 0.05
    if least_kwh > 0.0:
        assert reached_kwh == pytest.approx(target * CAPACITY_KWH, abs=0.05)


def some_cars(draw: np.random.Generator, count: int, at_each: int = 1) -> tuple[CarArrays, Stay]:
    capacity_kwh = draw.uniform(30.0, 70.0, count)
    way = Tapers.of(capacity_kwh, draw.uniform(0.6, 1.0, count), draw.uniform(0.1, 1.0, count))
    full, eta = np.full(count, FULL_KW), np.full(count, ETA)
    homes = np.arange(count, dtype=np.int64) // at_each
    least_kw = 4.0 if at_each == 1 else at_each * FULL_KW
    room_kw = draw.uniform(least_kw, at_each * 12.0, count // at_each)
    export_kw = draw.uniform(3.0, 12.0, count // at_each)
    cars = CarArrays(
        capacity_kwh, 0.3 * capacity_kwh, full, full, eta, eta, homes, export_kw, room_kw, tapers=way
    )
    arrive = draw.integers(0, SLOTS // 2, count)
    stay = Stay(
        arrive.astype(np.int64),
        (arrive + draw.integers(1, SLOTS // 2, count)).astype(np.int64),
        draw.uniform(0.1, 1.0, count) * capacity_kwh,
        draw.uniform(0.3, 1.0, count) * capacity_kwh,
    )
    return cars, stay


@given(st.integers(0, 10**6), st.sampled_from([1, 2]))
@settings(max_examples=80, deadline=None)
def test_a_plan_draws_what_batteries_take_and_reaches_what_can_be_reached(seed, at_each):
    """Homes of two cars have room for both at full power."""
    draw = np.random.default_rng(seed)
    cars, stay = some_cars(draw, 12, at_each)
    price = draw.choice([0.1, 0.2, 0.3], SLOTS)
    tariff = Tariff(price, draw.choice([0.05, 0.25]) * np.ones(SLOTS), draw.random(SLOTS) < 0.2)
    plan = base_plan(cars, stay, tariff, HOURS)
    full_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    for slot in range(SLOTS):
        start_kwh = plan.energy_kwh[:, slot] - plan.discharge_kw[:, slot] * HOURS / cars.eta_discharge
        most = cars.tapers.energy_kwh(cars.tapers.effort_kwh(start_kwh) + ETA * full_kw * HOURS)
        assert (start_kwh + ETA * HOURS * plan.charge_kw[:, slot] <= most + 1e-6).all()
        for power_kw, room_kw in (
            (plan.charge_kw, cars.import_room_kw),
            (plan.discharge_kw, cars.export_room_kw),
        ):
            assert (np.bincount(cars.site, power_kw[:, slot]) <= room_kw + 1e-6).all()
    effort_kwh = cars.tapers.effort_kwh(stay.energy_kwh)
    effort_kwh += ETA * full_kw * HOURS * (stay.depart_slot - stay.arrive_slot)
    most_kwh = np.minimum(cars.capacity_kwh, cars.tapers.energy_kwh(effort_kwh))
    reached_kwh = np.minimum(stay.target_kwh, most_kwh)
    below = stay.energy_kwh < stay.target_kwh
    assert (plan.energy_kwh[below, -1] >= reached_kwh[below] - 1e-6).all()
    missing_kwh = np.maximum(0.0, stay.target_kwh - most_kwh)
    assert plan.short_of_target_kwh[below] == pytest.approx(missing_kwh[below], abs=1e-6)


def a_crowded_home(draw: np.random.Generator) -> tuple[CarArrays, Stay]:
    """Two or three cars above their floors, whose fuse carries any one of them, but never all."""
    count = int(draw.integers(2, 4))
    cars, stay = some_cars(draw, count, count)
    fuse_kw = np.array([draw.uniform(max(1.0, 0.4 * count), 0.95 * count) * FULL_KW])
    target_kwh = draw.choice([0.9, 0.95, 1.0], count) * cars.capacity_kwh
    energy_kwh = draw.uniform(0.31, 1.0, count) * cars.capacity_kwh
    stay = replace(stay, energy_kwh=energy_kwh, target_kwh=np.maximum(energy_kwh, target_kwh))
    return replace(cars, import_room_kw=fuse_kw), stay


def least_missing_kwh(cars: CarArrays, stay: Stay) -> float:
    """The least that is missing of all targets, in steps of five minutes: a linear programme of its own."""
    lp, step_h, drawn = Lp(), HOURS / 6, defaultdict(list)
    for car in range(cars.count):
        energy = lp.var(stay.energy_kwh[car], stay.energy_kwh[car])
        most, knee_kwh = FULL_KW * step_h, cars.tapers.from_kwh[car]
        slope = cars.tapers.slope_per_kwh[car]
        for step in range(6 * stay.arrive_slot[car], 6 * stay.depart_slot[car]):
            takes, after = lp.var(0.0, most), lp.var()
            lp.row({after: 1.0, energy: -1.0, takes: -ETA}, 0.0, 0.0)
            mean = most * slope / 2
            lp.row({takes: 1.0, energy: mean, after: mean}, high=most * (1.0 + slope * knee_kwh))
            drawn[step].append(takes)
            energy = after
        lp.row({energy: 1.0, lp.var(cost=1.0): 1.0}, stay.target_kwh[car])
    for takes in drawn.values():
        lp.row(dict.fromkeys(takes, 1.0), high=cars.import_room_kw[0] * step_h)
    return lp.minimum()


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_cars_behind_one_fuse_are_planned_to_reach_what_can_be_reached_as_they_slow_down(seed, sells):
    draw = np.random.default_rng(seed)
    cars, stay = a_crowded_home(draw)
    cars = replace(cars, discharge_kw=sells * cars.discharge_kw)
    price = draw.choice([0.1, 0.2, 0.3], SLOTS)
    tariff = Tariff(price, draw.choice([0.05, 0.45], SLOTS), draw.random(SLOTS) < 0.2, 0.03)
    plan = base_plan(cars, stay, tariff, HOURS)
    assert (plan.charge_kw.sum(axis=0) <= cars.import_room_kw + 1e-6).all()
    assert (plan.discharge_kw.sum(axis=0) <= cars.export_room_kw + 1e-6).all()
    for slot in range(SLOTS):
        start_kwh = plan.energy_kwh[:, slot] - plan.discharge_kw[:, slot] * HOURS / cars.eta_discharge
        most_kwh = cars.tapers.energy_kwh(cars.tapers.effort_kwh(start_kwh) + ETA * FULL_KW * HOURS)
        assert (start_kwh + ETA * HOURS * plan.charge_kw[:, slot] <= most_kwh + 1e-6).all()
        gives = plan.discharge_kw[:, slot] > 0.0
        assert (plan.energy_kwh[gives, slot + 1] >= cars.floor_kwh[gives] - 1e-6).all()
    missing_kwh = np.maximum(0.0, stay.target_kwh - plan.energy_kwh[:, -1])
    assert plan.short_of_target_kwh == pytest.approx(missing_kwh, abs=1e-6)
    assert missing_kwh.sum() <= least_missing_kwh(cars, stay) + BEND_KWH


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_window_keeps_what_a_departure_after_it_takes(seed):
    draw = np.random.default_rng(seed)
    cars, stay = some_cars(draw, 6)
    end = int(draw.integers(1, SLOTS))
    need = need_kwh(cars, stay, end, HOURS)
    hours = np.maximum(0, stay.depart_slot - end) * HOURS
    full_kw = np.minimum(cars.charge_kw, cars.import_room_kw)
    reached_kwh = cars.tapers.energy_kwh(cars.tapers.effort_kwh(need) + ETA * full_kw * hours)
    assert (reached_kwh >= np.minimum(stay.target_kwh, cars.capacity_kwh) - 1e-6).all()


@given(st.floats(0.5, 1.0), st.floats(0.1, 6.0), st.floats(0.5, 0.99), shares)
@settings(max_examples=60, deadline=None)
def test_the_interlock_keeps_what_a_departure_takes_by_sums_of_its_own(target, hours, knee, share):
    way, due = tapers(knee, share), EVENING.start + timedelta(minutes=2)
    figures = (np.array([12.0]), np.array([target * CAPACITY_KWH]), np.array([FULL_KW]), np.array([ETA]))
    least_kwh = float(emin_kwh(*figures, np.array([hours]), way)[0])
    given_kwh = 2 / 60 * 6.0 / 0.91
    for more_kwh, passes in ((0.01, True), (-0.01, False)):
        soc = (least_kwh + given_kwh + more_kwh) / CAPACITY_KWH
        if soc > 1.0:
            continue
        charger = a_charger(charge_kw=FULL_KW, eta_charge=ETA)
        car = a_car(capacity_kwh=CAPACITY_KWH, charger=charger, taper=Taper(knee, share))
        leaves = {"depart_at": due + timedelta(hours=hours), "target_soc": target}
        interlock = Interlock(Fleet((car,), "f" * 64), timedelta(seconds=60))
        interlock.observe([a_car_report(measured_at=EVENING.start, soc=soc, export_w=0, **leaves)])
        assert (interlock.check([a_set_point()]) == ()) is passes
