"""Statements and baselines as CSV in the Flexible Power form.

What is metered and settled bears the *end* of each half-hour, in UTC; positive is export. A half-hour without
any register is left out: a gap is never zero. A baseline template is one week that is repeated, by *local*
time and the *start* of each half-hour. A local time that clocks skip takes the power of the next one, one
that comes twice the mean of both.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, time, timedelta
from urllib.parse import quote

from aggregator.files.cells import guarded
from aggregator.model.time import HALF_HOUR, LONDON, Interval, settlement_periods, utc_text
from aggregator.reports import StatementRow
from aggregator.settlement import NO_REGISTER

WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
DAY = timedelta(days=1)
HALF_HOURS = tuple(time(n // 2, 30 * (n % 2)) for n in range(48))
FIGURES = (
    "instructed_kwh",
    "baseline_export_kwh",
    "metered_export_kwh",
    "delivered_kwh",
    "deficiency_kwh",
    "availability_gbp",
    "utilisation_gbp",
    "penalty_gbp",
    "amount_gbp",
    "quality",
    "version",
)

PowerAt = Callable[[Interval], float | None]
"""Mean power of a half-hour, None where there is none. [kW, export positive]"""


def flexible_power_files(rows: Iterable[StatementRow]) -> dict[str, str]:
    """Return a file of readings and one of settled half-hours for each zone and product, by file name."""
    units: dict[tuple[str, str], list[StatementRow]] = {}
    for row in rows:
        units.setdefault((row.line.zone, row.line.product), []).append(row)
    files = {}
    for (zone, product), of_unit in sorted(units.items()):
        unit = f"{quote(zone, safe=' ')}_{quote(product, safe=' ')}"
        by_end = sorted(of_unit, key=lambda row: (row.line.period.end, row.line.opportunity))
        files[f"flexible_power_readings_{unit}.csv"] = readings_csv(by_end)
        files[f"flexible_power_statement_{unit}.csv"] = statement_csv(by_end)
    return files


def readings_csv(rows: Sequence[StatementRow]) -> str:
    """Return what one zone metered, each half-hour once whatever was called in it. [kWh, export positive]"""
    metered = {
        utc_text(row.line.period.end): row.cells()["metered_export_kwh"]
        for row in rows
        if NO_REGISTER not in row.line.quality.split("; ")
    }
    return _table(("timestamp", "energy_kwh"), metered.items())


def statement_csv(rows: Sequence[StatementRow]) -> str:
    """Return what was settled, half-hour by half-hour; figures as in the statement."""
    found = ((utc_text(row.line.period.end), guarded(row.cells())) for row in rows)
    lines = ((end, cells["opportunity"], *(cells[name] for name in FIGURES)) for end, cells in found)
    return _table(("timestamp", "opportunity", *FIGURES), lines)


def template_csv(first: date, power_at: PowerAt) -> str:
    """Return the baseline template of the seven local days from a date on.

    Raises:
        ValueError: If a half-hour has no power; the text says which, and how many.
    """
    days = sorted((first + n * DAY for n in range(7)), key=date.weekday)
    periods = {day: settlement_periods(day) for day in days}
    power = {period: power_at(period) for of_day in periods.values() for period in of_day}
    missing = sorted(period for period, kw in power.items() if kw is None)
    if missing:
        raise ValueError(f"{len(missing)} of {len(power)} half-hours, from {utc_text(missing[0].start)} on")
    known = {period: kw for period, kw in power.items() if kw is not None}
    lines = (
        (WEEKDAYS[day.weekday()], f"{at:%H:%M}", f"{kw:.3f}")
        for day in days
        for at, kw in _by_local_time([(period, known[period]) for period in periods[day]])
    )
    return _table(("day_of_week", "local_time", "power_kw"), lines)


def _by_local_time(of_day: Sequence[tuple[Interval, float]]) -> Iterator[tuple[time, float]]:
    """Yield the power at each of 48 local times of a day that has 46, 48 or 50 half-hours."""
    at: dict[time, list[float]] = {}
    for period, kw in of_day:
        at.setdefault(period.start.astimezone(LONDON).time(), []).append(kw)
    following = of_day[-1][1]
    found = []
    for local in reversed(HALF_HOURS):
        powers = at.get(local)
        following = sum(powers) / len(powers) if powers else following
        found.append((local, round(following, 3) + 0.0))  # no negative zero
    yield from reversed(found)


def mean_kw_of(wh: int) -> float:
    """Return the mean power of a half-hour's energy. [kW]"""
    return wh / 1000 / (HALF_HOUR / timedelta(hours=1))


def _table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(lines)
    return text.getvalue()
