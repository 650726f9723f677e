"""What was delivered of what was committed, from the store: what a bid's factor is made of.

Committed is what was ordered. Days on or off work count apart, as scenarios do.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

from aggregator.forecast import Calendar
from aggregator.model.market import Product
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import LONDON
from aggregator.settling import known, work_out
from aggregator.store import Store
from aggregator.workflow import fleets_of

SETTLED = (Stage.SETTLED, Stage.CLOSED)
LOOK_BACK = timedelta(days=120)

PastRatios = Callable[[str, str, date, datetime], Sequence[float]]
"""Delivered over committed of a zone and product on days like one, known at an instant, oldest first."""


def no_past(zone: str, product_id: str, day: date, known_at: datetime) -> Sequence[float]:
    """Return nothing: no delivery is remembered."""
    return ()


class TrackRecord:
    """Reads ratios from a store; each statement once."""

    def __init__(self, store: Store, products: Mapping[str, Product], calendar: Calendar) -> None:
        self._store = store
        self._products = products
        self._calendar = calendar
        self._ratios: dict[tuple[str, int], float | None] = {}

    def __call__(self, zone: str, product_id: str, day: date, known_at: datetime) -> Sequence[float]:
        """See ``PastRatios``."""
        found = self._store.journal.find(zone=zone, product=product_id, stages=SETTLED)
        like = [one for one in found if self._is_like(one, day, known_at)]
        past = [known(self._store, one, known_at) for one in like]
        ratios = [
            self._ratio(one, known_at) for one in past if one.stage in SETTLED and one.statement_version
        ]
        return [ratio for ratio in ratios if ratio is not None]

    def _is_like(self, opportunity: Opportunity, day: date, known_at: datetime) -> bool:
        window, is_off = opportunity.window, self._calendar.is_off
        same_kind = is_off(window.start.astimezone(LONDON).date()) == is_off(day)
        return same_kind and known_at - LOOK_BACK <= window.end <= known_at

    def _ratio(self, opportunity: Opportunity, known_at: datetime) -> float | None:
        """Return delivered over ordered energy; None where nothing was ordered."""
        key = (opportunity.opportunity_id, opportunity.statement_version)
        if key not in self._ratios:
            product = self._products[opportunity.product_id]
            worked = work_out(self._store, opportunity, product, fleets_of(self._store), known_at)
            ordered = sum(abs(line.instructed_wh) for line in worked.statement.lines)
            delivered = sum(line.delivered_wh for line in worked.statement.lines)
            self._ratios[key] = delivered / ordered if ordered else None
        return self._ratios[key]
