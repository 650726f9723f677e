"""Synthetic cars, the same for the same seed: evening arrivals, morning departures."""

from datetime import UTC, datetime, time, timedelta

import numpy as np

from aggregator.energy import CarArrays, Stay, Tariff
from aggregator.forecast import History, Session
from aggregator.model.fleet import Car, Charger, ExportSource, Intent, Site
from aggregator.model.time import Interval
from dispatch.split import Cars, Sites, SplitProblem

SLOT_HOURS = 0.5


def some_cars(count: int, *, per_site: int = 1, seed: int = 0) -> CarArrays:
    """Return cars; where several share a site its rooms bind."""
    draw = np.random.default_rng(seed)
    capacity_kwh = draw.choice([40.0, 62.0], count)
    sites = -(-count // per_site)
    alone = per_site == 1
    return CarArrays(
        capacity_kwh=capacity_kwh,
        floor_kwh=0.3 * capacity_kwh,
        charge_kw=np.full(count, 7.4),
        discharge_kw=np.full(count, 6.0),
        eta_charge=np.full(count, 0.92),
        eta_discharge=np.full(count, 0.91),
        site=np.arange(count) // per_site,
        export_room_kw=np.full(sites, 7.36 if alone else 3.68 * per_site),
        import_room_kw=np.full(sites, 18.4 if alone else 5.0 * per_site),
    )


def some_stays(cars: CarArrays, slots: int, *, seed: int = 1) -> Stay:
    """Return one stay a car, on a horizon from noon: two thirds come home, some below their floor."""
    draw = np.random.default_rng(seed)
    day = min(slots, 48)
    arrive = draw.integers(0, day * 5 // 12, cars.count)
    depart = draw.integers(day * 3 // 4, day, cars.count)
    come = draw.random(cars.count) < 2 / 3
    return Stay(
        arrive,
        np.where(come, depart, arrive),
        cars.capacity_kwh * draw.uniform(0.25, 0.9, cars.count),
        cars.capacity_kwh * draw.choice([0.6, 0.8, 0.9], cars.count),
    )


def some_homes(count: int) -> list[Car]:
    """Return cars as a fleet file has them, each at its own home."""
    habit, approval = Intent(time(7, 30), 0.9), ExportSource.G98
    return [
        Car(
            f"car-{n}",
            40.0,
            0.3,
            habit,
            Charger(f"charger-{n}", 7.4, 7.4, 0.93, 0.93),
            Site(f"home-{n}", "zone", 3.68, approval, 18.4),
        )
        for n in range(count)
    ]


def some_history(count: int, *, days: int = 60, seed: int = 3) -> History:
    """Return two months of evenings, of which a car is plugged in on three of five."""
    draw = np.random.default_rng(seed)
    begin = datetime(2024, 10, 20, tzinfo=UTC)
    came = draw.random((count, days)) < 0.6
    arrive = draw.integers(15 * 60, 21 * 60, (count, days))
    length = draw.integers(60, 15 * 60, (count, days))
    return History.of(
        Session(
            f"car-{car}",
            Interval(
                start := begin + timedelta(days=int(day), minutes=int(arrive[car, day])),
                start + timedelta(minutes=int(length[car, day])),
            ),
            8.0,
            0.5,
        )
        for car, day in zip(*np.nonzero(came), strict=True)
    )


def some_prices(slots: int) -> Tariff:
    """Return a day with a cheap night and a red evening, from noon on."""
    hour = (12 + np.arange(slots) * SLOT_HOURS) % 24
    red = (hour >= 16) & (hour < 19)
    cheap = (hour >= 0.5) & (hour < 4.5)
    return Tariff(
        import_gbp_per_kwh=np.where(cheap, 0.09, np.where(red, 0.36, 0.25)),
        export_gbp_per_kwh=np.where(red, 0.28, 0.12),
        red=red,
        wear_gbp_per_kwh=0.02,
    )


def a_split(
    count: int,
    *,
    slots: int = 6,
    per_site: int = 1,
    must_charge: bool = False,
    loads: bool = False,
    leave: bool = False,
) -> SplitProblem:
    """Return a request that two thirds of the fleet's power could meet, all cars plugged now.

    Args:
        count: Number of cars.
        slots: Number of slots.
        per_site: Cars of a home; where several share one its room binds.
        must_charge: Whether some cars must charge, some of them up to their floor.
        loads: Whether house loads change what each home may export.
        leave: Whether cars that leave in the event can give energy, too.
    """
    draw = np.random.default_rng(2)
    soc = draw.uniform(0.2 if must_charge else 0.32, 0.95, count)
    depart = draw.integers(slots // 2, slots + 20, count)
    target = np.where((depart <= slots) & (not must_charge), np.minimum(soc, 0.35) if leave else soc, 0.35)
    homes, nothing = -(-count // per_site), np.zeros(count)
    cars = Cars(
        ids=[f"car-{number}" for number in range(count)],
        site=np.arange(count) // per_site,
        floor_kwh=np.full(count, 18.6),
        max_kwh=np.full(count, 62.0),
        energy_kwh=62.0 * soc,
        charge_kw=np.full(count, 7.4),
        discharge_kw=np.full(count, 6.0),
        depart_slot=depart,
        target_kwh=62.0 * target,
        arrive_slot=np.zeros(count, np.intp),
        min_kw=nothing,
        guard_kwh=nothing,
        worn_kwh=nothing,
    )
    room_kw = 3.68 if loads else 7.36 if per_site == 1 else 3.0 * per_site
    sites = Sites(
        names=[f"home-{number}" for number in range(homes)],
        export_limit_kw=np.full(homes, room_kw),
        import_limit_kw=np.full(homes, 18.4),
        base_load_kw=draw.uniform(0.2, 3.0, (homes, slots)) if loads else None,
    )
    request_kw = tuple((count * np.linspace(2.0, 4.0, slots)).tolist())
    return SplitProblem("bench", (SLOT_HOURS,) * slots, 0.92, 0.91, cars, sites, request_kw)
