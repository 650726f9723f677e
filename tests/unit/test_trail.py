"""The chain over what people did: how rows from before it are chained, and what commands tell of it."""

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from aggregator.cli import run
from aggregator.model.opportunity import Proposed, Received
from aggregator.store import BY_COMMAND, open_store, upgrade
from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.store.schema import downgrade
from tests.builders import NOON, a_draft, a_requirement
from tests.unit.test_store_desk import an_action

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


def test_what_is_done_by_command_is_in_the_trail_which_commands_verify(home, capsys):
    user = re.findall(r'(?m)^name = "(.+)"$', Path("config/gateway.toml").read_text())[0]
    assert run(["bids", "reject", BID, "--as", user, "--reason", "too late"]) == 0
    assert run(["bids", "reject", BID, "--as", user, "--reason", "once more"]) == 1
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
