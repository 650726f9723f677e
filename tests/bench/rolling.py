"""A settlement day's readings moved to a file, from a small and a large table, and read there."""

import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

from sqlalchemy import event
from sqlalchemy.engine import Engine

from aggregator.model.time import HALF_HOUR, local_day
from aggregator.store import Store
from tests.bench.measure import Row, median_ms
from tests.bench.settlement import CARS, ZONES, registers_of

FIRST = date(2025, 1, 1)
ONE_DAY = timedelta(days=1)
TABLES = (2, 8)
"""Days that the table holds when one of them is rolled."""


def rows(store: Store, on: str = "SQLite") -> Iterator[Row]:
    """Measure on a database by its name: a day moved, of that the deletion, boundaries read from a file."""
    meters = [f"charger-{number}" for number in range(CARS * len(ZONES))]
    filled, rolled = FIRST, FIRST
    with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
        for days in TABLES:
            while filled < rolled + days * ONE_DAY:
                store.readings.add(one for meter in meters for one in registers_of(meter, filled))
                filled += ONE_DAY
            rolled += ONE_DAY
            with _deletions() as spent_s:
                began = perf_counter()
                (day,) = store.rolling.roll(rolled, Path(folder))
                whole_s = perf_counter() - began
            size = f"{len(meters)} chargers, {day.rows:,} readings of {days * day.rows:,}, {on}"
            yield Row("a day's readings moved to a file", size, whole_s, "s", 1)
            yield Row("of that, deleted from the table", size, sum(spent_s), "s", 1)
        bounds = [slot.start for slot in local_day(FIRST).slots(HALF_HOUR)][34:39]
        size = f"{CARS} chargers, 5 boundaries of a rolled day, {on}"
        chargers = meters[:CARS]
        yield median_ms(
            "registers at boundaries, from a file",
            size,
            lambda: store.readings.at_or_around(chargers, bounds),
        )


class _deletions:
    """Time what is deleted of readings while it is open."""

    def __enter__(self) -> list[float]:
        self._began, self._spent_s = 0.0, []
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        return self._spent_s

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._before)
        event.remove(Engine, "after_cursor_execute", self._after)

    def _before(self, *_: object) -> None:
        self._began = perf_counter()

    def _after(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("DELETE FROM readings"):
            self._spent_s.append(perf_counter() - self._began)
