"""P13: what is nominated is what runs when nothing is called, and no tie makes turn-down."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.energy import BasePlan, base_plan, guard_kwh
from tests.property.energy_cases import SLOT_HOURS, Case, cases

CLOSE = 1e-6
"""Energies summed over a stay, in kWh."""


@st.composite
def windows(draw: st.DrawFn, slots: int) -> np.ndarray:
    """Draw the slots of one bid window."""
    first = draw(st.integers(0, slots - 1))
    bid = np.zeros(slots, dtype=bool)
    bid[first : first + draw(st.integers(1, 8))] = True
    return bid


def flat(case: Case) -> Case:
    """The case with one price for all imports, and a lower one for all exports."""
    same = np.full(case.tariff.slots, 0.15)
    return replace(case, tariff=replace(case.tariff, export_gbp_per_kwh=same, surplus_gbp_per_kwh=None))


@given(cases(shared=False, flat=True), st.data())
@settings(max_examples=300, deadline=None)
def test_a_flat_tariff_puts_into_red_and_bid_windows_only_what_fits_nowhere_else(
    case: Case, data: st.DataObject
) -> None:
    case = flat(case)
    bid = data.draw(windows(case.tariff.slots))
    tariff = replace(case.tariff, bid=bid)
    cars, stay = case.cars, case.stay
    plan = base_plan(cars, stay, tariff, SLOT_HOURS)
    avoided = bid | tariff.red
    plugged = stay.plugged(0, tariff.slots)
    charge_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    hours_left = (stay.depart_slot - np.minimum(stay.depart_slot, tariff.slots)) * SLOT_HOURS
    due_kwh = stay.target_kwh - cars.eta_charge * charge_kw * hours_left
    missing_kwh = np.maximum(0.0, due_kwh - stay.energy_kwh) / cars.eta_charge
    room_kwh = (plugged & ~avoided).sum(axis=1) * charge_kw * SLOT_HOURS
    above_floor = stay.energy_kwh >= cars.floor_kwh
    drawn_kwh = plan.charge_kw[:, avoided].sum(axis=1) * SLOT_HOURS
    if not avoided.all():
        allowed_kwh = np.maximum(0.0, missing_kwh - room_kwh)
        assert np.all(drawn_kwh[above_floor] <= allowed_kwh[above_floor] + CLOSE)
    assert not plan.discharge_kw.any()


def cost_gbp(case: Case, plan: BasePlan) -> np.ndarray:
    """What each car's plan costs, less what its energy at the end saves later; red at GBP 10,000/kWh."""
    tariff = case.tariff
    paid = plan.charge_kw @ (tariff.import_gbp_per_kwh + 1e4 * tariff.red) * SLOT_HOURS
    earned = plan.discharge_kw @ (tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh) * SLOT_HOURS
    useful_kwh = np.minimum(plan.energy_kwh[:, -1], np.maximum(case.stay.energy_kwh, case.stay.target_kwh))
    return paid - earned - useful_kwh * tariff.buy_back_gbp_per_kwh / case.cars.eta_charge


@given(cases(shared=False), st.data())
@settings(max_examples=500, deadline=None)
def test_a_bid_window_costs_nothing_and_moves_no_discharge_towards_or_away_from_it(
    case: Case, data: st.DataObject
) -> None:
    bid = data.draw(windows(case.tariff.slots))
    plain = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    asked = base_plan(case.cars, case.stay, replace(case.tariff, bid=bid), SLOT_HOURS)
    assert np.allclose(asked.short_of_target_kwh, plain.short_of_target_kwh, atol=CLOSE)
    # when a car that comes below its guard is past it, and may discharge, hangs on when it charges
    guarded = case.stay.energy_kwh >= case.cars.floor_kwh + guard_kwh(case.cars.capacity_kwh)
    costs = cost_gbp(case, asked)[guarded], cost_gbp(case, plain)[guarded]
    assert np.allclose(*costs, rtol=1e-9, atol=1e-3)
    inside = [plan.discharge_kw[guarded][:, bid].sum(axis=1) for plan in (asked, plain)]
    assert np.allclose(*inside, atol=CLOSE)
