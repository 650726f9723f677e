"""The split as a linear program (semi-continuous where a charger has a least power), built as arrays.

In energy at the charger every coefficient is 1 or -1 and the program is a flow from cars through sites
to slots. A path in it gains at most a few kWh of charge or discharge for each kWh delivered, so one
cost per kind of tie, each far below the one before, gives the same answer as solving in turns:
delivered first, then the least energy moved, then the earliest slots, then charging as early as can be,
which is on the safe side of every departure, and last those that go on as they do: of equal answers a
program picks now one, now another, and cars would take turns from cycle to cycle for nothing.
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.energy.program import Program, solve
from dispatch.split_cars import BoolArray, FloatArray, IntArray
from dispatch.split_least import Costs, chosen
from dispatch.split_units import FREE, Units


@dataclass(frozen=True, slots=True, eq=False)
class Rooms:
    """What the sites may carry.

    Attributes:
        import_kwh: In each slot, shape (sites, slots).
        export_kwh: In each slot, shape (sites, slots); below 0 where the site generates too much.
        unrelieved: Sites where what some export makes no room for others' charging, shape (sites,).
    """

    import_kwh: FloatArray
    export_kwh: FloatArray
    unrelieved: BoolArray


_MOVED_COST = 1e-3
_LATE_COST = 1e-5
_CHARGE_LATE_SHARE = 0.1
"""Of the cost of what is served last: what it costs to charge last."""

_TURN_COST = 2e-9
"""Of a kWh moved in the running slot by who does nothing now; who gives all it can is spared as much."""

_MOVED_COST_IN_SEARCH = 1e-7
_BEYOND_COST = 100.0
_BREACH_COST = 1000.0


@dataclass(frozen=True, slots=True)
class _Ties:
    """What breaks ties, in terms of a kWh delivered: each kWh moved, and each kWh served last not first."""

    moved: float
    late: float


@dataclass(frozen=True, slots=True, eq=False)
class _Flows:
    """Columns and rows common to all programs: a column per unit and slot that may move energy."""

    unit: IntArray
    slot: IntArray
    semi: BoolArray
    program: Program


def most_for(units: Units, rooms: Rooms, unit: int) -> float | None:
    """Return the most one unit can have at its site while all get their least; None if they can't. [kWh]"""
    flows = _flows(units, rooms)
    own = np.concatenate((flows.unit == unit, np.zeros(flows.program.cost.size - flows.unit.size, bool)))
    cost = flows.program.cost.copy()
    cost[own] = -1.0
    values = solve(replace(flows.program, cost=cost))
    return None if values is None else float(values[own].sum())


def best_flows(
    units: Units,
    rooms: Rooms,
    wanted_kwh: FloatArray,
    present: FloatArray,
    *,
    up: bool,
    most_nodes: int | None = None,
) -> FloatArray:
    """Return the energy of each unit in each slot that delivers most of what is wanted. [kWh]

    Args:
        units: Those that move energy; what they have to reach can be reached.
        rooms: Of the sites that units name.
        wanted_kwh: Net export (up) or import (down) wanted, may be negative, shape (slots,).
        present: What part of its most each unit moves now, 0 to 1, or a half where nothing is to count,
            shape (units,). [-]
        up: Whether export is wanted.
        most_nodes: After which a search among least powers is content with what it has found.

    Raises:
        RuntimeError: The units' least energies contradict each other or the rooms.
    """
    flows = _flows(units, rooms)
    program = _with_request(flows, units, wanted_kwh, _Ties(_MOVED_COST, _LATE_COST), up=up)
    running = np.flatnonzero(flows.slot == 0)
    program.cost[running] += _TURN_COST * (1.0 - 2.0 * present[flows.unit[running]])
    if flows.semi.any():
        kinds = ((0.0, 0.0), (_MOVED_COST_IN_SEARCH, 0.0), (_MOVED_COST_IN_SEARCH, _LATE_COST))
        costs = (_with_request(flows, units, wanted_kwh, _Ties(*kind), up=up).cost for kind in kinds)
        met = -float(wanted_kwh.sum())
        program = chosen(program, flows.unit, Costs(*costs), met, most_nodes=most_nodes)
    values = solve(program)
    if values is None:
        raise RuntimeError("split: what the cars have to reach contradicts their sites")
    moved = np.zeros_like(units.high_kwh)
    moved[flows.unit, flows.slot] = values[: flows.unit.size]
    if up and flows.semi.any():
        _spare_needless(moved, units, rooms, wanted_kwh)
    return moved


def _spare_needless(moved: FloatArray, units: Units, rooms: Rooms, wanted_kwh: FloatArray) -> None:
    """Switch off who exports beyond a negative request; changed in place.

    That is no fault, and a search among least powers takes no pains to avoid it; but it is given for nothing.
    Who makes room for what others of the home must charge stays on.
    """
    for slot in np.flatnonzero(wanted_kwh < 0).tolist():
        net = units.sign * moved[:, slot]
        beyond = float(net.sum() - wanted_kwh[slot])
        exports = np.flatnonzero(net > 0)
        for unit in exports[np.argsort(-net[exports], kind="stable")].tolist():
            kwh, site = float(net[unit]), units.site[unit]
            needed = site != FREE and net[units.site == site].sum() - kwh < -rooms.import_kwh[site, slot]
            if kwh <= beyond and not needed:
                moved[unit, slot] = net[unit] = 0.0
                beyond -= kwh


def _flows(units: Units, rooms: Rooms) -> _Flows:
    """Return the columns, each unit's total and each site's limits, with slack where one is lost already.

    Where charging is not relieved, a row more for what a site's takers draw in a slot.
    """
    unit, slot = np.nonzero(units.high_kwh > 0)
    sign, site = units.sign[unit], units.site[unit]
    column, units_n, slots_n = np.arange(unit.size), units.sign.size, units.high_kwh.shape[1]
    at_site = site != FREE
    place, site_row = np.unique(site[at_site] * slots_n + slot[at_site], return_inverse=True)
    import_room, export_room = rooms.import_kwh.reshape(-1)[place], rooms.export_kwh.reshape(-1)[place]
    lost = np.flatnonzero(export_room < 0)
    takes = at_site & (sign < 0) & rooms.unrelieved[site]
    held, held_row = np.unique(site[takes] * slots_n + slot[takes], return_inverse=True)
    last_n = units_n + place.size
    low, high = units.low_kwh[unit, slot], units.high_kwh[unit, slot]
    least = units.least_kwh[unit, slot]
    semi = (least > 0) & (low == 0)
    program = Program(
        cost=np.concatenate((np.zeros(unit.size), np.full(lost.size, _BREACH_COST))),
        low=np.concatenate((np.where(semi, least, np.maximum(low, least)), np.zeros(lost.size))),
        high=np.concatenate((high, -export_room[lost])),
        row=np.concatenate((unit, units_n + site_row, units_n + lost, last_n + held_row)),
        column=np.concatenate((column, column[at_site], unit.size + np.arange(lost.size), column[takes])),
        value=np.concatenate((np.ones(unit.size), sign[at_site], np.full(lost.size, -1.0), -sign[takes])),
        row_low=np.concatenate((units.total_low_kwh, -import_room, np.full(held.size, -np.inf))),
        row_high=np.concatenate((units.total_high_kwh, export_room, rooms.import_kwh.reshape(-1)[held])),
        semi=np.concatenate((semi, np.zeros(lost.size, bool))),
    )
    return _Flows(unit=unit, slot=slot, semi=semi, program=program)


def _with_request(flows: _Flows, units: Units, wanted_kwh: FloatArray, costs: _Ties, *, up: bool) -> Program:
    """Return the program with, for each slot, what is delivered and what is beyond the request.

    Up: nothing is exported beyond a request that is not negative; beyond a negative one is no fault.
    Down: beyond the request only what cars must take.
    """
    base, slots_n = flows.program, wanted_kwh.size
    columns_n, rows_n = base.cost.size, base.row_low.size
    slots = np.arange(slots_n)
    way = units.sign[flows.unit] * (1.0 if up else -1.0)
    beyond_high = np.where(wanted_kwh < 0, np.inf, 0.0) if up else np.full(slots_n, np.inf)
    beyond_cost = np.zeros(slots_n) if up else np.full(slots_n, _BEYOND_COST)
    early = 1.0 + costs.late * (slots_n - slots) / slots_n
    cost = base.cost.copy()
    charges_late = np.where(units.sign[flows.unit] < 0, flows.slot / slots_n, 0.0)
    cost[: flows.unit.size] = costs.moved + costs.late * _CHARGE_LATE_SHARE * charges_late
    return Program(
        cost=np.concatenate((cost, -early, beyond_cost)),
        low=np.concatenate((base.low, np.full(slots_n, -np.inf), np.zeros(slots_n))),
        high=np.concatenate((base.high, wanted_kwh, beyond_high)),
        row=np.concatenate((base.row, rows_n + flows.slot, rows_n + slots, rows_n + slots)),
        column=np.concatenate(
            (base.column, np.arange(flows.unit.size), columns_n + slots, columns_n + slots_n + slots)
        ),
        value=np.concatenate((base.value, way, np.full(2 * slots_n, -1.0))),
        row_low=np.concatenate((base.row_low, np.zeros(slots_n))),
        row_high=np.concatenate((base.row_high, np.zeros(slots_n))),
        semi=np.concatenate((base.semi, np.zeros(2 * slots_n, bool))),
    )
