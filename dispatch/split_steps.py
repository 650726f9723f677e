"""Chargers that hold nothing or a least power: who of those in between gives it, and who nothing.

Slot by slot, the present one first, those with the longest time-to-go go up to their least power, from
energy to spare or from their own other slots, as far as the request goes; equals by what they gave
before, the least worn first. The rest gives nothing. What then is missing comes from cars that run anyhow.
Who has energy over, but too little for one more slot, runs in it with some of what it gives in its others;
in a home whose room is taken others make room for it, or it takes over from them, where that gives more.
"""

from collections.abc import Callable

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, first_of_each, summed
from dispatch.split_flows import Flows
from dispatch.split_repair import repair

_SAME_KWH = 1e-9
_ROUNDS = 4
"""In each, one car of a home may begin to run in a slot, and one take over a slot from the others."""

_EXCHANGES = 20
"""In a slot, one after the other."""

_WORTH = 1e-4
"""A share of what is wanted in a slot below which nothing is changed for one car's sake."""

Begin = Callable[[Flows, FloatArray, int, float], bool]


def hold_least(flows: Flows, least_kwh: FloatArray, worn_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Leave no car between nothing and its least power.

    Args:
        flows: What cars move, changed in place.
        least_kwh: Shape (slots, cars), 0 where any power can be held.
        worn_kwh: What each car gave before, shape (cars,).
        wanted_kwh: Of each slot.
    """
    for slot in range(wanted_kwh.size):
        moved, least = flows.moved[slot], least_kwh[slot]
        low = np.flatnonzero((moved > 0) & (moved < least))
        spare = float(wanted_kwh[slot] - moved.sum() + moved[low].sum())
        up = _raised(flows, least_kwh, slot, low[_in_order(flows, worn_kwh, slot, low)], spare)
        down = np.setdiff1d(low, up, assume_unique=True)
        flows.left[down] += moved[down]
        moved[down] = 0.0
    _fill(flows, least_kwh, wanted_kwh)
    _begin_more(flows, least_kwh, wanted_kwh)
    _top_up(flows, least_kwh, wanted_kwh)
    for slot in range(wanted_kwh.size):
        for _ in range(_EXCHANGES):
            if not _exchanged(flows, least_kwh, slot, float(wanted_kwh[slot])):
                break


def _begin_more(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Let cars begin to run in slots that lack some, or take over from others, until none more does."""
    for _ in range(_ROUNDS):
        begun = False
        for begin in (_started_in, _relieved_in):
            if _begun(begin, flows, least_kwh, wanted_kwh):
                _fill(flows, least_kwh, wanted_kwh)
                begun = True
        if not begun:
            break


def _fill(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Serve more of what is wanted by cars that run anyhow, none of them below its least."""
    with flows.beyond(least_kwh) as beyond:
        repair(beyond, wanted_kwh - (flows.moved - beyond.moved).sum(axis=1))


def _begun(begin: Begin, flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> bool:
    """Let cars with energy over begin to run in slots that lack some, one after the other.

    Returns whether any did.
    """
    missing = wanted_kwh - flows.moved.sum(axis=1)
    idle = ((flows.moved == 0) & (flows.most >= least_kwh) & (least_kwh > 0)).any(axis=0)
    idle &= flows.left > _SAME_KWH
    homes = np.zeros(flows.room.shape[1], bool)
    homes[flows.site[idle]] = True
    homes[0] = False
    chosen = idle | homes[flows.site]
    if not chosen.any():
        return False
    part, least = flows.of(chosen), least_kwh[:, chosen]
    short = np.flatnonzero(missing > _SAME_KWH).tolist()
    begun = [begin(part, least, slot, missing[slot]) for slot in short]
    flows.put(chosen, part)
    return any(begun)


def _started_in(flows: Flows, least_kwh: FloatArray, slot: int, missing_kwh: float) -> bool:
    """Let cars begin to run in a slot that lacks some energy, with some of what they give in others.

    Where a home's room is taken, those that run in it make room, down to their own least, as far as that
    gains anything. Who gains most comes first, one of a home. Returns whether any did.
    """
    moved, left, least = flows.moved, flows.left, least_kwh[slot]
    beyond = np.where(moved > 0, np.maximum(0.0, moved - least_kwh), 0.0)
    own, count = beyond.sum(axis=0), flows.room.shape[1]
    makes_room = summed(flows.site, beyond[slot], count)
    free = flows.room[slot] - summed(flows.site, moved[slot], count)
    lacks = np.where(flows.site == 0, 0.0, np.maximum(0.0, least - free[flows.site]))
    gain = np.minimum(left, least) - lacks
    can = (moved[slot] == 0) & (flows.most[slot] >= least) & (least > 0) & (left + own >= least)
    cars = np.flatnonzero(can & (lacks <= makes_room[flows.site]) & (gain > _SAME_KWH))
    cars = cars[np.argsort(-gain[cars], kind="stable")]
    cars = cars[first_of_each(flows.site[cars])]
    cars = cars[np.cumsum(least[cars] - lacks[cars]) <= missing_kwh + _SAME_KWH]
    if not cars.size:
        return False
    share = np.zeros(count)
    share[flows.site[cars]] = lacks[cars] / np.maximum(makes_room[flows.site[cars]], _SAME_KWH)
    share[0] = 0.0
    yielded = beyond[slot] * share[flows.site]
    moved[slot] -= yielded
    left += yielded
    from_left = np.minimum(left[cars], least[cars])
    left[cars] -= from_left
    moved[:, cars] -= beyond[:, cars] * ((least[cars] - from_left) / np.maximum(own[cars], _SAME_KWH))
    moved[slot, cars] = least[cars]
    return True


def _relieved_in(flows: Flows, least_kwh: FloatArray, slot: int, missing_kwh: float) -> bool:
    """Let cars take over a slot that lacks some energy from all others of their home, where that gives more.

    Only out of energy to spare; those relieved have theirs back. Returns whether any did.
    """
    moved, left, site, room = flows.moved, flows.left, flows.site, flows.room[slot]
    amount = np.minimum(np.minimum(left, flows.most[slot]), room[site])
    used = summed(site, moved[slot], room.size)
    gain = amount - used[site]
    can = (site > 0) & (moved[slot] == 0) & (amount >= least_kwh[slot]) & (gain > _SAME_KWH)
    cars = np.flatnonzero(can)
    cars = cars[np.argsort(-gain[cars], kind="stable")]
    cars = cars[first_of_each(site[cars])]
    cars = cars[np.cumsum(gain[cars]) <= missing_kwh + _SAME_KWH]
    if not cars.size:
        return False
    relieved = np.isin(site, site[cars])
    left[relieved] += moved[slot, relieved]
    moved[slot, relieved] = 0.0
    left[cars] -= amount[cars]
    moved[slot, cars] = amount[cars]
    return True


def _top_up(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Where a slot lacks less than a least power, let one car begin and those beyond theirs yield."""
    missing = wanted_kwh - flows.moved.sum(axis=1)
    for slot in np.flatnonzero(missing > _WORTH * wanted_kwh).tolist():
        moved, least, site = flows.moved[slot], least_kwh[slot], flows.site
        free = flows.room[slot] - summed(site, moved, flows.room.shape[1])
        can = (moved == 0) & (least > 0) & (np.minimum(flows.most[slot], flows.left) >= least)
        cars = np.flatnonzero(can & ((site == 0) | (least <= free[site])))
        if not cars.size:
            continue
        first = cars[least[cars].argmin()]
        beyond = np.where((moved > 0), np.maximum(0.0, moved - least), 0.0)
        yields = max(0.0, least[first] - missing[slot]) / max(float(beyond.sum()), _SAME_KWH)
        if yields > 1.0:
            continue
        flows.left += beyond * yields
        moved -= beyond * yields
        moved[first] = least[first]
        flows.left[first] -= least[first]


def _exchanged(flows: Flows, least_kwh: FloatArray, slot: int, wanted_kwh: float) -> bool:
    """Let one car take over from another that gives a little less, of any home.

    What chargers that hold one power, or little else, can give together has gaps: by pairs they are narrow.
    """
    moved, least = flows.moved[slot], least_kwh[slot]
    missing = wanted_kwh - float(moved.sum())
    free = flows.room[slot] - summed(flows.site, moved, flows.room.shape[1])
    most = np.minimum(np.minimum(flows.most[slot], flows.left), free[flows.site])
    idle, runs = np.flatnonzero((moved == 0) & (least > 0) & (most >= least)), np.flatnonzero(moved > 0)
    if missing <= _WORTH * wanted_kwh or not idle.size or not runs.size:
        return False
    runs = runs[np.argsort(moved[runs], kind="stable")]
    place = np.searchsorted(moved[runs], least[idle] - missing)
    out = runs[np.minimum(place, runs.size - 1)]
    gain = np.where(place < runs.size, np.minimum(most[idle] - moved[out], missing), 0.0)
    best = int(gain.argmax())
    if gain[best] <= _WORTH * wanted_kwh:
        return False
    comes, goes = idle[best], out[best]
    kwh = moved[goes] + gain[best]
    flows.left[goes] += moved[goes]
    flows.left[comes] -= kwh
    moved[goes], moved[comes] = 0.0, kwh
    return True


def _in_order(flows: Flows, worn_kwh: FloatArray, slot: int, cars: IntArray) -> IntArray:
    """Return the places of some cars, the longest time-to-go first, of equals the least worn."""
    most = flows.most[slot, cars]
    to_go = np.divide(
        flows.left[cars] + flows.moved[slot, cars], most, out=np.zeros(cars.size), where=most > 0
    )
    return np.lexsort((worn_kwh[cars], -np.round(to_go, 6)))


def _raised(flows: Flows, least_kwh: FloatArray, slot: int, cars: IntArray, spare_kwh: float) -> IntArray:
    """Raise cars to their least power in their order while it is wanted; return those raised.

    What they lack comes from energy to spare, then from other slots in which they are below their least and
    would give nothing, then from slots in which they run beyond it.
    """
    lacks = least_kwh[slot, cars] - flows.moved[slot, cars]
    others = flows.moved[:, cars]
    others[slot] = 0.0
    low = np.where(others < least_kwh[:, cars], others, 0.0)
    beyond = np.maximum(0.0, others - low - least_kwh[:, cars])
    can = flows.left[cars] + low.sum(axis=0) + beyond.sum(axis=0) >= lacks
    can &= flows.most[slot, cars] >= least_kwh[slot, cars]
    running = flows.moved[slot].copy()
    running[cars] = 0.0
    room = flows.room[slot] - summed(flows.site, running, flows.room.shape[1])
    site = flows.site[cars]
    can &= (first_of_each(site) & (least_kwh[slot, cars] <= room[site])) | np.isinf(room[site])
    can &= np.cumsum(np.where(can, least_kwh[slot, cars], 0.0)) <= spare_kwh + _SAME_KWH
    up: IntArray = cars[can]
    lacks, low, beyond = lacks[can], low[:, can], beyond[:, can]
    from_left = np.minimum(flows.left[up], lacks)
    flows.left[up] -= from_left
    for source in (low, beyond):
        lacks = lacks - from_left
        there = source.sum(axis=0)
        from_left = np.minimum(there, lacks)
        flows.moved[:, up] -= source * (from_left / np.maximum(there, _SAME_KWH))
    flows.moved[slot, up] = least_kwh[slot, up]
    return up
