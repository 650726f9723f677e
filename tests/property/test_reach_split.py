"""P11: what a window is said to reach, the dispatch's own split reaches from the base plan's energies."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.energy import BasePlan, ClassReach, Reach, Tariff, base_plan, fleet_window, reach
from aggregator.energy.capability import classes_kwh
from aggregator.model.market import Direction
from dispatch.split import Cars, Sites, Split, SplitCar, SplitProblem, SplitSite, split
from tests.property.energy_cases import SLOT_HOURS, Case
from tests.property.fleet_oracle import GUARD_SOC, a_long_case

ETA_CHARGE, ETA_DISCHARGE = 0.93, 0.9
MISSED_KWH = 1e-5

seeds = st.integers(0, 2**32 - 1)
sites = st.sampled_from(["alone", "alike", "shared"])


def a_case(seed: int, site: str, *, least_slots: int, most_slots: int) -> Case:
    """A fleet with prices that move energy before the window, and sites that may be short of import, too."""
    draw = np.random.default_rng(seed)
    case = a_long_case(seed, most_cars=8, least_slots=least_slots, most_slots=most_slots, sites=site)
    count, slots = case.cars.count, case.tariff.slots
    cars = replace(
        case.cars,
        eta_charge=np.full(count, ETA_CHARGE),
        eta_discharge=np.full(count, ETA_DISCHARGE),
        import_room_kw=draw.choice([6.0, 9.2, 18.4, 50.0], count),
    )
    tariff = Tariff(
        import_gbp_per_kwh=draw.choice([0.05, 0.2, 0.3], slots),
        export_gbp_per_kwh=draw.choice([0.0, 0.15, 0.5], slots),
        red=np.arange(slots) // 3 == 1,
        wear_gbp_per_kwh=0.02,
    )
    return Case(cars, case.stay, tariff)


def split_of(case: Case, plan: BasePlan, first: int, profile_kwh: np.ndarray, *, up: bool) -> Split:
    """The dispatch's split of a profile, from what the cars store when the window begins, or on arrival."""
    cars, stay, slots = case.cars, case.stay, len(profile_kwh)
    there = [
        SplitCar(
            id=str(car),
            site=str(cars.site[car]),
            capacity_kwh=float(cars.capacity_kwh[car]),
            floor_kwh=float(cars.floor_kwh[car]),
            max_kwh=float(cars.capacity_kwh[car]),
            energy_kwh=float(plan.energy_kwh[car, max(first, stay.arrive_slot[car])]),
            charge_kw=float(cars.charge_kw[car]),
            discharge_kw=float(cars.discharge_kw[car]),
            depart_slot=int(stay.depart_slot[car]) - first,
            target_kwh=float(min(stay.target_kwh[car], cars.capacity_kwh[car])),
            arrive_slot=max(0, int(stay.arrive_slot[car]) - first),
            guard_kwh=float(GUARD_SOC * cars.capacity_kwh[car]),
        )
        for car in range(cars.count)
        if max(first, stay.arrive_slot[car]) < min(first + slots, stay.depart_slot[car])
    ]
    rooms = {
        str(site): SplitSite(float(cars.export_room_kw[site]), float(cars.import_room_kw[site]))
        for site in set(cars.site.tolist())
    }
    sites = Sites.of(rooms, slots)
    request_kw = (profile_kwh if up else -profile_kwh) / SLOT_HOURS
    return split(
        SplitProblem(
            id="p11",
            slot_hours=(SLOT_HOURS,) * slots,
            eta_charge=ETA_CHARGE,
            eta_discharge=ETA_DISCHARGE,
            cars=Cars.of(there, sites),
            sites=sites,
            request_kw=tuple(request_kw),
            direction=Direction.UP if up else Direction.DOWN,
        )
    )


def check_split(case: Case, seed: int, *, up: bool, long: bool) -> None:
    """The split reaches a corner of what is said, and of more than that it misses all but what is said."""
    draw = np.random.default_rng(seed)
    plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    first = int(draw.integers(0, 3))
    slots = int(draw.integers(1, case.tariff.slots - first + 1))
    window = fleet_window(case.cars, case.stay, plan, first, slots, SLOT_HOURS)
    if not window.present.any():
        return
    fleet: Reach = reach([window], SLOT_HOURS, up=up)
    if long:
        fleet = ClassReach.of([classes_kwh(window, SLOT_HOURS, up=up)])
    turn = draw.permutation(slots)
    served = fleet.energy_kwh(turn[None] < np.arange(1, slots + 1)[:, None])[0]
    profile_kwh = np.diff(served, prepend=0.0)[turn]
    assert split_of(case, plan, first, profile_kwh, up=up).shortfall_kwh <= MISSED_KWH
    wanted_kwh = profile_kwh + draw.uniform(0.0, 4.0, slots) * draw.integers(0, 2, slots)
    missed_kwh = wanted_kwh.sum() - fleet.most_kwh(wanted_kwh)[0]
    assert split_of(case, plan, first, wanted_kwh, up=up).shortfall_kwh <= missed_kwh + MISSED_KWH


@given(seeds, sites, st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_a_table_says_is_split(seed: int, site: str, up: bool) -> None:
    check_split(a_case(seed, site, least_slots=6, most_slots=12), seed, up=up, long=False)


@given(seeds, sites, st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_said_of_a_long_window_is_split(seed: int, site: str, up: bool) -> None:
    check_split(a_case(seed, site, least_slots=15, most_slots=40), seed, up=up, long=True)


@pytest.mark.parametrize("least", ["floor", "target"])
def test_cars_that_overload_their_fuse_are_taken_to_draw_all_they_can(least: str) -> None:
    """Two cars of 7.4 kW behind 8 kW: who charges first is decided on the day, so neither is counted on."""
    case = a_case(1, "alone", least_slots=14, most_slots=14)
    cars, stay = case.cars, case.stay
    count = 2
    rows = np.zeros(count, dtype=np.int64)
    pair = replace(
        cars,
        **{
            name: getattr(cars, name)[rows]
            for name in ("capacity_kwh", "floor_kwh", "eta_charge", "eta_discharge", "discharge_kw")
        },
        charge_kw=np.full(count, 7.4),
        site=rows,
        export_room_kw=np.array([7.4]),
        import_room_kw=np.array([8.0]),
    )
    low = least == "floor"
    stays = replace(
        stay,
        arrive_slot=np.zeros(count, dtype=np.int64),
        depart_slot=np.array([3, 14]) if not low else np.array([14, 14]),
        energy_kwh=pair.floor_kwh + (-2.0 if low else 1.0),
        target_kwh=pair.floor_kwh + (np.zeros(count) if low else np.array([9.0, 40.0])),
    )
    tight = Case(pair, stays, case.tariff)
    plan = base_plan(pair, stays, case.tariff, SLOT_HOURS)
    window = fleet_window(pair, stays, plan, 0, 14, SLOT_HOURS)
    assert window.must_charge.all()
    assert window.must_kw == pytest.approx([7.4, 7.4])
    for first in range(14):
        chosen = np.arange(14) == first
        least_kwh = reach([window], SLOT_HOURS, up=True).energy_kwh(chosen[None])[0, 0]
        asked_kwh = np.where(chosen, least_kwh, -100.0)
        assert split_of(tight, plan, 0, asked_kwh, up=True).shortfall_kwh <= MISSED_KWH
