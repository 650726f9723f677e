"""What a fleet can do in a window by its cars' energies alone, slot by slot, as one LP: a few hundred cars.

Nothing here comes from `FleetWindow`: losses, floor, guard, departure and site limits are written down anew.
"""

from dataclasses import dataclass, replace

import highspy
import numpy as np

from aggregator.energy import CarArrays, Stay, Tariff, base_plan
from tests.property.energy_cases import SLOT_HOURS, Case, Lp

GUARD_SOC = 0.02


def a_long_case(
    seed: int,
    *,
    most_cars: int = 200,
    least_slots: int = 13,
    most_slots: int = 48,
    sites: str = "alone",
    low: bool = True,
    late: bool = True,
) -> Case:
    """Draw a fleet over a horizon of ``least_slots`` to ``most_slots``; the number of cars is log-uniform.

    Args:
        seed: The same seed gives the same case.
        most_cars: At most this many.
        least_slots: Of the horizon.
        most_slots: Of the horizon.
        sites: ``alone``: a car a site; ``alike``: cars of a site are there for the same time; ``shared``:
            not so. Import is never short.
        low: Whether some cars arrive below their floor.
        late: Whether some cars must charge, or can't reach their target.
    """
    draw = np.random.default_rng(seed)
    count = int(np.exp(draw.uniform(0.0, np.log(most_cars + 1))))
    slots = int(draw.integers(least_slots, most_slots + 1))
    capacity = draw.choice([24.0, 40.0, 62.0, 77.3], count)
    site = np.arange(count) if sites == "alone" else draw.integers(0, -(-count // 3), count)
    cars = CarArrays(
        capacity_kwh=capacity,
        floor_kwh=capacity * draw.choice([0.3, 0.45], count),
        charge_kw=draw.choice([3.7, 7.4, 11.0], count),
        discharge_kw=draw.choice([0.0, 3.7, 6.8], count, p=[0.1, 0.3, 0.6]),
        eta_charge=draw.choice([0.9, 0.93, 1.0], count),
        eta_discharge=draw.choice([0.88, 0.93, 1.0], count),
        site=site.astype(np.int64),
        export_room_kw=draw.choice([0.0, 3.68, 5.0, 12.0], count, p=[0.1, 0.3, 0.3, 0.3]),
        import_room_kw=np.full(count, 11.0 * count),
    )
    arrive = draw.integers(0, slots, count) * draw.integers(0, 2, count)
    depart = arrive + draw.integers(0, slots + 6, count)
    if sites == "alike":
        arrive, depart = arrive[site], depart[site]
    stay = Stay(
        arrive_slot=arrive,
        depart_slot=depart,
        energy_kwh=capacity * draw.choice([0.1, 0.29, 0.31, 0.6, 0.8, 1.0] if low else [0.46, 0.8], count),
        target_kwh=capacity * draw.choice([0.2, 0.6, 0.9, 1.0] if late else [0.2, 0.45], count),
    )
    flat = np.full(slots, 0.2)
    return Case(cars, stay, Tariff(flat, 0.0 * flat, np.zeros(slots, dtype=bool)))


@dataclass(frozen=True)
class Oracle:
    """The cars of one window, by index into the case, with what they store when it begins for them."""

    case: Case
    first: int
    slots: int
    stored_kwh: np.ndarray

    @classmethod
    def of(cls, case: Case, first: int, slots: int) -> "Oracle":
        """Start from the base plan's energies at the window's first slot, or on arrival."""
        plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
        begins = np.clip(case.stay.arrive_slot, first, first + slots)
        return cls(case, first, slots, plan.energy_kwh[np.arange(case.cars.count), begins])

    def most_kwh(self, demand_kwh: np.ndarray, *, up: bool = True) -> float:
        """Return the most of a demand (slots,) that any split serves, demands below 0 included."""
        lp, net = self._program(up=up)
        served = [lp.var(-highspy.kHighsInf, float(kwh), cost=-1.0) for kwh in demand_kwh]
        for slot, var in enumerate(served):
            lp.row({var: -1.0, **net[slot]}, low=0.0)
        return self._most(lp)

    def best_gbp(self, price: np.ndarray, *, both_ways: bool = False) -> float:
        """Return the most that net export at prices (slots,) earns; with free cars charging too, or not."""
        lp, net = self._program(up=True, both_ways=both_ways)
        for slot, terms in enumerate(net):
            for var, sign in terms.items():
                lp.cost[var] -= sign * price[slot]
        return self._most(lp)

    @staticmethod
    def _most(lp: Lp) -> float:
        least = lp.minimum()
        assert least is not None
        return -least

    def _program(self, *, up: bool, both_ways: bool = False) -> tuple[Lp, list[dict[int, float]]]:
        """Return the program and, per slot, the variables of what moves in the direction asked for."""
        lp, cars = Lp(), self.case.cars
        net: list[dict[int, float]] = [{} for _ in range(self.slots)]
        at_site: dict[tuple[int, int], dict[int, float]] = {}
        for car in range(cars.count):
            for slot, var, sign in self._moves(lp, car, up=up, both_ways=both_ways):
                net[slot][var] = sign if up else -sign
                at_site.setdefault((int(cars.site[car]), slot), {})[var] = sign
        for (site, slot), terms in at_site.items():
            of_slots = cars.export_room_kw.ndim > 1
            room_kw = cars.export_room_kw[site, self.first + slot] if of_slots else cars.export_room_kw[site]
            room_kwh = room_kw * SLOT_HOURS
            lp.row(terms, low=-cars.import_room_kw[site] * SLOT_HOURS, high=room_kwh)
        return lp, net

    def _moves(self, lp: Lp, car: int, *, up: bool, both_ways: bool) -> list[tuple[int, int, float]]:
        """Add a car's energies; return (slot, variable, +1 for what it gives or -1 for what it takes)."""
        cars, stay = self.case.cars, self.case.stay
        eta_c, eta_d = cars.eta_charge[car], cars.eta_discharge[car]
        capacity, floor, stored = cars.capacity_kwh[car], cars.floor_kwh[car], self.stored_kwh[car]
        begin = max(0, int(stay.arrive_slot[car]) - self.first)
        end = min(self.slots, int(stay.depart_slot[car]) - self.first)
        if begin >= end:
            return []
        charge_kwh = min(cars.charge_kw[car], cars.import_room_kw[cars.site[car]]) * SLOT_HOURS
        later = max(0, int(stay.depart_slot[car]) - self.first - self.slots)
        need = max(floor, min(stay.target_kwh[car], capacity) - eta_c * charge_kwh * later)
        must = stored < need - 1e-9
        first_kwh = self._until_floor(floor - stored, eta_c, charge_kwh, end - begin)
        guarded = floor + GUARD_SOC * capacity
        kept = min(stored, guarded if both_ways or not up else max(need, guarded))
        due = min(need, stored + eta_c * charge_kwh * (end - begin))
        takes = charge_kwh if must or not up or both_ways else 0.0
        gives = cars.discharge_kw[car] * SLOT_HOURS if up and (both_ways or not must) else 0.0
        least = 0.0 if must and not both_ways else kept
        moves, energy = [], lp.var(stored, stored)
        for slot in range(begin, end):
            at_once = first_kwh[slot - begin]
            taken = lp.var(at_once, max(at_once, takes))
            given = lp.var(0.0, 0.0 if at_once > 0.0 else gives)
            after = lp.var(least, capacity)
            lp.row({after: 1.0, energy: -1.0, taken: -eta_c, given: 1.0 / eta_d}, 0.0, 0.0)
            moves += [(slot, taken, -1.0), (slot, given, 1.0)]
            energy = after
        exactly = must and up and not both_ways
        lp.row({energy: 1.0}, low=due if must or both_ways else 0.0, high=due if exactly else capacity)
        return moves

    @staticmethod
    def _until_floor(missing_kwh: float, eta_c: float, charge_kwh: float, slots: int) -> list[float]:
        first, left = [], max(0.0, missing_kwh) / eta_c
        for _ in range(slots):
            first.append(min(left, charge_kwh))
            left -= first[-1]
        return [0.0 if kwh < 1e-9 else kwh for kwh in first]


def some_of(case: Case, keep: np.ndarray) -> Case:
    """Return the case of the cars ``keep`` only."""
    other = {"export_room_kw", "import_room_kw", "house_kw", "tapers"}
    per_car = {name: getattr(case.cars, name)[keep] for name in CarArrays.__slots__ if name not in other}
    stay = Stay(*(getattr(case.stay, name)[keep] for name in Stay.__slots__))
    return replace(case, cars=replace(case.cars, **per_car), stay=stay)
