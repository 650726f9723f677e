"""Where thresholds leave a slot short although the cars could serve it: energy is moved to it.

Thresholds are exact for cars that are all there from the start and hold one power. Arrivals, and homes whose
room binds, make them miss some. Then a short slot takes energy from cars that serve another slot and could
serve this one; what the other slot loses, a car with energy to spare makes up for, or a third slot's cars.
That is a maximum flow by augmenting paths, its nodes the slots: on each edge all cars together give
their part, so that a path moves a share of the whole fleet at once. Last, the latest slots give up theirs:
the present one comes first.
"""

from collections import deque
from itertools import pairwise

import numpy as np

from dispatch.split_cars import FloatArray, summed
from dispatch.split_flows import Flows

_WORTH = 3e-6
"""A share of the request, for each slot of the event, that is worth another path."""
_EXACT = 1e-9
"""A share of it that is worth one where nearly all can be met: it is told as met, or not."""
_NEARLY = 1e-3
_MOST_PATHS = 100
_NOTHING_KWH = 1e-9


def repair(flows: Flows, wanted_kwh: FloatArray) -> None:
    """Serve more of what is wanted where slots are short, the present slot first."""
    moves = ((flows.moved > 0).any(axis=0) | (flows.left > 0)) & (flows.most > 0).any(axis=0)
    few = flows.of(moves)
    wanted, served = float(np.maximum(0.0, wanted_kwh).sum()), few.moved.sum(axis=1)
    nearly = float((wanted_kwh - served).sum()) <= _NEARLY * wanted
    worth = (_EXACT if nearly else _WORTH * wanted_kwh.size) * wanted
    _swap(few, wanted_kwh, worth)
    for slot in range(wanted_kwh.size):
        for _ in range(_MOST_PATHS):
            served = few.moved.sum(axis=1)
            missing = float(wanted_kwh[slot] - served[slot])
            if missing <= worth or not _augmented(few, slot, missing, served, worth):
                break
    _swap(few, wanted_kwh, worth)
    flows.put(moves, few)


def _swap(flows: Flows, wanted_kwh: FloatArray, worth: float) -> None:
    """Serve more of short slots by cars of homes where others have energy left, the latest slots first."""
    missing = wanted_kwh - flows.moved.sum(axis=1)
    for slot in np.flatnonzero(missing > worth).tolist():
        left = summed(flows.site, flows.left, flows.room.shape[1]) > _NOTHING_KWH
        left &= flows.spare(slot) > _NOTHING_KWH
        left[0] = False
        chosen = left[flows.site]
        if not chosen.any():
            continue
        few = flows.of(chosen)
        for other in range(wanted_kwh.size - 1, -1, -1):
            if other != slot and missing[slot] > worth:
                missing[slot] -= few.swap(other, slot, missing[slot])
        flows.put(chosen, few)


def _augmented(flows: Flows, short: int, missing: float, served: FloatArray, enough: float) -> bool:
    """Move what one path allows to a short slot; return whether that was anything to speak of."""
    came: dict[int, tuple[int, float]] = {short: (short, missing)}
    queue = deque([short])
    while queue:
        slot = queue.popleft()
        spare = flows.through(slot, slot)
        if spare > enough:
            kwh = min(came[slot][1], spare)
            flows.push(slot, slot, kwh)
            _push(flows, _path(came, slot), kwh)
            return True
        for other in range(served.size - 1, -1, -1):
            if other not in came and served[other] > enough:
                through = min(came[slot][1], flows.through(other, slot))
                if through > enough:
                    came[other] = (slot, through)
                    queue.append(other)
    last = max(came)
    if last <= short:
        return False
    _push(flows, _path(came, last), came[last][1])
    return True


def _path(came: dict[int, tuple[int, float]], slot: int) -> list[int]:
    """Return the slots from one to the short one."""
    path = [slot]
    while came[path[-1]][0] != path[-1]:
        path.append(came[path[-1]][0])
    return path


def _push(flows: Flows, path: list[int], kwh: float) -> None:
    """Move energy along a path of slots."""
    for giver, taker in pairwise(path):
        flows.push(giver, taker, kwh)
