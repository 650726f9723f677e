"""What rules look back on, from the store: a zone's past half-hours, its days with events, its nominations.

All of it is as known at a time, so that a statement can be made again. A past half-hour is told from
registers read at its boundaries, or next to them: where these lie half an hour apart at most, or the
registers did not move; or from what its meters' operators say of it. Days before a charger's first reading
are not days without use, and a half-hour with an event says nothing of use without one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import takewhile

import numpy as np

from aggregator.energy import Bias, nomination_bias
from aggregator.metering_points import MeteringPoint
from aggregator.model.fleet import Fleets
from aggregator.model.market import Product
from aggregator.model.opportunity import Fact, Opportunity, Stage, replay
from aggregator.model.rules import BaselineRule, FactorRule
from aggregator.model.time import (
    HALF_HOUR,
    LONDON,
    Interval,
    half_hours,
    local_day,
    settlement_periods,
    utc_text,
)
from aggregator.operators_meters import told_by_operators
from aggregator.performance import Months
from aggregator.registers import is_energy, net_wh_at
from aggregator.settlement import Past, Statement
from aggregator.store import Around, Store

ONE_DAY = timedelta(days=1)
HALF_A_DAY = timedelta(hours=12)
BIAS_DAYS = 60
"""So far back the bias of nominations is looked for."""

EVERY_METER = 1.0
WH_PER_KWH = 1000.0
DELIVERED_STAGES = (Stage.DELIVERED, Stage.SETTLED, Stage.CLOSED)


def known(store: Store, opportunity: Opportunity, at: datetime) -> Opportunity:
    """Return an opportunity as it was known at a time; one without facts where nothing was known of it."""
    return replay(opportunity.opportunity_id, facts_of(store, opportunity.opportunity_id, at))


def facts_of(store: Store, opportunity_id: str, as_known_at: datetime | None) -> list[Fact]:
    """Return the facts recorded by a time, up to the first that was not: only so can they be replayed."""
    recorded = store.journal.facts(opportunity_id)
    if as_known_at is not None:
        recorded = list(takewhile(lambda one: one.recorded_at <= as_known_at, recorded))
    return [one.fact for one in recorded]


@dataclass(frozen=True, slots=True)
class Lookback:
    """One zone's past, as a product's rules ask for it.

    Attributes:
        store: Where it is.
        zone: Whose.
        product: Of which product's deliveries, and where it is metered.
        fleets: Whose cars, at any time.
        as_known_at: Only what was learnt by then; None for all.
        settled: Settles one opportunity, without factors.
        told: Every answer given, as text: part of what a statement was made from.
    """

    store: Store
    zone: str
    product: Product
    fleets: Fleets
    as_known_at: datetime | None
    settled: Callable[[Opportunity], Statement]
    told: list[str] = field(default_factory=list)

    def past(self, rule: BaselineRule, chargers: Sequence[str], start: datetime) -> Past:
        """Return what an event that begins at ``start`` may look back on, with the chargers it has."""
        busy: frozenset[Interval] = frozenset()
        if rule.looks_back:
            day = start.astimezone(LONDON).date()
            span = Interval(local_day(day - rule.lookback_days * ONE_DAY).start, local_day(day).end)
            busy = self._event_periods(span)
            self.told.extend(f"event at {utc_text(period.start)}" for period in sorted(busy))

        def usage(periods: Sequence[Interval]) -> list[int | None]:
            told = self._usage(periods, chargers, rule.least_measured)
            return [None if period in busy else wh for period, wh in zip(periods, told, strict=True)]

        return Past(usage, _days(busy), Months(self._delivery, self._schedule))

    def bias(self, window: Interval) -> Bias:
        """Return the bias of the zone's nominations at a window's local hours on the days before it (P13).

        Days from noon to noon without any event in the zone count, as far back as ``BIAS_DAYS``: what an
        event does lasts through the night after it.
        """
        first_day = _noon_day(window.start)
        span = Interval(local_day(first_day - BIAS_DAYS * ONE_DAY).start, window.start)
        frozen = {
            one.period: one for one in self.store.nominations.between(self.zone, span, self.as_known_at)
        }
        busy = {_noon_day(period.start) for period in self._event_periods(Interval(span.start, window.end))}
        hours = {period.start.astimezone(LONDON).time() for period in half_hours(window)}
        days: dict[date, list[Interval]] = {}
        for period in sorted(frozen):
            day = _noon_day(period.start)
            if period.start.astimezone(LONDON).time() in hours and day not in busy and day < first_day:
                days.setdefault(day, []).append(period)
        pairs: list[tuple[float, float]] = []
        for periods in days.values():
            point = self._point(periods[0].start)
            told = self._usage(periods, sorted(point.car_of), EVERY_METER)
            pairs += [
                (point.nominated(frozen[period]).export_wh / WH_PER_KWH, wh / WH_PER_KWH)
                for period, wh in zip(periods, told, strict=True)
                if wh is not None
            ]
        nominated, metered = np.array(pairs).reshape(-1, 2).T
        return nomination_bias(nominated, metered, np.zeros(len(nominated), dtype=np.bool_))

    def _event_periods(self, span: Interval) -> frozenset[Interval]:
        """Return the half-hours in which the zone had an event, of whatever product."""
        return frozenset(period for one in self._ordered(span) for period in half_hours(one.window))

    def _ordered(self, span: Interval, product: str | None = None) -> list[Opportunity]:
        """Return the opportunities in a span that were awarded or ordered, as known at the time."""
        at = self.as_known_at
        now_there = span if at is None else None  # a window may have been another one then
        found = self.store.journal.find(zone=self.zone, product=product, overlapping=now_there)
        then = [one if at is None else known(self.store, one, at) for one in found]
        awarded = [one for one in then if one.award is not None or one.orders]
        return [one for one in awarded if one.window.overlap(span) is not None]

    def _usage(
        self, periods: Sequence[Interval], chargers: Sequence[str], least_measured: float
    ) -> list[int | None]:
        """Return the chargers' net export in each half-hour, None where too few registers tell. [Wh]"""
        if not periods:
            return []
        bounds = sorted({bound for period in periods for bound in (period.start, period.end)})
        point = self._point(bounds[0])
        around = point.registers.at_or_around(chargers, bounds, self.as_known_at)
        told = told_by_operators(point.intervals, chargers, periods, self.as_known_at)
        answers: list[int | None] = []
        for period in periods:
            known = (told.get((name, period), _step_wh(around, name, period)) for name in chargers)
            steps = [wh for wh in known if wh is not None]
            enough = bool(steps) and len(steps) >= least_measured * len(chargers)
            answers.append(sum(steps) if enough else None)
        self.told.extend(f"{utc_text(one.start)} {wh}" for one, wh in zip(periods, answers, strict=True))
        return answers

    def _point(self, at: datetime) -> MeteringPoint:
        return MeteringPoint.of(self.store, self.product, self.fleets.at(at), self.zone)

    def _delivery(self, month: date) -> tuple[int, int]:
        """Return what was delivered and instructed in events that began in a local month. [Wh]"""
        lines = [
            line
            for one in self._ordered(_span(month), self.product.product_id)
            if one.stage in DELIVERED_STAGES and one.window.start in _span(month)
            for line in self.settled(one).lines
            if line.is_settled
        ]
        sums = sum(line.delivered_wh for line in lines), sum(line.instructed_wh for line in lines)
        self.told.append(f"delivery {month} {sums}")
        return sums

    def _schedule(self, month: date, rule: FactorRule) -> list[tuple[int, int]]:
        """Return exported and nominated energy of the half-hours a month's schedule is measured in. [Wh]

        Those of the rule's settlement periods, on local days without an event, nominated and metered.
        """
        span = _span(month)
        frozen = self.store.nominations.between(self.zone, span, self.as_known_at)
        nominated = {one.period: one for one in frozen}
        busy = _days(self._event_periods(span))
        pairs: list[tuple[int, int]] = []
        day = month
        while local_day(day).start < span.end:
            periods = settlement_periods(day)[rule.first_period - 1 : rule.last_period]
            wanted = [period for period in periods if period in nominated and day not in busy]
            if wanted:
                point = self._point(wanted[0].start)
                told = zip(
                    self._usage(wanted, sorted(point.car_of), rule.least_measured), wanted, strict=True
                )
                pairs += [
                    (wh, point.nominated(nominated[period]).export_wh)
                    for wh, period in told
                    if wh is not None
                ]
            day += ONE_DAY
        self.told.append(f"schedule {month} {pairs}")
        return pairs


_Bounds = dict[tuple[str, datetime], Around]


def _step_wh(around: _Bounds, charger: str, period: Interval) -> int | None:
    first, last = around[charger, period.start], around[charger, period.end]
    start, end = _net_wh(first, period.start), _net_wh(last, period.end)
    if start is None or end is None or first.after is None or last.before is None:
        return None
    if first.after.measured_at < last.before.measured_at and not is_energy(first.after, last.before):
        return None  # a register restarted in between
    return end - start


def _net_wh(around: Around, instant: datetime) -> int | None:
    """Return export less import register at an instant, on the line between its neighbours. [Wh]"""
    before, after = around.before, around.after
    if before is None or after is None or not is_energy(before, after):
        return None
    stood_still = (before.import_wh, before.export_wh) == (after.import_wh, after.export_wh)
    apart = after.measured_at - before.measured_at
    if apart > HALF_HOUR and not stood_still:
        return None
    return net_wh_at(before, after, instant)


def _days(periods: Iterable[Interval]) -> frozenset[date]:
    return frozenset(period.start.astimezone(LONDON).date() for period in periods)


def _noon_day(instant: datetime) -> date:
    """Return the local day from whose noon to the next an instant lies."""
    return (instant.astimezone(LONDON).replace(tzinfo=None) - HALF_A_DAY).date()


def _span(month: date) -> Interval:
    """Return the local calendar month whose first day is given."""
    following = (month + timedelta(days=31)).replace(day=1)
    return Interval(local_day(month).start, local_day(following).start)
