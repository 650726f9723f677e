"""Synthetic cars, the same for the same seed: evening arrivals, morning departures."""

from datetime import UTC, datetime, time, timedelta

import numpy as np

from aggregator.energy import CarArrays, Stay, Tariff
from aggregator.forecast import History, Session
from aggregator.model.fleet import Car, Charger, ExportSource, Intent, Site
from aggregator.model.time import Interval
from dispatch.split import SplitCar, SplitProblem, SplitSite

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
    count: int, *, slots: int = 6, per_site: int = 1, must_charge: bool = False, seed: int = 2
) -> SplitProblem:
    """Return a request that two thirds of the fleet's power could meet, all cars plugged now."""
    draw = np.random.default_rng(seed)
    lowest = 0.2 if must_charge else 0.32
    soc = draw.uniform(lowest, 0.95, count).tolist()
    depart = draw.integers(slots // 2, slots + 20, count).tolist()
    cars = tuple(
        SplitCar(
            id=f"car-{n}",
            site=f"home-{n // per_site}",
            capacity_kwh=62.0,
            floor_kwh=18.6,
            max_kwh=62.0,
            energy_kwh=62.0 * soc[n],
            charge_kw=7.4,
            discharge_kw=6.0,
            depart_slot=depart[n],
            target_kwh=62.0 * (soc[n] if depart[n] <= slots and not must_charge else 0.35),
        )
        for n in range(count)
    )
    room_kw = 7.36 if per_site == 1 else 3.0 * per_site
    return SplitProblem(
        id="bench",
        slot_hours=(SLOT_HOURS,) * slots,
        eta_charge=0.92,
        eta_discharge=0.91,
        cars=cars,
        sites={name: SplitSite(room_kw, 18.4) for name in dict.fromkeys(car.site for car in cars)},
        request_kw=tuple((count * kw) for kw in np.linspace(2.0, 4.0, slots).tolist()),
    )
