"""Who did what, as pages, JSON and exports; the chain seen from the desk; audits in the background."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import text

from aggregator.audit import CHECKS, PROMISES
from aggregator.cli import run
from aggregator.commands.acts import act
from aggregator.model.drivers import Floor, Topic, Word
from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Approved
from aggregator.store import AuditRun, DeskAction, Verified
from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.web.deeds import Sought, deeds
from aggregator.web.walks import SHORT, Walks
from tests.desk.driver_steps import CAR, a_driver, said
from tests.desk.money_world import found
from tests.desk.world import NOW, a_desk

ROOT = Path(__file__).parents[2]


def change(desk, statement):
    engine = open_engine(parse_url(desk.store.url))
    with writing(engine) as connection:
        connection.execute(text(statement))
    engine.dispose()


def told(body):
    return [(one["user"], one["name"], one["subject"], one["via"], one["status"]) for one in body["deeds"]]


async def test_everything_people_did_is_there_once(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        flow, one = desk.parts.gateway.workflow, desk.bid("bid-1")
        seen = {"draft": one.draft.digest}
        assert (await ben.post("/v1/bids/bid-1/approve", seen))[0] == 409
        assert (await anna.post("/v1/bids/bid-1/check", seen))[0] == 200
        act(desk.parts.gateway.settings, flow, "approve", "ben", "bid-1", **seen)
        _, body = await anna.get("/v1/audit?bid=bid-1")
        assert told(body) == [
            ("ben", "approve", "bid-1", "command line", 200),
            ("anna", "check", "bid-1", "desk", 200),
            ("ben", "approve", "bid-1", "desk", 409),
        ]
        _, body = await anna.get("/v1/audit?bid=bid-2")  # checked before there was a trail of it
        assert told(body) == [("anna", "check", "bid-2", "journal", 200)]
        assert body["deeds"][0]["digest"] is None
        _, body = await anna.get("/v1/audit?name=sign-in&user=ben")
        assert told(body) == [("ben", "sign-in", "ben", "desk", 200)]
        _, body = await anna.get("/v1/audit?day=2025-01-13")
        assert told(body) == []
        _, page = await anna.get("/audit?user=ben&name=approve&day=2025-01-14")
        assert page.count("<tr data-row>") == 4  # of which two stand in the journal alone
        assert (await anna.get("/v1/audit?day=2025-02-30"))[0] == 422
        status, page = await anna.get("/audit?day=yesterday")
        assert status == 422
        assert "a local date" in page
        assert (await anna.get("/audit?page=99999999"))[0] == 200


async def test_a_rules_approval_and_a_repeated_act_are_told_once(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        draft = desk.bid("bid-3").draft.digest
        for _ in range(2):
            assert (await anna.post("/v1/bids/bid-3/check", {"draft": draft}))[0] == 200
        _, body = await anna.get("/v1/audit?bid=bid-3")
        assert told(body) == [("anna", "check", "bid-3", "desk", 200)] * 2
        one = desk.bid("bid-2")
        facts = [Approved(NOW, one.draft.digest, "rule small", rule="small")]
        desk.store.journal.append_many(
            "bid-2",
            facts,
            expected_version=one.version,
            by="rule small",
            recorded_at=NOW + timedelta(minutes=2),
        )
        found_ones = deeds(desk.store, Sought(user="rule small")).shown
        assert [(one.action, one.draft, one.via) for one in found_ones] == [
            ("approve", one.draft.digest, "journal")
        ]


async def test_the_page_shows_the_whole_head_as_the_command_takes_it(tmp_path, capfd):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        _, page = await anna.get("/audit")
        (head,) = re.findall(r"<code>([0-9a-f]{64})</code>", page)
        assert run(["--database", desk.store.url, "desk", "trail", "--verify", "--head", head]) == 0, capfd


async def test_exports_end_with_the_head_which_the_command_finds_again(tmp_path, capfd):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        await anna.post("/v1/stops", {"reason": "=1+1", "zone": "Hendon Way"})
        data, headers = await anna.download("/v1/audit/trail.jsonl")
        *rows, last = map(json.loads, data.decode().splitlines())
        assert last["chain"]["holds"]
        assert last["chain"]["head"] == rows[-1]["digest"]
        assert rows[-1]["said"].startswith("Hendon Way: stopped by anna")
        assert headers["Content-Disposition"].endswith("trail.jsonl")
        data, _ = await anna.download("/v1/audit/trail.csv?user=anna")
        table = list(csv.DictReader(io.StringIO(data.decode())))
        assert {row["user"] for row in table[:-1]} == {"anna"}
        assert table[-1]["name"] == "head of the chain"
        head = table[-1]["digest"]
        assert head == last["chain"]["head"]
        url = desk.store.url
        assert run(["--database", url, "desk", "trail", "--verify", "--head", head]) == 0
        change(desk, "DELETE FROM desk_actions WHERE action_id = (SELECT max(action_id) FROM desk_actions)")
        assert run(["--database", url, "desk", "trail", "--verify", "--head", head]) == 1
        _, page = await anna.get("/audit")
        assert "tampered" not in page
        change(desk, "UPDATE desk_actions SET user_name = 'ben' WHERE action_id = 1")
        _, page = await anna.get("/audit")
        assert "The trail was tampered with" in page
        assert "Row 1 does not fit" in page
        _, body = await anna.get("/v1/audit")
        assert (body["chain"]["first_that_does_not_fit"], body["chain"]["holds"]) == (1, False)
    capfd.readouterr()


async def test_an_audit_runs_in_the_background_and_is_kept(tmp_path):
    async with a_desk(tmp_path) as desk:
        otto, vera = await desk.sign_in("otto"), await desk.sign_in("vera")
        assert "not audited yet" in (await vera.get("/audit"))[1]
        assert (await vera.post("/v1/audits"))[0] == 403
        assert (await otto.post("/v1/audits"))[0] == 200
        again = await otto.post("/v1/audits")
        assert again[0] in (200, 409)
        body = await found(vera, "/v1/audit", lambda body: body["last_audit"])
        last = body["last_audit"]
        assert (last["by"], last["kept"]) == ("otto", False)
        by_name = {one["promise"]: one for one in last["promises"]}
        assert len(by_name) == 14
        nothing = [one for one in by_name.values() if one["verdict"] == "nothing to check"]
        assert nothing
        assert all(one["checked"] == 0 for one in nothing)
        _, page = await vera.get("/audit")
        assert page.count("nothing checked: a failure") == len(nothing)
        assert "not all kept" in page


async def test_the_commands_audit_is_shown_too(tmp_path, capfd):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        capfd.readouterr()
        run(["--database", desk.store.url, "audit", "--json"])
        said = json.loads(capfd.readouterr().out)
        _, body = await vera.get("/v1/audit")
        assert body["last_audit"]["by"] == "command line"
        assert body["last_audit"]["promises"] == said["promises"]


@pytest.mark.parametrize("kept", [True, False])
def test_audits_are_kept_newest_first(store, kept):
    for n in range(3):
        store.audits.add(AuditRun(NOW + timedelta(hours=n), "sue", kept, {"promises": [], "n": n}))
    assert [run.body["n"] for run in store.audits.last(2)] == [2, 1]
    assert store.audits.last()[0] == AuditRun(
        NOW + timedelta(hours=2), "sue", kept, {"promises": [], "n": 2}, 3
    )


async def test_what_drivers_say_is_chained_filtered_and_exported(tmp_path, capfd):
    async with a_desk(tmp_path) as desk:
        vera, driver = await desk.sign_in("vera"), await a_driver(desk)
        store, (token,) = desk.store, desk.store.tokens.all()
        store.drivers.say(
            Word("car-2", Topic.FLOOR, 0, NOW, "0ld", Floor(0.5)), 0
        )  # as before they were chained
        await said(driver, "boost", {"hours": "2"})
        await said(driver, "boost/take-back")
        await said(driver, "departure", {"depart_at": "2025-01-15T06:45", "amount": "90", "unit": "percent"})
        await said(driver, "v2g", {"on": "off"})
        _, body = await vera.get("/v1/audit?via=driver")
        assert [(one["user"], one["name"], one["subject"], one["said"]) for one in body["deeds"]] == [
            (token.token_id, "v2g", CAR, "V2G off"),
            (token.token_id, "departure", CAR, "needed Wed 15 Jan 2025 06:45 with 90%"),
            (token.token_id, "boost", CAR, "taken back"),
            (token.token_id, "boost", CAR, "full power now, until Tue 14 Jan 2025 14:01"),
            ("0ld", "floor", "car-2", "never below 50%"),
        ]
        assert [one["digest"] is None for one in body["deeds"]] == [False] * 4 + [True]
        assert (body["chain"]["holds"], body["chain"]["head"]) == (True, body["deeds"][0]["digest"])
        _, body = await vera.get("/v1/audit?bid=CAR-1&name=boost")
        assert body["found"] == 2
        _, page = await vera.get("/audit?via=driver")
        assert f"token {token.token_id}" in page
        assert 'href="/fleet/car-1"' in page
        assert f"<option>{token.token_id}" not in page, "of many drivers no list is made"
        data, _ = await vera.download("/v1/audit/trail.csv?via=driver")
        assert data.decode().count(f",{token.token_id},driver,") == 4
        change(desk, "UPDATE desk_actions SET said = 'V2G on' WHERE said = 'V2G off'")
        _, page = await vera.get("/audit")
        assert "The trail was tampered with" in page


async def test_a_word_that_is_refused_leaves_no_row(tmp_path):
    async with a_desk(tmp_path) as desk:
        word = Word(CAR, Topic.FLOOR, 0, NOW, "t0ken", Floor(0.5))
        rows = desk.store.desk_trail.length()
        with pytest.raises(RuleViolation):
            desk.parts.gateway.said.say(word, expected_version=3)
        assert (desk.store.drivers.all(), desk.store.desk_trail.length()) == ((), rows)


async def test_a_long_trail_is_shown_page_by_page_and_exported_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("aggregator.web.deeds.AT_ONCE", 7)
    async with a_desk(tmp_path) as desk:
        for n in range(120):
            at = NOW - timedelta(days=1) + timedelta(minutes=n)
            desk.store.desk_trail.add(
                DeskAction(at, "otto", "acknowledge", f"alarm {n}", "", 200, "", f"k{n}", "")
            )
        vera = await desk.sign_in("vera")
        found, number, more = [], 0, True
        while more:
            _, body = await vera.get(f"/v1/audit?page={number}")
            found += body["deeds"]
            number, more = number + 1, body["has_more"]
        assert (number, len(found)) == (2, body["found"])
        assert [one["at"] for one in found] == sorted((one["at"] for one in found), reverse=True)
        data, _ = await vera.download("/v1/audit/trail.jsonl")
        *rows, _ = map(json.loads, data.decode().splitlines())
        assert {json.dumps(one) for one in rows} == {json.dumps(one) for one in found}
        assert [one["action"] for one in rows if one["action"]] == [*range(1, 122)]
        journal = [n for n, one in enumerate(rows) if one["via"] == "journal"]
        assert journal == [*range(120, 120 + len(journal))]
        _, page = await vera.get("/audit?user=otto&page=1")
        assert page.count("<tr data-row>") == 20
        assert "120 found" in page


def test_a_long_trail_is_walked_beside_the_page():
    walked, may_end, now_s, length = Event(), Event(), [0.0], [SHORT]
    verified = Verified(SHORT + 1, "a" * 64, None, None, SHORT + 1)

    def walk():
        walked.set()
        assert may_end.wait(10)
        return verified

    walks = Walks(walk, lambda: length[0], lambda: now_s[0])
    may_end.set()
    assert walks.look().found == verified
    length[0] += 1
    may_end.clear()
    walked.clear()
    assert walks.look() is None, "the page does not wait"
    assert walked.wait(10)
    may_end.set()
    while walks.look() is None:
        pass
    now_s[0] = 59.0
    walked.clear()
    assert walks.look().age_s == 59.0
    assert not walked.is_set()
    now_s[0] = 61.0
    walks.look()
    assert walked.wait(10)


def test_promises_are_worded_as_in_the_readme():
    rows = re.findall(r"(?m)^\| (P\d+) [^|]*\| (.+?) \|$", (ROOT / "README.md").read_text())
    assert dict(rows) == PROMISES
    assert [name for name, _ in rows] == list(CHECKS)


LEAVES = """
import asyncio
from aggregator.web.workshop import Workshop

async def main():
    from aggregator.web.heavy_tasks import audit_task
    workshop = Workshop(lambda: None)
    await workshop.begin("audit", "audit", "anna", audit_task, None).is_over_within(60.0)
    await workshop.close()

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_desk_that_ends_leaves_nothing_of_its_other_process_behind(tmp_path):
    (tmp_path / "leaves.py").write_text(LEAVES)
    ended = subprocess.run(
        [sys.executable, "leaves.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert "leaked" not in ended.stderr
