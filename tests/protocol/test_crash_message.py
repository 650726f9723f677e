"""The message of some 350 bytes that ends a process which validates while it parses: refused, nothing else.

Each case runs in a process of its own, so that a crash is a failed test and not the end of the test run.
"""

import subprocess
import sys
import textwrap

BOMB = (
    b'<?xml version="1.0" encoding="utf-8"?><!DOCTYPE x [<!ENTITY e "v">]>'
    b'<oadr:oadrPayload xmlns:oadr="http://openadr.org/oadr-2.0b/2012/07"><oadr:oadrSignedObject>'
    b'<oadr:oadrPoll ei:schemaVersion="2.0b" xmlns:ei="http://docs.oasis-open.org/ns/energyinterop/201110">'
    b"<ei:venID>&e;</ei:venID></oadr:oadrPoll></oadr:oadrSignedObject></oadr:oadrPayload>"
)

PARSE = """
    import sys
    from aggregator.model.errors import BadMessage
    from market_adapters.openadr.wire import parse

    data = sys.stdin.buffer.read()
    for lenient in (False, True):
        for text in (data, data.decode().replace("utf-8", "utf-16").encode("utf-16")):
            try:
                parse(text, "bomb.xml", lenient=lenient)
            except BadMessage as refusal:
                print(refusal)
"""

OPENLEADR = """
    import sys
    import market_adapters.openadr
    from openleadr import messaging

    print(messaging.validate_xml_schema(sys.stdin.buffer.read()).tag)
"""

POLL = """
    import asyncio
    import sys
    from tests.protocol.linked import linked
    from tests.protocol.vtn import FakeVtn, an_event, distribute

    async def main(data):
        vtn = FakeVtn()
        async with vtn, linked(vtn) as (ven, inbox):
            await vtn.until("oadrPoll")
            vtn.polls.extend([data, distribute(an_event("after"))])
            (batch,) = await inbox.batches(1)
            print(batch.calls[0].key.event_id)

    asyncio.run(main(sys.stdin.buffer.read()))
"""


def run(program):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        input=BOMB,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_our_parse_refuses_it():
    done = run(PARSE)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode().splitlines()
    assert len(said) == 4
    assert all(line.startswith("bomb.xml: '<!DOCTYPE' is not allowed") for line in said)


def test_openleadrs_own_parse_outlives_it_once_it_is_hardened():
    done = run(OPENLEADR)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_ven_that_is_sent_it_polls_on():
    done = run(POLL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[-1] == "after"
