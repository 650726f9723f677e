"""What the record of past bids does to the next one."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from aggregator.model.market import BidShape
from aggregator.risk import (
    AIMED_MISS,
    ENOUGH,
    FIRST_FEAR,
    HELD_PARTS,
    STEP,
    Caution,
    best_level,
    caution_after,
)
from tests.property.bid_brute_force import margin_gbp
from tests.property.bid_fleets import (
    HOURS,
    Fleet,
    a_fleet,
    a_line,
    a_problem,
    proposed,
    split_shortfall_kwh,
)


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_more_delivered_never_makes_a_miss_dearer(ratios):
    fear = caution_after((ratio, 1.0) for ratio in ratios).fear
    assert fear >= 0.0
    assert caution_after((max(ratio, ENOUGH), 1.0) for ratio in ratios).fear <= fear


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400), st.floats(1.0, 8.0))
def test_misses_stay_near_what_is_aimed_for_however_the_days_fall(draws, enough_fear):
    """A day misses its bid, by the worst of luck, unless a miss is so dear that nothing is risked."""
    record = []
    for draw in draws:
        risked = caution_after(record).fear < enough_fear
        record.append((0.0 if risked and draw < 0.9 else 1.0, 1.0))
    misses = sum(ratio < ENOUGH for ratio, _ in record)
    assert misses <= AIMED_MISS * len(record) + (enough_fear - FIRST_FEAR) / STEP + 1.0 + 1e-9


def test_the_first_bid_one_kept_and_one_missed():
    assert caution_after([]).fear == FIRST_FEAR
    assert caution_after([(0.95, 20.0)]).fear == FIRST_FEAR - AIMED_MISS * STEP
    assert caution_after([(0.949, 20.0)]).fear == FIRST_FEAR + (1 - AIMED_MISS) * STEP
    assert caution_after([(1.0, 20.0)] * 100).fear == 0.0


def test_without_a_record_only_what_nine_days_in_ten_keep_is_bid_beside_base_discharge():
    fleet = Fleet(np.array([[9.0], [0.0]]), np.array([7.4]), np.ones((2, 1, 1), dtype=bool))
    line = a_line(1, tick_kw=1.0, needed_kw=np.array([3.0]), penalty_gbp_per_mwh=0.0, hold_back=True)
    problem = a_problem(fleet, line, base_kw=np.array([0.1]))
    assert best_level(replace(problem, base_kw=np.zeros(1)), Caution(0.0)).most_kw == 3.0
    assert [best_level(problem, Caution(0.0, (1.0,) * n)).most_kw for n in range(6)] == [0, 0, 0, 0, 3, 3]


def test_a_miss_costs_so_many_margins_between_its_own_and_the_average():
    caution = caution_after([(0.9, 30.0), (1.0, 10.0)])
    assert caution.miss_gbp(20.0) == approx(caution.fear * 20.0)
    assert caution.miss_gbp(80.0) == approx(caution.fear * (80.0 * 40.0) ** 0.5)


def a_torn_problem(seed, price, spread, *, slots=3, needed_kw=9.0):
    """A flat need beside base discharge that not every drawn day can give."""
    draw = np.random.default_rng(seed)
    fleet = a_fleet(seed, cars=5, slots=slots, scenarios=5)
    expected_kw = fleet.table[:, -1].mean() / (HOURS * slots)
    line = a_line(
        slots,
        bid_shape=BidShape.FLAT,
        hold_back=True,
        tick_kw=1.0,
        needed_kw=np.full(slots, needed_kw),
        utilisation_gbp_per_mwh=price,
    )
    base_kw = np.round(draw.uniform(0.3, 1.0) * np.full(slots, expected_kw), 1)
    return fleet, a_problem(fleet, line, base_kw=base_kw, spread_gbp_per_mwh=np.full(slots, spread))


cautions = st.builds(
    Caution, st.sampled_from([0.0, 0.5, 3.0]), st.lists(st.floats(0.01, 2.0), max_size=3).map(tuple)
)
torn = st.tuples(st.integers(0, 10**6), st.sampled_from([37.0, 200.0, 459.0]), st.floats(0.0, 150.0))


@given(torn, cautions)
@settings(max_examples=20, deadline=None)
def test_a_level_and_its_hold_back_are_the_best_there_are(drawn, caution):
    fleet, problem = a_torn_problem(*drawn)
    level = best_level(problem, caution)
    tried = [
        (kw, part, *weighed(fleet, problem, kw, part))
        for kw in np.arange(1.0, problem.lines[0].needed_kw.max() + 0.5)
        for part in HELD_PARTS
    ]
    hope_gbp = max(0.0, *(margin for _, _, margin, _ in tried))
    assert level.hope_gbp == approx(hope_gbp, abs=1e-9)
    price_gbp = caution.miss_gbp(hope_gbp) if hope_gbp else 0.0
    most_miss = caution.most_miss if problem.base_kw.any() else 1.0
    may = [(margin, miss) for _, _, margin, miss in tried if miss <= most_miss]
    best = max([0.0, *(margin - price_gbp * miss for margin, miss in may)])
    if level.most_kw == 0.0:
        assert best <= 1e-9
        return
    margin, miss = weighed(fleet, problem, level.most_kw, level.held)
    assert miss == approx(level.miss)
    assert miss <= 0.1 * (len(caution.hopes_gbp) + 1) + 1e-6 or not problem.base_kw.any()
    assert margin - price_gbp * miss == approx(best, abs=1e-9)


def weighed(fleet, problem, kw, part):
    """Return the expected margin of a level, and on which share of the days cars miss it, by a split."""
    bid_kw, held_kw = np.full_like(problem.base_kw, kw), part * problem.base_kw
    kept_kw = problem.base_kw - held_kw
    short_kwh = [
        split_shortfall_kwh(fleet, w, kept_kw + bid_kw) - split_shortfall_kwh(fleet, w, kept_kw)
        for w in range(len(problem.probability))
    ]
    miss = np.mean(np.array(short_kwh) > (1 - ENOUGH) * HOURS * bid_kw.sum() + 1e-7)
    return margin_gbp(problem, fleet.table, bid_kw[None], held_kw[None]), miss


@given(torn, cautions, st.sampled_from(BidShape))
@settings(max_examples=20, deadline=None)
def test_what_is_bid_by_a_level_holds_back_as_much_and_is_missed_on_no_more_days(drawn, caution, shape):
    fleet, problem = a_torn_problem(*drawn)
    problem = replace(problem, lines=(replace(problem.lines[0], bid_shape=shape),))
    level = best_level(problem, caution)
    bid = proposed(replace(problem, lines=(level.within(problem.lines[0]),)))
    (offer,) = bid.offers
    if offer.is_zero:
        return
    assert (offer.offered_kw <= level.most_kw + 1e-9).all()
    assert (offer.held_kw >= level.held * problem.base_kw - 1e-6).all()
    assert (offer.held_kw <= problem.base_kw + 1e-6).all()
    missed = 0
    for scenario in range(len(problem.probability)):
        before = split_shortfall_kwh(fleet, scenario, bid.kept_kw)
        short_kwh = split_shortfall_kwh(fleet, scenario, bid.kept_kw + offer.offered_kw) - before
        missed += short_kwh > (1 - ENOUGH) * HOURS * offer.offered_kw.sum() + 1e-5
    assert missed / len(problem.probability) <= level.miss + 1e-9
    assert offer.missed == approx(missed / len(problem.probability))


def test_one_car_that_comes_on_one_day_in_two_by_hand():
    # One car of 3.6 kW and 1.8 kWh in each of two half-hours' days; on one of two days it is not there.
    # Base discharge is 1.8 kW, its mean. Held back all of it, a bid of 3 kW is missed on one day in two;
    # nothing held back, the car that comes has 3.6 - 1.8 = 1.8 kW left: 1 kW is missed on that day alone.
    fleet = Fleet(np.array([[1.8], [0.0]]), np.array([3.6]), np.ones((2, 1, 1), dtype=bool))
    line = a_line(1, hold_back=True, tick_kw=1.0, needed_kw=np.array([3.0]), bid_shape=BidShape.FLAT)
    spread = np.array([100.0])
    problem = a_problem(fleet, line, base_kw=np.array([1.8]), spread_gbp_per_mwh=spread)
    level = best_level(problem, Caution(fear=0.0, hopes_gbp=(1.0,) * 4))
    # 3 kW, all held: 0.8 x (310 + 100) x 3 - 0.8 x 800 x 3/2 - 1.8 x 180.
    # 1 kW, none held: 0.8 x 410 - 0.8 x 800/2.
    held_gbp = (0.8 * 410 * 3 - 0.8 * 800 * 1.5 - 1.8 * 180) * HOURS / 1000
    free_gbp = (0.8 * 410 * 1 - 0.8 * 800 * 0.5) * HOURS / 1000
    assert held_gbp < 0.0 < free_gbp
    assert (level.most_kw, level.held, level.miss) == (1.0, 0.0, 0.5)
    assert level.hope_gbp == approx(free_gbp)
