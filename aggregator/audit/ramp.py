"""The promise on power moved per minute, on what ends by itself, and on emergency stops (P14)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest

from aggregator.audit.evidence import Evidence, Finding
from aggregator.model.figures import figure
from aggregator.model.fleet import Site
from aggregator.model.metering import Outcome, Purpose, SetPoint
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import utc_text
from aggregator.store import CarState, Halt

MINUTE = timedelta(minutes=1)
W_PER_KW = 1000.0
EXEMPT = (Purpose.BOOST, Purpose.MUST_CHARGE, Purpose.RELEASE)
"""A driver's right outranks the bound, and letting go must always be possible."""

FOLLOWS = timedelta(seconds=10)
"""A set-point that comes so soon after the last one's end takes its place: chargers need as long to move."""


def p14_ramp(evidence: Evidence) -> Finding:
    """The power moved per minute stays within its bounds, per zone and in all; one stops, two restart.

    A set-point that ends and has none after it is a move to nothing, but where it had to end: with its order
    (P5), of a car that had left or was silent (P12), or whose next was refused by interlock or charger. Who
    draws less at the very instant at which a car of the same home gets more by its driver's right makes room
    for it: that right outranks the bound.
    """
    limits = evidence.settings.dispatch
    moves = sorted(_moves(evidence))
    breaches = []
    start = 0
    for n, (at, zone, _) in enumerate(moves):
        while moves[start][0] <= at - MINUTE:
            start += 1
        window = moves[start : n + 1]
        in_zone = sum(kw for _, name, kw in window if name == zone)
        total = sum(kw for _, _, kw in window)
        if in_zone > limits.zone_ramp_kw_per_minute or total > limits.total_ramp_kw_per_minute:
            moved = f"{figure(in_zone, 2)} kW moved in a minute, {figure(total, 2)} in all"
            breaches.append(f"{zone} at {utc_text(at)}: {moved}")
    halts = evidence.store.halts.all()
    breaches += [breach for halt in halts for breach in _stop_breaches(halt, evidence)]
    what = f"changes of power, ends of set-points among them, and {len(halts)} emergency stops"
    return Finding("P14 ramp", what, len(moves), tuple(breaches), "each charger its own credential")


def _stop_breaches(halt: Halt, evidence: Evidence) -> Iterator[str]:
    """Yield who gave energy in a stopped zone, a cycle after the stop or later, and who restarted alone."""
    if halt.restarted_by is not None and halt.restarted_by == halt.first_restart_by:
        yield f"stop {halt.halt_id} was ended by {halt.restarted_by} alone"
    noticed_at = halt.at + timedelta(seconds=evidence.settings.dispatch.cycle_s)
    for one in evidence.accepted:
        point = one.point
        over = halt.restarted_at is not None and point.issued_at >= halt.restarted_at
        if point.export_w <= 0 or point.issued_at <= noticed_at or over:
            continue
        car = evidence.fleets.car(point.car_id, point.issued_at)
        if halt.zone is None or (car is not None and car.site.zone == halt.zone):
            at = utc_text(point.issued_at)
            yield f"{point.car_id} was told {point.export_w} W at {at}, in stop {halt.halt_id}"


def _moves(evidence: Evidence) -> Iterator[tuple[datetime, str, float]]:
    """Yield each change of power that the bound applies to: when, in which zone, how much. [kW]"""
    by_car: dict[str, list[SetPoint]] = defaultdict(list)
    tried: dict[str, list[datetime]] = defaultdict(list)
    for one in evidence.points:
        if one.outcome is Outcome.ACCEPTED:
            by_car[one.point.car_id].append(one.point)
        else:
            tried[one.point.car_id].append(one.point.issued_at)
    ends = {one.opportunity_id: _ends(one) for one in evidence.opportunities}
    changes: list[_Change] = []
    for car_id, points in by_car.items():
        stood_w = 0
        for point, after in zip_longest(points, points[1:]):
            car = evidence.fleets.car(car_id, point.issued_at)
            if car is not None and point.export_w != stood_w:
                changes.append(_Change(car.site, point, stood_w))
            stood_w = 0 if _is_over(point, after, ends) else point.export_w
            lapses = stood_w == 0 and point.export_w != 0 and not _had_to_end(point, ends, tried[car_id])
            if car is not None and lapses and _was_heard(point.expires_at, evidence, car_id):
                yield point.expires_at, car.site.zone, abs(point.export_w) / W_PER_KW
    risen = {one.home_then for one in changes if one.point.purpose in EXEMPT and one.draws_more}
    for change in changes:
        makes_room = change.draws_less and change.home_then in risen
        if change.point.purpose not in EXEMPT and not makes_room:
            yield change.point.issued_at, change.site.zone, abs(change.moved_w) / W_PER_KW


@dataclass(frozen=True, slots=True)
class _Change:
    """A set-point that differs from what its car did before. [W, export positive]"""

    site: Site
    point: SetPoint
    before_w: int

    @property
    def moved_w(self) -> int:
        return self.point.export_w - self.before_w

    @property
    def home_then(self) -> tuple[str, datetime]:
        return self.site.site_id, self.point.issued_at

    @property
    def draws_less(self) -> bool:
        return self.before_w < self.point.export_w <= 0

    @property
    def draws_more(self) -> bool:
        return self.point.export_w < min(0, self.before_w)


def _is_over(point: SetPoint, after: SetPoint | None, ends: Mapping[str, Collection[datetime]]) -> bool:
    """Whether a set-point ended, and what came after it, if anything, began from nothing."""
    if after is None or after.issued_at > point.expires_at + FOLLOWS:
        return True
    stops = point.export_w > 0 >= after.export_w and after.issued_at >= point.expires_at
    return stops and _ended_with_order(point, ends)


def _had_to_end(point: SetPoint, ends: Mapping[str, Collection[datetime]], tried: Sequence[datetime]) -> bool:
    refused = any(point.issued_at < at <= point.expires_at + FOLLOWS for at in tried)
    return refused or _ended_with_order(point, ends)


def _ended_with_order(point: SetPoint, ends: Mapping[str, Collection[datetime]]) -> bool:
    return point.expires_at in ends.get(point.opportunity_id or "", ())


def _ends(opportunity: Opportunity) -> Collection[datetime]:
    """Return when its orders end, each as it was given, and the opportunity itself."""
    given = [change.instruction for change in opportunity.orders if change.instruction is not None]
    return {opportunity.window.end, *(instruction.window.end for instruction in given)}


def _was_heard(at: datetime, evidence: Evidence, car_id: str) -> bool:
    """Whether a car was plugged in and known to be, before an instant and after it: it could be told."""
    states: Sequence[CarState] = evidence.states.get(car_id, ())
    place = bisect_right(states, at, key=lambda state: state.received_at)
    if not 0 < place < len(states):
        return False
    before, after = states[place - 1], states[place]
    longest = 2 * timedelta(seconds=evidence.settings.dispatch.reporting_interval_s)
    return before.plugged and after.plugged and after.received_at - before.received_at <= longest
