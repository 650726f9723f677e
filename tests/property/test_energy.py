"""The promises of the energy arithmetic, against LPs and formulas written down a second time."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aggregator.energy import (
    CarArrays,
    FleetWindow,
    Stay,
    base_plan,
    capability_kwh,
    emin_kwh,
    turn_down_kwh,
)
from tests.property.energy_cases import SLOT_HOURS, Case, Lp, cases, subsets, window_of

CLOSE = 1e-7
"""Energies summed over a stay, in kWh."""


def alone_kw(case: Case) -> tuple[np.ndarray, np.ndarray]:
    cars = case.cars
    return (
        np.minimum(cars.charge_kw, cars.import_room_kw[cars.site]),
        np.minimum(cars.discharge_kw, cars.export_room_kw[cars.site]),
    )


def due_kwh(case: Case) -> np.ndarray:
    """What must be stored on leaving, or at the horizon's end."""
    cars, stay = case.cars, case.stay
    hours = (stay.depart_slot - np.minimum(stay.depart_slot, case.tariff.slots)) * SLOT_HOURS
    return stay.target_kwh - cars.eta_charge * alone_kw(case)[0] * hours


def full_power_kwh(case: Case) -> np.ndarray:
    """What is stored at the end when a car charges at full power throughout."""
    hours = case.stay.plugged(0, case.tariff.slots).sum(axis=1) * SLOT_HOURS
    return case.stay.energy_kwh + case.cars.eta_charge * alone_kw(case)[0] * hours


@given(cases())
@settings(max_examples=300, deadline=None)
def test_no_plan_breaks_floor_capacity_presence_or_site_limits(case: Case) -> None:
    cars, stay = case.cars, case.stay
    plan = base_plan(cars, stay, case.tariff, SLOT_HOURS)
    plugged = stay.plugged(0, case.tariff.slots)
    assert np.all(plan.charge_kw >= 0.0)
    assert np.all(plan.discharge_kw >= 0.0)
    assert not np.any((plan.charge_kw > CLOSE) & (plan.discharge_kw > CLOSE))
    assert not plan.charge_kw[~plugged].any()
    assert not plan.discharge_kw[~plugged].any()
    assert np.all(plan.charge_kw <= cars.charge_kw[:, None] + CLOSE)
    assert np.all(plan.discharge_kw <= cars.discharge_kw[:, None] + CLOSE)
    assert np.all(plan.energy_kwh <= cars.capacity_kwh[:, None] + CLOSE)
    guarded_kwh = cars.floor_kwh + 0.02 * cars.capacity_kwh
    gives = plan.discharge_kw > CLOSE
    assert np.all(
        plan.energy_kwh[:, 1:][gives] >= np.repeat(guarded_kwh[:, None], plugged.shape[1], 1)[gives] - CLOSE
    )
    for site in range(len(cars.export_room_kw)):
        at_home = cars.site == site
        assert np.all(plan.charge_kw[at_home].sum(axis=0) <= cars.import_room_kw[site] + CLOSE)
        assert np.all(plan.discharge_kw[at_home].sum(axis=0) <= cars.export_room_kw[site] + CLOSE)
    change = plan.charge_kw * cars.eta_charge[:, None] - plan.discharge_kw / cars.eta_discharge[:, None]
    assert np.allclose(np.diff(plan.energy_kwh, axis=1), change * SLOT_HOURS, atol=CLOSE)


@given(cases(shared=False))
@settings(max_examples=300, deadline=None)
def test_who_can_reach_the_target_does_and_who_cannot_charges_at_full_power(case: Case) -> None:
    plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    due, full = due_kwh(case), full_power_kwh(case)
    charge_kw = alone_kw(case)[0]
    plugged = case.stay.plugged(0, case.tariff.slots)
    for car in np.flatnonzero(case.stay.present):
        if full[car] >= due[car]:
            assert plan.energy_kwh[car, -1] >= due[car] - CLOSE
            assert plan.short_of_target_kwh[car] <= CLOSE
        else:
            assert np.allclose(plan.charge_kw[car], plugged[car] * charge_kw[car])
            assert abs(plan.short_of_target_kwh[car] - (due[car] - full[car])) <= CLOSE


@given(cases(shared=False))
@settings(max_examples=300, deadline=None)
def test_a_car_below_its_floor_charges_at_full_power_until_there(case: Case) -> None:
    plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    charge_kw = alone_kw(case)[0]
    for car, slot in np.argwhere(case.stay.plugged(0, case.tariff.slots)):
        missing_kwh = case.cars.floor_kwh[car] - plan.energy_kwh[car, slot]
        if missing_kwh > CLOSE:
            least_kw = min(charge_kw[car], missing_kwh / case.cars.eta_charge[car] / SLOT_HOURS)
            assert plan.charge_kw[car, slot] >= least_kw - CLOSE
            assert plan.discharge_kw[car, slot] == 0.0


@given(cases(shared=False))
@settings(max_examples=300, deadline=None)
def test_red_slots_are_used_only_for_what_fits_nowhere_else(case: Case) -> None:
    plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    plugged = case.stay.plugged(0, case.tariff.slots)
    red_kwh = plan.charge_kw[:, case.tariff.red].sum(axis=1) * SLOT_HOURS
    room_kwh = (plugged & ~case.tariff.red).sum(axis=1) * alone_kw(case)[0] * SLOT_HOURS
    missing_kwh = np.maximum(0.0, due_kwh(case) - case.stay.energy_kwh) / case.cars.eta_charge
    allowed_kwh = np.maximum(0.0, missing_kwh - room_kwh)
    above_floor = case.stay.energy_kwh >= case.cars.floor_kwh
    assert np.all(red_kwh[above_floor] <= allowed_kwh[above_floor] + CLOSE)


def least_cost_gbp(case: Case, car: int) -> float | None:
    """The base plan's rules for one car above its guard, as an LP; red energy at GBP 10,000/kWh."""
    cars, stay, tariff = case.cars, case.stay, case.tariff
    charge_kw, discharge_kw = (kw[car] for kw in alone_kw(case))
    eta_c, eta_d = cars.eta_charge[car], cars.eta_discharge[car]
    lowest = cars.floor_kwh[car] + 0.02 * cars.capacity_kwh[car]
    due = max(due_kwh(case)[car], lowest)
    earned = tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh
    lp = Lp()
    energy = lp.var(stay.energy_kwh[car], stay.energy_kwh[car])
    for slot in range(tariff.slots):
        here = stay.plugged(slot, 1)[car, 0] * SLOT_HOURS
        price = tariff.import_gbp_per_kwh[slot]
        sells = not (earned[slot] * eta_d > price / eta_c and not tariff.red[slot])
        drawn = lp.var(0.0, charge_kw * here, price + 1e4 * tariff.red[slot])
        given_ = lp.var(0.0, discharge_kw * here * sells, -earned[slot])
        after = lp.var(lowest, cars.capacity_kwh[car])
        lp.row({after: 1.0, energy: -1.0, drawn: -eta_c, given_: 1.0 / eta_d}, 0.0, 0.0)
        energy = after
    bought_back = lp.var(0.0, max(0.0, valued_kwh(case, car) - due), -tariff.buy_back_gbp_per_kwh / eta_c)
    lp.row({energy: 1.0, bought_back: -1.0}, due)
    return lp.minimum()


def valued_kwh(case: Case, car: int) -> float:
    """Up to here energy at the end saves buying it later."""
    return max(case.stay.target_kwh[car], case.stay.energy_kwh[car])


def plan_cost_gbp(case: Case, car: int) -> float:
    tariff, cars = case.tariff, case.cars
    plan = base_plan(cars, case.stay, tariff, SLOT_HOURS)
    lowest = cars.floor_kwh[car] + 0.02 * cars.capacity_kwh[car]
    due = max(due_kwh(case)[car], lowest)
    paid = plan.charge_kw[car] @ (tariff.import_gbp_per_kwh + 1e4 * tariff.red)
    earned = plan.discharge_kw[car] @ (tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh)
    kept_kwh = max(0.0, min(plan.energy_kwh[car, -1], valued_kwh(case, car)) - due)
    return (paid - earned) * SLOT_HOURS - kept_kwh * tariff.buy_back_gbp_per_kwh / cars.eta_charge[car]


@given(cases(most_cars=2, shared=False, discharge=False))
@settings(max_examples=200, deadline=None)
def test_charging_costs_what_the_linear_programme_says(case: Case) -> None:
    check_cost(case)


@given(cases(most_cars=2, shared=False))
@settings(max_examples=300, deadline=None)
def test_charging_and_discharging_cost_what_the_linear_programme_says(case: Case) -> None:
    check_cost(case)


def check_cost(case: Case) -> None:
    guarded = case.stay.energy_kwh >= case.cars.floor_kwh + 0.02 * case.cars.capacity_kwh
    in_time = full_power_kwh(case) >= due_kwh(case)
    checked = np.flatnonzero(case.stay.present & guarded & in_time)
    assume(checked.size > 0)
    for car in checked:
        least = least_cost_gbp(case, car)
        assert least is not None
        assert plan_cost_gbp(case, car) <= least + 1e-6 + 1e-9 * abs(least)


@given(cases(flat=True, shared=False))
@settings(max_examples=100, deadline=None)
def test_a_car_s_plan_does_not_depend_on_the_others(case: Case) -> None:
    together = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    cars, stay = case.cars, case.stay
    names = ("capacity_kwh", "floor_kwh", "charge_kw", "discharge_kw", "eta_charge", "eta_discharge", "site")
    for car in range(cars.count):
        row = slice(car, car + 1)
        one = CarArrays(
            *(getattr(cars, name)[row] for name in names), cars.export_room_kw, cars.import_room_kw
        )
        alone = Stay(*(getattr(stay, name)[row] for name in Stay.__slots__))
        plan = base_plan(one, alone, case.tariff, SLOT_HOURS)
        assert np.array_equal(plan.charge_kw[0], together.charge_kw[car])
        assert np.array_equal(plan.discharge_kw[0], together.discharge_kw[car])


def formula_kwh(window: FleetWindow) -> np.ndarray:
    """h(S) as the contract writes it, car by car and set by set."""
    sets = subsets(window.slots)
    by_site: dict[int, np.ndarray] = {}
    for car in range(len(window.site)):
        plugged = set(np.flatnonzero(window.plugged[car]))
        own = np.zeros(len(sets))
        for number, chosen in enumerate(sets):
            inside = plugged & set(chosen)
            if not window.must_charge[car]:
                power_kwh = window.discharge_kw[car] * SLOT_HOURS * len(inside)
                own[number] = min(window.exportable_kwh[car], power_kwh)
                continue
            outside = sorted(plugged - set(chosen))
            left_kwh = window.rest_kwh[car] - window.rest_room_kwh[car, outside].sum()
            own[number] = -window.fix_kwh[car, chosen].sum() - max(0.0, left_kwh)
        site = int(window.site[car])
        by_site[site] = by_site.get(site, 0.0) + own
    total = np.zeros(len(sets))
    for site, own in by_site.items():
        room_kwh = window.export_room_kw[site] * SLOT_HOURS
        for number in range(len(sets)):
            parts = [part for part in range(len(sets)) if part & ~number == 0]
            total[number] += min(own[part] + room_kwh * (number & ~part).bit_count() for part in parts)
    return total


@given(cases(most_cars=6), st.integers(0, 6))
@settings(max_examples=200, deadline=None)
def test_the_table_is_the_formula(case: Case, first: int) -> None:
    first = min(first, case.tariff.slots - 1)
    window = window_of(case, first, min(6, case.tariff.slots - first))
    assert np.allclose(capability_kwh(window, SLOT_HOURS), formula_kwh(window), rtol=0.0, atol=1e-9)


@given(cases(most_cars=6), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_the_down_table_is_the_formula(case: Case, first: int) -> None:
    first = min(first, case.tariff.slots - 1)
    window = window_of(case, first, min(5, case.tariff.slots - first))
    sets = subsets(window.slots)
    expected = np.zeros(len(sets))
    for site in range(len(window.import_room_kw)):
        own = np.zeros(len(sets))
        for car in np.flatnonzero(window.site == site):
            hours = [SLOT_HOURS * window.plugged[car, chosen].sum() for chosen in sets]
            own += np.minimum(window.fillable_kwh[car], case.cars.charge_kw[car] * np.array(hours))
        room_kwh = window.import_room_kw[site] * SLOT_HOURS
        for number in range(len(sets)):
            parts = [part for part in range(len(sets)) if part & ~number == 0]
            expected[number] += min(own[part] + room_kwh * (number & ~part).bit_count() for part in parts)
    assert np.allclose(turn_down_kwh(window, SLOT_HOURS), expected, rtol=0.0, atol=1e-9)


def split_lp(window: FleetWindow) -> tuple[Lp, list[dict[int, float]]]:
    """All splits that keep every car and site rule, and the net export of each slot. [kWh AC]"""
    lp = Lp()
    net: list[dict[int, float]] = [{} for _ in range(window.slots)]
    at_site: dict[tuple[int, int], dict[int, float]] = {}
    for car in range(len(window.site)):
        must = window.must_charge[car]
        moved = []
        for slot in range(window.slots):
            most = window.discharge_kw[car] * SLOT_HOURS * window.plugged[car, slot]
            fixed = window.fix_kwh[car, slot]
            low, high = (fixed, fixed + window.rest_room_kwh[car, slot]) if must else (0.0, most)
            var = lp.var(low, high)
            net[slot][var] = -1.0 if must else 1.0
            at_site.setdefault((int(window.site[car]), slot), {})[var] = net[slot][var]
            moved.append(var)
        taken = window.fix_kwh[car].sum() + window.rest_kwh[car]
        lp.row(
            dict.fromkeys(moved, 1.0), taken if must else 0.0, taken if must else window.exportable_kwh[car]
        )
    for (site, _), terms in at_site.items():
        lp.row(terms, high=window.export_room_kw[site] * SLOT_HOURS)
    return lp, net


@given(cases(most_cars=5), st.integers(0, 4), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_what_the_table_allows_can_be_split_and_no_set_can_give_more(
    case: Case, first: int, random: object
) -> None:
    first = min(first, case.tariff.slots - 1)
    window = window_of(case, first, min(5, case.tariff.slots - first))
    table = capability_kwh(window, SLOT_HOURS)
    order = list(range(window.slots))
    random.shuffle(order)  # type: ignore[attr-defined]
    profile_kwh, chosen = np.zeros(window.slots), 0
    for slot in order:
        profile_kwh[slot] = table[chosen | 1 << slot] - table[chosen]
        chosen |= 1 << slot
    sums = np.array([profile_kwh[slots].sum() for slots in subsets(window.slots)])
    assert np.all(sums <= table + 1e-9), "the greedy corner of the table lies within it"
    lp, net = split_lp(window)
    for slot in range(window.slots):
        lp.row(net[slot], low=profile_kwh[slot] - 1e-7)
    assert lp.minimum() is not None

    best, net = split_lp(window)
    slots = [slot for slot in range(window.slots) if chosen >> slot & 1][: 1 + window.slots // 2]
    for slot in slots:
        for var, sign in net[slot].items():
            best.cost[var] = -sign
    most = best.minimum()
    assert most is not None
    assert abs(-most - table[sum(1 << slot for slot in slots)]) <= 1e-6


@given(cases(most_cars=4, shared=False))
@settings(max_examples=100, deadline=None)
def test_what_a_window_may_export_leaves_the_target_within_reach(case: Case) -> None:
    window = window_of(case)
    left_kwh = window.stored_kwh - window.exportable_kwh / case.cars.eta_discharge
    gives = window.exportable_kwh > 0.0
    hours = (case.stay.depart_slot - np.minimum(case.stay.depart_slot, case.tariff.slots)) * SLOT_HOURS
    least = emin_kwh(
        case.cars.floor_kwh, case.stay.target_kwh, alone_kw(case)[0], case.cars.eta_charge, hours
    )
    assert np.all(left_kwh[gives] >= least[gives] - CLOSE)
