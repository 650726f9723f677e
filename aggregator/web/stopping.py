"""The stop with one key: it holds in the control loop before it is stored, and whatever the database does.

One that waits for the database is answered 202: it was taken and holds, and is only left to be written down.
Who stops the same again meanwhile, with whatever key or words, has but pressed harder: it is one stop, kept
as it was said first.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from aggregator import acting
from aggregator.acting import DONE
from aggregator.book import Book
from aggregator.model.errors import Unavailable
from aggregator.model.time import LONDON
from aggregator.patience import Patience
from aggregator.store import DeskAction
from aggregator.web.actions import STOP, Action, Ground, perform
from aggregator.web.bodies import Stop

log = structlog.get_logger()

HELD = 202
"""How a stop is answered that holds and is not stored yet: HTTP's Accepted."""

STOPPED = "stopped in the loop at"
LATER = "it will be written down when the database is back"
ANSWERED_WITHIN_S = 2.0
"""Wall seconds after which who stopped is told so, though nothing is stored yet."""


@dataclass(eq=False, slots=True)
class _Held:
    """A stop that the loop follows, and that is not stored yet.

    Attributes:
        user: Who stopped.
        body: What is stopped, and why.
        key: By which name.
        at: Domain instant since when.
        late: Whether the database did not answer at once.
        storing: What stores it.
    """

    user: str
    body: Stop
    key: str
    at: datetime
    late: asyncio.Event = field(default_factory=asyncio.Event)
    storing: "asyncio.Task[DeskAction] | None" = None


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
        self._held: dict[tuple[str, str | None], _Held] = {}
        self._one_at_a_time = threading.Lock()

    async def stop(self, user: str, body: Stop, key: str) -> DeskAction:
        """Stop, and store it; where it can't be stored at once, return what will be, with status ``HELD``.

        Raises:
            BadMessage: If reason or key is wrong; no car was stopped.
        """
        acting.why_in_words(body.reason)
        acting.must_be_zone(body.zone, self._ground.zones)
        self._book.stop_at_once(body.zone)
        self._wake()
        held = self._held.get((user, body.zone)) or self._hold(user, body, key)
        return await self._stored(held)

    def _hold(self, user: str, body: Stop, key: str) -> _Held:
        """Begin to store a stop; sent again meanwhile it is the same one."""
        held = _Held(user, body, key, self._ground.flow.now())

        def store() -> DeskAction:
            action = _since(held.at) if held.late.is_set() else STOP
            with self._one_at_a_time:
                return perform(self._ground, action, "", user, body, key)

        def over(task: asyncio.Task[DeskAction]) -> None:
            del self._held[user, body.zone]
            self._settle(body, task)

        self._held[user, body.zone] = held
        held.storing = asyncio.create_task(self._patience.of(store, meanwhile=held.late.set))
        held.storing.add_done_callback(over)
        return held

    async def _stored(self, held: _Held) -> DeskAction:
        """Wait until a stop is stored, or cannot be at once."""
        storing, late = held.storing, asyncio.create_task(held.late.wait())
        assert storing is not None
        try:
            await asyncio.wait(
                (storing, late), timeout=ANSWERED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            late.cancel()
        if storing.done() and not isinstance(storing.exception(), Unavailable):
            return storing.result()
        held.late.set()
        zone = held.body.zone or acting.EVERYWHERE
        log.warning("stop_not_stored_yet", user=held.user, zone=zone, reason=held.body.reason)
        said = f"{STOPPED} {held.at.astimezone(LONDON):%H:%M:%S}; {LATER}"
        return DeskAction(held.at, held.user, STOP.name, zone, "", HELD, said, held.key, "")

    def _settle(self, body: Stop, storing: "asyncio.Task[DeskAction]") -> None:
        """Leave a stop that was stored to the journal, and take one back that was refused."""
        if storing.cancelled() or isinstance(storing.exception(), Unavailable):
            return
        if storing.exception() is None and storing.result().status == DONE:
            self._book.stop_is_kept(body.zone)
        elif all(other.body.zone != body.zone for other in self._held.values()):
            self._book.stop_is_void(body.zone)


def _since(at: datetime) -> Action:
    """Return the action that stores a stop which the loop has followed for a while."""

    def do(ground: Ground, _: str, user: str, body: Stop) -> str:
        return acting.stop(ground.flow, ground.zones, body.zone, body.reason, user, since=at)

    return replace(STOP, do=do)
