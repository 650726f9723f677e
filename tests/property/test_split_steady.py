"""A split that lets the cars of a home go on as they do is as good as the one it is made from."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.split import split
from dispatch.split_steady import steadied
from tests.property.split_fleets import a_large_fleet, broken_promises

KINDS = (
    "share",
    "must share load",
    "arrive share load least",
    "down share load",
    "must arrive down share load",
)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1), slots=st.integers(1, 6), per_home=st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_homes_move_as_much_in_every_slot_and_every_rule_is_kept(kind, seed, slots, per_home):
    problem = a_large_fleet(seed, 24, slots, kind, per_home=per_home)
    before = split(problem).export_kw
    draw, cars = np.random.default_rng(seed), problem.cars
    present_kw = draw.choice([0.0, 0.5, 1.0], 24) * np.where(
        problem.way > 0, cars.discharge_kw, -cars.charge_kw
    )
    after = steadied(problem, before, present_kw)
    homes = np.zeros((2, problem.sites.count, slots))
    np.add.at(homes[0], cars.site, before)
    np.add.at(homes[1], cars.site, after)
    np.testing.assert_allclose(homes[1], homes[0], atol=1e-6)
    assert broken_promises(replace(problem, cars=replace(cars, min_kw=np.zeros(24))), after) == {}
    least = (np.abs(after[:, 0]) > 1e-6) & (np.abs(after[:, 0]) < cars.min_kw - 1e-6)
    assert not (least & (after[:, 0] > 0)).any()
    turned = np.abs(after[:, 0] - present_kw).sum() - np.abs(before[:, 0] - present_kw).sum()
    assert turned <= 1e-6
