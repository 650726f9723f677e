"""P1 to P3 whatever drivers do: at the door and at their chargers, at random, against the simulated fleet."""

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregator.audit.cars import p1_floor, p3_boost, p5_expiry, p12_stale
from aggregator.audit.departures import p2_departure
from aggregator.audit.homes import p4_sites
from aggregator.drivers.bodies import read_saying
from aggregator.model.drivers import Boost, Departure, Floor, Saying, Topic, V2g, Week, WeekDay
from aggregator.model.errors import BadMessage
from aggregator.model.fleet import Fleet
from aggregator.model.metering import Outcome
from aggregator.model.time import HOUR
from dispatch.fleet_simulator.script import Act, Kind
from dispatch.interlock import Interlock
from tests.builders import EVENING, a_car, a_car_report, a_set_point
from tests.fakes.driven_fleet import MINUTE, driven
from tests.fakes.simulated_fleet import FIVE_PM
from tests.unit.test_drivers_words import a_word

LENGTH = 60
CYCLE = MINUTE
CARS = ("leaf-1", "leaf-2", "leaf-3")


@dataclass(frozen=True)
class Spoken:
    """What a driver says at a minute; ``after`` minutes more for what has an end."""

    minute: int
    car_id: str
    topic: Topic
    saying: Saying | None
    lasts: int | None = None


def departures():
    return st.builds(
        lambda minute, car_id, after, target: Spoken(
            minute,
            car_id,
            Topic.DEPARTURE,
            Departure(FIVE_PM + (minute + after) * MINUTE, target),
            after + 30,
        ),
        st.integers(1, LENGTH - 1),
        st.sampled_from(CARS),
        st.integers(5, 200),
        st.sampled_from([0.3, 0.6, 0.75]),
    )


def others():
    sayings = st.one_of(
        st.builds(lambda soc: (Topic.FLOOR, Floor(soc)), st.floats(0.3, 0.8)),
        st.builds(lambda on: (Topic.V2G, V2g(on=on)), st.booleans()),
        st.sampled_from([(Topic.BOOST, Boost()), (Topic.BOOST, None), (Topic.DEPARTURE, None)]),
        st.just((Topic.WEEK, Week((WeekDay(2, (FIVE_PM + 2 * HOUR).time(), 0.6),)))),
        st.just((Topic.FLOOR, None)),
    )
    lasts = st.sampled_from([None, None, 7])
    return st.builds(
        lambda minute, car_id, what, lasts: Spoken(
            minute, car_id, *what, lasts if what == (Topic.BOOST, Boost()) else None
        ),
        st.integers(1, LENGTH - 1),
        st.sampled_from(CARS),
        sayings,
        lasts,
    )


acts = st.builds(
    lambda minute, car_id, kind: Act(car_id=car_id, at=FIVE_PM + minute * MINUTE, kind=kind),
    st.integers(1, LENGTH),
    st.sampled_from(CARS),
    st.sampled_from([Kind.BOOST, Kind.BOOST_OFF, Kind.LEAVE]),
)


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])  # an evening is too slow to shrink
@given(
    st.lists(st.one_of(others(), departures()), min_size=3, max_size=10),
    st.lists(acts, max_size=3),
    st.sampled_from([None, 5.0, 14.0]),
)
def test_floor_departure_and_boost_are_kept_whatever_drivers_do(spoken, pressed, ordered_kw):
    with tempfile.TemporaryDirectory() as folder:
        one = asyncio.run(played(Path(folder), spoken, pressed, ordered_kw))
        assert one == []


async def played(folder, spoken, pressed, ordered_kw):
    """Return every breach of a random evening, by the audit and by arithmetic of its own."""
    async with driven(folder, acts=pressed, ordered_kw=ordered_kw) as one:
        floors = {name: [(FIVE_PM - HOUR, 0.3)] for name in CARS}
        off = {name: [(FIVE_PM - HOUR, False)] for name in CARS}
        for minute in range(LENGTH):
            await one.minute()
            for word in (word for word in spoken if word.minute == minute):
                now = one.clock.now()
                until = now + word.lasts * MINUTE if word.lasts else None
                one.say(word.topic, word.saying, word.car_id, until)
                if word.topic is Topic.FLOOR:
                    floors[word.car_id].append((now, word.saying.soc if word.saying else 0.3))
                if word.topic is Topic.V2G:
                    off[word.car_id].append((now, not word.saying.on))
            await one.cycle()
        await one.stored()
        breaches = []
        evidence = one.evidence()
        for check in (p1_floor, p2_departure, p3_boost, p4_sites, p5_expiry, p12_stale):
            breaches += check(evidence).breaches
        for name in CARS:
            breaches += below_floor(name, one.truth(name), floors[name])
        breaches += [
            f"{sent.point} with V2G off"
            for sent in one.points()
            if sent.outcome is Outcome.ACCEPTED and sent.point.export_w > 0
            if standing(off[sent.point.car_id], sent.point.issued_at - CYCLE)
            and standing(off[sent.point.car_id], sent.point.issued_at)
        ]
        return breaches


def standing(told, at):
    return [what for since, what in told if since <= at][-1]


def below_floor(name, rows, floors):
    """Yield where a car truly gave energy below the lower of its floors of now and a cycle ago."""
    for before, after in pairwise(rows):
        gave = before.export_w > 0 and after.export_w > 0
        floor = min(standing(floors, after.at), standing(floors, before.at - CYCLE))
        if gave and after.energy_kwh < floor * 40 - 1e-6:
            yield f"{name} gave at {after.at} with {after.energy_kwh:.3f} kWh, floor {floor * 40:.3f}"


keys = st.one_of(
    st.sampled_from(
        [
            "soc",
            "percent",
            "miles",
            "miles_per_kwh",
            "on",
            "until",
            "days",
            "depart_local",
            "depart_at",
            "expires_at",
            "target_soc",
            "target_percent",
            "target_miles",
        ]
    ),
    st.text(max_size=5),
)
numbers = st.one_of(st.floats(), st.integers(), st.floats(0, 1), st.integers(0, 100))
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["07:30", "2025-01-09T07:30", "2025-03-30T01:30", "9999-12-31T23:59-14:00", "weekdays"]),
    st.datetimes().map(str),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


@given(st.sampled_from(Topic), st.one_of(st.dictionaries(keys, values, max_size=4), values))
def test_a_body_is_a_saying_that_may_be_or_every_fault_in_it_one_line_each(topic, body):
    car, now = a_car(floor_soc=0.4), EVENING.start
    try:
        saying, until = read_saying(topic, body, car, 3.33, now)
    except BadMessage as bad:
        assert bad.faults
        assert all(fault.where and fault.allowed and "\n" not in fault.allowed for fault in bad.faults)
        return
    assert until is None or until > now
    match saying:
        case Floor(soc=soc):
            assert 0.4 <= soc <= 1
        case Departure(depart_at=depart_at, target_soc=target_soc):
            assert now < depart_at <= until
            assert 0 <= target_soc <= 1
        case Week(days=days):
            assert len({row.day for row in days}) == len(days) > 0


@given(
    st.floats(0.3, 1.0),
    st.floats(0.3, 1.0),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.booleans(),
    st.integers(0, 300),
    st.integers(1, 6000),
)
def test_what_passes_the_interlock_breaks_no_driver_s_word(
    soc, floor, v2g, door, charger, leaves_min, export_w
):
    car, start = a_car(), EVENING.start
    words = {Topic.FLOOR: a_word(Floor(floor), Topic.FLOOR), Topic.V2G: a_word(V2g(on=v2g), Topic.V2G)}
    if door is not None:
        words[Topic.BOOST] = a_word(Boost() if door else None)
    leaves_at = start + leaves_min * MINUTE
    words[Topic.DEPARTURE] = a_word(Departure(leaves_at, 0.9), Topic.DEPARTURE)
    interlock = Interlock(Fleet((car,), "f" * 64), MINUTE)
    earlier = words[Topic.FLOOR].told_at - timedelta(hours=1)
    interlock.observe([a_car_report(measured_at=earlier, boost=charger)])
    interlock.observe([a_car_report(measured_at=start, soc=soc, boost=charger)])
    interlock.hear({"car-1": words})
    refusals = interlock.check([a_set_point(export_w=export_w)])
    if not refusals:
        left = soc * 60 - export_w / 1000 * 120 / 3600 / 0.91
        hours = max(0.0, leaves_min / 60 - 120 / 3600)
        assert v2g
        assert not (door if door is not None else charger)  # the door's word is the later one
        assert left >= floor * 60 - 1e-5
        assert left + 0.92 * 7.4 * hours >= 0.9 * 60 - 1e-5
