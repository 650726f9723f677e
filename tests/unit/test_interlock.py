"""What the interlock refuses, promise by promise, and that it says why with the figures."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from aggregator.model.fleet import Approval, ExportSource, Fleet
from aggregator.model.metering import Boundary, Purpose
from dispatch.interlock import Interlock
from tests.builders import EVENING, a_car, a_car_report, a_charger, a_fleet, a_set_point, a_site, an_intent

START = EVENING.start
REPORTING = timedelta(seconds=60)


def a_report_now(**changes):
    return a_car_report(**{"measured_at": START, "soc": 0.8, "export_w": 0, **changes})


def an_interlock(*reports, fleet=None, **car):
    interlock = Interlock(fleet or Fleet((a_car(**car),), "f" * 64), REPORTING)
    interlock.observe(reports or [a_report_now()])
    return interlock


def refused(interlock, **changes):
    (refusal,) = interlock.check([a_set_point(**changes)])
    return refusal.promise, refusal.reason


def passes(interlock, *points):
    return interlock.check(points or [a_set_point()]) == ()


def test_a_discharge_that_breaks_nothing_passes_and_is_counted():
    interlock = an_interlock()
    assert passes(interlock)
    assert interlock.checked == 1


# P1


def test_p1_a_discharge_below_the_floor_is_refused_with_the_figures():
    interlock = an_interlock(a_report_now(soc=0.303))  # 18.18 kWh, 6 kW for 120 s take 0.22 kWh
    assert refused(interlock) == ("P1", "would leave 17.960 kWh, floor 18.000 kWh")


def test_p1_the_drivers_higher_floor_holds():
    assert passes(an_interlock(a_report_now(soc=0.51)))
    promise, reason = refused(an_interlock(a_report_now(soc=0.51), floor_soc=0.51))
    assert promise == "P1"
    assert "floor 30.600 kWh" in reason


def test_p1_a_floor_under_30_percent_in_the_registry_does_not_lower_it():
    promise, reason = refused(an_interlock(a_report_now(soc=0.25), floor_soc=0.1))
    assert promise == "P1"
    assert "floor 18.000 kWh" in reason


@pytest.mark.parametrize(
    "change",
    [
        {"soc": None},
        {"plugged": False},
        {"soc": float("nan")},
        {"soc": float("inf")},
        {"soc": 55.0},
        {"soc": -0.1},
    ],
)
def test_p1_a_car_whose_state_is_not_known_is_not_discharged(change):
    promise, reason = refused(an_interlock(a_report_now(**change)))
    assert promise == "P1"
    assert "state is not known" in reason


def run_of_reports(minutes, kw, **last):
    """Return reports a minute apart up to now: the first with a state of charge, the last as it is said."""
    first = a_report_now(soc=0.5, export_wh=10**6)
    found = []
    for n in range(minutes + 1):
        at, wh = START - (minutes - n) * timedelta(minutes=1), 10**6 + round(kw * 1000 * n / 60)
        found.append(replace(first, measured_at=at, export_wh=wh, soc=0.5 if n == 0 else None))
    return [*found[:-1], replace(found[-1], **last)]


def test_p1_a_state_of_charge_that_is_missing_is_reckoned_by_the_export_register_with_a_margin():
    assert passes(an_interlock(*run_of_reports(20, 6.0)))
    promise, reason = refused(an_interlock(*run_of_reports(120, 6.0)))
    left_kwh = 30 - 1.12 * 12 / 0.91 - 0.2 / 0.91
    assert (promise, reason) == ("P1", f"would leave {left_kwh:.3f} kWh, floor 18.000 kWh")


def test_p1_a_late_state_of_charge_is_taken_for_what_it_was_when_it_was_measured():
    late = {"soc": 0.33, "soc_at": START - timedelta(minutes=19)}
    assert refused(an_interlock(*run_of_reports(20, 6.0, **late)))[0] == "P1"
    assert passes(an_interlock(*run_of_reports(20, 0.0, **late)))


def test_p1_what_was_told_before_a_car_left_says_nothing_of_the_next():
    away = a_report_now(measured_at=START - timedelta(seconds=90), plugged=False, soc=None)
    before = a_report_now(measured_at=START - timedelta(minutes=3))
    promise, reason = refused(an_interlock(before, away, a_report_now(soc=None)))
    assert (promise, "state is not known" in reason) == ("P1", True)


def test_p1_a_figure_that_is_none_is_not_reckoned_on():
    odd = a_report_now(measured_at=START - timedelta(minutes=1), soc=float("nan"))
    assert refused(an_interlock(odd, a_report_now(soc=None)))[0] == "P1"


def test_p1_a_car_nobody_has_heard_of_yet_is_not_discharged():
    interlock = an_interlock(a_report_now(car_id="car-2"), fleet=a_fleet(2))
    assert refused(interlock)[0] == "P1"


def test_p1_a_stale_car_is_not_discharged():
    at_the_limit = START - 2 * REPORTING
    assert passes(an_interlock(a_report_now(measured_at=at_the_limit)))
    late = at_the_limit - timedelta(seconds=1)
    promise, reason = refused(an_interlock(a_report_now(measured_at=late)))
    assert promise == "P1"
    assert str(late) in reason


def test_p1_a_report_from_after_the_set_point_gives_no_energy_away():
    later = START + timedelta(minutes=10)
    assert refused(an_interlock(a_report_now(soc=0.30, measured_at=later)))[0] == "P1"


def test_p1_what_was_given_since_the_report_counts():
    interlock = an_interlock(a_report_now(soc=0.305, measured_at=START - 2 * REPORTING))
    assert refused(interlock)[0] == "P1"


def test_an_older_report_does_not_replace_a_newer_one():
    interlock = an_interlock(a_report_now(soc=0.2))
    interlock.observe([a_report_now(soc=0.9, measured_at=START - timedelta(seconds=30))])
    assert refused(interlock)[0] == "P1"


@pytest.mark.parametrize(
    ("changes", "car"), [({"target_soc": float("nan")}, {}), ({}, {"capacity_kwh": float("nan")})]
)
def test_a_figure_that_is_no_number_is_refused(changes, car):
    assert refused(an_interlock(a_report_now(**changes), **car))[0] in {"P1", "P2"}


# P2


def test_p2_a_discharge_that_costs_the_departure_is_refused_with_the_figures():
    early, late = (
        a_report_now(depart_at=START + timedelta(minutes=2 + minutes), target_soc=0.9) for minutes in (54, 55)
    )
    assert refused(an_interlock(early)) == ("P2", "would leave 47.780 kWh, departure needs 47.873 kWh")
    assert passes(an_interlock(late))


def test_p2_the_default_intent_holds_for_a_driver_who_says_nothing():
    soon = an_intent(depart_local=time(17, 30), target_soc=1.0)
    assert refused(an_interlock(default_intent=soon))[0] == "P2"
    assert passes(an_interlock(default_intent=an_intent(target_soc=1.0)))


def test_p2_a_weak_fuse_lengthens_the_charge():
    leaves = a_report_now(depart_at=START + timedelta(hours=2), target_soc=0.9)
    assert passes(an_interlock(leaves))
    assert refused(an_interlock(leaves, site=a_site(import_limit_kw=3.0)))[0] == "P2"


# P3


def test_p3_a_boosted_car_is_not_discharged():
    assert refused(an_interlock(a_report_now(boost=True))) == ("P3", "discharge of a boosted car")


def test_p3_a_boosted_car_may_charge():
    interlock = an_interlock(a_report_now(boost=True))
    assert passes(interlock, a_set_point(export_w=-7400, purpose=Purpose.BOOST))


# P4


@pytest.mark.parametrize(
    "change",
    [
        {"export_source": ExportSource.NONE},
        {"approval": Approval.APPLIED},
        {"approval": Approval.REFUSED},
        {"approval": Approval.NONE},
        {"approved_from": date(2025, 1, 16)},
    ],
    ids=["no source", "applied", "refused", "none", "tomorrow"],
)
def test_p4_a_home_without_approval_does_not_export(change):
    assert refused(an_interlock(site=a_site(**change))) == ("P4", "home home-1 has no export approval")


def test_p4_an_approval_of_nothing_leaves_no_room():
    assert refused(an_interlock(site=a_site(export_limit_kw=0.0)))[1].endswith(
        "would export 6000 W, room 0 W"
    )


@pytest.mark.parametrize(
    ("day", "midnight"),
    [
        (date(2025, 1, 10), datetime(2025, 1, 10, tzinfo=UTC)),
        (date(2025, 7, 10), datetime(2025, 7, 9, 23, tzinfo=UTC)),
    ],
    ids=["winter", "summer"],
)
def test_p4_an_approval_begins_with_its_local_day_and_not_a_second_before(day, midnight):
    for seconds, through in ((-1, False), (0, True), (1, True)):
        issued_at = midnight + timedelta(seconds=seconds)
        interlock = an_interlock(a_report_now(measured_at=issued_at), site=a_site(approved_from=day))
        point = a_set_point(issued_at=issued_at, expires_at=issued_at + timedelta(seconds=120))
        assert passes(interlock, point) is through


def metered(boundary_w, *, at=START, **report):
    """A report of a home with a boundary meter, by which it gives ``boundary_w`` in all."""
    return a_report_now(measured_at=at, boundary=Boundary(boundary_w, 0, 0), **report)


def test_p4_a_boundary_meter_makes_room_by_what_the_house_draws():
    site = a_site(export_limit_kw=3.68, boundary_meter=True, export_source=ExportSource.G100)
    assert passes(
        an_interlock(metered(-2400), site=site)
    )  # the house draws 2.4 kW: 6.08 kW may leave the car
    assert (
        refused(an_interlock(metered(-2300), site=site))[1] == "home home-1 would export 6000 W, room 5980 W"
    )


def test_p4_a_boundary_meter_takes_room_by_what_panels_give():
    dark = {"dark_from": time(16), "dark_until": time(7)}
    site = a_site(solar_kw=2.0, boundary_meter=True, **dark)
    assert (
        refused(an_interlock(metered(1400), site=site))[1] == "home home-1 would export 6000 W, room 5960 W"
    )


def test_p4_what_the_car_gives_itself_is_no_house_load():
    site = a_site(export_limit_kw=3.68, boundary_meter=True, export_source=ExportSource.G100)
    reading = metered(2600, export_w=5000)  # 5 kW of the car, 2.4 kW into the house
    assert passes(an_interlock(reading, site=site))


def test_p4_a_stale_boundary_reading_is_no_reading():
    site = a_site(export_limit_kw=3.68, boundary_meter=True, export_source=ExportSource.G100)
    seen_at = START - 2 * REPORTING
    fresh = a_report_now(measured_at=START)
    for seconds, through in ((0, True), (1, False)):
        reading = metered(-4000, at=seen_at - timedelta(seconds=seconds))
        assert passes(an_interlock(reading, fresh, site=site)) is through


def test_p4_a_meter_that_the_registry_does_not_know_is_not_believed():
    assert refused(an_interlock(metered(-4000), site=a_site(export_limit_kw=3.68)))[0] == "P4"


def test_p4_a_boundary_reading_without_the_neighbour_s_car_is_not_believed():
    site = {"export_limit_kw": 3.68, "boundary_meter": True, "export_source": ExportSource.G100}
    interlock = two_at_home(**site)
    later = START + timedelta(seconds=30)
    interlock.observe([metered(-9000, at=later, car_id="car-1")])  # what car-2 does just then nobody knows
    assert (
        refused(interlock, car_id="car-1", issued_at=later, expires_at=later + timedelta(seconds=60))[0]
        == "P4"
    )
    interlock.observe([metered(-9000, at=later, car_id="car-2")])
    assert passes(interlock, a_set_point(issued_at=later, expires_at=later + timedelta(seconds=60)))


def test_p4_the_house_takes_its_part_of_the_fuse():
    site = a_site(import_limit_kw=10.0, boundary_meter=True)
    reading = metered(-2700)
    assert refused(an_interlock(reading, site=site), export_w=-7400)[1].endswith("import 7400 W, fuse 7300 W")
    assert passes(an_interlock(metered(-2600), site=site), a_set_point(export_w=-7400))
    sunny = an_interlock(metered(5000), site=a_site(import_limit_kw=7.0, boundary_meter=True))
    assert refused(sunny, export_w=-7400)[1].endswith("fuse 7000 W")


def test_p4_export_above_the_approval_is_refused_with_the_figures():
    interlock = an_interlock(site=a_site(export_limit_kw=3.68))
    assert refused(interlock) == ("P4", "home home-1 would export 6000 W, room 3680 W")
    assert passes(interlock, a_set_point(export_w=3680))


def test_p4_solar_takes_its_rating_but_in_the_dark():
    by_day = a_site(solar_kw=4.0)
    assert refused(an_interlock(site=by_day))[1] == "home home-1 would export 6000 W, room 3360 W"
    by_night = replace(by_day, dark_from=time(16, 30), dark_until=time(7))
    assert passes(an_interlock(site=by_night))


def test_p4_the_dark_must_last_as_long_as_the_set_point():
    ends = a_site(solar_kw=4.0, dark_from=time(16), dark_until=time(17, 1))
    assert refused(an_interlock(site=ends))[0] == "P4"


def test_p4_more_than_the_charger_is_rated_for_is_refused():
    interlock = an_interlock(charger=a_charger(discharge_kw=5.0))
    assert refused(interlock) == ("P4", "6000 W is above 5.0 kW rated")


def test_p4_import_above_the_fuse_is_refused_with_the_figures():
    interlock = an_interlock(site=a_site(import_limit_kw=7.0))
    assert refused(interlock, export_w=-7400) == ("P4", "home home-1 would import 7400 W, fuse 7000 W")


def two_at_home(**site):
    home = a_site(**site)
    cars = tuple(
        a_car(car_id=f"car-{n}", charger=a_charger(charger_id=f"charger-{n}"), site=home) for n in (1, 2)
    )
    reports = [a_report_now(car_id=car.car_id) for car in cars]
    return an_interlock(*reports, fleet=Fleet(cars, "f" * 64))


def test_p4_two_cars_at_a_home_share_its_approval():
    points = [a_set_point(car_id="car-1", export_w=4000), a_set_point(car_id="car-2", export_w=4000)]
    (refusal,) = two_at_home().check(points)
    assert refusal.reason == "home home-1 would export 8000 W, room 7360 W"
    assert two_at_home(export_limit_kw=8.0).check(points) == ()


def test_p4_two_cars_at_a_home_share_its_fuse():
    points = [a_set_point(car_id="car-1", export_w=-7400), a_set_point(car_id="car-2", export_w=-7400)]
    (refusal,) = two_at_home(import_limit_kw=10.0).check(points)
    assert refusal.reason == "home home-1 would import 14800 W, fuse 10000 W"


def test_p4_a_neighbours_charging_makes_no_room_for_export():
    points = [a_set_point(car_id="car-1", export_w=-7400), a_set_point(car_id="car-2", export_w=6000)]
    (refusal,) = two_at_home(export_limit_kw=3.68).check(points)
    assert refusal.point.car_id == "car-2"


def test_p4_a_neighbours_set_point_of_an_earlier_batch_counts_until_it_ends():
    interlock = two_at_home()
    assert passes(interlock, a_set_point(car_id="car-1", export_w=4000))
    later = {"issued_at": START + timedelta(seconds=60), "expires_at": START + timedelta(seconds=180)}
    assert refused(interlock, car_id="car-2", export_w=4000, **later)[0] == "P4"
    after = {"issued_at": START + timedelta(seconds=120), "expires_at": START + timedelta(seconds=180)}
    assert passes(interlock, a_set_point(car_id="car-2", export_w=4000, **after))


def test_p4_a_refused_set_point_takes_no_room():
    interlock = two_at_home()
    interlock.observe([a_report_now(car_id="car-1", boost=True)])
    points = [a_set_point(car_id="car-1", export_w=4000), a_set_point(car_id="car-2", export_w=4000)]
    (refusal,) = interlock.check(points)
    assert refusal.promise == "P3"


def test_p4_a_car_that_stops_makes_room_in_the_same_batch():
    interlock = two_at_home()
    assert passes(interlock, a_set_point(car_id="car-1", export_w=4000))
    points = [a_set_point(car_id="car-2", export_w=4000), a_set_point(car_id="car-1", export_w=0)]
    assert passes(interlock, *points)


# P5 and the rest


@pytest.mark.parametrize("seconds", [121, 0, -5])
def test_p5_a_discharge_that_outlives_control_or_never_begins_is_refused(seconds):
    promise, reason = refused(an_interlock(), expires_at=START + timedelta(seconds=seconds))
    assert promise == "P5"
    assert "6000 W" in reason


def test_p5_a_charge_may_hold_for_a_half_hour_but_not_for_ever():
    interlock = an_interlock()
    assert passes(interlock, a_set_point(export_w=-7400, expires_at=START + timedelta(minutes=35)))
    assert refused(interlock, export_w=-7400, expires_at=START + timedelta(minutes=36))[0] == "P5"


def test_p6_a_car_that_is_not_ours_is_told_nothing():
    assert refused(an_interlock(), car_id="ghost") == ("P6", "car ghost is not in the fleet")


def test_a_stale_or_boosted_car_may_always_be_let_go():
    interlock = Interlock(a_fleet(1), REPORTING)
    assert passes(interlock, a_set_point(export_w=0, purpose=Purpose.RELEASE))


def test_p4_a_car_that_turns_from_charging_to_giving_is_judged_after_the_neighbour_who_makes_room():
    site = a_site(export_limit_kw=6.0)
    names = ("car-1", "car-2")
    cars = [a_car(car_id=name, site=site, charger=a_charger(charger_id=f"charger-{name}")) for name in names]
    reports = [a_report_now(car_id=name) for name in names]
    interlock = an_interlock(*reports, fleet=Fleet(tuple(cars), "f" * 64))

    def points(first_w, second_w):
        return [
            a_set_point(car_id=name, export_w=w) for name, w in zip(names, (first_w, second_w), strict=True)
        ]

    assert passes(interlock, *points(6000, -7400))
    assert passes(interlock, *points(3000, 3000))
    assert passes(interlock, *points(-7400, 6000))
    assert not passes(interlock, *points(1000, 6000))


@pytest.mark.parametrize("creep", [0.0, 0.0005])
def test_p1_a_gauge_that_stands_still_while_the_register_counts_is_not_believed(creep):
    """60 kWh, 70% told throughout; 6 kW for four hours would take it to 26%: it stops some percent above."""
    given_wh, passed = 0, True
    departs = {"depart_at": START + timedelta(days=1), "import_wh": 10**6}
    interlock = an_interlock(a_report_now(soc=0.7, export_wh=10**6, **departs))
    for minute in range(1, 240):
        given_wh += 6000 // 60
        at = START + minute * timedelta(minutes=1)
        report = a_report_now(measured_at=at, soc=0.7 + creep * minute, export_wh=10**6 + given_wh, **departs)
        interlock.observe([report])
        passed = passes(interlock, a_set_point(issued_at=at, expires_at=at + timedelta(minutes=2)))
        if not passed:
            break
    true_soc = 0.7 - given_wh / 1000 / 0.91 / 60.0
    assert not passed
    assert 0.26 <= true_soc <= 0.32
