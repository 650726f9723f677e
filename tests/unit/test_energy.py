"""Hand cases of the energy arithmetic."""

from dataclasses import replace
from datetime import UTC, datetime, time

import numpy as np
import pytest

from aggregator.energy import (
    CarArrays,
    Stay,
    Tariff,
    base_plan,
    capability_kwh,
    emin_kwh,
    expected_nomination,
    exportable_kwh,
    fleet_window,
    guard_kwh,
    nomination_bias,
    turn_down_kwh,
)
from aggregator.model.fleet import Car, Charger, ExportSource, Intent, Site

EVENING = datetime(2024, 12, 11, 17, tzinfo=UTC)


def a_car(name: str = "leaf-1", site: Site | None = None, **changes: object) -> Car:
    home = site or Site(f"home-{name}", "z1", 7.4, ExportSource.G99, 18.4)
    car = Car(name, 40.0, 0.3, Intent(time(7), 0.5), Charger(f"c-{name}", 7.4, 7.4, 0.93, 0.93), home)
    return replace(car, **changes)


def a_stay(energy_kwh: float, target_kwh: float, depart: int, arrive: int = 0) -> Stay:
    return Stay(np.array([arrive]), np.array([depart]), np.array([energy_kwh]), np.array([target_kwh]))


def a_tariff(
    imports: list[float], exports: list[float], red: list[int] | None = None, **more: float
) -> Tariff:
    reds = np.isin(np.arange(len(imports)), red or [])
    return Tariff(np.array(imports), np.array(exports), reds, **more)


def test_the_known_hand_case_of_exportable_energy() -> None:
    zero, twelve = np.array([0.0]), np.array([12.0])
    assert exportable_kwh(np.array([20.0]), zero, twelve, zero, np.array([0.93]))[0] == pytest.approx(7.44)


def test_the_hand_case_s_table_power_then_energy_binds() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    plan = base_plan(cars, a_stay(20.8, 0.0, 4), a_tariff([0.3] * 4, [0.0] * 4), 0.5)
    window = fleet_window(cars, a_stay(20.8, 0.0, 4), plan, 0, 4, 0.5)
    table = capability_kwh(window, 0.5)
    assert window.exportable_kwh[0] == pytest.approx(0.93 * (20.8 - 12.8))
    assert table[0b0001] == pytest.approx(3.7)
    assert table[0b0011] == pytest.approx(7.4)
    assert table[0b0111] == table[0b1111] == pytest.approx(7.44)


def test_the_guard_is_two_percent_or_the_resolution() -> None:
    assert guard_kwh(np.array([40.0]), 0.01)[0] == pytest.approx(0.8)
    assert guard_kwh(np.array([40.0]), 0.05)[0] == pytest.approx(2.0)


def test_least_energy_falls_with_the_hours_left_down_to_the_floor() -> None:
    hours = np.array([-1.0, 0.0, 1.0, 9.0])
    least = emin_kwh(np.full(4, 12.0), np.full(4, 36.0), np.full(4, 7.0), np.full(4, 0.9), hours)
    assert least == pytest.approx([36.0, 36.0, 29.7, 12.0])


def test_a_home_without_approval_discharges_nothing() -> None:
    home = Site("home", "z1", 7.4, ExportSource.NONE, 18.4)
    cars = CarArrays.of([a_car(site=home)], EVENING)
    tariff = a_tariff([0.1] * 4, [0.9] * 4, [1])
    assert not base_plan(cars, a_stay(36.0, 12.0, 4), tariff, 0.5).discharge_kw.any()


def test_the_least_export_room_of_each_slot_counts() -> None:
    home = Site("home", "z1", 7.4, ExportSource.G99, 18.4, 4.0, time(17), time(6))
    noon = datetime(2024, 12, 11, 12, tzinfo=UTC)
    assert CarArrays.of([a_car(site=home)], EVENING).export_room_kw[0] == pytest.approx(7.4)
    dawn = [datetime(2024, 12, 11, hour, tzinfo=UTC) for hour in (5, 6, 7)]
    assert CarArrays.of([a_car(site=home)], *dawn).export_room_kw[0] == pytest.approx([7.4, 3.4])
    assert CarArrays.of([a_car(site=home)], dawn[0], noon).export_room_kw[0] == pytest.approx(3.4)
    with pytest.raises(ValueError, match="instant"):
        CarArrays.of([a_car()])


def test_cheapest_half_hours_first_then_the_later_of_equal_ones() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    tariff = a_tariff([0.3, 0.1, 0.2, 0.1, 0.2], [0.0] * 5)
    plan = base_plan(cars, a_stay(20.0, 20.0 + 1.5 * 3.7 * 0.93, 5), tariff, 0.5)
    assert plan.charge_kw[0] == pytest.approx([0.0, 3.7, 0.0, 7.4, 0.0])
    late = base_plan(cars, a_stay(20.0, 20.0 + 2.5 * 3.7 * 0.93, 5), tariff, 0.5)
    assert late.charge_kw[0] == pytest.approx([0.0, 7.4, 0.0, 7.4, 3.7])


def test_a_paying_discharge_is_levelled_over_the_red_window_and_bought_back() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    tariff = a_tariff(
        [0.6] * 4 + [0.07] * 8, [0.15] + [0.5] * 3 + [0.05] * 8, [1, 2, 3], wear_gbp_per_kwh=0.03
    )
    plan = base_plan(cars, a_stay(17.8, 20.0, 12), tariff, 0.5)
    assert plan.discharge_kw[0, 1:4] == pytest.approx([5.0 * 0.93 / 1.5] * 3)
    assert plan.energy_kwh[0, 4] == pytest.approx(12.8)
    assert plan.energy_kwh[0, -1] == pytest.approx(20.0)
    assert plan.charge_kw[0, :4] == pytest.approx([0.0] * 4)


def test_a_spread_that_losses_and_wear_eat_moves_nothing() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    worth = 0.2 / 0.93**2 + 0.05
    for export, gives in ((worth - 1e-6, False), (worth + 1e-6, True)):
        tariff = a_tariff([0.9, 0.9, 0.2, 0.2], [export, export, 0.0, 0.0], [0, 1], wear_gbp_per_kwh=0.05)
        assert base_plan(cars, a_stay(20.0, 20.0, 4), tariff, 0.5).discharge_kw.any() == gives


def test_a_car_below_its_floor_charges_to_it_first_even_in_red() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    plan = base_plan(cars, a_stay(7.0, 12.0, 6), a_tariff([0.4] * 3 + [0.1] * 3, [0.9] * 6, [0, 1, 2]), 0.5)
    assert plan.charge_kw[0, :3] == pytest.approx([7.4, (5.0 / 0.93 - 3.7) * 2, 0.0])


def test_a_late_car_charges_throughout_and_says_what_is_missing() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    plan = base_plan(cars, a_stay(15.0, 36.0, 4), a_tariff([0.3] * 6, [0.9] * 6, [0, 1]), 0.5)
    assert plan.charge_kw[0] == pytest.approx([7.4] * 4 + [0.0] * 2)
    assert plan.short_of_target_kwh[0] == pytest.approx(21.0 - 4 * 3.7 * 0.93)


def test_two_cars_share_the_fuse_and_both_leave_full() -> None:
    home = Site("home", "z1", 7.4, ExportSource.G99, 8.0)
    cars = CarArrays.of([a_car("a", home), a_car("b", home)], EVENING)
    stay = Stay(np.array([0, 0]), np.array([8, 8]), np.array([14.0, 20.0]), np.array([28.0, 34.0]))
    plan = base_plan(cars, stay, a_tariff([0.1] * 4 + [0.3] * 4, [0.0] * 8), 0.5)
    assert plan.short_of_target_kwh == pytest.approx([0.0, 0.0])
    assert np.all(plan.charge_kw.sum(axis=0) <= 8.0 + 1e-9)
    assert plan.charge_kw[:, :4].sum() == pytest.approx(32.0)


def test_a_must_charge_car_lowers_what_the_fleet_can_do() -> None:
    cars = CarArrays.of([a_car("a"), a_car("b")], EVENING)
    stay = Stay(np.array([0, 0]), np.array([4, 2]), np.array([20.8, 20.0]), np.array([0.0, 25.0]))
    plan = base_plan(cars, stay, a_tariff([0.3] * 4, [0.0] * 4), 0.5)
    window = fleet_window(cars, stay, plan, 0, 4, 0.5)
    table = capability_kwh(window, 0.5)
    taken_kwh = 5.0 / 0.93
    assert list(window.must_charge) == [False, True]
    assert window.rest_kwh[1] == pytest.approx(taken_kwh)
    assert table[0b0001] == pytest.approx(3.7 - (taken_kwh - 3.7))
    assert table[0b0011] == pytest.approx(7.4 - taken_kwh)
    assert table[0b1100] == pytest.approx(7.4)


def test_turn_down_is_what_fits_in() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    stay = a_stay(35.35, 0.0, 4)
    plan = base_plan(cars, stay, a_tariff([0.3] * 4, [0.0] * 4), 0.5)
    table = turn_down_kwh(fleet_window(cars, stay, plan, 0, 3, 0.5), 0.5)
    assert table[0b001] == pytest.approx(3.7)
    assert table[0b111] == pytest.approx(5.0)


def test_an_absent_car_brings_nothing() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    stay = a_stay(36.0, 12.0, 2, arrive=2)
    plan = base_plan(cars, stay, a_tariff([0.3] * 4, [0.9] * 4), 0.5)
    assert not plan.charge_kw.any()
    assert not plan.discharge_kw.any()
    assert not capability_kwh(fleet_window(cars, stay, plan, 0, 4, 0.5), 0.5).any()


def test_a_window_has_bounds() -> None:
    cars = CarArrays.of([a_car()], EVENING)
    stay = a_stay(36.0, 12.0, 20)
    plan = base_plan(cars, stay, a_tariff([0.3] * 20, [0.0] * 20), 0.5)
    with pytest.raises(ValueError, match="12"):
        capability_kwh(fleet_window(cars, stay, plan, 0, 13, 0.5), 0.5)
    with pytest.raises(ValueError, match="planned"):
        fleet_window(cars, stay, plan, 10, 11, 0.5)
    with pytest.raises(ValueError, match="slots of"):
        turn_down_kwh(fleet_window(cars, stay, plan, 0, 4, 0.5), 1.0)


def test_the_nomination_is_the_mean_over_scenarios_of_the_zone_s_cars() -> None:
    cars = CarArrays.of([a_car("a"), a_car("b")], EVENING)
    tariff = a_tariff([0.3] * 2 + [0.05] * 2, [0.9] * 2 + [0.0] * 2, [0, 1])
    home = Stay(np.array([0, 0]), np.array([4, 4]), np.array([16.8, 16.8]), np.array([12.0, 12.0]))
    away = replace(home, depart_slot=np.array([4, 0]))
    plans = [base_plan(cars, stay, tariff, 0.5) for stay in (home, away)]
    discharge_kw, charge_kw = expected_nomination(plans, None, 0, 2)
    assert discharge_kw == pytest.approx([1.5 * 3.72] * 2)
    assert charge_kw == pytest.approx([0.0, 0.0])
    only_b, _ = expected_nomination(plans, np.array([0.25, 0.75]), 0, 2, np.array([False, True]))
    assert only_b == pytest.approx([0.25 * 3.72] * 2)
    with pytest.raises(ValueError, match="at least one"):
        expected_nomination([], None, 0, 2)


def test_the_bias_of_nominations_is_over_what_was_not_called() -> None:
    """3 and -1 kWh nominated, 1 and 0 metered: 1 kWh too much in all, of 4 whichever way."""
    nominated_kwh, metered_kwh = np.array([[3.0, -5.0], [-1.0, 9.0]]), np.array([[1.0, 4.0], [0.0, 9.0]])
    called = np.array([[False, True], [False, True]])
    bias = nomination_bias(nominated_kwh, metered_kwh, called)
    assert (bias.half_hours, bias.nominated_kwh, bias.metered_kwh) == (2, 2.0, 1.0)
    assert bias.share == pytest.approx((2.0 - 1.0) / 4.0)
    assert nomination_bias(nominated_kwh, metered_kwh, np.ones_like(called)).share is None
    with pytest.raises(ValueError, match="one shape"):
        nomination_bias(nominated_kwh, metered_kwh[0], called)
