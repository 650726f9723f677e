"""Homes of two cars behind one fuse whose gateway dies: chargers by themselves keep the fuse (P4)."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.fleet_simulator.script import Act, Kind
from tests.fakes.driven_fleet import driven
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, MINUTE, a_leaf, a_stay

FUSE_KW = 9.2
LEAVES = FIVE_PM + 14 * HOUR


def a_home(fuse_kw=FUSE_KW, **changes):
    """Two cars at one home."""
    home = replace(a_leaf().site, import_limit_kw=fuse_kw, **changes)
    return [replace(a_leaf(name), site=home) for name in ("leaf-1", "leaf-2")]


def boosts(car_id, minutes):
    return Act(car_id=car_id, at=FIVE_PM + timedelta(minutes=minutes), kind=Kind.BOOST)


async def drawn_kw(folder, cars, stays, acts, lives_minutes):
    """Return the most that the home drew, before and after its gateway died, and what cars had at the end."""
    async with driven(folder, cars, stays, acts, ordered_kw=None) as one:
        await one.minutes(lives_minutes)
        one.watched.world.advance(LEAVES - MINUTE)
        rows = [row for car in cars for row in one.watched.truth(car.car_id)]
        return -min(int(row["boundary_w"]) for row in rows) / 1000, {
            car.car_id: one.soc(car.car_id) for car in cars
        }


ARRIVES = st.integers(-5, 60)
SOCS = st.floats(0.15, 0.85)
BOOSTED = st.none() | st.integers(0, 600)


@settings(max_examples=10, deadline=None)
@given(st.tuples(ARRIVES, ARRIVES), st.tuples(SOCS, SOCS), st.tuples(BOOSTED, BOOSTED), st.integers(0, 90))
def test_chargers_whose_gateway_dies_keep_their_home_s_fuse(
    tmp_path_factory, arrives, socs, boosted, lives_minutes
):
    cars = a_home()
    stays = [
        a_stay(car.car_id, FIVE_PM + timedelta(minutes=at), LEAVES, soc)
        for car, at, soc in zip(cars, arrives, socs, strict=True)
    ]
    acts = [boosts(car.car_id, at) for car, at in zip(cars, boosted, strict=True) if at is not None]
    folder = tmp_path_factory.mktemp("home")
    most_kw, socs = asyncio.run(drawn_kw(folder, cars, stays, acts, lives_minutes))
    assert most_kw <= FUSE_KW + 0.008  # what an idle charger draws
    assert all(soc >= 0.88 for soc in socs.values())


async def test_both_boosted_keep_the_fuse_after_their_set_points_ran_out(tmp_path):
    cars = a_home()
    stays = [a_stay(car.car_id, FIVE_PM - 5 * MINUTE, LEAVES, 0.3) for car in cars]
    acts = [boosts(car.car_id, 10) for car in cars]
    most_kw, _ = await drawn_kw(tmp_path, cars, stays, acts, 20)
    assert most_kw == pytest.approx(FUSE_KW)


async def test_the_house_comes_first(tmp_path):
    cars = a_home(house_load_kw=(2.0,))
    stays = [a_stay(car.car_id, FIVE_PM - 5 * MINUTE, LEAVES, 0.3) for car in cars]
    async with driven(tmp_path, cars, stays, ordered_kw=None) as one:
        await one.minutes(5)
        one.watched.world.advance(FIVE_PM + 9 * HOUR)
        assert [one.export_w(car.car_id) for car in cars] == [-3600, -3600]
