"""The simulated fleet's constants and first state, from the fleet file."""

from collections.abc import Sequence

import numpy as np

from aggregator.model.fleet import Car
from dispatch.fleet_simulator.physics import FloatArray, Plant, State, Traits

OLDEST_REGISTER_WH = 5_000_000
"""Meters are not new: registers start anywhere below this. [Wh]"""


def plant_of(cars: Sequence[Car], traits: Traits, capacity_off: FloatArray | float = 0.0) -> Plant:
    """Return what does not change about ``cars``, in their order.

    Args:
        cars: As the registry has them.
        traits: What they have in common.
        capacity_off: How much larger their true capacities are, in parts of the registry's.
    """
    return Plant(
        capacity_kwh=np.array([car.capacity_kwh for car in cars], dtype=np.float64) * (1.0 + capacity_off),
        charge_kw=np.array([car.charger.charge_kw for car in cars], dtype=np.float64),
        discharge_kw=np.array([car.charger.discharge_kw for car in cars], dtype=np.float64),
        min_kw=np.array([car.charger.min_kw for car in cars], dtype=np.float64),
        eta_charge=np.array([car.charger.eta_charge for car in cars], dtype=np.float64),
        eta_discharge=np.array([car.charger.eta_discharge for car in cars], dtype=np.float64),
        traits=traits,
    )


def first_state(plant: Plant, seed: int) -> State:
    """Return cars at rest, half full, with old meters; a car's energy is set when it arrives."""
    size = (2, plant.capacity_kwh.size)
    drawn_wh, given_wh = np.random.default_rng(seed).integers(0, OLDEST_REGISTER_WH, size)
    return State(
        energy_kwh=plant.capacity_kwh / 2,
        power_kw=np.zeros_like(plant.capacity_kwh),
        import_wh=drawn_wh.astype(np.float64),
        export_wh=given_wh.astype(np.float64),
    )
