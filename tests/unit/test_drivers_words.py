"""Words of drivers as facts: which holds when, how they are kept, who may say them; which nights count."""

import itertools
import re
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.cycles import month_around, nights
from aggregator.drivers.answers import cycles_body
from aggregator.drivers.bodies import read_saying
from aggregator.drivers.limits import Buckets
from aggregator.model.drivers import (
    SILENT,
    Boost,
    ChargerWord,
    Departure,
    Floor,
    Told,
    Topic,
    V2g,
    Week,
    WeekDay,
    Word,
    as_wished,
    latest,
    next_departure,
    wish_of,
)
from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.model.fleet import Intent
from aggregator.model.time import HOUR, LONDON, Interval, parse_london
from aggregator.said import UNTOLD, DriversSaid
from aggregator.store import open_store
from tests.builders import NOON, a_car, a_car_report, an_intent
from tests.fakes.clock import FakeClock

MINUTE = timedelta(minutes=1)
WEEKDAYS = Week(tuple(WeekDay(day, time(7, 30), 0.9) for day in range(5)))


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


def a_word(saying=None, topic=Topic.BOOST, at=NOON, **changes):
    return replace(Word("car-1", topic, 1, at, "token", saying), **changes)


def wish(*words, charger=SILENT, at=NOON + HOUR):
    return wish_of(latest(words).get("car-1", {}), charger, an_intent(), at)


# which word holds


def test_nothing_said_is_the_default():
    assert wish() == wish_of({}, SILENT, an_intent(), NOON)
    assert (wish().boost, wish().v2g, wish().depart_at, wish().source) == (False, True, None, "default")


def test_an_older_word_does_not_come_back_when_a_later_one_runs_out():
    always = a_word(Boost())
    short = a_word(Boost(), version=2, until=NOON + MINUTE)
    assert wish(always).boost
    assert not wish(always, short).boost
    assert wish(always, short, at=NOON + MINUTE / 2).boost


def test_a_departure_beats_the_week_and_the_week_the_default():
    once = a_word(Departure(NOON + 5 * HOUR, 1.0), Topic.DEPARTURE, until=NOON + 6 * HOUR)
    usual = a_word(WEEKDAYS, Topic.WEEK)
    assert (wish(once, usual).depart_at, wish(once, usual).source) == (NOON + 5 * HOUR, "departure")
    after = wish(once, usual, at=NOON + 6 * HOUR)
    assert (after.depart_at, after.target_soc, after.source) == (
        datetime(2025, 1, 16, 7, 30, tzinfo=UTC),
        0.9,
        "week",
    )


def test_a_charger_s_word_wins_where_it_is_newer_and_one_that_says_nothing_takes_nothing_back():
    said = a_word(Departure(NOON + 5 * HOUR, 1.0), Topic.DEPARTURE, at=NOON)
    newer = ChargerWord(depart_at=NOON + 3 * HOUR, target_soc=0.5, intent_since=NOON + MINUTE)
    older = replace(newer, intent_since=NOON - MINUTE)
    assert wish(said, charger=newer).depart_at == NOON + 3 * HOUR
    assert wish(said, charger=older).depart_at == NOON + 5 * HOUR
    assert (
        wish(said, charger=newer.after(a_car_report(measured_at=NOON + 2 * MINUTE))).depart_at
        == NOON + 5 * HOUR
    )
    assert wish(a_word(WEEKDAYS, Topic.WEEK), charger=older).source == "charger"


def test_a_charger_that_never_pressed_boost_takes_no_boost_back():
    charger = SILENT.after(a_car_report(measured_at=NOON + MINUTE))
    assert wish(a_word(Boost()), charger=charger).boost
    pressed = charger.after(a_car_report(measured_at=NOON + 2 * MINUTE, boost=True))
    released = pressed.after(a_car_report(measured_at=NOON + 3 * MINUTE))
    assert not wish(a_word(Boost()), charger=released).boost


def told_least(topic, body, car):
    """Return the least, or most, that is told to be allowed, as a number."""
    with pytest.raises(BadMessage) as refused:
        read_saying(topic, body, car, 3.7, NOON)
    return float(re.search(r"at (?:least|most) ([0-9.]+)", refused.value.faults[0].allowed)[1])


@given(st.floats(0.31, 0.9), st.floats(10.0, 150.0), st.sampled_from(["soc", "percent", "miles"]))
def test_who_says_the_least_floor_or_most_miles_that_are_told_is_not_refused_again(floor_soc, kwh, field):
    car = a_car(floor_soc=floor_soc, capacity_kwh=kwh)
    least = told_least(Topic.FLOOR, {field: 0.0}, car)
    assert read_saying(Topic.FLOOR, {field: least}, car, 3.7, NOON)[0].soc >= floor_soc
    most = told_least(Topic.FLOOR, {"miles": kwh * 3.7 + 1}, car)
    assert read_saying(Topic.FLOOR, {"miles": most}, car, 3.7, NOON)[0].soc <= 1


def test_a_floor_that_is_too_low_is_told_as_it_was_stated():
    with pytest.raises(BadMessage) as refused:
        read_saying(Topic.FLOOR, {"percent": 50.25}, a_car(floor_soc=0.5055), 3.7, NOON)
    (fault,) = refused.value.faults
    assert (fault.value, fault.allowed.split(":")[0]) == ("50.25%", "at least 50.55%")


def test_floor_and_switch_make_another_car():
    car = as_wished(a_car(), wish(a_word(Floor(0.5), Topic.FLOOR), a_word(V2g(on=False), Topic.V2G)))
    assert (car.floor_soc, car.charger.discharge_kw) == (0.5, 0.0)
    assert as_wished(a_car(floor_soc=0.6), wish(a_word(Floor(0.5), Topic.FLOOR))).floor_soc == 0.6
    assert as_wished(a_car(), wish()) == a_car()


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.times().map(lambda at: at.replace(microsecond=0))),
        unique_by=lambda x: x[0],
    ),
    st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 1)),  # noqa: DTZ001
)
def test_the_next_departure_is_the_first_of_the_week_s_that_comes(days, naive):
    after = naive.replace(microsecond=0, tzinfo=UTC)
    week = Week(tuple(WeekDay(day, at, 0.9) for day, at in days))
    default = Intent(time(12, 34), 0.5)
    at, intent = next_departure(week, default, after)
    named = dict(days)
    local = at.astimezone(LONDON)
    assert after < at <= after + timedelta(days=2)
    assert intent.depart_local == named.get(local.weekday(), default.depart_local)
    skipped = abs(
        timedelta(
            hours=local.hour - intent.depart_local.hour, minutes=local.minute - intent.depart_local.minute
        )
    )
    assert skipped in (timedelta(0), HOUR)
    for day in (after + n * HOUR for n in range(int((at - after) / HOUR))):  # no day's own time lies between
        shown = day.astimezone(LONDON).date()
        wanted = named.get(shown.weekday(), default.depart_local)
        fold_free = datetime.combine(shown, wanted, LONDON).astimezone(UTC)
        assert not after < fold_free < at


# how they are kept


def test_each_word_is_a_row_and_none_is_ever_changed(store):
    clock = FakeClock(NOON)
    said = DriversSaid(store, clock)
    sayings = [
        (Topic.BOOST, Boost()),
        (Topic.BOOST, None),
        (Topic.WEEK, WEEKDAYS),
        (Topic.FLOOR, Floor(0.45)),
        (Topic.V2G, V2g(on=False)),
        (Topic.DEPARTURE, Departure(NOON + HOUR, 1.0)),
    ]
    told = []
    for topic, saying in sayings:
        version = said.words().get("car-1", {}).get(topic)
        word = a_word(saying, topic, UNTOLD)
        told.append(said.say(word, version.version if version else 0))
        clock.pass_by(MINUTE)
    assert sorted(store.drivers.all(), key=lambda word: word.told_at) == told
    assert [word.told_at for word in told] == [NOON + n * MINUTE for n in range(6)]
    assert DriversSaid(store, clock).words() == said.words()
    assert said.known_by(NOON)["car-1"].keys() == {Topic.BOOST}
    assert (
        Told(store.drivers.all()).of("car-1", NOON + 2 * MINUTE) == said.known_by(NOON + 2 * MINUTE)["car-1"]
    )


def test_a_word_for_another_version_is_refused_and_nothing_stored(store):
    said = DriversSaid(store, FakeClock(NOON))
    said.say(a_word(Boost()), 0)
    for version in (0, 2):
        with pytest.raises(RuleViolation, match="version 1 stands"):
            said.say(a_word(), version)
    assert len(store.drivers.all()) == 1


def test_of_many_at_once_each_version_is_won_once(store):
    said, won = DriversSaid(store, FakeClock(NOON)), []

    def say():
        for version in range(8):
            try:
                won.append(said.say(a_word(Floor(0.5), Topic.FLOOR), version).version)
            except RuleViolation:
                continue

    threads = [threading.Thread(target=say) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(1, len(won) + 1))


# who may say them


def test_a_token_is_known_by_its_text_alone_and_the_store_does_not_hold_it(store, tmp_path):
    made, text = store.tokens.make("car-1", NOON)
    assert store.tokens.check(text) == made
    secret = text.rsplit("_", 1)[1]
    wrong = (text[:-1] + ("0" if text[-1] != "0" else "1"), text.upper(), text + " ", "", "flx__", secret)
    assert [store.tokens.check(one) for one in wrong] == [None] * 6
    store.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in files
    assert store.tokens.revoke(made.token_id, NOON + HOUR).revoked_at == NOON + HOUR
    assert store.tokens.revoke(made.token_id, NOON + 2 * HOUR).revoked_at == NOON + HOUR
    assert store.tokens.check(text) is None
    assert store.tokens.revoke("nobody", NOON) is None


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 120))
def test_no_more_get_through_than_the_bucket_holds_and_refills(waits, per_minute):
    now_s, through = 0.0, 0
    buckets = Buckets(per_minute, lambda: now_s)
    for wait in waits:
        now_s += wait
        wait_s = buckets.wait_s("driver")
        through += wait_s == 0
        assert through <= max(5, per_minute / 2) + now_s * per_minute / 60 + 1e-6
        if wait_s:
            now_s += wait_s
            assert buckets.wait_s("driver") == 0
            through += 1


# instants that drivers write


@given(st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)))  # noqa: DTZ001
def test_a_local_time_is_read_as_london_s_or_refused_where_clocks_change(naive):
    naive = naive.replace(microsecond=0)
    shown = [
        (datetime(2024, 1, 1, tzinfo=UTC) + offset).astimezone(LONDON).replace(tzinfo=None) == naive
        for offset in (
            naive - datetime(2024, 1, 1) + shift  # noqa: DTZ001
            for shift in (timedelta(0), -HOUR)
        )
    ]
    if sum(shown) == 1:
        assert parse_london(naive.isoformat()).astimezone(LONDON).replace(tzinfo=None) == naive
    else:
        with pytest.raises(ValueError, match="clocks"):
            parse_london(naive.isoformat())


# what chargers said before, and the nights


def states(store, *rows):
    for minutes, changes in rows:
        at = NOON + minutes * MINUTE
        store.states.add([a_car_report(measured_at=at, **changes)], received_at=at)


def test_a_charger_s_word_is_as_old_as_the_unbroken_row_that_says_it(store):
    on, intent = {"boost": True}, {"depart_at": NOON + 9 * HOUR, "target_soc": 0.7}
    states(store, (0, {}), (1, on), (2, {}), (3, on | intent), (4, on | intent))
    (word,) = store.car_history.charger_words(["car-1"]).values()
    assert word == ChargerWord(True, NOON + 3 * MINUTE, NOON + 9 * HOUR, 0.7, NOON + 3 * MINUTE)
    states(store, (5, on))
    (word,) = store.car_history.charger_words(["car-1"]).values()
    assert word == ChargerWord(True, NOON + 3 * MINUTE)
    states(store, (6, {}), (7, {}))
    (word,) = store.car_history.charger_words(["car-1"]).values()
    assert word == ChargerWord(False, NOON + 6 * MINUTE)
    assert store.car_history.charger_words(["car-2"]) == {"car-2": SILENT}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store for many examples, each with a car of its own."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'flexloop.db'}", create=True) as store:
        yield store, itertools.count()


@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.sampled_from([None, 0.5]), st.booleans()), min_size=1, max_size=12
    )
)
def test_the_store_tells_the_same_as_who_heard_every_report(rows, shared):
    store, number = shared
    car_id = f"car-{next(number)}"
    reports = [
        a_car_report(
            car_id=car_id, measured_at=NOON + n * MINUTE, boost=boost, target_soc=target, plugged=plugged
        )
        for n, (boost, target, plugged) in enumerate(rows)
    ]
    heard, stays, begun = SILENT, [], None
    for report in reports:
        heard = heard.after(report)
        if report.plugged:
            begun = begun or report.measured_at
        elif begun:
            stays.append(Interval(begun, report.measured_at))
            begun = None
    if begun and begun < reports[-1].measured_at:
        stays.append(Interval(begun, reports[-1].measured_at))
    store.states.add(reports, received_at=NOON + HOUR)
    assert store.car_history.charger_words([car_id]) == {car_id: heard}
    presence = store.car_history.presence(car_id, Interval(NOON, NOON + HOUR), 2 * MINUTE)
    assert (list(presence.stays), presence.silences) == (stays, ())


@pytest.mark.parametrize(
    ("evening", "hours"), [(date(2025, 3, 29), 11), (date(2025, 10, 25), 13), (date(2025, 1, 6), 12)]
)
def test_a_night_counts_from_before_six_to_five_on_both_clock_changes_too(evening, hours):
    start = datetime.combine(evening, time(17, 59, 59), LONDON).astimezone(UTC)
    five = datetime.combine(evening + timedelta(days=1), time(5), LONDON).astimezone(UTC)
    assert five - start == timedelta(hours=hours - 1, seconds=1)
    assert list(nights(Interval(start, five))) == [evening]
    assert list(nights(Interval(start, five - timedelta(seconds=1)))) == []
    assert list(nights(Interval(start + timedelta(seconds=1), five))) == []


def test_a_night_belongs_to_its_evening_s_month_and_twelve_earn_the_credit():
    first = datetime(2025, 1, 31, 17, tzinfo=LONDON)
    counted = list(nights(Interval(first, first + timedelta(days=12, hours=12))))
    february = cycles_body("car-1", date(2025, 2, 1), [night for night in counted if night.month == 2])
    assert (february["cycles"], february["credit_gbp"], february["missing"]) == (12, 30, 0)
    assert february["nights"][0] == "2025-02-01"
    january = cycles_body("car-1", date(2025, 1, 1), [night for night in counted if night.month == 1])
    assert (january["nights"], january["credit_gbp"], january["missing"]) == (["2025-01-31"], 0, 11)
    around = month_around(date(2024, 12, 1))
    assert (around.start, around.end) == (
        datetime(2024, 11, 30, tzinfo=UTC),
        datetime(2025, 1, 2, tzinfo=UTC),
    )
