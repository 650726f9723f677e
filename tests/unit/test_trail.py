"""The chain over what people did: how rows from before it are chained, and what commands tell of it."""

import itertools
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch
from sqlalchemy import text

import aggregator.web.deeds as trail_deeds
from aggregator.cli import run
from aggregator.clock import Pace, start_fast_clock
from aggregator.model.drivers import Boost, Floor, Topic, V2g, Word
from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Proposed, Received
from aggregator.model.time import Interval
from aggregator.said import DriversSaid
from aggregator.store import BY_COMMAND, Wanted, open_store, upgrade
from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.store.schema import downgrade
from aggregator.web.deeds import Sought, deeds, every_deed
from tests.builders import NOON, a_draft, a_requirement
from tests.fakes.clock import FakeClock
from tests.unit.test_store_desk import an_action

MIDNIGHT = NOON + timedelta(hours=12)
ROOT = Path(__file__).parents[2]
BID = "dno:requirement-1:EASTGATE"


def change(url, statement):
    engine = open_engine(parse_url(url))
    with writing(engine) as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_rows_from_before_the_chain_are_chained_and_it_goes_on(new_url):
    upgrade(new_url)
    with open_store(new_url, create=False) as store:
        for n in range(3):
            store.desk_trail.add(an_action(key=f"k{n}", said=f"ä {n}", at=NOON + timedelta(minutes=n)))
        before = [(one.action_id, one.said) for one in store.desk_trail.all()]
        head = store.desk_trail.verify().head
    downgrade(parse_url(new_url), "0012")
    change(new_url, "DELETE FROM desk_actions WHERE action_id = 2")  # as where a server was left half way
    upgrade(new_url)
    with open_store(new_url, create=False) as store:
        assert [(one.action_id, one.said) for one in store.desk_trail.all()] == [before[0], before[2]]
        found = store.desk_trail.verify(head)
        assert (found.rows, found.misfit, found.has_head, found.holds) == (2, None, False, False)
        added = store.desk_trail.add(an_action(key="new"))
        assert added.action_id == 4
        assert store.desk_trail.verify(added.digest).holds
    downgrade(parse_url(new_url), "0012")
    change(
        new_url,
        "INSERT INTO desk_actions (at, user_name, action, subject, draft, status, said, key, asked)"
        " VALUES (1, 'a', 'b', '', '', 200, '', 'last', '')",
    )
    upgrade(new_url)
    with open_store(new_url, create=False) as store:
        assert [one.action_id for one in store.desk_trail.all()] == [1, 3, 4, 5]
        assert store.desk_trail.verify().holds


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Work in a folder with a configuration and a draft in review."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    config = tmp_path / "config" / "gateway.toml"
    config.write_text(re.sub(r"(?m)^history = .*$", "", config.read_text()))
    monkeypatch.chdir(tmp_path)
    facts = [Received(NOON, a_requirement(product_id="day-ahead")), Proposed(NOON, a_draft())]
    with open_store("sqlite:///flexloop.db", create=True) as store:
        store.journal.append_many(BID, facts, expected_version=0, by="test", recorded_at=NOON)
    Path("clock.json").write_text(start_fast_clock([Pace(NOON - timedelta(days=1), 1.0)]).to_json())


def test_what_is_done_by_command_is_in_the_trail_which_commands_verify(home, capsys):
    user = re.findall(r'(?m)^name = "(.+)"$', Path("config/gateway.toml").read_text())[0]
    reject = ["--clock", "clock.json", "bids", "reject", BID, "--as", user, "--reason"]
    assert run([*reject, "too late", "--draft", a_draft().digest]) == 0
    assert run([*reject, "once more"]) == 1
    assert run(["bids", "reject", BID, "--as", "nobody", "--reason", "who"]) == 2
    assert run(["stop", "--as", user, "--reason", "smoke"]) == 0
    assert run(["alarms", "ack", "1", "--as", user]) == 0
    capsys.readouterr()
    assert run(["desk", "trail", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["actions"]
    assert [(row["name"], row["status"], row["via"], row["user"]) for row in rows] == [
        ("reject", 200, BY_COMMAND, user),
        ("reject", 409, BY_COMMAND, user),
        ("stop", 200, BY_COMMAND, user),
        ("acknowledge", 200, BY_COMMAND, user),
    ]
    assert rows[0]["subject"] == BID
    assert run(["desk", "trail", "--verify"]) == 0
    head = rows[-1]["digest"]
    assert f"4 rows, head {head}\nholds" in capsys.readouterr().out
    assert run(["desk", "trail", "--verify", "--head", head]) == 0
    assert run(["desk", "trail", "--verify", "--head", "0" * 63]) == 2
    assert run(["desk", "trail", "--head", head]) == 2
    change("sqlite:///flexloop.db", "DELETE FROM desk_actions WHERE action_id = 4")
    capsys.readouterr()
    assert run(["desk", "trail", "--verify"]) == 0
    assert run(["desk", "trail", "--verify", "--head", head]) == 1
    assert "the head that was asked for is NOT in it\nDOES NOT HOLD" in capsys.readouterr().out
    change("sqlite:///flexloop.db", "UPDATE desk_actions SET said = 'fine' WHERE action_id = 2")
    assert run(["desk", "trail", "--verify", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["first_that_does_not_fit"], found["holds"]) == (2, False)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7))
def test_pages_and_exports_hold_everything_once_and_in_order(chained, page):
    """However rows of the trail and words from before there was one lie among each other."""
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/flexloop.db", create=True) as store:
        for n, is_chained in enumerate(chained):
            at = NOON + timedelta(minutes=n)
            if is_chained:
                store.desk_trail.add(an_action(key=f"k{n}", at=at))
            else:
                store.drivers.say(Word(f"car-{n}", Topic.BOOST, 0, at, "t0ken", Boost()), 0)
        with MonkeyPatch.context() as patch:
            patch.setattr(trail_deeds, "A_PAGE", page)
            patch.setattr(trail_deeds, "AT_ONCE", page)
            number, shown, more = 0, [], True
            while more:
                found = deeds(store, Sought(), number)
                shown += found.shown
                number, more = number + 1, found.has_more
            assert found.found == len(chained)
            last = store.desk_trail.length()
            exported = [one for part in every_deed(store, Sought(), last) for one in part]
        whole = [NOON + timedelta(minutes=n) for n in range(len(chained))]
        assert [one.at for one in exported] == whole
        assert [one.at for one in shown] == whole[::-1]
        assert deeds(store, Sought(), 99).shown == ()


def test_what_is_wanted_is_asked_of_the_database_as_it_is_told_of_a_row(store):
    rows = [
        store.desk_trail.add(
            an_action(key=f"k{n}", user=user, subject=subject, via=via, action=action, at=at)
        )
        for n, (user, subject, via, action, at) in enumerate(
            itertools.product(
                ("anna", "Ben"),
                ("bid_1", "bid-10%"),
                ("desk", "driver"),
                ("check", "boost"),
                (NOON, MIDNIGHT),
            )
        )
    ]
    day = Interval(NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    asked = [
        Wanted(*some, during=during)
        for some in itertools.product(("", "anna"), ("", "boost"), ("", "driver"), ("", "BID_", "0%", "x"))
        for during in (None, day)
    ]
    for wanted in asked:
        met = [one for one in rows if wanted.is_met(one)]
        assert store.desk_trail.count(wanted) == len(met), wanted
        assert store.desk_trail.newest(wanted, 1, 3) == met[::-1][1:4]
        assert store.desk_trail.after(3, wanted, 2) == [one for one in met if one.action_id > 3][:2]
    assert store.desk_trail.people() == ["Ben", "anna"]
    assert store.desk_trail.kinds() == ["boost", "check"]


def test_words_are_chained_with_all_that_was_said(store):
    clock = FakeClock(NOON)
    said = DriversSaid(store, clock)
    store.drivers.say(Word("car-1", Topic.V2G, 0, NOON, "t0ken", V2g(on=False)), 0)
    said.say(Word("car-1", Topic.FLOOR, 0, NOON, "t0ken", Floor(0.45001)), 0)
    said.say(Word("car-1", Topic.FLOOR, 0, NOON, "t0ken", Floor(0.45002)), 1)
    rows = store.desk_trail.all()
    assert [(one.user, one.subject, one.said, one.via) for one in rows] == [
        ("t0ken", "car-1", "never below 45%", "driver")
    ] * 2
    assert rows[0].asked != rows[1].asked, "the chain covers what exactly was said"
    assert store.desk_trail.verify().holds
    assert [word.topic for word in store.drivers.unchained()] == [Topic.V2G]
    with pytest.raises(RuleViolation):
        said.say(Word("car-1", Topic.FLOOR, 0, NOON, "t0ken", Floor(0.5)), 0)
    assert store.desk_trail.length() == 2
