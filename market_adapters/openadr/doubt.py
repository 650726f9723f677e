"""When to ask a platform for all its events again, as something said may not have reached the other side."""

import asyncio

from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random


class Doubt:
    """One kind of loss that may have happened; the waits grow for as long as it happens again.

    Args:
        first_s: First wait; doubles, with jitter. [wall s]
        most_s: Longest wait. [wall s]
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._wait = wait_exponential(multiplier=first_s, max=most_s) + wait_random(0, first_s)
        self._state = RetryCallState(AsyncRetrying(), None, (), {})
        self._due_s: float | None = None

    def arises(self, now_s: float) -> None:
        """Note that something may have been lost."""
        self._due_s = now_s + self._wait(self._state)
        self._state.attempt_number += 1

    def passes(self) -> None:
        """Note that nothing was lost this time: the next wait is the first again."""
        self._state.attempt_number = 1

    def falls_due(self, now_s: float) -> bool:
        """Return whether it is time to ask again; true once for each loss."""
        due = self._due_s is not None and self._due_s <= now_s
        if due:
            self._due_s = None
        return due

    def wait_s(self, now_s: float, otherwise_s: float) -> float:
        """Return the time until then, or another that is shorter. [wall s]"""
        return otherwise_s if self._due_s is None else min(otherwise_s, max(0.0, self._due_s - now_s))


def now_s() -> float:
    """Return the wall seconds that doubts are told in."""
    return asyncio.get_running_loop().time()
