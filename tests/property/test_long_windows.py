"""Bids over windows of more than 12 half-hours, against the same fleets as tables where there is one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.bidding import Cvar
from aggregator.energy import CarArrays, Stay, Tariff, base_plan, expected_nomination, fleet_window, reach
from aggregator.model.market import BidShape, Direction
from aggregator.model.time import HALF_HOUR, Interval
from tests.builders import NOON
from tests.property.bid_fleets import HOURS, Fleet, a_line, a_problem, proposed


def a_long_problem(seed: int, slots: int, shape: BidShape, *, up: bool = True, cars: int = 12):
    """Return a problem on cars with base plans, and what they can do."""
    draw = np.random.default_rng(seed)
    arrays = CarArrays(
        capacity_kwh=np.full(cars, 60.0),
        floor_kwh=np.full(cars, 18.0),
        charge_kw=np.full(cars, 7.4),
        discharge_kw=np.full(cars, 6.0),
        eta_charge=np.full(cars, 0.92),
        eta_discharge=np.full(cars, 0.91),
        site=np.arange(cars),
        export_room_kw=np.full(cars, 7.36),
        import_room_kw=np.full(cars, 18.4),
    )
    tariff = Tariff(np.full(48, 0.3), np.full(48, 0.1), np.zeros(48, dtype=bool), wear_gbp_per_kwh=0.02)
    stays = [
        Stay(
            draw.integers(0, 12, cars),
            draw.integers(slots, 60, cars),
            draw.uniform(20.0, 58.0, cars),
            draw.uniform(20.0, 45.0, cars),
        )
        for _ in range(3)
    ]
    plans = [base_plan(arrays, stay, tariff, HOURS) for stay in stays]
    windows = [
        fleet_window(arrays, stay, plan, 0, slots, HOURS) for stay, plan in zip(stays, plans, strict=True)
    ]
    able = reach(windows, HOURS, up=up)
    base_kw, charge_kw = expected_nomination(plans, None, 0, slots)
    wanted = (np.arange(slots) >= 2) & (np.arange(slots) < slots - 1)
    line = a_line(
        slots,
        bid_shape=shape,
        bid_slots=wanted,
        needed_kw=np.where(wanted, 40.0, 0.0),
        tick_kw=0.5,
        min_kw=1.0,
    )
    fleet = Fleet(np.zeros((3, cars)), np.full(cars, 6.0), np.zeros((3, cars, 1), dtype=bool))
    return a_problem(
        fleet,
        line,
        slots=Interval(NOON, NOON + slots * HALF_HOUR).slots(HALF_HOUR),
        direction=Direction.UP if up else Direction.DOWN,
        base_kw=base_kw,
        charge_kw=charge_kw,
        committed_kw=np.zeros(slots),
        spread_gbp_per_mwh=np.full(slots, 20.0),
        reach=able,
        cvar=Cvar(),
    )


@given(st.integers(0, 10**6), st.sampled_from([13, 20, 32]), st.sampled_from(BidShape), st.booleans())
@settings(max_examples=8, deadline=None)
def test_every_drawn_day_can_give_the_bid_less_its_own_shortfall(seed, slots, shape, up):
    problem = a_long_problem(seed, slots, shape, up=up)
    bid = proposed(problem)
    standing = problem.standing_kw(problem.base_kw - bid.kept_kw)
    before = problem.reach.most_kwh(HOURS * standing)
    called = problem.reach.most_kwh(HOURS * (standing + bid.offered_kw))
    promised = HOURS * (bid.offered_kw.sum() - bid.unmet_kw[:, 0])
    assert called - before == pytest.approx(promised, abs=1e-3)
    assert bid.run.gap <= 0.1 or bid.is_zero


def test_a_window_of_48_half_hours_is_bid_on_in_seconds():
    problem = a_long_problem(3, 48, BidShape.PER_SLOT)
    assert proposed(problem).offered_kw.max() > 0.0
