"""Chargers' secrets, one CSV line each: columns charger_id and secret. No fault tells what a secret is."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from aggregator.files.inputs import csv_lines
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.fleet import Fleet

COLUMNS = ("charger_id", "secret")
SHORTEST = 16


def read_secrets(path: Path | None, fleet: Fleet) -> Mapping[str, str]:
    """Return each car's charger's secret by car id; nothing without a file.

    Raises:
        BadMessage: If a charger of the fleet has none, a stranger has one, two are the same, or one is short.
    """
    if path is None:
        return {}
    rows = csv_lines(path)
    if not rows or tuple(rows[0][1]) != COLUMNS:
        found = ", ".join(rows[0][1][:1]) if rows else MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {', '.join(COLUMNS)}"))
    if faults := tuple(_faults(rows[1:], path.name, fleet)):
        raise BadMessage(*faults)
    secrets = {cells[0]: cells[1] for _, cells in rows[1:]}
    return {car.car_id: secrets[car.charger.charger_id] for car in fleet.cars}


def _faults(rows: list[tuple[int, list[str]]], source: str, fleet: Fleet) -> Iterator[Fault]:
    known = {car.charger.charger_id for car in fleet.cars}
    ids = Counter(cells[0] for _, cells in rows)
    times = Counter(cells[1] for _, cells in rows if len(cells) == len(COLUMNS))
    for number, cells in rows:
        where = f"{source}: line {number}"
        if len(cells) != len(COLUMNS):
            yield Fault(where, f"{len(cells)} fields", f"{len(COLUMNS)} fields")
            continue
        name, secret = cells
        if name not in known:
            yield Fault(f"{where}.charger_id", name, "a charger of the fleet")
        if ids[name] > 1:
            yield Fault(f"{where}.charger_id", name, f"each once; it stands {ids[name]} times")
        if len(secret) < SHORTEST:
            yield Fault(f"{where}.secret", f"{len(secret)} characters", f"{SHORTEST} characters or more")
        elif times[secret] > 1:
            yield Fault(f"{where}.secret", "that of another charger", "a secret of its own for each charger")
    for name in sorted(known - set(ids)):
        yield Fault(f"{source}: charger_id", MISSING, f"a line for charger {name}")
