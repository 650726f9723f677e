"""The split of a large fleet: a table, a threshold per slot, and each car's own set-points from those.

Cars that must charge come first: in direction up their *not* charging is worth as much as another car's
exporting, so table and thresholds hold both at once, which finds the best time to charge exactly; whatever
the thresholds are, they take what they owe. Then the free cars share what is wanted and what those take.
Down, all take; what a must-charge car owes beyond what is wanted it takes as early as it can.
Where a site's room binds several of its cars, its shares follow from their energies (``split_pass``).
"""

from dataclasses import dataclass, replace

import numpy as np

from dispatch.split_bound import Sharing, charged_at_bound_sites, sharing_of
from dispatch.split_cars import FloatArray, IntArray, summed
from dispatch.split_duty import Duty, duty_of
from dispatch.split_exact import split_exactly
from dispatch.split_must import charged
from dispatch.split_pass import Bound, Part, Plain, serve
from dispatch.split_problem import MET_WITHIN_KWH, Split, SplitProblem, named
from dispatch.split_repair import Flows, repair
from dispatch.split_steps import hold_least
from dispatch.split_table import (
    Levels,
    Movers,
    Table,
    edges_of,
    table_of,
    thresholds,
    within_reach,
)

MOST_SHARING = 20_000
MOST_IN_PROGRAM = 400_000
"""Cars times slots up to which a program pays: of those that share a room that binds, and of all."""

_WORTH = 1e-5
"""A share of a request below which nothing is moved between slots for its sake."""


@dataclass(frozen=True, slots=True, eq=False)
class _Fleet:
    """A large fleet in its parts.

    Attributes:
        problem: What is asked.
        duty: What each car may and must do.
        sharing: What bounds it.
        hours: Length of each slot.
        least_kw: Least each free car can give unless it is nothing.
    """

    problem: SplitProblem
    duty: Duty
    sharing: Sharing
    hours: FloatArray
    least_kw: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Moves:
    """What each car moves; energies in kWh.

    Attributes:
        free: Of the free cars, 0 for all others, shape (slots, cars).
        takers: Rows of the must-charge cars.
        taken: Of those, shape (slots, takers).
    """

    free: FloatArray
    takers: IntArray
    taken: FloatArray


def split_by_thresholds(problem: SplitProblem) -> Split:
    """Return set-points that keep every rule as the exact ones do, and deliver nearly as much.

    While few cars share a room that binds, a program over those and all others' classes is quick enough.
    """
    duty = duty_of(problem)
    least_kw = problem.cars.min_kw if problem.way > 0 else np.zeros(problem.cars.count)
    fleet = _Fleet(problem, duty, sharing_of(problem, duty), np.asarray(problem.slot_hours), least_kw)
    programmed = _program_pays(fleet) and not (least_kw.any() and fleet.sharing.bound_must.size)
    if programmed and not least_kw.any():
        return split_exactly(problem)
    moves = _by_program(fleet) if programmed else _by_thresholds(fleet)
    if least_kw.any():
        wanted = np.asarray(problem.request_kw) * fleet.hours + moves.taken.sum(axis=1)
        hold_least(_flows(fleet, moves), least_kw * fleet.hours[:, None], problem.cars.worn_kwh, wanted)
    return _answer(fleet, moves, "lp" if programmed else "thresholds")


def _program_pays(fleet: _Fleet) -> bool:
    """Return whether cars share a room that binds, and few enough of few enough."""
    cars, sharing, slots = fleet.problem.cars, fleet.sharing, fleet.hours.size
    bound = np.concatenate((sharing.bound_free, sharing.bound_must))
    if not bound.size or cars.count * slots > MOST_IN_PROGRAM:
        return False
    here = summed(cars.site, fleet.duty.end > fleet.duty.start, fleet.problem.sites.count)
    sharing_cars = int(np.count_nonzero(here[cars.site[bound]] > 1))
    return 0 < sharing_cars * slots <= MOST_SHARING


def _by_program(fleet: _Fleet) -> _Moves:
    """Return the optimum for chargers that can hold any power."""
    cars, sharing = fleet.problem.cars, fleet.sharing
    able = sharing.free_kw > 0
    able[sharing.bound_free] = True
    any_power = replace(
        cars, min_kw=np.zeros(cars.count), discharge_kw=np.where(able, cars.discharge_kw, 0.0)
    )
    export_kwh = split_exactly(replace(fleet.problem, cars=any_power)).export_kw.T * fleet.hours[:, None]
    takers = np.flatnonzero(fleet.duty.must)
    return _Moves(np.maximum(0.0, export_kwh), takers, -export_kwh[:, takers])


def _by_thresholds(fleet: _Fleet) -> _Moves:
    """Return what must-charge cars take by thresholds, and then what the others move by theirs."""
    problem, duty, sharing = fleet.problem, fleet.duty, fleet.sharing
    fixed = charged_at_bound_sites(problem, duty, sharing.bound_must)
    wanted = problem.way * (np.asarray(problem.request_kw) * fleet.hours + fixed.sum(axis=1))
    movers = _plain_movers(fleet)
    table = table_of(movers, fleet.hours)
    if sharing.bound_free.size:
        table = table.joined(_bound_table(fleet))
    must = np.flatnonzero(sharing.must_kw)
    takers, taken = np.concatenate((must, sharing.bound_must)), fixed
    if must.size:
        flexible, reach = charged(problem, duty, must, sharing.must_kw[must], table, wanted)
        taken = np.concatenate((flexible, fixed), axis=1)
        wanted, reach = (kwh + problem.way * flexible.sum(axis=1) for kwh in (wanted, reach))
        reach = np.maximum(0.0, reach)
        levels = thresholds(table, reach)
    else:
        reach, levels = within_reach(table, np.maximum(0.0, wanted))
    moves = _Moves(np.empty((fleet.hours.size, problem.cars.count)), takers, taken)
    _share(fleet, movers, levels, (reach, np.maximum(0.0, wanted)), moves)
    return moves


def _plain_movers(fleet: _Fleet) -> Movers:
    """Return the free cars that nothing else bounds."""
    duty, edges, power = fleet.duty, edges_of(fleet.hours), fleet.sharing.free_kw
    energy = duty.exportable_kwh if fleet.problem.way > 0 else duty.headroom_kwh
    to_go = np.divide(energy, power, out=np.zeros_like(energy), where=power > 0)
    start_h, end_h = edges[duty.start], edges[duty.end]
    return Movers(power, np.minimum(to_go, end_h - start_h), start_h if start_h.any() else None, duty.end)


def _bound_part(fleet: _Fleet, taken_kw: FloatArray) -> Bound:
    """Return the free cars that share a room, which others' charging makes larger or smaller.

    Args:
        fleet: The fleet.
        taken_kw: What must-charge cars take at each site, shape (sites, slots), or (sites, 1).
    """
    problem, duty, rows = fleet.problem, fleet.duty, fleet.sharing.bound_free
    up, cars = problem.way > 0, problem.cars
    places, site = np.unique(cars.site[rows], return_inverse=True)
    room = problem.export_room_kw(places) if up else problem.import_room_kw(places)
    room = np.maximum(0.0, room + problem.way * taken_kw[places])
    return Bound(
        power_kw=(cars.discharge_kw if up else cars.charge_kw)[rows],
        energy_kwh=(duty.exportable_kwh if up else duty.headroom_kwh)[rows],
        window=(duty.start[rows], duty.end[rows]),
        site=site.reshape(-1),
        room_kw=np.broadcast_to(room, (places.size, fleet.hours.size)),
        hours=fleet.hours,
    )


def _bound_table(fleet: _Fleet) -> Table:
    """Return the table of the cars that share a room, each with the power that is its share on average."""
    duty, rows, edges = fleet.duty, fleet.sharing.bound_free, edges_of(fleet.hours)
    part = _bound_part(fleet, np.zeros((fleet.problem.sites.count, 1)))
    from_h, length = edges[duty.start[rows]], edges[duty.end[rows]] - edges[duty.start[rows]]
    power = part.ahead_kwh[-1] / length
    to_go = np.divide(part.left_kwh, power, out=np.zeros_like(power), where=power > 0)
    return table_of(Movers(power, np.minimum(to_go, length), from_h, duty.end[rows]), fleet.hours)


def _share(
    fleet: _Fleet,
    movers: Movers,
    levels: Levels,
    request_kwh: tuple[FloatArray, FloatArray],
    moves: _Moves,
) -> None:
    """Set what the free cars move.

    Args:
        fleet: The fleet.
        movers: Its free cars that nothing else bounds.
        levels: The thresholds of all its free cars.
        request_kwh: What is wanted of them, as far as the table says it can be met, and in all.
        moves: What must-charge cars take; the free cars' part is written.
    """
    rows = fleet.sharing.bound_free
    parts: list[Part] = [Plain(movers, fleet.hours, moves.free)]
    if rows.size:
        parts.append(bound := _bound_part(fleet, _taken_kw(fleet, moves)))
    served = serve(parts, levels, request_kwh[0])
    if rows.size:
        moves.free[:, rows] = bound.moved_kwh
    aim = request_kwh[1 if rows.size else 0]
    if float((aim - served).sum()) > _WORTH * float(aim.sum()):
        repair(_flows(fleet, moves), aim)


def _taken_kw(fleet: _Fleet, moves: _Moves) -> FloatArray:
    """Return what must-charge cars take at each site, shape (sites, slots)."""
    taken_kw = np.zeros((fleet.problem.sites.count, fleet.hours.size))
    np.add.at(taken_kw, fleet.problem.cars.site[moves.takers], (moves.taken / fleet.hours[:, None]).T)
    return taken_kw


def _flows(fleet: _Fleet, moves: _Moves) -> Flows:
    """Return what the free cars move, and what each and each shared site could."""
    duty, slots = fleet.duty, np.arange(fleet.hours.size)[:, None]
    up, cars, rows = fleet.problem.way > 0, fleet.problem.cars, fleet.sharing.bound_free
    power = fleet.sharing.free_kw.copy()
    power[rows] = (cars.discharge_kw if up else cars.charge_kw)[rows]
    energy = np.where(power > 0, duty.exportable_kwh if up else duty.headroom_kwh, 0.0)
    here = (duty.start <= slots) & (slots < duty.end)
    site, room = np.zeros(cars.count, np.intp), np.full((slots.size, 1), np.inf)
    if rows.size:
        bound = _bound_part(fleet, _taken_kw(fleet, moves))
        site[rows] = 1 + bound.site
        room = np.concatenate((room, bound.room_kw.T * fleet.hours[:, None]), axis=1)
    left = np.maximum(0.0, energy - moves.free.sum(axis=0))
    return Flows(moves.free, left, here * (power * fleet.hours[:, None]), site, room)


def _answer(fleet: _Fleet, moves: _Moves, method: str) -> Split:
    """Return the answer; the moves are used up."""
    problem, hours = fleet.problem, fleet.hours[:, None]
    export_kw = np.multiply(moves.free, problem.way / hours, out=moves.free)
    export_kw[:, moves.takers] = -moves.taken / hours
    wanted = problem.way * np.asarray(problem.request_kw) * fleet.hours
    served = np.minimum(wanted, problem.way * export_kw.sum(axis=1) * fleet.hours)
    missing = float((wanted - served).sum())
    stored = problem.cars.energy_kwh.copy()
    stored[moves.takers] += problem.eta_charge * moves.taken.sum(axis=0)
    return Split(
        car_ids=problem.cars.ids,
        export_kw=export_kw.T,
        delivered_kwh=float(served.sum()),
        shortfall_kwh=missing,
        feasible=missing <= MET_WITHIN_KWH and _keeps_rules(fleet, export_kw),
        short_of_target_kwh=named(problem.cars.ids, fleet.duty.due_kwh - stored),
        method=method,
    )


def _keeps_rules(fleet: _Fleet, export_kw: FloatArray) -> bool:
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
