"""Which of a zone's orders was followed where several overlap, and whose what the zone delivered is.

Cars can't move the same energy for two orders. So as ``targets`` has it, of orders that overlap the one of
higher priority is followed, whatever opportunities they belong to, and the others yield: they are not added
up, by no contract that we know. What the zone moved in a half-hour is delivered once, no more than was
ordered by what was followed, and shared by that; an order that yielded all the while delivered nothing.

An order is looked at in the direction of the product that is settled: one that went the other way takes the
place of others all the same, and has no part in what was delivered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from aggregator.model.market import Instruction, Product
from aggregator.model.money import share
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import Interval
from aggregator.ordered import OrderedPart, energy_wh, ordered_parts


@dataclass(frozen=True, slots=True)
class FollowedPart:
    """Part of a half-hour in which one order of a zone was followed.

    Attributes:
        opportunity_id: Whose order.
        part: When, and what was ordered.
        yielding: The other orders then, by opportunity.
    """

    opportunity_id: str
    part: OrderedPart
    yielding: Mapping[str, Instruction]


def followed_parts(
    opportunities: Sequence[Opportunity], product: Product, baseline_wh: int, period: Interval
) -> tuple[FollowedPart, ...]:
    """Return what was followed in the parts of a half-hour, in order.

    Args:
        opportunities: Those of one zone.
        product: In whose direction orders are looked at.
        baseline_wh: What set-points and multiples are measured against. [Wh]
        period: The half-hour.
    """
    in_turn = sorted(opportunities, key=lambda one: (one.window.start, one.opportunity_id))
    pieces = [
        (one.opportunity_id, part)
        for one in in_turn
        for part in ordered_parts(one, product, baseline_wh, period)
    ]
    bounds = sorted({bound for _, part in pieces for bound in (part.span.start, part.span.end)})
    found = []
    for start, end in pairwise(bounds):
        running = {name: part for name, part in pieces if start in part.span}
        if running:
            first = max(reversed(running), key=lambda name: running[name].instruction.rank)
            here = replace(running.pop(first), span=Interval(start, end))
            found.append(
                FollowedPart(first, here, {name: part.instruction for name, part in running.items()})
            )
    return tuple(found)


def followed_wh(found: Sequence[FollowedPart]) -> dict[str, int]:
    """Return the energy ordered by what was followed, by opportunity; those without any are left out. [Wh]"""
    parts: dict[str, list[OrderedPart]] = {}
    for one in found:
        parts.setdefault(one.opportunity_id, []).append(one.part)
    return {name: energy_wh(mine) for name, mine in sorted(parts.items())}


def part_of(moved_wh: int, followed: Mapping[str, int], opportunity_id: str) -> int:
    """Return an opportunity's part of what a zone moved, by what was followed of each. [Wh]

    All parts together are ``moved_wh``; where that is no more than was followed, so is each.
    """
    if not any(followed.values()):
        return 0
    return dict(zip(followed, share(moved_wh, list(followed.values())), strict=True)).get(opportunity_id, 0)


def yields_to(found: Sequence[FollowedPart], opportunity_id: str) -> tuple[str, ...]:
    """Return the opportunities to whose orders an opportunity's own yielded, each once, in order."""
    return tuple(dict.fromkeys(one.opportunity_id for one in found if opportunity_id in one.yielding))
