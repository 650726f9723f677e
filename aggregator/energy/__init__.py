"""A car's energy arithmetic: floor, least energy, exportable energy, base plan, what a fleet can deliver.

Pure NumPy; no clock, no input or output. Powers are AC magnitudes, energies stored ones unless named AC.
"""

from aggregator.energy.capability import capability_kwh, turn_down_kwh
from aggregator.energy.cars import (
    BoolArray,
    CarArrays,
    FloatArray,
    IntArray,
    Stay,
    emin_kwh,
    exportable_kwh,
    guard_kwh,
    need_kwh,
)
from aggregator.energy.nomination import Bias, expected_nomination, nomination_bias
from aggregator.energy.planning import BasePlan, base_plan
from aggregator.energy.reach import ClassReach, Reach, TableReach, reach
from aggregator.energy.taper import Tapers
from aggregator.energy.tariff import Tariff
from aggregator.energy.window import FleetWindow, fleet_window

__all__ = [
    "BasePlan",
    "Bias",
    "BoolArray",
    "CarArrays",
    "ClassReach",
    "FleetWindow",
    "FloatArray",
    "IntArray",
    "Reach",
    "Stay",
    "TableReach",
    "Tapers",
    "Tariff",
    "base_plan",
    "capability_kwh",
    "emin_kwh",
    "expected_nomination",
    "exportable_kwh",
    "fleet_window",
    "guard_kwh",
    "need_kwh",
    "nomination_bias",
    "reach",
    "turn_down_kwh",
]
