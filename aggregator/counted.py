"""What a meter's two registers counted from one instant to the next, in whole Wh.

Each register is read on the straight line between its neighbours, or held before the first and beyond the
last one, and rounded once at each instant: so steps add to the Wh, over whatever spans they are summed.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from aggregator.model.metering import Reading
from aggregator.registers import REGISTERS, registers_at, run_on

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
    stamps = [reading.measured_at for reading in known]
    registers, sure = [], []
    for at in instants:
        before = known[max(bisect_right(stamps, at) - 1, 0)]
        after = known[min(bisect_left(stamps, at), len(known) - 1)]
        registers.append(registers_at(before, after, at))
        stood_still = all(getattr(before, name) == getattr(after, name) for name in REGISTERS)
        sure.append(stamps[0] <= at <= stamps[-1] and (before.measured_at == at or stood_still))
    import_wh, export_wh = np.diff(np.array(registers, dtype=np.int64), axis=0).T
    unknown = [event for event in events if not event.counts]
    restarted = [
        any(one.since < end and one.at > start for one in unknown) for start, end in pairwise(instants)
    ]
    estimated = [not (one and other) for one, other in pairwise(sure)]
    return Counted(import_wh, export_wh, np.array(estimated), np.array(restarted))
