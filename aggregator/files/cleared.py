"""Prices cleared before: an operator's dispatch records, in the columns that UK Power Networks publishes."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from aggregator.acceptance import Acceptance, Cleared
from aggregator.files.inputs import read_text
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import parse_instant

COLUMNS = ("zone", "product", "start_time_utc", "utilisation_price")
MOST_GBP_PER_MWH = 100_000.0
MOST_FAULTS = 20


def read_cleared(path: Path) -> Acceptance:
    """Read a dispatch file; other columns than the four needed are not looked at.

    Records without a utilisation price (availability alone) say nothing and are left out.

    Raises:
        BadMessage: With the lines that are wrong, the first of them where there are many.
    """
    reader = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff")), strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        found = ", ".join(reader.fieldnames or ()) or MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {', '.join(COLUMNS)}"))
    rows: list[Cleared] = []
    faults: list[Fault] = []
    try:
        for line in reader:
            wrong = list(_faults(line, f"{path.name}: line {reader.line_num}"))
            faults += wrong
            if not wrong and float(line["utilisation_price"]) > 0.0:
                start, price = _instant(line["start_time_utc"]), float(line["utilisation_price"])
                rows.append(Cleared(line["zone"].strip(), line["product"].strip(), start, price))
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None
    if faults:
        raise BadMessage(*faults[:MOST_FAULTS])
    return Acceptance.of(rows)


def _instant(text: str) -> datetime:
    return parse_instant(text.strip())


def _faults(line: dict[str, str | None], where: str) -> Iterator[Fault]:
    for name in ("zone", "product"):
        if not (line[name] or "").strip():
            yield Fault(f"{where}.{name}", MISSING, "a name")
    start = line["start_time_utc"] or ""
    try:
        _instant(start)
    except ValueError:
        allowed = "an instant with a zone, 2025-01-15T17:00:00Z"
        yield Fault(f"{where}.start_time_utc", start or MISSING, allowed)
    try:
        price = float(line["utilisation_price"] or "")
    except ValueError:
        price = float("nan")
    if not 0.0 <= price <= MOST_GBP_PER_MWH:
        yield Fault(
            f"{where}.utilisation_price",
            line["utilisation_price"] or MISSING,
            f"GBP/MWh from 0 to {MOST_GBP_PER_MWH:g}",
        )
