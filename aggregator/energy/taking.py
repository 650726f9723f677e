"""What batteries that slow down near full draw in the slots of a plan: full power first, then ever less.

A plan is made at even power: the average on the way from arrival to target, so that its slots last. Where a
car sells on the way and buys the top back, that is too much: it is planned for again at the power that is
taken at its target, the least on any way there, and if there is no time for that, or other cars are at its
home, without selling. Cars that together would overload their home's fuse have no even power: what one of
them takes less near full, another may have, so that their joint plan knows how each slows down (`crowded`).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aggregator.energy.alone import Scene, Trades, full_power, stored_kwh
from aggregator.energy.cars import TINY_KWH, BoolArray, CarArrays, FloatArray, IntArray
from aggregator.energy.crowded import together
from aggregator.energy.rooms import over_room

SAME_KWH = 1e-6


def as_taken(scene: Scene, planned: Callable[[Scene], Trades]) -> Trades:
    """Return what cars draw and give, charging as their batteries allow.

    Args:
        scene: Of cars some of which slow down.
        planned: The plan of a scene of cars that do not.
    """
    cars, stay = scene.cars, scene.stay
    if cars.tapers is None:
        return planned(scene)
    target_kwh = np.minimum(stay.target_kwh, cars.capacity_kwh)
    even = replace(scene, cars=cars.on_the_way(stay.energy_kwh, target_kwh))
    crowded = _crowded(scene)
    trades = planned(even) if not crowded.any() else _both(scene, even, crowded, planned)
    highest_kwh = np.maximum(stored_kwh(even, trades).max(axis=1), target_kwh)
    high = highest_kwh > cars.tapers.from_kwh + TINY_KWH
    rows = np.flatnonzero(high & ~crowded & trades.drawn_kwh.any(axis=1))
    slowest = replace(scene, cars=cars.on_the_way(target_kwh - SAME_KWH, target_kwh))
    unsold = replace(even, cars=replace(even.cars, discharge_kw=np.zeros(cars.count)))
    rows = _put_taken(cars, even, rows, trades, lambda _: trades.at(rows))
    alone = (np.bincount(cars.site[stay.present], minlength=len(cars.import_room_kw)) <= 1)[cars.site]
    lone = rows[alone[rows]]  # who sells beside a neighbour would sell in the neighbour's room, too
    left = _put_taken(cars, slowest, lone, trades, planned)
    rows = np.concatenate([left, rows[~alone[rows]]])
    _put_taken(cars, unsold, rows, trades, planned)
    return trades


def _crowded(scene: Scene) -> BoolArray:
    """Return the cars whose site cannot carry all of its cars at full power, and some of which slow down."""
    cars = scene.cars
    if len(cars.import_room_kw) == cars.count or cars.tapers is None:
        return np.zeros(cars.count, dtype=np.bool_)
    over = over_room(full_power(scene).charge_kwh, cars.site, cars.import_room_kw * scene.slot_hours)
    slows = np.bincount(cars.site, cars.tapers.slope_per_kwh, len(over)) > 0.0
    return np.asarray((over & slows)[cars.site])


def _both(scene: Scene, even: Scene, crowded: BoolArray, planned: Callable[[Scene], Trades]) -> Trades:
    """Return the trades of crowded homes by their joint programme, and of all others as they are planned."""
    shape = scene.cars.count, scene.tariff.slots
    trades = Trades(np.zeros(shape), np.zeros(shape), np.zeros(shape[0]))
    some, others = np.flatnonzero(crowded), np.flatnonzero(~crowded)
    trades.put(some, together(scene.at(some)))
    if others.size:
        trades.put(others, planned(even.at(others)))
    return trades


def _put_taken(
    cars: CarArrays, way: Scene, rows: IntArray, trades: Trades, planned: Callable[[Scene], Trades]
) -> IntArray:
    """Put in what some cars' trades, as planned, come to; return those that end below what they planned."""
    if not rows.size:
        return rows
    part = way.at(rows)
    taken, missing_kwh = _taken(cars.at(rows), part, planned(part))
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
