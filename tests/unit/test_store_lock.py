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


def test_a_store_is_held_once(made_url):
    with open_store(made_url, create=False) as one, open_store(made_url, create=False) as other:
        with (
            one.held(),
            pytest.raises(RuleViolation, match=r"is held by a running gateway") as refused,
            other.held(),
        ):
            pass
        assert refused.value.instead == "stop it first"
        with other.held():
            pass


def test_whoever_holds_it_and_is_killed_lets_go_at_once(made_url):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, made_url], stdout=subprocess.PIPE, text=True)
    with holder, open_store(made_url, create=False) as store:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RuleViolation), store.held():
            pass
        holder.kill()
        holder.wait()
        with store.held():
            pass


def test_a_held_store_is_read_and_written_by_others(made_url):
    with (
        open_store(made_url, create=False) as gateway,
        gateway.held(),
        open_store(made_url, create=False) as desk,
    ):
        desk.memory.remember("dno", "name", "value")
        assert gateway.memory.recall("dno", "name") == "value"
