"""No discharge passes that would break a promise at the reported state: judged by arithmetic of its own."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.fleet import Car, ExportSource, Fleet
from aggregator.model.metering import SetPoint
from dispatch.interlock import Interlock
from tests.builders import EVENING, a_car, a_car_report, a_charger, a_set_point, a_site, an_intent

START = EVENING.start
REPORTING = timedelta(seconds=60)
HOUR = timedelta(hours=1)


@st.composite
def homes(draw):
    """Return cars that share one home."""
    site = a_site(
        export_limit_kw=draw(st.sampled_from([0.0, 3.68, 7.36, 11.0])),
        export_source=draw(st.sampled_from(ExportSource)),
        import_limit_kw=draw(st.sampled_from([7.0, 14.0, 23.0])),
        solar_kw=draw(st.sampled_from([0.0, 2.0])),
    )
    return tuple(
        a_car(
            car_id=f"car-{n}",
            capacity_kwh=draw(st.floats(20, 100)),
            floor_soc=draw(st.floats(0.1, 0.9)),
            default_intent=an_intent(target_soc=draw(st.floats(0.3, 1.0))),
            charger=a_charger(
                charger_id=f"charger-{n}",
                discharge_kw=draw(st.floats(1, 22)),
                eta_charge=draw(st.floats(0.7, 1)),
                eta_discharge=draw(st.floats(0.7, 1)),
            ),
            site=site,
        )
        for n in range(draw(st.integers(1, 3)))
    )


def reports_of(car):
    # most lie near the floor, where it matters
    near = st.floats(-0.02, 0.03).map(lambda by: min(1.0, max(0.0, max(0.3, car.floor_soc) + by)))
    return st.builds(
        a_car_report,
        car_id=st.just(car.car_id),
        measured_at=st.integers(-150, 150).map(lambda s: START + timedelta(seconds=s)),
        plugged=st.sampled_from([True, True, True, False]),
        soc=st.one_of(near, st.floats(0, 1), st.none()),
        boost=st.sampled_from([False, False, False, True]),
        depart_at=st.one_of(st.none(), st.integers(-30, 600).map(lambda m: START + timedelta(minutes=m))),
        target_soc=st.one_of(st.none(), st.floats(0.3, 1.0)),
    )


def points_for(car):
    return st.builds(
        a_set_point,
        car_id=st.just(car.car_id),
        export_w=st.one_of(st.integers(1, 12_000), st.integers(-12_000, 12_000)),
        issued_at=st.just(START),
        expires_at=st.integers(1, 150).map(lambda s: START + timedelta(seconds=s)),
    )


def passed(cars: tuple[Car, ...], reports, points) -> list[SetPoint]:
    interlock = Interlock(Fleet(cars, "f" * 64), REPORTING)
    interlock.observe(reports)
    refusals = interlock.check(points)
    assert interlock.checked == len(points)
    return [point for point in points if point not in {refusal.point for refusal in refusals}]


@st.composite
def rounds(draw):
    cars = draw(homes())
    reports = [draw(reports_of(car)) for car in cars]
    points = [draw(points_for(car)) for car in cars]
    return cars, reports, points


@given(rounds())
def test_what_passes_breaks_no_promise(found):
    cars, reports, _ = found
    by_id = {car.car_id: (car, report) for car, report in zip(cars, reports, strict=True)}
    for point in passed(*found):
        car, report = by_id[point.car_id]
        if point.export_w <= 0:
            continue
        assert report.plugged
        assert not report.boost
        assert START - report.measured_at <= 2 * REPORTING
        hours = (point.expires_at - min(report.measured_at, point.issued_at)) / HOUR
        left_kwh = report.soc * car.capacity_kwh - point.export_w / 1000 * hours / car.charger.eta_discharge
        assert left_kwh >= max(0.3, car.floor_soc) * car.capacity_kwh - 1e-5
        assert point.export_w <= car.charger.discharge_kw * 1000 + 1
        assert point.expires_at - point.issued_at <= timedelta(seconds=120)
        assert car.site.export_source is not ExportSource.NONE
        if report.depart_at is not None and report.target_soc is not None:
            to_go = max(timedelta(0), report.depart_at - point.expires_at) / HOUR
            charge_kw = min(car.charger.charge_kw, car.site.import_limit_kw)
            reach_kwh = left_kwh + car.charger.eta_charge * charge_kw * to_go
            assert reach_kwh >= report.target_soc * car.capacity_kwh - 1e-5


@given(rounds())
def test_what_passes_stays_within_the_homes_limits(found):
    site = found[0][0].site
    through = passed(*found)
    exported_w = sum(max(0, point.export_w) for point in through)
    imported_w = sum(max(0, -point.export_w) for point in through)
    assert exported_w <= max(0.0, site.export_limit_kw - site.solar_kw) * 1000 + 1
    assert imported_w <= site.import_limit_kw * 1000 + 1


@given(rounds())
def test_what_passed_once_passes_again(found):
    cars, reports, _ = found
    through = passed(*found)
    assert passed(cars, reports, through) == through
