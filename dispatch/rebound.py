"""After an event: batteries are emptier than was planned, and all want to be filled at once.

A zone that was called draws no more afterwards than the most it nominated, as long as no driver needs it: of
the cars that would charge in a half-hour, those go first that can wait least. A car that can't wait another
half-hour goes whatever the zone draws (P2). Cars that begin to charge right after the event do so one by one
within ten minutes, each always at its own moment, so that a zone's load does not jump; so do those that a
later half-hour starts, until the zone has refilled.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.model.time import HALF_HOUR, floor_half_hour
from aggregator.ports import Rebound
from dispatch.fleet_view import CarView
from dispatch.plan_run import PlanStep, charges_from

SPREAD = timedelta(seconds=600)
TOUCH_KW = 1e-6


def within_peak(
    steps: Mapping[str, PlanStep], views: Sequence[CarView], rebound: Rebound | None, now: datetime
) -> Mapping[str, PlanStep]:
    """Return a half-hour's steps with charging held back that would lift the zone above its nominated peak.

    Args:
        steps: Of the cars' own plans.
        views: The cars.
        rebound: Of their zone; None where nothing was called lately.
        now: Domain instant.
    """
    if rebound is None:
        return steps
    eased = dict(steps)
    room_kw = rebound.import_kw + sum(max(0.0, step.export_kw) for step in steps.values())
    charging = [view for view in views if steps[view.car.car_id].export_kw < -TOUCH_KW]
    for view in sorted(charging, key=lambda one: (charges_from(one, now), one.car.car_id)):
        step = steps[view.car.car_id]
        room_kw += step.export_kw
        can_wait = not step.must_charge and charges_from(view, now) - now > HALF_HOUR
        if room_kw < -TOUCH_KW and can_wait:
            room_kw -= step.export_kw
            eased[view.car.car_id] = replace(step, export_kw=0.0)
    return eased


def waits(view: CarView, rebound: Rebound | None, now: datetime) -> bool:
    """Whether a car that would begin to charge waits for its own moment, after the event or in the half-hour.

    A plan starts many cars in the same half-hour; while a zone refills they do not start in the same minute.
    """
    if rebound is None:
        return False
    share = int.from_bytes(hashlib.sha256(view.car.car_id.encode()).digest()[:4], "big") / 2**32
    begun = view.moving_kw(now) < -TOUCH_KW
    from_when = max(rebound.ended_at, floor_half_hour(now))
    return not begun and now < from_when + share * SPREAD and charges_from(view, now) > now + SPREAD
