"""What the cars do when nothing is called, slot by slot: cheapest charging, paying discharge.

The precedence is P4 > P1 > P2 > prices. A car below its floor charges at once at full power until there; a
car that cannot reach its target charges at full power in every slot; all others reach it in the cheapest
slots that are not red where that can be avoided, the later of equal ones. A car discharges only where that
earns more than buying the energy back, losses and wear included, never below what keeps its target, nor
below its floor with the guard, and levelled over neighbouring slots of one export price. A car alone on its
site gets the exact optimum of these rules; cars that overload a site's connection get their joint one
(`crowded`).
Charging that slows down near full is in it (`taking`).
"""

from dataclasses import dataclass

import numpy as np

from aggregator.energy.alone import Scene, Trades, alone, full_power, stored_kwh
from aggregator.energy.cars import LEAST_GUARD_SOC, CarArrays, FloatArray, IntArray, Stay
from aggregator.energy.crowded import together, whole_sites
from aggregator.energy.rooms import over_room
from aggregator.energy.taking import as_taken
from aggregator.energy.tariff import Tariff

CHUNK = 4096
"""Cars planned at a time: what is worked on stays in the processor's cache, and memory is the plan's own."""


@dataclass(frozen=True, slots=True, eq=False)
class BasePlan:
    """The plan of each car.

    Attributes:
        charge_kw: Average drawn in each slot, shape (cars, slots). [kW AC]
        discharge_kw: Average given in each slot, shape (cars, slots). [kW AC]
        energy_kwh: Stored at each slot boundary; before arrival and after departure as at that moment;
            shape (cars, slots + 1). [kWh]
        short_of_target_kwh: What is missing when the target is due, shape (cars,). [kWh]
    """

    charge_kw: FloatArray
    discharge_kw: FloatArray
    energy_kwh: FloatArray
    short_of_target_kwh: FloatArray


def base_plan(
    cars: CarArrays,
    stay: Stay,
    tariff: Tariff,
    slot_hours: float,
    soc_resolution: float = LEAST_GUARD_SOC,
) -> BasePlan:
    """Return what each car does when nothing is called.

    Args:
        cars: The cars.
        stay: When they are plugged in, with how much, and what they need.
        tariff: Prices per slot; its length is the horizon.
        slot_hours: Length of a slot. [h]
        soc_resolution: Step of the reported state of charge, for the guard above the floor, as a fraction.

    Returns:
        The plan; the same for the same cars, and each site's independent of the others (of equal cars on a
        crowded site either may go first).
    """
    scene = Scene(cars, stay, tariff, slot_hours, soc_resolution)
    shape = cars.count, tariff.slots
    plan = BasePlan(
        np.empty(shape), np.empty(shape), np.empty((cars.count, tariff.slots + 1)), np.empty(cars.count)
    )
    for rows in whole_sites(cars.site, CHUNK):
        part = scene.at(rows)
        _put(plan, rows, part, as_taken(part, _planned))
    return plan


def _planned(scene: Scene) -> Trades:
    """Return what the cars of some whole sites do, at even power."""
    cars, hours = scene.cars, scene.slot_hours
    trades = alone(scene, full_power(scene))
    crowded = over_room(trades.drawn_kwh, cars.site, cars.import_room_kw * hours) | over_room(
        trades.given_kwh, cars.site, cars.export_room_kw * hours
    )
    if crowded.any():
        some = np.flatnonzero(crowded[cars.site])
        trades.put(some, together(scene.at(some)))
    return trades


def _put(plan: BasePlan, rows: IntArray, scene: Scene, trades: Trades) -> None:
    """Put the plan of some cars into that of all."""
    plan.charge_kw[rows] = trades.drawn_kwh / scene.slot_hours
    plan.discharge_kw[rows] = trades.given_kwh / scene.slot_hours
    plan.energy_kwh[rows] = stored_kwh(scene, trades)
    plan.short_of_target_kwh[rows] = trades.short_kwh
