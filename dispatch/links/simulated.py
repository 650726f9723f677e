"""The way to a fleet controller over one WebSocket: the simulated fleet's, or any that speaks the same words.

The link comes up by itself and comes back by itself, for ever, with growing random waits. Nothing it hears
is trusted: a message that is none of ours, a number that is not finite or a stamp from the future is
dropped and logged, the stamps once for as long as the clocks differ, and the link goes on. While it is
down, set-points come back as unreachable; they are never kept for later, as whoever sent them decides anew
each cycle. What ``set_fallback`` says is kept: it protects a car while nobody reaches it, so whatever was
not acknowledged goes out once the link is up again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from structlog import get_logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential
from yarl import URL

from aggregator.model.errors import Unavailable
from aggregator.model.metering import CarReport, Outcome, SafeDefault, SetPoint
from aggregator.ports import Clock
from dispatch.links.credentials import Doorkeeper
from dispatch.links.messages import (
    LONGEST_MESSAGE_BYTES,
    Ack,
    Proofs,
    Reports,
    read_from_fleet,
    read_report,
    write_fallback,
    write_set_points,
)

PATH = "/link"
LONGEST_QUEUE = 10_000
HEARTBEAT_S = 5.0
FUTURE_SLACK = timedelta(seconds=60)
LOG = get_logger(__name__)


class SimulatedLink:
    """A ``ChargerLink``; use it as an async context manager.

    Args:
        url: Of the fleet controller, ``http`` or ``ws``; without a path, ``/link`` is meant.
        clock: The domain clock, to know a stamp from the future by.
        ack_timeout_s: Wall time for an acknowledgement, and for a connection, to come. [s]
        first_wait_s: About the first wait before the link is tried again; it doubles. [s]
        longest_wait_s: The longest wait. [s]
        secrets: Of each car's charger, which must prove it; without any, nobody has to.
        refused: Told of each car whose charger did not, once a connection.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        ack_timeout_s: float = 2.0,
        first_wait_s: float = 0.05,
        longest_wait_s: float = 2.0,
        secrets: Mapping[str, str] | None = None,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        address = URL(url)
        self._url = address.with_path(PATH) if address.path in ("", "/") else address
        self._clock = clock
        self._ack_timeout_s = ack_timeout_s
        self._wait = wait_random_exponential(multiplier=first_wait_s, max=longest_wait_s)
        self._first_wait_s = first_wait_s
        self._socket: ClientWebSocketResponse | None = None
        self._door = Doorkeeper(secrets or {})
        self._refused = refused
        self._refs = 0
        self._asked: dict[int, asyncio.Future[Ack]] = {}
        self._owed: dict[str, SafeDefault] = {}
        self._ahead = False
        self._batches: asyncio.Queue[tuple[CarReport, ...] | None] = asyncio.Queue()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect; does not wait for the link to be up."""
        self._keeper = asyncio.create_task(self._keep_up(), name="simulated-link")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the link; ``reports`` ends."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))

    @property
    def is_up(self) -> bool:
        """Whether the fleet controller can be reached now."""
        return self._socket is not None

    async def apply(self, points: Sequence[SetPoint]) -> Sequence[Outcome]:
        """Send set-points, each once; return what became of each, in order."""
        let_in = [point for point in points if self._door.lets_in(point.car_id)]
        if not let_in:
            return (Outcome.UNREACHABLE,) * len(points)
        ack = await self._ask(lambda ref: write_set_points(ref, let_in), len(let_in))
        outcomes = iter(() if ack is None else ack.outcomes)
        return tuple(
            next(outcomes, Outcome.UNREACHABLE) if self._door.lets_in(point.car_id) else Outcome.UNREACHABLE
            for point in points
        )

    async def set_fallback(self, defaults: Mapping[str, SafeDefault]) -> None:
        """Tell chargers what to do by themselves; told again after an outage, until acknowledged."""
        self._owed.update(defaults)
        await self._pay()

    async def reports(self) -> AsyncIterator[tuple[CarReport, ...]]:
        """Yield batches of car reports as they come; one reader only.

        Raises:
            Exception: Whatever ended the link, if that was a fault of its own.
        """
        while (batch := await self._batches.get()) is not None:
            yield batch
        if self._keeper is not None and not self._keeper.cancelled():
            await self._keeper

    async def _keep_up(self) -> None:
        try:
            async with ClientSession() as session:
                while True:
                    again = AsyncRetrying(
                        wait=self._wait,
                        retry=retry_if_exception_type((ClientError, OSError, Unavailable)),
                        before_sleep=_log_outage,
                    )
                    await again(self._live, session)
        finally:
            self._batches.put_nowait(None)

    async def _live(self, session: ClientSession) -> None:
        """Connect, and listen until the link is lost.

        Raises:
            Unavailable: If nothing was ever heard; after a talk the next try comes soon.
        """
        async with asyncio.timeout(self._ack_timeout_s):
            socket = await session.ws_connect(
                self._url,
                headers=self._door.open(),
                heartbeat=HEARTBEAT_S,
                max_msg_size=LONGEST_MESSAGE_BYTES,
                timeout=ClientWSTimeout(ws_close=self._ack_timeout_s),
            )
        heard = False
        async with socket:
            self._socket = socket
            paying = asyncio.create_task(self._pay(), name="simulated-link-fallback")
            try:
                async for message in socket:
                    heard = True
                    if message.type is WSMsgType.TEXT:
                        self._hear(message.data)
            finally:
                paying.cancel()
                self._socket = None
                self._give_up_waiting()
        if not heard:
            raise Unavailable(f"{self._url} closed the link")
        LOG.warning("link_lost", url=str(self._url))
        await asyncio.sleep(self._first_wait_s)

    async def _ask(self, write: Callable[[int], str], cars: int) -> Ack | None:
        """Send a message and wait for its acknowledgement; None if the link or the answer is not there."""
        socket = self._socket
        if socket is None:
            return None
        self._refs += 1
        ref = self._refs
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._asked[ref] = answer
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                await socket.send_str(write(ref))
                ack = await answer
        except (TimeoutError, OSError, ClientError, Unavailable) as error:
            LOG.warning("no_acknowledgement", ref=ref, cars=cars, reason=repr(error))
            return None
        finally:
            del self._asked[ref]
        if len(ack.outcomes) != cars:
            LOG.warning("acknowledgement_dropped", ref=ref, cars=cars, outcomes=len(ack.outcomes))
            return None
        return ack

    async def _pay(self) -> None:
        owed = dict(self._owed)
        if not owed:
            return
        ack = await self._ask(lambda ref: write_fallback(ref, owed), len(owed))
        if ack is None:
            return
        for (car_id, default), outcome in zip(owed.items(), ack.outcomes, strict=True):
            if self._owed.get(car_id) == default and outcome is not Outcome.UNREACHABLE:
                del self._owed[car_id]
            if outcome is Outcome.REFUSED:
                LOG.warning("fallback_refused", car_id=car_id, most_w=default.most_w)

    def _hear(self, text: str) -> None:
        try:
            message = read_from_fleet(text)
        except ValueError as error:
            LOG.warning("message_dropped", reason=str(error))
            return
        if isinstance(message, Ack):
            answer = self._asked.get(message.ref)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif isinstance(message, Proofs):
            self._door.hear(message.proofs)
        else:
            self._take(message)

    def _take(self, message: Reports) -> None:
        latest = self._clock.now() + FUTURE_SLACK
        said = [report for row in message.cars if (report := _checked(row)) is not None]
        self._refuse(report.car_id for report in said)
        read = [report for report in said if self._door.lets_in(report.car_id)]
        batch = tuple(report for report in read if report.measured_at <= latest)
        ahead = len(batch) < len(read)
        if ahead and not self._ahead:
            newest = max(report.measured_at for report in read)
            LOG.warning("reports_dropped", reason="measured in the future", until=newest.isoformat())
        self._ahead = ahead
        if not batch:
            return
        if self._batches.qsize() >= LONGEST_QUEUE:
            self._batches.get_nowait()
            LOG.error("reports_not_read", dropped=1)
        self._batches.put_nowait(batch)

    def _refuse(self, car_ids: Iterable[str]) -> None:
        for car_id in self._door.newly_refused(car_ids):
            LOG.warning("charger_refused", car_id=car_id)
            if self._refused is not None:
                self._refused(car_id)

    def _give_up_waiting(self) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(Unavailable("the link was lost"))


def _checked(row: object) -> CarReport | None:
    try:
        return read_report(row)
    except ValueError as error:
        LOG.warning("report_dropped", reason=str(error))
        return None


def _log_outage(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    LOG.info("link_down", attempt=state.attempt_number, reason=repr(error))
