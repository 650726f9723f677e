"""P2, the promise of departures: who could be as full as promised was."""

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter

from aggregator.audit.drivers import promised
from aggregator.audit.evidence import Evidence, Finding
from aggregator.energy import Tapers
from aggregator.model.fleet import Car
from aggregator.model.metering import Outcome
from aggregator.model.time import HOUR, Interval, utc_text
from aggregator.store import CarState

W_PER_KW = 1000.0
SURELY_TAKEN = 0.95
"""Share of the power that a car has to charge that it surely takes in: it is told once a cycle."""

RECENT = timedelta(minutes=5)
"""What is known of a simulated car so shortly before it was due is as it was then."""


def p2_departure(evidence: Evidence) -> Finding:
    """A car that could reach its target by the promised departure had it then, by true energy where known.

    None is broken where the car was told full power for so long that the rest could not have filled what is
    missing: it slowed down sooner than its registry entry says, or holds more.
    """
    checked, breaches = 0, []
    resolution = evidence.settings.dispatch.soc_resolution
    for car_id, states in evidence.states.items():
        for promise in promises(evidence, states):
            if not promise.reachable:
                continue
            checked += 1
            known = _truly(evidence, promise)
            if known.missed(resolution) and _had_time(evidence, known):
                breaches.append(
                    f"{car_id} stood at {known.soc_when_due:.3f} at {utc_text(promise.due_at)},"
                    f" promised {promise.target_soc:.3f}"
                )
    what = "departures promised, stated or by default, that the car was there for and could keep"
    return Finding("P2 departure", what, checked, tuple(breaches))


@dataclass(frozen=True, slots=True)
class Promise:
    """A driver's word while the car was plugged in, and what the car reported.

    Attributes:
        car: As it was when the word was first heard.
        sure_kw: What it could draw whatever the others of its home did.
        known_at: When that was.
        due_at: When it was to be as full as promised.
        target_soc: How full, as a fraction.
        soc_then: What it reported when the word was first heard.
        soc_when_due: What it reported last by then.
        soc_at: When that was so: what could be charged from then on is given credit for.
        reported_at: When it was reported.
    """

    car: Car
    sure_kw: float
    known_at: datetime
    due_at: datetime
    target_soc: float
    soc_then: float
    soc_when_due: float
    soc_at: datetime
    reported_at: datetime

    @property
    def reachable(self) -> bool:
        """Whether the car could surely get there from when the word was heard."""
        tapers, capacity_kwh = Tapers.of_car(self.car), self.car.capacity_kwh
        gained_kwh = SURELY_TAKEN * self._gain_kwh(self.due_at - self.known_at, self.sure_kw)
        reached_kwh = tapers.effort_kwh(self.soc_then * capacity_kwh) + gained_kwh
        return bool(reached_kwh >= tapers.effort_kwh(self.target_soc * capacity_kwh))

    @property
    def missing_kwh(self) -> float:
        """What was missing, had it charged at full power since it was last heard of. [kWh]"""
        full_kw = min(self.car.charger.charge_kw, self.car.site.import_limit_kw)
        since_kwh = self._gain_kwh(max(timedelta(0), self.due_at - self.soc_at), full_kw)
        return (self.target_soc - self.soc_when_due) * self.car.capacity_kwh - since_kwh

    def missed(self, resolution: float) -> bool:
        """Whether it was not kept, as far as a charge reported in steps of ``resolution`` can tell."""
        return self.missing_kwh > 2 * resolution * self.car.capacity_kwh

    def _gain_kwh(self, span: timedelta, power_kw: float) -> float:
        """Return what a power puts in while it does not taper. [kWh]"""
        return self.car.charger.eta_charge * power_kw * (span / HOUR)


def _truly(evidence: Evidence, promise: Promise) -> Promise:
    """Return a promise with what its car really held when it was due, where a simulation tells."""
    rows = evidence.truth.get(promise.car.car_id, ())
    row = rows[bisect_right(rows, promise.due_at, key=attrgetter("at")) - 1] if rows else None
    if row is None or not timedelta(0) <= promise.due_at - row.at <= RECENT:
        return promise
    soc = row.energy_kwh / evidence.true_capacity_kwh(promise.car)
    return replace(promise, soc_when_due=soc, soc_at=row.at)


def _had_time(evidence: Evidence, promise: Promise) -> bool:
    """Whether full power in place of what the car was told would have put in what was missing."""
    whole = Interval(promise.known_at, promise.due_at)
    sent = evidence.store.set_points.of_car(promise.car.car_id, whole)
    told = [one.point for one in sent if one.outcome is Outcome.ACCEPTED]
    left_kwh = promise.sure_kw * whole.hours
    for point, after in itertools.zip_longest(told, told[1:]):
        end = point.expires_at if after is None else min(point.expires_at, after.issued_at)
        stood = Interval(point.issued_at, end).overlap(whole) if end > point.issued_at else None
        if stood is not None:
            left_kwh -= min(promise.sure_kw, -point.export_w / W_PER_KW) * stood.hours
    return promise.car.charger.eta_charge * left_kwh >= promise.missing_kwh


def promises(evidence: Evidence, states: Sequence[CarState]) -> Iterator[Promise]:
    """Yield each promise that fell due while the car was plugged in and not boosted."""
    usable = [state for state in states if state.soc is not None or not state.plugged]
    for key, group in itertools.groupby(promised(evidence, usable), key=itemgetter(1)):
        said = [state for state, _ in group]
        fleet = evidence.fleets.at(said[0].measured_at)
        car = fleet.by_id.get(said[0].car_id)
        if key is None or car is None:
            continue
        due_at, target = key
        before = [state for state in said if state.measured_at <= due_at]
        then = bisect_right(usable, said[-1].measured_at, key=attrgetter("measured_at"))
        stayed = any(state.measured_at >= due_at for state in (said[-1], *usable[then : then + 1]))
        if not before or not stayed:
            continue
        first, last = before[0], before[-1]
        if first.soc is not None and last.soc is not None:
            soc_at = last.soc_at or due_at
            yield Promise(
                car,
                fleet.sure_kw(car),
                first.measured_at,
                due_at,
                target,
                first.soc,
                last.soc,
                soc_at,
                last.measured_at,
            )
