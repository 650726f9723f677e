"""What a gateway does while its database does not answer: its workers wait, its cars go on.

The control loop needs no database: it follows what the book read last, and what it leaves waits for the
recorder. All others take each step again until it succeeds. Every step is made for that, as a process may die
at any point of it. So nothing is answered to a platform before it is durable; the answer waits. That the
database was away is told at once in the log and by ``/health/ready``, and by an alarm once it is back.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    wait_exponential,
    wait_random,
)

from aggregator.model.errors import Damaged, Unavailable
from aggregator.model.time import utc_second, utc_text
from aggregator.ports import Clock
from aggregator.store import Alarm, Store

T = TypeVar("T")

log = structlog.get_logger()

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
"""Wall seconds between a worker's tries."""

DATABASE = "the database"
"""What alarms are about that tell of it: its address is nobody's business but the log's."""


def _nothing() -> None:
    pass


class Patience:
    """Takes workers' steps until the database answers.

    Args:
        store: Whose database.
        clock: The domain clock.

    Attributes:
        away_since: The domain instant since when it does not answer; None while it does.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._telling = threading.Lock()
        self.away_since: datetime | None = None

    async def of(
        self, step: Callable[..., T], *arguments: object, meanwhile: Callable[[], None] = _nothing
    ) -> T:
        """Take a step in a thread, again and again until the database answers; return what it returns.

        Args:
            step: Safe to be taken again, wherever it broke off.
            arguments: Its own.
            meanwhile: Called before each wait.

        Raises:
            Damaged: If no waiting will mend it.
        """

        def failed(state: RetryCallState) -> None:
            self._noticed(state.outcome.exception() if state.outcome else None)
            meanwhile()

        steps = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable) & retry_if_not_exception_type(Damaged),
            wait=wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S) + wait_random(0, FIRST_WAIT_S),
            before_sleep=failed,
        )
        return await steps(asyncio.to_thread, self._taken, step, *arguments)

    def recall(self, vtn_id: str, name: str) -> str | None:
        """Return what the store remembers; for a VEN."""
        return self._store.memory.recall(vtn_id, name)

    def remember(self, vtn_id: str, name: str, value: str) -> None:
        """Let the store remember; while it is known to be away, refuse at once, as a VEN waits on the loop.

        Raises:
            Unavailable: If the database does not answer.
        """
        if self.away_since is not None:
            raise Unavailable(f"the database has not answered since {utc_text(self.away_since)}")
        try:
            self._store.memory.remember(vtn_id, name, value)
        except Unavailable as error:
            self._noticed(error)
            raise

    def _taken(self, step: Callable[..., T], *arguments: object) -> T:
        found = step(*arguments)
        if self.away_since is not None:
            self._tell()
        return found

    def _tell(self) -> None:
        """Raise the alarm about a database that is back; the next step does if it is away again."""
        with self._telling:
            if self.away_since is None:
                return
            now = self._clock.now()
            text = f"it did not answer from {utc_second(self.away_since)} to {utc_second(now)}"
            try:
                self._store.alarms.raise_(Alarm(now, "database_away", DATABASE, text, over_at=now))
            except Unavailable:
                return
            self.away_since = None
            log.info("database_back", database=self._store.name)

    def _noticed(self, error: BaseException | None) -> None:
        if self.away_since is None:
            self.away_since = self._clock.now()
            log.error("database_away", database=self._store.name, error=str(error))
