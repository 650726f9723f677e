"""What is settled is what was known at a time, with the cars of the window's start."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from aggregator.forecast import ENGLAND
from aggregator.model.fleet import Fleet
from aggregator.model.market import OrderMode
from aggregator.model.metering import MeteredInterval
from aggregator.model.opportunity import (
    Approved,
    AwardCancelled,
    Awarded,
    DeliveryEnded,
    DeliveryStarted,
    Instructed,
    Proposed,
    Received,
    Settled,
    Submitted,
)
from aggregator.reports import write_book
from aggregator.settlement import NO_REGISTER, NOT_NOMINATED, NOT_OVER
from aggregator.statement_books import make_book
from aggregator.store import open_store
from aggregator.track_record import TrackRecord
from aggregator.workflow import fleets_of
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    ZONE,
    a_car,
    a_charger,
    a_draft,
    a_fleet,
    a_nomination,
    a_product,
    a_reading,
    a_requirement,
    a_site,
    an_award,
    an_event_key,
    an_instruction,
    some_steps,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NEED_AT, AWARD_AT, ORDER_AT, FREEZE_AT = (NOON + n * HOUR for n in range(4))
AMEND_AT = EVENING.start + 30 * MINUTE
SETTLED_AT = EVENING.end + HOUR
TAKEN_BACK = an_event_key(event_id="award-1", modification=1)


@pytest.fixture
def store(tmp_path):
    """A delivered evening of two cars, its order halved on the way; each fact was recorded a minute late."""
    order = an_instruction(mode=OrderMode.DELTA, steps=some_steps(10, 10, 10, 10))
    halved = replace(
        order,
        key=an_event_key(event_id="dispatch-1", modification=1),
        steps=some_steps(10, 5, 5, 5),
        issued_at=AMEND_AT,
    )
    draft = a_draft()
    facts = (
        Received(NEED_AT, a_requirement()),
        Proposed(NEED_AT, draft),
        Approved(NEED_AT, draft.digest, "bob"),
        Submitted(NEED_AT, draft.report_id),
        Awarded(AWARD_AT, an_award()),
        Instructed(ORDER_AT, order),
        DeliveryStarted(EVENING.start),
        Instructed(AMEND_AT, halved),
        DeliveryEnded(EVENING.end),
    )
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.fleet.replace(a_fleet(2), NOON, "fleet.toml")
        for n, fact in enumerate(facts):
            at = fact.at + MINUTE
            store.journal.append("one", fact, expected_version=n, by="test", recorded_at=at)
        nominations = [a_nomination(period=slot, export_wh=0, frozen_at=FREEZE_AT) for slot in SLOTS]
        store.nominations.freeze(nominations)
        for charger in ("charger-1", "charger-2"):
            for n in range(5):
                at = EVENING.start + n * 30 * MINUTE
                said = {"measured_at": at, "received_at": at + MINUTE, "export_wh": 2000 * n, "import_wh": 0}
                store.readings.add([a_reading(charger_id=charger, **said)])
        yield store


def book(store, as_known_at=None):
    day = date(2025, 1, 15)
    products, fleets = {PRODUCT: a_product()}, fleets_of(store)
    return make_book(store, products, fleets, day, day + timedelta(days=1), as_known_at=as_known_at)


def figures(made):
    """Return the Wh ordered and delivered in each half-hour."""
    return [(row.line.instructed_wh, row.line.delivered_wh) for row in made.rows]


def test_all_that_is_known_counts_by_default(store):
    assert figures(book(store)) == [(5000, 4000), (2500, 2500), (2500, 2500), (2500, 2500)]
    assert figures(book(store, SETTLED_AT)) == figures(book(store))
    assert book(store, SETTLED_AT).inputs == book(store).inputs


def test_what_registers_show_after_a_window_is_no_part_of_what_its_statement_was_made_from(store):
    before = book(store)
    at = EVENING.end + 10 * MINUTE
    store.readings.add([a_reading(charger_id="charger-1", measured_at=at, received_at=at, export_wh=9000)])
    assert book(store).inputs == before.inputs
    within = EVENING.start + 40 * MINUTE
    store.readings.add(
        [a_reading(charger_id="charger-1", measured_at=within, received_at=at, export_wh=2500)]
    )
    assert book(store).inputs != before.inputs


@pytest.mark.parametrize("beyond", [20 * MINUTE, 3 * HOUR, 30 * HOUR])
def test_a_gap_is_read_on_the_line_across_it_however_long_it_lasts(store, beyond):
    store.fleet.replace(a_fleet(3), NOON + MINUTE, "fleet.toml")
    before, after = EVENING.start - beyond, EVENING.end + beyond
    per_half_hour = 600
    moved = round(per_half_hour * ((after - before) / (30 * MINUTE)))
    for at, wh in ((before, 0), (after, moved), (after + MINUTE, moved)):
        said = {"measured_at": at, "received_at": at + MINUTE, "export_wh": wh, "import_wh": 0}
        store.readings.add([a_reading(charger_id="charger-3", **said)])
    rows = book(store).rows
    assert [row.line.metered_export_wh for row in rows] == [4000 + per_half_hour] * 4
    assert all("estimated: linear between registers" in row.line.quality for row in rows)
    assert [row.line.metered_export_wh for row in book(store, EVENING.end + 10 * MINUTE).rows] == [4000] * 4


def test_an_award_taken_back_is_paid_for_being_held_until_then(store):
    at = EVENING.start + 45 * MINUTE
    facts = store.journal.facts("one")[:-1]
    with store.at_once():
        for n, one in enumerate([*(one.fact for one in facts), AwardCancelled(at, TAKEN_BACK)]):
            recorded_at = one.at + MINUTE
            store.journal.append("two", one, expected_version=n, by="test", recorded_at=recorded_at)
    made = [row.line for row in book(store).rows if row.line.opportunity == "two"]
    assert [line.availability_gbp for line in made] == [Decimal(n) for n in ("0.15", "0.125", "0", "0")]


@pytest.mark.parametrize("at", [NOON - HOUR, NEED_AT + MINUTE, AWARD_AT, AWARD_AT + MINUTE - MINUTE / 60])
def test_before_an_award_was_recorded_nothing_was_to_be_settled(store, at):
    assert book(store, at).rows == ()


def test_an_order_that_was_not_recorded_yet_is_not_known(store):
    known = book(store, AWARD_AT + MINUTE)
    assert [row.line.instructed_wh for row in known.rows] == [0] * 4
    assert {row.line.quality for row in known.rows} == {f"{NOT_NOMINATED}; {NO_REGISTER}"}


def test_an_amendment_that_was_not_recorded_yet_is_not_known(store):
    assert figures(book(store, AMEND_AT)) == [(5000, 0), (5000, 0), (5000, 0), (5000, 0)]
    before, after = (book(store, AMEND_AT + MINUTE - late) for late in (MINUTE / 60, timedelta(0)))
    assert [row.line.instructed_wh for row in before.rows] == [5000] * 4
    assert [row.line.instructed_wh for row in after.rows] == [5000, 2500, 2500, 2500]
    assert after.rows[0].line.delivered_wh == 4000


def test_a_register_counts_for_no_half_hour_that_is_not_over(store):
    """What it will show at the end is not known, so nothing is held up to there."""
    last = EVENING.end - 14 * MINUTE
    said = {"measured_at": last, "received_at": last, "export_wh": 7900, "import_wh": 0}
    store.readings.add([a_reading(charger_id=name, **said) for name in ("charger-1", "charger-2")])
    line = book(store, last).rows[-1].line
    assert (line.metered_export_wh, line.delivered_wh) == (line.baseline_export_wh, 0)
    assert NOT_OVER in line.quality
    assert NOT_OVER not in book(store, EVENING.end).rows[-1].line.quality


def test_a_nomination_that_was_not_frozen_yet_is_not_known(store):
    ordered = book(store, ORDER_AT + MINUTE)
    assert {row.line.quality for row in ordered.rows} == {f"{NOT_NOMINATED}; {NO_REGISTER}"}
    assert not any(not row.line.is_settled for row in book(store, FREEZE_AT).rows)


def test_the_same_question_gets_the_same_bytes(store, tmp_path):
    first = write_book(book(store, AMEND_AT), tmp_path / "first")
    store.readings.add(
        [a_reading(measured_at=EVENING.end, received_at=SETTLED_AT, export_wh=9000, import_wh=0)]
    )
    store.fleet.replace(a_fleet(1), SETTLED_AT, "later.toml")
    assert write_book(book(store, AMEND_AT), tmp_path / "second") == first


@pytest.mark.parametrize("imported_at", [EVENING.start + MINUTE, SETTLED_AT])
def test_a_fleet_imported_since_the_window_began_changes_no_statement(store, imported_at):
    before = book(store)
    elsewhere = a_car(charger=a_charger(charger_id="charger-3"), site=a_site(zone="WEST"))
    for later in (a_fleet(1), Fleet((elsewhere,), "moved")):
        store.fleet.replace(later, imported_at, "later.toml")
        assert (book(store).rows, book(store).inputs) == (before.rows, before.inputs)


def test_the_fleet_at_the_windows_start_says_whose_registers_count(store):
    store.fleet.replace(a_fleet(1), EVENING.start, "smaller.toml")
    assert [wh for _, wh in figures(book(store))] == [2000] * 4


def at_boundary(store, *, loads=(), silent=(), **changes):
    """Settle at the boundary: every home's meter shows its charger's 2 kWh out less 0.5 kWh of its house."""
    cars = [
        replace(car, site=replace(car.site, boundary_meter=True, house_load_kw=loads))
        for car in a_fleet(2).cars
    ]
    store.fleet.replace(Fleet(tuple(cars), "metered"), EVENING.start - HOUR, "metered.toml")
    for home, n in ((home, n) for home in ("home-1", "home-2") for n in range(5) if (home, n) not in silent):
        at = EVENING.start + n * 30 * MINUTE
        said = {"measured_at": at, "received_at": at + MINUTE, "export_wh": 1500 * n, "import_wh": 7}
        store.boundary_readings.add([a_reading(charger_id=home, **said)])
    day, product = date(2025, 1, 15), a_product(metering_point="boundary", **changes)
    return make_book(store, {PRODUCT: product}, fleets_of(store), day, day + timedelta(days=1))


def test_at_the_boundary_the_homes_own_registers_count(store):
    made = at_boundary(store)
    assert figures(made) == [(5000, 3000), (2500, 2500), (2500, 2500), (2500, 2500)]
    assert {row.line.metered_export_wh for row in made.rows} == {3000}
    assert [sum(wh for _, wh in row.line.shares_wh) for row in made.rows] == [3000, 2500, 2500, 2500]


def test_a_nomination_at_the_boundary_is_less_what_the_houses_are_stated_to_draw(store):
    made = at_boundary(store, loads=(1.0,))  # 0.5 kWh in a half-hour at each of two homes
    assert {row.line.baseline_export_wh for row in made.rows} == {-1000}
    assert figures(made) == [(5000, 4000), (2500, 2500), (2500, 2500), (2500, 2500)]


def test_a_half_hour_without_a_home_s_registers_is_not_a_zero(store):
    made = at_boundary(store, silent={("home-2", 3), ("home-2", 4)})
    assert figures(made)[:2] == [(5000, 3000), (2500, 2500)]
    assert figures(made)[2:] == [(2500, 0), (2500, 0)]
    for row in made.rows[2:]:
        assert row.line.metered_export_wh == row.line.baseline_export_wh
        assert row.line.quality.startswith("no register")


def test_what_a_home_s_operator_tells_stands_in_for_registers_that_are_missing(store):
    told = [MeteredInterval("home-2", slot, EVENING.end, 1500.0) for slot in SLOTS]
    store.boundary_intervals.add(told)
    store.intervals.add([replace(one, meter_id="charger-1", export_wh=9999.0) for one in told])
    made = at_boundary(store, silent={("home-2", 3), ("home-2", 4)})
    assert [row.line.metered_export_wh for row in made.rows] == [3000] * 4
    assert {row.line.quality for row in made.rows} == {"from meter operators' files (1 of 2 chargers)"}


def test_a_boundary_nobody_reads_delivers_nothing_whatever_its_chargers_show(store):
    made = at_boundary(store, silent={(home, n) for home in ("home-1", "home-2") for n in range(5)})
    assert [wh for _, wh in figures(made)] == [0] * 4


def test_the_track_record_is_what_was_delivered_of_what_was_ordered_on_days_of_the_kind(store):
    record = TrackRecord(store, {PRODUCT: a_product()}, ENGLAND)
    thursday, saturday = date(2025, 1, 16), date(2025, 1, 18)
    later = SETTLED_AT + HOUR
    assert record(ZONE, PRODUCT, thursday, later) == []
    settled = Settled(SETTLED_AT, 1, "d" * 64, "1.00")
    store.journal.append("one", settled, expected_version=9, by="test", recorded_at=SETTLED_AT)
    assert record(ZONE, PRODUCT, thursday, SETTLED_AT - MINUTE) == []
    (one,) = record(ZONE, PRODUCT, thursday, later)
    assert (one.ratio, one.is_like) == (pytest.approx(11_500 / 12_500), True)
    (one,) = record(ZONE, PRODUCT, saturday, later)
    assert not one.is_like
    assert record("another", PRODUCT, thursday, later) == []
