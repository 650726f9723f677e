"""What the cars do when nothing is called, slot by slot: cheapest charging, paying discharge.

The precedence is P4 > P1 > P2 > prices. A car below its floor charges at once at full power until there; a
car that cannot reach its target charges at full power in every slot; all others reach it in the cheapest
slots that are not red where that can be avoided, the later of equal ones. A car discharges only where that
earns more than buying the energy back, losses and wear included, never below what keeps its target, nor
below its floor with the guard, and levelled over neighbouring slots of one export price. A car alone on its
site gets the exact optimum of these rules; cars that overload a site's connection share it (`crowded`).
"""

from dataclasses import dataclass

import numpy as np

from aggregator.energy.alone import Scene, Trades, alone, full_power
from aggregator.energy.cars import LEAST_GUARD_SOC, CarArrays, FloatArray, Stay
from aggregator.energy.crowded import together
from aggregator.energy.rooms import over_room
from aggregator.energy.tariff import Tariff


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
        The plan; deterministic, each car's independent of those at other sites.
    """
    scene = Scene(cars, stay, tariff, slot_hours, soc_resolution)
    full = full_power(scene)
    trades = alone(scene, full)
    crowded = over_room(trades.drawn_kwh, cars.site, cars.import_room_kw * slot_hours) | over_room(
        trades.given_kwh, cars.site, cars.export_room_kw * slot_hours
    )
    if crowded.any():
        rows = np.flatnonzero(crowded[cars.site])
        shared = together(scene.at(rows), trades.at(rows))
        for name in Trades.__slots__:
            getattr(trades, name)[rows] = getattr(shared, name)
    return _plan(cars, stay, trades, slot_hours)


def _plan(cars: CarArrays, stay: Stay, trades: Trades, slot_hours: float) -> BasePlan:
    change_kwh = trades.drawn_kwh * cars.eta_charge[:, None] - trades.given_kwh / cars.eta_discharge[:, None]
    start_kwh = stay.energy_kwh[:, None]
    return BasePlan(
        charge_kw=trades.drawn_kwh / slot_hours,
        discharge_kw=trades.given_kwh / slot_hours,
        energy_kwh=np.hstack([start_kwh, start_kwh + np.cumsum(change_kwh, axis=1)]),
        short_of_target_kwh=trades.short_kwh,
    )
