"""What was measured, for a platform: zone energy and power per interval, from registers. Cars stay with us.

An interval is told once it is over and its readings are surely in, never before. A value says how far it can
be relied on: good where every charger's registers are known at both ends, estimated where one lies between
two readings or is missing, and missing, not nothing, where no charger of the zone said anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from aggregator.model.fleet import Fleet
from aggregator.model.metering import Reading
from aggregator.model.time import Interval
from aggregator.ports import Quality, Report, ReportRequest, ReportRow
from aggregator.settlement import Metered, metered
from aggregator.store import Around, Store

WH_PER_KWH = 1000.0
ONLINE, OFFLINE = 1.0, 0.0
MOST_VALUES = 1000
"""In one report: some 250 KB, a quarter of what platforms take at most."""

VALUES = {"telemetry": ("export_kw", "export_kwh"), "history": ("export_kwh",), "status": ("status",)}
Bounds = Mapping[tuple[str, datetime], Around]


def measured_report(
    store: Store, fleet: Fleet, zones: Sequence[str], request: ReportRequest, span: Interval, now: datetime
) -> Report:
    """Return the report of one span: energy and power, or which zones are online.

    The energies of consecutive intervals add to the Wh, as each is a step between two registers. What the
    granularity does not divide has a shorter last interval.
    """
    periods = _cut(span, request.granularity)
    rows = tuple(
        row
        for zone in zones
        if any(request.wants(f"{zone}/{name}") for name in VALUES[request.specifier])
        for row in _zone_rows(store, fleet, zone, request.specifier, periods)
        if request.wants(row.r_id)
    )
    report_id = ":".join(
        (
            request.specifier,
            request.vtn_id,
            request.request_id,
            f"{request.asked_at:%Y%m%dT%H%M%S.%f}",
            f"{span.start:%Y%m%dT%H%M%S}",
        )
    )
    last = span.end == request.ends_at
    return Report(report_id, request.vtn_id, request.request_id, request.specifier, now, rows, last)


def zone_kw(store: Store, chargers: Sequence[str], periods: Sequence[Interval]) -> list[float | None]:
    """Return a zone's mean power in consecutive periods, by registers; None where none was read within one.

    What lies between two readings of a charger is on the straight line. [kW, export positive]
    """
    instants = [period.start for period in periods] + [periods[-1].end]
    bounds = store.readings.at_or_around(chargers, instants)
    meters = metered(_registers(bounds, chargers, instants), periods)
    return [
        sum(meter.export_wh for meter in meters[period]) / WH_PER_KWH / period.hours
        if any(_read_within(bounds, name, period) for name in chargers)
        else None
        for period in periods
    ]


def due_spans(request: ReportRequest, since: datetime, now: datetime, lag: timedelta) -> Iterator[Interval]:
    """Yield the spans that a request is owed since ``since``, up to the end of its window.

    Args:
        request: For something measured.
        since: Up to where it was told already.
        now: Domain instant.
        lag: How long after a span its readings are surely in.
    """
    ends_at = request.ends_at
    while ends_at is None or since < ends_at:
        end = ends_at
        if request.back_duration:
            periods = (since - request.starts_at) // request.back_duration + 1
            whole = request.starts_at + periods * request.back_duration
            end = whole if ends_at is None else min(whole, ends_at)
        if end is None or end + lag > now or (request.once and request.asked_at > now):
            return
        yield Interval(since, end)
        since = end


def pieces(request: ReportRequest, span: Interval, zones: Sequence[str]) -> Iterator[Interval]:
    """Yield a span in parts of whole intervals, each small enough for one report."""
    names = [f"{zone}/{name}" for zone in zones for name in VALUES[request.specifier]]
    values = sum(map(request.wants, names))
    step = request.granularity * max(1, MOST_VALUES // max(1, values))
    start = span.start
    while step and start + step < span.end:
        yield Interval(start, start + step)
        start += step
    yield Interval(start, span.end)


def _zone_rows(
    store: Store, fleet: Fleet, zone: str, specifier: str, periods: Sequence[Interval]
) -> Iterator[ReportRow]:
    chargers = [car.charger.charger_id for car in fleet.in_zone(zone)]
    instants = [period.start for period in periods] + [periods[-1].end]
    bounds = store.readings.at_or_around(chargers, instants)
    heard = {period: [name for name in chargers if _heard(bounds, name, period)] for period in periods}
    if specifier == "status":
        for period in periods:
            yield ReportRow(f"{zone}/status", period, ONLINE if heard[period] else OFFLINE, Quality.GOOD)
        return
    meters = metered(_registers(bounds, chargers, instants), periods)
    for period in periods:
        quality = _quality(meters[period], heard[period], len(chargers))
        missing = quality is Quality.MISSING
        kwh = 0.0 if missing else sum(meter.export_wh for meter in meters[period]) / WH_PER_KWH
        if specifier == "telemetry":
            yield ReportRow(f"{zone}/export_kw", period, kwh / period.hours, quality)
        yield ReportRow(f"{zone}/export_kwh", period, kwh, quality)


def _registers(
    bounds: Bounds, chargers: Sequence[str], instants: Sequence[datetime]
) -> dict[str, list[Reading]]:
    """Return each charger's readings next to the instants, ascending; those without any left out."""
    found: dict[str, dict[datetime, Reading]] = {}
    for name in chargers:
        for instant in instants:
            around = bounds[name, instant]
            for reading in (around.before, around.after):
                if reading is not None:
                    found.setdefault(name, {})[reading.measured_at] = reading
    return {name: [known[at] for at in sorted(known)] for name, known in found.items()}


def _read_within(bounds: Bounds, name: str, period: Interval) -> bool:
    found = bounds[name, period.start].after
    return found is not None and found.measured_at < period.end


def _heard(bounds: Bounds, name: str, period: Interval) -> bool:
    """Whether a charger's registers were read on both sides of a period, or within it."""
    start, end = bounds[name, period.start], bounds[name, period.end]
    next_to = [reading for reading in (start.after, end.before) if reading is not None]
    within = any(period.start < reading.measured_at < period.end for reading in next_to)
    return within or (start.before is not None and end.after is not None)


def _quality(meters: Sequence[Metered], heard: Sequence[str], chargers: int) -> Quality:
    if not heard:
        return Quality.MISSING
    if len(heard) < chargers or any(meter.estimated or meter.restarted for meter in meters):
        return Quality.ESTIMATED
    return Quality.GOOD


def _cut(span: Interval, length: timedelta) -> list[Interval]:
    if length <= timedelta(0):
        return [span]
    count = -(-(span.end - span.start) // length)
    bounds = [span.start + n * length for n in range(count)] + [span.end]
    return [Interval(start, end) for start, end in pairwise(bounds)]
