"""The desk by TLS, its own or that of a proxy before it."""

import asyncio
import ssl

import aiohttp
import pytest
from playwright.async_api import expect

from aggregator.model.opportunity import Stage
from tests.desk.browsing import browsing, connected, needs_chromium, one_browser
from tests.desk.world import PASSWORDS, a_desk
from tests.protocol.certificates import Authority

OUTSIDE = "desk.example"
PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7, 198.51.100.9"}


def with_tls(folder):
    """Return a certificate's table, and what trusts it."""
    authority = Authority(folder)
    pem = authority.issue("desk")
    table = {"tls_certificate": pem.cert, "tls_key": pem.key}
    return table, ssl.create_default_context(cafile=str(authority.cert))


async def test_by_tls_cookie_action_stream_and_headers_hold(tmp_path):
    table, trusted = with_tls(tmp_path)
    async with a_desk(tmp_path, **table) as desk:
        desk.trusted = trusted
        assert desk.base.startswith("https://")
        ben = await desk.sign_in("ben")
        (cookie,) = ben._session.cookie_jar
        assert (cookie.key, cookie["secure"], cookie["httponly"]) == ("__Host-flexloop", True, True)
        assert (cookie["path"], cookie["domain"] or "127.0.0.1") == ("/", "127.0.0.1")
        async with ben._session.get(f"{desk.base}/v1/live") as response:
            assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
        seen = {"draft": desk.bid("bid-3").draft.digest}
        own = {"Origin": desk.base}
        clear = {"Origin": desk.base.replace("https", "http")}
        assert (await ben.post("/v1/bids/bid-3/approve", seen, headers=clear))[0] == 403
        assert (await ben.post("/v1/bids/bid-3/approve", seen, headers=own))[0] == 200
        assert desk.bid("bid-3").stage is Stage.APPROVED
        async with ben._session.get(f"{desk.base}/v1/stream") as response, asyncio.timeout(60):
            while b"event: live" not in await response.content.readuntil(b"\n\n"):
                pass


async def test_who_speaks_http_to_it_or_trusts_another_authority_gets_nothing(tmp_path):
    table, _ = with_tls(tmp_path)
    async with a_desk(tmp_path, **table) as desk, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{desk.base}/sign-in")
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{desk.base.replace('https', 'http')}/sign-in")


async def test_without_tls_nothing_speaks_of_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        (cookie,) = vera._session.cookie_jar
        assert (cookie.key, bool(cookie["secure"])) == ("flexloop", False)
        async with vera._session.get(f"{desk.base}/v1/live", headers=PROXY) as response:
            assert "Strict-Transport-Security" not in response.headers
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-1").draft.digest}
        forged = {**PROXY, "X-Forwarded-Host": OUTSIDE, "Origin": f"https://{OUTSIDE}"}
        assert (await anna.post("/v1/bids/bid-1/check", seen, headers=forged))[0] == 403


@pytest.mark.parametrize("names", [{"Host": OUTSIDE}, {"X-Forwarded-Host": OUTSIDE}])
async def test_behind_a_proxy_origin_is_the_one_it_serves(tmp_path, names):
    async with a_desk(tmp_path, behind_tls_proxy=True) as desk:
        session, proxy = desk.a_session(), {**PROXY, **names}
        said = {"user": "anna", "password": PASSWORDS["anna"]}
        elsewhere = {**proxy, "Origin": "https://evil.example"}
        async with session.post(f"{desk.base}/v1/session", json=said, headers=elsewhere) as response:
            assert response.status == 403
        own = {**proxy, "Origin": f"https://{OUTSIDE}"}
        async with session.post(f"{desk.base}/v1/session", json=said, headers=own) as response:
            assert response.status == 200
            assert response.headers["Strict-Transport-Security"]
            token = (await response.json())["csrf"]
            cookie = response.headers["Set-Cookie"].partition(";")[0]
            assert cookie.startswith("__Host-flexloop=")
            assert "Secure" in response.headers["Set-Cookie"]
        seen = {"draft": desk.bid("bid-1").draft.digest}
        meant = {"X-CSRF-Token": token, "Idempotency-Key": "1", "Cookie": cookie}
        for headers, status in (
            ({**own, **meant, "Origin": f"http://{OUTSIDE}"}, 403),
            ({**own, **meant, "X-Forwarded-Proto": "http"}, 403),
            ({**own, **meant}, 200),
        ):
            async with session.post(f"{desk.base}/v1/bids/bid-1/check", json=seen, headers=headers) as told:
                assert told.status == status, await told.text()
        (entry,) = (one for one in desk.store.desk_trail.all() if one.action == "sign-in")
        assert entry.said == "signed in from 198.51.100.9"


@needs_chromium
@one_browser
@pytest.mark.slow
@pytest.mark.xdist_group("browser")
async def test_a_browser_signs_in_acts_and_watches_by_tls(tmp_path, chromium):
    table, _ = with_tls(tmp_path)
    async with a_desk(tmp_path, **table) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids/bid-2", ignore_https_errors=True)
        await ben.keyboard.press("a")
        await ben.keyboard.press("Enter")
        await expect(ben.locator(".flash.good")).to_contain_text("approved by ben")
        await people.go(ben, "/live")
        await connected(ben)
        (cookie,) = await ben.context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (
            "__Host-flexloop",
            True,
            True,
            "Lax",
        )
