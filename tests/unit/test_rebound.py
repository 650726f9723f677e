"""What a zone's cars draw while it refills, half-hour by half-hour."""

from datetime import UTC, datetime

import numpy as np
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


@pytest.mark.parametrize("seed", range(20))
def test_what_chargers_make_of_their_steps_stays_under_the_peak(seed):
    """Who has to draw a little now draws what its charger holds."""
    draw, views = np.random.default_rng(seed), []
    for n in range(6):
        hours, soc = (
            (2.4, float(draw.uniform(0.592, 0.602))) if n == 0 else (10.0, float(draw.uniform(0.5, 0.7)))
        )
        leaves = NOW + hours * HOUR
        report = a_car_report(car_id=f"car-{n}", measured_at=NOW, soc=soc, depart_at=leaves, target_soc=0.8)
        home = a_site(site_id=f"home-{n}")
        views.append(CarView(a_car(car_id=f"car-{n}", charger=a_charger(min_kw=3.0), site=home), report))
    steps = {
        view.car.car_id: PlanStep(-float(draw.choice([0.0, 5.2, 7.4])) * (view is not views[0]), 0.0)
        for view in views
    }
    refill = within_peak(steps, views, Rebound(NOW - HALF_HOUR, 24.0), 0.0, GUARD_SOC, NOW)
    told_kw = [-refill.steps[view.car.car_id].export_kw for view in views]
    assert sum(max(kw, 3.0) for kw in told_kw if kw > 0.0) <= refill.peak_kw
