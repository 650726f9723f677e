"""The settlement job: from the store's facts, nominations and registers to statements, and to files.

What is settled is a function of what was known at a time; the same question gets the same bytes. A late or
corrected reading makes a new version of a statement, never an edit. Whose registers count is said by the
fleet in force at the window's start, whatever was imported since.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tenacity import retry, retry_if_exception_type, stop_after_attempt

from aggregator.baselines import Baseline
from aggregator.energy import Bias
from aggregator.lookback import DELIVERED_STAGES, Lookback, facts_of, known
from aggregator.metering_points import MeteringPoint, registers
from aggregator.model.errors import RuleViolation
from aggregator.model.fleet import Fleets
from aggregator.model.market import Nomination, Product
from aggregator.model.metering import Reading
from aggregator.model.opportunity import (
    AwardValued,
    Closed,
    DeliveryEnded,
    DeliveryStarted,
    Opportunity,
    Settled,
    Stage,
)
from aggregator.model.rules import IN_FULL
from aggregator.model.time import Interval, utc_text
from aggregator.outgoing import settlement_report_id
from aggregator.ports import Quality, Report, ReportRequest, ReportRow
from aggregator.settlement import (
    ESTIMATED,
    NO_REGISTER,
    RESTARTED,
    Line,
    Metered,
    Statement,
    baseline_of,
    is_over,
    settle,
    settled_from,
    settled_periods,
)
from aggregator.store import Store, StoredStatement
from aggregator.workflow import Workflow
from aggregator.zone_past import ZonePast

SETTLED_STAGES = DELIVERED_STAGES
WITHOUT_MONEY = (AwardValued, DeliveryStarted, DeliveryEnded, Settled, Closed)
"""Facts that no amount depends on: a settlement does not depend on itself."""

WH_PER_KWH = 1000.0
NONE_READ: Mapping[str, ZonePast] = {}
ATTEMPTS = 3
"""At one statement, where two runs of the job get in each other's way."""


@dataclass(frozen=True, slots=True)
class Worked:
    """A statement and what it was made from.

    Attributes:
        opportunity: As it was known.
        statement: Line by line.
        car_of: The zone's cars by meter: charger, or boundary of a home.
        nominations: By half-hour.
        readings: Each meter's in and around the window.
        meters: What these come to in each half-hour; of one that was not over yet nothing is known.
        beside: Others of the zone that had orders in the half-hours of it.
        inputs: Digest of each input, by name.
        digest: The statement's own.
    """

    opportunity: Opportunity
    statement: Statement
    car_of: Mapping[str, str]
    nominations: Mapping[Interval, Nomination]
    readings: Mapping[str, Sequence[Reading]]
    meters: Mapping[Interval, Sequence[Metered]]
    beside: Sequence[Opportunity]
    inputs: Mapping[str, str]
    digest: str

    @property
    def cars(self) -> tuple[str, ...]:
        """The zone's cars, by id."""
        return tuple(sorted(self.car_of.values()))


def work_out(
    store: Store,
    opportunity: Opportunity,
    product: Product,
    fleets: Fleets,
    as_known_at: datetime | None = None,
    history: ZonePast | None = None,
) -> Worked:
    """Settle one opportunity from the store, as known at a time.

    Args:
        store: Where facts, nominations and registers are.
        opportunity: As it was known then: see ``known``.
        product: Its rules.
        fleets: The one in force when its window starts counts.
        as_known_at: Only what was learnt by then; None for all.
        history: The zone's opportunities, where they were read for many; what it does not cover is read anew.
    """
    fleet = fleets.at(opportunity.window.start)
    periods = settled_periods(opportunity)
    window = Interval(periods[0].start, periods[-1].end)
    point = MeteringPoint.of(store, product, fleet, opportunity.zone)
    readings = registers(point.registers, sorted(point.car_of), window, as_known_at)
    frozen = store.nominations.between(opportunity.zone, window, as_known_at)
    nominations = {one.period: point.nominated(one) for one in frozen}
    look = _lookback(store, opportunity, product, fleets, as_known_at, history)
    past = look.past(product.baseline, sorted(point.car_of), periods[0].start)
    told = point.told(periods, as_known_at)
    meters = {
        period: row if is_over(period, as_known_at) else ()
        for period, row in point.metered(readings, periods, told).items()
    }
    beside = _beside(store, opportunity, window, as_known_at)
    statement = settle(opportunity, product, nominations, meters, point.car_of, past, beside, as_known_at)
    inputs = {
        "facts": _digest(
            repr(fact)
            for fact in facts_of(store, opportunity.opportunity_id, as_known_at)
            if not isinstance(fact, WITHOUT_MONEY)
        ),
        "nominations": _digest(repr(nominations[period]) for period in sorted(nominations)),
        "readings": _digest(
            [
                *(_reading_text(row) for rows in readings.values() for row in _bearing_on(window, rows)),
                *(f"{meter} {utc_text(period.start)} {wh}" for (meter, period), wh in sorted(told.items())),
            ]
        ),
        "product": _digest([repr(product)]),
        "fleet": fleet.digest,
    }
    if beside:
        inputs["other orders"] = _digest(f"{one.opportunity_id} {one.orders!r}" for one in beside)
    if look.told:
        inputs["past"] = _digest(look.told)
    return Worked(
        opportunity,
        statement,
        car_of=point.car_of,
        nominations=nominations,
        readings=readings,
        meters=meters,
        beside=beside,
        inputs=inputs,
        digest=_digest([repr(statement)]),
    )


def _beside(
    store: Store, opportunity: Opportunity, window: Interval, as_known_at: datetime | None
) -> tuple[Opportunity, ...]:
    """Return the zone's other opportunities that had an order in a window, as known at a time."""
    near = store.journal.find(zone=opportunity.zone, overlapping=window)
    others = [one for one in near if one.opportunity_id != opportunity.opportunity_id and one.orders]
    then = [one if as_known_at is None else known(store, one, as_known_at) for one in others]
    found = [
        one
        for one in then
        if any(change.instruction and change.instruction.window.overlap(window) for change in one.orders)
    ]
    return tuple(sorted(found, key=lambda one: one.opportunity_id))


def baseline_behind(
    store: Store, worked: Worked, product: Product, fleets: Fleets, as_known_at: datetime | None = None
) -> Baseline:
    """Return the baseline of a statement, with the days it was made from; arguments as in ``work_out``."""
    one = worked.opportunity
    look = _lookback(store, one, product, fleets, as_known_at)
    past = look.past(product.baseline, sorted(worked.car_of), settled_periods(one)[0].start)
    return baseline_of(one, product, worked.nominations, len(worked.car_of), past)


def biases_before(
    store: Store,
    opportunities: Iterable[Opportunity],
    products: Mapping[str, Product],
    fleets: Fleets,
    as_known_at: datetime | None = None,
    histories: Mapping[str, ZonePast] = NONE_READ,
) -> dict[str, Bias]:
    """Return the bias of nominations at windows' hours on uncalled days before them, by opportunity.

    What those of a zone have in common is read once; arguments as in ``work_out``.
    """
    alike: dict[tuple[str, str], list[Opportunity]] = {}
    for one in opportunities:
        alike.setdefault((one.zone, products[one.product_id].metering_point), []).append(one)
    found: dict[str, Bias] = {}
    for (zone, _), ones in alike.items():
        product = products[ones[0].product_id]
        look = _lookback(store, ones[0], product, fleets, as_known_at, histories.get(zone))
        biases = look.biases([one.window for one in ones])
        found |= {one.opportunity_id: bias for one, bias in zip(ones, biases, strict=True)}
    return found


def _lookback(
    store: Store,
    opportunity: Opportunity,
    product: Product,
    fleets: Fleets,
    as_known_at: datetime | None,
    history: ZonePast | None = None,
) -> Lookback:
    plain = replace(product, performance=IN_FULL)

    def settled(one: Opportunity) -> Statement:
        return work_out(store, one, plain, fleets, as_known_at, history).statement

    return Lookback(store, opportunity.zone, product, fleets, as_known_at, settled, history)


@retry(retry=retry_if_exception_type(RuleViolation), stop=stop_after_attempt(ATTEMPTS), reraise=True)
def settle_named(workflow: Workflow, fleets: Fleets, name: str) -> Worked:
    """Settle one opportunity and return its statement; where another run was faster, look at it again.

    Before its last half-hour is over it is as known now, and no version is kept.
    """
    one, now = workflow.store.journal.opportunity(name), workflow.now()
    early = now if now < settled_from(one) else None
    worked = work_out(workflow.store, one, workflow.products[one.product_id], fleets, early)
    if early is None:
        settle_opportunity(workflow, one, fleets, None, worked)
    return worked


def settle_opportunity(
    workflow: Workflow,
    opportunity: Opportunity,
    fleets: Fleets,
    request: ReportRequest | None,
    worked: Worked | None = None,
) -> Opportunity:
    """Record the statement of a delivered opportunity and queue its report; nothing new, nothing done.

    Args:
        workflow: Records the fact.
        opportunity: At least delivered.
        fleets: Whose cars, at any time.
        request: The platform's standing request for settlement reports; None where it made none.
        worked: The statement, where it has just been worked out.
    """
    product = workflow.products[opportunity.product_id]
    worked = worked or work_out(workflow.store, opportunity, product, fleets)
    known = workflow.store.statements.latest(opportunity.opportunity_id)
    if not is_due(known, worked):
        return opportunity
    version = opportunity.statement_version + 1
    statement = StoredStatement(
        name=opportunity.opportunity_id,
        version=version,
        reason=_reason(workflow.store, opportunity, product, fleets, worked),
        digest=worked.digest,
        body=repr(worked.statement).encode(),
    )
    reports = [settlement_report(worked, version, request, workflow.now())] if request is not None else []
    return workflow.settled(opportunity, statement, worked.statement.amount_gbp, reports)


def is_due(last: StoredStatement | None, worked: Worked) -> bool:
    """Whether a statement that was worked out is to be kept as a version.

    What was taken back before its window, by us or by the DNO, was neither held nor ordered: nothing of it is
    owed, and it has no statement.
    """
    if last is not None:
        return last.digest != worked.digest
    one = worked.opportunity
    return one.stage is not Stage.CLOSED or one.held_until is None or one.held_until > one.window.start


def _reason(store: Store, opportunity: Opportunity, product: Product, fleets: Fleets, worked: Worked) -> str:
    """Return why there is a new version: which inputs are others than those of the version before."""
    settled = versions_kept(store, opportunity.opportunity_id)
    if not settled:
        return "first settlement"
    at = settled[-1][0]
    before = work_out(store, known(store, opportunity, at), product, fleets, at).inputs
    changed = sorted(
        name for name in {*before, *worked.inputs} if before.get(name) != worked.inputs.get(name)
    )
    return f"{', '.join(changed) or 'the rules of settlement'} changed"


def versions_kept(store: Store, opportunity_id: str) -> list[tuple[datetime, Settled]]:
    """Return what was kept of each version of a statement, and when, in order."""
    return [
        (one.recorded_at, one.fact)
        for one in store.journal.facts(opportunity_id)
        if isinstance(one.fact, Settled)
    ]


def settlement_report(worked: Worked, version: int, request: ReportRequest, now: datetime) -> Report:
    """Return the report that tells a platform one version of a statement. [kWh per half-hour]"""
    one = worked.opportunity
    rows = tuple(
        row
        for line in worked.statement.lines
        for row in _line_rows(line, worked.nominations.get(line.period))
        if request.wants(row.r_id)
    )
    report_id = settlement_report_id(one.opportunity_id, version)
    return Report(report_id, one.vtn_id, request.request_id, "settlement", now, rows)


def _line_rows(line: Line, nomination: Nomination | None) -> Iterator[ReportRow]:
    zone, period = line.zone, line.period
    nominated_wh = nomination.export_wh if nomination is not None else 0
    known = Quality.GOOD if nomination is not None else Quality.MISSING
    yield ReportRow(f"{zone}/nominated_kwh", period, nominated_wh / WH_PER_KWH, known)
    doubtful = any(word in line.quality for word in (ESTIMATED, RESTARTED, NO_REGISTER))
    quality = Quality.ESTIMATED if doubtful else Quality.GOOD
    quality = Quality.MISSING if NO_REGISTER in line.quality.split("; ") else quality
    yield ReportRow(f"{zone}/metered_kwh", period, line.metered_export_wh / WH_PER_KWH, quality)
    quality = quality if line.is_settled else Quality.MISSING
    yield ReportRow(f"{zone}/delivered_kwh", period, line.delivered_wh / WH_PER_KWH, quality)


def _bearing_on(window: Interval, rows: Sequence[Reading]) -> Sequence[Reading]:
    """Return the readings of a meter that a window's figures rest on: those in it, and next to it."""
    first = bisect_right(rows, window.start, key=lambda row: row.measured_at)
    last = bisect_left(rows, window.end, key=lambda row: row.measured_at)
    return rows[max(0, first - 1) : last + 1]


def _reading_text(reading: Reading) -> str:
    return f"{reading.charger_id} {utc_text(reading.measured_at)} {reading.import_wh} {reading.export_wh}"


def _digest(parts: Iterable[str]) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode())
        state.update(b"\n")
    return state.hexdigest()
