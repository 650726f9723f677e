"""The best a car can do on its own within bounds: the rules of the base plan for one car, for all at once."""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.energy.cars import (
    TINY_KWH,
    BoolArray,
    CarArrays,
    FloatArray,
    IntArray,
    Stay,
    emin_kwh,
    first_slots_kwh,
    guard_kwh,
)
from aggregator.energy.rooms import by_slot
from aggregator.energy.tariff import Tariff
from aggregator.energy.trades import Batteries, best_trades


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that a plan is made from.

    Attributes:
        cars: The cars.
        stay: Their stays.
        tariff: Prices per slot.
        slot_hours: Length of a slot. [h]
        soc_resolution: Step of the reported state of charge, as a fraction.
    """

    cars: CarArrays
    stay: Stay
    tariff: Tariff
    slot_hours: float
    soc_resolution: float

    def at(self, rows: IntArray) -> "Scene":
        """Return the scene of the cars ``rows`` only, and of their sites."""
        return replace(self, cars=self.cars.at(rows), stay=_stay_at(self.stay, rows))


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Most that each car may draw and give in each slot, both of shape (cars, slots). [kWh AC]"""

    charge_kwh: FloatArray
    discharge_kwh: FloatArray


def home_use_kwh(scene: Scene, bounds: Bounds) -> FloatArray | None:
    """Return what of each car's discharge its own house would use, (cars, slots); None for none. [kWh AC]

    The cars of a site have equal parts of its house's load.
    """
    cars = scene.cars
    if cars.house_kw is None:
        return None
    share_kw = cars.house_kw / np.maximum(np.bincount(cars.site, minlength=len(cars.house_kw)), 1)[:, None]
    return np.minimum(bounds.discharge_kwh, share_kw[cars.site] * scene.slot_hours)


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """What each car draws and gives in each slot, (cars, slots) [kWh AC]; what it lacks, (cars,) [kWh]."""

    drawn_kwh: FloatArray
    given_kwh: FloatArray
    short_kwh: FloatArray

    def at(self, rows: IntArray) -> "Trades":
        """Return those of some cars."""
        return Trades(*(getattr(self, name)[rows] for name in Trades.__slots__))

    def put(self, rows: IntArray, others: "Trades") -> None:
        """Put in those of some cars."""
        for name in Trades.__slots__:
            getattr(self, name)[rows] = getattr(others, name)


def full_power(scene: Scene) -> Bounds:
    """Return what each car may do if it is alone on its site."""
    cars = scene.cars
    plugged = scene.stay.plugged(0, scene.tariff.slots)
    charge_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    discharge_kw = np.minimum(cars.discharge_kw[:, None], by_slot(cars.export_room_kw)[cars.site])
    return Bounds(
        plugged * (charge_kw * scene.slot_hours)[:, None], plugged * (discharge_kw * scene.slot_hours)
    )


def alone(scene: Scene, bounds: Bounds) -> Trades:
    """Return the best trades of each car within its own bounds."""
    cars, stay, tariff = scene.cars, scene.stay, scene.tariff
    due_kwh, wanted_kwh = due(scene)
    reach_kwh = stay.energy_kwh + cars.eta_charge * bounds.charge_kwh.sum(axis=1)
    late = stay.present & (reach_kwh < due_kwh - TINY_KWH)
    forced_kwh = np.where(late[:, None], bounds.charge_kwh, until_floor(scene, bounds))
    start_kwh = stay.energy_kwh + cars.eta_charge * forced_kwh.sum(axis=1)
    forced = (forced_kwh > 0.0) | late[:, None]
    home_kwh = home_use_kwh(scene, bounds)
    export_kwh = bounds.discharge_kwh if home_kwh is None else bounds.discharge_kwh - home_kwh
    free = Bounds(
        bounds.charge_kwh - forced_kwh, np.where(in_one_slot(cars, tariff) | forced, 0.0, export_kwh)
    )
    batteries = Batteries(
        start_kwh=start_kwh,
        lowest_kwh=np.repeat(np.minimum(start_kwh, cars.floor_kwh)[:, None], tariff.slots + 1, axis=1),
        highest_kwh=np.maximum(start_kwh, cars.capacity_kwh),
        due_kwh=np.minimum(due_kwh, start_kwh + cars.eta_charge * free.charge_kwh.sum(axis=1)),
        wanted_kwh=wanted_kwh,
        charge_kwh=free.charge_kwh,
        discharge_kwh=free.discharge_kwh,
        home_kwh=None if home_kwh is None else np.where(forced, 0.0, home_kwh),
    )
    batteries = _above_guard(scene, batteries)
    drawn_kwh, given_kwh, used_kwh = best_trades(cars, batteries, tariff)
    given_kwh = _levelled(drawn_kwh + used_kwh, given_kwh, batteries.discharge_kwh, tariff) + used_kwh
    drawn_kwh += forced_kwh
    end_kwh = stay.energy_kwh + (
        drawn_kwh * cars.eta_charge[:, None] - given_kwh / cars.eta_discharge[:, None]
    ).sum(axis=1)
    return Trades(drawn_kwh, given_kwh, np.where(stay.present, np.maximum(0.0, due_kwh - end_kwh), 0.0))


def stored_kwh(scene: Scene, trades: Trades) -> FloatArray:
    """Return what is in each car at each slot boundary, shape (cars, slots + 1). [kWh]"""
    cars, start_kwh = scene.cars, scene.stay.energy_kwh[:, None]
    change_kwh = trades.drawn_kwh * cars.eta_charge[:, None] - trades.given_kwh / cars.eta_discharge[:, None]
    return np.hstack([start_kwh, start_kwh + np.cumsum(change_kwh, axis=1)])


def due(scene: Scene) -> tuple[FloatArray, FloatArray]:
    """Return the least energy at the end of each stay or the horizon, and what is wanted there. [kWh]"""
    cars, stay, slots = scene.cars, scene.stay, scene.tariff.slots
    target_kwh = np.minimum(stay.target_kwh, cars.capacity_kwh)
    hours_left = np.multiply(stay.depart_slot - np.minimum(stay.depart_slot, slots), scene.slot_hours)
    charge_kw = cars.shared_charge_kw(stay.present)
    none = np.zeros(cars.count)
    least_kwh = emin_kwh(none, target_kwh, charge_kw, cars.eta_charge, hours_left, cars.tapers)
    return least_kwh, target_kwh


def until_floor(scene: Scene, bounds: Bounds) -> FloatArray:
    """Return the charging that a car below its floor does first, shape (cars, slots). [kWh AC]"""
    cars, stay = scene.cars, scene.stay
    missing_kwh = np.maximum(0.0, cars.floor_kwh - stay.energy_kwh) / cars.eta_charge
    return first_slots_kwh(missing_kwh, bounds.charge_kwh)


def in_one_slot(cars: CarArrays, tariff: Tariff) -> BoolArray:
    """Return where a kWh bought in a slot could be sold in it at a profit: no reason to discharge there.

    A charger goes one way at a time and a meter nets the half-hour, so that this gain is not real.
    """
    cost = tariff.import_gbp_per_kwh / cars.eta_charge[:, None]
    worth = (tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh) * cars.eta_discharge[:, None]
    return np.asarray((worth > cost) & ~tariff.red)


def _above_guard(scene: Scene, batteries: Batteries) -> Batteries:
    """Return the batteries with the floor's guard kept free of discharge, without any charging for it.

    A car that starts below the guard may discharge only once its charging for other reasons is past it.
    """
    cars, tariff = scene.cars, scene.tariff
    guarded_kwh = cars.floor_kwh + guard_kwh(cars.capacity_kwh, scene.soc_resolution)
    lowest_kwh = np.repeat(guarded_kwh[:, None], tariff.slots + 1, axis=1)
    discharge_kwh, home_kwh = batteries.discharge_kwh.copy(), batteries.home_kwh
    low = np.flatnonzero(batteries.start_kwh < guarded_kwh)
    if low.size:
        part, part_cars = batteries.at(low), cars.at(low)
        held = replace(part, discharge_kwh=np.zeros_like(part.discharge_kwh), home_kwh=None)
        drawn_kwh, *_ = best_trades(part_cars, held, tariff)
        rise_kwh = np.cumsum(drawn_kwh * part_cars.eta_charge[:, None], axis=1)
        path_kwh = np.hstack([part.start_kwh[:, None], part.start_kwh[:, None] + rise_kwh])
        lowest_kwh[low] = np.minimum(path_kwh, guarded_kwh[low, None])
        may = path_kwh[:, :-1] >= guarded_kwh[low, None]
        discharge_kwh[low] *= may
        if home_kwh is not None:
            home_kwh = home_kwh.copy()
            home_kwh[low] *= may
    return replace(batteries, lowest_kwh=lowest_kwh, discharge_kwh=discharge_kwh, home_kwh=home_kwh)


def _levelled(
    drawn_kwh: FloatArray, given_kwh: FloatArray, bound_kwh: FloatArray, tariff: Tariff
) -> FloatArray:
    """Spread each car's discharge evenly over neighbouring slots of one export price, (cars, slots). [kWh AC]

    A run ends where the car charges or may not discharge, so that its energy only falls within one.
    """
    if not given_kwh.any():
        return given_kwh
    rows = np.flatnonzero(given_kwh.any(axis=1))
    barrier = (drawn_kwh[rows] > 0.0) | (bound_kwh[rows] <= 0.0)
    starts = np.ones_like(barrier)
    price, red = tariff.export_gbp_per_kwh, tariff.red
    starts[:, 1:] = barrier[:, 1:] | barrier[:, :-1] | (np.diff(price) != 0.0) | (red[1:] != red[:-1])
    run = (np.cumsum(starts.ravel()) - 1).astype(np.int64)
    sums = np.bincount(run, given_kwh[rows].ravel())
    least = np.full(len(sums), np.inf)
    np.minimum.at(least, run, bound_kwh[rows].ravel())
    even = sums / np.bincount(run)
    spread = np.where((even <= least + TINY_KWH)[run], even[run], given_kwh[rows].ravel())
    levelled_kwh = given_kwh.copy()
    levelled_kwh[rows] = spread.reshape(barrier.shape)
    return levelled_kwh


def _stay_at(stay: Stay, rows: IntArray) -> Stay:
    return Stay(*(getattr(stay, name)[rows] for name in Stay.__slots__))
