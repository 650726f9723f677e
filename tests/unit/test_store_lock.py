import subprocess
import sys

import pytest

from aggregator.model.errors import RuleViolation
from aggregator.store import open_store

HOLDER = """
import sys, time
from aggregator.store import open_store
with open_store(sys.argv[1], create=False) as store, store.held():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'flexloop.db'}"
    open_store(url, create=True).close()
    return url


def test_a_store_is_held_once(url):
    with open_store(url, create=False) as one, open_store(url, create=False) as other:
        with one.held(), pytest.raises(RuleViolation, match=r"flexloop\.db is held") as refused, other.held():
            pass
        assert refused.value.instead == "stop it first"
        with other.held():
            pass


def test_whoever_holds_it_and_is_killed_lets_go_at_once(url):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    with holder, open_store(url, create=False) as store:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RuleViolation), store.held():
            pass
        holder.kill()
        holder.wait()
        with store.held():
            pass


def test_a_held_store_is_read_and_written_by_others(url):
    with open_store(url, create=False) as gateway, gateway.held(), open_store(url, create=False) as desk:
        desk.memory.remember("dno", "name", "value")
        assert gateway.memory.recall("dno", "name") == "value"
