"""The WebSocket that a gateway talks to: reports out, set-points in, acknowledgements out.

There is one gateway at a time, and the newest wins: a gateway that was killed and started again must not wait
for its old connection to time out. On connecting it gets a report of every charger as it is now, then what it
may have missed: registers at half-hours, cars that came and left. The fleet goes on by itself whether or not
anybody listens: messages wait in a bounded queue, and a gateway that does not read for too long is cut off.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from errno import EADDRINUSE
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, create_server, socket

from aiohttp import WSCloseCode, WSMsgType, web
from structlog import get_logger

from aggregator.model.errors import BadMessage, Fault
from aggregator.model.metering import SafeDefault
from aggregator.ports import Clock
from dispatch.fleet_simulator.reporting import Batch
from dispatch.fleet_simulator.world import World
from dispatch.links.credentials import NONCE_HEADER, proof
from dispatch.links.messages import (
    LONGEST_MESSAGE_BYTES,
    Ack,
    Proofs,
    SetPoints,
    read_to_fleet,
    write_reports,
)

PATH = "/link"
LONGEST_QUEUE = 4096
HEARTBEAT_S = 5.0
PATIENCE_S = 1.0
LAST_PORT = 65535
IPV6 = 6
ANYWHERE = "0.0.0.0"
MOST_KEPT = 2000
SENT_AGAIN = timedelta(hours=1)
"""What was told this long before a gateway was lost is told again: it may have died before it stored it."""
WORKER = "fleet"
"""The name by which the fleet holds a simulation's clock."""

LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One connection, and what waits to be sent on it."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    outbox: asyncio.Queue[str]

    async def send_all(self) -> None:
        """Send what waits and what comes, until cancelled or the connection is lost."""
        try:
            while True:
                await self.socket.send_str(await self.outbox.get())
                self.outbox.task_done()
        except ConnectionError:
            self.abort()

    async def close(self) -> None:
        """Close the connection, once what waits was sent or patience is at an end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.outbox.join()
        await self.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the fleet stops")

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()


class FleetServer:
    """Plays the world on a clock, and serves it to one gateway."""

    def __init__(self, world: World, clock: Clock, secrets: Mapping[str, str] | None = None) -> None:
        self._world, self._clock, self._secrets = world, clock, secrets or {}
        self._gateway: Gateway | None = None
        self._kept: deque[Batch] = deque(maxlen=MOST_KEPT)
        self._lost_at: datetime | None = None

    async def play(self, ends_at: datetime | None) -> None:
        """Move the world on with the clock, for ever or until it reaches ``ends_at`` exactly."""
        while ends_at is None or self._world.now < ends_at:
            stop_at = self._world.next_stop_at
            self._clock.hold(WORKER, stop_at)
            await self._clock.sleep_until(stop_at if ends_at is None else min(stop_at, ends_at))
            await asyncio.sleep(0)  # a world behind its clock must not shut out the gateway
            now = self._clock.now()
            self._catch_up(now if ends_at is None else min(now, ends_at))
        self._clock.hold(WORKER, None)

    async def close(self) -> None:
        """Tell the gateway what it has not been told yet, and let it go."""
        if self._gateway is not None:
            await self._gateway.close()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one gateway until it leaves or a newer one comes."""
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="for gateways, not for browsers")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=LONGEST_MESSAGE_BYTES, timeout=PATIENCE_S
        )
        await socket.prepare(request)
        gateway = Gateway(socket, request.transport, asyncio.Queue(LONGEST_QUEUE))
        if self._gateway is not None:
            self._drop(self._gateway)
        self._greet(gateway, request.headers.get(NONCE_HEADER))
        LOG.info("gateway_connected")
        sender = asyncio.create_task(gateway.send_all(), name="fleet-sender")
        try:
            async for message in socket:
                if gateway is not self._gateway:
                    break
                if message.type is WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            sender.cancel()
            self._lose(gateway)
        return socket

    def _greet(self, gateway: Gateway, nonce: str | None) -> None:
        self._catch_up(self._clock.now())
        self._gateway = gateway
        if nonce is not None:
            proofs = {name: proof(secret, nonce) for name, secret in self._secrets.items()}
            self._say(Proofs(proofs=proofs).model_dump_json())
        self._say(write_reports(self._world.snapshot()))
        for batch in self._kept:
            if self._lost_at is None or batch.at >= self._lost_at - SENT_AGAIN:
                self._say(write_reports(batch.reports))

    def _lose(self, gateway: Gateway) -> None:
        if gateway is self._gateway:
            self._gateway, self._lost_at = None, self._world.now
            LOG.info("gateway_gone")

    def _drop(self, gateway: Gateway) -> None:
        self._lose(gateway)
        gateway.abort()

    def _hear(self, text: str) -> None:
        try:
            message = read_to_fleet(text)
        except ValueError as error:
            LOG.warning("message_dropped", reason=str(error))
            return
        self._catch_up(self._clock.now())
        if isinstance(message, SetPoints):
            outcomes = self._world.command(message.points)
        else:
            outcomes = self._world.set_fallback(
                {car_id: SafeDefault(**vars(row)) for car_id, row in message.cars.items()}
            )
        self._say(Ack(ref=message.ref, outcomes=outcomes).model_dump_json())

    def _catch_up(self, now: datetime) -> None:
        for batch in self._world.advance(now):
            if batch.kept:
                self._kept.append(batch)
            if self._gateway is not None:
                self._say(write_reports(batch.reports))

    def _say(self, text: str) -> None:
        gateway = self._gateway
        if gateway is None:
            return
        try:
            gateway.outbox.put_nowait(text)
        except asyncio.QueueFull:
            LOG.warning("gateway_does_not_read", waiting=gateway.outbox.qsize())
            self._drop(gateway)
            self._lost_at = None  # nobody knows how much of what waited was lost: all kept is told again


@asynccontextmanager
async def serving(server: FleetServer, listener: socket) -> AsyncIterator[None]:
    """Serve on a socket that listens, and close it afterwards."""
    app = web.Application()
    app.router.add_get(PATH, server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=PATIENCE_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await server.close()
        await runner.cleanup()


def listen_on(address: str) -> socket:
    """Return a socket that listens on ``HOST:PORT``; port 0 is any free one.

    Whoever reaches it commands cars, so that only loopback will do.

    Raises:
        BadMessage: If it is something else, or another program listens there.
    """
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        ip, number = ip_address(host), int(port)
    except ValueError:
        ip, number = ip_address(ANYWHERE), 0
    if not ip.is_loopback or not 0 <= number <= LAST_PORT:
        raise BadMessage(Fault("listen", address, "a loopback address such as 127.0.0.1:8765"))
    try:
        return create_server((host, number), family=AF_INET6 if ip.version == IPV6 else AF_INET)
    except OSError as error:
        taken = error.errno == EADDRINUSE
        allowed = (
            "the port is in use by another program"
            if taken
            else f"an address of this machine ({error.strerror})"
        )
        raise BadMessage(Fault("listen", address, allowed)) from None
