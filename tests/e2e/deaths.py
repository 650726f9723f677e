"""Gateways that die at a named point between the receipt of an event and the end of its answer.

What dies is the program as it is: in the process that is to die, public methods of the store, of the VEN and
of its transport are wrapped, and at the point the process sends itself the signal that nobody can catch.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from aggregator.store.inbox import Inbox
from market_adapters.openadr.transport import Transport
from market_adapters.openadr.ven import Ven

from .processes import FORKS, play


def die() -> None:
    """End here and now, with nothing cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def after_receipt() -> None:
    """Die once an event was received that nothing is stored about yet."""
    get = Inbox.get

    def get_or_die(self: Inbox, key: Any) -> Any:
        known = get(self, key)
        if known is None:
            die()
        return known

    Inbox.get = get_or_die


def in_transaction() -> None:
    """Die when fact and decision are written, and before they are committed."""

    @event.listens_for(Engine, "before_cursor_execute")
    def note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lower().startswith("insert into inbox"):
            connection.info["decides"] = True

    @event.listens_for(Engine, "commit")
    def die_instead(connection: Connection) -> None:
        if connection.info.get("decides"):
            die()


def after_commit() -> None:
    """Die when the decision is stored, and before a byte of the answer leaves."""

    async def answer(*_: Any) -> None:
        die()

    Ven.answer = answer


def during_answer() -> None:
    """Die when half of the answer is on its way: the platform will never read the rest."""
    post = Transport.post

    async def half_a_post(self: Transport, service: str, body: bytes) -> bytes:
        if b"oadrCreatedEvent" in body:
            await _send_half(self._url, service, body)
            die()
        return await post(self, service, body)

    Transport.post = half_a_post


def after_answer() -> None:
    """Die when the platform has the answer, and before the events are marked as dealt with."""
    answer: Callable[..., Awaitable[None]] = Ven.answer

    async def answer_and_die(self: Ven, *said: Any) -> None:
        await answer(self, *said)
        die()

    Ven.answer = answer_and_die


POINTS = (after_receipt, in_transaction, after_commit, during_answer, after_answer)


def fork_until(
    point: Callable[[], None], arguments: list[str], log_file: Path, stack: ExitStack
) -> ForkServerProcess:
    """Start a ``flexloop`` command that dies at a point; closing ``stack`` kills it if it still runs."""
    process = FORKS.Process(target=_play_until, args=(point, arguments, log_file))
    process.start()
    stack.callback(process.kill)
    return process


def _play_until(point: Callable[[], None], arguments: list[str], log_file: Path) -> None:
    point()
    play(arguments, log_file)


async def _send_half(url: str, service: str, body: bytes) -> None:
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {address.path}/{service} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
