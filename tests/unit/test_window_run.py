"""What a zone's cars are told in a window, as their chargers hold it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.fleet_view import CarView
from dispatch.home_rooms import Room
from dispatch.window_run import W_PER_KW, Limits, window_step
from tests.builders import ZONE, a_car, a_car_report, a_charger, a_site

NOW = datetime(2025, 1, 15, 18, 0, tzinfo=UTC)
NAMES = ("must", "free-0", "free-1", "free-2")
LIMITS = Limits(dict.fromkeys(NAMES, Room(export_kw=7.36, import_kw=18.4)), 0.01, timedelta(seconds=120), {})


def a_view(name, *, leaves, min_kw=0.0, **report):
    car = a_car(
        car_id=name,
        site=a_site(site_id=name),
        charger=a_charger(charge_kw=3.6, discharge_kw=3.6, min_kw=min_kw),
    )
    return CarView(car, a_car_report(car_id=name, measured_at=NOW, depart_at=NOW + leaves, **report))


@pytest.mark.parametrize("soc", [0.40, 0.42, 0.43])
@pytest.mark.parametrize("min_kw", [0.0, 1.4, 3.0])
def test_what_a_charger_draws_beyond_its_part_the_others_make_up_for(min_kw, soc):
    must = a_view("must", leaves=5 * HOUR, min_kw=min_kw, soc=soc, target_soc=0.6)
    free = [a_view(name, leaves=14 * HOUR, soc=0.9, target_soc=0.4) for name in NAMES[1:]]
    slots = tuple(Interval(NOW + n * HALF_HOUR, NOW + (n + 1) * HALF_HOUR) for n in range(4))
    target = ZoneTarget(ZONE, slots, (5.0,) * 4, Direction.UP, ("order",) * 4)
    step = window_step(target, [must, *free], [], 0.0, NOW, LIMITS)
    assert sum(point.export_w for point in step.points) == pytest.approx(5.0 * W_PER_KW, abs=8)


def test_who_does_not_quite_follow_is_left_to_charge_where_the_zone_is_to_draw():
    """Its battery takes a little less than was told; to try it with a discharge would cost its driver."""
    slow, *free = (a_view(name, leaves=12 * HOUR, soc=0.5, target_soc=0.9) for name in NAMES[1:])
    slots = tuple(Interval(NOW + n * HALF_HOUR, NOW + (n + 1) * HALF_HOUR) for n in range(2))
    target = ZoneTarget(ZONE, slots, (-8.0,) * 2, Direction.UP, ("order",) * 2)
    limits = replace(LIMITS, meant_kw=dict.fromkeys(NAMES[1:], 3.6))
    step = window_step(target, free, [slow], -3.0, NOW, limits)
    told = {point.car_id: point.export_w for point in step.points}
    assert told.pop("free-0") == -3600
    assert sum(told.values()) == pytest.approx(-5000, abs=3)
