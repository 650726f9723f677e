"""The least cost of cars that share a site's connection, as one linear programme solved by HiGHS.

The one place in this package that needs a solver: no closed form is known, and approximations cost. Prices
on the room, raised step by step, with the cars' answers averaged, took eight times as long and stayed 2%
above the optimum with a dozen cars on a site (27% at worst); cars that plan in turn stay 7% above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aggregator.energy.alone import Scene, due, full_power, in_one_slot
from aggregator.energy.cars import FloatArray, IntArray, guard_kwh
from aggregator.energy.program import Program, solve
from aggregator.energy.rooms import by_site, by_slot
from aggregator.energy.taper import Tapers
from aggregator.energy.tariff import Tariff
from aggregator.energy.trades import Batteries

RED_PRICES = 10.0
"""Price of red slots, in the tariff's largest prices: no trade of other slots is worth as much."""
MISSING_PRICES = 100.0
"""Price of what is missing when the target is due."""
LATER_GBP_PER_KWH = 1e-8
"""By this a slot is dearer than the next: of equal prices the later is taken."""
BID_GBP_PER_KWH = 1e-5
"""By this a slot of a bid window is dearer: of equal prices the others are taken first."""


@dataclass(slots=True)
class _Rows:
    """Rows of a programme as they come: bounds, and blocks of (row, column, value)."""

    low: list[FloatArray] = field(default_factory=list)
    high: list[FloatArray] = field(default_factory=list)
    blocks: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    count: int = 0

    def add(
        self,
        low: FloatArray,
        high: FloatArray,
        *blocks: tuple[IntArray, IntArray, FloatArray | float],
    ) -> None:
        """Add rows; those in the blocks count from 0."""
        self.low.append(low)
        self.high.append(high)
        for row, column, value in blocks:
            self.blocks.append((row + self.count, column, np.broadcast_to(value, row.shape)))
        self.count += len(low)

    def add_room(self, place: IntArray, column: IntArray, most_kwh: FloatArray, room_kwh: FloatArray) -> None:
        """Add a row for each place whose columns could together exceed its room."""
        tight = np.flatnonzero(np.bincount(place, most_kwh, len(room_kwh)) > room_kwh)
        row = np.full(len(room_kwh), -1)
        row[tight] = np.arange(tight.size)
        here = row[place] >= 0
        self.add(np.full(tight.size, -np.inf), room_kwh[tight], (row[place[here]], column[here], 1.0))

    def program(self, cost: FloatArray, low: FloatArray, high: FloatArray) -> Program:
        """Return the programme with these columns."""
        row, column, value = (np.concatenate(parts) for parts in zip(*self.blocks, strict=True))
        whole = np.zeros(len(cost), dtype=np.bool_)
        rows = np.concatenate(self.low), np.concatenate(self.high)
        return Program(cost, low, high, row, column, value, *rows, semi=whole)


def least_cost(scene: Scene, urgent_kwh: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what each car draws beyond what is urgent, and gives, at the least cost of all together.

    Args:
        scene: All cars of some sites.
        urgent_kwh: What is drawn anyway, within the sites' room, shape (cars, slots). [kWh AC]

    Returns:
        Both of shape (cars, slots); within the room, too. Less is missing of the targets before less is drawn
        in red slots, before less is paid. Nothing at all where HiGHS finds no optimum, though there is always
        one: what is asked for beyond is then shared in proportion, and cars go on. [kWh AC]
    """
    batteries = _batteries(scene, urgent_kwh)
    drawn_kwh, given_kwh = np.zeros_like(urgent_kwh), np.zeros_like(urgent_kwh)
    car, slot = np.nonzero(batteries.charge_kwh + batteries.discharge_kwh > 0.0)
    if not car.size:
        return drawn_kwh, given_kwh
    program = _program(scene, batteries, urgent_kwh, car, slot)
    best = solve(program, presolve=False)
    if best is None:
        best = solve(program)
    if best is None:
        return drawn_kwh, given_kwh
    drawn_kwh[car, slot], given_kwh[car, slot] = best[: car.size], best[car.size : 2 * car.size]
    return drawn_kwh, given_kwh


def _batteries(scene: Scene, urgent_kwh: FloatArray) -> Batteries:
    """Return what each battery may do once what is urgent is drawn; one below its guard gives nothing."""
    cars, full = scene.cars, full_power(scene)
    start_kwh = scene.stay.energy_kwh + cars.eta_charge * urgent_kwh.sum(axis=1)
    highest_kwh = np.maximum(start_kwh, cars.capacity_kwh)
    guarded_kwh = cars.floor_kwh + guard_kwh(cars.capacity_kwh, scene.soc_resolution)
    lowest_kwh = np.minimum(start_kwh, guarded_kwh)
    gives = (start_kwh >= guarded_kwh)[:, None] & ~in_one_slot(cars, scene.tariff) & (urgent_kwh <= 0.0)
    due_kwh, wanted_kwh = due(scene)
    due_kwh = np.clip(due_kwh, lowest_kwh, highest_kwh)
    return Batteries(
        start_kwh=start_kwh,
        lowest_kwh=np.repeat(lowest_kwh[:, None], scene.tariff.slots + 1, axis=1),
        highest_kwh=highest_kwh,
        due_kwh=due_kwh,
        wanted_kwh=np.clip(np.maximum(wanted_kwh, scene.stay.energy_kwh), due_kwh, highest_kwh),
        charge_kwh=full.charge_kwh - urgent_kwh,
        discharge_kwh=np.where(gives, full.discharge_kwh, 0.0),
    )


def _program(
    scene: Scene, batteries: Batteries, urgent_kwh: FloatArray, car: IntArray, slot: IntArray
) -> Program:
    """Return the programme over the slots ``(car, slot)`` in which something can be done.

    Columns: drawn, given and stored afterwards in each of them; for each of their cars what is kept beyond
    what is due, as far as it is worth something, and what is missing.
    """
    cars, tariff, size = scene.cars, scene.tariff, car.size
    first, last = np.diff(car, prepend=-1) > 0, np.diff(car, append=cars.count) > 0
    ends = car[last]
    cell, end = np.arange(size), np.arange(ends.size)
    draws, gives, stored, kept, missing = (
        cell,
        size + cell,
        2 * size + cell,
        3 * size + end,
        3 * size + ends.size + end,
    )
    rows = _Rows()
    start_kwh = np.where(first, batteries.start_kwh[car], 0.0)
    rows.add(
        start_kwh,
        start_kwh,
        (cell, stored, 1.0),
        (cell[~first], stored[~first] - 1, -1.0),
        (cell, draws, -cars.eta_charge[car]),
        (cell, gives, 1.0 / cars.eta_discharge[car]),
    )
    due_kwh = batteries.due_kwh[ends]
    rows.add(
        due_kwh,
        np.full(ends.size, np.inf),
        (end, stored[last], 1.0),
        (end, kept, -1.0),
        (end, missing, 1.0),
    )
    if cars.tapers is not None:
        _add_tapers(rows, scene, cars.tapers, batteries, car, (draws, stored))
    place, sites = cars.site[car] * tariff.slots + slot, len(cars.import_room_kw)
    import_kwh = (cars.import_room_kw * scene.slot_hours)[:, None] - by_site(urgent_kwh, cars.site, sites)
    export_kw = np.broadcast_to(by_slot(cars.export_room_kw), (sites, tariff.slots))
    most = batteries.charge_kwh[car, slot], batteries.discharge_kwh[car, slot]
    rows.add_room(place, draws, most[0], np.maximum(0.0, import_kwh).ravel())
    rows.add_room(place, gives, most[1], (export_kw * scene.slot_hours).ravel())
    paid, earned, largest = _prices(tariff)
    worth = -tariff.buy_back_gbp_per_kwh / cars.eta_charge[ends]
    lowest_kwh, highest_kwh = batteries.lowest_kwh[car, slot], batteries.highest_kwh[car]
    useful_kwh = batteries.wanted_kwh[ends] - due_kwh
    none, nothing = np.zeros(size), np.zeros(2 * ends.size)
    return rows.program(
        cost=np.concatenate(
            [paid[slot], -earned[slot], none, worth, np.full(ends.size, MISSING_PRICES * largest)]
        )
        / largest,
        low=np.concatenate([none, none, lowest_kwh, nothing]),
        high=np.concatenate([*most, highest_kwh, useful_kwh, due_kwh]),
    )


def _add_tapers(
    rows: _Rows,
    scene: Scene,
    tapers: Tapers,
    batteries: Batteries,
    car: IntArray,
    columns: Sequence[IntArray],
) -> None:
    """Add a row for each slot and line below which a car's charging stays, by what is stored before it."""
    cars, (draws, stored) = scene.cars, columns
    full_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    for at_0, fall in zip(*tapers.lines(cars.eta_charge * full_kw * scene.slot_hours), strict=True):
        slowed = np.flatnonzero(fall[car] > 0.0)
        who, row = car[slowed], np.arange(slowed.size)
        later = (np.diff(car, prepend=-1) == 0)[slowed]
        high = at_0[who] - np.where(later, 0.0, fall[who] * batteries.start_kwh[who])
        rows.add(
            np.full(slowed.size, -np.inf),
            high,
            (row, draws[slowed], cars.eta_charge[who]),
            (row[later], stored[slowed[later]] - 1, fall[who[later]]),
        )


def _prices(tariff: Tariff) -> tuple[FloatArray, FloatArray, float]:
    """Return what a kWh drawn costs and one given earns in each slot, and a price above all of them."""
    largest = float(np.abs([tariff.import_gbp_per_kwh, tariff.export_gbp_per_kwh]).max()) + 1.0
    paid = tariff.import_gbp_per_kwh + RED_PRICES * largest * tariff.red
    paid = paid + LATER_GBP_PER_KWH * np.arange(tariff.slots, 0, -1)
    if tariff.bid is not None:
        paid = paid + BID_GBP_PER_KWH * tariff.bid
    return paid, tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh, largest
