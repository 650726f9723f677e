"""Cars of one home hand its room over one after the other: chargers may follow late."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.test_controller import NOW, Loop, seen, wanted
from tests.unit.test_home_rooms import a_home, later, refusals

SECOND = timedelta(seconds=1)


async def at_once(loop, *reports, after_s=0):
    """Run a cycle so long after the last one's instant; return what each car stands at then. [W]"""
    loop.clock.pass_by(after_s * SECOND)
    by = loop.clock.now() - NOW
    await loop.cycle(*(later(report, by=by) for report in reports))
    views = {view.car.car_id: view for view in loop.controller.view.all()}
    return {name: view.standing.export_w for name, view in views.items() if view.standing}


@pytest.mark.parametrize("follows_after_s", [1, 29])
async def test_who_takes_over_from_a_neighbour_waits_until_that_one_must_have_followed(follows_after_s):
    loop = Loop(a_home(cars=2), wanted(9.0))
    told = await at_once(loop, seen("car-1"), seen("car-2", plugged=False))
    assert told["car-1"] == 3680
    boosted, came = seen("car-1", boost=True), seen("car-2")
    told = await at_once(loop, boosted, came, after_s=60)
    assert told["car-1"] == -7400
    assert told["car-2"] == 0
    assert loop.controller._boundary == loop.clock.now() + 30 * SECOND
    told = await at_once(loop, boosted, came, after_s=follows_after_s)
    assert told["car-2"] == 0
    told = await at_once(loop, boosted, came, after_s=31 - follows_after_s)
    assert told["car-2"] == 3680
    assert refusals(loop) == []


async def test_a_boosted_car_has_the_whole_fuse_half_a_minute_after_its_neighbour_was_stopped():
    loop = Loop(a_home(cars=2, import_limit_kw=9.0))
    low = [seen("car-1", soc=0.2), seen("car-2", soc=0.2)]
    before = await at_once(loop, *low)
    boosted = [replace(low[0], boost=True), low[1]]
    told = await at_once(loop, *boosted, after_s=60)
    assert told["car-1"] == before["car-1"]
    assert told["car-2"] >= -1600
    told = await at_once(loop, *boosted, after_s=30)
    assert told["car-1"] == -7400
    assert refusals(loop) == []


async def test_what_was_told_before_a_gateway_began_counts_as_well():
    first = Loop(a_home(cars=2), wanted(9.0))
    told = await first.cycle(seen("car-1"), seen("car-2", plugged=False))
    loop = Loop(a_home(cars=2), wanted(9.0))
    loop.controller.recall((), told.values())
    told = await at_once(loop, seen("car-1", plugged=False), seen("car-2"), after_s=1)
    assert told["car-2"] == 0


async def test_who_was_giving_before_a_gateway_began_goes_on_in_place_of_its_neighbour():
    first = Loop(a_home(cars=2), wanted(9.0))
    told = await first.cycle(seen("car-2"), seen("car-1", plugged=False))
    loop = Loop(a_home(cars=2), wanted(9.0))
    loop.controller.recall((), told.values())
    told = await at_once(loop, seen("car-1"), seen("car-2", export_w=3680), after_s=1)
    assert told == {"car-1": 0, "car-2": 3680}


async def test_what_a_neighbour_draws_by_its_own_default_is_left_to_it_until_it_draws_less():
    loop = Loop(a_home(cars=2, import_limit_kw=11.0))
    by_itself, low = seen("car-1", soc=0.95, export_w=-7400), seen("car-2", soc=0.2)
    told = await at_once(loop, by_itself, low)
    assert (told["car-1"], told["car-2"]) == (0, -3600)
    told = await at_once(loop, by_itself, low, after_s=60)
    assert told["car-2"] == -3600
    told = await at_once(loop, seen("car-1", soc=0.95), low, after_s=60)
    assert told["car-2"] == -7400
    assert refusals(loop) == []


async def test_what_a_neighbour_gives_that_was_told_nothing_is_cut_from_what_a_car_gives():
    loop = Loop(a_home(cars=2, export_limit_kw=5.0), wanted(4.5))
    told = await at_once(loop, seen("car-1", plugged=False), seen("car-2"))
    assert told["car-2"] == 4500
    deaf = seen("car-1", soc=None, export_w=3000)
    told = await at_once(loop, deaf, seen("car-2", export_w=4500), after_s=60)
    assert told["car-2"] == 2000
    assert refusals(loop) == []


async def test_what_a_charger_may_not_have_heard_of_is_counted_all_the_same():
    """Its message may be lost, or its answer alone."""
    loop = Loop(a_home(cars=2, import_limit_kw=9.0))
    low = [seen("car-1", soc=0.2), seen("car-2", soc=0.2, plugged=False)]
    loop.link.away.add("car-1")
    await at_once(loop, *low)
    both = [low[0], replace(low[1], plugged=True)]
    told = await at_once(loop, *both, after_s=10)
    assert told.get("car-2", 0) >= -1600
    assert refusals(loop) == []
