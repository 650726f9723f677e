"""Cars that leave or come unannounced: split again in every slot, against one who knew it all."""

from dataclasses import replace

import numpy as np
import pytest

from dispatch.split import Cars, Sites, SplitProblem, split

CARS, SLOTS, HOURS, EVENTS = 135, 6, 0.5, 20
NEVER = 10**6


def an_event(seed: int, unplugs: float, late: float) -> tuple[SplitProblem, np.ndarray]:
    """Return what really happens, and when each car said it would leave.

    Some unplug before they said, some come during the event.
    """
    draw = np.random.default_rng(seed)
    capacity = draw.choice([40.0, 62.0], CARS)
    stated = draw.integers(2, 30, CARS)
    gone = np.where(draw.random((CARS, SLOTS)) < unplugs, np.arange(1, SLOTS + 1), NEVER).min(axis=1)
    nothing = np.zeros(CARS)
    cars = Cars(
        ids=[f"car-{number}" for number in range(CARS)],
        site=np.arange(CARS),
        floor_kwh=0.3 * capacity,
        max_kwh=capacity,
        energy_kwh=capacity * draw.uniform(0.3, 0.95, CARS),
        charge_kw=np.full(CARS, 7.4),
        discharge_kw=draw.choice([3.6, 7.4], CARS),
        depart_slot=np.minimum(stated, gone),
        target_kwh=nothing,
        arrive_slot=np.where(draw.random(CARS) < late, draw.integers(1, SLOTS, CARS), 0),
        min_kw=nothing,
        guard_kwh=nothing,
        worn_kwh=nothing,
    )
    request_kw = CARS * draw.uniform(1.0, 1.6) * draw.uniform(1.5, 4.0, SLOTS)
    sites = Sites([f"home-{number}" for number in range(CARS)], np.full(CARS, 9.0), np.full(CARS, 18.4))
    wanted = tuple(request_kw.tolist())
    return SplitProblem("event", (HOURS,) * SLOTS, 0.92, 0.92, cars, sites, wanted), stated


def delivered_slot_by_slot(event: SplitProblem, stated: np.ndarray) -> float:
    """Return what those deliver who see only who is plugged in now, and when it said it would leave."""
    cars, energy, total = event.cars, event.cars.energy_kwh.copy(), 0.0
    for slot in range(SLOTS):
        here = (cars.arrive_slot <= slot) & (slot < cars.depart_slot)
        seen = replace(
            cars,
            energy_kwh=energy,
            arrive_slot=np.where(here, 0, NEVER),
            depart_slot=np.where(here, np.maximum(1, stated - slot), NEVER),
        )
        left = {"slot_hours": (HOURS,) * (SLOTS - slot), "request_kw": event.request_kw[slot:]}
        export_kwh = split(replace(event, cars=seen, **left)).export_kw[:, 0] * HOURS
        energy -= export_kwh / event.eta_discharge
        total += min(event.request_kw[slot] * HOURS, export_kwh.sum())
    assert (energy >= cars.floor_kwh - 1e-9).all()
    return total


@pytest.mark.parametrize(
    ("unplugs", "late", "mean", "worst"),
    [(0.0, 0.0, 0.9999, 0.999), (0.03, 0.0, 0.986, 0.95), (0.0, 0.2, 0.999, 0.99), (0.03, 0.2, 0.99, 0.97)],
)
def test_what_surprises_cost(unplugs, late, mean, worst):
    shares = []
    for seed in range(EVENTS):
        event, stated = an_event(seed, unplugs, late)
        shares.append(delivered_slot_by_slot(event, stated) / split(event).delivered_kwh)
    assert np.mean(shares) >= mean
    assert np.min(shares) >= worst
    assert np.max(shares) <= 1 + 1e-9
