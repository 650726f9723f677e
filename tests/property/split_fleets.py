"""Random large fleets as columns, and a second opinion on what set-points must never do."""

from typing import Any

import numpy as np

from dispatch.split import Cars, Direction, Sites, SplitProblem

KINDS = (
    "",
    "must",
    "arrive",
    "must arrive",
    "homes",
    "homes load",
    "must homes load",
    "must arrive homes load",
    "share",
    "must arrive share load",
    "least",
    "must arrive least homes",
    "must share load least",
    "down",
    "must down",
    "must arrive down share load",
    "short-first",
    "must arrive short-first",
    "uneven",
    "must arrive down uneven",
    "must arrive load sunny",
)
"""What a fleet may have: must-charge cars, arrivals, limits that bind, house loads, cars that share a home,
least powers, a request for import, a first slot that has begun, slots of any length, homes that generate
above their limit."""


def a_large_fleet(seed: int, count: int, slots: int, kind: str, *, per_home: int = 2) -> SplitProblem:
    """Draw a fleet of a kind; ``per_home`` cars live in each home of one whose cars share homes."""
    draw = np.random.default_rng(seed)
    has = set(kind.split())
    capacity = draw.choice([24.0, 40.0, 62.0], count)
    soc = draw.uniform(0.2 if "must" in has else 0.32, 0.97, count)
    arrive = draw.choice([0, 0, 0, 1, 2, slots + 1], count) if "arrive" in has else np.zeros(count, np.intp)
    high = capacity * draw.choice([0.5, 0.7, 0.9], count)
    target = np.where(draw.random(count) < 0.4, high, 0.3 * capacity)
    per_home = per_home if "share" in has else 1
    homes = -(-count // per_home)
    binds = has & {"homes", "share"}
    importing = draw.choice([7.4, 10.0, 18.4], homes) if binds else np.full(homes, 25.0)
    loads = np.minimum(draw.choice([0, 0.5, 1, 3, -1, -2.0], (homes, slots)), importing[:, None])
    if "sunny" in has:
        loads[draw.random(homes) < 0.2] -= 23.0
    low, top = draw.choice([(0.2, 1.0), (0.5, 3.0), (1.0, 5.0), (3.0, 8.0)])
    way = -1 if "down" in has else 1
    hours = draw.choice([0.1, 0.25, 0.5, 1.0], slots) if "uneven" in has else np.full(slots, 0.5)
    hours[0] = 0.13 if "short-first" in has else hours[0]
    cars = Cars(
        ids=[f"car-{number}" for number in range(count)],
        site=np.arange(count) // per_home,
        floor_kwh=0.3 * capacity,
        max_kwh=capacity,
        energy_kwh=capacity * soc,
        charge_kw=draw.choice([0.0, 3.6, 7.4, 7.4, 11.0], count),
        discharge_kw=draw.choice([0.0, 3.6, 7.4, 7.4], count),
        depart_slot=arrive + draw.integers(0, slots + 12, count),
        target_kwh=target if "must" in has else np.minimum(target, capacity * soc),
        arrive_slot=arrive,
        min_kw=np.full(count, 1.4 if "least" in has else 0.0),
        guard_kwh=draw.uniform(0.0, 1.0, count),
        worn_kwh=draw.uniform(0.0, 100.0, count),
    )
    exporting = draw.choice([3.68, 7.4, 10.0, 18.4], homes) if binds else np.full(homes, 20.0)
    return SplitProblem(
        id=f"{kind or 'plain'}-{seed}",
        slot_hours=tuple(hours.tolist()),
        eta_charge=0.92,
        eta_discharge=0.91,
        cars=cars,
        sites=Sites(
            names=[f"home-{number}" for number in range(homes)],
            export_limit_kw=exporting,
            import_limit_kw=importing,
            base_load_kw=loads if "load" in has else None,
        ),
        request_kw=tuple((way * count * draw.uniform(low, top, slots)).tolist()),
        direction=Direction.DOWN if way < 0 else Direction.UP,
    )


def served_share(problem: SplitProblem, delivered_kwh: float, best_kwh: float) -> float:
    """Return what is delivered as a share of the optimum, or of some of the request if that is more."""
    asked_kwh = np.abs(problem.request_kw) @ np.asarray(problem.slot_hours)
    return 1.0 - (best_kwh - delivered_kwh) / max(best_kwh, asked_kwh / 20)


def broken_promises(
    problem: SplitProblem, export_kw: np.ndarray, *, within_request: bool = True
) -> dict[str, int]:
    """Return how many cars, or homes, break each rule in any slot; only rules that are broken."""
    cars, hours, slots = problem.cars, np.asarray(problem.slot_hours), len(problem.request_kw)
    up, small = problem.direction is Direction.UP, 1e-7
    here = (cars.arrive_slot[:, None] <= np.arange(slots)) & (np.arange(slots) < cars.depart_slot[:, None])
    gain = np.where(export_kw > 0, -export_kw / problem.eta_discharge, -export_kw * problem.eta_charge)
    stored = cars.energy_kwh[:, None] + np.cumsum(gain * hours, axis=1)
    before = np.concatenate((cars.energy_kwh[:, None], stored[:, :-1]), axis=1)
    later = np.maximum(0, cars.depart_slot - np.maximum(slots, cars.arrive_slot)) * problem.after_hours
    due = cars.target_kwh - later * problem.eta_charge * cars.charge_kw
    need = np.maximum(cars.floor_kwh, due)
    must = (cars.energy_kwh < need - 1e-9) & here.any(axis=1)
    net = np.zeros((problem.sites.count, slots))
    np.add.at(net, cars.site, export_kw)
    load = problem.sites.base_load_kw if problem.sites.base_load_kw is not None else 0.0
    boundary = net - load
    drawn = np.zeros_like(net)
    np.add.at(drawn, cars.site, np.maximum(0.0, -export_kw))
    room = np.maximum(0.0, problem.sites.import_limit_kw[:, None] - load)
    full = (export_kw <= -cars.charge_kw[:, None] + small) | (drawn >= room - small)[cars.site]
    below = here & must[:, None] & (np.maximum(before, stored) < cars.floor_kwh[:, None] - small)
    missed = must & (stored[:, -1] < need - 1e-6)
    free = ~must & here.any(axis=1)
    reserve = np.minimum(cars.energy_kwh, cars.floor_kwh + cars.guard_kwh)[:, None]
    above = np.maximum(problem.sites.export_limit_kw[:, None], -load)
    most = np.maximum(0.0, problem.request_kw) * (1 + 1e-9) + small
    charge_kw, discharge_kw, least_kw = (
        cars.charge_kw[:, None],
        cars.discharge_kw[:, None],
        cars.min_kw[:, None],
    )
    rules = {
        "moves but is not there": (export_kw != 0) & ~here,
        "above its power": (export_kw > discharge_kw + small) | (-export_kw > charge_kw + small),
        "below its least power": (export_kw > 0) & (export_kw < least_kw - small),
        "discharges": (export_kw > 0) & (must[:, None] | (not up)),
        "charges": (export_kw < 0) & ~must[:, None] & up,
        "below its floor": here & (stored < np.minimum(cars.energy_kwh, cars.floor_kwh)[:, None] - small),
        "into its guard": (export_kw > 0) & (stored < reserve - small),
        "above its maximum": here & (stored > np.maximum(cars.energy_kwh, cars.max_kwh)[:, None] + small),
        "gives what departure needs": free & (stored[:, -1] < need - small),
        "below its floor and not at full power": below & ~full,
        "misses its target and is not at full power": missed[:, None] & here & ~full,
        "exports above the limit": boundary > above + small,
        "imports above the limit": boundary < -problem.sites.import_limit_kw[:, None] - small,
        "exports beyond the request": (export_kw.sum(axis=0) > most) & up & within_request,
    }
    return {rule: int(np.count_nonzero(broken)) for rule, broken in rules.items() if np.any(broken)}


def as_file(problem: SplitProblem) -> dict[str, Any]:
    """Return a fleet without guards as a split file says it."""
    cars, sites, loads = problem.cars, problem.sites, problem.sites.base_load_kw
    figures = ("floor_kwh", "max_kwh", "energy_kwh", "charge_kw", "discharge_kw", "depart_slot")
    names = (*figures, "target_kwh", "arrive_slot", "min_kw")
    columns = {name: getattr(cars, name).tolist() for name in names}
    return {
        "id": problem.id,
        "slot_hours": problem.slot_hours[0],
        "eta_charge": problem.eta_charge,
        "eta_discharge": problem.eta_discharge,
        "cars": [
            {"id": name, "site": sites.names[cars.site[row]], "capacity_kwh": 100.0}
            | {key: values[row] for key, values in columns.items()}
            for row, name in enumerate(cars.ids)
        ],
        "sites": {
            name: {"export_limit_kw": give, "import_limit_kw": take}
            | ({} if loads is None else {"base_load_kw": loads[row].tolist()})
            for row, (name, give, take) in enumerate(
                zip(sites.names, sites.export_limit_kw.tolist(), sites.import_limit_kw.tolist(), strict=True)
            )
        },
        "event": {
            "n_slots": len(problem.request_kw),
            "request_kw": list(problem.request_kw),
            "direction": problem.direction.value,
        },
    }
