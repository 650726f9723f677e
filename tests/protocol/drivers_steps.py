"""Steps that tests of the drivers' door share: a gateway with its door on loopback, and who asks there."""

import json
from contextlib import asynccontextmanager

import aiohttp

from aggregator.drivers.door import Door
from aggregator.listening import DriversSettings
from aggregator.serving import listen_on, serving, tls_of
from tests.protocol.gateway import running
from tests.protocol.vtn import START, FakeVtn

CAR = "car-1"
JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


class Driver:
    """Asks with a token."""

    def __init__(self, session, base, token, car_id=CAR):
        self._session, self._token = session, token
        self.base, self.root = base, f"{base}/v1/cars/{car_id}"

    async def ask(self, method, path="", body=None, *, raw=None, root=None, **headers):
        sent = {"Authorization": f"Bearer {self._token}"} if self._token is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = raw if raw is not None else None if body is None else json.dumps(body)
        if data is not None:
            sent = JSON | sent
        url = (root or self.root) + path
        async with self._session.request(method, url, data=data, headers=sent) as response:
            text = await response.text()
            is_json = response.content_type.endswith("json")
            return response, json.loads(text) if is_json else text

    async def get(self, path=""):
        response, body = await self.ask("GET", path)
        assert response.status == 200, body
        return body

    async def put(self, path, body=None, **headers):
        response, found = await self.ask("PUT", path, body, **headers)
        assert response.status == 200, found
        return found

    async def refused(self, method, path, body=None, status=422, **more):
        response, found = await self.ask(method, path, body, **more)
        assert (response.status, response.content_type) == (status, PROBLEM), found
        assert found["status"] == status
        assert found["title"]
        return found


@asynccontextmanager
async def at_the_door(tmp_path, **said):
    """Run a gateway's parts and its door, with one minute passed; yield them and a driver with a token."""
    async with running(FakeVtn().url, tmp_path, START) as parts:
        gateway = parts.gateway
        drivers = DriversSettings(**{"requests_per_minute": 6000, **said})
        gateway.settings = gateway.settings.model_copy(update={"drivers": drivers})
        tls = tls_of(drivers, "drivers")
        listener = listen_on("127.0.0.1:0")
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        _, token = parts.store.tokens.make(CAR, START)
        async with (
            serving(listener, Door(gateway, parts.controller).app(), "drivers", tls),
            aiohttp.ClientSession() as session,
        ):
            await parts.minute()
            yield parts, Driver(session, f"{'https' if tls else 'http'}://{host}", token)
