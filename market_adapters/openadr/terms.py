"""One event on its way into our words: its signals by name, their numbers in our units, its intervals."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from aggregator.model.market import Direction, EventKey, Step
from aggregator.model.time import Interval, utc_text
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.units import ALLOWED_UNITS, from_wire, unit_text
from market_adapters.openadr.wire_events import WireEvent, WireInterval, WireSignal

SIMPLE = "SIMPLE"
ROUNDING = timedelta(seconds=1)
"""What the lengths of intervals may add up to beyond the active period, as they are rounded."""


class Unclear(Exception):
    """The event cannot be put into our words; the text is the call's problem."""


def listed(names: Collection[str]) -> str:
    """Return what is allowed, for a problem's text."""
    return ", ".join(names) + " allowed" if names else "none allowed"


@dataclass(frozen=True, slots=True)
class Terms:
    """An event on its way into our words."""

    key: EventKey
    event: WireEvent
    profile: Profile
    zone: str
    product_id: str
    modified_at: datetime

    @property
    def direction(self) -> Direction:
        """Which way the product moves power."""
        return self.profile.products[self.product_id]

    def signals(self, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, WireSignal]:
        """Return the signals by name; one that is not expected, doubled or missing is a problem."""
        found: dict[str, WireSignal] = {}
        for signal in self.event.signals:
            name = SIMPLE if signal.name == SIMPLE.lower() else signal.name  # the A profile's spelling
            if name not in (*needed, *optional) or name in found:
                raise Unclear(
                    f"signal {signal.name!r} is not allowed; {listed((*needed, *optional))}, each once"
                )
            found[name] = signal
        for name in needed:
            if name not in found:
                raise Unclear(f"signal {name!r} is missing; found {listed(found)}")
        return found

    def values(self, signal: WireSignal, *types: str) -> tuple[float, ...]:
        """Return a signal's numbers in our units."""
        if signal.type not in types:
            raise Unclear(f"signal type {signal.type!r} of {signal.name} is not allowed; {listed(types)}")
        found = [from_wire(signal, interval.value, self.profile.load_sign) for interval in signal.intervals]
        numbers = tuple(value for value in found if value is not None)
        if len(numbers) < len(found):
            raise Unclear(f"unit {unit_text(signal.unit)!r} of {signal.name} is not allowed; {ALLOWED_UNITS}")
        return numbers

    def magnitudes(self, signal: WireSignal, *types: str) -> tuple[float, ...]:
        """Return kW in the product's direction; against it is a problem."""
        numbers = tuple(self.direction.sign * value + 0.0 for value in self.values(signal, *types))
        if min(numbers) < 0:
            raise Unclear(
                f"sign of {signal.name} is not allowed; {self.product_id} moves {self.direction} only"
            )
        return numbers

    def window(self, signal: WireSignal) -> Interval:
        """Return the whole of a signal's intervals, which are equal, gapless and the active period."""
        spans = [_closed(interval) for interval in signal.intervals]
        whole = Interval(spans[0].start, spans[-1].end)
        equal = all(span.end - span.start == spans[0].end - spans[0].start for span in spans)
        gapless = all(before.end == after.start for before, after in pairwise(spans))
        if not (equal and gapless):
            raise Unclear(f"intervals of {signal.name} are not allowed; equal ones without gaps are")
        if (whole.start, whole.end) != (self.event.start, self.event.end):
            raise Unclear(f"intervals of {signal.name} do not fill the active period")
        return whole

    def steps(self, signal: WireSignal, values: tuple[float, ...]) -> tuple[Step, ...]:
        """Return the intervals with their values; an open end is closed as the profile says."""
        steps = []
        for interval, value in zip(signal.intervals, values, strict=True):
            end = interval.end or later(interval.start, self.profile.open_end)
            steps.append(Step(Interval(interval.start, end), value))
        if any(
            earlier.end is None or earlier.end > later.start for earlier, later in pairwise(signal.intervals)
        ):
            raise Unclear(f"intervals of {signal.name} are not allowed; in order and without overlap")
        self._must_lie_in_period(Interval(steps[0].interval.start, steps[-1].interval.end), signal)
        return tuple(steps)

    def _must_lie_in_period(self, whole: Interval, signal: WireSignal) -> None:
        """Refuse what goes beyond the active period: with that, the event is over for its platform."""
        start, end = self.event.start, self.event.end
        if whole.start < start or (end is not None and whole.end > later(end, ROUNDING)):
            period = f"{utc_text(start)} to {'no end' if end is None else utc_text(end)}"
            raise Unclear(
                f"intervals of {signal.name} from {utc_text(whole.start)} to {utc_text(whole.end)}"
                f" are not allowed; within the active period, {period}"
            )


def later(start: datetime, length: timedelta) -> datetime:
    """Return the instant so much later; one beyond the calendar is a problem."""
    try:
        return start + length
    except OverflowError:
        raise Unclear(f"start {start.isoformat()} is not allowed; one with a future is") from None


def _closed(interval: WireInterval) -> Interval:
    if interval.end is None:
        raise Unclear("intervals without an end are not allowed here; each has a duration")
    return Interval(interval.start, interval.end)
