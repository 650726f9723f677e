"""Random months settle to the Wh and the penny as an independent re-computation has it."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.cli import run
from aggregator.model.fleet import Fleet
from aggregator.model.market import OrderMode, Step
from aggregator.model.metering import Reading
from aggregator.model.opportunity import (
    Approved,
    AwardCancelled,
    Awarded,
    DeliveryEnded,
    DeliveryStarted,
    Instructed,
    InstructionCancelled,
    OptedOut,
    Proposed,
    Received,
    Submitted,
)
from aggregator.model.time import HALF_HOUR, LONDON, Interval
from aggregator.store import open_store
from tests.builders import (
    a_car,
    a_charger,
    a_draft,
    a_nomination,
    a_requirement,
    a_site,
    an_award,
    an_event_key,
    an_instruction,
)
from tests.property.settled import figures, recomputed
from tests.property.settlement_oracle import Oracle

ROOT = Path(__file__).parents[2]
ZONES = ("Canvey", "Hendon Way")
CARS = 3
CLOCK_CHANGES = {date(2025, 3, 1): 29, date(2025, 10, 1): 25}
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
COMMON = """
[[product]]
product_id = "{name}"
direction = "{direction}"
bid_shape = "per_slot"
slot_minutes = 30
tick_kw = 0.5
min_kw = 0
gate_days_before = 1
gate_local = "14:00"
hold_back = true
award_probability = 0.9
penalty_gbp_per_mwh = {penalty}
{rest}
"""
LIKE_DAYS = 'baseline = {{ method = "{}", working_days = 3, other_days = 1, least_measured = 1 }}'
FACTOR = '[product.performance.{}]\nmeasure = "delivery"\nover = "{}"\ngrace = 0.05\nmultiplier = {}'
PROFILE_KW = [n / 10 - 2 for n in range(48)]
PRODUCTS = {
    "up": ("up", 600, ""),
    "down": ("down", 99.5, ""),
    "zero": ("up", 0, 'baseline = "zero"\n' + FACTOR.format("utilisation", "event", 3)),
    "fixed": (
        "down",
        250,
        f'baseline = {{ method = "fixed", per_charger = true, profile_kw = {PROFILE_KW} }}\n'
        + FACTOR.format("utilisation", "half_hour", 2),
    ),
    "bl01": ("up", 800, LIKE_DAYS.format("bl01")),
    "adjusted": ("up", 700, LIKE_DAYS.format("bl01").replace(" }", ", adjusted = true }")),
    "middle": ("up", 800, LIKE_DAYS.format("mid_8_of_10")),
    "months": (
        "up",
        1000,
        "performance.wrong_way_is_missing = true\n"
        + FACTOR.format("utilisation", "month", 1)
        + "\n"
        + FACTOR.format("availability", "month_before", 1),
    ),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration with products of every kind."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "markets").mkdir()
    market = (ROOT / "config" / "markets" / "ukpn.toml").read_text().split("[[product]]")[0]
    market += "".join(
        COMMON.format(name=name, direction=direction, penalty=penalty, rest=rest)
        for name, (direction, penalty, rest) in PRODUCTS.items()
    )
    (folder / "markets" / "ukpn.toml").write_text(market)
    lines = (ROOT / "config" / "gateway.toml").read_text().splitlines(keepends=True)
    (folder / "gateway.toml").write_text("".join(one for one in lines if not one.startswith("history =")))
    return folder / "gateway.toml"


@st.composite
def events(draw, month):
    """Return the facts of one opportunity and its window, awarded in part, ordered, amended, taken back."""
    length = (month.replace(day=28) + 4 * DAY).replace(day=1) - month
    day = month + DAY * draw(st.one_of(st.integers(0, length.days - 1), st.just(CLOCK_CHANGES[month])))
    start = datetime.combine(day, time(0), LONDON).astimezone(UTC) + 10 * MINUTE * draw(st.integers(-3, 140))
    count = draw(st.integers(1, 5))
    window = Interval(start, start + count * HALF_HOUR)
    zone, product = draw(st.sampled_from(ZONES)), draw(st.sampled_from(sorted(PRODUCTS)))
    levels = st.lists(st.integers(0, 60).map(lambda n: n / 2), min_size=count, max_size=count)
    prices = st.decimals(0, 3000, places=2)
    said = {"zone": zone, "product_id": product, "window": window}
    needed = tuple(kw + 1 for kw in draw(levels))
    award = an_award(
        **said,
        awarded_kw=tuple(draw(levels)),
        utilisation_gbp_per_mwh=draw(prices),
        availability_gbp_per_mw_h=draw(prices),
    )
    noon = start - DAY
    draft = a_draft()
    facts = [
        Received(noon, a_requirement(**said, needed_kw=needed)),
        Proposed(noon, draft),
        Approved(noon, draft.digest, "bob"),
        Submitted(noon, draft.report_id),
        Awarded(noon + MINUTE, award),
    ]
    orders = draw(st.lists(_changes(window, zone, product, PRODUCTS[product][0]), max_size=4))
    facts += _numbered([(window.start, DeliveryStarted(window.start)), *orders])
    end = draw(st.sampled_from(["over", "over", "opted out", "cancelled"]))
    if end == "over":
        return [*facts, DeliveryEnded(window.end)]
    at = max(facts[-1].at, window.start) + draw(st.timedeltas(timedelta(0), HALF_HOUR))
    taken_back = AwardCancelled(at, an_event_key(event_id="award-1", modification=1))
    return [*facts, OptedOut(at, "why", "ann") if end == "opted out" else taken_back]


@st.composite
def _changes(draw, window, zone, product, direction):
    """Return an order or a cancellation of one of two order events, without its modification yet."""
    at = window.start + timedelta(
        seconds=draw(st.integers(-3600, int((window.end - window.start).seconds) - 1))
    )
    event = draw(st.sampled_from(["dispatch-1", "dispatch-1", "dispatch-2"]))
    if draw(st.integers(0, 3)) == 0:
        return at, (event, None)
    slots = draw(
        st.sampled_from([window.slots(HALF_HOUR), window.slots(15 * MINUTE), window.slots(HALF_HOUR)[:1]])
    )
    shift = 5 * MINUTE * draw(st.sampled_from([0, 0, 0, 1]))
    mode = draw(st.sampled_from(OrderMode))
    values = st.integers(-80, 80).map(lambda n: n / 4 if mode is not OrderMode.MULTIPLIER else n / 10)
    steps = tuple(Step(Interval(one.start + shift, one.end + shift), draw(values)) for one in slots)
    order = an_instruction(
        zone=zone, product_id=product, mode=mode, steps=steps, issued_at=at, priority=draw(st.integers(0, 2))
    )
    return at, (event, order)


def _numbered(changes):
    """Return facts in the order of their stamps, each event's modifications counted up."""
    facts, count = [], {}
    for at, change in sorted(changes, key=lambda one: one[0]):
        if not isinstance(change, tuple):
            facts.append(change)
            continue
        event, order = change
        key = an_event_key(event_id=event, modification=count.get(event, 0))
        if order is None and event not in count:
            continue
        count[event] = key.modification + 1
        instruction = None if order is None else type(order)(key, *_but_key(order))
        facts.append(InstructionCancelled(at, key) if instruction is None else Instructed(at, instruction))
    return facts


def _but_key(order):
    return [getattr(order, name) for name in type(order).__dataclass_fields__ if name != "key"]


@st.composite
def months(draw, month):
    """Return a month's opportunities, and a seed for its meters."""
    return draw(st.lists(events(month), min_size=1, max_size=6)), draw(st.integers(0, 2**32))


def registers(charger, month, random):
    """Return what one charger told in a month and the days around it: late, corrected, missing, reset."""
    begins = datetime.combine(month, time(0), UTC) - 30 * DAY
    import_wh, export_wh = random.randrange(10**6), random.choice([0, 999_000, 2**31 - 3_000])
    told, n, skewed = [], 0, random.choice([0, 0, 7])
    while n < 48 * 65:
        n += 1
        at = (
            begins
            + n * HALF_HOUR
            + (random.randrange(60) * MINUTE / 6 if random.randrange(8) < skewed else 0 * DAY)
        )
        import_wh += random.choice([0, 0, 700, 3_600])
        export_wh += random.choice([0, 0, 1_000, 3_000])
        match random.randrange(400):
            case 0 | 1 | 2 | 3:
                n += random.randrange(1, 60)  # silent
                continue
            case 4:
                import_wh, export_wh = random.randrange(500), random.randrange(500)  # another meter
            case 5:
                export_wh += 10**7  # a jump
            case 6:
                export_wh %= 10**6  # rolls over
            case 7:
                told.append(Reading(charger, at, at + MINUTE, 0, -1 if random.randrange(2) else 0))
                continue
            case 8:
                told.append(Reading(charger, at, at + 3 * DAY, import_wh, export_wh))  # late
                continue
            case 9 | 10:
                told.append(Reading(charger, at, at + 5 * DAY, import_wh, export_wh + 20))  # corrected later
            case 11:
                told.append(Reading(charger, at, at + 9 * MINUTE, import_wh, export_wh))  # a repeat
        told.append(Reading(charger, at, at + MINUTE, import_wh, export_wh))
    return told


def fill(url, month, opportunities, seed):
    """Store a month of two zones."""
    random = Random(seed)
    cars = tuple(
        a_car(
            car_id=f"{zone} {n}",
            charger=a_charger(charger_id=f"{zone}/{n}"),
            site=a_site(site_id=f"home {zone} {n}", zone=zone),
        )
        for zone in ZONES
        for n in range(CARS)
    )
    begins = datetime.combine(month, time(0), UTC) - DAY
    with open_store(url, create=True) as store:
        store.fleet.replace(Fleet(cars, "f" * 64), begins - 60 * DAY, "fleet.toml")
        for n, facts in enumerate(opportunities):
            for version, fact in enumerate(facts):
                learnt = fact.at + random.choice([MINUTE, MINUTE, 2 * DAY])
                store.journal.append(str(n), fact, expected_version=version, by="test", recorded_at=learnt)
        for zone in ZONES:
            slots = [Interval(begins + n * HALF_HOUR, begins + (n + 1) * HALF_HOUR) for n in range(48 * 34)]
            store.nominations.freeze(
                [
                    a_nomination(
                        zone=zone,
                        period=slot,
                        export_wh=random.randint(-4000, 4000),
                        frozen_at=slot.start - DAY,
                    )
                    for slot in slots
                ]
            )
        for car in cars:
            if random.randrange(6):
                store.readings.add(registers(car.charger.charger_id, month, random))


def settled(config, url, out, start, end, *more):
    """Run the command; return the statement's figures as whole Wh and exact money."""
    words = [
        "--config",
        config,
        "--database",
        url,
        "settle",
        "--from",
        start,
        "--to",
        end,
        "--out",
        out,
        *more,
    ]
    assert run([str(word) for word in words]) == 0
    for line in json.loads((out / "statement.json").read_bytes())["rows"]:
        shares = [Decimal(share) for share in line["shares_gbp"].values()]
        assert not shares or sum(shares) == Decimal(line["amount_gbp"])
    table = pd.read_csv(out / "statement.csv", dtype=str, keep_default_na=False)
    return figures(table)


@pytest.mark.slow
@pytest.mark.parametrize("month", CLOCK_CHANGES, ids=str)
@settings(max_examples=4)
@given(data=st.data())
def test_a_month_agrees_with_its_independent_recomputation(config, month, data):
    opportunities, seed = data.draw(months(month))
    start, end = month, (month + 31 * DAY).replace(day=1)
    known_at = datetime.combine(month, time(0), UTC) + data.draw(st.integers(2, 40)) * DAY
    with TemporaryDirectory() as folder:
        database = Path(folder) / "f.db"
        fill(f"sqlite:///{database}", month, opportunities, seed)
        for more in ((), ("--as-known-at", known_at.isoformat())):
            found = settled(config, f"sqlite:///{database}", Path(folder) / "out", start, end, *more)
            oracle = Oracle(database, config.parent / "markets" / "ukpn.toml", known_at if more else None)
            assert found == recomputed(oracle, start, end)
