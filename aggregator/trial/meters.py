"""What the meters of cars and homes counted, span by span, whichever meter served them then.

A register that just counts on is read at the ends of the spans only. Of one known to have restarted or jumped
all readings are, as for a statement: what passed across the event is then unknown, and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise

import numpy as np

from aggregator.counted import BoolArray, IntArray, counted
from aggregator.metering_points import registers
from aggregator.model.fleet import Fleets
from aggregator.model.metering import Reading
from aggregator.model.time import Interval
from aggregator.registers import run_on
from aggregator.store import Store
from aggregator.store.engine import chunks
from aggregator.store.readings import Readings

TOGETHER = 50
"""Meters whose readings are in memory at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What was counted in consecutive spans, all of shape (spans,); 0 where no meter was there.

    Attributes:
        import_wh: Drawn from the grid. [Wh]
        export_wh: Given to the grid. [Wh]
        known: Whether some of it lies between a meter's first and last reading.
        estimated: Whether a reading missing at an end could have changed it.
        restarted: Whether some energy is unknown, as a register did not count on.
    """

    import_wh: IntArray
    export_wh: IntArray
    known: BoolArray
    estimated: BoolArray
    restarted: BoolArray

    @property
    def doubtful(self) -> int:
        """In how many of the spans a figure is estimated, or not all of it known."""
        return int(np.count_nonzero(self.known & (self.estimated | self.restarted)))


class Meters:
    """The meters of a store.

    Args:
        store: Where registers are.
        fleets: Whose, at any time.
        as_known_at: Only what was learnt by then; None for all.
    """

    def __init__(self, store: Store, fleets: Fleets, as_known_at: datetime | None = None) -> None:
        self._store = store
        self._fleets = fleets
        self._as_known_at = as_known_at
        self._odd: dict[str, list[Interval]] = {}
        for event in store.register_events.all():
            self._odd.setdefault(event.meter_id, []).append(Interval(event.since, event.at))

    def of_cars(self, car_ids: Sequence[str], spans: Sequence[Interval]) -> dict[str, Steps]:
        """Return what each car's charger counted in consecutive spans, by the fleet at each start."""
        fleets = [self._fleets.at(span.start) for span in spans]
        meters: dict[str, list[str | None]] = {}
        for car_id in car_ids:
            cars = [fleet.by_id.get(car_id) for fleet in fleets]
            meters[car_id] = [None if car is None else car.charger.charger_id for car in cars]
        return self._steps(self._store.readings, meters, spans)

    def of_homes(self, site_ids: Sequence[str], spans: Sequence[Interval]) -> dict[str, Steps]:
        """Return what the meter at each home's boundary counted in consecutive spans."""
        meters: dict[str, list[str | None]] = {site_id: [site_id] * len(spans) for site_id in site_ids}
        return self._steps(self._store.boundary_readings, meters, spans)

    def _steps(
        self, kept: Readings, meters_of: Mapping[str, Sequence[str | None]], spans: Sequence[Interval]
    ) -> dict[str, Steps]:
        instants = [span.start for span in spans] + [spans[-1].end]
        found: dict[str, Steps] = {}
        for names in chunks(sorted(meters_of), TOGETHER):
            wanted = sorted({meter for name in names for meter in meters_of[name] if meter is not None})
            shown = self._shown(kept, wanted, instants)
            found |= {name: _counted(meters_of[name], shown, instants) for name in names}
        return found

    def _shown(
        self, kept: Readings, meters: Sequence[str], instants: Sequence[datetime]
    ) -> dict[str, list[Reading]]:
        """Return meters' readings at or around instants; all of one that did not just count on."""
        sides: dict[str, dict[datetime, Reading]] = {meter: {} for meter in meters}
        for pair in kept.at_or_around(meters, instants, self._as_known_at).values():
            for one in (pair.before, pair.after):
                if one is not None:
                    sides[one.charger_id][one.measured_at] = one
        shown = {meter: [rows[at] for at in sorted(rows)] for meter, rows in sides.items()}
        whole = Interval(instants[0], instants[-1])
        odd = [
            meter
            for meter, rows in shown.items()
            if any(one.overlap(whole) is not None for one in self._odd.get(meter, ())) or run_on(rows)[1]
        ]
        return shown | registers(kept, odd, whole, self._as_known_at)


def _counted(
    meters: Sequence[str | None], shown: Mapping[str, Sequence[Reading]], instants: Sequence[datetime]
) -> Steps:
    """Return what was counted between instants, each span by the meter that served it."""
    size = len(meters)
    steps = Steps(
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        *(np.zeros(size, np.bool_) for _ in ("known", "estimated", "restarted")),
    )
    for meter, numbers in groupby(range(size), key=meters.__getitem__):
        rows = shown.get(meter, ()) if meter is not None else ()
        if not rows:
            continue
        first, *rest = numbers
        part = slice(first, (rest or [first])[-1] + 1)
        bounds = instants[first : part.stop + 1]
        one = counted(rows, bounds)
        steps.import_wh[part], steps.export_wh[part] = one.import_wh, one.export_wh
        steps.estimated[part], steps.restarted[part] = one.estimated, one.restarted
        first_at, last_at = rows[0].measured_at, rows[-1].measured_at
        steps.known[part] = [end > first_at and start < last_at for start, end in pairwise(bounds)]
    return steps
