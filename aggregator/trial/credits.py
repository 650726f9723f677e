"""Credits for billing: one row for each driver and month, and one more for each correction.

A driver's statement is kept as it was made. What is learnt later makes a new version, with its reason, never
an edit; where it changes the credit, a row with the difference follows the rows that billing may have posted
already. Each has an id of its own: posted once each, they add to what the driver is owed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tenacity import retry, retry_if_exception_type, stop_after_attempt

from aggregator.cycles import NIGHTS_PER_CREDIT
from aggregator.model.errors import RuleViolation
from aggregator.model.time import parse_instant, utc_text
from aggregator.store import OF_DRIVERS, Store, StoredStatement
from aggregator.trial.cells import Cells, statement_figures
from aggregator.trial.values import DriverMonth, Month

ATTEMPTS = 3
FIRST = "first statement"
SECTIONS = {"nights": "nights", "needs": "departures", "home": "exports"}
COLUMNS = {
    "energy": {"import_kwh", "export_kwh", "throughput_kwh", "throughput_since_kwh"},
    "events": {"delivered_kwh"},
    "what is known of the meters": {"estimated_half_hours", "unmetered_half_hours"},
}


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of a driver's statement, as it was made.

    Attributes:
        car_id: Whose.
        version: From 1.
        made_at: When.
        reason: Why.
        figures: All it says, by section.
    """

    car_id: str
    version: int
    made_at: datetime
    reason: str
    figures: Mapping[str, Any]

    @property
    def credit_gbp(self) -> Decimal:
        """The credit that it comes to."""
        return Decimal(self.figures["month"]["credit_gbp"])

    @property
    def cycles(self) -> int:
        """The nights that count."""
        return int(self.figures["month"]["cycles"])

    @property
    def counted(self) -> set[str]:
        """The evenings of these nights."""
        return {night["evening"] for night in self.figures["nights"] if night["counts"] == "yes"}


def keep(store: Store, month: Month, now: datetime) -> None:
    """Keep each statement of a month that is new, or other than its last version."""
    for driver in month.drivers:
        _keep(store, month, driver, now)


@retry(retry=retry_if_exception_type(RuleViolation), stop=stop_after_attempt(ATTEMPTS), reraise=True)
def _keep(store: Store, month: Month, driver: DriverMonth, now: datetime) -> None:
    figures = _text(statement_figures(month, driver))
    name, digest = _name(month.name, driver.car.car_id), hashlib.sha256(figures.encode()).hexdigest()
    last = store.statements.latest(name)
    if last is not None and last.digest == digest:
        return
    reason = FIRST if last is None else _changed(_kept(last).figures, json.loads(figures))
    body = _text({"made_at": utc_text(now), "figures": json.loads(figures)}).encode()
    version = 1 if last is None else last.version + 1
    store.statements.put(name, version=version, reason=reason, digest=digest, body=body)


def kept_of(store: Store, month: str, known_at: datetime | None = None) -> dict[str, list[Kept]]:
    """Return every version of a month's statements made by a time, by car, oldest first."""
    found: dict[str, list[Kept]] = {}
    for one in store.statements.starting(_name(month, "")):
        kept = _kept(one)
        if known_at is None or kept.made_at <= known_at:
            found.setdefault(kept.car_id, []).append(kept)
    return found


def credit_rows(month: str, kept: Mapping[str, Sequence[Kept]]) -> list[Cells]:
    """Return the credit file's rows, by car and version."""
    return [row for car_id in sorted(kept) for row in _rows(month, kept[car_id])]


def _rows(month: str, versions: Sequence[Kept]) -> Iterator[Cells]:
    before: Kept | None = None
    for one in versions:
        if before is not None and one.credit_gbp == before.credit_gbp:
            continue
        yield {
            "credit_id": _credit_id(month, one),
            "car_id": one.car_id,
            "month": month,
            "version": one.version,
            "amount_gbp": one.credit_gbp - (before.credit_gbp if before is not None else 0),
            "total_gbp": one.credit_gbp,
            "cycles": one.cycles,
            "reason": _why(one, before),
            "corrects": "" if before is None else _credit_id(month, before),
        }
        before = one


def _why(one: Kept, before: Kept | None) -> str:
    if before is None:
        return f"nights that count: {one.cycles}; {NIGHTS_PER_CREDIT} earn the credit"
    more, less = sorted(one.counted - before.counted), sorted(before.counted - one.counted)
    said = [f"now with {', '.join(more)}"] if more else []
    said += [f"without {', '.join(less)}"] if less else []
    return f"correction: nights that count: {one.cycles}, not {before.cycles}: {'; '.join(said)}"


def _credit_id(month: str, one: Kept) -> str:
    return f"{month}/{one.car_id}/{one.version}"


def _name(month: str, car_id: str) -> str:
    """Return what a driver's statement is kept under."""
    return f"{OF_DRIVERS}{month} {car_id}"


def _kept(one: StoredStatement) -> Kept:
    body = json.loads(one.body)
    figures = body["figures"]
    made_at = parse_instant(body["made_at"])
    return Kept(figures["month"]["car_id"], one.version, made_at, one.reason, figures)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return in words which figures are others than before."""
    old, new = before["month"], after["month"]
    columns = {name for name in new if new[name] != old.get(name)}
    said = [words for section, words in SECTIONS.items() if after[section] != before.get(section)]
    said += [words for words, names in COLUMNS.items() if columns & names]
    return f"{', '.join(said) or 'the description of the car'} changed"


def _text(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
