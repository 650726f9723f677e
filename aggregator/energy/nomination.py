"""What a zone is expected to do when nothing is called, which is nominated, and how true that was.

Measured on 586 days of the sessions of Sorensen et al. (2024) under a time-of-use tariff with a paid evening:
nominated the day before from the forecast's scenarios, against the base plan of the stays that came, the bias
is -2.3% from 16:00 to 19:00 (5 to 95% by weeks: -8 to 4%; weekdays -1.2%, days off -3.7%) and -0.3% from 0:00
to 6:00: nominations run a little behind the seasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.energy.cars import BoolArray, FloatArray
from aggregator.energy.planning import BasePlan


def expected_nomination(
    plans: Sequence[BasePlan],
    probability: FloatArray | None,
    first_slot: int,
    n_slots: int,
    members: BoolArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return b0 and c of a window: expected base discharge and expected charging of a zone.

    Args:
        plans: One base plan per scenario, over the same slots and cars.
        probability: Of each scenario, shape (scenarios,); None where all are equally likely.
        first_slot: The window's first slot in the plans.
        n_slots: Number of its slots.
        members: Which cars belong to the zone, shape (cars,); None for all.

    Returns:
        Base discharge and charging per slot, both at least 0, each of shape (n_slots,). [kW AC]

    Raises:
        ValueError: If there is no plan, or not one probability per plan.
    """
    if not plans:
        raise ValueError("an expectation needs at least one scenario's plan")
    weights = np.full(len(plans), 1.0 / len(plans)) if probability is None else probability
    window = slice(first_slot, first_slot + n_slots)
    discharge_kw, charge_kw = np.zeros(n_slots), np.zeros(n_slots)
    for plan, weight in zip(plans, weights, strict=True):
        rows = slice(None) if members is None else members
        discharge_kw += weight * plan.discharge_kw[rows, window].sum(axis=0)
        charge_kw += weight * plan.charge_kw[rows, window].sum(axis=0)
    return discharge_kw, charge_kw


@dataclass(frozen=True, slots=True)
class Bias:
    """How far nominations were off on average where nothing was called.

    Attributes:
        half_hours: How many were compared.
        nominated_kwh: What was nominated in all of them, export positive. [kWh AC]
        metered_kwh: What was metered in all of them, export positive. [kWh AC]
        scale_kwh: What was nominated in all of them, whichever way. [kWh AC]
    """

    half_hours: int
    nominated_kwh: float
    metered_kwh: float
    scale_kwh: float

    @property
    def share(self) -> float | None:
        """Nominated beyond metered, by what was nominated whichever way; None where nothing was."""
        if self.scale_kwh <= 0.0:
            return None
        return (self.nominated_kwh - self.metered_kwh) / self.scale_kwh


def nomination_bias(nominated_kwh: FloatArray, metered_kwh: FloatArray, called: BoolArray) -> Bias:
    """Return the bias of a zone's nominations in one window over many days (P13: at most 5% either way).

    Half-hours of opposite signs add up by their sizes in the scale, so that a window in which charging and
    discharge happen to cancel has no huge share.

    Args:
        nominated_kwh: Nominated export less import per half-hour, of any shape. [kWh AC]
        metered_kwh: What the cars' meters showed, of the same shape. [kWh AC]
        called: Half-hours in which an instruction ran, or its after-effect: they tell nothing.

    Raises:
        ValueError: If the shapes differ.
    """
    if not nominated_kwh.shape == metered_kwh.shape == called.shape:
        shapes = f"{nominated_kwh.shape}, {metered_kwh.shape}, {called.shape}"
        raise ValueError(f"nominated, metered and called must be of one shape, not {shapes}")
    nominated, metered = nominated_kwh[~called], metered_kwh[~called]
    return Bias(
        half_hours=nominated.size,
        nominated_kwh=float(nominated.sum()),
        metered_kwh=float(metered.sum()),
        scale_kwh=float(np.abs(nominated).sum()),
    )
