"""What was acknowledged survives ``kill -9`` at any moment, once."""

import random
import subprocess
import sys
import time
from pathlib import Path

from aggregator.store import open_store
from tests.builders import VTN

KILLS = 10
WRITER = Path(__file__).parents[1] / "fakes" / "journal_writer.py"


def run_and_kill(url: str, acknowledged: list[str], after_s: float) -> None:
    """Start the writer, kill it, and add the opportunities that it said were stored."""
    command = [sys.executable, "-m", "tests.fakes.journal_writer", url, str(len(acknowledged))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=WRITER.parents[2]) as writer:
        assert writer.stdout is not None
        acknowledged.append(writer.stdout.readline().strip())
        time.sleep(after_s)
        writer.kill()
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]


def test_what_was_acknowledged_survives_being_killed(made_url):
    chance, acknowledged = random.Random(8), []
    for _ in range(KILLS):
        run_and_kill(made_url, acknowledged, chance.uniform(0.0, 0.08))
    with open_store(made_url, create=False) as store:
        stored = store.journal.ids()
        assert set(acknowledged) <= set(stored)
        assert len(acknowledged) == len(set(acknowledged))
        assert len(acknowledged) > KILLS
        assert len(stored) - len(acknowledged) <= KILLS  # at most the one in hand at each kill
        assert {entry.opportunity_id for entry in store.inbox.all()} == set(stored)
        assert {entry.report.request_id for entry in store.outbox.pending(VTN)} == set(stored)
        assert all(found.version == 2 for found in store.journal.find())
