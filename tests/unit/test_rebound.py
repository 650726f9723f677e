"""What a zone's cars draw while it refills, half-hour by half-hour."""

from datetime import UTC, datetime

import pytest

from aggregator.model.time import HALF_HOUR, HOUR
from aggregator.ports import Rebound
from dispatch.fleet_view import CarView
from dispatch.plan_run import PlanStep
from dispatch.rebound import within_peak
from tests.builders import a_car, a_car_report, a_charger, a_site

NOW = datetime(2025, 1, 15, 19, 0, tzinfo=UTC)
GUARD_SOC = 0.02


def a_view(**changes):
    report = a_car_report(measured_at=NOW, **{"depart_at": NOW + 12 * HOUR, "target_soc": 0.8, **changes})
    return CarView(a_car(charger=a_charger(min_kw=1.4)), report)


def drawn_kw(view, step, import_kw):
    refill = within_peak(
        {view.car.car_id: step}, [view], Rebound(NOW - HALF_HOUR, import_kw), 0.0, GUARD_SOC, NOW
    )
    return -refill.steps[view.car.car_id].export_kw


def test_a_plan_for_less_than_a_charger_holds_is_kept():
    assert drawn_kw(a_view(soc=0.79), PlanStep(-0.9, 0.0), import_kw=15.0) == 0.9


def test_a_car_waits_for_whom_less_is_left_than_its_charger_holds():
    assert drawn_kw(a_view(soc=0.79), PlanStep(-0.9, 0.0), import_kw=1.0) == 0.0
    assert drawn_kw(a_view(soc=0.3), PlanStep(-7.4, 0.0), import_kw=5.0) == pytest.approx(5.0, rel=0.01)


def test_nobody_is_told_more_than_its_charger_gives_however_late_it_is():
    late = a_view(soc=0.3, depart_at=NOW + HOUR)
    assert drawn_kw(late, PlanStep(0.0, 0.0), import_kw=60.0) == pytest.approx(7.4)


def test_who_has_to_draw_a_little_now_is_counted_with_what_the_charger_holds():
    stays = {"a": (0.57, 4.25), "b": (0.54, 2.75), "c": (0.61, 2.25), "d": (0.7, 8.0)}
    views = [
        CarView(
            a_car(car_id=name, charger=a_charger(min_kw=3.0), site=a_site(site_id=name)),
            a_car_report(car_id=name, measured_at=NOW, soc=soc, depart_at=NOW + hours * HOUR, target_soc=0.8),
        )
        for name, (soc, hours) in stays.items()
    ]
    steps = {name: PlanStep(-7.4 if name in "ad" else 0.0, 0.0) for name in stays}
    refill = within_peak(steps, views, Rebound(NOW - HALF_HOUR, 12.0), 0.0, GUARD_SOC, NOW)
    told_kw = [-step.export_kw for step in refill.steps.values() if step.export_kw < 0.0]
    assert sum(max(kw, 3.0) for kw in told_kw) <= refill.peak_kw


def test_nobody_draws_dear_energy_for_what_another_will_miss_in_any_case():
    late, patient = (
        CarView(
            a_car(car_id=name, site=a_site(site_id=name)),
            a_car_report(car_id=name, measured_at=NOW, soc=0.4, depart_at=NOW + hours * HOUR, target_soc=0.9),
        )
        for name, hours in (("late", 2.0), ("patient", 12.0))
    )
    steps = {"late": PlanStep(-7.4, 10.0, must_charge=True), "patient": PlanStep(0.0, 0.0)}
    refill = within_peak(steps, [late, patient], Rebound(NOW - HALF_HOUR, 60.0), 0.0, GUARD_SOC, NOW)
    assert [step.export_kw for step in refill.steps.values()] == [-7.4, 0.0]
