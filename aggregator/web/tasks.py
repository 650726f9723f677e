"""What the workshop's process does for a statement; what loads the model, too, is in ``heavy_tasks``.

Who waits for the first statement waits for what is loaded for it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aggregator.config import Settings
from aggregator.statements import Made, look_at
from aggregator.store import open_store
from aggregator.workflow import fleets_of

Step = Callable[[int, int], None]
"""Told how many steps are done, of how many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task works on.

    Attributes:
        url: The store's.
        settings: The gateway's.
        what: A ``Period`` with when it is asked for, a month's first day with when it is to be known at, or
            who asks and when.
    """

    url: str
    settings: Settings
    what: Any


def look_task(asked: Asked, step: Step) -> Made:
    """Make a period's statement; no version is kept."""
    period, now = asked.what
    with open_store(asked.url, create=False) as store:
        watched = told_to(step, passes=1 if period.known_at is not None else 2)
        return look_at(store, asked.settings.products, fleets_of(store), period, now, watched)


def told_to(step: Step, passes: int) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """Return what yields a sequence and tells how far it is, over several passes along the same one."""
    begun = iter(range(passes))

    def watched(all_of_it: Sequence[Any]) -> Iterable[Any]:
        before, of = next(begun, passes - 1) * len(all_of_it), passes * len(all_of_it)
        for n, one in enumerate(all_of_it):
            step(before + n, of)
            yield one

    return watched
