"""What a fleet can deliver in a window: one number for every set of its slots, exact, losses included.

A profile can be split into what single cars can do exactly if for every set S of slots its energy in S is
at most h(S): the sums of such sets of profiles ("polymatroids") add up, and so do their numbers. A car's
own number is min(E, p D k) with k the plugged slots of S; cars that must charge are the same in mirror
image. The fleet is a small table of classes (`classes`), whatever its size; a site's limit cuts its own
cars' tables, in one pass per slot, or, where these are too many, is shared out among them (`sharing`).

Down products are the mirror: any car takes what fits into it, a car below its floor the first of it at once.
That never costs a driver the target, and energy that is planned is not counted twice: it is in the
nomination, and the bid is what can be taken beside it. An up and a down window apart in time do not hurt
each other, as a fuller car gives no less later and an emptier one takes no less. In one window they do: a
car serves one direction, and the sum of both is no polymatroid with losses.

Sources: Evans, Tindemans, Angeli, IEEE TSG 2020 (arXiv 1805.09315); Edmonds 1970 on sums of polymatroids.
"""

from dataclasses import replace

import numpy as np

from aggregator.energy.cars import TINY_KWH, BoolArray, FloatArray, IntArray
from aggregator.energy.classes import (
    Lead,
    Runs,
    class_table,
    forced_over_counts,
    mirrored,
    over_sets,
    run_over_counts,
    run_over_sets,
    with_lead,
)
from aggregator.energy.rooms import by_slot
from aggregator.energy.sharing import CELLS, bound_by_site, bunches, by_shares, cut_to_room, together
from aggregator.energy.window import FleetWindow

MOST_SLOTS = 12
"""Above this a table of 2^n numbers is the wrong tool."""

_Rows = BoolArray | IntArray


def capability_kwh(window: FleetWindow, slot_hours: float) -> FloatArray:
    """Return h(S): most net export of the fleet in every set S of the window's slots.

    Args:
        window: The cars; must-charge cars only charge, all others only discharge.
        slot_hours: Length of a slot. [h]

    Returns:
        Shape (2**slots,): bit t of the index stands for slot t. Export positive; below 0 where must-charge
        cars draw more than the others give. The entry of the empty set is 0. [kWh AC]

    Raises:
        ValueError: If the window has more than 12 slots, or ``slot_hours`` is not the window's.
    """
    return _table_kwh(window, slot_hours, up=True)


def turn_down_kwh(window: FleetWindow, slot_hours: float) -> FloatArray:
    """Return the mirror of `capability_kwh` for down products: most import in every set of slots.

    Args:
        window: The cars; all count with what fits into them.
        slot_hours: Length of a slot. [h]

    Returns:
        Shape (2**slots,), at least 0. [kWh AC]

    Raises:
        ValueError: If the window has more than 12 slots, or ``slot_hours`` is not the window's.
    """
    return _table_kwh(window, slot_hours, up=False)


def classes_kwh(window: FleetWindow, slot_hours: float, *, up: bool) -> FloatArray:
    """Return the fleet's classes for a window of any length, shared sites by fixed shares of their room.

    Args:
        window: The cars.
        slot_hours: Length of a slot. [h]
        up: Whether more export is asked for, else more import.

    Returns:
        Shape (slots + 1, slots + 1, slots + 1): what the cars that are there from a first slot to before a
        stop can do in k slots of these. h(S) is the sum over all runs of the entry for the slots of S in
        the run. Exact but for sites whose room binds and whose cars come or leave at different times, or
        charge at once: there it is less. [kWh AC]

    Raises:
        ValueError: If ``slot_hours`` is not the window's.
    """
    _check(window, slot_hours)
    bound = _bound(window, up=up)
    mixed = _mixed(window, bound, up=up)
    classes = _classes(window, window.present & ~bound, up=up)
    classes += _alike_classes(window, np.flatnonzero(bound & ~mixed), up=up)
    return classes + _shared_classes(window, np.flatnonzero(mixed), up=up)


def _table_kwh(window: FleetWindow, slot_hours: float, *, up: bool) -> FloatArray:
    _check(window, slot_hours)
    if window.slots > MOST_SLOTS:
        raise ValueError(f"a window of {window.slots} slots has no table; at most {MOST_SLOTS}")
    bound = _bound(window, up=up)
    mixed = _mixed(window, bound, up=up)
    if np.count_nonzero(mixed) << window.slots > CELLS:
        return over_sets(classes_kwh(window, slot_hours, up=up))
    classes = _classes(window, window.present & ~bound, up=up)
    table = over_sets(classes + _alike_classes(window, np.flatnonzero(bound & ~mixed), up=up))
    rows, room_kwh = np.flatnonzero(mixed), _room_kwh(window, up=up)
    for some, begins in bunches(window.site[rows], 1 << window.slots):
        each = rows[some]
        table += cut_to_room(_per_car(window, each, up=up), begins, room_kwh[window.site[each[begins]]])
    return table


def _mixed(window: FleetWindow, bound: BoolArray, *, up: bool) -> BoolArray:
    """Return the cars of bound sites whose cars come and go, or charge at once, or whose room changes."""
    sites = len(window.export_room_kw)
    at_once = (window.first_kwh if up else window.below_floor_kwh) > TINY_KWH
    rows = np.flatnonzero(bound)
    same = together(window.arrive[rows], window.depart[rows], window.site[rows], sites)
    mixed = np.bincount(window.site[rows], at_once[rows] | ~same, sites) > 0.0
    mixed |= up & window.changing
    return np.asarray(bound & mixed[window.site])


def _room_kwh(window: FleetWindow, *, up: bool) -> FloatArray:
    return (window.export_room_kw if up else window.import_room_kw) * window.slot_hours


def _check(window: FleetWindow, slot_hours: float) -> None:
    if slot_hours != window.slot_hours:
        raise ValueError(f"the window was made for slots of {window.slot_hours} h, not {slot_hours} h")


def _bound(window: FleetWindow, *, up: bool) -> BoolArray:
    if not up:
        return bound_by_site(window.site, window.present, window.charge_kw, window.import_room_kw)
    gives = window.exportable_kwh > 0.0
    power_kw = np.where(gives, window.discharge_kw, 0.0)
    least_kw = by_slot(window.export_room_kw).min(axis=1)
    bound = bound_by_site(window.site, window.present, power_kw, least_kw)
    giving = np.bincount(window.site, gives, len(least_kw)) > 0.0
    bound |= window.present & (window.changing & giving)[window.site]
    return bound & (gives | window.must_charge)


def _free(window: FleetWindow, rows: _Rows, *, up: bool) -> Runs:
    """Return what cars that need not charge can do."""
    energy_kwh = window.exportable_kwh if up else window.fillable_kwh
    power_kw = window.discharge_kw if up else window.charge_kw
    return Runs(
        window.arrive[rows], window.depart[rows], energy_kwh[rows], power_kw[rows] * window.slot_hours
    )


def _must(window: FleetWindow, rows: _Rows, *, up: bool) -> tuple[Lead, Runs]:
    """Return what must-charge cars draw at once, and what else: they have to (up), or can (down)."""
    arrive, depart = window.arrive[rows], window.depart[rows]
    per_slot_kwh = (window.must_kw if up else window.charge_kw)[rows] * window.slot_hours
    if up:
        lead = Lead.of(arrive, window.first_kwh[rows], per_slot_kwh)
        return lead, lead.then(depart, window.rest_kwh[rows])
    all_kwh = per_slot_kwh * (depart - arrive)
    first_kwh = np.minimum(window.below_floor_kwh[rows], all_kwh)
    left_kwh = np.minimum(window.fillable_kwh[rows], all_kwh) - first_kwh
    lead = Lead.of(arrive, first_kwh, per_slot_kwh)
    return lead, lead.then(depart, left_kwh)


def _classes(window: FleetWindow, rows: BoolArray, *, up: bool) -> FloatArray:
    """Return the table of cars that no site binds."""
    free = class_table(_free(window, rows & ~window.must_charge, up=up), window.slots)
    must = np.flatnonzero(rows & window.must_charge)
    lead, rest = _must(window, must, up=up)
    table = class_table(rest, window.slots)
    lead_kwh = lead.total(window.slots)
    return free + (with_lead(mirrored(table), -lead_kwh) if up else with_lead(table, lead_kwh))


def _alike_classes(window: FleetWindow, rows: IntArray, *, up: bool) -> FloatArray:
    """Return the table of cars of sites where all have the same run and none charges at once.

    What such a site can do depends on the number k of slots only, and concavely: cut to the room it is the
    lesser of that and of the room k times.
    """
    slots = window.slots
    table = np.zeros((slots + 1,) * 3)
    room_kwh = _room_kwh(window, up=up)
    for some, begins in bunches(window.site[rows], slots + 1):
        each = rows[some]
        able = run_over_counts(_free(window, each, up=up), slots)
        if up:
            must = np.flatnonzero(window.must_charge[each])
            able[must] = forced_over_counts(_must(window, each[must], up=True)[1], slots)
        site = np.add.reduceat(able, begins, axis=0)
        first = each[begins]
        own_kwh = by_slot(room_kwh)[window.site[first], :1]  # the same in all slots: no site of these changes
        np.minimum(site, own_kwh * np.arange(slots + 1), out=site)
        np.add.at(table, (window.arrive[first], window.depart[first]), site)
    return table


def _shared_classes(window: FleetWindow, rows: IntArray, *, up: bool) -> FloatArray:
    """Return the table of cars of shared sites, by fixed shares of their room."""
    must = window.must_charge[rows]
    free = _free(window, rows, up=up)
    if not up:
        at_once_kwh = np.where(must, window.below_floor_kwh[rows], 0.0)
        free = replace(free, energy_kwh=np.maximum(0.0, free.energy_kwh - at_once_kwh))
    parts = by_shares(free, window.site[rows], _room_kwh(window, up=up), window.slots)
    table = class_table(parts, window.slots)
    if not up:
        return table
    forced = np.zeros(len(window.present), dtype=bool)
    forced[rows[must]] = True
    return table + _classes(window, forced, up=True)


def _per_car(window: FleetWindow, rows: IntArray, *, up: bool) -> FloatArray:
    """Return what each car can do in every set of slots, shape (cars, 2**slots). [kWh AC]"""
    slots = window.slots
    table = run_over_sets(_free(window, rows, up=up), slots)
    must = np.flatnonzero(window.must_charge[rows])
    lead, rest = _must(window, rows[must], up=up)
    first, second = np.split(run_over_sets(rest, slots), 2)
    both = first + second
    member = ((np.arange(1 << slots) >> np.arange(slots)[:, None]) & 1).astype(np.float64)
    lead_kwh = lead.per_slot(slots) @ member
    table[must] = both[:, ::-1] - both[:, -1:] - lead_kwh if up else both + lead_kwh
    return table
