"""A figure for each half-hour, from a CSV file: in order, none missing, other columns not read."""

from datetime import MAXYEAR, datetime
from pathlib import Path

from aggregator.files.inputs import csv_lines
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import HALF_HOUR, floor_half_hour, parse_instant, utc_text

AT = "datetime_utc"
INSTANT = "the start of a half-hour with its zone, 2025-01-15 17:00:00+00:00"


def read_half_hours(
    path: Path, column: str, least: float, most: float, unit: str
) -> tuple[datetime, tuple[float, ...]]:
    """Return when the first half-hour begins, and the figures of all of them, at least one.

    Args:
        path: The file; ``datetime_utc`` names the start of the half-hour.
        column: Where the figures are.
        least: No figure is below this.
        most: And none above this.
        unit: Of the figures, as in "a number of pence".

    Raises:
        BadMessage: With every line that is wrong or out of turn; nothing is guessed.
    """
    lines = csv_lines(path)
    header = lines[0][1] if lines else []
    missing = [name for name in (AT, column) if header.count(name) != 1]
    if missing:
        found = ", ".join(header) or MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {AT} and {column}, each once"))
    at_column, figure_column = header.index(AT), header.index(column)
    faults: list[Fault] = []
    figures: list[float] = []
    begins_at: datetime | None = None
    due: datetime | None = None
    for number, cells in lines[1:]:
        padded = cells + [""] * (len(header) - len(cells))
        where = f"{path.name}: line {number}"
        starts_at, figure = _half_hour(padded[at_column]), _figure(padded[figure_column], least, most)
        if starts_at is None:
            faults.append(Fault(f"{where}.{AT}", padded[at_column] or MISSING, INSTANT))
        elif due is not None and starts_at != due:
            allowed = f"{utc_text(due)}: half-hours in order, none missing, each once"
            faults.append(Fault(f"{where}.{AT}", utc_text(starts_at), allowed))
        if figure is None:
            allowed = f"a number of {unit}, {least:g} to {most:g}"
            faults.append(Fault(f"{where}.{column}", padded[figure_column] or MISSING, allowed))
        else:
            figures.append(figure)
        begins_at = begins_at or starts_at
        due = starts_at + HALF_HOUR if starts_at is not None else None
    if len(lines) == 1:
        faults.append(Fault(path.name, "a header only", "at least one half-hour"))
    if faults or begins_at is None:
        raise BadMessage(*faults)
    return begins_at, tuple(figures)


def _half_hour(text: str) -> datetime | None:
    """Return the instant a text says, None where it says none that begins a half-hour."""
    try:
        instant = parse_instant(text)
    except ValueError:
        return None
    return instant if floor_half_hour(instant) == instant and instant.year < MAXYEAR else None


def _figure(text: str, least: float, most: float) -> float | None:
    try:
        figure = float(text)
    except ValueError:
        return None
    return figure if least <= figure <= most else None
