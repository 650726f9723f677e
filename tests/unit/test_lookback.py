"""What a product's rules look back on, from the store and as known at a time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from aggregator.audit.evidence import Evidence
from aggregator.audit.plans import p13_nomination
from aggregator.config import read_settings
from aggregator.model.fleet import Fleets
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    DeliveryEnded,
    DeliveryStarted,
    Instructed,
    Proposed,
    Received,
    Submitted,
)
from aggregator.model.rules import (
    BaselineMethod,
    BaselineRule,
    FactorRule,
    Fallback,
    Measure,
    Over,
    Performance,
)
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import ReportRequest
from aggregator.reports import write_book
from aggregator.settling import settlement_report, work_out
from aggregator.statement_books import make_book
from aggregator.store import open_store
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    SLOTS,
    ZONE,
    a_draft,
    a_fleet,
    a_nomination,
    a_product,
    a_reading,
    a_requirement,
    an_award,
    an_event_key,
    an_instruction,
    some_steps,
)

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
CHARGERS = ("charger-1", "charger-2")
TWO_DAYS = BaselineRule(BaselineMethod.BL01, working_days=2, fallback=Fallback.FEWER_DAYS)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


def moved(interval, by):
    return Interval(interval.start + by, interval.end + by)


def an_event(store, name, back=0, window=None):
    """Record an event that lies so many days before the evening; all of it was known a minute later."""
    by = -back * DAY
    window = window or moved(EVENING, by)
    slots = window.slots(HALF_HOUR)
    draft = a_draft()
    said = {"issued_at": NOON + by, "steps": some_steps(10, 10, 10, 10, slots=slots)}
    facts = (
        Received(NOON + by, a_requirement(key=an_event_key(event_id=name), window=window)),
        Proposed(NOON + by, draft),
        Approved(NOON + by, draft.digest, "bob"),
        Submitted(NOON + by, draft.report_id),
        Awarded(NOON + by, an_award(window=window)),
        Instructed(NOON + by, an_instruction(**said)),
        DeliveryStarted(window.start),
        DeliveryEnded(window.end),
    )
    for n, fact in enumerate(facts):
        store.journal.append(name, fact, expected_version=n, by="test", recorded_at=fact.at + MINUTE)
    return next(one for one in store.journal.find() if one.opportunity_id == name)


def measure(store, back, export_w, chargers=CHARGERS, received_at=None, **changes):
    """Let chargers export so much through one afternoon and evening, with a register each half-hour."""
    start = datetime(2025, 1, 15, 12, tzinfo=UTC) - back * DAY
    for charger in chargers:
        for n in range(17):
            at = start + n * HALF_HOUR
            said = {"export_wh": 10**6 - 10**4 * back + export_w * n // 2, "import_wh": 0} | changes
            store.readings.add(
                [a_reading(charger_id=charger, measured_at=at, received_at=received_at or at, **said)]
            )


def worked(store, opportunity, baseline=TWO_DAYS, as_known_at=None, **performance):
    product = a_product(baseline=baseline, performance=Performance(**performance))
    return work_out(store, opportunity, product, Fleets(((NOON - 90 * DAY, a_fleet(2)),)), as_known_at)


def baselines(store, opportunity, **changes):
    return [line.baseline_export_wh for line in worked(store, opportunity, **changes).statement.lines]


# baselines


def test_like_days_are_read_from_registers(store):
    event = an_event(store, "today")
    for back, export_w in ((0, 3000), (1, 400), (2, 200), (5, 999)):
        measure(store, back, export_w)
    assert baselines(store, event) == [300] * 4
    line, *_ = worked(store, event).statement.lines
    assert (line.metered_export_wh, line.delivered_wh, line.quality) == (3000, 2700, "measured")


def test_days_with_an_event_and_weekends_are_left_out(store):
    an_event(store, "another", back=1)
    event = an_event(store, "today")
    for back, export_w in ((1, 5000), (2, 200), (3, 5000), (4, 5000), (5, 400)):
        measure(store, back, export_w)
    assert baselines(store, event) == [300] * 4  # 12 and 11 January are a weekend


@pytest.mark.parametrize(
    ("chargers", "least", "expected"),
    [(CHARGERS[:1], 0.9, 100), (CHARGERS[:1], 0.5, 150), ((), 0.5, 100)],
)
def test_a_day_that_too_few_chargers_tell_of_is_no_day_without_use(store, chargers, least, expected):
    event = an_event(store, "today")
    measure(store, 1, 400, chargers)
    measure(store, 2, 100)
    measure(store, 5, 100)
    rule = replace(TWO_DAYS, least_measured=least)
    assert baselines(store, event, baseline=rule) == [expected] * 4


def test_what_was_learnt_later_is_not_known(store):
    event = an_event(store, "today")
    measure(store, 1, 400)
    measure(store, 2, 200, received_at=EVENING.end + DAY)
    measure(store, 5, 100)
    assert baselines(store, event) == [300] * 4
    assert baselines(store, event, as_known_at=EVENING.end) == [250] * 4


def test_a_statement_says_what_it_looked_back_on(store):
    event = an_event(store, "today")
    measure(store, 1, 400)
    measure(store, 2, 200)
    assert "past" not in worked(store, event, baseline=BaselineRule()).inputs
    before = worked(store, event)
    assert worked(store, event).inputs == before.inputs
    measure(store, 2, 300, received_at=EVENING.end + DAY)
    assert worked(store, event).inputs["past"] != before.inputs["past"]
    assert worked(store, event, as_known_at=EVENING.end).inputs == before.inputs


def test_another_event_before_this_one_moves_no_baseline(store):
    event = an_event(store, "today")
    for back, export_w in ((0, 0), (1, 400), (2, 200)):
        measure(store, back, export_w)
    adjusted = replace(TWO_DAYS, adjusted=True)
    assert baselines(store, event, baseline=adjusted) == [0] * 4
    an_event(store, "afternoon", window=moved(EVENING, -3 * HOUR))
    assert baselines(store, event, baseline=adjusted) == [300] * 4
    line, *_ = worked(store, event, baseline=adjusted).statement.lines
    assert "baseline not adjusted" in line.quality


def test_a_platform_is_told_the_nomination_whatever_the_baseline(store):
    event = an_event(store, "today")
    measure(store, 0, 3000)
    store.nominations.freeze([a_nomination(period=slot, export_wh=1000) for slot in SLOTS])
    made = worked(store, event, baseline=BaselineRule(BaselineMethod.ZERO))
    request = ReportRequest("dno", "request-1", "settlement", timedelta(0), timedelta(0), NOON)
    report = settlement_report(made, 1, request, EVENING.end)
    told = {row.r_id: row.value for row in report.rows}
    assert told == {f"{ZONE}/nominated_kwh": 1.0, f"{ZONE}/metered_kwh": 3.0, f"{ZONE}/delivered_kwh": 3.0}


def test_a_statement_that_looked_back_has_the_same_bytes_again(store, tmp_path):
    an_event(store, "today")
    for back, export_w in ((0, 3000), (1, 400), (2, 200), (20, 5000)):
        measure(store, back, export_w)
    an_event(store, "last month", 20)
    rules = Performance(FactorRule(over=Over.MONTH), FactorRule(over=Over.MONTH_BEFORE))
    baseline = replace(TWO_DAYS, fallback=Fallback.ZERO)  # last month there was nothing to look back on
    product, fleets = a_product(baseline=baseline, performance=rules), Fleets(((NOON, a_fleet(2)),))
    days = date(2025, 1, 15), date(2025, 1, 16)
    books = [make_book(store, {PRODUCT: product}, fleets, *days) for _ in range(2)]
    first, second = (write_book(book, tmp_path / str(n)) for n, book in enumerate(books))
    assert first == second
    assert [row.line.baseline_export_wh for row in books[0].rows] == [300] * 4
    assert "in 2025-01; availability x" in books[0].rows[0].line.quality


# months


def test_availability_follows_the_delivery_of_the_month_before(store):
    """Two events of last month: one delivered 2,000 of 5,000 Wh a half-hour, the other all of it."""
    for back, export_w in ((20, 2000), (21, 5000), (0, 0)):
        measure(store, back, export_w)
    earlier = [an_event(store, f"back {back}", back) for back in (21, 20)]
    event = an_event(store, "today")
    rule = FactorRule(over=Over.MONTH_BEFORE)
    zero = BaselineRule(BaselineMethod.ZERO)
    assert earlier[0].window.start.date() == date(2024, 12, 25)
    plain = worked(store, event, baseline=zero).statement.lines
    scaled = worked(store, event, baseline=zero, availability=rule).statement.lines
    for line, before in zip(scaled, plain, strict=True):
        assert line.availability_gbp == before.availability_gbp * Decimal("0.7")
        assert "availability x 0.7: delivery 0.7000 in 2024-12" in line.quality


def test_the_month_itself_counts_the_event(store):
    for back, export_w in ((1, 4000), (0, 2000)):
        measure(store, back, export_w)
    an_event(store, "yesterday", 1)
    event = an_event(store, "today")
    zero, rule = BaselineRule(BaselineMethod.ZERO), FactorRule(over=Over.MONTH)
    lines = worked(store, event, baseline=zero, utilisation=rule).statement.lines
    assert {line.factor for line in lines} == {Decimal("0.6")}


def test_a_schedule_is_measured_on_days_without_an_event(store):
    """Nominated 1,000 Wh a half-hour: yesterday it was called, the day before 800 Wh were exported."""
    event = an_event(store, "today")
    an_event(store, "yesterday", 1)
    for back, export_w in ((0, 0), (1, 5000), (2, 800)):
        measure(store, back, export_w)
        slots = [moved(slot, -back * DAY) for slot in SLOTS]
        store.nominations.freeze([a_nomination(period=slot, export_wh=1000) for slot in slots])
    rule = FactorRule(Measure.SCHEDULE, Over.MONTH, least_kw=0.1)
    lines = worked(store, event, utilisation=rule).statement.lines
    assert {line.factor for line in lines} == {Decimal("0.75")}
    late = replace(rule, first_period=37)  # 18:00: half as many half-hours, all alike
    assert worked(store, event, utilisation=late).statement.lines[0].factor == Decimal("0.75")
    none = replace(rule, first_period=1, last_period=29)
    line, *_ = worked(store, event, utilisation=none).statement.lines
    assert line.factor == 1
    assert "utilisation in full: no schedule_accuracy to measure in 2025-01" in line.quality


# bias


def bias_shown(store, **settled):
    days = date(2025, 1, 15), date(2025, 1, 16)
    fleets = Fleets(((NOON - 90 * DAY, a_fleet(2)),))
    (shown,) = make_book(store, {PRODUCT: a_product()}, fleets, *days, **settled).biases
    return {name: str(value) for name, value in shown.cells().items() if name not in {"opportunity", "zone"}}


def test_the_bias_of_nominations_is_told_over_days_without_an_event(store):
    """Nominated 1,000 Wh a half-hour on five days: 800 and 1,100 came; one had an event; one was long ago."""
    an_event(store, "today")
    an_event(store, "yesterday", 1)
    for back, export_w in ((0, 0), (1, 5000), (2, 800), (5, 1100), (70, 0)):
        measure(store, back, export_w)
        slots = [moved(slot, -back * DAY) for slot in SLOTS]
        store.nominations.freeze([a_nomination(period=slot, export_wh=1000) for slot in slots])
    assert bias_shown(store) == {
        "local_hours": "17:00 to 19:00",
        "half_hours_compared": "8",
        "nominated_kwh": "8.000",
        "metered_kwh": "7.600",
        "bias_percent": "5.0",
    }


def test_a_day_that_not_all_meters_tell_of_says_nothing_of_bias(store):
    an_event(store, "today")
    measure(store, 2, 800, CHARGERS[:1])
    store.nominations.freeze([a_nomination(period=moved(slot, -2 * DAY), export_wh=1000) for slot in SLOTS])
    shown = bias_shown(store)
    assert (shown["half_hours_compared"], shown["bias_percent"]) == ("0", "")


@pytest.mark.parametrize(("events", "compared"), [(("evening before",), "0"), ((), "1")])
def test_the_night_after_an_event_is_part_of_its_day(store, events, compared):
    night = Interval(NOON - 9 * HOUR, NOON - 8 * HOUR)
    an_event(store, "today", window=night)
    for name in events:
        an_event(store, name, 2)
    period = moved(Interval(night.start, night.start + HALF_HOUR), -DAY)
    store.nominations.freeze([a_nomination(period=period, export_wh=1000)])
    for charger in CHARGERS:
        for at in (period.start, period.end):
            store.readings.add([a_reading(charger_id=charger, measured_at=at, received_at=at)])
    assert bias_shown(store)["half_hours_compared"] == compared


def test_bias_is_as_known_at_the_time(store):
    an_event(store, "today")
    measure(store, 2, 800, received_at=EVENING.end + DAY)
    slots = [moved(slot, -2 * DAY) for slot in SLOTS]
    store.nominations.freeze([a_nomination(period=slot, export_wh=1000) for slot in slots])
    assert bias_shown(store)["half_hours_compared"] == "4"
    assert bias_shown(store, as_known_at=EVENING.end)["half_hours_compared"] == "0"


@pytest.mark.parametrize(("days", "export_w", "told"), [(30, 900, 1), (30, 980, 0), (10, 900, 0)])
def test_the_audit_holds_nominations_to_their_bias_once_days_enough_tell(store, days, export_w, told):
    store.fleet.replace(a_fleet(2), NOON - 90 * DAY, "fleet.toml")
    an_event(store, "today")
    for back in range(1, days + 1):
        measure(store, back, export_w)
        slots = [moved(slot, -back * DAY) for slot in SLOTS]
        store.nominations.freeze([a_nomination(period=slot, export_wh=1000) for slot in slots])
    settings = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")
    market = settings.market[0]
    row = market.product[0].model_copy(update={"product_id": PRODUCT})
    named = settings.model_copy(update={"market": (market.model_copy(update={"product": (row,)}),)})
    found = p13_nomination(Evidence(store, named))
    assert len([one for one in found.breaches if "on uncalled days" in one]) == told
    assert bool(found.unchecked) is (days < 20)
