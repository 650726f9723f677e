"""One car's night as data and as a picture: energies that add up, words that hold, SVG that is whole."""

import random
import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from aggregator.drivers.night import Row
from aggregator.model.fleet import Intent
from aggregator.model.metering import Reading
from aggregator.model.opportunity import Awarded, Instructed, InstructionCancelled, OptedOut
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.web.car_view import ahead, stretches
from aggregator.web.night_picture import NARROW, WIDE, night_picture, said_of
from aggregator.web.night_view import (
    CarNight,
    Event,
    HalfHour,
    Level,
    Need,
    around_night,
    evening_of,
    last_evening,
)
from tests.builders import a_car, a_car_report, an_award, some_steps
from tests.desk.world import EVENING, NOW, PRODUCT, ZONE, a_bid, a_desk, a_key, approved

NIGHT = around_night(NOW.date())
FRACTIONS = st.floats(0, 1)
WORDS = st.text(st.characters(exclude_categories=("C",)), max_size=20)
INSTANTS = st.integers(-600, 2000).map(lambda minutes: NIGHT.start + timedelta(minutes=minutes))
NUMBERS = ("x", "y", "x1", "x2", "y1", "y2", "width", "height")


@st.composite
def spans(draw):
    start = draw(INSTANTS)
    return Interval(start, start + timedelta(minutes=draw(st.integers(1, 900))))


@st.composite
def nights(draw):
    """Whatever may come of a night, much of it odd."""
    slots = NIGHT.slots(HALF_HOUR)
    cut = draw(st.integers(0, len(slots)))
    wh = st.none() | st.integers(0, 5000)
    past = [HalfHour(slot, draw(wh), draw(wh), draw(WORDS)) for slot in slots[:cut]]
    kw = st.floats(-25, 25)
    planned = [Row(slot, draw(kw), draw(st.floats(0, 60)), '<why> & "so"') for slot in slots[cut:]]
    levels = st.lists(st.builds(Level, spans(), st.none() | st.floats(0, 500)), max_size=2)
    ended = st.none() | INSTANTS
    events = st.builds(Event, st.just("bid-1"), spans(), st.booleans(), levels, ended)
    stretch = st.lists(FRACTIONS, min_size=1, max_size=400).map(
        lambda socs: [(NIGHT.start + n * timedelta(minutes=1), soc) for n, soc in enumerate(socs)]
    )
    return CarNight(
        car=a_car(car_id='<car> & "co"'),
        span=NIGHT,
        now=draw(INSTANTS),
        soc=draw(st.lists(stretch, max_size=2)),
        floors=[(NIGHT.start, draw(FRACTIONS)), (NIGHT.start + HOUR, draw(FRACTIONS))],
        stays=draw(st.lists(spans(), max_size=3).map(sorted)),
        unknown=draw(st.lists(spans(), max_size=2).map(sorted)),
        past=past,
        planned=planned if draw(st.booleans()) else [],
        need=draw(st.none() | st.builds(Need, INSTANTS, FRACTIONS)),
        events=draw(st.lists(events, max_size=2)),
    )


@given(nights(), st.sampled_from([WIDE, NARROW]))
def test_a_picture_is_whole_whatever_the_night_and_stays_within_its_frame(night, size):
    root = etree.fromstring(str(night_picture(night, size)))
    _, _, width, height = map(float, root.get("viewBox").split())
    assert root.get("aria-label") == said_of(night)
    assert "nan" not in said_of(night)
    for element in root.iter():
        assert element.get("style") is None
        for name in NUMBERS:
            value = element.get(name)
            if value is not None and element is not root:
                assert -0.1 <= float(value) <= max(width, height) + 0.1, etree.tostring(element)
    assert width == size.width
    bars = [one for one in root.iter() if "n-kw" in (one.get("class") or "")]
    hollow = [one for one in bars if "n-plan" in one.get("class")]
    assert len(hollow) <= len(night.planned)
    assert len(bars) - len(hollow) <= len(night.past)


@pytest.mark.parametrize("hours", [3, 17.9])
def test_each_floor_of_a_night_is_told_where_it_holds_and_the_last_always(hours):
    changed = NIGHT.start + timedelta(hours=hours)
    night = CarNight(
        a_car(),
        NIGHT,
        NIGHT.start,
        soc=[],
        floors=[(NIGHT.start, 0.3), (changed, 0.45)],
        stays=[],
        unknown=[],
        past=[],
        planned=[],
        need=None,
        events=[],
    )
    root = etree.fromstring(str(night_picture(night, WIDE)))
    told = [one for one in root.iter() if "n-floor-text" in (one.get("class") or "")]
    assert [one.text for one in told] == ["floor 30%", "floor 45%"]
    assert float(told[0].get("y")) > float(told[1].get("y"))


async def test_energies_of_half_hours_add_up_to_the_registers(tmp_path):
    chance = random.Random(7)
    async with a_desk(tmp_path, empty=True) as desk:
        vera = await desk.sign_in("vera")
        for back in range(1, 9):
            span = around_night(NOW.date() - timedelta(days=2 * back))
            at, took, gave, rows = span.start, back * 10_000, 0, []
            while at < span.end:
                rows.append(Reading("charger-1", at, at, took, gave))
                apart = min(timedelta(minutes=chance.randint(1, 40)), span.end - at)
                at += apart
                took += chance.choice([0, 0, round(chance.uniform(0, 7400 * (apart / HOUR)))])
                gave += chance.choice([0, round(chance.uniform(0, 3680 * (apart / HOUR)))])
            rows.append(Reading("charger-1", span.end, span.end, took, gave))
            desk.store.readings.add(rows)
            _, body = await vera.get(f"/v1/fleet/car-1?night={NOW.date() - timedelta(days=2 * back)}")
            halves = body["night"]["half_hours"]
            assert sum(one["took_wh"] for one in halves) == took - rows[0].import_wh
            assert sum(one["gave_wh"] for one in halves) == gave
            assert body["night"]["took_kwh"] == round((took - rows[0].import_wh) / 1000, 3)


async def test_what_registers_do_not_tell_is_unknown_not_nothing(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        vera = await desk.sign_in("vera")
        span = around_night(NOW.date() - timedelta(days=3))
        minutes = [*range(0, 121, 10), *range(300, 421, 10), *range(425, 1441, 5)]
        rows = [
            Reading(
                "charger-1", span.start + timedelta(minutes=n), NOW, 900_000 + 10 * n if n < 1000 else n, 0
            )
            for n in minutes
        ]
        desk.store.readings.add(rows)
        _, body = await vera.get(f"/v1/fleet/car-1?night={NOW.date() - timedelta(days=3)}")
        halves = [one["took_wh"] for one in body["night"]["half_hours"]]
        assert halves[:4] == [300] * 4
        assert halves[4:10] == [None] * 6, "three hours without a reading"
        assert halves[10:14] == [300] * 4
        assert halves[33] is None, "the meter began anew"
        assert halves[34:] == [30] * 14


@pytest.mark.parametrize(
    ("now", "around", "last"),
    [
        (datetime(2025, 1, 8, 11, 59, tzinfo=UTC), 7, 7),
        (datetime(2025, 1, 8, 12, 0, tzinfo=UTC), 8, 7),
        (datetime(2025, 1, 8, 4, 59, tzinfo=UTC), 7, 6),
        (datetime(2025, 1, 8, 5, 0, tzinfo=UTC), 7, 7),
    ],
)
def test_nights_run_from_noon_and_are_over_at_five(now, around, last):
    assert (evening_of(now).day, last_evening(now).day) == (around, last)


def a_row(n, kw, why, kwh=30.0):
    return Row(Interval(NOW + n * HALF_HOUR, NOW + (n + 1) * HALF_HOUR), kw, kwh, why)


def test_a_plan_is_told_in_as_few_lines_as_it_has_reasons():
    cheap = "charges in the cheapest hours before you leave, GBP {} a kWh"
    limited = "gives energy in the peak, a kWh given earns GBP {}; site limit: your home may export 3.68 kW"
    rows = [
        a_row(0, 3.68, limited.format("0.3590")),
        a_row(1, 3.68, limited.format("0.4010")),
        a_row(2, 0.0, "waits for cheaper hours"),
        a_row(3, -7.4, cheap.format("0.0701"), 33.0),
        a_row(4, -7.4, cheap.format("-0.0100"), 36.0),
    ]
    found = list(stretches(a_car(capacity_kwh=40.0), rows))
    assert [(one.does, one.span.start, one.span.end) for one in found] == [
        ("gives", NOW, NOW + HOUR),
        ("rests", NOW + HOUR, NOW + 1.5 * HOUR),
        ("takes", NOW + 1.5 * HOUR, NOW + 2.5 * HOUR),
    ]
    assert found[0].why == "gives energy in the peak; site limit: your home may export 3.68 kW"
    assert found[0].pence == pytest.approx((35.9, 40.1))
    assert found[2].why == "charges in the cheapest hours before you leave"
    assert found[2].pence == pytest.approx((-1.0, 7.01))
    assert found[2].soc == pytest.approx(0.9)
    assert sum(one.kwh for one in found) == pytest.approx(3.68 + 7.4)
    assert list(stretches(a_car(), [])) == []


def test_a_picture_of_what_is_to_come_begins_a_little_before_now():
    assert ahead(NOW, []) == Interval(NOW - 2 * HOUR, NOW + 6 * HOUR)
    at = NOW + timedelta(minutes=10)
    assert ahead(at, [a_row(30, 0.0, "")]) == Interval(NOW - 2 * HOUR, NOW + 15.5 * HOUR)


async def test_the_need_of_a_past_night_is_what_was_said_then(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        vera = await desk.sign_in("vera")
        span = around_night(NOW.date() - timedelta(days=3))
        morning = span.start + 19 * HOUR
        told = {"depart_at": morning, "target_soc": 0.75}
        reports = [
            a_car_report(car_id="car-1", measured_at=span.start + n * HOUR, soc=0.5, plugged=n < 19, **told)
            for n in range(5, 22)
        ]
        desk.store.states.add(reports, NOW)
        _, body = await vera.get(f"/v1/fleet/car-1?night={NOW.date() - timedelta(days=3)}")
        assert body["night"]["needed"] == {"at": morning.strftime("%Y-%m-%dT%H:%M:%SZ"), "soc": 0.75}
        assert a_car().default_intent == Intent(time(7, 30), 0.8)
        assert [one["from"] for one in body["night"]["plugged"]]


def utc(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_time_in_which_nothing_was_heard_is_unknown_and_not_away(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        vera = await desk.sign_in("vera")
        evening = NOW.date() - timedelta(days=3)
        span = around_night(evening)
        heard = [
            *((n, False) for n in range(0, 300, 10)),  # away until 17:00
            *((n, True) for n in range(300, 480, 10)),  # plugged in until the gateway stops, 19:50
            *((n, True) for n in range(780, 1080, 10)),  # and from 01:00 to 06:00
        ]
        reports = [
            a_car_report(car_id="car-1", measured_at=span.start + timedelta(minutes=n), plugged=plugged)
            for n, plugged in heard
        ]
        desk.store.states.add(reports, NOW)
        _, body = await vera.get(f"/v1/fleet/car-1?night={evening}")
        night = body["night"]
        gaps = [(one["from"], one["until"]) for one in night["not_known"]]
        last, back = span.start + timedelta(minutes=470), span.start + timedelta(minutes=780)
        over = span.start + timedelta(minutes=1070)
        assert gaps == [(utc(last), utc(back)), (utc(over), utc(span.end))]
        whys = [one["why"] for one in night["half_hours"]]
        assert set(whys[:10]) == {"not plugged in"}
        assert set(whys[16:26]) == set(whys[37:]) == {"not known: nothing was heard of it"}
        assert set(whys[27:34]) == {"nothing was asked of it"}
        _, page = await vera.get(f"/fleet/car-1?night={evening}")
        assert "not known</span>" in page
        wide = page.partition('<div class="wide-one">')[2].partition("</svg>")[0]
        assert (wide.count("n-unknown"), wide.count("n-away")) == (2, 1)


async def test_the_lowest_charge_of_a_night_is_not_that_after_the_morning_s_drive(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        evening = NOW.date() - timedelta(days=3)
        start = around_night(evening).start
        socs = [
            *((n, 0.7, True) for n in range(300, 1170, 10)),
            *((n, None, False) for n in range(1170, 1230, 10)),
        ]
        socs += [(n, 0.4, True) for n in range(1230, 1430, 10)]
        reports = [
            a_car_report(car_id="car-1", measured_at=start + timedelta(minutes=n), soc=soc, plugged=plugged)
            for n, soc, plugged in socs
        ]
        desk.store.states.add(reports, NOW)
        _, body = await (await desk.sign_in("vera")).get(f"/v1/fleet/car-1?night={evening}")
        assert body["night"]["lowest_soc"] == 0.7
        socs = [one["soc_at_end"] for one in body["night"]["half_hours"]]
        assert (socs[20], socs[39], socs[45]) == (0.7, None, 0.4)
        _, page = await (await desk.sign_in("vera")).get(f"/fleet/car-1?night={evening}")
        assert '<span class="muted">away</span>' in page
        assert '<span class="muted">not known</span>' in page


async def test_an_order_is_shaded_until_it_was_cancelled_with_the_levels_that_held(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, one = await desk.sign_in("vera"), desk.bid("bid-5")
        key, at = one.instruction.key, [NOW + timedelta(minutes=n) for n in (10, 20)]
        steps = some_steps(2, 2, 2, 2, slots=one.window.slots(HALF_HOUR))
        amended = replace(one.instruction, key=replace(key, modification=key.modification + 1), steps=steps)
        gone = replace(key, modification=key.modification + 2)
        facts = [Instructed(at[0], amended), InstructionCancelled(at[1], gone)]
        desk.store.journal.append_many(
            "bid-5", facts, expected_version=one.version, by="test", recorded_at=NOW
        )
        desk.parts.clock.set(NOW + timedelta(minutes=40))
        _, body = await vera.get("/v1/fleet/car-1")
        (event,) = body["night"]["events"]
        assert event["ended_at"] == utc(at[1])
        assert [(row["from"], row["until"], row["kw"]) for row in event["ran"]] == [
            (utc(NOW), utc(at[0]), 3.0),
            (utc(at[0]), utc(at[1]), 2.0),
        ]
        _, page = await vera.get("/fleet/car-1")
        wide = page.partition('<div class="wide-one">')[2].partition("</svg>")[0]
        assert "12:10 to 12:20, 2 kW of the zone; order cancelled Tue 14 Jan 12:20" in wide
        assert wide.count('class="n-event"') == 2
        assert re.search(r"order cancelled <time[^>]*>Tue 14 Jan 12:20<", page)


async def test_a_bid_taken_back_before_its_window_is_told_with_the_day_and_who_did_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        award = an_award(key=a_key("award-9"), zone=ZONE, product_id=PRODUCT, window=EVENING)
        back = OptedOut(NOW, "a feeder is down", "anna")
        a_bid(desk.store, "bid-9", approved, Awarded(NOW, award), back, event="requirement-9")
        desk.parts.clock.set(EVENING.start + HALF_HOUR)
        vera = await desk.sign_in("vera")
        _, page = await vera.get(f"/fleet/car-1?night={EVENING.start:%Y-%m-%d}")
        told = page.partition("Events of its zone in this night")[2].partition("</section>")[0]
        assert re.search(
            r"withdrawn by us <time[^>]*>Tue 14 Jan 12:00</time></strong>, before it began", told
        )
        assert "not called on" not in told
        desk.parts.gateway.book.refresh(EVENING.start + HALF_HOUR)
        _, live = await vera.get("/live")
        assert "2025-01-15T17:00:00Z/" not in live  # nothing was awarded any more: nothing is shaded
        for path in ("/bids/bid-9", "/bids?shown=all"):
            assert "not to come" in (await vera.get(path))[1], path
