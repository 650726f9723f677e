"""Base plans beside FlexMeasures 1.0.1: one depot, its shared connection, the same cars, prices and aim.

Both minimise what the depot pays for its energy at half-hourly prices, within its import and export limit,
each car's battery, losses, floor, departure and target. One price both ways, as FlexMeasures bills the
depot's net and our base plan each car: with one price these are the same. No wear, and what is left above a
target is worth nothing, so that one commitment tells FlexMeasures all. The two run in turn, in one go.

FlexMeasures is no dependency of ours: it gets an environment of its own (1.2 GB, from PyPI, once).
"""

import json
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aggregator.energy import BasePlan, CarArrays, Stay, Tariff, base_plan
from tests.bench.fleets import SLOT_HOURS
from tests.bench.measure import Row, median_ms

REQUIREMENT = "flexmeasures==1.0.1"
HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-flexmeasures"
PEER = HERE / "peers" / "flexmeasures_peer.py"
INSTALL_S, RUN_S = 900, 600
RUNS = 3
SLOTS = 48
MOST = 200
LIMIT_KW_PER_CAR = 2.5
"""A third of what the cars' chargers could draw: the limit binds in the cheap and in the dear half-hours."""
FLOOR, GUARD = 0.3, 0.02


def rows() -> Iterator[Row]:
    """Measure both, and hold the costs against each other."""
    python = _environment()
    for count in (20, 100, MOST):
        cars, stay, tariff = a_depot(count)
        size, budget = f"{count} V2G cars on one connection, {SLOTS} slots", 10.0 if count == MOST else None
        ours = median_ms("base plan", size, lambda c=cars, s=stay, t=tariff: base_plan(c, s, t, SLOT_HOURS))
        yield ours
        theirs = _their_answer(python, cars, stay, tariff)
        theirs_ms = statistics.median(theirs["seconds"]) * 1e3
        name = f"the same by FlexMeasures 1.0.1 ({theirs['status']})"
        yield Row(name, size, theirs_ms, "ms", RUNS)
        yield Row("FlexMeasures' time by ours", size, theirs_ms / ours.figure, "times", 1, budget, True)
        ours_gbp = _cost_gbp(base_plan(cars, stay, tariff, SLOT_HOURS), tariff)
        dearer = 100 * (ours_gbp - theirs["cost_gbp"]) / abs(theirs["cost_gbp"])
        costs = f"GBP {ours_gbp:.4f}, {theirs['cost_gbp']:.4f}"
        yield Row("our cost above FlexMeasures'", f"{count} V2G cars: {costs}", dearer, "%", 1, 0.1)


def a_depot(count: int, *, seed: int = 7) -> tuple[CarArrays, Stay, Tariff]:
    """Return cars at one connection that binds, and a day's prices; all can reach what they need."""
    draw = np.random.default_rng(seed)
    capacity_kwh = draw.choice([40.0, 62.0], count)
    limit_kw = np.array([LIMIT_KW_PER_CAR * count])
    cars = CarArrays(
        capacity_kwh=capacity_kwh,
        floor_kwh=FLOOR * capacity_kwh,
        charge_kw=np.full(count, 7.4),
        discharge_kw=np.full(count, 6.0),
        eta_charge=np.full(count, 0.92),
        eta_discharge=np.full(count, 0.91),
        site=np.zeros(count, np.int64),
        export_room_kw=limit_kw,
        import_room_kw=limit_kw,
    )
    stay = Stay(
        draw.integers(0, 20, count),
        draw.integers(36, 46, count),
        capacity_kwh * draw.uniform(0.35, 0.8, count),
        capacity_kwh * draw.choice([0.6, 0.8, 0.9], count),
    )
    hour = (12 + np.arange(SLOTS) * SLOT_HOURS) % 24
    evening, night = (hour >= 16) & (hour < 19), (hour >= 0.5) & (hour < 5)
    wave = 0.05 * np.sin((hour - 9) / 12 * np.pi) + draw.normal(0.0, 0.01, SLOTS)
    price = np.round(0.18 + wave + 0.16 * evening - 0.09 * night, 4)
    return cars, stay, Tariff(price, price, np.zeros(SLOTS, np.bool_), 0.0, 0.0)


def _cost_gbp(plan: BasePlan, tariff: Tariff) -> float:
    assert plan.short_of_target_kwh.max() < 1e-6, "a car misses its target: not the same problem"
    net_kw = (plan.charge_kw - plan.discharge_kw).sum(axis=0)
    return float(net_kw @ tariff.import_gbp_per_kwh) * SLOT_HOURS


def _environment() -> Path:
    """Return the Python that has FlexMeasures, made where it is not there yet."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / REQUIREMENT
    if not stamp.exists():
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", REQUIREMENT]
        if subprocess.run(pip, check=False, timeout=INSTALL_S).returncode:
            sys.exit(f"{REQUIREMENT} could not be installed in {ENVIRONMENT.name}: see pip's words above")
        stamp.touch()
    return python


def _their_answer(python: Path, cars: CarArrays, stay: Stay, tariff: Tariff) -> dict:
    problem = {
        "runs": RUNS,
        "slot_hours": SLOT_HOURS,
        "price_gbp_per_kwh": tariff.import_gbp_per_kwh.tolist(),
        "import_limit_kw": float(cars.import_room_kw[0]),
        "export_limit_kw": float(cars.export_room_kw[0]),
        "cars": [
            {
                "capacity_kwh": cars.capacity_kwh[car],
                "lowest_kwh": (FLOOR + GUARD) * cars.capacity_kwh[car],
                "charge_kw": cars.charge_kw[car],
                "discharge_kw": cars.discharge_kw[car],
                "eta_charge": cars.eta_charge[car],
                "eta_discharge": cars.eta_discharge[car],
                "arrive_slot": int(stay.arrive_slot[car]),
                "depart_slot": int(stay.depart_slot[car]),
                "energy_kwh": stay.energy_kwh[car],
                "target_kwh": stay.target_kwh[car],
            }
            for car in range(cars.count)
        ],
    }
    run = subprocess.run(
        [python, PEER], input=json.dumps(problem), capture_output=True, text=True, check=False, timeout=RUN_S
    )
    if run.returncode:
        sys.exit(f"FlexMeasures ended with {run.returncode}: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout.strip().splitlines()[-1])
