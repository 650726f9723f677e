"""Sharing a site's import and export room among its cars, slot by slot (P4)."""

from collections.abc import Sequence

import numpy as np

from aggregator.energy.cars import BoolArray, FloatArray, IntArray


def by_site(values: FloatArray, site: IntArray, sites: int) -> FloatArray:
    """Return the sums of ``values``, shape (cars, slots), over each site's cars, shape (sites, slots)."""
    sums = np.zeros((sites, values.shape[1]))
    np.add.at(sums, site, values)
    return sums


def over_room(values: FloatArray, site: IntArray, room_kwh: FloatArray) -> BoolArray:
    """Return which sites exceed their room in any slot, shape (sites,).

    Args:
        values: AC energy per car and slot, shape (cars, slots). [kWh AC]
        site: Index of each car's site.
        room_kwh: Room per slot, shape (sites,). [kWh AC]
    """
    sums = by_site(values, site, len(room_kwh))
    return np.asarray((sums > room_kwh[:, None] + 1e-9).any(axis=1))


def share_room(asked: Sequence[FloatArray], site: IntArray, room_kwh: FloatArray) -> FloatArray:
    """Grant each car part of its site's room, so that the sum never exceeds the room.

    Args:
        asked: What the cars ask for in all, most urgent first, each of shape (cars, slots): an asker that
            was granted its more urgent part asks only for the rest. Within one urgency the room is shared
            in proportion. [kWh AC]
        site: Index of each car's site.
        room_kwh: Room per slot, shape (sites,). [kWh AC]

    Returns:
        At most the last of ``asked``, shape (cars, slots). [kWh AC]
    """
    granted = np.zeros_like(asked[0])
    left = np.repeat(room_kwh[:, None], granted.shape[1], axis=1)
    for ask in asked:
        more = np.maximum(0.0, ask - granted)
        sums = by_site(more, site, len(room_kwh))
        scale = np.minimum(1.0, left / np.maximum(sums, 1e-12))
        granted += more * scale[site]
        left = np.maximum(0.0, left - sums * scale)
    return granted
