"""The split: a request on a zone becomes a set-point for every car and slot.

Pure: the same problem gives the same answer, no clock, no state. Cars that must charge (they store less
than floor or target need) only charge; all others only discharge (direction up) or charge (down). Over
all such splits the answer delivers the most; among those it moves the least energy, and then serves the
earliest slots first, so that the present slot is met in full and the latest is trimmed.

Up to ``EXACT_CARS`` cars the answer is the optimum (``split_exact``). Above, the fleet becomes a table, a
threshold per slot is solved on it, and each car finds its own set-points from its state and those few
numbers (``split_large``): some ten-thousandths less are delivered, no rule is kept less strictly. The
two steps also stand alone, for cars that decide by themselves: ``thresholds_of`` and ``set_points``.

Zones share no home: several are split by one call each. Which of two instructions counts in a slot is
decided before, by priority, where targets are made.

For a control loop: call ``split`` every cycle, and at once after an unplug, a boost or an amendment. Let
``slot_hours[0]`` be what is left of the present slot, apply the first column of ``export_kw`` and throw the
rest away. Leave boosted cars out and add their power to their site's base load, and to the request what
they import. Raise ``guard_kwh``, not the floor, to keep a margin that must not make a car charge.

Fair among equals: cars with an equal time-to-go get equal shares of every slot, so there is no tie to
break and no place in a list that wears a battery more. Only chargers with a ``min_kw`` must take turns; in
a large fleet the least worn of equals goes first.
"""

from aggregator.model.market import Direction
from dispatch.split_cars import Cars, FloatArray, Sites, SplitCar, SplitSite
from dispatch.split_exact import split_exactly
from dispatch.split_large import Thresholds, set_points, split_by_thresholds, thresholds_of
from dispatch.split_problem import Split, SplitProblem

__all__ = [
    "Cars",
    "Direction",
    "Sites",
    "Split",
    "SplitCar",
    "SplitProblem",
    "SplitSite",
    "Thresholds",
    "set_points",
    "split",
    "thresholds_of",
]

EXACT_CARS = 200


def split(problem: SplitProblem, present_kw: FloatArray | None = None) -> Split:
    """Return the best set-points for a request, and what they miss of it.

    A request that can't be met, a target that can't be reached or a site that generates more than it
    may export is part of the answer. Precedence: site limits, floor, departure, request. A car below its
    floor takes all its power and its site allow until it is there; a car that can't reach its target
    gets the most its site's room can give, the earlier departure first.

    Args:
        problem: Checked before: see ``aggregator.files.split`` for what a file may say.
        present_kw: What each car does now, in whose favour ties are broken in fleets up to ``EXACT_CARS``;
            None where that is all the same. [kW, export positive]

    Returns:
        Set-points (positive exports) that keep every rule within 1e-9.
    """
    if problem.cars.count <= EXACT_CARS:
        return split_exactly(problem, present_kw)
    return split_by_thresholds(problem)
