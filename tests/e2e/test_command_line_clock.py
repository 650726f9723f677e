"""Whose time a store is kept by: commands with another kind of clock, or one behind it, are refused."""

import pytest

from aggregator.store import open_store
from aggregator.takeover import Timekeeping, take_over
from tests.builders import NOON

from .command_line import done, facts_of, only_line

pytestmark = pytest.mark.usefixtures("home")


def test_a_store_is_not_served_by_another_kind_of_clock(capsys, desk):
    digest = desk(13, 12)
    with open_store("sqlite:///flexloop.db", create=False) as store:
        take_over(store, Timekeeping.FILE, NOON)
    told = "flexloop.db is served by a clock file, not by real time; give that --clock FILE"
    assert told in only_line(capsys, "serve", code=1)
    for words in (
        f"reject dno --as anna --reason no --draft {digest}",
        f"check dno --as ben --draft {digest}",
    ):
        assert told in only_line(capsys, "bids", *words.split(), code=1)
    assert facts_of() == 2
    done(capsys, "bids", "list")


def test_a_store_is_not_served_by_a_clock_that_is_behind_it(capsys, desk):
    desk(15, 11)
    told = (
        "flexloop.db holds what was recorded at 2025-01-15T12:00:00Z; a clock file shows 2025-01-15T11:00:0"
    )
    assert told in only_line(capsys, "--clock", "clock.json", "serve", code=1)
