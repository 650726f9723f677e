"""What only a server does: it refuses, it is another's, it has a locale, it goes away and comes back."""

import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aggregator.model.errors import BadMessage, RuleViolation, Unavailable
from aggregator.model.opportunity import Received
from aggregator.store import Alarm, Halt, open_store, upgrade
from aggregator.store.engine import open_engine, parse_url
from tests.builders import NOON, a_fleet, a_reading, a_requirement
from tests.postgres import running

ROOT = Path(__file__).parents[2]
CRASHES = 2
WRITERS = 6
NAMES = ("Ärger", "zone", "Zone", "a-1", "a1", "A 2", "é", "e", "007", "_x", "\u2028")


@pytest.fixture(scope="module")
def server():
    """A server that may be stopped: no other test has it."""
    with running() as server:
        yield server


def test_texts_are_compared_byte_by_byte_whatever_the_databases_locale(postgres):
    url = postgres.create()
    upgrade(url)
    name = url.split("?")[0].rsplit("/", 1)[1]
    found = postgres.execute(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type = 'text'",
        name,
    )
    assert found == [("C",)]


@pytest.mark.parametrize("form", ["postgresql", "postgresql+psycopg"])
def test_both_forms_of_a_url_are_taken_and_the_password_is_never_shown(postgres, form):
    url = postgres.create().replace("postgresql://flexloop@", f"{form}://flexloop:secret@")
    with open_store(url, create=True) as store:
        assert "secret" not in store.name
        with store.held(), pytest.raises(RuleViolation) as refused, store.held():
            pass
    assert "secret" not in str(refused.value)


def test_what_a_server_refuses_is_a_wrong_input_and_one_that_is_away_is_not(postgres, tmp_path):
    with pytest.raises(BadMessage, match="role and a database that exist"):
        open_store(postgres.url("nowhere"), create=True)
    with pytest.raises(BadMessage, match="role and a database that exist"):
        open_store(postgres.url("postgres").replace("flexloop@", "nobody@"), create=True)
    with pytest.raises(Unavailable, match="does not answer"):
        open_store(f"postgresql://flexloop@/x?host={tmp_path}", create=True)


def test_a_role_that_may_not_make_tables_is_told_so(postgres):
    url = postgres.create()
    postgres.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(BadMessage, match=r"permission denied.*a role that may make tables"):
        open_store(url.replace("flexloop@", "guest@"), create=True)
    open_store(url, create=True).close()
    with pytest.raises((BadMessage, Unavailable), match="permission denied"):
        open_store(url.replace("flexloop@", "guest@"), create=False)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@host:port/x",
        "postgresql+psycopg2://ann:secret@host/x",
        "postgresql+asyncpg://ann:secret@host/x",
        "oracle://ann:secret@host/x",
        "postgresql://ann:secret@/x?nonsense=1",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(BadMessage) as refused:
        open_store(url, create=True)
    assert "secret" not in str(refused.value)


def test_a_database_that_cannot_hold_any_text_is_refused(postgres):
    url = postgres.create(ENCODING="LATIN1")
    with pytest.raises(BadMessage, match=r"encoding LATIN1.*UTF8"):
        open_store(url, create=True)


def test_a_database_of_another_program_is_refused_and_left_alone(postgres):
    url = postgres.create()
    name = url.split("?")[0].rsplit("/", 1)[1]
    postgres.execute("CREATE TABLE recipes (id integer)", name)
    with pytest.raises(BadMessage, match="tables recipes"):
        open_store(url, create=True)
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == [(1,)]


def test_a_session_waits_for_its_commits_whatever_the_servers_default(postgres):
    url = postgres.create()
    postgres.execute(f"ALTER DATABASE {url.split('?')[0].rsplit('/', 1)[1]} SET synchronous_commit = off")
    engine = open_engine(parse_url(url))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    engine.dispose()


def test_texts_have_one_order_everywhere(store):
    for name in NAMES:
        fact = Received(NOON, a_requirement())
        store.journal.append(name, fact, expected_version=0, by="test", recorded_at=NOON)
    assert list(store.journal.ids()) == sorted(NAMES)
    assert [name for name, _ in store.journal.all_facts()] == sorted(NAMES)
    store.readings.add([a_reading(charger_id=name) for name in NAMES])
    found = store.readings.last_before(NAMES, NOON)
    assert [reading.charger_id for reading in found] == sorted(NAMES)


def at_the_same_time(*steps):
    """Take steps in threads of their own, all at once; return what each came to."""
    together = threading.Barrier(len(steps))

    def taken(step):
        together.wait()
        try:
            return step()
        except RuleViolation as refused:
            return refused

    with ThreadPoolExecutor(len(steps)) as threads:
        return list(threads.map(taken, steps))


def test_what_was_read_stays_so_until_it_is_acted_upon(store):
    """Rules that no key enforces hold for writers at the same instant, too."""
    halts = at_the_same_time(*[lambda: store.halts.stop(Halt(None, NOON, "ann", "smoke"))] * WRITERS)
    assert len({halt.halt_id for halt in halts}) == 1
    (halt,) = store.halts.standing()
    said = at_the_same_time(*[lambda: store.halts.restart(halt.halt_id, "ann", NOON)] * WRITERS)
    assert sum(isinstance(one, RuleViolation) for one in said) == WRITERS - 1
    reading = a_reading()
    assert sorted(at_the_same_time(*[lambda: store.readings.add([reading])] * WRITERS))[-2:] == [0, 1]
    assert store.readings.count() == 1


def test_two_who_begin_at_once_make_one_and_a_refusal_for_each_other(store):
    fact = Received(NOON, a_requirement())
    begin = [
        lambda: store.journal.append("one", fact, expected_version=0, by="ann", recorded_at=NOON)
    ] * WRITERS
    found = at_the_same_time(*begin)
    refused = [one for one in found if isinstance(one, RuleViolation)]
    assert len(refused) == WRITERS - 1
    assert {str(one) for one in refused} == {"one is at version 1, not 0: it changed after it was read"}
    assert len(store.journal.facts("one")) == 1


def test_all_that_belongs_together_is_stored_at_once_or_not_at_all(store):
    with pytest.raises(RuntimeError), store.at_once():
        store.alarms.raise_(Alarm(NOON, "one", "here", "text"))
        store.readings.add([a_reading()])
        raise RuntimeError
    assert store.alarms.all() == []
    assert store.readings.count() == 0
    with store.at_once():
        store.alarms.raise_(Alarm(NOON, "one", "here", "text"))
        store.readings.add([a_reading()])
    assert len(store.alarms.all()) == store.readings.count() == 1


def test_a_server_that_was_away_is_used_again_and_what_was_stored_is_there(server):
    url = server.create()
    with open_store(url, create=True) as store:
        store.fleet.replace(a_fleet(), NOON, "fleet.toml")
        for how in ("fast", "immediate"):
            server.stop(how)
            try:
                for step in (store.fleet.load, lambda: store.memory.remember("a", "b", "c")):
                    with pytest.raises(Unavailable, match="does not answer"):
                        step()
            finally:
                server.start()
            assert store.fleet.load() == a_fleet()
            store.memory.remember("a", "b", how)
            assert store.memory.recall("a", "b") == how


def test_what_was_acknowledged_survives_a_server_that_crashes(server):
    """The server dies under a writer, in the middle of whatever it does, and recovers from its log."""
    url, chance, acknowledged = server.create(), random.Random(5), []
    open_store(url, create=True).close()
    for _ in range(CRASHES):
        command = [sys.executable, "-m", "tests.fakes.journal_writer", url, str(len(acknowledged))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "cwd": ROOT}
        with subprocess.Popen(command, **pipes) as writer:
            acknowledged.append(writer.stdout.readline().strip())
            time.sleep(chance.uniform(0.0, 0.1))
            server.stop("immediate")
            acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
        server.start()
    with open_store(url, create=False) as store:
        stored = store.journal.ids()
        assert set(acknowledged) <= set(stored)
        assert len(stored) - len(acknowledged) <= CRASHES  # at most the one in hand at each crash
        assert {entry.opportunity_id for entry in store.inbox.all()} == set(stored)
        assert all(found.version == 2 for found in store.journal.find())


def test_a_lost_hold_is_noticed_and_taken_again_unless_somebody_else_has(server):
    url = server.create()
    with open_store(url, create=True) as ours, open_store(url, create=False) as theirs:
        with ours.held() as hold:
            assert hold.keep() is False
            server.stop()
            with pytest.raises(Unavailable):
                hold.keep()
            server.start()
            assert hold.keep() is True
            with pytest.raises(RuleViolation, match="held by a running gateway"), theirs.held():
                pass
            server.stop()
            with pytest.raises(Unavailable):
                hold.keep()
            server.start()
            with theirs.held(), pytest.raises(RuleViolation, match="held by a running gateway"):
                hold.keep()
        with theirs.held():
            pass


def test_a_writer_that_waits_too_long_says_so(postgres):
    url = postgres.create()
    open_store(url, create=True).close()
    with open_store(f"{url}&options=-c%20lock_timeout=50", create=False) as impatient:
        with open_store(url, create=False) as holder, holder.at_once():
            holder.memory.remember("a", "b", "c")
            with pytest.raises(Unavailable, match="lock timeout"):
                impatient.memory.remember("a", "b", "d")
        assert impatient.memory.recall("a", "b") == "c"
