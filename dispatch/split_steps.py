"""Chargers that hold nothing or a least power: who of those in between gives it, and who nothing.

Slot by slot, the present one first, those with the longest time-to-go go up to their least power, from
energy to spare or from their own other slots, as far as the request goes; equals by what they gave
before, the least worn first. The rest gives nothing. What then is missing comes from cars that run anyhow.
Who has energy over, but too little for one more slot, runs in it with some of what it gives in its others.
"""

from dataclasses import replace

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, summed
from dispatch.split_flows import Flows
from dispatch.split_repair import repair

_SAME_KWH = 1e-9


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
    if _started(flows, least_kwh, wanted_kwh):
        _fill(flows, least_kwh, wanted_kwh)


def _fill(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Serve more of what is wanted by cars that run anyhow, none of them below its least."""
    held = np.where(flows.moved > 0, least_kwh, 0.0)
    beyond = replace(
        flows,
        moved=flows.moved - held,
        most=np.where(flows.moved > 0, flows.most - held, 0.0),
        room=flows.room - [summed(flows.site, row, flows.room.shape[1]) for row in held],
    )
    repair(beyond, wanted_kwh - held.sum(axis=1))
    flows.moved[:], flows.left[:] = beyond.moved + held, beyond.left


def _started(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> bool:
    """Let cars with energy over run in one slot more, where one is short, with some of what they give else.

    Only cars that share no room; those with most energy over first. Returns whether any did.
    """
    missing = wanted_kwh - flows.moved.sum(axis=1)
    idle = ((flows.moved == 0) & (flows.most >= least_kwh) & (least_kwh > 0)).any(axis=0)
    rows = np.flatnonzero(idle & (flows.left > _SAME_KWH) & (flows.site == 0))
    if not rows.size or missing.max() < least_kwh[:, rows].min():
        return False
    rows = rows[np.argsort(-flows.left[rows], kind="stable")]
    moved, left, least, most = (
        flows.moved[:, rows],
        flows.left[rows],
        least_kwh[:, rows],
        flows.most[:, rows],
    )
    begun = False
    for slot in np.flatnonzero(missing > 0).tolist():
        beyond = np.where(moved > 0, np.maximum(0.0, moved - least), 0.0)
        own = beyond.sum(axis=0)
        can = (moved[slot] == 0) & (most[slot] >= least[slot]) & (left > _SAME_KWH)
        cars = np.flatnonzero(can & (left + own >= least[slot]))
        cars = cars[np.cumsum(least[slot, cars]) <= missing[slot]]
        from_left = np.minimum(left[cars], least[slot, cars])
        left[cars] -= from_left
        share = (least[slot, cars] - from_left) / np.maximum(own[cars], _SAME_KWH)
        moved[:, cars] -= beyond[:, cars] * share
        moved[slot, cars] = least[slot, cars]
        begun |= cars.size > 0
    flows.moved[:, rows], flows.left[rows] = moved, left
    return begun


def _in_order(flows: Flows, worn_kwh: FloatArray, slot: int, cars: IntArray) -> IntArray:
    """Return the places of some cars, the longest time-to-go first, of equals the least worn."""
    most = flows.most[slot, cars]
    to_go = np.divide(
        flows.left[cars] + flows.moved[slot, cars], most, out=np.zeros(cars.size), where=most > 0
    )
    return np.lexsort((worn_kwh[cars], -np.round(to_go, 6)))


def _raised(flows: Flows, least_kwh: FloatArray, slot: int, cars: IntArray, spare_kwh: float) -> IntArray:
    """Raise cars to their least power in their order while it is wanted; return those raised."""
    lacks = least_kwh[slot, cars] - flows.moved[slot, cars]
    beyond = flows.moved[:, cars] - least_kwh[:, cars]
    beyond[slot] = 0.0
    giver = beyond.argmax(axis=0)
    own = np.maximum(0.0, beyond[giver, np.arange(cars.size)])
    can = (flows.left[cars] + own >= lacks) & (flows.most[slot, cars] >= least_kwh[slot, cars])
    running = flows.moved[slot].copy()
    running[cars] = 0.0
    room = flows.room[slot] - summed(flows.site, running, flows.room.shape[1])
    site = flows.site[cars]
    first = np.zeros(cars.size, bool)
    first[np.unique(site, return_index=True)[1]] = True
    can &= (first & (least_kwh[slot, cars] <= room[site])) | np.isinf(room[site])
    can &= np.cumsum(np.where(can, least_kwh[slot, cars], 0.0)) <= spare_kwh + _SAME_KWH
    up: IntArray = cars[can]
    lacks = lacks[can]
    from_left = np.minimum(flows.left[up], lacks)
    flows.left[up] -= from_left
    flows.moved[giver[can], up] -= lacks - from_left
    flows.moved[slot, up] = least_kwh[slot, up]
    return up
