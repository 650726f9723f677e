from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.model.metering import Reading
from aggregator.model.opportunity import NEXT, Opportunity, replay
from aggregator.model.time import Interval
from aggregator.store import open_store
from aggregator.store.codec import FACTS, from_text, to_text
from tests.builders import NOON, a_next_fact
from tests.conftest import DATABASES
from tests.strategies import facts

FEW = 25
"""Walks on a server: its ways to be asked are the same, and each of them takes longer."""


@pytest.fixture(scope="module", params=DATABASES)
def store(request):
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'f.db'}"
        if request.param == "postgresql":
            url = request.getfixturevalue("postgres").create()
        with open_store(url, create=True) as store:
            yield store


@given(facts)
def test_every_fact_comes_back_as_it_was(fact):
    text = to_text(fact)
    back = from_text(FACTS, text, "journal")
    assert back == fact
    assert to_text(back) == text


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_random_walks_over_the_table_replay_to_the_same_opportunity(store, data):
    walk(store, data)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=FEW)
@given(data=st.data())
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_random_walks_replay_to_the_same_opportunity_on_a_server(store, data):
    walk(store, data)


def walk(store, data):
    """Append what may happen next, step by step, and look at what is stored."""
    name = f"walk-{len(store.journal.ids())}"
    opportunity = Opportunity(name)
    for n in range(data.draw(st.integers(1, 12), label="facts")):
        kind = data.draw(st.sampled_from(sorted(NEXT[opportunity.stage], key=lambda kind: kind.__name__)))
        at = NOON + timedelta(minutes=n)
        fact = a_next_fact(opportunity, kind, at)
        stored = store.journal.append(
            name, fact, expected_version=opportunity.version, by="ann", recorded_at=at
        )
        opportunity = opportunity.after(fact)
        assert stored == opportunity
    assert store.journal.opportunity(name) == opportunity
    assert replay(name, [recorded.fact for recorded in store.journal.facts(name)]) == opportunity
    assert opportunity in store.journal.find(stages=[opportunity.stage], zone=opportunity.zone)


minutes = st.integers(0, 3).map(lambda n: NOON + timedelta(minutes=n))
told = st.tuples(st.sampled_from("ab"), minutes, minutes, st.integers(0, 2))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(told, max_size=15), known_at=minutes, size=st.integers(1, 15))
def test_the_newest_known_register_is_the_one_last_learnt_and_repeats_add_nothing(
    store, told, known_at, size
):
    run = store.readings.count()  # chargers of their own for each example
    said = [Reading(f"{name}-{run}", at, learnt, wh, 0) for name, at, learnt, wh in told]
    arrived = sorted(dict.fromkeys(said), key=lambda r: r.received_at)  # the same again is a repeat
    known = {(r.charger_id, r.measured_at): r.import_wh for r in arrived if r.received_at <= known_at}
    for start in range(0, len(arrived), size):
        store.readings.add(arrived[start : start + size])
    stored = store.readings.count()
    just_after = known_at + timedelta(milliseconds=1)  # two told at one instant are kept 1 us apart
    always = Interval(NOON, NOON + timedelta(hours=1))
    found = store.readings.between([f"a-{run}", f"b-{run}"], always, as_known_at=just_after)
    assert {(r.charger_id, r.measured_at): r.import_wh for r in found} == known
    assert list(found) == sorted(found, key=lambda r: (r.charger_id, r.measured_at))
    assert store.readings.add(found) == 0
    assert store.readings.count() == stored
