"""Needs that ask the same cars for opposite things in the same half-hours: the lesser is refused."""

from itertools import combinations

from aggregator.bidding.problem import KW_PER_MW
from aggregator.drafting import Asked
from aggregator.model.market import Requirement
from aggregator.standing import Standing


def free_needs(standing: Standing) -> list[Asked]:
    """Return the zone's other needs that may be drafted."""
    return [
        Asked(other.opportunity.opportunity_id, need, other.product)
        for other in standing.others
        if (need := other.free_need) is not None
    ]


def the_other_way(own: Asked, standing: Standing) -> dict[str, str]:
    """Return the needs that cannot be bid on as another in the same half-hours goes the other way, and why.

    What is committed goes first, then what pays more in all.
    """
    refused: dict[str, str] = {}
    free = [own, *free_needs(standing)]
    for other in standing.others:
        for one in free:
            clash = any(kw > 0.0 and interval.overlap(one.need.window) for interval, kw in other.levels)
            if clash and other.product.direction is not one.product.direction:
                refused[one.name] = _goes_the_other_way(other.opportunity.opportunity_id)
    for one, lesser in combinations(sorted(free, key=lambda one: (-_most_gbp(one.need), one.name)), 2):
        opposite = one.product.direction is not lesser.product.direction
        if opposite and one.need.window.overlap(lesser.need.window) is not None and one.name not in refused:
            refused.setdefault(lesser.name, _goes_the_other_way(one.name))
    return refused


def _goes_the_other_way(name: str) -> str:
    return f"{name} moves the same cars the other way in the same half-hours"


def _most_gbp(need: Requirement) -> float:
    """Return the most that a need could pay. [GBP]"""
    price = float(need.utilisation_ceiling or 0) + float(need.availability_ceiling or 0)
    mwh = sum(kw * slot.hours for slot, kw in zip(need.slots, need.needed_kw, strict=True)) / KW_PER_MW
    return price * mwh
