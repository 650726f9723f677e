"""What batteries that slow down near full draw in the slots of a plan: full power first, then ever less.

A plan is made at even power: the average on the way from arrival to target, so that its slots last. Where a
car sells on the way and buys the top back, that is too much: it is planned for again at the power that is
taken at its target, the least on any way there, and if there is no time for that, or other cars are at its
home, without selling.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aggregator.energy.alone import Scene, Trades, stored_kwh
from aggregator.energy.cars import TINY_KWH, CarArrays, FloatArray, IntArray

SAME_KWH = 1e-6


def as_taken(scene: Scene, planned: Callable[[Scene], Trades]) -> Trades:
    """Return what cars draw and give, charging as their batteries allow.

    Cars that together would overload their site's connection at full power keep to even power.

    Args:
        scene: Of cars some of which slow down.
        planned: The plan of a scene of cars that do not.
    """
    cars, stay = scene.cars, scene.stay
    if cars.tapers is None:
        return planned(scene)
    target_kwh = np.minimum(stay.target_kwh, cars.capacity_kwh)
    even = replace(scene, cars=cars.on_the_way(stay.energy_kwh, target_kwh))
    trades = planned(even)
    full_kw = np.where(stay.present, np.minimum(cars.charge_kw, cars.import_room_kw[cars.site]), 0.0)
    asked_kw = np.bincount(cars.site, full_kw, len(cars.import_room_kw))
    crowded = (asked_kw > cars.import_room_kw + TINY_KWH)[cars.site]
    highest_kwh = np.maximum(stored_kwh(even, trades).max(axis=1), target_kwh)
    high = highest_kwh > cars.tapers.from_kwh + TINY_KWH
    rows = np.flatnonzero(high & ~crowded & trades.drawn_kwh.any(axis=1))
    slowest = replace(scene, cars=cars.on_the_way(target_kwh - SAME_KWH, target_kwh))
    unsold = replace(even, cars=replace(even.cars, discharge_kw=np.zeros(cars.count)))
    rows = _put_taken(cars, even, rows, trades, trades.at(rows))
    alone = (np.bincount(cars.site[stay.present], minlength=len(asked_kw)) <= 1)[cars.site]
    lone = rows[alone[rows]]  # who sells beside a neighbour would sell in the neighbour's room, too
    left = _put_taken(cars, slowest, lone, trades, planned(slowest.at(lone)))
    rows = np.concatenate([left, rows[~alone[rows]]])
    _put_taken(cars, unsold, rows, trades, planned(unsold.at(rows)))
    return trades


def _put_taken(cars: CarArrays, way: Scene, rows: IntArray, trades: Trades, own: Trades) -> IntArray:
    """Put in what some cars' own trades come to; return those that end below what they planned."""
    taken, missing_kwh = _taken(cars.at(rows), way.at(rows), own)
    trades.put(rows, taken)
    return rows[missing_kwh > SAME_KWH]


def _taken(cars: CarArrays, even: Scene, trades: Trades) -> tuple[Trades, FloatArray]:
    """Return trades as they happen: each slot's charging takes as long as planned, at all the power there is.

    Returns:
        The trades, and by how much each car ends below what was planned, shape (cars,). [kWh]
    """
    tapers, path_kwh = cars.tapers, stored_kwh(even, trades)
    if tapers is None:
        return trades, np.zeros(cars.count)
    late = trades.short_kwh > TINY_KWH
    even_kwh = np.minimum(even.cars.charge_kw, cars.import_room_kw[cars.site]) * even.slot_hours
    full_kwh = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site]) * even.slot_hours
    effort_kwh = (cars.eta_charge * full_kwh / np.maximum(even_kwh, TINY_KWH))[:, None] * trades.drawn_kwh
    wanted_kwh = np.maximum.accumulate(path_kwh[:, :0:-1], axis=1)[:, ::-1]
    wanted_kwh = np.where(late[:, None], even.stay.target_kwh[:, None], wanted_kwh)
    drawn_kwh, given_kwh = np.zeros_like(trades.drawn_kwh), np.zeros_like(trades.given_kwh)
    energy_kwh = even.stay.energy_kwh
    for slot in range(trades.drawn_kwh.shape[1]):
        least_kwh = path_kwh[:, slot] - trades.given_kwh[:, slot] / cars.eta_discharge
        left_kwh = np.maximum(
            energy_kwh - trades.given_kwh[:, slot] / cars.eta_discharge, np.minimum(energy_kwh, least_kwh)
        )
        reached_kwh = tapers.energy_kwh(tapers.effort_kwh(left_kwh) + effort_kwh[:, slot])
        charged_kwh = np.minimum(reached_kwh, np.maximum(left_kwh, wanted_kwh[:, slot]))
        given_kwh[:, slot] = (energy_kwh - left_kwh) * cars.eta_discharge
        drawn_kwh[:, slot] = (charged_kwh - left_kwh) / cars.eta_charge
        energy_kwh = charged_kwh
    below_kwh = np.maximum(0.0, path_kwh[:, -1] - energy_kwh)
    short_kwh = np.where(late, np.maximum(0.0, trades.short_kwh + path_kwh[:, -1] - energy_kwh), 0.0)
    return Trades(drawn_kwh, given_kwh, short_kwh), np.where(late, 0.0, below_kwh)
