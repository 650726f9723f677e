"""What is planned for a car tonight says why, and adds up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.drivers.night import LEAST_KW, Scene, night
from aggregator.model.drivers import Wish, as_wished
from aggregator.model.fleet import Approval, ExportSource
from aggregator.model.market import Direction
from aggregator.model.metering import Purpose
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour
from aggregator.ports import ZoneTarget
from dispatch.fleet_view import CarView
from dispatch.window_ahead import shares_ahead
from tests.builders import a_car, a_car_report, a_charger, a_set_point, a_site
from tests.fakes.driven_fleet import dear_evening
from tests.fakes.simulated_fleet import FIVE_PM

NOW = FIVE_PM + timedelta(minutes=10)


def prices(slots):
    return dear_evening("", slots)


def rows(
    soc=0.8,
    *,
    site=None,
    wish=None,
    leaves_at=FIVE_PM + 14 * HOUR,
    target_soc=0.8,
    windows=(),
    export_w=0,
    **changes,
):
    car = as_wished(a_car(site=site or a_site(), charger=a_charger(charge_kw=7.4)), wish or Wish())
    told = {"depart_at": leaves_at, "target_soc": target_soc, "boost": False, "export_w": export_w}
    view = CarView(car, a_car_report(measured_at=NOW, soc=soc, **told), wish=wish, **changes)
    scene = Scene(view, (), prices, windows, (), 0.02, stopped=False)
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


AGAIN = "charging it again before you leave costs less, from 15p a kWh"


def test_what_is_given_outside_the_peak_says_what_for():
    found = rows()
    given = {row.why for row in found if row.export_kw > LEAST_KW}
    assert given == {f"gives energy: {AGAIN}, a kWh given earns GBP 0.3600"}
    standing = a_set_point(purpose=Purpose.PLAN, export_w=6000, expires_at=NOW + HALF_HOUR)
    now = rows(standing=standing)[0]
    assert now.why == f"gives energy: {AGAIN}, a kWh given earns GBP 0.3600", "in the running half-hour, too"
    spare = [row.why for row in rows(target_soc=0.4) if row.export_kw > LEAST_KW]
    assert spare[0] == "gives energy beyond what you need, a kWh given earns GBP 0.3600"


def test_what_its_house_uses_is_told_so():
    def whys_of(load_kw):
        found = rows(site=a_site(house_load_kw=(load_kw,)))
        return {row.why for row in found if row.export_kw > LEAST_KW and row.slot.start.hour == 17}

    assert whys_of(9.0) == {"covers your house, so that less is bought, GBP 0.4500 a kWh"}
    assert whys_of(2.0) == {f"covers your house and gives the rest: {AGAIN}, a kWh given earns GBP 0.3600"}


def test_a_boost_that_the_loop_has_not_told_yet_is_planned_from_now_on():
    resting = a_set_point(purpose=Purpose.PLAN, export_w=0, expires_at=NOW + HALF_HOUR)
    wish = Wish(boost=True, depart_at=FIVE_PM + 14 * HOUR, target_soc=0.8)
    found = rows(standing=resting, wish=wish)
    assert (found[0].export_kw, found[0].why) == (-7.4, "boost: full power, out of every order")
    assert found[0].energy_kwh > 0.8 * 60


def test_an_approval_that_is_not_in_force_yet_is_told_with_where_it_stands():
    applied = rows(site=a_site(approval=Approval.APPLIED))
    assert any("not approved: approval applied" in why for why in whys(applied, 17))
    tomorrow = rows(site=a_site(approved_from=(FIVE_PM + 24 * HOUR).date()))
    assert any("not approved: approved from 2025-01-09" in why for why in whys(tomorrow, 17))


def test_of_a_car_that_tells_no_charge_it_is_not_said_that_it_is_at_its_floor():
    found = rows(soc=None)
    assert any("does not tell how full" in why for why in whys(found, 17))
    assert not any("at your floor" in why for why in whys(found))


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


def test_what_no_half_hour_of_the_plan_is_left_for_is_charged_just_before_departure():
    found = rows(soc=0.7, leaves_at=FIVE_PM + 1.5 * HOUR)
    last = found[-1]
    assert last.slot == Interval(FIVE_PM + HOUR, FIVE_PM + 1.5 * HOUR)
    assert (last.export_kw < -LEAST_KW, "must charge now" in last.why) == (True, True)
    assert last.energy_kwh == pytest.approx(0.8 * 60)


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


def test_who_gives_nothing_to_an_order_is_told_why():
    told = a_set_point(export_w=0, issued_at=NOW, expires_at=NOW + HOUR, purpose=Purpose.INSTRUCTION)
    wish = Wish(v2g=False, depart_at=FIVE_PM + 14 * HOUR, target_soc=0.8)
    assert rows(wish=wish, standing=told)[0].why == "V2G is off: gives nothing"
    assert rows(standing=told)[0].why == "the network operator's order to your zone"


def ordered_views(count, soc=0.8, **changes):
    found = []
    for n in range(1, count + 1):
        car = a_car(
            car_id=f"car-{n}",
            charger=a_charger(charger_id=f"charger-{n}", charge_kw=7.4),
            site=a_site(site_id=f"home-{n}"),
        )
        told = {"depart_at": FIVE_PM + 14 * HOUR, "target_soc": 0.8, "boost": False, **changes}
        report = a_car_report(car_id=car.car_id, measured_at=NOW, soc=soc, **told)
        found.append(CarView(car, report))
    return found


def a_target(start, *export_kw, order="order-1", direction=Direction.UP):
    ends = [floor_half_hour(start) + (n + 1) * HALF_HOUR for n in range(len(export_kw))]
    slots = tuple(map(Interval, [start, *ends[:-1]], ends))
    return ZoneTarget("zone", slots, export_kw, direction, (order,) * len(slots))


def nights(views, *targets):
    shares = shares_ahead(targets, views, NOW, prices, 0.02)
    return [night(Scene(view, (), prices, (), shares, 0.02, stopped=False), NOW) for view in views], shares


def exported_kw(found, at):
    """Return what all cars together are planned to give at an instant, and how each is told of it."""
    rows = [row for own in found for row in own if at in row.slot]
    return sum(row.export_kw for row in rows), {row.why for row in rows}


@pytest.mark.parametrize("begins_after", [timedelta(0), 50 * timedelta(minutes=1)])
def test_in_a_window_cars_are_planned_to_give_what_their_zone_must_and_not_what_each_would(begins_after):
    begins_at = NOW + begins_after
    found, _ = nights(ordered_views(5), a_target(begins_at, 0.5, 2.0, 1.0))
    second, third = (floor_half_hour(begins_at) + n * HALF_HOUR for n in (1, 2))
    for at, kw in ((second, 2.0), (third, 1.0)):
        whole_kw, whys = exported_kw(found, at)
        assert whole_kw == pytest.approx(kw)
        assert whys == {"its probable share of the network operator's order to your zone"}
    without, _ = nights(ordered_views(5))
    assert exported_kw(without, second)[0] > 10
    for own in found:
        bounds = [row.slot for row in own]
        assert [slot.end for slot in bounds[:-1]] == [slot.start for slot in bounds[1:]]
        assert bounds[-1].end == FIVE_PM + 14 * HOUR
        assert own[-1].energy_kwh >= 0.8 * 60


def test_a_peak_without_an_order_follows_what_the_zone_has_nominated():
    found, _ = nights(ordered_views(3), a_target(FIVE_PM + HOUR, 3.0, 3.0, order=None))
    assert exported_kw(found, FIVE_PM + HOUR) == (
        pytest.approx(3.0),
        {"its probable share of what your zone has announced to give"},
    )


def test_who_may_not_give_is_told_why_and_others_do_it():
    first, *others = ordered_views(4)
    wish = Wish(v2g=False, depart_at=FIVE_PM + 14 * HOUR, target_soc=0.8)
    first = replace(first, car=as_wished(first.car, wish), wish=wish)
    low = ordered_views(5, soc=0.31)[4]
    found, _ = nights([first, *others, low], a_target(FIVE_PM + HOUR, 9.0))
    at = FIVE_PM + HOUR
    assert exported_kw(found, at)[0] == pytest.approx(9.0)
    assert exported_kw(found[:1], at) == (0.0, {"V2G is off: gives nothing"})
    resting, whys = exported_kw(found[4:], at)
    assert resting <= 0
    assert not any("share" in why for why in whys)


def test_a_boosted_car_draws_from_what_the_others_owe():
    boosted = replace(ordered_views(1, soc=0.5, boost=True)[0])
    _, (share,) = nights([boosted, *ordered_views(4)[1:]], a_target(NOW, 2.0, 2.0))
    assert sum(levels[0] for levels in share.export_kw.values()) == pytest.approx(2.0 + 7.4)
    assert "car-1" not in share.export_kw


def test_who_leaves_before_a_window_takes_no_part_in_it():
    leaving = ordered_views(1, depart_at=FIVE_PM + HALF_HOUR)
    _, (share,) = nights([*leaving, *ordered_views(3)[1:]], a_target(FIVE_PM + HOUR, 2.0))
    assert set(share.export_kw) == {"car-2", "car-3"}


def test_a_window_that_cuts_half_hours_cuts_rows_and_energies_still_add_up():
    start = FIVE_PM + timedelta(minutes=40)
    window = Interval(start, start + timedelta(minutes=15))
    target = ZoneTarget("zone", (window,), (4.0,), Direction.UP, ("order-1",))
    ((*own,),), _ = nights(ordered_views(1), target)
    assert window in [row.slot for row in own]
    energy_kwh = 0.8 * 60
    for row in own:
        eta = 1 / 0.91 if row.export_kw > 0 else 0.92
        assert row.energy_kwh == pytest.approx(energy_kwh - row.export_kw * row.slot.hours * eta, abs=1e-6)
        energy_kwh = row.energy_kwh


def test_a_boosted_car_that_is_full_is_told_so_and_drawn_at_rest():
    wish = Wish(boost=True, depart_at=FIVE_PM + 14 * HOUR, target_soc=0.8)
    told = a_set_point(
        export_w=-7400,
        issued_at=NOW - HOUR,
        expires_at=NOW + HOUR,
        purpose=Purpose.BOOST,
        opportunity_id=None,
    )
    found = rows(soc=0.98, wish=wish, standing=told, export_w=0)
    assert {row.why for row in found} == {"full; boost is on: out of every order"}
    assert {row.export_kw for row in found} == {0.0}
    charging = rows(soc=0.98, wish=wish, standing=told, export_w=-1500)
    assert charging[0].export_kw < 0
    assert charging[0].why.startswith("boost: full power")
