"""Settlement of one opportunity, from registers every 60 s to the statement's digest."""

from collections.abc import Iterator
from datetime import timedelta

from aggregator.model.fleet import Fleets
from aggregator.model.metering import Reading
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    Instructed,
    Opportunity,
    Proposed,
    Received,
    replay,
)
from aggregator.settling import work_out
from aggregator.store import Store
from tests.bench.measure import Row, median_ms
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_draft,
    a_fleet,
    a_nomination,
    a_product,
    a_requirement,
    an_award,
    an_instruction,
)

CARS = 45
OPPORTUNITIES_A_MONTH = 3 * 30
"""135 cars in three zones of 45, an event in each on every day."""

MONTH_S = 20.0
LEAD, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def rows(store: Store) -> Iterator[Row]:
    """Measure one opportunity; a month is that many times as much."""
    fleets, opportunity = Fleets(((NOON, a_fleet(CARS)),)), _delivered()
    minutes = (EVENING.end - EVENING.start + 2 * LEAD) // MINUTE
    store.readings.add(
        Reading(f"charger-{n}", at, at + timedelta(seconds=2), 100_000, 40 * minute)
        for n in range(1, CARS + 1)
        for minute in range(minutes)
        for at in (EVENING.start - LEAD + minute * MINUTE,)
    )
    store.nominations.freeze([a_nomination(period=slot) for slot in SLOTS])
    size = f"{CARS} cars, {len(SLOTS)} half-hours, registers every 60 s"
    one = median_ms(
        "settlement of one opportunity", size, lambda: work_out(store, opportunity, a_product(), fleets)
    )
    yield one
    month_s = one.figure * OPPORTUNITIES_A_MONTH / 1e3
    size = f"computed: {OPPORTUNITIES_A_MONTH} times the one above"
    yield Row("settlement of a month, 135 cars", size, month_s, "s", one.runs, MONTH_S)


def _delivered() -> Opportunity:
    draft = a_draft()
    facts = (
        Received(NOON, a_requirement()),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Awarded(NOON, an_award()),
        Instructed(NOON, an_instruction()),
    )
    return replay("opportunity-1", facts)
