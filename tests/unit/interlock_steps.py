"""Steps that tests of the interlock share: a report just now, an interlock that heard it, what it says."""

from datetime import timedelta

from aggregator.model.fleet import Fleet
from dispatch.interlock import Interlock
from tests.builders import EVENING, a_car, a_car_report, a_set_point

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
