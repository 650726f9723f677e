"""The settlement job: from the store's facts, nominations and registers to statements, and to files.

What is settled is a function of what was known at a time; the same question gets the same bytes. A late or
corrected reading makes a new version of a statement, never an edit. Whose registers count is said by the
fleet in force at the window's start, whatever was imported since.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from aggregator.lookback import DELIVERED_STAGES, Lookback, facts_of, known
from aggregator.model.fleet import Fleets
from aggregator.model.market import Product
from aggregator.model.metering import Reading
from aggregator.model.opportunity import (
    Closed,
    DeliveryEnded,
    DeliveryStarted,
    Opportunity,
    Settled,
)
from aggregator.model.rules import IN_FULL
from aggregator.model.time import LONDON, Interval, utc_text
from aggregator.outgoing import settlement_report_id
from aggregator.ports import Quality, Report, ReportRequest, ReportRow
from aggregator.reports import StatementBook, StatementRow
from aggregator.settlement import (
    ESTIMATED,
    NO_REGISTER,
    RESTARTED,
    Line,
    Statement,
    metered,
    settle,
    settled_periods,
)
from aggregator.store import Store, StoredStatement
from aggregator.workflow import Workflow

SETTLED_STAGES = DELIVERED_STAGES
WITHOUT_MONEY = (DeliveryStarted, DeliveryEnded, Settled, Closed)
"""Facts that no amount depends on: a settlement does not depend on itself."""

AROUND = timedelta(hours=1)
"""Readings this far around a window are looked at, to interpolate a boundary that has none."""

WH_PER_KWH = 1000.0


@dataclass(frozen=True, slots=True)
class Worked:
    """A statement, the cars and nominations behind it, the digests of all inputs, and the statement's own."""

    opportunity: Opportunity
    statement: Statement
    cars: tuple[str, ...]
    nominated_wh: Mapping[Interval, int]
    inputs: Mapping[str, str]
    digest: str


def work_out(
    store: Store,
    opportunity: Opportunity,
    product: Product,
    fleets: Fleets,
    as_known_at: datetime | None = None,
) -> Worked:
    """Settle one opportunity from the store, as known at a time.

    Args:
        store: Where facts, nominations and registers are.
        opportunity: As it was known then: see ``known``.
        product: Its rules.
        fleets: The one in force when its window starts counts.
        as_known_at: Only what was learnt by then; None for all.
    """
    fleet = fleets.at(opportunity.window.start)
    periods = settled_periods(opportunity)
    window = Interval(periods[0].start, periods[-1].end)
    cars = fleet.in_zone(opportunity.zone)
    readings = registers(store, [car.charger.charger_id for car in cars], window, as_known_at)
    frozen = store.nominations.between(opportunity.zone, window, as_known_at)
    nominations = {one.period: one for one in frozen}
    car_of = {car.charger.charger_id: car.car_id for car in cars}
    look = _lookback(store, opportunity, product, fleets, as_known_at)
    past = look.past(product.baseline, sorted(car_of), periods[0].start)
    statement = settle(opportunity, product, nominations, metered(readings, periods), car_of, past)
    inputs = {
        "facts": _digest(
            repr(fact)
            for fact in facts_of(store, opportunity.opportunity_id, as_known_at)
            if not isinstance(fact, WITHOUT_MONEY)
        ),
        "nominations": _digest(repr(nominations[period]) for period in sorted(nominations)),
        "readings": _digest(_reading_text(row) for rows in readings.values() for row in rows),
        "product": _digest([repr(product)]),
        "fleet": fleet.digest,
    }
    if look.told:
        inputs["past"] = _digest(look.told)
    return Worked(
        opportunity,
        statement,
        cars=tuple(sorted(car_of.values())),
        nominated_wh={period: one.export_wh for period, one in nominations.items()},
        inputs=inputs,
        digest=_digest([repr(statement)]),
    )


def _lookback(
    store: Store, opportunity: Opportunity, product: Product, fleets: Fleets, as_known_at: datetime | None
) -> Lookback:
    plain = replace(product, performance=IN_FULL)

    def settled(one: Opportunity) -> Statement:
        return work_out(store, one, plain, fleets, as_known_at).statement

    return Lookback(store, opportunity.zone, product.product_id, fleets, as_known_at, settled)


def registers(
    store: Store, chargers: Sequence[str], window: Interval, as_known_at: datetime | None = None
) -> dict[str, list[Reading]]:
    """Return each charger's readings in and around a window, ascending, those without any left out.

    A charger that was silent around the window brings its last reading before it: a register nobody has
    seen moving stands where it stood.
    """
    wide = Interval(window.start - AROUND, window.end + AROUND)
    found: dict[str, list[Reading]] = {}
    for reading in store.readings.between(chargers, wide, as_known_at=as_known_at):
        found.setdefault(reading.charger_id, []).append(reading)
    late = [name for name in chargers if name not in found or found[name][0].measured_at > window.start]
    for reading in store.readings.last_before(late, wide.start, as_known_at=as_known_at):
        found.setdefault(reading.charger_id, []).insert(0, reading)
    return dict(sorted(found.items()))


def settle_opportunity(
    workflow: Workflow, opportunity: Opportunity, fleets: Fleets, request: ReportRequest | None
) -> Opportunity:
    """Record the statement of a delivered opportunity and queue its report; nothing new, nothing done.

    Args:
        workflow: Records the fact.
        opportunity: At least delivered.
        fleets: Whose cars, at any time.
        request: The platform's standing request for settlement reports; None where it made none.
    """
    product = workflow.products[opportunity.product_id]
    worked = work_out(workflow.store, opportunity, product, fleets)
    known = workflow.store.statements.latest(opportunity.opportunity_id)
    if known is not None and known.digest == worked.digest:
        return opportunity
    version = opportunity.statement_version + 1
    statement = StoredStatement(
        name=opportunity.opportunity_id,
        version=version,
        reason="first settlement" if version == 1 else "readings changed",
        digest=worked.digest,
        body=repr(worked.statement).encode(),
    )
    reports = [settlement_report(worked, version, request, workflow.now())] if request is not None else []
    return workflow.settled(opportunity, statement, worked.statement.amount_gbp, reports)


def make_book(
    store: Store,
    products: Mapping[str, Product],
    fleets: Fleets,
    start: date,
    end: date,
    zone: str | None = None,
    as_known_at: datetime | None = None,
) -> StatementBook:
    """Return the statement of all half-hours whose London date lies in ``start`` to ``end``, end excluded.

    What has been delivered has rows. With ``as_known_at`` they say what was known of it then, its orders,
    award and nomination included: where there was neither an award nor an order yet, there are no rows.
    """
    span = Interval(
        datetime.combine(start, datetime.min.time(), LONDON),
        datetime.combine(end, datetime.min.time(), LONDON),
    )
    now_there = span if as_known_at is None else None  # a window may have been another one then
    delivered = store.journal.find(zone=zone, stages=SETTLED_STAGES, overlapping=now_there)
    found = [one if as_known_at is None else known(store, one, as_known_at) for one in delivered]
    ordered = [one for one in found if one.award is not None or one.orders]
    rows: list[StatementRow] = []
    inputs: dict[str, str] = {}
    for opportunity in sorted(ordered, key=lambda one: (one.zone, one.window, one.opportunity_id)):
        if opportunity.window.overlap(span) is None:
            continue
        worked = work_out(store, opportunity, products[opportunity.product_id], fleets, as_known_at)
        rows += [
            StatementRow(line, opportunity.statement_version, worked.cars)
            for line in worked.statement.lines
            if start <= line.settlement_date < end
        ]
        inputs |= {f"{opportunity.opportunity_id} {name}": digest for name, digest in worked.inputs.items()}
    return StatementBook(start, end, zone, tuple(rows), inputs)


def settlement_report(worked: Worked, version: int, request: ReportRequest, now: datetime) -> Report:
    """Return the report that tells a platform one version of a statement. [kWh per half-hour]"""
    one = worked.opportunity
    rows = tuple(
        row
        for line in worked.statement.lines
        for row in _line_rows(line, worked.nominated_wh.get(line.period, 0))
        if request.wants(row.r_id)
    )
    report_id = settlement_report_id(one.opportunity_id, version)
    return Report(report_id, one.vtn_id, request.request_id, "settlement", now, rows)


def _line_rows(line: Line, nominated_wh: int) -> Iterator[ReportRow]:
    zone, period = line.zone, line.period
    yield ReportRow(f"{zone}/nominated_kwh", period, nominated_wh / WH_PER_KWH)
    doubtful = any(word in line.quality for word in (ESTIMATED, RESTARTED, NO_REGISTER))
    quality = Quality.ESTIMATED if doubtful else Quality.GOOD
    quality = Quality.MISSING if line.quality.split("; ")[0] == NO_REGISTER else quality
    yield ReportRow(f"{zone}/metered_kwh", period, line.metered_export_wh / WH_PER_KWH, quality)
    yield ReportRow(f"{zone}/delivered_kwh", period, line.delivered_wh / WH_PER_KWH, quality)


def _reading_text(reading: Reading) -> str:
    return f"{reading.charger_id} {utc_text(reading.measured_at)} {reading.import_wh} {reading.export_wh}"


def _digest(parts: Iterable[str]) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode())
        state.update(b"\n")
    return state.hexdigest()
