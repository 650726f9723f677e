"""Prices cleared before, from an operator's dispatch records."""

from pathlib import Path

from aggregator.acceptance import Acceptance, Cleared
from aggregator.files.dispatches import read_dispatches
from aggregator.model.errors import BadMessage, Fault

MOST_FAULTS = 20


def read_cleared(path: Path) -> Acceptance:
    """Read a dispatch file; records without a price for utilisation say nothing and are left out.

    Raises:
        BadMessage: With the lines that are wrong, the first of them where there are many.
    """
    found = read_dispatches(path)
    if found.left_out:
        raise BadMessage(
            *(
                Fault(f"{path.name}: line {odd.line}", odd.detail, f"a dispatch record ({odd.rule})")
                for odd in found.left_out[:MOST_FAULTS]
            )
        )
    return Acceptance.of(
        Cleared(one.zone, one.product, one.window.start, float(one.utilisation_price))
        for one in found.dispatches
        if one.utilisation_price > 0
    )
