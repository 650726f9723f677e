"""The stop with one key: it holds in the control loop before it is stored, and whatever the database does."""

import asyncio
from collections.abc import Callable

from aggregator.acting import DONE
from aggregator.book import Book
from aggregator.model.errors import Unavailable
from aggregator.patience import Patience
from aggregator.store import DeskAction
from aggregator.web.actions import STOP, Ground, perform
from aggregator.web.bodies import Stop

STOPPED = "the cars are stopped; the database does not answer, and the stop is stored as soon as it does"


class NotStored(Unavailable):
    """The cars are stopped; who did it and why waits for the database."""


class Stopping:
    """Stops cars, then stores who did and why; where that can't be, it is tried until it can.

    Args:
        ground: What actions work on.
        book: What the control loop follows.
        wake: Runs a cycle of it at once.
        patience: While the database does not answer.
    """

    def __init__(self, ground: Ground, book: Book, wake: Callable[[], None], patience: Patience) -> None:
        self._ground, self._book, self._wake, self._patience = ground, book, wake, patience
        self._storing: set[asyncio.Task[DeskAction]] = set()

    async def stop(self, user: str, body: Stop, key: str) -> DeskAction:
        """Stop, and store it.

        Raises:
            BadMessage: If reason or key is wrong; no car was stopped.
            NotStored: If the cars are stopped, and nothing is stored yet.
        """
        meant = bool(body.reason.strip()) and (body.zone is None or body.zone in self._ground.zones)
        if meant:
            self._book.stop_at_once(body.zone)
            self._wake()
        try:
            return self._settled(body, await asyncio.to_thread(self._store, user, body, key))
        except Unavailable as away:
            if not meant:
                raise
            task = asyncio.create_task(self._patience.of(self._store, user, body, key))
            self._storing.add(task)
            task.add_done_callback(lambda done: self._stored(body, done))
            raise NotStored(STOPPED) from away
        except BaseException:
            self._book.stop_is_void(body.zone)
            raise

    def _store(self, user: str, body: Stop, key: str) -> DeskAction:
        return perform(self._ground, STOP, "", user, body, key)

    def _settled(self, body: Stop, done: DeskAction) -> DeskAction:
        if done.status == DONE:
            self._book.stop_is_kept(body.zone)
        else:
            self._book.stop_is_void(body.zone)
        return done

    def _stored(self, body: Stop, task: asyncio.Task[DeskAction]) -> None:
        self._storing.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._settled(body, task.result())
