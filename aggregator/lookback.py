"""What rules look back on, from the store: a zone's past half-hours, its days with events, its nominations.

All of it is as known at a time, so that a statement can be made again. A past half-hour is told from
registers read at its boundaries, or next to them: where these lie half an hour apart at most, or the
registers did not move; or from what its meters' operators say of it. Days before a charger's first reading
are not days without use, and a half-hour with an event says nothing of use without one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
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
from aggregator.zone_past import ZonePast

ONE_DAY = timedelta(days=1)
HALF_A_DAY = timedelta(hours=12)
NOON = time(12)
BIAS_DAYS = 60
"""So far back the bias of nominations is looked for."""

TWO_MONTHS = 62
"""A month's days and those of the month before it, at most."""

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


def histories_behind(
    store: Store,
    opportunities: Sequence[Opportunity],
    products: Mapping[str, Product],
    as_known_at: datetime | None,
) -> dict[str, ZonePast]:
    """Return each zone's past as far back as statements of some opportunities look, and their versions.

    No version is made before its window.

    Args:
        store: Where it is.
        opportunities: As known at the time.
        products: Their rules.
        as_known_at: Only what was learnt by then; None for all.
    """
    zones: dict[str, list[Opportunity]] = {}
    for one in opportunities:
        zones.setdefault(one.zone, []).append(one)
    found: dict[str, ZonePast] = {}
    for zone, ones in zones.items():
        starts = [one.window.start for one in ones]
        again = any(one.statement_version > (as_known_at is None) for one in ones)
        since = min([*starts, as_known_at or starts[0]]) if again else as_known_at
        days = [BIAS_DAYS, TWO_MONTHS, *(products[one.product_id].baseline.lookback_days for one in ones)]
        first = min(starts).astimezone(LONDON).date() - (max(days) + 1) * ONE_DAY
        last = max(one.window.end for one in ones).astimezone(LONDON).date()
        span = Interval(local_day(first).start, _span(last.replace(day=1)).end)
        found[zone] = ZonePast.of(store, zone, span, since)
    return found


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
        history: The zone's opportunities, where they were read for many questions; others read them anew.
        told: Every answer given, as text: part of what a statement was made from.
    """

    store: Store
    zone: str
    product: Product
    fleets: Fleets
    as_known_at: datetime | None
    settled: Callable[[Opportunity], Statement]
    history: ZonePast | None = None
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

    def biases(self, windows: Sequence[Interval]) -> list[Bias]:
        """Return for each window the bias of nominations at its local hours on the days before it (P13).

        Days from noon to noon without any event in the zone count, as far back as ``BIAS_DAYS``: what an
        event does lasts through the night after it. What windows have in common is read once.
        """
        start = min(_bias_start(window) for window in windows)
        span = Interval(start, max(window.end for window in windows))
        frozen = {
            one.period: one for one in self.store.nominations.between(self.zone, span, self.as_known_at)
        }
        at_time: dict[time, list[Interval]] = {}
        for period in frozen:
            at_time.setdefault(period.start.astimezone(LONDON).time(), []).append(period)
        halves = _half_days(self._event_periods(span))
        days_of = [_uncalled(window, at_time, halves) for window in windows]
        points = {one[0].start: self._point(one[0].start) for days in days_of for one in days}
        metered = self._of_days([(points[one[0].start], one) for days in days_of for one in days])
        found = []
        for days in days_of:
            pairs: list[tuple[float, float]] = []
            for periods in days:
                point = points[periods[0].start]
                told = (metered[_meters(point), period] for period in periods)
                pairs += [
                    (point.nominated(frozen[period]).export_wh / WH_PER_KWH, wh / WH_PER_KWH)
                    for period, wh in zip(periods, told, strict=True)
                    if wh is not None
                ]
            nominated, exported = np.array(pairs).reshape(-1, 2).T
            found.append(nomination_bias(nominated, exported, np.zeros(len(nominated), dtype=np.bool_)))
        return found

    def _of_days(
        self, days: Iterable[tuple[MeteringPoint, Sequence[Interval]]]
    ) -> Mapping[tuple[tuple[str, ...], Interval], int | None]:
        """Return what all of some meters told of half-hours, each half-hour of a day read once. [Wh]"""
        wanted: dict[tuple[date, tuple[str, ...]], set[Interval]] = {}
        for point, periods in days:
            wanted.setdefault((_noon_day(periods[0].start), _meters(point)), set()).update(periods)
        found: dict[tuple[tuple[str, ...], Interval], int | None] = {}
        for (_, meters), some in wanted.items():
            told = zip(sorted(some), self._usage(sorted(some), meters, EVERY_METER), strict=True)
            found |= {(meters, period): wh for period, wh in told}
        return found

    def _event_periods(self, span: Interval) -> frozenset[Interval]:
        """Return the half-hours in which the zone had an event, of whatever product."""
        return frozenset(period for one in self._ordered(span) for period in half_hours(one.window))

    def _ordered(self, span: Interval, product: str | None = None) -> list[Opportunity]:
        """Return the opportunities in a span that were awarded or ordered, as known at the time."""
        at, history = self.as_known_at, self.history
        if history is None or not history.covers(span, at):
            history = ZonePast.of(self.store, self.zone, span, at)
        found = history.within(span, at)
        return [one for one in found if product is None or one.product_id == product]

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


def _bias_start(window: Interval) -> datetime:
    return local_day(_noon_day(window.start) - BIAS_DAYS * ONE_DAY).start


def _uncalled(
    window: Interval, at_time: Mapping[time, Sequence[Interval]], halves: Collection[tuple[date, bool]]
) -> list[list[Interval]]:
    """Return the half-hours to compare for the bias at a window's hours, by day from noon to noon.

    Args:
        window: The window.
        at_time: The half-hours nominated, by local time.
        halves: See ``_half_days``. Of the morning that is left of the day before the first one, only events
            of that morning count.
    """
    start, day_after = _bias_start(window), _noon_day(window.start)
    first = day_after - BIAS_DAYS * ONE_DAY
    hours = {period.start.astimezone(LONDON).time() for period in half_hours(window)}
    days: dict[date, list[Interval]] = {}
    for period in sorted(period for hour in hours for period in at_time.get(hour, ()) if period.end > start):
        day = _noon_day(period.start)
        called = (day + ONE_DAY, True) in halves or (day >= first and (day, False) in halves)
        if day < day_after and not called:
            days.setdefault(day, []).append(period)
    return list(days.values())


def _half_days(periods: Iterable[Interval]) -> frozenset[tuple[date, bool]]:
    """Return the local days on which half-hours lie, and whether before noon."""
    local = (period.start.astimezone(LONDON) for period in periods)
    return frozenset((at.date(), at.time() < NOON) for at in local)


def _meters(point: MeteringPoint) -> tuple[str, ...]:
    return tuple(sorted(point.car_of))


def _days(periods: Iterable[Interval]) -> frozenset[date]:
    return frozenset(period.start.astimezone(LONDON).date() for period in periods)


def _noon_day(instant: datetime) -> date:
    """Return the local day from whose noon to the next an instant lies."""
    return (instant.astimezone(LONDON).replace(tzinfo=None) - HALF_A_DAY).date()


def _span(month: date) -> Interval:
    """Return the local calendar month whose first day is given."""
    following = (month + timedelta(days=31)).replace(day=1)
    return Interval(local_day(month).start, local_day(following).start)
