"""Homes whose fuse can't carry all their cars: what they can reach, they reach (P2, P4)."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.haste import Haste, shares_kw
from tests.crowded_night import CrowdedNight, some_homes

HOMES = some_homes(6, seed=4)
LATE_KWH = 0.4
"""What three minutes bring: a driver is heard at the first report, and the loop turns once a minute."""


async def test_cars_behind_one_fuse_that_can_just_reach_their_targets_do():
    night = await CrowdedNight(HOMES, ease=1.0).play()
    missing = night.missing_kwh()
    assert len(missing) == len(night.fleet.cars)
    assert max(missing.values()) <= LATE_KWH
    assert night.over_kw <= 1e-6


async def test_cars_behind_one_fuse_are_ready_after_an_hour_of_giving():
    """With a fifth of ease they may give, but no more than their parts of the fuse bring back in time."""
    night = await CrowdedNight(HOMES, ease=0.8, ordered_kw=25.0).play()
    assert night.floor_margins()
    assert min(night.floor_margins()) >= 0.0
    assert max(night.missing_kwh().values()) <= 0.1
    assert night.over_kw <= 1e-6


some_cars = st.lists(
    st.builds(Haste, st.floats(-3.0, 12.0), st.floats(0.0, 7.4), st.sampled_from([0.0, 1.4])),
    min_size=1,
    max_size=5,
)


@given(some_cars, st.floats(0.0, 20.0))
@settings(max_examples=200, deadline=None)
def test_shares_fill_the_room_and_who_can_wait_least_has_the_larger_part(cars, room_kw):
    shares = shares_kw(cars, room_kw)
    takes_kw = np.array([one.takes_kw for one in cars])
    assert sum(shares) <= room_kw + 1e-9
    assert (np.array(shares) <= takes_kw + 1e-9).all()
    for share, one in zip(shares, cars, strict=True):
        assert share == 0.0 or share >= min(one.min_kw, one.takes_kw) - 1e-9
    if not any(one.min_kw for one in cars):
        assert sum(shares) == pytest.approx(min(room_kw, takes_kw.sum()), abs=1e-6)
        order = np.argsort([one.slack_h for one in cars])
        parts = [shares[n] / takes_kw[n] for n in order if takes_kw[n] > 1e-6]
        assert all(first >= later - 1e-6 for first, later in itertools.pairwise(parts))
