"""What the interlock refuses at a home: approvals, boundaries, fuses, neighbours (P4)."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from aggregator.model.fleet import Approval, ExportSource, Fleet
from aggregator.model.metering import Boundary
from tests.builders import a_car, a_charger, a_set_point, a_site
from tests.unit.interlock_steps import REPORTING, START, a_report_now, an_interlock, passes, refused


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
    assert refused(an_interlock(site=a_site(export_limit_kw=0.0)))[1].endswith("would export 6 kW, room 0 kW")


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
        refused(an_interlock(metered(-2300), site=site))[1] == "home home-1 would export 6 kW, room 5.98 kW"
    )


def test_p4_a_boundary_meter_takes_room_by_what_panels_give():
    dark = {"dark_from": time(16), "dark_until": time(7)}
    site = a_site(solar_kw=2.0, boundary_meter=True, **dark)
    assert refused(an_interlock(metered(1400), site=site))[1] == "home home-1 would export 6 kW, room 5.96 kW"


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
    assert refused(an_interlock(reading, site=site), export_w=-7400)[1].endswith("import 7.4 kW, fuse 7.3 kW")
    assert passes(an_interlock(metered(-2600), site=site), a_set_point(export_w=-7400))
    sunny = an_interlock(metered(5000), site=a_site(import_limit_kw=7.0, boundary_meter=True))
    assert refused(sunny, export_w=-7400)[1].endswith("fuse 7 kW")


def test_p4_export_above_the_approval_is_refused_with_the_figures():
    interlock = an_interlock(site=a_site(export_limit_kw=3.68))
    assert refused(interlock) == ("P4", "home home-1 would export 6 kW, room 3.68 kW")
    assert passes(interlock, a_set_point(export_w=3680))


def test_p4_solar_takes_its_rating_but_in_the_dark():
    by_day = a_site(solar_kw=4.0)
    assert refused(an_interlock(site=by_day))[1] == "home home-1 would export 6 kW, room 3.36 kW"
    by_night = replace(by_day, dark_from=time(16, 30), dark_until=time(7))
    assert passes(an_interlock(site=by_night))


def test_p4_the_dark_must_last_as_long_as_the_set_point():
    ends = a_site(solar_kw=4.0, dark_from=time(16), dark_until=time(17, 1))
    assert refused(an_interlock(site=ends))[0] == "P4"


def test_p4_more_than_the_charger_is_rated_for_is_refused():
    interlock = an_interlock(charger=a_charger(discharge_kw=5.0))
    assert refused(interlock) == ("P4", "6 kW is above 5 kW rated")


def test_p4_import_above_the_fuse_is_refused_with_the_figures():
    interlock = an_interlock(site=a_site(import_limit_kw=7.0))
    assert refused(interlock, export_w=-7400) == ("P4", "home home-1 would import 7.4 kW, fuse 7 kW")


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
    assert refusal.reason == "home home-1 would export 8 kW, room 7.36 kW"
    assert two_at_home(export_limit_kw=8.0).check(points) == ()


def test_p4_two_cars_at_a_home_share_its_fuse():
    points = [a_set_point(car_id="car-1", export_w=-7400), a_set_point(car_id="car-2", export_w=-7400)]
    (refusal,) = two_at_home(import_limit_kw=10.0).check(points)
    assert refusal.reason == "home home-1 would import 14.8 kW, fuse 10 kW"


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


@pytest.mark.parametrize(("mate_w", "car_w"), [(4900, 4900), (-7400, -7400)], ids=["gives", "draws"])
@pytest.mark.parametrize("told", [False, True], ids=["on its default", "deaf"])
@pytest.mark.parametrize("boundary_meter", [False, True])
def test_p4_what_a_neighbour_does_beyond_what_it_was_told_takes_its_part(mate_w, car_w, told, boundary_meter):
    interlock = two_at_home(export_limit_kw=5.0, import_limit_kw=11.0, boundary_meter=boundary_meter)
    for minute in range(5):
        at = START + minute * REPORTING
        boundary = Boundary(mate_w, 0, 0) if boundary_meter else None
        heard = {"measured_at": at, "boundary": boundary}
        if told:
            stops = {"issued_at": at, "expires_at": at + 2 * REPORTING}
            assert passes(interlock, a_set_point(car_id="car-2", export_w=0, **stops))
        interlock.observe(
            [
                a_report_now(car_id="car-2", export_w=mate_w, **heard),
                a_report_now(car_id="car-1", **heard),
            ]
        )
    then = {"issued_at": at + timedelta(seconds=2), "expires_at": at + REPORTING}
    assert refused(interlock, car_id="car-1", export_w=car_w, **then)[0] == "P4"
    assert passes(interlock, a_set_point(car_id="car-1", export_w=100 if car_w > 0 else -3500, **then))


def test_p4_a_neighbour_that_was_told_less_a_moment_ago_is_taken_at_its_word():
    interlock = two_at_home(import_limit_kw=11.0)
    assert passes(interlock, a_set_point(car_id="car-2", export_w=-7400))
    soon = START + timedelta(seconds=20)
    stops = {"issued_at": soon, "expires_at": soon + REPORTING}
    assert passes(interlock, a_set_point(car_id="car-2", export_w=0, **stops))
    interlock.observe([a_report_now(car_id="car-2", export_w=-7450, measured_at=soon + timedelta(seconds=5))])
    assert passes(interlock, a_set_point(car_id="car-1", export_w=-7400, **stops))


def two_cars(at, car_w, mate_w, house_w, interlock=None, holds_s=120, site=None):
    """Tell the interlock what a home's two cars and its house do, and return it with a home of 11 kW."""
    site = site or a_site(import_limit_kw=11.0, boundary_meter=True)
    boundary = Boundary(car_w + mate_w - house_w, 0, 0)
    reports = [
        a_report_now(car_id=name, measured_at=at, export_w=watts, boundary=boundary)
        for name, watts in (("car-1", car_w), ("car-2", mate_w))
    ]
    if interlock is not None:
        interlock.observe(reports)
        return interlock
    cars = (
        a_car(car_id=f"car-{n}", charger=a_charger(charger_id=f"charger-{n}", discharge_kw=7.4), site=site)
        for n in (1, 2)
    )
    return an_interlock(*reports, fleet=Fleet(tuple(cars), "f" * 64))


def two_points(at, car_w, mate_w, holds_s=(120, 120)):
    return [
        a_set_point(car_id=name, export_w=watts, issued_at=at, expires_at=at + timedelta(seconds=holds))
        for name, watts, holds in (("car-1", car_w, holds_s[0]), ("car-2", mate_w, holds_s[1]))
    ]


LATER = START + timedelta(seconds=60)


def test_p4_cars_of_a_home_that_all_draw_less_at_once_pass():
    interlock = two_cars(START, 0, 0, 450)
    assert interlock.check(two_points(START, -3450, -7100)) == ()
    two_cars(LATER, -3450, -7100, 870, interlock)  # the fuse leaves 10,130 W
    assert interlock.check(two_points(LATER, -3310, -6810)) == ()
    too_much = interlock.check(two_points(LATER, -3310, -6900))
    assert [refusal.promise for refusal in too_much] == ["P4"]


def test_p4_cars_of_a_home_that_all_give_less_at_once_pass():
    site = a_site(export_limit_kw=5.0, boundary_meter=True, import_limit_kw=18.4)
    interlock = two_cars(START, 0, 0, 0, site=site)
    assert interlock.check(two_points(START, 2400, 2600)) == ()
    two_cars(LATER, 2400, 2600, -1000, interlock)  # panels give a kilowatt now
    assert interlock.check(two_points(LATER, 1900, 2000)) == ()


def test_p4_who_draws_less_makes_no_room_if_it_is_refused_itself():
    interlock = two_cars(START, 0, 0, 450)
    assert interlock.check(two_points(START, -3450, -7100)) == ()
    two_cars(LATER, -3450, -7100, 870, interlock)
    found = interlock.check(two_points(LATER, -3310, -6810, (120, 9_000)))
    assert {refusal.point.car_id for refusal in found} == {"car-1", "car-2"}
