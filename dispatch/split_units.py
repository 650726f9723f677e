"""What the programs of the split decide on: units, each a car or a group of like cars, and site rooms."""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, IntArray
from dispatch.split_fleet import Fleet

FREE = -1
"""Site of a unit that no site limit can bind."""


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Things that move energy one way, shapes (units,) or (units, slots), energies in kWh at the charger.

    Attributes:
        sign: +1 gives to the grid, -1 takes.
        site: Row in the rooms, or FREE.
        low_kwh: Least in each slot.
        high_kwh: Most in each slot.
        least_kwh: Least in each slot unless 0; 0 where any power can be held.
        total_low_kwh: Least over the event.
        total_high_kwh: Most over the event.
    """

    sign: FloatArray
    site: IntArray
    low_kwh: FloatArray
    high_kwh: FloatArray
    least_kwh: FloatArray
    total_low_kwh: FloatArray
    total_high_kwh: FloatArray

    def at(self, rows: IntArray | BoolArray) -> "Units":
        """Return the chosen units."""
        return Units(*(getattr(self, name)[rows] for name in self.__slots__))

    def joined(self, other: "Units") -> "Units":
        """Return these units and then the others."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return Units(*(np.concatenate(pair) for pair in pairs))


def units_of(fleet: Fleet, first_kwh: FloatArray, *, up: bool) -> Units:
    """Return one unit per car, in order; must-charge cars still without what they have to reach.

    Args:
        fleet: The cars.
        first_kwh: What cars below their floor take first, shape (cars, slots).
        up: Whether free cars export (else they charge).
    """
    gives = ~fleet.must & up
    own = np.where(gives[:, None], fleet.discharge_kwh, fleet.charge_kwh)
    least = np.where(gives[:, None], fleet.least_kwh, 0.0)
    high = np.minimum(own, _alone_kwh(fleet, gives))
    high = np.where(high < least, 0.0, high)
    return Units(
        sign=np.where(gives, 1.0, -1.0),
        site=fleet.site,
        low_kwh=np.minimum(first_kwh, high),
        high_kwh=high,
        least_kwh=least,
        total_low_kwh=np.zeros(fleet.must.size),
        total_high_kwh=np.where(gives, fleet.exportable_kwh, fleet.headroom_kwh),
    )


def import_bound(fleet: Fleet, units: Units) -> BoolArray:
    """Return the sites where the cars that must charge can't all do so at full power, shape (sites,)."""
    asked = _per_site(fleet, np.where(fleet.must[:, None], units.high_kwh, 0.0))
    bound: BoolArray = np.any(asked > fleet.import_room_kwh + 1e-12, axis=1)
    return bound


def unbound(fleet: Fleet, units: Units) -> BoolArray:
    """Return the units that no site limit can bind, whatever the cars do, shape (units,)."""
    given = _per_site(fleet, np.where(units.sign[:, None] > 0, units.high_kwh, 0.0))
    taken = _per_site(fleet, np.where(units.sign[:, None] < 0, units.high_kwh, 0.0))
    above = (given > fleet.export_room_kwh + 1e-12) & ((given > 0) | (taken > 0))
    below = taken > fleet.import_room_kwh + 1e-12
    loose: BoolArray = ~np.any(above | below, axis=1)[fleet.site]
    return loose


def _alone_kwh(fleet: Fleet, gives: BoolArray) -> FloatArray:
    """Return what the site leaves to a car in each slot where no car of the other sign can make room."""
    sites = fleet.export_room_kwh.shape[0]
    can_give = gives & (fleet.exportable_kwh > 0)
    takers = np.bincount(fleet.site, ~gives, minlength=sites) > 0
    givers = np.bincount(fleet.site, can_give, minlength=sites) > 0
    mixed = (takers & givers)[fleet.site][:, None]
    room = np.where(gives[:, None], fleet.export_room_kwh[fleet.site], fleet.import_room_kwh[fleet.site])
    return np.where(mixed, np.inf, np.maximum(0.0, room))


def _per_site(fleet: Fleet, kwh: FloatArray) -> FloatArray:
    """Return the sums over each site's cars, shape (sites, slots). [kWh]"""
    sums = np.zeros_like(fleet.export_room_kwh)
    np.add.at(sums, fleet.site, kwh)
    return sums
