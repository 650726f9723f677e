"""What a meter's two registers counted from one instant to the next, in whole Wh.

Each register is read on the straight line between its neighbours, or held before the first and beyond the
last one, and rounded once at each instant: so steps add to the Wh, over whatever spans they are summed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from aggregator.model.metering import Reading
from aggregator.registers import run_on

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """One meter's steps between consecutive instants, all of shape (instants - 1,).

    Attributes:
        import_wh: What its import register counted. [Wh]
        export_wh: What its export register counted. [Wh]
        estimated: Whether a reading missing at an end could have changed it.
        restarted: Whether a register did not count on, so that some energy is unknown and not in it.
    """

    import_wh: IntArray
    export_wh: IntArray
    estimated: BoolArray
    restarted: BoolArray


def counted(shown: Sequence[Reading], instants: Sequence[datetime]) -> Counted:
    """Return what a meter counted between instants; registers are mended as ``registers`` says.

    Args:
        shown: Its readings, at least one, ascending by ``measured_at``.
        instants: Ascending, at least two.
    """
    known, events = run_on(shown)
    at_s = np.array([instant.timestamp() for instant in instants])
    stamps = np.array([reading.measured_at.timestamp() for reading in known])
    before = np.clip(np.searchsorted(stamps, at_s, side="right") - 1, 0, len(known) - 1)
    after = np.clip(np.searchsorted(stamps, at_s, side="left"), 0, len(known) - 1)
    sure = (at_s >= stamps[0]) & (at_s <= stamps[-1])
    steps = []
    for field in ("import_wh", "export_wh"):
        register = np.array([getattr(reading, field) for reading in known], dtype=float)
        steps.append(np.diff(np.round(np.interp(at_s, stamps, register)).astype(np.int64)))
        sure &= (stamps[before] == at_s) | (register[before] == register[after])
    restarted = np.zeros(len(at_s) - 1, dtype=np.bool_)
    for event in events:
        if not event.counts:
            restarted |= (event.since.timestamp() < at_s[1:]) & (event.at.timestamp() > at_s[:-1])
    return Counted(steps[0], steps[1], ~(sure[:-1] & sure[1:]), restarted)
