"""How much of what was committed was delivered on past days, and what to offer for it."""

import math
from collections.abc import Sequence

MISSED_PART = 0.1
"""Of past days, the part on which the factor would not have been enough."""


def conformal_factor(ratios: Sequence[float], missed_part: float = MISSED_PART) -> float:
    """Return the scale of a bid that would have been kept on all but a tenth of past like days.

    The ``floor((n + 1) * missed_part)``-th smallest ratio: if the next day is like the past ones, in any
    order, its ratio lies below with a probability of at most ``missed_part``.

    Args:
        ratios: Delivered over committed energy, at least 0, of each past day. [-]
        missed_part: In (0, 1). [-]

    Returns:
        At most 1; 1 where there are too few days for the rank to be at least 1 (9 for a tenth).

    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), split conformal.
    """
    rank = math.floor((len(ratios) + 1) * missed_part + 1e-9)
    return min(1.0, sorted(ratios)[rank - 1]) if rank >= 1 else 1.0
