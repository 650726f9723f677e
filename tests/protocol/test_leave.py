"""``flexloop openadr leave``: our side ends its registration with a platform."""

import asyncio
import json

import pytest
from openleadr.messaging import create_message

from aggregator.cli import run
from aggregator.store import open_store
from market_adapters.openadr.book import Book
from tests.protocol.gateway import CONFIG
from tests.protocol.vtn import OK, VTN_ID, FakeVtn, response


def canceled(registration_id="reg-1", code=200):
    answer = {**OK, "response_code": code}
    name = "oadrCanceledPartyRegistration"
    return create_message(name, response=answer, registration_id=registration_id, ven_id="ven-1")


@pytest.fixture
def files(tmp_path):
    """Write a configuration with one platform and a store that is registered with it."""
    market = (CONFIG.parent / "markets" / "ukpn.toml").read_text()
    vtn = FakeVtn()
    market = market.replace('vtn_id = "DSO-Example"', f'vtn_id = "{VTN_ID}"')
    market = "\n".join(
        f'url = "{vtn.url}"' if line.startswith("url =") else line for line in market.splitlines()
    )
    (tmp_path / "market.toml").write_text(market)
    text = CONFIG.read_text().replace("markets/ukpn.toml", str(tmp_path / "market.toml"))
    text = text.replace('"../', f'"{CONFIG.parent.parent}/')
    (tmp_path / "gateway.toml").write_text(text)
    url = f"sqlite:///{tmp_path / 'f.db'}"
    with open_store(url, create=True) as store:
        Book(VTN_ID, store.memory).register("ven-1", "reg-1")
    return vtn, ["--config", str(tmp_path / "gateway.toml"), "--database", url], url


def registered(url):
    with open_store(url, create=False) as store:
        book = Book(VTN_ID, store.memory)
        return book.ven_id, book.registration_id


def left(files, *options):
    vtn, shared, _ = files

    async def main():
        async with vtn:
            return await asyncio.to_thread(run, [*shared, "openadr", "leave", *options])

    return asyncio.run(main())


def test_the_registration_is_cancelled_and_its_ids_forgotten(files, capsys):
    vtn, _, url = files
    vtn.answers["oadrCancelPartyRegistration"] = [canceled()]
    assert left(files, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"vtn_id": VTN_ID, "registration_id": "reg-1"}
    said = vtn.last("oadrCancelPartyRegistration").fields
    assert (said["registrationID"], said["venID"]) == ("reg-1", "ven-1")
    assert registered(url) == (None, None)
    assert left(files, "--vtn", VTN_ID) == 1
    assert "no registration" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [canceled(code=452), canceled("reg-2"), response(), response(500, "no"), 503, 404, b"", b"<a/>"],
    ids=["refused", "another", "no-answer", "error", "503", "404", "empty", "nonsense"],
)
def test_a_platform_that_does_not_take_it_keeps_us_registered(files, answer, capsys):
    vtn, _, url = files
    vtn.answers["oadrCancelPartyRegistration"] = [answer]
    assert left(files) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert registered(url) == ("ven-1", "reg-1")


def test_it_is_refused_while_a_gateway_runs_and_for_platforms_that_are_none(files, capsys):
    _, _, url = files
    with open_store(url, create=False) as store, store.held():
        assert left(files) == 1
    assert "held by a running gateway" in capsys.readouterr().err
    assert left(files, "--vtn", "nobody") == 2
    assert f"'nobody' is not allowed; one of {VTN_ID}" in capsys.readouterr().err
    assert registered(url) == ("ven-1", "reg-1")
