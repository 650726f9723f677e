"""What a zone is expected to do when nothing is called: the figures that are nominated."""

from collections.abc import Sequence

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
