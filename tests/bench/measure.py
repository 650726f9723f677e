"""What a measurement is, and how one is taken: medians of repeated runs on the wall clock."""

import gc
import resource
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

KIB_PER_MIB = 1024
LEAST_RUNS = 5
ENOUGH_S = 1.0
TOO_LONG_S = 6.0
"""A work so slow that five runs take longer gets fewer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        what: What was measured.
        size: On how much.
        figure: What came out.
        unit: Of the figure.
        runs: How many runs it stands on.
        budget: What it must reach, None where nothing is promised.
        at_least: Whether more is better.
    """

    what: str
    size: str
    figure: float
    unit: str
    runs: int
    budget: float | None = None
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or nothing where there is no budget."""
        if self.budget is None:
            return ""
        met = self.figure >= self.budget if self.at_least else self.figure <= self.budget
        return "met" if met else "MISSED"

    @property
    def promise(self) -> str:
        """The budget in words."""
        if self.budget is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {number(self.budget)} {self.unit}".rstrip()


def peak_mib() -> float:
    """Return the most memory this process ever held. [MiB]

    Linux hands ``ru_maxrss`` on from the process that started this one, so there its own mark is read.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB**2
    (mark,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(mark.split()[1]) / KIB_PER_MIB


def times_s(
    work: Callable[[], object], *, enough_s: float = ENOUGH_S, too_long_s: float = TOO_LONG_S
) -> list[float]:
    """Return the wall seconds of repeated runs, after one that is not counted.

    Args:
        work: What to run.
        enough_s: With five runs and this much time spent, it ends. [s]
        too_long_s: With this much time spent it ends with fewer, but at least one. [s]
    """
    gc.collect()
    gc.freeze()  # what is there already is not looked through again between the runs
    try:
        began, found = perf_counter(), [_once_s(work)]
        if found[0] < too_long_s / 2:
            found.clear()
        while perf_counter() - began < (too_long_s if len(found) < LEAST_RUNS else enough_s):
            found.append(_once_s(work))
    finally:
        gc.unfreeze()
    return found


def median_ms(
    what: str, size: str, work: Callable[[], object], budget_ms: float | None = None, **limits: float
) -> Row:
    """Return the row of a work's median time."""
    found = times_s(work, **limits)
    return Row(what, size, statistics.median(found) * 1e3, "ms", len(found), budget_ms)


def percentile_ms(found_s: list[float], share: float) -> float:
    """Return the least time that a share of all runs did not exceed. [ms]"""
    ordered = sorted(found_s)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def number(value: float) -> str:
    """Write a figure to three digits, whole ones in full."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _once_s(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    start = perf_counter()
    try:
        work()
    finally:
        seconds = perf_counter() - start
        gc.enable()
    return seconds
