"""The store: facts appended, meter registers taken in, new ones and repeats."""

import statistics
from collections.abc import Iterator, Sequence
from datetime import timedelta
from time import perf_counter

from aggregator.model.metering import Reading
from aggregator.model.opportunity import Received
from aggregator.store import Store
from tests.bench.measure import Row, percentile_ms
from tests.builders import NOON, a_requirement

FACTS = 300
INGEST_PER_S = 50_000.0
MINUTE = timedelta(minutes=1)


def rows(store: Store, on: str = "SQLite") -> Iterator[Row]:
    """Measure the journal, then ingest in batches of two sizes, on a database by its name."""
    found = [_appended_s(store, n) for n in range(FACTS)]
    size = f"{FACTS} facts, one transaction each, {on}"
    yield Row("journal append, median", size, percentile_ms(found, 0.5), "ms", FACTS)
    yield Row("journal append, p99", size, percentile_ms(found, 0.99), "ms", FACTS)
    for chargers, minutes, batches in ((5_000, 1, 10), (135, 1, 100)):
        taken = [some_readings(chargers, n * minutes, minutes) for n in range(batches)]
        size = f"{batches} batches of {chargers * minutes:,} rows, {on}"
        for word in ("new", "repeated"):
            expected = chargers * minutes if word == "new" else 0
            rates = [_rows_per_s(store, batch, expected) for batch in taken]
            budget = INGEST_PER_S if chargers > 1_000 else None
            what = f"readings taken in, {word}"
            yield Row(what, size, statistics.median(rates), "rows/s", batches, budget, at_least=True)


def some_readings(
    chargers: int, first_minute: int, minutes: int, step_wh: int = 50, name: str = "charger"
) -> list[Reading]:
    """Return a register a minute of each charger, two seconds late."""
    return [
        Reading(
            f"{name}-{chargers}-{charger}", at, at + timedelta(seconds=2), 100_000, step_wh * minute + charger
        )
        for minute in range(first_minute, first_minute + minutes)
        for at in (NOON + minute * MINUTE,)
        for charger in range(chargers)
    ]


def _appended_s(store: Store, number: int) -> float:
    fact = Received(NOON, a_requirement())
    start = perf_counter()
    store.journal.append(f"bench-{number}", fact, expected_version=0, by="bench", recorded_at=NOON)
    return perf_counter() - start


def _rows_per_s(store: Store, batch: Sequence[Reading], expected: int) -> float:
    start = perf_counter()
    stored = store.readings.add(batch)
    seconds = perf_counter() - start
    if stored != expected:
        raise RuntimeError(f"{stored} readings were stored, not {expected}")
    return len(batch) / seconds
