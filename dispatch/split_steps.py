"""Chargers that hold nothing or a least power: who of those in between gives it, and who nothing.

Slot by slot, the present one first, those with the longest time-to-go go up to their least power, from
energy to spare or from their own other slots, as far as the request goes; equals by what they gave
before, the least worn first. The rest gives nothing. What then is missing comes from cars that run anyhow.
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
    held = np.where(flows.moved > 0, least_kwh, 0.0)
    beyond = replace(
        flows,
        moved=flows.moved - held,
        most=np.where(flows.moved > 0, flows.most - held, 0.0),
        room=flows.room - [summed(flows.site, row, flows.room.shape[1]) for row in held],
    )
    repair(beyond, wanted_kwh - held.sum(axis=1))
    flows.moved[:] = beyond.moved + held


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
