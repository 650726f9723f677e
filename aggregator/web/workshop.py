"""What takes seconds or minutes, one thing at a time, in a process of its own: statements, months, audits.

The gateway's process holds the cars: what would share its interpreter for long would slow the control loop
down. The other process is started when first needed, runs at a lower priority, opens the store for itself,
and is killed when the desk shuts, whatever it does then: it only looks, or stores its result as its last act.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import structlog

from aggregator.model.errors import BadMessage, RuleViolation, Unavailable
from aggregator.web.tasks import Step

log = structlog.get_logger()

Task = Callable[[Any, Step], Any]
"""A module's function: what it is asked, and whom it tells how far it is."""

TOLD = (BadMessage, RuleViolation, Unavailable)
LOWER = 5
"""How much nicer to others the process is than the gateway."""

MOST_KEPT, MOST_WAITING = 12, 6


class Busy(Exception):
    """Too much is waiting already."""


@dataclass(eq=False, slots=True)
class Job:
    """One thing asked for.

    Attributes:
        name: In words.
        by: Who asked first.
        begun_at: Domain instant.
        asked_at: The same of a steady clock, for how long results are good. [s]
        number: Of all that this workshop was asked for.
        future: Its result.
        done: Steps taken.
        of: Steps in all; 0 before that is known.
        ended_at: Domain instant; None before.
    """

    name: str
    by: str
    begun_at: datetime
    asked_at: float
    number: int
    future: "Future[Any]" = field(default_factory=Future)
    done: int = 0
    of: int = 0
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.future.done()

    def tell(self, done: int, of: int) -> None:
        """Note how far it is."""
        self.done, self.of = done, of

    async def result(self) -> Any:  # noqa: ANN401 - each task has its own
        """Wait for its result, for who can wait; it goes on when who asked has gone.

        Raises:
            RuleViolation: If it was refused or its input was wrong, in words.
            Unavailable: If the database did not answer.
        """
        return await asyncio.shield(self._awaited())

    async def is_over_within(self, seconds: float) -> bool:
        """Wait a little, and return whether it has ended."""
        await asyncio.wait([self._awaited()], timeout=seconds)
        return self.is_over

    def _awaited(self) -> "asyncio.Future[Any]":
        found = asyncio.wrap_future(self.future)
        found.add_done_callback(lambda over: over.cancelled() or over.exception())  # who waited may have gone
        return found


class Workshop:
    """Does one thing at a time.

    Args:
        now: The domain clock's.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desk work")
        self._jobs: dict[Hashable, Job] = {}
        self._numbers = count(1)
        self._changing = threading.Lock()
        self._line: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None
        self._shut = False

    def job(self, key: Hashable) -> Job | None:
        """Return the last job of a key, where it is still known."""
        return self._jobs.get(key)

    def begin(
        self,
        key: Hashable,
        name: str,
        by: str,
        task: Task,
        asked: object,
        then: Callable[[Any, Job], Any] | None = None,
        *,
        good_for_s: float = 0.0,
        but: int | None = None,
    ) -> Job:
        """Begin something, or return what was begun for the same key and is not over, or still good.

        Args:
            key: What it is.
            name: In words.
            by: Who asks.
            task: What is done in the other process; it and what it is asked can be pickled.
            asked: What.
            then: What is done with the result in a thread of this process; its answer is the job's.
            good_for_s: How long a result is good.
            but: The number of a job whose result is not good any more.

        Raises:
            Busy: If too much is waiting.
        """
        with self._changing:
            known, at = self._jobs.get(key), time.monotonic()
            is_good = known is not None and known.number != but and _is_good(known, at - good_for_s)
            if known is not None and (not known.is_over or is_good):
                return known
            if sum(not one.is_over for one in self._jobs.values()) > MOST_WAITING:
                raise Busy
            self._jobs.pop(key, None)
            job = self._jobs[key] = Job(name, by, self._now(), at, next(self._numbers))
            self._forget_old()
        self._thread.submit(self._do, job, task, asked, then)
        return job

    async def close(self, _: object = None) -> None:
        """End what is done, at once."""
        self._shut = True
        if self._process is not None:
            self._process.kill()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        if self._process is not None:
            await asyncio.to_thread(self._process.join)
        for job in self._jobs.values():
            job.future.cancel()

    def _do(self, job: Job, task: Task, asked: object, then: Callable[[Any, Job], Any] | None) -> None:
        job.future.set_running_or_notify_cancel()
        try:
            found = self._ask(job, task, asked)
            answer = found if then is None else then(found, job)
        except TOLD as refused:
            job.ended_at = self._now()
            job.future.set_exception(refused)
        except Exception:
            log.exception("desk_work_failed", job=job.name)
            job.ended_at = self._now()
            job.future.set_exception(RuleViolation(f"{job.name} broke off; the gateway's log says where"))
        else:
            job.ended_at = self._now()
            job.future.set_result(answer)

    def _ask(self, job: Job, task: Task, asked: object) -> object:
        line = self._open_line()
        try:
            line.send((task, asked))
            while True:
                kind, *said = line.recv()
                if kind != "step":
                    break
                job.tell(*said)
        except (EOFError, OSError):
            self._line = None
            raise RuleViolation(f"{job.name} was ended" if self._shut else f"{job.name} broke off") from None
        if kind == "refused":
            raise RuleViolation(said[0])
        if kind == "away":
            raise Unavailable(said[0])
        if kind == "failed":
            log.error("desk_work_failed", job=job.name, trace=said[0])
            raise RuleViolation(f"{job.name} broke off; the gateway's log says where")
        return said[0]

    def _open_line(self) -> Connection:
        if self._line is None:
            if self._shut:
                raise RuleViolation("the desk is shut")
            context = multiprocessing.get_context("spawn")
            self._line, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs,), daemon=True, name="desk work")
            self._process.start()
            theirs.close()
        return self._line

    def _forget_old(self) -> None:
        over = [key for key, one in self._jobs.items() if one.is_over]
        for key in over[: max(0, len(self._jobs) - MOST_KEPT)]:
            del self._jobs[key]


def _is_good(job: Job, since: float) -> bool:
    return job.asked_at > since and not job.future.cancelled() and job.future.exception() is None


def _work(line: Connection) -> None:
    """Do what is asked until the line is cut; a key pressed in the gateway's terminal is the gateway's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    multiprocessing.set_start_method(
        "fork", force=True
    )  # a kill then leaves no named lock of a library behind
    os.nice(LOWER)
    with suppress(EOFError, OSError):
        while True:
            task, asked = line.recv()
            line.send(_answer(line, task, asked))


def _answer(line: Connection, task: Task, asked: object) -> tuple[str, object]:
    try:
        return "done", task(asked, lambda done, of: line.send(("step", done, of)))
    except Unavailable as away:
        return "away", str(away)
    except TOLD as refused:
        return "refused", str(refused)
    except Exception:
        return "failed", traceback.format_exc()
