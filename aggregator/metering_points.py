"""Where a product is metered: at the cars' chargers (asset), or at the boundaries of their homes.

At the boundary all homes of the zone count, house and panels included. A half-hour in which one of them has
no registers on both sides counts as its baseline: a gap is never zero, nor is part of a zone the whole. What
a meter operator's file says of a half-hour counts in place of the registers. A
nomination is what cars are planned to do; there it is less what their houses are stated to draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.market import Nomination, Product
from aggregator.model.metering import Reading
from aggregator.model.time import Interval
from aggregator.operators_meters import NOTHING_TOLD, Told, told_by_operators
from aggregator.settlement import Metered, metered
from aggregator.store import Store
from aggregator.store.intervals import MeteredIntervals
from aggregator.store.readings import Readings

WH_PER_KWH = 1000.0
AROUND = timedelta(hours=1)
"""Readings this far around a window are looked at, to interpolate a boundary that has none."""


@dataclass(frozen=True, slots=True)
class MeteringPoint:
    """The meters of a zone that a product is settled by.

    Attributes:
        registers: Where what they showed is kept.
        intervals: Where their operators' files are.
        car_of: By meter, the car at which its share is told; of a home's boundary its first one.
        at_boundary: Whether these are the homes' meters.
        fleet: In force when the window starts.
        zone: Whose meters.
    """

    registers: Readings
    intervals: MeteredIntervals
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
            return cls(store.readings, store.intervals, by_charger, at_boundary=False, fleet=fleet, zone=zone)
        by_home = {car.site.site_id: car.car_id for car in reversed(cars)}
        kept = store.boundary_readings, store.boundary_intervals
        return cls(*kept, by_home, at_boundary=True, fleet=fleet, zone=zone)

    def told(self, periods: Sequence[Interval], as_known_at: datetime | None = None) -> Told:
        """Return what the meters' operators say of half-hours."""
        return told_by_operators(self.intervals, sorted(self.car_of), periods, as_known_at)

    def learnt_after(self, window: Interval, since: datetime) -> Mapping[tuple[str, datetime], datetime]:
        """Return when the newest was learnt of a window, after an instant, by meter and half-hour's start."""
        meters = sorted(self.car_of)
        found = [kept.learnt_after(meters, window, since) for kept in (self.registers, self.intervals)]
        return {
            key: max(one[key] for one in found if key in one) for key in {key for one in found for key in one}
        }

    def metered(
        self,
        readings: Mapping[str, Sequence[Reading]],
        periods: Sequence[Interval],
        told: Told = NOTHING_TOLD,
    ) -> dict[Interval, tuple[Metered, ...]]:
        """Return each meter's net export in each half-hour: see `aggregator.settlement.metered`.

        Args:
            readings: Per meter, ascending by ``measured_at``.
            periods: Consecutive half-hours.
            told: What their operators say.
        """
        by_register = metered(readings, periods)
        spans = {name: (rows[0].measured_at, rows[-1].measured_at) for name, rows in readings.items() if rows}
        by_operator: dict[Interval, dict[str, Metered]] = {}
        for (meter, period), wh in told.items():
            one = Metered(meter, wh, estimated=False, imported=True)
            by_operator.setdefault(period, {})[meter] = one
        found = {}
        for period in periods:
            row = {one.charger_id: one for one in by_register[period] if self._counts(one, spans, period)}
            row |= by_operator.get(period, {})
            whole = not self.at_boundary or set(row) == set(self.car_of)
            found[period] = tuple(row[name] for name in sorted(row)) if whole else ()
        return found

    def _counts(self, one: Metered, spans: Mapping[str, tuple[datetime, datetime]], period: Interval) -> bool:
        """Whether a figure from registers counts: at a boundary they must be known on both sides."""
        first, last = spans[one.charger_id]
        return not self.at_boundary or (first <= period.start and last >= period.end)

    def nominated(self, one: Nomination) -> Nomination:
        """Return a nomination as it stands at this metering point."""
        if not self.at_boundary:
            return one
        sites = {car.site.site_id: car.site for car in self.fleet.in_zone(self.zone)}
        house_kw = sum(site.house_kw(one.period.start) for site in sites.values())
        return replace(one, export_wh=one.export_wh - round(house_kw * one.period.hours * WH_PER_KWH))


def registers(
    kept: Readings, meters: Sequence[str], window: Interval, as_known_at: datetime | None = None
) -> dict[str, list[Reading]]:
    """Return each meter's readings in and around a window, ascending, those without any left out.

    A meter that was silent at either end brings what it told on both sides of its silence, however long that
    was: a gap is read on the line across it. A register that nobody has seen since stands where it stood.
    """
    wide = Interval(window.start - AROUND, window.end + AROUND)
    found: dict[str, list[Reading]] = {}
    for reading in kept.between(meters, wide, as_known_at=as_known_at):
        found.setdefault(reading.charger_id, []).append(reading)
    silent = [name for name in meters if not _tells(found.get(name, ()), window)]
    sides = kept.at_or_around(silent, [window.start, window.end], as_known_at)
    for name in silent:
        before, after = sides[name, window.start].before, sides[name, window.end].after
        if before is not None:
            last = wide.end if after is None else max(wide.end, after.measured_at + AROUND)
            across = Interval(min(wide.start, before.measured_at - AROUND), last)
            found[name] = list(kept.between([name], across, as_known_at=as_known_at))
    return dict(sorted(found.items()))


def _tells(told: Sequence[Reading], window: Interval) -> bool:
    return bool(told) and told[0].measured_at <= window.start and told[-1].measured_at >= window.end
