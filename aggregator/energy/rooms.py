"""Sharing a site's import and export room among its cars, slot by slot (P4)."""

from collections.abc import Sequence

import numpy as np

from aggregator.energy.cars import BoolArray, FloatArray, IntArray


def by_site(values: FloatArray, site: IntArray, sites: int) -> FloatArray:
    """Return the sums of ``values``, shape (cars, slots), over each site's cars, shape (sites, slots)."""
    sums = np.zeros((sites, values.shape[1]))
    np.add.at(sums, site, values)
    return sums


def by_slot(room: FloatArray) -> FloatArray:
    """Return a site's room per slot, shape (sites, slots), or (sites, 1) where it is the same in all."""
    return room if room.ndim > 1 else room[:, None]


def in_slots(room: FloatArray, first: int, stop: int) -> FloatArray:
    """Return the room of some slots of the horizon, in the same form."""
    return room[:, first:stop] if room.ndim > 1 else room


def over_room(values: FloatArray, site: IntArray, room_kwh: FloatArray) -> BoolArray:
    """Return which sites exceed their room in any slot, shape (sites,).

    Args:
        values: AC energy per car and slot, shape (cars, slots). [kWh AC]
        site: Index of each car's site.
        room_kwh: Room per slot, shape (sites,) or (sites, slots). [kWh AC]
    """
    sums = by_site(values, site, len(room_kwh))
    return np.asarray((sums > by_slot(room_kwh) + 1e-9).any(axis=1))


def share_room(asked: Sequence[FloatArray], site: IntArray, room_kwh: FloatArray) -> FloatArray:
    """Grant each car part of its site's room, so that the sum never exceeds the room.

    Args:
        asked: What the cars ask for in all, most urgent first, each of shape (cars, slots): an asker that
            was granted its more urgent part asks only for the rest. Within one urgency the room is shared
            in proportion. [kWh AC]
        site: Index of each car's site.
        room_kwh: Room per slot, shape (sites,) or (sites, slots). [kWh AC]

    Returns:
        At most the last of ``asked``, shape (cars, slots). [kWh AC]
    """
    granted = np.zeros_like(asked[0])
    left = np.tile(by_slot(room_kwh), (1, granted.shape[1] if room_kwh.ndim == 1 else 1))
    for ask in asked:
        more = np.maximum(0.0, ask - granted)
        sums = by_site(more, site, len(room_kwh))
        scale = np.minimum(1.0, left / np.maximum(sums, 1e-12))
        granted += more * scale[site]
        left = np.maximum(0.0, left - sums * scale)
    return granted
