"""What a bid is worth: its draft, or what was awarded of it where that is less.

An award of less than was bid is valued as an amendment of the draft would be, once, and that is kept
(``AwardValued``): till then, and where nobody knows, it is worth nothing that could be told.
"""

from collections.abc import Iterator

from aggregator.model.explanation import Worth
from aggregator.model.facts import MODEL
from aggregator.model.market import Draft
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import Interval

NOTHING_KW = 1e-6


def is_valued(draft: Draft) -> bool:
    """Whether a draft's margins and misses are its own; of an amended one they may still be the model's."""
    return draft.by == MODEL or draft.why.valued_anew


def said_by(draft: Draft) -> Worth:
    """Return what stands in a draft, be it its own or still the model's."""
    why = draft.why
    return Worth(draft.expected_margin_gbp, why.margin_p10_gbp, why.margin_p90_gbp, 1.0 - why.miss)


def worth_of(one: Opportunity) -> Worth | None:
    """Return what a bid is worth as it stands; None where there is no draft, or nobody knows."""
    if one.draft is None:
        return None
    if is_in_part(one):
        return one.worth
    return said_by(one.draft) if is_valued(one.draft) else None


def worth_held(one: Opportunity) -> Worth | None:
    """Return what the platform holds is worth while another draft is decided on; None where nobody knows."""
    return said_by(one.held) if one.held is not None and is_valued(one.held) else None


def is_in_part(one: Opportunity) -> bool:
    """Whether in some slot of the award less was awarded than bid."""
    return any(awarded_kw < bid_kw - NOTHING_KW for _, awarded_kw, bid_kw in _levels(one))


def levels_awarded(one: Opportunity) -> tuple[float, ...]:
    """Return what was awarded of the bid in each slot of the award, nowhere more than was bid. [kW]"""
    return tuple(min(awarded_kw, bid_kw) for _, awarded_kw, bid_kw in _levels(one))


def _levels(one: Opportunity) -> Iterator[tuple[Interval, float, float]]:
    """Yield each slot of an award with what was awarded and what was bid all through it. [kW]"""
    award, need, draft = one.award, one.requirement, one.draft
    if award is None or need is None or draft is None or len(draft.offered_kw) != len(need.needed_kw):
        return
    for slot, awarded_kw in zip(award.slots, award.awarded_kw, strict=True):
        bid = [kw for part, kw in zip(need.slots, draft.offered_kw, strict=True) if part.overlap(slot)]
        yield slot, awarded_kw, min(bid, default=0.0)
