"""Chargers that hold nothing or a least power: who stops for others, who gives way, what is decided anew.

A car that runs at little more than its least in slots that others could serve as well stops there, where it
can give more in slots that lack some.
Which of a home's cars runs in which slot is a matter of those few cars once the rest of the fleet stands, and
a program as small as that finds the best in milliseconds. Homes that could give the most beside what they do
come first, as long as those that are left could together give anything to speak of.
Where such homes could give more only in slots that are served already, others of the fleet first give way
there, and serve more in slots that lack some.
"""

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, first_of_each, summed
from dispatch.split_flows import Flows
from dispatch.split_lp import Rooms, best_flows
from dispatch.split_units import Units

_SAME_KWH = 1e-9
_WORTH = 1e-4
"""A share of what is moved that is worth programs; of what a slot wants, that energy goes there."""
_MOST_HOMES, _MOST_NODES = 300, 50
"""Decided in a split, and nodes of the search for each: some two seconds."""


def stop(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Let cars stop in slots that others can serve too, where they run beside in slots that lack some.

    They can then give more there of what they have; what they leave is for the others.
    """
    missing = wanted_kwh - flows.moved.sum(axis=1)
    short = np.flatnonzero(missing > _WORTH * wanted_kwh)
    more = np.zeros(flows.left.size)
    for slot in short.tolist():
        spare = flows.room[slot] - summed(flows.site, flows.moved[slot], flows.room.shape[1])
        runs = np.where(flows.moved[slot] > 0, flows.most[slot] - flows.moved[slot], 0.0)
        more += np.minimum(runs, np.where(flows.site > 0, spare[flows.site], np.inf))
    lacks, others = float(missing[short].sum()), float(flows.left.sum())
    for slot in np.setdiff1d(np.arange(missing.size), short)[::-1].tolist():
        moved = flows.moved[slot]
        gain = np.where(least_kwh[slot] > 0, np.minimum(moved, more - flows.left), 0.0)
        cars = np.flatnonzero(gain > _SAME_KWH)
        cars = cars[np.argsort(moved[cars] - gain[cars], kind="stable")]
        cars = cars[first_of_each(flows.site[cars])]
        enough = np.cumsum(moved[cars]) <= min(others, flows.through(slot, slot))
        cars = cars[enough & (np.cumsum(gain[cars]) <= lacks)]
        others -= float(moved[cars].sum())
        lacks -= float(gain[cars].sum())
        more[cars] -= gain[cars]
        flows.left[cars] += moved[cars]
        moved[cars] = 0.0
    flows.forget()


def move_on(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Let cars run in slots that lack some instead of slots that others can serve too, one of a home."""
    missing = wanted_kwh - flows.moved.sum(axis=1)
    is_short = missing > _WORTH * wanted_kwh
    others = float(flows.left.sum())
    for slot in np.flatnonzero(is_short).tolist():
        for served in np.flatnonzero(~is_short)[::-1].tolist():
            moved, before = flows.moved[slot], flows.moved[served]
            free = flows.room[slot] - summed(flows.site, moved, flows.room.shape[1])
            kwh = np.minimum(np.minimum(flows.most[slot], before + flows.left), free[flows.site])
            can = (moved == 0) & (before > 0) & (least_kwh[slot] > 0) & (kwh >= least_kwh[slot])
            cars = np.flatnonzero(can)
            cars = cars[np.argsort(before[cars] - kwh[cars], kind="stable")]
            cars = cars[first_of_each(flows.site[cars])]
            enough = np.cumsum(before[cars]) <= min(others, flows.through(served, served))
            cars = cars[enough & (np.cumsum(kwh[cars]) <= missing[slot])]
            others -= float(before[cars].sum())
            missing[slot] -= float(kwh[cars].sum())
            flows.left[cars] += before[cars] - kwh[cars]
            before[cars], moved[cars] = 0.0, kwh[cars]
            flows.forget()


def give_way(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray) -> None:
    """Move what others serve beyond their least out of slots where homes with energy left could serve it."""
    could = _could_kwh(flows, least_kwh)
    waits = could[flows.site] > 0
    missing = wanted_kwh - flows.moved.sum(axis=1)
    worth = _WORTH * wanted_kwh
    with flows.beyond(least_kwh) as beyond:
        for slot in np.flatnonzero(missing <= worth).tolist():
            more = np.where(waits, np.minimum(flows.left, flows.most[slot] - flows.moved[slot]), 0.0)
            asked = float(np.minimum(summed(flows.site, more, could.size), could).sum())
            for other in np.argsort(-missing, kind="stable").tolist():
                kwh = min(asked, missing[other], beyond.through(slot, other))
                if other != slot and kwh > _SAME_KWH and missing[other] > worth[other]:
                    beyond.push(slot, other, kwh)
                    missing[other] -= kwh
                    missing[slot] += kwh
                    asked -= kwh


def decide_anew(flows: Flows, least_kwh: FloatArray, wanted_kwh: FloatArray, decided: set[int]) -> None:
    """Let homes with least powers serve more, one after the other.

    Args:
        flows: What cars move, changed in place; nobody between nothing and the least.
        least_kwh: Shape (slots, cars), 0 where any power can be held.
        wanted_kwh: Of each slot.
        decided: Rooms' rows of homes that were; added to.
    """
    could = _could_kwh(flows, least_kwh)
    could[list(decided)] = 0.0
    homes = np.argsort(-could, kind="stable")
    worth = _WORTH * float(flows.moved.sum())
    rest = np.cumsum(could[homes][::-1])[::-1]
    by_home = np.argsort(flows.site, kind="stable")
    first = np.searchsorted(flows.site[by_home], np.arange(could.size + 1))
    missing = wanted_kwh - flows.moved.sum(axis=1)
    for home in homes[rest > worth][: _MOST_HOMES - len(decided)].tolist():
        if np.maximum(0.0, missing).sum() <= worth:
            break
        cars = by_home[first[home] : first[home + 1]]
        decided.add(home)
        before = flows.moved[:, cars]
        best = _best(flows, least_kwh, home, cars, missing + before.sum(axis=1))
        if best.sum() > before.sum() + _SAME_KWH:
            flows.left[cars] = np.maximum(0.0, flows.left[cars] + before.sum(axis=0) - best.sum(axis=0))
            flows.moved[:, cars] = best
            missing += before.sum(axis=1) - best.sum(axis=1)


def _could_kwh(flows: Flows, least_kwh: FloatArray) -> FloatArray:
    """Return what homes with least powers could give more if they could hold any, shape (sites,).

    0 for all others, and where there is no room in common.
    """
    sites, moved = flows.room.shape[1], flows.moved.sum(axis=0)
    own = np.minimum(flows.left, flows.most.sum(axis=0) - moved)
    spare = flows.room.sum(axis=0) - summed(flows.site, moved, sites)
    could = np.minimum(summed(flows.site, np.maximum(0.0, own), sites), spare)
    has_least = np.asarray((least_kwh > 0).any(axis=0))
    steps = summed(flows.site, has_least, sites) > 0
    steps[0] = False
    return np.where(steps & (could > _SAME_KWH), could, 0.0)


def _best(
    flows: Flows, least_kwh: FloatArray, home: int, cars: IntArray, wanted_kwh: FloatArray
) -> FloatArray:
    """Return what a home's cars move at best, shape (slots, cars)."""
    room = flows.room[:, home]
    high = np.minimum(flows.most[:, cars], room[:, None]).T
    least = least_kwh[:, cars].T
    high = np.where(high < least, 0.0, high)
    none = np.zeros(cars.size)
    units = Units(
        sign=none + 1.0,
        site=np.zeros(cars.size, np.intp),
        low_kwh=np.zeros_like(high),
        high_kwh=high,
        least_kwh=np.where(high > 0, least, 0.0),
        total_low_kwh=none,
        total_high_kwh=flows.left[cars] + flows.moved[:, cars].sum(axis=0),
    )
    rooms = Rooms(np.full((1, room.size), np.inf), room[None, :], np.zeros(1, bool))
    return best_flows(units, rooms, np.maximum(0.0, wanted_kwh), up=True, most_nodes=_MOST_NODES).T
