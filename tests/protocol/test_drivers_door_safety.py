"""Who is let in at the drivers' door, and what it stands: tokens, floods, slow bodies, TLS."""

import asyncio
import json
import socket
import ssl

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.protocol.drivers_steps import CAR, PROBLEM, Driver, at_the_door
from tests.protocol.signing import an_identity
from tests.protocol.vtn import PATIENCE_S


async def test_a_token_opens_its_own_car_only_and_a_revoked_one_nothing(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        others = [f"{driver.base}/v1/cars/{name}" for name in ("car-2", "no-such-car", "car-1%2Fplan", "%00")]
        seen = []
        for root in others:
            for method, body in (("GET", None), ("PUT", {"soc": 0.5})):
                response, found = await driver.ask(method, "/floor", body, root=root)
                seen.append((response.status, found))
        assert {status for status, _ in seen} == {404}
        assert len({json.dumps(found, sort_keys=True) for _, found in seen}) == 1
        for token in (None, "", "flx_x", "flx_" + "0" * 12 + "_" + "0" * 64, "ü" * 10):
            stranger = Driver(driver._session, driver.base, token)
            response, found = await stranger.ask("GET")
            assert (response.status, response.content_type) == (401, PROBLEM)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            response, _ = await stranger.ask("GET", root=others[1])
            assert response.status == 401
        (token,) = parts.store.tokens.all()
        parts.store.tokens.revoke(token.token_id, parts.clock.now())
        await driver.refused("GET", "", None, 401)
        assert parts.store.drivers.all() == ()


async def test_too_many_requests_wait_and_a_stranger_shuts_nobody_out(tmp_path):
    async with at_the_door(tmp_path, requests_per_minute=1) as (_, driver):
        for _ in range(5):
            await driver.get()
        response, found = await driver.ask("GET")
        assert (response.status, found["status"]) == (429, 429)
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        await driver.put("/boost")  # who has looked too often can still boost at once
    async with at_the_door(tmp_path) as (_, driver):
        stranger = Driver(driver._session, driver.base, "wrong")
        statuses = [(await stranger.ask("GET"))[0].status for _ in range(60)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert await driver.get()


async def test_no_token_reaches_the_log_whatever_is_sent(tmp_path, capfd):
    with capture_logs() as logs:
        async with at_the_door(tmp_path) as (parts, driver):
            await driver.put("/v2g", {"on": False})
            await driver.refused("PUT", "/floor", {"soc": 0.1})
            host, port = driver.base.removeprefix("http://").split(":")
            for line in (
                f"GET /v1 HTTP/1.1\r\nAuthorization: {driver._token}\x00\r\n\r\n",
                driver._token + "\r\n\r\n",
            ):
                with socket.create_connection((host, int(port))) as raw:
                    await asyncio.to_thread(raw.sendall, line.encode())
                    await asyncio.to_thread(raw.recv, 100)
            parts.gateway.prices = None  # a bug of ours
            await driver.refused("GET", "/plan", None, 500)
    said = json.dumps(logs, default=repr) + "".join(capfd.readouterr())
    assert "driver_said" in said
    assert "door_failed" in said
    assert driver._token.split("_")[2] not in said


async def test_a_body_that_does_not_come_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("aggregator.drivers.door.BODY_TIMEOUT_S", 0.2)
    async with at_the_door(tmp_path) as (_, driver):
        host, port = driver.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT /v1/cars/{CAR}/floor HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {driver._token}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{".encode())
        async with asyncio.timeout(PATIENCE_S):
            assert b"408" in await reader.readline()
        writer.close()


async def test_with_a_certificate_it_speaks_tls_only(tmp_path):
    cert, key = an_identity("door").files(tmp_path)
    async with at_the_door(tmp_path, tls_certificate=cert, tls_key=key) as (_, driver):
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        async with driver._session.get(driver.root, ssl=trusting) as response:
            assert response.status == 401
        with pytest.raises(aiohttp.ClientError):
            await driver._session.get(driver.root.replace("https", "http"))
