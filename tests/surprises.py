"""Events with cars that leave or come unannounced, split again in every slot."""

from dataclasses import replace

import numpy as np

from dispatch.split import Cars, Sites, SplitProblem, split

CARS, SLOTS, HOURS = 135, 6, 0.5
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


def share_of_the_best(seed: int, unplugs: float, late: float) -> float:
    """Return what is delivered of what one could who knew it all."""
    event, stated = an_event(seed, unplugs, late)
    return delivered_slot_by_slot(event, stated) / split(event).delivered_kwh
