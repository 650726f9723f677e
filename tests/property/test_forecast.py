"""Scenarios against the same rules car by car, over clock changes; London's clock against ``zoneinfo``."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.forecast import History, Horizon, Session, StatedIntent, scenarios
from aggregator.forecast.walltime import WallTime, seconds
from aggregator.model.fleet import Intent
from aggregator.model.time import LONDON, Interval
from tests.builders import a_car
from tests.property.forecast_oracle import stay_of, two_stays_of

DAYS = (date(2024, 3, 30), date(2024, 3, 31), date(2024, 10, 26), date(2024, 10, 27), date(2025, 1, 9))


@st.composite
def sessions_of(draw: st.DrawFn, name: str, around: datetime) -> list[Session]:
    minutes = st.integers(0, 9 * 24 * 60)
    found = []
    for _ in range(draw(st.integers(1, 6))):
        start = around - timedelta(days=8) + timedelta(minutes=draw(minutes))
        length = timedelta(minutes=draw(st.integers(1, 3000)))
        kwh, soc = draw(st.floats(0.0, 60.0)), draw(st.floats(0.0, 1.0))
        found.append(Session(name, Interval(start, start + length), kwh, soc))
    return sorted(found, key=lambda one: one.plugged)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_each_stay_is_what_the_rules_say_for_that_car_alone(data: st.DataObject) -> None:
    day, days = data.draw(st.sampled_from(DAYS)), data.draw(st.sampled_from([1, 2]))
    noon = datetime.combine(day, time(12), LONDON)
    known = noon + timedelta(minutes=data.draw(st.integers(-3000, 600)))
    names = ("a", "b", "c")
    depart = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30]))
    cars = [a_car(car_id=name, default_intent=Intent(data.draw(depart), 0.8)) for name in names]
    history = {name: data.draw(sessions_of(name, noon)) for name in names}
    said = {
        name: StatedIntent(noon + timedelta(minutes=data.draw(st.integers(-600, 4000))), 0.9)
        for name in data.draw(st.sets(st.sampled_from(names)))
    }
    everything = History.of(one for rows in history.values() for one in rows)
    drivers_say = data.draw(st.booleans())
    said = said if drivers_say else {}
    horizon, intents = Horizon(day, days), said if drivers_say else None
    for scenario in scenarios(everything, cars, horizon, known, 9, intents):
        past_day, stay = date.fromisoformat(scenario.label), scenario.stay
        other = scenario.other
        if days == 1:
            before, after = other.depart_slot <= stay.arrive_slot, other.arrive_slot >= stay.depart_slot
            assert (~other.present | ~stay.present | before | after).all()
        assert (other.energy_kwh <= [car.capacity_kwh + 1e-9 for car in cars]).all()
        first_noon = datetime.combine(past_day - timedelta(days=days - 2), time(12), LONDON)
        rows = np.column_stack([getattr(stay, name) for name in stay.__slots__]).reshape(days, len(cars), 4)
        for n, car in enumerate(cars):
            if history[car.car_id][0].plugged.start >= first_noon:
                continue  # it goes like others then
            say = past_day, day, known, said.get(car.car_id)
            one, two = (
                rule(car, history[car.car_id], *say, drivers_say=drivers_say)
                for rule in (stay_of, two_stays_of)
            )
            own = [one] if days == 1 else two
            assert rows[:, n].tolist() == [pytest.approx(row) for row in own], (car.car_id, past_day)
            assert days == 1 or not _overlap(*rows[:, n, :2].tolist())


def _overlap(first: list[float], second: list[float]) -> bool:
    return max(first[0], second[0]) < min(first[1], second[1])


@given(st.lists(st.integers(0, 2 * 366 * 24 * 60), min_size=1, max_size=20))
def test_the_clock_is_london_s(minutes: list[int]) -> None:
    start = datetime(2023, 12, 31, 23, tzinfo=UTC)
    clock = WallTime.over(Interval(start, start + timedelta(days=800)))
    instants = [start + timedelta(minutes=count) for count in minutes]
    shown = [instant.astimezone(LONDON).replace(tzinfo=None) for instant in instants]
    in_s = np.array([seconds(instant) for instant in instants])
    shown_s = np.array([seconds(one.replace(tzinfo=UTC)) for one in shown])
    assert list(clock.shown(in_s)) == list(shown_s)
    for fold in (0, 1):
        back = [seconds(one.replace(tzinfo=LONDON, fold=fold).astimezone(UTC)) for one in shown]
        assert list(clock.instants(shown_s, fold)) == back


@pytest.mark.parametrize("fold", [0, 1])
def test_times_that_a_clock_skips_are_read_as_python_reads_them(fold: int) -> None:
    clock = WallTime.over(Interval(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 9, tzinfo=UTC)))
    skipped = [datetime(2024, 3, 31, 1, minute) for minute in (0, 30, 59)]  # noqa: DTZ001 - shown by a clock
    shown_s = np.array([seconds(one.replace(tzinfo=UTC)) for one in skipped])
    expected = [seconds(one.replace(tzinfo=LONDON, fold=fold).astimezone(UTC)) for one in skipped]
    assert list(clock.instants(shown_s, fold)) == expected
