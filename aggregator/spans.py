"""Which half-hours of a day share one battery: the windows that bids are made in.

A bid window widens over the red half-hours that touch it. Windows that then touch are one, as are windows
with a short gap, in which cars could hardly recharge. So is a window in which something is or may be bid with
a later one in which a bid of the zone stands already, and with a later run of nominated base discharge, if no
cheap half-hours lie between in which its energy would be put back: what was promised there must not be given
before. All others stand alone, the later ones for cars that may have given all they could in earlier ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aggregator.bidding.problem import MAX_SLOTS, BoolArray
from aggregator.model.time import Interval

SHORT_GAP = 4
"""Half-hours between two windows that are bid on as one."""
NOTHING_KW = 0.01
"""Base discharge below this is none: the trickle of one past day."""


@dataclass(frozen=True, slots=True)
class Span:
    """Some half-hours of a plan, from ``first`` to before ``stop``.

    Attributes:
        first: Of the plan's half-hours.
        stop: First one after it.
        committed: Whether bids stand in it already.
        base: Whether it is nothing but base discharge.
    """

    first: int
    stop: int
    committed: bool = False
    base: bool = False

    @property
    def slots(self) -> slice:
        """As a slice of the plan."""
        return slice(self.first, self.stop)

    @property
    def count(self) -> int:
        """Number of half-hours."""
        return self.stop - self.first

    def holds(self, other: "Span") -> bool:
        """Whether all of another lies in it."""
        return self.first <= other.first and other.stop <= self.stop


def span_of(window: Interval, slots: Sequence[Interval], *, committed: bool = False) -> Span | None:
    """Return the half-hours that a window touches, None where it is not within them.

    Of what is committed the part within them counts.
    """
    inside = [n for n, slot in enumerate(slots) if slot.overlap(window) is not None]
    beyond = window.start < slots[0].start or window.end > slots[-1].end
    if not inside or (beyond and not committed):
        return None
    return Span(inside[0], inside[-1] + 1, committed)


def runs_of(base_kw: Sequence[float]) -> tuple[Span, ...]:
    """Return the runs of half-hours in which base discharge is nominated."""
    found: list[Span] = []
    for slot, kw in enumerate(base_kw):
        if kw > NOTHING_KW:
            last = found[-1] if found and found[-1].stop == slot else None
            if last is not None:
                found[-1] = Span(last.first, slot + 1, base=True)
            else:
                found.append(Span(slot, slot + 1, base=True))
    return tuple(found)


def joint_spans(spans: Sequence[Span], red: BoolArray, cheap: BoolArray) -> tuple[Span, ...]:
    """Return the windows that bids are made in, in order; each given span lies in one of them.

    A red half-hour that would make a window longer than 48 is left out; so is a merger.

    Args:
        spans: Bid windows, needs and standing bids alike, and runs of base discharge.
        red: Half-hours of the peak, shape (slots,).
        cheap: Half-hours in which energy is put back, shape (slots,).
    """
    joint: list[Span] = []
    for span in sorted((_widened(span, red) for span in spans), key=lambda one: (one.first, one.stop)):
        last = joint[-1] if joint else None
        if last is not None and _shares(last, span, cheap):
            both = Span(last.first, max(last.stop, span.stop), base=last.base and span.base)
            if both.count <= MAX_SLOTS or span.first < last.stop:
                joint[-1] = both
                continue
        joint.append(span)
    return tuple(joint)


def _shares(last: Span, span: Span, cheap: BoolArray) -> bool:
    """Whether a span shares the battery with the window before it."""
    if span.first - last.stop <= SHORT_GAP or (span.committed and not last.base):
        return True
    return span.base and not cheap[last.stop : span.first].any()


def _widened(span: Span, red: BoolArray) -> Span:
    first, stop = span.first, span.stop
    while first > 0 and red[first - 1]:
        first -= 1
    while stop < len(red) and red[stop]:
        stop += 1
    wide = replace(span, first=first, stop=stop)
    return wide if wide.count <= MAX_SLOTS else span
