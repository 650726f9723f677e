"""Battery, charger and meter, on hand-worked numbers."""

import numpy as np
import pytest

from dispatch.fleet_simulator.physics import (
    Plant,
    State,
    Traits,
    allowed_kw,
    efficiency,
    metered_w,
    ramp,
    register_wh,
    reported_soc,
    step,
    taper,
)

INSTANT = Traits(ramp_kw_per_s=1e6)
PLUGGED = np.array([True])


def a_plant(traits=INSTANT, capacity_kwh=40.0, min_kw=0.0, discharge_kw=7.4):
    return Plant(
        capacity_kwh=np.array([capacity_kwh]),
        charge_kw=np.array([7.4]),
        discharge_kw=np.array([discharge_kw]),
        min_kw=np.array([min_kw]),
        eta_charge=np.array([0.9]),
        eta_discharge=np.array([0.9]),
        traits=traits,
    )


def a_state(soc=0.5, power_kw=0.0, capacity_kwh=40.0):
    return State(
        energy_kwh=np.array([soc * capacity_kwh]),
        power_kw=np.array([power_kw]),
        import_wh=np.array([1000.0]),
        export_wh=np.array([500.0]),
    )


def test_a_minute_of_full_discharge():
    after = step(a_plant(), a_state(), np.array([7.4]), PLUGGED, 60.0)
    # 7.4 kW for a minute; at full power 40% of the worst case's 10% loss is gone
    assert after.export_wh[0] - 500 == pytest.approx(7400 / 60, abs=1e-3)
    assert 20 - after.energy_kwh[0] == pytest.approx(7.4 / 60 / 0.94, abs=1e-6)
    assert after.import_wh[0] == pytest.approx(1000, abs=1e-3)


def test_a_minute_of_full_charge():
    after = step(a_plant(), a_state(), np.array([-7.4]), PLUGGED, 60.0)
    assert after.import_wh[0] - 1000 == pytest.approx(7400 / 60, abs=1e-3)
    assert after.energy_kwh[0] - 20 == pytest.approx(7.4 / 60 * 0.94, abs=1e-6)
    assert after.export_wh[0] == 500


def test_an_idle_charger_draws_its_standby_power():
    after = step(a_plant(), a_state(), np.zeros(1), PLUGGED, 3600.0)
    assert after.import_wh[0] == pytest.approx(1008.0)
    assert after.energy_kwh[0] == 20.0
    assert metered_w(after, PLUGGED, INSTANT).tolist() == [-8]


def test_a_charger_without_a_car_does_nothing_at_all():
    after = step(a_plant(), a_state(power_kw=5.0), np.array([7.4]), ~PLUGGED, 3600.0)
    assert (after.import_wh[0], after.export_wh[0], after.energy_kwh[0]) == (1000, 500, 20)
    assert metered_w(after, ~PLUGGED, INSTANT).tolist() == [0]


def test_charging_tapers_above_eighty_percent():
    soc = np.array([0.5, 0.8, 0.9, 1.0])
    assert taper(soc, INSTANT) == pytest.approx([1.0, 1.0, 0.6, 0.2])


def test_efficiency_is_worst_at_low_power_and_best_at_full():
    worst = np.full(3, 0.9)
    found = efficiency(worst, np.array([0.0, 0.1, 1.0]), INSTANT)
    assert found == pytest.approx([0.9, 0.9 + 0.04 * 0.55, 0.94])


def test_a_battery_stops_when_it_is_full():
    after = step(a_plant(), a_state(soc=0.9999), np.array([-7.4]), PLUGGED, 60.0)
    assert after.energy_kwh[0] == 40.0
    assert after.power_kw[0] == 0.0
    # 4 Wh were missing; at the tapered 20% of full power the efficiency is 0.9 + 0.04 * 1.1 * 0.2 / 0.3;
    # it took 0.17 s of the 60, the rest was standby
    drawn_wh = after.import_wh[0] - 1000
    assert drawn_wh == pytest.approx(4.0 / (0.9 + 0.04 * 1.1 * 0.2 / 0.3) + 0.11, abs=0.05)
    assert allowed_kw(a_plant(), after.energy_kwh, np.array([-7.4]))[0] == 0.0


def test_a_car_protects_itself_below_ten_percent():
    after = step(a_plant(), a_state(soc=0.1001), np.array([7.4]), PLUGGED, 60.0)
    assert after.energy_kwh[0] == pytest.approx(4.0)
    again = step(a_plant(), after, np.array([7.4]), PLUGGED, 60.0)
    assert again.export_wh[0] == after.export_wh[0]


@pytest.mark.parametrize(
    ("wanted_kw", "allowed"), [(9.0, 7.4), (-9.0, -7.4), (1.0, 0.0), (-1.0, 0.0), (1.4, 1.4), (0.0, 0.0)]
)
def test_limits_and_smallest_power(wanted_kw, allowed):
    assert allowed_kw(a_plant(min_kw=1.4), np.array([20.0]), np.array([wanted_kw]))[0] == allowed


def test_the_taper_never_goes_below_what_the_charger_can_hold():
    assert allowed_kw(a_plant(min_kw=3.0), np.array([39.9]), np.array([-7.4]))[0] == -3.0


def test_a_one_way_charger_gives_nothing():
    after = step(a_plant(discharge_kw=0.0), a_state(), np.array([5.0]), PLUGGED, 60.0)
    assert after.export_wh[0] == 500


def test_a_ramp_through_zero_counts_both_directions_apart():
    reached, drawn, given = ramp(np.array([-2.0]), np.array([4.0]), 0.1, 60.0)
    # 20 s from -2 kW to 0, 40 s from 0 to 4 kW
    assert reached.tolist() == [4.0]
    assert drawn * 3600 == pytest.approx(20.0)
    assert given * 3600 == pytest.approx(80.0)


def test_a_ramp_that_is_not_done_goes_on_from_where_it_is():
    reached, drawn, given = ramp(np.array([0.0]), np.array([-6.0]), 0.1, 30.0)
    assert reached == pytest.approx([-3.0])
    assert drawn * 3600 == pytest.approx(45.0)
    assert given.tolist() == [0.0]


def test_registers_show_whole_watt_hours_rounded_down():
    assert register_wh(np.array([999.9, 1000.0, 1000.0 - 1e-9])).tolist() == [999, 1000, 1000]


def test_reported_state_of_charge_is_coarse_noisy_and_the_same_for_one_seed():
    plant = Plant(*(np.full(2000, value) for value in (40.0, 7.4, 7.4, 0.0, 0.9, 0.9)), traits=INSTANT)
    energy_kwh = np.full(2000, 0.634 * 40.0)
    said = reported_soc(plant, energy_kwh, 1e9, 3, 0.005, 0.01)
    assert np.array_equal(said, reported_soc(plant, energy_kwh, 1e9 + 10, 3, 0.005, 0.01))
    assert not np.array_equal(said, reported_soc(plant, energy_kwh, 1e9 + 60, 3, 0.005, 0.01))
    assert said * 100 == pytest.approx(np.rint(said * 100))
    assert np.mean(said) == pytest.approx(0.634, abs=0.001)
    assert 0.004 < np.std(said) < 0.008
