"""What generation meters counted in a month, from a CSV file: ``site_id``, ``month``, ``generated_kwh``.

One line for each home and month; lines of other months are passed over.
"""

from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from pathlib import Path

from aggregator.files.inputs import LARGEST, csv_lines
from aggregator.model.errors import MISSING, BadMessage, Fault

COLUMNS = ("site_id", "month", "generated_kwh")


def read_generation(path: Path, month: str, homes: Collection[str]) -> dict[str, Decimal]:
    """Return what was generated in a month, by site id. [kWh]

    Args:
        path: The file.
        month: Such as ``2025-01``.
        homes: Those that are paid a feed-in tariff for generation.

    Raises:
        BadMessage: With every fault found.
    """
    lines = csv_lines(path)
    header = lines[0][1] if lines else []
    if sorted(header) != sorted(COLUMNS):
        allowed = f"the columns {', '.join(COLUMNS)}"
        raise BadMessage(Fault(f"{path.name}: header", ", ".join(header) or MISSING, allowed))
    found: dict[str, Decimal] = {}
    faults = []
    for number, cells in lines[1:]:
        where = f"{path.name}: line {number}"
        if len(cells) != len(COLUMNS):
            faults.append(Fault(where, f"{len(cells)} fields", f"{len(COLUMNS)} fields"))
            continue
        line = dict(zip(header, cells, strict=True))
        if line["month"] != month:
            continue
        site_id, kwh = line["site_id"], _kwh(line["generated_kwh"])
        if site_id not in homes:
            allowed = "a home whose fit_generation_payer the fleet file states"
            faults.append(Fault(f"{where}.site_id", site_id, allowed))
        elif site_id in found:
            faults.append(Fault(f"{where}.site_id", site_id, f"each home once in {month}"))
        elif kwh is None:
            allowed = f"a number of kWh, 0 to {LARGEST:g}"
            faults.append(Fault(f"{where}.generated_kwh", line["generated_kwh"] or MISSING, allowed))
        else:
            found[site_id] = kwh
    if faults:
        raise BadMessage(*faults)
    return found


def _kwh(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and 0 <= value <= LARGEST else None
