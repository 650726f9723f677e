"""Bids of tiny problems against the best of all bids there are: ticks, minimum, hold-back, two needs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.bidding import Bids, Cvar, Tier
from aggregator.bidding.value import worth_gbp
from aggregator.energy import TableReach
from aggregator.model.market import BidShape
from aggregator.solver import SolverChoice, find_glpsol
from tests.property.bid_brute_force import best_margin_gbp, margin_gbp
from tests.property.bid_fleets import Fleet, a_fleet, a_line, a_problem, proposed

FEW = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10**6)
shapes = st.sampled_from(list(BidShape))
PENNIES = 1e-9


def share_of_best(problem, fleet: Fleet) -> float:
    bid = proposed(problem)
    bid_kw = np.array([offer.offered_kw for offer in bid.offers])
    held_kw = np.array([offer.held_kw for offer in bid.offers])
    mine = margin_gbp(problem, fleet.table, bid_kw, held_kw)
    best = best_margin_gbp(problem, fleet.table)
    assert mine > -np.inf, "the CVaR limit is broken"
    return 1.0 if best <= PENNIES else mine / best


@FEW
@given(seeds, shapes, st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([0.0, 3.0, 6.0]), st.booleans())
def test_blocks_and_minima(seed, shape, tick_kw, min_kw, limited):
    fleet = a_fleet(seed, cars=3, slots=3, scenarios=3)
    line = a_line(3, bid_shape=shape, tick_kw=tick_kw, min_kw=min_kw, needed_kw=np.array([9.0, 12.0, 6.0]))
    cvar = Cvar(0.6, 0.1) if limited else None
    assert share_of_best(a_problem(fleet, line, cvar=cvar), fleet) >= 0.99


@pytest.mark.parametrize("seed", [*range(20), 323, 767, 1000, 1001])
def test_hold_back_is_as_good_as_the_best_of_all(seed):
    """On 323 and 767 the best bid is one that no single step from the programme's leads to."""
    draw = np.random.default_rng([17, seed])
    fleet = a_fleet(seed, cars=3, slots=3, scenarios=3)
    base_kw = np.round(draw.uniform(0.0, 8.0, 3) * draw.integers(0, 2, 3), 1)
    line = a_line(
        3,
        bid_shape=list(BidShape)[seed % 2],
        hold_back=True,
        tick_kw=1.0,
        bid_slots=np.array([False, True, True]),
        needed_kw=np.array([0.0, 8.0, 12.0]),
        utilisation_gbp_per_mwh=draw.uniform(20.0, 500.0),
    )
    spread = np.full(3, draw.uniform(0.0, 200.0))
    cvar = Cvar(0.6, 0.1) if seed % 3 == 0 else None
    problem = a_problem(fleet, line, base_kw=base_kw, spread_gbp_per_mwh=spread, cvar=cvar)
    assert share_of_best(problem, fleet) >= 0.99


@FEW
@given(seeds, shapes, shapes, st.floats(50.0, 500.0), st.sampled_from([0.0, 4.0]))
def test_two_needs_that_overlap(seed, first, second, price, min_kw):
    fleet = a_fleet(seed, cars=4, slots=3, scenarios=2)
    early = a_line(
        3, name="early", bid_shape=first, tick_kw=2.0, min_kw=min_kw,
        bid_slots=np.array([True, True, False]), needed_kw=np.array([8.0, 8.0, 0.0]),
    )  # fmt: skip
    late = a_line(
        3, name="late", bid_shape=second, tick_kw=2.0, utilisation_gbp_per_mwh=price,
        bid_slots=np.array([False, True, True]), needed_kw=np.array([0.0, 6.0, 12.0]),
    )  # fmt: skip
    problem = a_problem(fleet, early, late)
    bid = proposed(problem)
    both = np.array([offer.offered_kw > 0.0 for offer in bid.offers]).sum(axis=0)
    assert both.max() <= 1
    assert share_of_best(problem, fleet) >= 0.99


@FEW
@given(seeds, st.sampled_from([0.7, 0.9]))
def test_the_factor(seed, factor):
    fleet = a_fleet(seed, cars=3, slots=2, scenarios=3)
    line = a_line(2, tick_kw=1.0, factor=factor, needed_kw=np.array([9.0, 12.0]))
    assert share_of_best(a_problem(fleet, line), fleet) >= 0.99


@settings(max_examples=6, deadline=None)
@given(seeds, shapes, st.floats(0.0, 150.0), st.booleans())
def test_both_solvers_earn_the_same_to_a_ten_thousandth(seed, shape, spread, limited):
    fleet = a_fleet(seed, cars=5, slots=4, scenarios=4)
    base_kw = np.random.default_rng(seed).uniform(0.0, 5.0, 4)
    changes = {"bid_shape": shape, "tick_kw": 1e-4, "hold_back": True, "base_kw": base_kw}
    changes |= {"spread_gbp_per_mwh": np.full(4, spread), "cvar": Cvar() if limited else None}
    margins = [
        proposed(a_problem(fleet, solver=SolverChoice(name), **changes)).expected_margin_gbp
        for name in ("glpk", "highs")
    ]
    assert margins[0] == pytest.approx(margins[1], rel=1e-4, abs=1e-7)


def test_what_the_clock_cut_short_is_not_used_and_is_told(tmp_path):
    """A glpsol that gives up on integers at once: the bid is the one found without them, each time."""
    hurried = tmp_path / "glpsol"
    hurried.write_text(
        '#!/bin/sh\nlate=\nfor one in "$@"; do case $one in *.lp)\n'
        'grep -qi "^ *\\(general\\|binary\\)" "$one" && late="--tmlim 0";; esac; done\n'
        f'exec "{find_glpsol()}" "$@" $late\n'
    )
    hurried.chmod(0o755)
    found = {}
    for name, path in (("whole", None), ("hurried", hurried), ("again", hurried)):
        fleet = a_fleet(3, cars=3, slots=3, scenarios=3)
        line = a_line(3, tick_kw=3.0, min_kw=6.0, needed_kw=np.array([9.0, 12.0, 6.0]))
        solver = SolverChoice("glpk", glpsol=path)
        found[name] = proposed(a_problem(fleet, line, solver=solver, cvar=Cvar(0.6, 0.1)))
    assert (found["whole"].cut_short, found["hurried"].cut_short) == (False, True)
    assert (found["hurried"].offered_kw == found["again"].offered_kw).all()
    assert found["hurried"].expected_margin_gbp <= found["whole"].expected_margin_gbp + PENNIES


@FEW
@given(seeds, st.booleans(), st.booleans())
def test_many_bids_are_worth_together_what_each_is_alone(seed, limited, tiered):
    fleet, draw = a_fleet(seed, cars=4, slots=3, scenarios=3), np.random.default_rng(seed)
    base_kw = draw.uniform(0.0, 5.0, 3)
    tiers = (Tier(TableReach(0.5 * fleet.table), 40.0),) if tiered else ()
    cvar = Cvar(0.6, 0.3) if limited else None
    problem = a_problem(fleet, a_line(3, hold_back=True), base_kw=base_kw, cvar=cvar, tiers=tiers)
    bids = [Bids(draw.integers(0, 9, (1, 3)), draw.uniform(0.0, 1.0, (1, 3)) * base_kw) for _ in range(5)]
    bids.append(Bids.nothing(problem))
    alone = [float(worth_gbp(problem, one)) for one in bids]
    assert worth_gbp(problem, Bids.together(bids)) == pytest.approx(alone)
