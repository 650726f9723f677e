"""Meter registers that do not just count on: restarts, roll-overs and jumps, and the gaps between readings.

A register counts all energy that ever passed, so what passed between two readings is the difference. Where it
falls, that is no energy:

- it rolled over, where one of the usual counters would have come that far at a charger's power: the energy
  is what is left to the counter's end, and the new reading;
- else it restarted, as a new meter or charger does: what passed across it is unknown, and counts as nothing;
- a single reading that falls, with the next one back where it was, was wrong, and is left aside.

A rise that no charger makes is a jump, to another meter's register for one: unknown as well. So energy across
such an event is never negative and never invented; settlement counts none, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from operator import attrgetter, sub

from aggregator.model.metering import Reading
from aggregator.model.time import HOUR, MICROSECOND, Interval

MOST_W = 100_000
"""More than any home's charger or supply moves. [W]"""

COUNTERS_WH: tuple[int, ...] = (*(10**digits for digits in range(6, 13)), 2**31, 2**32)
"""Where usual counters begin again at 0. [Wh]"""

REGISTERS = ("import_wh", "export_wh")


class EventKind(StrEnum):
    """What became of a register."""

    RESTART = "restart"
    ROLL_OVER = "roll-over"
    JUMP = "jump"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class RegisterEvent:
    """What happened to a register between two readings.

    Attributes:
        meter_id: Whose.
        register: ``import_wh`` or ``export_wh``.
        kind: What.
        since: When the reading before was measured.
        at: When the reading was measured that shows it.
        before_wh: What the register showed. [Wh]
        after_wh: What it showed then. [Wh]
    """

    meter_id: str
    register: str
    kind: EventKind
    since: datetime
    at: datetime
    before_wh: int
    after_wh: int

    @property
    def counts(self) -> bool:
        """Whether the energy across it is known."""
        return self.kind is EventKind.ROLL_OVER


def run_on(readings: Sequence[Reading]) -> tuple[list[Reading], list[RegisterEvent]]:
    """Return one meter's readings as if its registers had counted on, and what had to be mended for it.

    Args:
        readings: Of one meter, ascending by ``measured_at``.

    Returns:
        Readings with registers that never fall, without those that were wrong; the events in their order.
    """
    if _just_count(readings):
        return list(readings), []
    events: list[RegisterEvent] = []
    for register in REGISTERS:
        events += _events(readings, register)
    wrong = {event.at for event in events if event.kind is EventKind.WRONG}
    mended, added = [], dict.fromkeys(REGISTERS, 0)
    steps = {(event.register, event.at): _offset(event) for event in events}
    for reading in readings:
        if reading.measured_at in wrong:
            continue
        for register in REGISTERS:
            added[register] += steps.get((register, reading.measured_at), 0)
        shown = {register: getattr(reading, register) + added[register] for register in REGISTERS}
        mended.append(replace(reading, **shown))
    return mended, sorted(events, key=lambda event: (event.at, event.register))


def is_energy(before: Reading, after: Reading) -> bool:
    """Whether both registers just counted on from one reading to a later one of the same meter."""
    return next(events_between(before, after), None) is None


def events_between(before: Reading, after: Reading) -> Iterator[RegisterEvent]:
    """Yield what happened to a meter's registers from one reading to the next, by what is known then."""
    for register in REGISTERS:
        yield from _events((before, after), register)


def net_wh_at(before: Reading, after: Reading, instant: datetime) -> int:
    """Return export less import register at an instant between two readings, or at both. [Wh]"""
    import_wh, export_wh = registers_at(before, after, instant)
    return export_wh - import_wh


def registers_at(before: Reading, after: Reading, instant: datetime) -> tuple[int, int]:
    """Return import and export register at an instant between two readings, or at both. [Wh]

    What each register gained by then is read on the straight line between them, in whole Wh, half to even,
    without any float: so it is the same wherever it is asked for, and whatever the registers began with.
    """
    apart = after.measured_at - before.measured_at
    part = (
        Fraction((instant - before.measured_at) // MICROSECOND, apart // MICROSECOND)
        if apart
        else Fraction(0)
    )
    took = round(part * (after.import_wh - before.import_wh))
    gave = round(part * (after.export_wh - before.export_wh))
    return before.import_wh + took, before.export_wh + gave


@dataclass(frozen=True, slots=True)
class Gap:
    """Where one meter told nothing for longer than it may.

    Attributes:
        during: When, within what was looked at.
        is_quiet: Whether its registers stood still across it: an unplugged charger may tell nothing. Unknown
            counts as no.
    """

    during: Interval
    is_quiet: bool


def gaps(
    readings: Sequence[Reading], span: Interval, longest: timedelta, before: Reading | None = None
) -> Iterator[Gap]:
    """Yield where one meter told nothing for longer than it may, within a span.

    Args:
        readings: Of one meter in the span, ascending by ``measured_at``.
        span: What is looked at.
        longest: Between two readings, or between one and an end of the span.
        before: The meter's last reading before the span.
    """
    known = [
        (span.start, before),
        *((reading.measured_at, reading) for reading in readings),
        (span.end, None),
    ]
    for (start, last), (end, following) in pairwise(known):
        if end - start > longest:
            yield Gap(Interval(start, end), last is not None and _stands_still(last, following))


def _stands_still(before: Reading, after: Reading | None) -> bool:
    return after is not None and all(getattr(before, one) == getattr(after, one) for one in REGISTERS)


def _just_count(readings: Sequence[Reading]) -> bool:
    """Whether nothing can be odd: the quick look that is enough for nearly all."""
    if len(readings) < 2:  # noqa: PLR2004 - nothing to compare
        return True
    at = [reading.measured_at for reading in readings]
    most_wh = MOST_W * (min(map(sub, at[1:], at)) / HOUR)
    for register in map(attrgetter, REGISTERS):
        shown = list(map(register, readings))
        steps = list(map(sub, shown[1:], shown))
        if min(steps) < 0 or max(steps) > most_wh:
            return False
    return True


def _events(readings: Sequence[Reading], register: str) -> Iterator[RegisterEvent]:
    last: Reading | None = None
    for n, reading in enumerate(readings):
        if last is not None:
            before, after = getattr(last, register), getattr(reading, register)
            following = getattr(readings[n + 1], register) if n + 1 < len(readings) else None
            kind = _kind(before, after, following, reading.measured_at - last.measured_at)
            if kind is not None:
                at = reading.measured_at
                yield RegisterEvent(reading.charger_id, register, kind, last.measured_at, at, before, after)
            if kind is EventKind.WRONG:
                continue
        last = reading


def _kind(before: int, after: int, following: int | None, apart: timedelta) -> EventKind | None:
    """Return what a step from one reading to the next is, None for energy."""
    most_wh = MOST_W * (apart / HOUR)
    if after >= before:
        return EventKind.JUMP if after - before > most_wh else None
    if any(0 <= end - before + after <= most_wh for end in COUNTERS_WH if before < end):
        return EventKind.ROLL_OVER
    return EventKind.WRONG if following is not None and following >= before else EventKind.RESTART


def _offset(event: RegisterEvent) -> int:
    """Return by how much a register is behind from an event on. [Wh]"""
    if event.kind is EventKind.WRONG:
        return 0
    if event.kind is not EventKind.ROLL_OVER:
        return event.before_wh - event.after_wh
    return min(end for end in COUNTERS_WH if end > event.before_wh and _fits(event, end))


def _fits(event: RegisterEvent, end: int) -> bool:
    return end - event.before_wh + event.after_wh <= MOST_W * ((event.at - event.since) / HOUR)
