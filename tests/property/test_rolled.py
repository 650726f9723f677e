"""Readings in files answer as those in the table do: whatever is asked, rolled when, known when."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.model.metering import Reading
from aggregator.model.time import Interval
from aggregator.store import open_store

FRIDAY = date(2025, 3, 28)
BEGINS = datetime(2025, 3, 28, tzinfo=UTC)
MINUTE, DAYS = timedelta(minutes=1), 5
AFTERWARDS = BEGINS + timedelta(days=9)
METERS = ("a", "b", "é 2", "silent")
hours = st.integers(-3, DAYS * 24 + 3)
instants = st.one_of(
    st.builds(lambda n, m: BEGINS + n * 60 * MINUTE + m * MINUTE, hours, st.sampled_from([0, 0, 7])),
    st.just(AFTERWARDS + 2 * MINUTE),
    st.just(datetime.max.replace(tzinfo=UTC)),
)
known = st.none() | instants


@st.composite
def readings(draw):
    """Return a reading, told at once or late, maybe of an instant that another one has, too."""
    at = BEGINS + draw(hours) * 60 * MINUTE
    late = draw(st.sampled_from([MINUTE, MINUTE, 5 * 60 * MINUTE, 50 * 60 * MINUTE]))
    meter = draw(st.sampled_from(METERS[:-1]))
    return Reading(meter, at, at + late, draw(st.integers(0, 3)), draw(st.integers(0, 3)))


def answers(store, asked, intervals, as_known_at):
    """Return all that can be asked of readings."""
    kept = store.readings
    return (
        [kept.between(METERS, one, as_known_at) for one in intervals],
        kept.at_or_around(METERS, asked, as_known_at),
        [kept.last_before(METERS, one, as_known_at) for one in asked],
        kept.first(),
        kept.newest_at(METERS),
        kept.count(),
    )


@settings(max_examples=15)
@given(
    st.lists(readings(), min_size=1, max_size=40),
    st.lists(readings(), max_size=10),
    st.lists(instants, min_size=1, max_size=6, unique=True),
    known,
    st.lists(st.integers(0, DAYS + 1), min_size=1, max_size=2),
)
def test_what_is_rolled_answers_as_what_is_not(first, later, asked, as_known_at, rolled_before):
    bounds = sorted({BEGINS, *asked})
    intervals = [Interval(low, high) for low in bounds for high in bounds if low < high]
    later = [replace(one, received_at=AFTERWARDS + n * MINUTE) for n, one in enumerate(later)]
    with TemporaryDirectory() as folder:
        urls = [f"sqlite:///{Path(folder) / name}.db" for name in ("rolled", "plain")]
        with open_store(urls[0], create=True) as store, open_store(urls[1], create=True) as plain:
            for one in (store, plain):
                one.readings.add(first)
            for days in rolled_before:
                before = FRIDAY + timedelta(days=days)
                list(store.rolling.roll(before, store.rolling.folder(None)))
                assert answers(store, asked, intervals, as_known_at) == answers(
                    plain, asked, intervals, as_known_at
                )
            for one in (store, plain):
                one.readings.add(later)
            wanted = answers(plain, asked, intervals, as_known_at)
            found = answers(store, asked, intervals, as_known_at)
            assert found[:-1] == wanted[:-1]  # but for the count: what is told again is kept once more
            list(store.rolling.unroll(date.min))
            assert answers(store, asked, intervals, as_known_at) == wanted
