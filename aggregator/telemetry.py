"""Zone totals for a platform: energy and mean power per interval, from registers. Cars stay with us."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from aggregator.model.fleet import Fleet
from aggregator.model.time import Interval
from aggregator.ports import Report, ReportRequest, ReportRow
from aggregator.settlement import metered
from aggregator.settling import registers
from aggregator.store import Store

WH_PER_KWH = 1000.0
ONLINE = 1.0


def telemetry_report(
    store: Store, fleet: Fleet, zones: Sequence[str], request: ReportRequest, span: Interval, now: datetime
) -> Report | None:
    """Return the report of one span, None where the request's window leaves nothing of it.

    The energies of consecutive intervals add to the Wh, as each is a step between two registers. What the
    granularity does not divide has a shorter last interval.
    """
    asked = span.overlap(request.window) if request.window is not None else span
    if asked is None:
        return None
    periods = _cut(asked, request.granularity)
    rows: list[ReportRow] = []
    for zone in zones:
        chargers = [car.charger.charger_id for car in fleet.in_zone(zone)]
        meters = metered(registers(store, chargers, asked), periods)
        for period in periods:
            wh = sum(meter.export_wh for meter in meters[period])
            kwh = wh / WH_PER_KWH
            rows.append(ReportRow(f"{zone}/export_kw", period, kwh / period.hours))
            rows.append(ReportRow(f"{zone}/export_kwh", period, kwh))
    report_id = f"telemetry:{request.request_id}:{asked.start:%Y%m%dT%H%M%S}"
    return Report(report_id, request.vtn_id, request.request_id, "telemetry", now, tuple(rows))


def _cut(span: Interval, length: timedelta) -> list[Interval]:
    if length <= timedelta(0):
        return [span]
    count = -(-(span.end - span.start) // length)
    bounds = [span.start + n * length for n in range(count)] + [span.end]
    return [Interval(start, end) for start, end in pairwise(bounds)]


def status_report(zones: Sequence[str], request: ReportRequest, span: Interval, now: datetime) -> Report:
    """Return the report that says which zones are online."""
    rows = tuple(ReportRow(f"{zone}/status", span, ONLINE) for zone in zones)
    report_id = f"status:{request.request_id}:{span.start:%Y%m%dT%H%M%S}"
    return Report(report_id, request.vtn_id, request.request_id, "status", now, rows)


def due_spans(request: ReportRequest, since: datetime, now: datetime, lag: timedelta) -> list[Interval]:
    """Return the spans that a periodic request is owed since ``since``: whole multiples of its period.

    Args:
        request: With a back duration above 0.
        since: End of the last span sent.
        now: Domain instant.
        lag: How long after a span its readings are surely in.
    """
    spans = []
    start = since
    while start + request.back_duration + lag <= now:
        spans.append(Interval(start, start + request.back_duration))
        start += request.back_duration
    return spans
