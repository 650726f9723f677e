"""What is planned for a car tonight says why, and adds up."""

from datetime import timedelta

import pytest

from aggregator.drivers.night import Scene, night
from aggregator.model.drivers import Wish, as_wished
from aggregator.model.fleet import ExportSource
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from dispatch.fleet_view import CarView
from tests.builders import a_car, a_car_report, a_charger, a_set_point, a_site
from tests.fakes.driven_fleet import dear_evening
from tests.fakes.simulated_fleet import FIVE_PM

NOW = FIVE_PM + timedelta(minutes=10)


def rows(
    soc=0.8, *, site=None, wish=None, leaves_at=FIVE_PM + 14 * HOUR, target_soc=0.8, windows=(), **changes
):
    car = as_wished(a_car(site=site or a_site(), charger=a_charger(charge_kw=7.4)), wish or Wish())
    report = a_car_report(measured_at=NOW, soc=soc, depart_at=leaves_at, target_soc=target_soc, boost=False)
    view = CarView(car, report, wish=wish, **changes)
    scene = Scene(view, (), lambda slots: dear_evening("", slots), windows, 0.02, stopped=False)
    return night(scene, NOW)


def whys(found, hour=None):
    return {row.why for row in found[1:] if hour is None or row.slot.start.hour == hour}


def test_it_tiles_the_night_and_its_energies_add_up():
    found = rows()
    assert found[0].slot == Interval(NOW, FIVE_PM + HALF_HOUR)
    assert found[-1].slot.end == FIVE_PM + 14 * HOUR
    energy_kwh = 0.8 * 60
    for row in found:
        eta = 1 / 0.91 if row.export_kw > 0 else 0.92
        assert row.energy_kwh == pytest.approx(energy_kwh - row.export_kw * row.slot.hours * eta, abs=1e-6)
        energy_kwh = row.energy_kwh


def test_it_gives_in_the_dear_hours_and_charges_in_the_cheapest():
    found = rows()
    assert any("gives energy" in why for why in whys(found, 17))
    charging = [row for row in found if row.export_kw < 0]
    assert {row.slot.start.hour for row in charging} <= {23, 0, 1, 2, 3, 4}
    assert all("cheapest hours" in row.why for row in charging)


def test_a_home_without_approval_and_one_with_little_are_told_so():
    nothing = a_site(export_source=ExportSource.NONE, export_limit_kw=0.0)
    assert any("not approved" in why for why in whys(rows(site=nothing), 17))
    little = a_site(export_limit_kw=3.68)
    assert any("site limit: your home may export 3.68 kW" in why for why in whys(rows(site=little), 17))
    fuse = a_site(import_limit_kw=5.0)
    assert any("site limit: your home's fuse carries 5 kW" in why for why in whys(rows(soc=0.4, site=fuse)))


def test_a_floor_and_a_target_out_of_reach_are_why_it_must_charge():
    below = rows(soc=0.2)
    assert any("up to your floor first" in why for why in whys(below))
    short = rows(soc=0.3, leaves_at=FIVE_PM + 3 * HOUR, target_soc=1.0)
    assert any("yet your target will be missed" in why for why in whys(short))
    assert all(row.export_kw == pytest.approx(-7.4) for row in short[1:-1])


def test_v2g_off_boost_and_the_network_operator_s_window_are_told():
    off = rows(wish=Wish(v2g=False, depart_at=FIVE_PM + 14 * HOUR, target_soc=0.8))
    assert "V2G is off: gives nothing" in whys(off, 17) | whys(off, 18)
    boosted = rows(soc=0.5, wish=Wish(boost=True, depart_at=FIVE_PM + 14 * HOUR, target_soc=0.8))
    assert [row.export_kw for row in boosted[1:6]] == [-7.4] * 5
    assert boosted[-1].energy_kwh == pytest.approx(60)
    window = Interval(FIVE_PM + HOUR, FIVE_PM + 2 * HOUR)
    asked = rows(windows=(window,))
    assert {row.slot.start for row in asked if "network operator" in row.why} == {
        FIVE_PM + HOUR,
        FIVE_PM + HOUR + HALF_HOUR,
    }


def test_the_running_half_hour_is_as_the_car_was_told():
    point = a_set_point(export_w=5000, issued_at=NOW, expires_at=NOW + timedelta(seconds=120))
    first = rows(standing=point)[0]
    assert (first.export_kw, first.why) == (5.0, "the network operator's order to your zone")
    assert rows()[0].why == "nothing is asked of it at the moment"
