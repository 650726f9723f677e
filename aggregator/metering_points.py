"""Where a product is metered: at the cars' chargers (asset), or at the boundaries of their homes.

At the boundary all homes of the zone count, house and panels included. A half-hour in which one of them has
no registers on both sides counts as its baseline: a gap is never zero, nor is part of a zone the whole. A
nomination is what cars are planned to do; there it is less what their houses are stated to draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aggregator.model.fleet import Fleet
from aggregator.model.market import Nomination, Product
from aggregator.model.metering import Reading
from aggregator.model.time import Interval
from aggregator.settlement import Metered, metered
from aggregator.store import Store
from aggregator.store.readings import Readings

WH_PER_KWH = 1000.0


@dataclass(frozen=True, slots=True)
class MeteringPoint:
    """The meters of a zone that a product is settled by.

    Attributes:
        registers: Where what they showed is kept.
        car_of: By meter, the car at which its share is told; of a home's boundary its first one.
        at_boundary: Whether these are the homes' meters.
        fleet: In force when the window starts.
        zone: Whose meters.
    """

    registers: Readings
    car_of: Mapping[str, str]
    at_boundary: bool
    fleet: Fleet
    zone: str

    @classmethod
    def of(cls, store: Store, product: Product, fleet: Fleet, zone: str) -> "MeteringPoint":
        """Return a product's meters in a zone."""
        cars = fleet.in_zone(zone)
        if product.metering_point != "boundary":
            by_charger = {car.charger.charger_id: car.car_id for car in cars}
            return cls(store.readings, by_charger, at_boundary=False, fleet=fleet, zone=zone)
        by_home = {car.site.site_id: car.car_id for car in reversed(cars)}
        return cls(store.boundary_readings, by_home, at_boundary=True, fleet=fleet, zone=zone)

    def metered(
        self, readings: Mapping[str, Sequence[Reading]], periods: Sequence[Interval]
    ) -> dict[Interval, tuple[Metered, ...]]:
        """Return each meter's net export in each half-hour: see `aggregator.settlement.metered`."""
        found = metered(readings, periods)
        if not self.at_boundary:
            return found
        known = {name: (rows[0].measured_at, rows[-1].measured_at) for name, rows in readings.items() if rows}
        return {
            period: row
            if set(known) == set(self.car_of)
            and all(first <= period.start and last >= period.end for first, last in known.values())
            else ()
            for period, row in found.items()
        }

    def nominated(self, one: Nomination) -> Nomination:
        """Return a nomination as it stands at this metering point."""
        if not self.at_boundary:
            return one
        sites = {car.site.site_id: car.site for car in self.fleet.in_zone(self.zone)}
        house_kw = sum(site.house_kw(one.period.start) for site in sites.values())
        return replace(one, export_wh=one.export_wh - round(house_kw * one.period.hours * WH_PER_KWH))
