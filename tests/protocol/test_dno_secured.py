"""Our side of the link against the simulated operator, each with certificates and signatures of its own."""

import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openleadr.messaging import create_message

from aggregator.ports import CallKind, Decision, Opt

from .certificates import Authority, Kind, Pem
from .dno_platform import platform, until
from .test_dno_simulator_process import SCENARIO, files, result, simulator
from .test_ven import StillClock, linked
from .test_ven_dno import Address, the_call

SECURED = """
[tls]
cert = "dno.pem"
key = "dno.key"
ca = "ca.pem"

[signing]
cert = "dno.pem"
key = "dno.key"
ven_fingerprint = "{ven}"
"""
NOW = datetime(2099, 1, 7, 13, 30, tzinfo=UTC)


@dataclass
class Secured:
    """A simulated operator that listens with TLS, and the certificates of both sides."""

    folder: Path
    url: str
    ca: Authority
    dno: Pem
    ven: Pem

    def as_ven(self, **changes: Any) -> dict[str, Any]:
        """Settings of a VEN that everything is right with, but for the changes."""
        right = {"ca": self.ca.cert, "cert": self.ven.cert, "key": self.ven.key}
        return right | {"fingerprint": self.dno.fingerprint, "vtn_id": "DSO-Demo"} | changes

    def log(self) -> list[dict[str, Any]]:
        lines = (self.folder / "out" / "messages.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def secured(folder: Path, kind: Kind = "ec", *, ven: str | None = None):
    """Start the operator in a process of its own; ``ven`` is whose signature it expects, if not the VEN's."""
    ca = Authority(folder)
    dno, ours = ca.issue("dno", kind), ca.issue("ven", kind)
    arguments = files(folder, factor=1.0)
    (folder / "scenario.toml").write_text(SCENARIO + SECURED.format(ven=ven or ours.fingerprint))
    async with simulator(arguments) as (_, url):
        assert url.startswith("https://127.0.0.1:"), url
        yield Secured(folder, url, ca, dno, ours)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_registered_taken_and_answered_with_signatures_both_ways(tmp_path, kind):
    async with (
        secured(tmp_path, kind) as dno,
        linked(dno, clock=StillClock(NOW), **dno.as_ven(timeout_s=20.0)) as (ven, inbox),
    ):
        await until(lambda: inbox.items)
        batch, need = await the_call(inbox, CallKind.REQUIREMENT)
        await ven.answer(batch, {need.key: Decision(Opt.IN)})
        await until(lambda: result(tmp_path)["opt"] == {"REQ-HW": "optIn"})
        said = [line for line in dno.log() if line["xml"]]
        assert {line["direction"] for line in said} == {"received", "sent"}
        assert all("SignatureValue" in line["xml"] for line in said)


async def never_registers(dno: Secured, **settings: Any) -> None:
    """Let a VEN try a few times; it must not come to be registered."""
    async with linked(dno, clock=StillClock(NOW), **dno.as_ven(**settings)) as (ven, inbox):
        await until(lambda: ven.consecutive_failures >= 3)
        assert not ven.registered
        assert inbox.items == []


async def test_our_side_does_not_take_another_signature_than_the_pinned_one(tmp_path):
    async with secured(tmp_path) as dno:
        await never_registers(dno, fingerprint=dno.ven.fingerprint)


async def test_the_platform_takes_no_other_signature_than_the_pinned_one(tmp_path):
    async with secured(tmp_path, ven="00:11:22:33:44:55:66:77:88:99") as dno:
        await never_registers(dno)
        assert {line["type"] for line in dno.log() if line["direction"] == "sent"} == {"http403"}


async def test_our_side_trusts_no_other_authority(tmp_path):
    async with secured(tmp_path) as dno:
        await never_registers(dno, ca=Authority(tmp_path, "other").cert)
        assert dno.log() == []


async def test_the_platform_trusts_no_other_authority(tmp_path):
    async with secured(tmp_path) as dno:
        stranger = Authority(tmp_path, "other").issue("stranger")
        await never_registers(dno, cert=stranger.cert, key=stranger.key)
        assert dno.log() == []


async def test_the_platform_takes_nothing_without_a_certificate_or_a_signature(tmp_path):
    async with secured(tmp_path) as dno:
        poll, headers = create_message("oadrPoll", ven_id="x"), {"content-type": "application/xml"}
        trusting = ssl.create_default_context(cafile=dno.ca.cert)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"{dno.url}/OadrPoll", data=poll, headers=headers, ssl=trusting)
        trusting = ssl.create_default_context(cafile=dno.ca.cert)
        trusting.load_cert_chain(dno.ven.cert, dno.ven.key)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{dno.url}/OadrPoll", data=poll, headers=headers, ssl=trusting) as answer,
        ):
            assert answer.status == 403


async def test_signatures_of_a_clock_that_is_an_hour_behind_are_refused_until_it_is_put_right(tmp_path):
    ca = Authority(tmp_path)
    dno, ours = ca.issue("dno"), ca.issue("ven")
    signing = {"cert": str(dno.cert), "key": str(dno.key), "ven_fingerprint": ours.fingerprint}
    hour = {"from": "2025-01-07T13:00:00Z", "to": "2025-01-07T14:00:00Z"}
    behind = hour | {"kind": "clock_offset", "offset_s": -3600.0}
    pinned = {"cert": ours.cert, "key": ours.key, "fingerprint": dno.fingerprint, "vtn_id": "DSO-Demo"}
    async with (
        platform(tmp_path, signing=signing, fail=[behind]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, **pinned) as (ven, inbox),
    ):
        await until(lambda: ven.consecutive_failures >= 3)
        assert (ven.registered, inbox.items) == (False, [])
        p.at("2025-01-07T14:00:00Z")
        batch, need = await the_call(inbox, CallKind.REQUIREMENT)
        await ven.answer(batch, {need.key: Decision(Opt.IN)})
        assert p.result()["opt"] == {"007": "optIn"}
