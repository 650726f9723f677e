"""What a fleet can do in a window: its tables from the cars, and the questions a bid asks of them."""

import tracemalloc
from collections.abc import Iterator

import numpy as np

from aggregator.energy import BasePlan, CarArrays, FleetWindow, Reach, Stay, fleet_window, reach
from tests.bench.fleets import SLOT_HOURS, some_cars, some_stays
from tests.bench.measure import Row, median_ms

FROM_16 = 8
"""On a horizon from noon."""
LONG = 48
SLOTS = (8, 12, 24, 48)
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MOST_MS = {10_000: 10.0, 1_000_000: 1500.0}
"""Of a window of 8 slots."""
MANY = 30
MIB = 2**20


def idle_plan(cars: CarArrays, stay: Stay) -> BasePlan:
    """Return a plan in which no car moves: what a plan costs is measured elsewhere."""
    nothing = np.broadcast_to(np.zeros(1), (cars.count, 2 * LONG))
    energy_kwh = np.broadcast_to(stay.energy_kwh[:, None], (cars.count, 2 * LONG + 1))
    return BasePlan(nothing, nothing, energy_kwh, np.zeros(cars.count))


class Zone:
    """Cars of one zone in some scenarios."""

    def __init__(self, count: int, scenarios: int = 1, *, per_site: int = 1) -> None:
        self.cars = some_cars(count, per_site=per_site)
        self.stays = [some_stays(self.cars, LONG, seed=seed) for seed in range(scenarios)]
        self.plans = [idle_plan(self.cars, stay) for stay in self.stays]

    def windows(self, slots: int) -> list[FleetWindow]:
        """Return the window of ``slots`` half-hours from 16:00 on."""
        return [
            fleet_window(self.cars, stay, plan, FROM_16, slots, SLOT_HOURS)
            for stay, plan in zip(self.stays, self.plans, strict=True)
        ]

    def reach(self, slots: int) -> Reach:
        """Return what the fleet can do for more export."""
        return reach(self.windows(slots), SLOT_HOURS, up=True)


def rows() -> Iterator[Row]:
    """Measure windows from their cars, and what a bid asks of them."""
    for count in SIZES:
        zone = Zone(count)
        for slots in SLOTS:
            size = f"{count:,} cars, 1 scenario, {slots} slots"
            budget_ms = MOST_MS.get(count) if slots == SLOTS[0] else None
            yield median_ms("window and its table", size, lambda z=zone, n=slots: z.reach(n), budget_ms)
        yield Row("window and its table, peak memory", size, _peak_mib(zone, LONG), "MiB", 1)
    for slots in SLOTS:
        zone = Zone(10_000, per_site=2)
        size = f"10,000 cars on 5,000 sites that bind, 1 scenario, {slots} slots"
        yield median_ms("window and its table", size, lambda z=zone, n=slots: z.reach(n))
    for slots in (12, 13, 24, 48):
        yield from _questions(slots)


def _questions(slots: int) -> Iterator[Row]:
    """Ask for profiles on the edge of what can be done: random ones, then a flat one."""
    fleet = Zone(1_000, MANY).reach(slots)
    draw = np.random.default_rng(slots)
    size = f"1,000 cars, {MANY} scenarios, {slots} slots"
    most_kwh = fleet.energy_kwh(np.ones((1, slots), dtype=bool)).mean() / slots
    uneven_kwh = np.abs(most_kwh) * draw.uniform(0.0, 2.0, (MANY, slots))
    flat_kwh = np.full((MANY, slots), 0.9 * np.abs(most_kwh))
    yield median_ms("tightest set, uneven profiles", size, lambda: fleet.tightest(uneven_kwh))
    yield median_ms("tightest set, flat profiles", size, lambda: fleet.tightest(flat_kwh))


def _peak_mib(zone: Zone, slots: int) -> float:
    tracemalloc.start()
    zone.reach(slots)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB
