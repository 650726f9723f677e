"""Readings from files into the store: all of a file or nothing, and nothing twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.files.registers import Registers
from aggregator.model.metering import MeteredInterval, Reading
from aggregator.model.time import Interval
from aggregator.registers import RegisterEvent, run_on
from aggregator.store import Alarm, Store
from aggregator.store.readings import Readings

NEAR = timedelta(days=1)
"""How far beyond a file's readings the next one of our own is looked for."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file.

    Attributes:
        readings: In it, each once.
        new: Those that said something new.
        meters: How many it is about.
        events: Of registers, that were not known.
    """

    readings: int
    new: int
    meters: int
    events: tuple[RegisterEvent, ...] = ()


def import_intervals(store: Store, rows: Sequence[MeteredInterval], *, at_boundary: bool) -> Imported:
    """Store minutes or half-hours that meter operators tell."""
    kept = store.boundary_intervals if at_boundary else store.intervals
    return Imported(len(rows), kept.add(rows), len({one.meter_id for one in rows}))


def import_registers(store: Store, found: Registers, now: datetime, *, at_boundary: bool) -> Imported:
    """Store registers, with what became of those that do not just count on, each with an alarm."""
    kept = store.boundary_readings if at_boundary else store.readings
    new, events = 0, list[RegisterEvent]()
    with store.at_once():
        for meter, rows in found.by_meter(now):
            around = _around(kept, meter, rows)
            new += kept.add(rows)
            events += store.register_events.add(run_on(around)[1], now)
        tell_events(store, events, now)
    return Imported(len(found.at_us), new, len(found.meters), tuple(events))


def tell_events(store: Store, events: Iterable[RegisterEvent], at: datetime) -> None:
    """Raise an alarm about each event of a register."""
    for event in events:
        text = f"{event.register} {event.kind}: {event.before_wh} Wh, then {event.after_wh} Wh"
        store.alarms.raise_(Alarm(at, "register_event", event.meter_id, text))


def _around(kept: Readings, meter: str, rows: Sequence[Reading]) -> list[Reading]:
    """Return a meter's readings with the file's in place, from the one before to the one after these."""
    first, last = rows[0].measured_at, rows[-1].measured_at
    before = [one for one in kept.last_before([meter], first) if one.measured_at < first]
    within = kept.between([meter], Interval(first, last + NEAR))
    after = [one for one in within if one.measured_at > last][:1]
    known = {one.measured_at: one for one in (*before, *within) if one.measured_at <= last}
    known |= {one.measured_at: one for one in (*rows, *after)}
    return [known[at] for at in sorted(known)]
