"""Signatures and TLS against a platform on a real socket."""

import ssl
import warnings
from datetime import timedelta

import pytest
from lxml import etree

from aggregator.model.errors import BadMessage, Unavailable
from market_adapters.openadr.exchange import Exchange
from market_adapters.openadr.messages import poll
from market_adapters.openadr.settings import VenSettings
from market_adapters.openadr.signatures import check_signature
from tests.protocol.linked import linked
from tests.protocol.signing import ago, an_identity, signed
from tests.protocol.vtn import VTN_ID, FakeVtn, an_event, distribute

OURS, THEIRS = an_identity("ven"), an_identity("vtn")


def keys_of(who):
    return {"cert": who.cert, "key": who.key}


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_signed_messages_are_exchanged_and_others_refused(kind, tmp_path):
    ours = an_identity("ven", kind=kind)
    cert, key = ours.files(tmp_path)
    vtn = FakeVtn()
    async with vtn, linked(vtn, cert=cert, key=key, fingerprint=THEIRS.fingerprint) as (ven, inbox):
        await vtn.until("oadrQueryRegistration", 2)
        assert not ven.registered
        vtn.keys = keys_of(ours)
        await vtn.until("oadrQueryRegistration", vtn.names().count("oadrQueryRegistration") + 2)
        assert (ven.registered, ven.skew_s) == (False, None)
        vtn.keys = keys_of(THEIRS)
        await vtn.until("oadrPoll")
        vtn.polls.append(signed(distribute(an_event()).encode(), THEIRS))
        await inbox.batches(1)
        assert check_signature(etree.fromstring(vtn.last("oadrPoll").raw), "poll", ours.fingerprint)
        assert abs(ven.skew_s) < 60


@pytest.mark.parametrize("skew_s", [-3600, 3600])
async def test_the_window_is_as_wide_as_configured_and_the_skew_is_told(skew_s):
    vtn = FakeVtn(keys=keys_of(THEIRS))
    wide = {"replay_back": timedelta(hours=2), "replay_ahead": timedelta(hours=2)}
    async with (
        vtn,
        linked(vtn, fingerprint=THEIRS.fingerprint, poll_interval_s=600.0, **wide) as (ven, inbox),
    ):
        vtn.answers["oadrRequestEvent"] = [
            signed(distribute(an_event()).encode(), THEIRS, at=ago(-skew_s)),
        ]
        await inbox.batches(1)
        assert abs(ven.skew_s - skew_s) < 60


def a_server(who, folder, most=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*who.files(folder))
    if most is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = most
    return context


async def asked(vtn, folder, server):
    """Ask the platform once by https, with everything that is mandatory there."""
    vtn.tls = server
    cert, key = OURS.files(folder)
    ca, _ = THEIRS.files(folder)
    settings = VenSettings(
        VTN_ID, vtn.url, "us", timeout_s=30.0, cert=cert, key=key, ca=ca, fingerprint=THEIRS.fingerprint
    )
    async with vtn, Exchange(settings) as exchange:
        return await exchange.ask(poll("ven-1"))


async def test_a_platform_is_talked_to_by_tls_with_a_client_certificate(tmp_path):
    server = a_server(THEIRS, tmp_path)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=OURS.cert.decode())
    answer = await asked(FakeVtn(keys=keys_of(THEIRS)), tmp_path, server)
    assert answer.name == "oadrResponse"
    assert answer.stamp is not None


async def test_a_platform_of_yesterdays_tls_or_another_certificate_is_not_talked_to(tmp_path):
    for server in (a_server(THEIRS, tmp_path, ssl.TLSVersion.TLSv1_1), a_server(an_identity("x"), tmp_path)):
        with pytest.raises(Unavailable):
            await asked(FakeVtn(keys=keys_of(THEIRS)), tmp_path, server)


async def test_a_platform_that_does_not_sign_is_refused_by_tls_too(tmp_path):
    with pytest.raises(BadMessage, match="Signature: 'missing'"):
        await asked(FakeVtn(), tmp_path, a_server(THEIRS, tmp_path))
