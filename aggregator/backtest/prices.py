"""Half-hourly import prices as they were published: both headers in which Agile tables go round.

A price is known once its day is published: at 16:00 local for all half-hours up to 23:00 of the next day.
What is not known yet is taken to be as at the same local time of the latest day that is (persistence). A
half-hour that the table lacks is read likewise: the same local time on the day before, up to a week back.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from aggregator.backtest.tables import LeftOut, Row, Unusable, rows, usable
from aggregator.files.inputs import read_text
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON, Interval, parse_instant

FORMS = (("datetime_utc", "p_per_kwh_inc_vat"), ("valid_from", "value_inc_vat"))
"""Column of the half-hour's start and of its price in pence per kWh, VAT included."""

PENCE = 100.0
LARGEST_PENCE = 1000.0
PUBLISHED_AT = time(16)
PUBLISHED_UNTIL = time(23)
DAYS_BACK = 8
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Prices:
    """Import price of each half-hour by its start in UTC. [GBP/kWh]"""

    gbp_per_kwh: Mapping[datetime, float]

    @property
    def first(self) -> datetime:
        """Start of the first half-hour with a price."""
        return min(self.gbp_per_kwh)

    @property
    def last(self) -> datetime:
        """Start of the last half-hour with a price."""
        return max(self.gbp_per_kwh)

    def of(self, slots: Sequence[Interval], known_at: datetime | None = None) -> list[float] | None:
        """Return a price for each half-hour, None where the table leaves one open for a week.

        Args:
            slots: Half-hours.
            known_at: What is published by then counts; None for the prices as they came to be.
        """
        until = _published_until(known_at) if known_at is not None else None
        found = [self._one(slot.start, until) for slot in slots]
        return None if None in found else [price for price in found if price is not None]

    def _one(self, start: datetime, until: datetime | None) -> float | None:
        local = start.astimezone(LONDON).replace(tzinfo=None)
        for back in range(DAYS_BACK):
            instant = start if not back else (local - back * ONE_DAY).replace(tzinfo=LONDON).astimezone(UTC)
            if (until is None or instant < until) and instant in self.gbp_per_kwh:
                return self.gbp_per_kwh[instant]
        return None


def _published_until(known_at: datetime) -> datetime:
    local = known_at.astimezone(LONDON)
    day = local.date() + (ONE_DAY if local.time() >= PUBLISHED_AT else timedelta(0))
    return datetime.combine(day, PUBLISHED_UNTIL, LONDON)


def read_prices(path: Path) -> tuple[Prices, LeftOut]:
    """Read a price table.

    Raises:
        BadMessage: If it has neither header, or no usable row.
    """
    left_out = LeftOut(path.name)
    header = next(csv.reader(io.StringIO(read_text(path))), [])
    names = {name.strip() for name in header}
    form = next((form for form in FORMS if names >= set(form)), None)
    if form is None:
        allowed = " or ".join(f"the columns {' and '.join(form)}" for form in FORMS)
        raise BadMessage(Fault(f"{path.name}: header", ", ".join(header) or "(empty)", allowed))
    known: dict[datetime, float] = {}

    def read(row: Row) -> None:
        start = instant_of(row, form[0])
        price = row.number(form[1], -LARGEST_PENCE, LARGEST_PENCE) / PENCE
        if start.minute % 30 or start.second or start.microsecond:
            raise Unusable(form[0], row.cells[form[0]], "the start of a half-hour")
        if known.setdefault(start, price) != price:
            raise Unusable(form[1], row.cells[form[1]], "one price for a half-hour; the first one counts")

    for _ in usable(rows(path, form, left_out), read, left_out):
        pass
    if not known:
        raise BadMessage(Fault(path.name, "no usable row", "at least one half-hour with a price"))
    return Prices(known), left_out


def instant_of(row: Row, column: str) -> datetime:
    """Return an instant in UTC; a stamp without a zone counts only where the column's name says UTC.

    Raises:
        Unusable: If it is none.
    """
    value = row.text(column)
    try:
        stamp = datetime.fromisoformat(value)
        return stamp.replace(tzinfo=UTC) if _is_plain(stamp, column) else parse_instant(value)
    except ValueError:
        raise Unusable(column, value, "an instant with a zone, 2025-01-15T17:00:00Z") from None


def _is_plain(stamp: datetime, column: str) -> bool:
    return stamp.tzinfo is None and column.endswith("_utc")
