"""Where thresholds leave a slot short although the cars could serve it: energy is moved to it.

Thresholds are exact for cars that are all there from the start and hold one power. Arrivals, and homes whose
room binds, make them miss some. Then a short slot takes energy from cars that serve another slot and could
serve this one; what the other slot loses, a car with energy to spare makes up for, or a third slot's cars.
That is a maximum flow by augmenting paths, its nodes the slots: on each edge all cars together give
their part, so that a path moves a share of the whole fleet at once. Last, the latest slots give up theirs:
the present one comes first.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, summed

_SMALL = 1e-9
"""A share of the request that is not worth another path."""
_MOST_PATHS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """What cars move, changed in place; energies in kWh.

    Attributes:
        moved: Shape (slots, cars).
        left: What each car could move beside, shape (cars,).
        most: Most in each slot, shape (slots, cars).
        site: Row of each car in ``room``.
        room: Most that the cars of a site may move together, shape (slots, sites).
    """

    moved: FloatArray
    left: FloatArray
    most: FloatArray
    site: IntArray
    room: FloatArray

    def raised(self, slot: int, source: FloatArray) -> FloatArray:
        """Return what each car could move more in a slot out of ``source``, within its site's room."""
        more: FloatArray = np.minimum(self.most[slot] - self.moved[slot], source)
        np.maximum(more, 0.0, out=more)
        spare = self.room[slot] - summed(self.site, self.moved[slot], self.room.shape[1])
        asked = summed(self.site, more, self.room.shape[1])
        if np.any(asked > spare):
            part = np.divide(spare, asked, out=np.ones_like(spare), where=(asked > spare) & (asked > 0))
            more *= np.maximum(part, 0.0)[self.site]
        return more


def repair(flows: Flows, wanted_kwh: FloatArray) -> None:
    """Serve more of what is wanted where slots are short, the present slot first."""
    enough = _SMALL * float(np.maximum(0.0, wanted_kwh).sum())
    for slot in range(wanted_kwh.size):
        for _ in range(_MOST_PATHS):
            served = flows.moved.sum(axis=1)
            missing = float(wanted_kwh[slot] - served[slot])
            if missing <= enough or not _augmented(flows, slot, missing, served, enough):
                break


def _augmented(flows: Flows, short: int, missing: float, served: FloatArray, enough: float) -> bool:
    """Move what one path allows to a short slot; return whether that was anything to speak of."""
    came: dict[int, tuple[int, float]] = {short: (short, missing)}
    queue = deque([short])
    while queue:
        slot = queue.popleft()
        spare = float(flows.raised(slot, flows.left).sum())
        if spare > enough:
            _push(flows, _path(came, slot), min(came[slot][1], spare), spared=True)
            return True
        for other in range(served.size - 1, -1, -1):
            if other not in came and served[other] > enough:
                through = min(came[slot][1], float(flows.raised(slot, flows.moved[other]).sum()))
                if through > enough:
                    came[other] = (slot, through)
                    queue.append(other)
    last = max(came)
    if last <= short:
        return False
    _push(flows, _path(came, last), came[last][1], spared=False)
    return True


def _path(came: dict[int, tuple[int, float]], slot: int) -> list[int]:
    """Return the slots from one to the short one."""
    path = [slot]
    while came[path[-1]][0] != path[-1]:
        path.append(came[path[-1]][0])
    return path


def _push(flows: Flows, path: list[int], kwh: float, *, spared: bool) -> None:
    """Move energy along a path of slots, from cars' spare energy or from what its first slot is served."""
    if spared:
        more = _at_most(flows.raised(path[0], flows.left), kwh)
        flows.moved[path[0]] += more
        flows.left[:] = np.maximum(0.0, flows.left - more)
    for giver, taker in pairwise(path):
        more = _at_most(flows.raised(taker, flows.moved[giver]), kwh)
        flows.moved[taker] += more
        flows.moved[giver] = np.maximum(0.0, flows.moved[giver] - more)


def _at_most(more: FloatArray, kwh: float) -> FloatArray:
    """Return the same share of each, so that the sum is no more than wanted."""
    total = float(more.sum())
    return more * min(1.0, kwh / total) if total > 0 else more
