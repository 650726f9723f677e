"""Settlement of one opportunity, and of a whole month: from registers every 60 s to the statement's files."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from aggregator.model.fleet import Fleet, Fleets
from aggregator.model.metering import Reading
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    DeliveryEnded,
    DeliveryStarted,
    Instructed,
    Proposed,
    Received,
    Submitted,
    replay,
)
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.reports import StatementBook, write_book
from aggregator.settling import settle_opportunity, work_out
from aggregator.statement_books import make_book
from aggregator.store import Store, open_store
from aggregator.workflow import Desk, Workflow, fleets_of
from tests.bench.measure import Row, median_ms, peak_mib
from tests.builders import (
    PRODUCT,
    ZONE,
    a_car,
    a_charger,
    a_draft,
    a_fleet,
    a_nomination,
    a_product,
    a_requirement,
    a_site,
    an_award,
    an_event_key,
    an_instruction,
    some_steps,
)
from tests.fakes.clock import FakeClock

CARS = 45
ZONES = ("EAST", "NORTH", "WEST")
MONTH = date(2025, 1, 1), date(2025, 2, 1)
MONTH_S, MONTH_MIB = 20.0, 500.0
MINUTE, ONE_DAY = timedelta(minutes=1), timedelta(days=1)
EVENTS, A_DAY = 167, 6
SHORT_PAST, LONG_PAST = 250, 2000
WINDOW_FROM, WINDOW_UNTIL = timedelta(hours=17), timedelta(hours=19)


def rows(store: Store) -> Iterator[Row]:
    """Measure one opportunity, then the job of a month with an event in each zone on every day."""
    yield from _one(store)
    with TemporaryDirectory(prefix="flexloop-bench-") as folder:
        url, out = f"sqlite:///{Path(folder) / 'month.db'}", Path(folder) / "statement"
        count = _make_month(url)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            seconds, mib = alone.submit(_settle_month, url, out).result()
        plain = _bytes_in(out)
        with open_store(url, create=False) as month:
            files = len(list(month.rolling.roll(MONTH[1], Path(folder) / "files")))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            from_files = alone.submit(_settle_month, url, out).result()
        if _bytes_in(out) != plain:
            raise RuntimeError("a month whose readings were moved to files settles otherwise")
    days = (MONTH[1] - MONTH[0]).days
    size = f"{CARS * len(ZONES)} cars, {days * len(ZONES)} events, {count:,} registers every 60 s, all files"
    yield Row("settlement of a month", size, seconds, "s", 1, MONTH_S)
    yield Row("settlement of a month, peak RSS", size, mib, "MiB", 1, MONTH_MIB)
    size = f"the same, its readings in {files} files"
    yield Row("settlement of a month", size, from_files[0], "s", 1, MONTH_S)
    yield Row("settlement of a month, peak RSS", size, from_files[1], "MiB", 1, MONTH_MIB)
    yield from _with_past()


def _with_past() -> Iterator[Row]:
    """Measure the book of a month as known at its end, in a zone with few and with many events before it."""
    for past in (SHORT_PAST, LONG_PAST):
        with (
            TemporaryDirectory(prefix="flexloop-bench-") as folder,
            open_store(f"sqlite:///{Path(folder) / 'past.db'}", create=True) as store,
        ):
            make_past(store, CARS, past, EVENTS)
            began = perf_counter()
            book_of_the_month(store)
            seconds = perf_counter() - began
        size = f"{CARS} cars, {EVENTS} events, {past:,} before them, registers every 30 minutes, no files"
        yield Row("settlement of a month with a past", size, seconds, "s", 1, MONTH_S)


def make_past(store: Store, cars: int, past: int, events: int) -> None:
    """Fill a store with registers and nominations of a month, its events, and those of the days before it."""
    fleet = a_fleet(cars)
    store.fleet.replace(fleet, _midnight(MONTH[0]) - ONE_DAY, "bench.toml")
    for number in range(-past, events):
        day = MONTH[0] + number // A_DAY * ONE_DAY
        start = _midnight(day) + timedelta(hours=24 // A_DAY) * (number % A_DAY)
        window = Interval(start, start + 2 * HALF_HOUR)
        facts = _facts(ZONE, window, f"{number}")
        store.journal.append_many(
            f"event {number}", facts, expected_version=0, by="bench", recorded_at=window.end
        )
    slots = Interval(_midnight(MONTH[0]), _midnight(MONTH[1])).slots(HALF_HOUR)
    frozen_at = slots[0].start - ONE_DAY
    store.nominations.freeze([a_nomination(period=slot, frozen_at=frozen_at) for slot in slots])
    store.readings.add(
        Reading(car.charger.charger_id, slot.start, slot.start + MINUTE / 30, 100_000, 900 * n)
        for car in fleet.cars
        for n, slot in enumerate(slots)
    )


def book_of_the_month(store: Store) -> StatementBook:
    """Make the statement of the month as known at its end."""
    known_at = _midnight(MONTH[1])
    return make_book(store, {PRODUCT: a_product()}, fleets_of(store), *MONTH, as_known_at=known_at)


def _bytes_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _one(store: Store) -> Iterator[Row]:
    fleets, day = Fleets(((_midnight(MONTH[0]), a_fleet(CARS)),)), MONTH[0]
    store.readings.add(
        reading for number in range(1, CARS + 1) for reading in registers_of(f"charger-{number}", day)
    )
    store.nominations.freeze([a_nomination(period=slot) for slot in _window(day).slots(HALF_HOUR)])
    opportunity = replay("opportunity-1", _facts(ZONE, _window(day), f"{day}")[:-2])
    size = f"{CARS} cars, 4 half-hours, registers every 60 s"
    yield median_ms(
        "settlement of one opportunity", size, lambda: work_out(store, opportunity, a_product(), fleets)
    )


def _make_month(url: str) -> int:
    """Fill a store with a month of registers, nominations and events; return how many registers."""
    cars = tuple(
        a_car(
            car_id=f"car-{zone}-{number}",
            charger=a_charger(charger_id=f"charger-{zone}-{number}"),
            site=a_site(site_id=f"home-{zone}-{number}", zone=zone),
        )
        for zone in ZONES
        for number in range(CARS)
    )
    with open_store(url, create=True) as store:
        store.fleet.replace(Fleet(cars, "f" * 64), _midnight(MONTH[0]) - ONE_DAY, "bench.toml")
        day, count = MONTH[0], 0
        while day < MONTH[1]:
            count += store.readings.add(
                reading for car in cars for reading in registers_of(car.charger.charger_id, day)
            )
            for zone in ZONES:
                facts = _facts(zone, _window(day), f"{zone} {day}")
                for version, fact in enumerate(facts):
                    store.journal.append(
                        f"{zone} {day}", fact, expected_version=version, by="bench", recorded_at=fact.at
                    )
                frozen_at = _window(day).start - ONE_DAY
                slots = _window(day).slots(HALF_HOUR)
                store.nominations.freeze(
                    [a_nomination(zone=zone, period=slot, frozen_at=frozen_at) for slot in slots]
                )
            day += ONE_DAY
    return count


def _settle_month(url: str, out: Path) -> tuple[float, float]:
    """Do the job in this process; return the wall seconds, and the most memory that was held. [s, MiB]"""
    began = perf_counter()
    with open_store(url, create=False) as store:
        products, fleets = {PRODUCT: a_product()}, fleets_of(store)
        clock = FakeClock(_midnight(MONTH[1]))
        flow = Workflow(store, clock, products, Desk(True, frozenset(), frozenset(), ()))
        done = {}
        for opportunity in store.journal.find():
            worked = work_out(store, opportunity, products[PRODUCT], fleets)
            settle_opportunity(flow, opportunity, fleets, None, worked)
            done[opportunity.opportunity_id] = replace(worked, readings={}, meters={})
        write_book(make_book(store, products, fleets, *MONTH, worked_out=done), out)
    return perf_counter() - began, peak_mib()


def _facts(zone: str, window: Interval, named: str) -> tuple:
    draft = a_draft()
    said = {"zone": zone, "window": window}
    gate = window.start - ONE_DAY
    slots = window.slots(HALF_HOUR)
    order = an_instruction(
        key=an_event_key(event_id=f"order {named}"),
        zone=zone,
        issued_at=gate,
        steps=some_steps(*(30, 50, 50, 20)[: len(slots)], slots=slots),
    )
    return (
        Received(gate, a_requirement(key=an_event_key(event_id=f"need {named}"), **said)),
        Proposed(gate, draft),
        Approved(gate, draft.digest, "bob"),
        Submitted(gate, draft.report_id),
        Awarded(gate, an_award(key=an_event_key(event_id=f"award {named}"), **said)),
        Instructed(gate, order),
        DeliveryStarted(window.start),
        DeliveryEnded(window.end),
    )


def registers_of(charger: str, day: date) -> Iterator[Reading]:
    """Yield what a charger's registers show in each minute of a day."""
    begins, days = _midnight(day), (day - MONTH[0]).days
    for minute in range(24 * 60):
        at = begins + minute * MINUTE
        yield Reading(charger, at, at + MINUTE / 30, 100_000, 30 * (days * 24 * 60 + minute))


def _window(day: date) -> Interval:
    return Interval(_midnight(day) + WINDOW_FROM, _midnight(day) + WINDOW_UNTIL)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
