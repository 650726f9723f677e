"""What was delivered of what was committed, from the store: what a bid's factor is made of.

Committed is what was ordered, but for half-hours in which another order went before. Days on or off work
count apart, as scenarios do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from aggregator.forecast import Calendar
from aggregator.lookback import known
from aggregator.model.market import Product
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import LONDON
from aggregator.settling import work_out
from aggregator.store import Store
from aggregator.workflow import fleets_of

SETTLED = (Stage.SETTLED, Stage.CLOSED)
LOOK_BACK = timedelta(days=120)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one bid that was called.

    Attributes:
        ratio: Delivered over committed energy.
        hope_gbp: What was expected of it at best when it was drafted. [GBP]
        is_like: Whether it was on a day like the one asked about, on or off work.
    """

    ratio: float
    hope_gbp: float
    is_like: bool


PastBids = Callable[[str, str, date, datetime], Sequence[Delivered]]
"""What became of a zone's bids for a product, as known at an instant, oldest first."""


def no_past(zone: str, product_id: str, day: date, known_at: datetime) -> Sequence[Delivered]:
    """Return nothing: no delivery is remembered."""
    return ()


class TrackRecord:
    """Reads ratios from a store; each statement once."""

    def __init__(self, store: Store, products: Mapping[str, Product], calendar: Calendar) -> None:
        self._store = store
        self._products = products
        self._calendar = calendar
        self._ratios: dict[tuple[str, int], float | None] = {}

    def __call__(self, zone: str, product_id: str, day: date, known_at: datetime) -> Sequence[Delivered]:
        """See ``PastBids``."""
        found = self._store.journal.find(zone=zone, product=product_id, stages=SETTLED)
        near = [one for one in found if known_at - LOOK_BACK <= one.window.end <= known_at]
        past = [known(self._store, one, known_at) for one in near]
        settled = [one for one in past if one.stage in SETTLED and one.statement_version]
        settled.sort(key=lambda one: (one.window.end, one.opportunity_id))
        ratios = ((one, self._ratio(one, known_at)) for one in settled)
        return [
            Delivered(ratio, _hope_gbp(one), self._is_like(one, day))
            for one, ratio in ratios
            if ratio is not None
        ]

    def _is_like(self, opportunity: Opportunity, day: date) -> bool:
        is_off = self._calendar.is_off
        return is_off(opportunity.window.start.astimezone(LONDON).date()) == is_off(day)

    def _ratio(self, opportunity: Opportunity, known_at: datetime) -> float | None:
        """Return delivered over ordered energy; None where nothing was ordered."""
        key = (opportunity.opportunity_id, opportunity.statement_version)
        if key not in self._ratios:
            product = self._products[opportunity.product_id]
            worked = work_out(self._store, opportunity, product, fleets_of(self._store), known_at)
            lines = [line for line in worked.statement.lines if line.is_settled and not line.yields]
            ordered = sum(abs(line.instructed_wh) for line in lines)
            delivered = sum(line.delivered_wh for line in lines)
            self._ratios[key] = delivered / ordered if ordered else None
        return self._ratios[key]


def _hope_gbp(opportunity: Opportunity) -> float:
    """Return what was hoped for of a bid, at least what it was expected to earn. [GBP]"""
    draft = opportunity.submitted or opportunity.draft
    return 0.0 if draft is None else max(0.0, draft.expected_margin_gbp, draft.why.hope_gbp)
