"""Orders that are not followed, at least in part, as another one of their zone goes before: told once each.

Which one goes first is a matter of rank (``targets``). What was told is read from the notices themselves, so
that a restart tells nothing twice; an order that is amended is the same one.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from aggregator.model.figures import figure
from aggregator.model.market import Instruction, OrderMode
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import LONDON, Interval, said_at
from aggregator.store import Alarm, Store

YIELDS = "order_yields"


class Yielding:
    """Tells the desk of orders that yield, once each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told = {(alarm.where, alarm.about) for alarm in store.alarms.all() if alarm.code == YIELDS}

    def tell(self, opportunities: Iterable[Opportunity], now: datetime) -> None:
        """Raise the notices that are due at ``now``, given all opportunities whose orders may be followed."""
        orders = [(one.opportunity_id, order) for one in opportunities for order in one.in_force]
        for name, order in orders:
            others = [other for _, other in orders if other.zone == order.zone and other.key != order.key]
            found = next(_yields(order, others, now), None)
            about = f"{order.key.vtn_id}:{order.key.event_id}"
            if found is not None and (name, about) not in self._told:
                text = f"{order.key.vtn_id}'s order {order.key.event_id}, {found}"
                self._store.alarms.raise_(Alarm(now, YIELDS, name, text, about=about))
                self._told.add((name, about))


def _yields(order: Instruction, others: Iterable[Instruction], now: datetime) -> Iterator[str]:
    """Yield what of an order is not followed from now on, and for which other one; the first comes first."""
    before = [other for other in others if other.rank > order.rank and other.window.end > now]
    for step in order.steps:
        for other in before:
            shared = [part for one in other.steps if (part := one.interval.overlap(step.interval))]
            if shared and shared[-1].end > now:
                ranked = f"of priority {other.priority}" if other.priority else "that came later"
                span = Interval(shared[0].start, shared[-1].end)
                yield f"{_level(order, step.value)} {_clock(span)}, yields to {other.key.event_id} {ranked}"


def _level(order: Instruction, value: float) -> str:
    if order.mode is OrderMode.MULTIPLIER:
        return f"{figure(value)} times the nomination"
    return f"{figure(value)} kW"


def _clock(span: Interval) -> str:
    return f"{said_at(span.start)}-{span.end.astimezone(LONDON):%H:%M}"
