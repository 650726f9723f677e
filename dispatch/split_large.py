"""The split of a large fleet: a table, a threshold per slot, and each car's own set-points from those.

Cars that must charge come first: in direction up their *not* charging is worth as much as another car's
exporting, so table and thresholds hold both at once, which finds the best time to charge. Then the free cars
share what is wanted and what those take, by thresholds of their own.
Where a home's room binds, cars that are there together have fixed parts of it (``split_bound``). Where some
come or go, others must charge or the room changes, shares follow from their energies (``split_shared``, and
``split_turns`` for what must be charged). What arrivals and such homes make the thresholds miss,
``split_mend`` finds. It is only asked where a bound leaves anything to find: what is short of a slot can only
come from cars that have power and room left in it, and energy left or in slots that are served in full.
Down, homes that generate more than they may export take that first (``split_sun``).

The two steps stand apart, too: ``thresholds_of`` a fleet is a few numbers that can be sent, and
``set_points`` from them need nothing but each home's own cars. Stale or wrong numbers cost kW.
"""

from dataclasses import dataclass, replace

import numpy as np

from dispatch.split_cars import FloatArray
from dispatch.split_exact import split_exactly
from dispatch.split_mend import mend, shifting_kwh
from dispatch.split_must import charging_levels, taken_kwh, takers_of
from dispatch.split_parts import Charging, LargeFleet, Moves
from dispatch.split_pass import Part, Plain, serve, walk
from dispatch.split_problem import MET_WITHIN_KWH, Split, SplitProblem, named
from dispatch.split_shared import Shared
from dispatch.split_steps import hold_least
from dispatch.split_sun import soak, soak_alone
from dispatch.split_table import Levels, Movers, thresholds, within_reach
from dispatch.split_together import decide_together
from dispatch.split_turns import parts_of, taken_at_bound_sites

MOST_SHARING, MOST_BESIDE_SUN = 1_000, 5_000
"""Cars that share a room that binds up to which a program pays; more where some must charge at homes that
generate more than they may export, and so should do it then."""
MOST_CARS = 1_000
"""Cars of a fleet up to which it pays where thresholds alone miss next to nothing."""
MOST_SHARED, MOST_IN_PROGRAM = 60_000, 1_000_000
"""The same in cars times slots: of those that share, and of all."""

_WORTH = 1e-4
"""A share of what is wanted, and can't be met, below which nothing is moved between slots for its sake."""
_EXACT = 1e-9
"""The same for one that can: it is told as met, or not."""


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """All that a fleet needs to know of a request, shape (slots,) each. [h]

    Attributes:
        charge_h: A must-charge car that could wait longer than this waits, up; takes, down.
        move_h: A free car that could move for longer than this moves.
    """

    charge_h: FloatArray
    move_h: FloatArray


def split_by_thresholds(problem: SplitProblem) -> Split:
    """Return set-points that keep every rule as the exact ones do, and deliver nearly as much.

    While few cars share a room that binds, a program over those and all others' classes is quick enough.
    """
    fleet = LargeFleet.of(problem)
    steps = bool(fleet.least_kw.any())
    programmed = _program_pays(fleet)
    if programmed and not steps:
        return split_exactly(problem)
    moves = _by_program(fleet) if programmed else _by_thresholds(fleet)
    if steps:
        wanted = np.asarray(problem.request_kw) * fleet.hours + moves.taken.sum(axis=1)
        hold_least(fleet.flows(moves), fleet.least_kw * fleet.hours[:, None], problem.cars.worn_kwh, wanted)
        decide_together(fleet, moves)
    if not programmed and _may_soak(fleet):
        soak(fleet, moves)
    return _answer(fleet, moves, "lp" if programmed else "thresholds")


def thresholds_of(problem: SplitProblem) -> Thresholds:
    """Return the thresholds that share a request over a fleet."""
    fleet = LargeFleet.of(problem)
    shared = fleet.shared() if fleet.crowd.rows.size else None
    _, levels, charge_h, _ = _planned(fleet, _charging(fleet), fleet.plain_movers(), shared)
    return Thresholds(charge_h, levels.z_h)


def set_points(problem: SplitProblem, given: Thresholds) -> Split:
    """Return what each car does by itself, told the thresholds; they may be any finite numbers.

    Beyond what is wanted may be moved if they are wrong: the request is not looked at. Chargers with a least
    power that is above their share do nothing.
    """
    fleet = LargeFleet.of(problem)
    charging, rows = _charging(fleet), fleet.crowd.rows
    taken = charging.with_flexible(taken_kwh(charging.takers, given.charge_h))
    moves = Moves(np.empty((fleet.hours.size, problem.cars.count)), charging.rows, taken)
    walk(Plain(fleet.plain_movers(), fleet.hours, moves.free), given.move_h)
    if rows.size:
        shared = fleet.shared(moves)
        walk(shared, given.move_h)
        moves.free[:, rows] = shared.moved_kwh
    moves.free[moves.free < fleet.least_kw * fleet.hours[:, None]] = 0.0
    if _may_soak(fleet):
        soak_alone(fleet, moves)
    return _answer(fleet, moves, "thresholds")


def _may_soak(fleet: LargeFleet) -> bool:
    return fleet.problem.way < 0 and fleet.sunny_cars() + fleet.soaking_cars() > 0


def _program_pays(fleet: LargeFleet) -> bool:
    """Return whether cars share a room that binds, and few enough of few enough."""
    count, slots, sunny = fleet.problem.cars.count, fleet.hours.size, fleet.sunny_cars()
    beside_sun = sunny + fleet.soaking_cars()
    some = fleet.sharing_cars() + beside_sun
    few = 0 < some <= (MOST_BESIDE_SUN if sunny else MOST_SHARING) and some * slots <= MOST_SHARED
    easy = not beside_sun and fleet.only_leave()
    return few and (count <= MOST_CARS or not easy) and count * slots <= MOST_IN_PROGRAM


def _by_program(fleet: LargeFleet) -> Moves:
    """Return the optimum of all cars as if their chargers could hold any power.

    Those that then must hold none make no room for what others must charge at their homes.
    """
    problem, must = fleet.problem, np.flatnonzero(fleet.duty.must)
    cars = problem.cars
    discharge_kw = np.where(fleet.moves_freely, cars.discharge_kw, 0.0)
    any_power = replace(cars, min_kw=np.zeros(cars.count), discharge_kw=discharge_kw)
    best = split_exactly(replace(problem, cars=any_power), relieved=False)
    moved = best.export_kw.T * fleet.hours[:, None]
    return Moves(np.maximum(0.0, moved), must, np.maximum(0.0, -moved[:, must]))


def _by_thresholds(fleet: LargeFleet) -> Moves:
    """Return what must-charge cars take by thresholds, and then what the others move by theirs."""
    charging, movers, rows = _charging(fleet), fleet.plain_movers(), fleet.crowd.rows
    shared = fleet.shared() if rows.size else None
    taken, levels, _, (reach, wanted) = _planned(fleet, charging, movers, shared)
    moves = Moves(np.empty((fleet.hours.size, fleet.problem.cars.count)), charging.rows, taken)
    parts: list[Part] = [Plain(movers, fleet.hours, moves.free)]
    if shared is not None:
        shared = fleet.shared(moves) if charging.rows.size else shared
        parts.append(shared)
    served = serve(parts, levels, reach)
    if shared is not None:
        moves.free[:, rows] = shared.moved_kwh
    rooms_change = bool(rows.size and charging.rows.size)
    aim = reach if fleet.table_is_exact and not rooms_change else wanted
    worth = (_EXACT if np.array_equal(reach, wanted) else _WORTH) * float(aim.sum())
    missing = aim - served
    if float(missing.sum()) > worth:
        short = missing > worth / missing.size
        beyond_kwh = shifting_kwh(fleet, charging, moves, short)
        if beyond_kwh + sum(part.beyond_kwh(short) for part in parts) > worth:
            mend(fleet, charging, moves, wanted if rows.size else aim)
    return moves


def _charging(fleet: LargeFleet) -> Charging:
    problem, sharing, duty = fleet.problem, fleet.sharing, fleet.duty
    alone, bound = np.flatnonzero(sharing.must_kw), sharing.bound_must
    parts = parts_of(problem, duty, bound)
    has = parts.power_kw > 0
    order = np.concatenate((np.flatnonzero(has), np.flatnonzero(~has)))
    rows = np.concatenate((alone, bound[has]))
    power = np.concatenate((sharing.must_kw[alone], parts.power_kw[has]))
    takers = takers_of(problem, parts.duty, rows, power)
    fixed = taken_at_bound_sites(problem, duty, bound[~has])
    return Charging(np.concatenate((rows, bound[~has])), alone.size, takers, parts.first_kwh[:, order], fixed)


def _planned(
    fleet: LargeFleet, charging: Charging, movers: Movers, shared: Shared | None
) -> tuple[FloatArray, Levels, FloatArray, tuple[FloatArray, FloatArray]]:
    """Return what must-charge cars take, the thresholds of the free cars, and of those that charge.

    Last, what is wanted of the free cars: as far as the table says it can be met, and in all.
    """
    way = fleet.problem.way
    fixed_kwh = charging.fixed_kwh.sum(axis=1) + charging.first_own_kwh.sum(axis=1)
    wanted = way * (np.asarray(fleet.problem.request_kw) * fleet.hours + fixed_kwh)
    table = fleet.table(movers, shared)
    if not charging.takers.power_kw.size:
        wanted = np.maximum(0.0, wanted)
        reach, levels = within_reach(table, wanted)
        return charging.fixed_kwh, levels, levels.z_h, (reach, wanted)
    reach, charge = charging_levels(charging.takers, table, wanted)
    flexible = taken_kwh(charging.takers, charge.z_h)
    reach, wanted = (np.maximum(0.0, kwh + way * flexible.sum(axis=1)) for kwh in (reach, wanted))
    levels = thresholds(table, reach)
    return charging.with_flexible(flexible), levels, charge.z_h, (reach, wanted)


def _answer(fleet: LargeFleet, moves: Moves, method: str) -> Split:
    """Return the answer; the moves are used up."""
    problem, hours = fleet.problem, fleet.hours[:, None]
    taken = moves.taken if problem.way > 0 else moves.taken + moves.free[:, moves.takers]
    export_kw = np.multiply(moves.free, problem.way / hours, out=moves.free)
    export_kw[:, moves.takers] = -taken / hours
    wanted = problem.way * np.asarray(problem.request_kw) * fleet.hours
    served = np.minimum(wanted, problem.way * export_kw.sum(axis=1) * fleet.hours)
    missing = float((wanted - served).sum())
    short = fleet.duty.due_kwh - problem.cars.energy_kwh
    short[moves.takers] -= problem.eta_charge * taken.sum(axis=0)
    return Split(
        car_ids=problem.cars.ids,
        export_kw=export_kw.T,
        delivered_kwh=float(served.sum()),
        shortfall_kwh=missing,
        feasible=missing <= MET_WITHIN_KWH and _keeps_rules(fleet, export_kw),
        short_of_target_kwh=named(problem.cars.ids, short),
        method=method,
    )


def _keeps_rules(fleet: LargeFleet, export_kw: FloatArray) -> bool:
    """Return whether no site exports above its limit by itself and no car rests above its maximum."""
    problem, duty, cars = fleet.problem, fleet.duty, fleet.problem.cars
    full = np.flatnonzero((cars.energy_kwh > cars.max_kwh + MET_WITHIN_KWH) & (duty.end > duty.start))
    slots = np.arange(fleet.hours.size)[:, None]
    given = np.cumsum(export_kw[:, full] * fleet.hours[:, None], axis=0) / problem.eta_discharge
    over = cars.energy_kwh[full] - given > cars.max_kwh[full] + MET_WITHIN_KWH
    if np.any(over & (duty.start[full] <= slots) & (slots < duty.end[full])):
        return False
    sunny = np.any(problem.export_room_kw() < 0, axis=1)
    if not sunny.any():
        return True
    rows = np.flatnonzero(sunny[cars.site])
    net = np.zeros((problem.sites.count, fleet.hours.size))
    np.add.at(net, cars.site[rows], export_kw[:, rows].T)
    return bool((net <= problem.export_room_kw() + MET_WITHIN_KWH)[sunny].all())
