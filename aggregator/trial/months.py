"""A month of drivers as known at a time: nothing is kept, and the month need not be over."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime

from aggregator.config import Settings
from aggregator.store import Store
from aggregator.trial.credits import Kept, kept_of
from aggregator.trial.month import make_month
from aggregator.trial.values import Month
from aggregator.workflow import fleets_of


def known_month(
    store: Store,
    settings: Settings,
    first: date,
    known_at: datetime,
    watched: Callable[[Sequence[str]], Iterable[str]],
) -> tuple[Month, Mapping[str, Sequence[Kept]]]:
    """Return a month and its statements that were kept by then, as ``settle drivers --as-known-at`` does.

    Args:
        store: Where it is.
        settings: What the gateway runs by.
        first: The month's first day.
        known_at: Only what was learnt by then.
        watched: Yields the cars it is given, and tells how far it is.
    """
    made = make_month(store, settings, fleets_of(store), first, known_at=known_at, watched=watched)
    return made, kept_of(store, made.name, known_at)
