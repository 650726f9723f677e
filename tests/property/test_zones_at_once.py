"""Several zones in one cycle, each with an order of its own: each gets what its own cars can do."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.model.fleet import Fleet
from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import ZoneTarget
from tests.builders import a_car, a_charger, a_site
from tests.unit.test_controller import NOW, Loop, seen

SLOTS = (Interval(NOW, NOW + HALF_HOUR), Interval(NOW + HALF_HOUR, NOW + 2 * HALF_HOUR))


@st.composite
def zones(draw):
    """Return cars and what each zone is asked; all can give 6 kW and take 7.4 kW for an hour."""
    cars, asked = [], {}
    for zone in draw(st.lists(st.sampled_from(["EAST", "WEST", "NORTH"]), min_size=1, unique=True)):
        count = draw(st.integers(1, 6))
        for n in range(count):
            name = f"{zone}-{n}"
            charger = a_charger(charger_id=name, min_kw=draw(st.sampled_from([0.0, 1.4])))
            cars.append(a_car(car_id=name, charger=charger, site=a_site(site_id=name, zone=zone)))
        least, most = -7.4 * count, 6.0 * count
        asked[zone] = draw(st.one_of(st.none(), st.floats(least * 1.5, most * 1.5)))
    return Fleet(tuple(cars), "z" * 64), asked


@given(zones())
@settings(max_examples=60, deadline=None)
def test_each_zone_is_served_by_its_own_cars_alone(found):
    fleet, asked = found
    targets = [
        ZoneTarget(zone, SLOTS, (kw, kw), Direction.UP if kw >= 0 else Direction.DOWN, ("order", "order"))
        for zone, kw in asked.items()
        if kw is not None
    ]
    loop = Loop(fleet, *targets)
    reports = [
        seen(car.car_id, soc=0.55, depart_at=NOW + 24 * HALF_HOUR, target_soc=0.4) for car in fleet.cars
    ]
    told = asyncio.run(loop.cycle(*reports))
    assert [one for one in loop.records[-1].notices if one.code == "interlock"] == []
    for zone, kw in asked.items():
        cars = fleet.in_zone(zone)
        watts = {car.car_id: told[car.car_id].export_w for car in cars}
        if kw is None:  # no order: each its own plan, which exports nothing at these prices
            assert all(one <= 0 for one in watts.values())
            continue
        assert all(one >= 0 if kw >= 0 else one <= 0 for one in watts.values())
        for car in cars:
            one = watts[car.car_id]
            assert one <= 0 or one >= car.charger.min_kw * 1000 - 1
        total_kw, able_kw = sum(watts.values()) / 1000, (6.0 if kw >= 0 else 7.4) * len(cars)
        if not any(car.charger.min_kw for car in cars):
            assert abs(total_kw) == pytest.approx(min(abs(kw), able_kw), abs=0.001 * len(cars) + 1e-6)
        elif kw < 0:  # who charges less than its charger can hold charges at the least it can
            assert min(abs(kw), able_kw) - 0.01 <= -total_kw <= min(abs(kw), able_kw) + 1.4 * len(cars)
        else:  # chargers with a least power serve all but what none of them can hold
            assert min(kw, able_kw) - 1.4 <= total_kw <= kw + 0.001
