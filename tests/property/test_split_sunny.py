"""Down, homes that generate above their limit: their cars take it where they can, however large the fleet."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch import split_large
from dispatch.split import Thresholds, set_points, split
from dispatch.split_exact import split_exactly
from tests.property.split_fleets import a_large_fleet, broken_promises, served_share

KINDS = (
    "down load sunny",
    "down arrive load sunny",
    "down short-first load sunny",
    "must down load sunny",
    "down share load sunny",
    "must arrive down share load sunny uneven",
)


def over_kwh(problem, export_kw):
    """Return what homes export above their limits. [kWh]"""
    net = np.zeros((problem.sites.count, len(problem.request_kw)))
    np.add.at(net, problem.cars.site, export_kw)
    over = net - problem.export_room_kw()
    return float((np.maximum(0.0, over) @ np.asarray(problem.slot_hours)).sum())


def asking_little(problem, share):
    return replace(problem, request_kw=tuple(kw * share for kw in problem.request_kw))


@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from([0.001, 0.1, 1.0]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_large_fleets_keep_export_limits_as_the_program_does(kind, seed, share, programmed):
    problem = asking_little(a_large_fleet(seed, 240, 6, kind), share)
    best = split_exactly(problem)
    with pytest.MonkeyPatch.context() as patch:
        if not programmed:
            for most in ("MOST_BESIDE_SUN", "MOST_SHARING"):
                patch.setattr(split_large, most, 0)
        answer = split(problem)
    assert not broken_promises(problem, answer.export_kw)
    least_kwh, alone = over_kwh(problem, best.export_kw), not {"share", "must"} & set(kind.split())
    slack = 0.0 if programmed or alone else 0.03  # of what nobody can take
    assert over_kwh(problem, answer.export_kw) <= least_kwh * (1 + slack) + 1e-6
    worth = 0.999 if programmed or alone else 0.995
    assert served_share(problem, answer.delivered_kwh, best.delivered_kwh) >= worth


@given(st.integers(0, 10**6), st.lists(st.floats(-2, 8), min_size=12, max_size=12))
@settings(max_examples=20, deadline=None)
def test_whatever_the_thresholds_export_limits_are_kept(seed, numbers):
    problem = a_large_fleet(seed, 240, 6, "down load sunny")
    answer = set_points(problem, Thresholds(np.array(numbers[:6]), np.array(numbers[6:])))
    assert not broken_promises(problem, answer.export_kw)
    best = split_exactly(problem)
    assert over_kwh(problem, answer.export_kw) <= over_kwh(problem, best.export_kw) + 1e-6
