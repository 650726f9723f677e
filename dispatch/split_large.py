"""The split of a large fleet: a table, a threshold per slot, and each car's own set-points from those.

Cars that must charge come first: in direction up their *not* charging is worth as much as another car's
exporting, so table and thresholds hold both at once, which finds the best time to charge exactly; whatever
the thresholds are, they take what they owe. Then the free cars share what is wanted and what those take.
Down, all take; what a must-charge car owes beyond what is wanted it takes as early as it can.
Where a site's room binds several of its cars, its shares follow from their energies (``split_pass``).
"""

from dataclasses import dataclass

import numpy as np

from dispatch.split_bound import Sharing, charged_at_bound_sites, sharing_of
from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_duty import Duty, duty_of
from dispatch.split_must import charged
from dispatch.split_pass import Bound, Part, Plain, serve
from dispatch.split_problem import MET_WITHIN_KWH, Split, SplitProblem, named
from dispatch.split_repair import Flows, repair
from dispatch.split_table import Movers, Table, edges_of, table_of, thresholds

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
    """

    problem: SplitProblem
    duty: Duty
    sharing: Sharing
    hours: FloatArray


def split_by_thresholds(problem: SplitProblem) -> Split:
    """Return set-points that keep every rule as the exact ones do, and deliver nearly as much."""
    duty = duty_of(problem)
    fleet = _Fleet(problem, duty, sharing_of(problem, duty), np.asarray(problem.slot_hours))
    must = np.flatnonzero(fleet.sharing.must_kw > 0)
    bound_must = fleet.sharing.bound_must
    fixed = charged_at_bound_sites(problem, duty, bound_must)
    wanted = problem.way * (np.asarray(problem.request_kw) * fleet.hours + fixed.sum(axis=1))
    movers = _plain_movers(fleet)
    table = table_of(movers, fleet.hours)
    if fleet.sharing.bound_free.size:
        table = table.joined(_bound_table(fleet))
    power_kw = fleet.sharing.must_kw[must]
    flexible, reach = charged(problem, duty, must, power_kw, table, wanted)
    takers = np.concatenate((must, bound_must))
    taken = np.concatenate((flexible, fixed), axis=1)
    requests = (reach + problem.way * flexible.sum(axis=1), wanted + problem.way * flexible.sum(axis=1))
    moved = _shared(fleet, movers, table, requests, (takers, taken))
    moved *= (problem.way / fleet.hours)[:, None]
    moved[:, takers] = -taken / fleet.hours[:, None]
    return _answer(fleet, moved, (takers, taken.sum(axis=0)))


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


def _shared(
    fleet: _Fleet,
    movers: Movers,
    table: Table,
    request_kwh: tuple[FloatArray, FloatArray],
    charging: tuple[IntArray, FloatArray],
) -> FloatArray:
    """Return what each free car moves, shape (slots, cars). [kWh]

    Args:
        fleet: The fleet.
        movers: Its free cars that nothing else bounds.
        table: All its free cars.
        request_kwh: What is wanted of them, as far as the table says it can be met, and in all.
        charging: The must-charge cars and what they take, shape (slots, rows).
    """
    within, wanted = (np.maximum(0.0, kwh) for kwh in request_kwh)
    plain, rows = Plain(movers, fleet.hours), fleet.sharing.bound_free
    parts: list[Part] = [plain]
    if rows.size:
        taken_kw = np.zeros((fleet.problem.sites.count, fleet.hours.size))
        np.add.at(taken_kw, fleet.problem.cars.site[charging[0]], (charging[1] / fleet.hours[:, None]).T)
        parts.append(bound := _bound_part(fleet, taken_kw))
    served = serve(parts, thresholds(table, within)[0], within)
    if rows.size:
        plain.moved_kwh[:, rows] = bound.moved_kwh
    aim = wanted if rows.size else within
    if float((aim - served).sum()) > _WORTH * float(aim.sum()):
        repair(_flows(fleet, plain.moved_kwh, bound if rows.size else None), aim)
    return plain.moved_kwh


def _flows(fleet: _Fleet, moved_kwh: FloatArray, bound: Bound | None) -> Flows:
    """Return what the free cars move, and what each and each shared site could."""
    duty, slots = fleet.duty, np.arange(fleet.hours.size)[:, None]
    up, cars, rows = fleet.problem.way > 0, fleet.problem.cars, fleet.sharing.bound_free
    energy = duty.exportable_kwh if up else duty.headroom_kwh
    power = fleet.sharing.free_kw.copy()
    power[rows] = (cars.discharge_kw if up else cars.charge_kw)[rows]
    here = (duty.start <= slots) & (slots < duty.end)
    free_site = 0 if bound is None else len(bound.room_kw)
    site = np.full(cars.count, free_site)
    room = np.full((slots.size, free_site + 1), np.inf)
    if bound is not None:
        site[rows] = bound.site
        room[:, :free_site] = bound.room_kw.T * fleet.hours[:, None]
    return Flows(moved_kwh, energy - moved_kwh.sum(axis=0), here * (power * fleet.hours[:, None]), site, room)


def _answer(fleet: _Fleet, export_kw: FloatArray, taken: tuple[IntArray, FloatArray]) -> Split:
    """Return the answer; ``export_kw`` has the shape (slots, cars)."""
    problem, duty = fleet.problem, fleet.duty
    wanted = problem.way * np.asarray(problem.request_kw) * fleet.hours
    served = np.minimum(wanted, problem.way * export_kw.sum(axis=1) * fleet.hours)
    missing = float((wanted - served).sum())
    stored = problem.cars.energy_kwh.copy()
    stored[taken[0]] += problem.eta_charge * taken[1]
    return Split(
        car_ids=problem.cars.ids,
        export_kw=export_kw.T,
        delivered_kwh=float(served.sum()),
        shortfall_kwh=missing,
        feasible=missing <= MET_WITHIN_KWH and _keeps_rules(fleet, export_kw),
        short_of_target_kwh=named(problem.cars.ids, duty.due_kwh - stored),
        method="thresholds",
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
