"""Cars whose plans overload a site's connection: what each does so that all stay within its room (P4).

What is urgent, charging to the floor, shares the room first. The rest is the joint optimum (`joint`), some
dozens of cars at a time, which costs least. Each car then plans alone within what it was granted: that keeps
its cost, and brings the rules that a linear programme does not know (full power throughout for who comes too
late, even discharge).
"""

from collections.abc import Iterator

import numpy as np

from aggregator.energy.alone import Bounds, Scene, Trades, alone, full_power, until_floor
from aggregator.energy.cars import IntArray
from aggregator.energy.joint import least_cost
from aggregator.energy.rooms import share_room

TOGETHER = 40
"""Cars solved together, or one site's where it has more."""


def together(scene: Scene) -> Trades:
    """Return the trades of all cars of crowded sites, within the room of their sites."""
    full = full_power(scene)
    site, hours = scene.cars.site, scene.slot_hours
    import_kwh, export_kwh = scene.cars.import_room_kw * hours, scene.cars.export_room_kw * hours
    urgent_kwh = share_room([until_floor(scene, full)], site, import_kwh)
    drawn_kwh, given_kwh = np.zeros_like(urgent_kwh), np.zeros_like(urgent_kwh)
    for rows in whole_sites(site, TOGETHER):
        drawn_kwh[rows], given_kwh[rows] = least_cost(scene.at(rows), urgent_kwh[rows])
    granted = Bounds(
        share_room([urgent_kwh, urgent_kwh + drawn_kwh, full.charge_kwh], site, import_kwh),
        share_room([given_kwh, full.discharge_kwh], site, export_kwh),
    )
    return alone(scene, granted)


def whole_sites(site: IntArray, size: int) -> Iterator[IntArray]:
    """Yield the cars of some sites at a time, about ``size`` of them, none of its sites in parts."""
    order = np.argsort(site, kind="stable")
    ends = np.flatnonzero(np.diff(site[order], append=-1))  # last car of each site
    start = 0
    while start < len(order):
        end = ends[min(int(np.searchsorted(ends, start + size - 1)), len(ends) - 1)] + 1
        yield order[start:end]
        start = end
