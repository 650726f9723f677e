"""Hostile answers to our polls: refused, nothing remembered of them, and the next good event is taken."""

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from openleadr.messaging import create_message
from structlog.testing import capture_logs

from tests.protocol.hostile.case import Fate
from tests.protocol.hostile.content_cases import content_cases
from tests.protocol.hostile.other_cases import other_cases
from tests.protocol.hostile.signed_cases import VTN, signed_cases
from tests.protocol.hostile.xml_cases import xml_cases
from tests.protocol.linked import Memory, linked
from tests.protocol.signing import signed
from tests.protocol.vtn import OK, PATIENCE_S, VTN_ID, FakeVtn, an_event, distribute

CASES = [*xml_cases(), *content_cases(), *other_cases()]
SIGNED = [*signed_cases()]
HOW = {"keys": {"cert": VTN.cert, "key": VTN.key}, "fingerprint": VTN.fingerprint}
AFTER = distribute(an_event(), an_event("after")).encode()
"""What comes after the hostile message: the event that stood before it, and one that is new."""


async def played(*answers, keys=None, **settings):
    """Give a VEN that knows one event these answers to its polls; return its memory and what it handed on."""
    memory = Memory()
    vtn = FakeVtn(events=(an_event(),), keys=keys or {})
    async with vtn, linked(vtn, memory, **settings) as (ven, inbox):
        await inbox.batches(1)
        vtn.events = (an_event(), an_event("after"))
        vtn.polls.extend(answers)
        async with asyncio.timeout(PATIENCE_S):
            batches = await inbox.batches(2)
            while not the_good_one(batches[-1]):
                batches = await inbox.batches(len(batches) + 1)
        await vtn.until("oadrPoll", vtn.names().count("oadrPoll") + 2)
        assert (ven.registered, ven.consecutive_failures) == (True, 0)
        assert vtn.names().count("oadrCreatePartyRegistration") == 1
        return dict(memory), batches


@cache
def untouched(*, signed_link):
    """Return the memory of a VEN that was sent nothing hostile."""
    messages = (signed(AFTER, VTN), HOW) if signed_link else (AFTER, {})
    with ThreadPoolExecutor(1) as elsewhere:
        played_out = elsewhere.submit(lambda: asyncio.run(played(messages[0], **messages[1])))
        return played_out.result()[0]


def the_good_one(batch):
    return [call for call in batch.calls if call.key.event_id == "after" and call.content is not None]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_hostile_answer(case):
    memory, batches = await played(case.data, AFTER)
    before = batches[0].calls[0]

    if case.fate is Fate.READ:
        assert case.but or replace(batches[1].calls[0], raw=before.raw) == before
        return
    assert memory == untouched(signed_link=False)
    assert len(batches) == (2 if case.fate is Fate.REFUSED else 3)
    # a version that was read before is answered as before, broken as it comes now
    calls = [call for batch in batches[1:-1] for call in batch.calls]
    assert all(call.problem or (call.key == before.key and not call.is_over) for call in calls)


@pytest.mark.parametrize("case", SIGNED, ids=[case.name for case in SIGNED])
async def test_a_hostile_signature(case):
    hostile = [case.make() for _ in range(case.times)]
    memory, batches = await played(*hostile, signed(AFTER, VTN), **HOW)
    assert memory == untouched(signed_link=True)
    assert len(batches) == 1 + case.times


async def test_a_platform_is_not_polled_without_a_pause_because_it_says_so():
    often = create_message(
        "oadrCreatedPartyRegistration",
        response=OK,
        vtn_id=VTN_ID,
        ven_id="ven-1",
        registration_id="r",
        profiles=[{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}],
        requested_oadr_poll_freq=timedelta(seconds=7),
    ).replace("PT7S", "PT0.001S")
    vtn = FakeVtn(answers={"oadrCreatePartyRegistration": [often]})
    with capture_logs() as logs:
        async with vtn, linked(vtn, poll_interval_s=None):
            await vtn.until("oadrPoll")
    assert [entry["poll_s"] for entry in logs if entry["event"] == "registered"] == [1.0]


MANY = """
    import asyncio
    import resource
    from tests.protocol.hostile.case import Fate
    from tests.protocol.test_hostile_ven import AFTER, CASES
    from tests.protocol.linked import Memory, linked
    from tests.protocol.vtn import FakeVtn

    TURNS = 15

    async def main():
        hostile = [case.data for case in CASES if case.fate is Fate.REFUSED and len(case.data) < 50_000]
        memory, vtn = Memory(), FakeVtn()
        async with vtn, linked(vtn, memory, retry_first_s=0.0005, retry_most_s=0.0005) as (ven, inbox):
            await vtn.until("oadrPoll")
            for turn in range(TURNS):
                vtn.polls.extend(hostile)
                while vtn.polls:
                    await vtn.until("oadrPoll", vtn.names().count("oadrPoll") + 20)
                    vtn.received.clear()
                if turn == 1:
                    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            vtn.polls.append(AFTER)
            await inbox.batches(1)
        after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(TURNS * len(hostile), len(inbox.items), after_kb / before_kb)

    asyncio.run(main())
"""


def test_thousands_of_refused_answers_leave_nothing_behind():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MANY)], capture_output=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    refused, handed_on, growth = done.stdout.split()[-3:]
    assert int(refused) > 2_000
    assert int(handed_on) == 1
    assert float(growth) < 1.25
