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


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1), slots=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_what_cars_do_now_decides_nothing_but_ties(kind, seed, slots):
    problem = a_large_fleet(seed, 24, slots, kind)
    present_kw = np.random.default_rng(seed).uniform(-7.0, 7.0, 24)
    plain, favoured = split(problem), split(problem, present_kw)
    assert favoured.delivered_kwh == pytest.approx(plain.delivered_kwh, abs=1e-6)
    assert favoured.short_of_target_kwh == pytest.approx(plain.short_of_target_kwh, abs=1e-6)
    if "least" not in kind:
        assert np.abs(favoured.export_kw).sum() == pytest.approx(np.abs(plain.export_kw).sum(), abs=1e-4)
    assert broken_promises(problem, favoured.export_kw) == broken_promises(problem, plain.export_kw)


def needless_kw(kind, seed, *, goes_on):
    """Return what cars of a zone whose request changes a little move each cycle beyond that, on average."""
    problem, draw = a_large_fleet(seed, 24, 3, kind), np.random.default_rng(seed)
    present_kw, needless = np.zeros(24), []
    for _ in range(20):
        request_kw = tuple(kw * draw.uniform(0.98, 1.02) for kw in problem.request_kw)
        asked = replace(problem, request_kw=request_kw)
        told_kw = split(asked, present_kw if goes_on else None).export_kw[:, 0]
        needless.append(np.abs(told_kw - present_kw).sum() - abs(told_kw.sum() - present_kw.sum()))
        present_kw = told_kw
    return np.mean(needless[1:])


def test_cars_do_not_take_turns_from_cycle_to_cycle_for_nothing():
    plain, steady = (
        sum(needless_kw("share least", seed, goes_on=goes_on) for seed in range(20))
        for goes_on in (False, True)
    )
    assert steady < plain / 2
