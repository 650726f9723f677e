"""The control loop after an event: what it took is filled in again, under the nominated peak, one by one."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from aggregator.model.time import HALF_HOUR, HOUR
from aggregator.ports import Rebound
from tests.builders import ZONE
from tests.unit.test_closed_loop import START, Charger, World
from tests.unit.test_controller import flat_prices


def cheap_until_twenty(zone, slots):
    """Return a tariff by which cars would all charge right after the event."""
    tariff = flat_prices(zone, slots)
    cheap = [slot.start < START + 3 * HOUR for slot in slots]
    return replace(tariff, import_gbp_per_kwh=np.where(cheap, 0.1, 0.3))


def cheap_after_an_hour(zone, slots):
    """Return a tariff by which cars would all charge from an hour after the event on."""
    tariff = flat_prices(zone, slots)
    cheap = [START + HOUR <= slot.start < START + 4 * HOUR for slot in slots]
    return replace(tariff, import_gbp_per_kwh=np.where(cheap, 0.1, 0.3))


async def test_after_an_event_a_zone_draws_no_more_than_it_nominated_but_for_who_must_charge():
    world = World([Charger() for _ in range(6)], 0.0, slots=0, prices=cheap_until_twenty)
    world.now_rebound = Rebound(START - HALF_HOUR, import_kw=15.0)
    world.intent = {"depart_at": START + 16 * HOUR, "target_soc": 0.9}
    await world.minutes(11, soc=0.5)
    drawn_w = [-charger.told_w for charger in world.chargers.values()]
    assert 0 < sum(drawn_w) <= 15_000
    world.intent = {"depart_at": START + 2.5 * HOUR, "target_soc": 0.8}
    await world.minutes(1, soc=0.5)
    assert sum(-charger.told_w for charger in world.chargers.values()) > 40_000


async def test_after_an_event_cars_keep_to_what_a_boosted_one_leaves_of_the_nominated_peak():
    world = World([Charger() for _ in range(6)], 0.0, slots=0, prices=cheap_until_twenty)
    world.now_rebound = Rebound(START - HALF_HOUR, import_kw=15.0)
    world.intent = {"depart_at": START + 16 * HOUR, "target_soc": 0.8}
    await world.minutes(5, soc=0.5)
    world.says[world.names[0]] = {"boost": True}
    await world.minutes(5, soc=0.5)
    boosted_w, *others_w = [-charger.told_w for charger in world.chargers.values()]
    assert boosted_w == 7400
    assert 7000 < sum(others_w) <= 7600


async def test_a_zone_that_cannot_refill_under_its_nominated_peak_draws_the_least_that_will_do_and_says_so():
    """What six cars lack of their targets takes 6 x 12 / 0.92 kWh, in ten half-hours."""
    world = World([Charger() for _ in range(6)], 0.0, slots=0, prices=cheap_after_an_hour)
    world.now_rebound = Rebound(START - HALF_HOUR, import_kw=6.0)
    world.intent = {"depart_at": START + 5.25 * HOUR, "target_soc": 0.7}
    await world.minutes(30, soc=0.5)
    assert -world.energy_kwh() * 2 == pytest.approx(15.65, rel=0.03)
    (notice,) = world.notices("peak_exceeded")
    assert notice.where == ZONE
    assert notice.text.endswith("so that all drivers leave as promised; nominated were 6 kW at most")


async def test_restarts_after_an_event_are_spread_over_ten_minutes():
    world = World([Charger() for _ in range(12)], 0.0, slots=0, prices=cheap_until_twenty)
    world.now_rebound = Rebound(START, import_kw=1000.0)
    world.intent = {"depart_at": START + 9 * HOUR, "target_soc": 0.9}
    begun = []
    for _ in range(12):
        await world.minutes(1, soc=0.5)
        begun.append(sum(charger.told_w < 0 for charger in world.chargers.values()))
    assert begun == sorted(begun)
    assert len(set(begun)) >= 5
    assert begun[-1] == 12


async def test_cars_that_a_plan_starts_together_after_an_event_start_one_by_one():
    """All wait for the half-hour in which it is cheap, an hour after the event."""
    world = World([Charger() for _ in range(12)], 0.0, slots=0, prices=cheap_after_an_hour)
    world.now_rebound = Rebound(START, import_kw=1000.0)
    world.intent = {"depart_at": START + 12 * HOUR, "target_soc": 0.8}
    begun = []
    for _ in range(75):
        await world.minutes(1, soc=0.5)
        begun.append(sum(charger.told_w < 0 for charger in world.chargers.values()))
    assert begun[59] == 0
    assert max(after - before for before, after in itertools.pairwise(begun)) <= 4
    assert begun[-1] == 12
