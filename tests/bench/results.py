"""What was measured, as a file that is kept: the machine, the table, and what is not in it."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from aggregator.clock import RealClock
from aggregator.model.time import utc_text
from tests.bench.measure import Row, number, peak_mib

RESULTS = Path(__file__).parent / "RESULTS.md"
COLUMNS = ("what", "size", "figure", "budget", "", "runs")
GIB = 2**30

NOTES = """\
Bids' budgets stand beside table and LP; the base plans before them are a row of their own and come on top.
The month's settlement is a run of the job. A split has its cars in columns.
Maximum flow, beside the split, is scipy's; the program itself does without.

A day is the demo's 135 cars, 15:00 to 10:00, in one process (`tests/played_day.py`): 30 kW ordered in each
of three zones from 17:00 to 19:00, one order cut to 60% at 17:50, one cancelled at 18:10, three boosts,
three early departures. Noise and faults are those of `config/troubles.example.toml`. With 70 kW a zone the
orders are beyond what the cars can give: it shows floors, not tracking. While links are lost a half-hour
may be some percent off: a charger that nobody hears charges for its driver when its time has come. What the
interlock caught while the loop was made to live with all that: set-points of cars that report in steps of
5% and then lay nearer to their floors than the estimate said, again and again, as the split went on
counting on them (now it does not, and the guard is three times the noise); and a fault of its own, a car
refused room that its neighbour was about to make.

Not measured here: calibration
(`backtest`), acknowledgement by real chargers. The demo is in only after `python -m tests.bench --demo`.
"""


def peak_memory() -> Row:
    """Return the most memory this process ever held."""
    return Row("peak RSS of this process", "all of the above, tests' builders included", peak_mib(), "MiB", 1)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells, in the order of ``COLUMNS``."""
    return (
        row.what,
        row.size,
        f"{number(row.figure)} {row.unit}".rstrip(),
        row.promise,
        row.verdict,
        str(row.runs),
    )


def machine() -> str:
    """Say what the figures were measured on, and how busy it was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, {platform.system()},"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    )


def write(rows: Sequence[Row], on: str) -> None:
    """Write the table; missed budgets stay in it."""
    missed = sum(row.verdict == "MISSED" for row in rows)
    budgets = sum(row.budget is not None for row in rows)
    lines = [
        "# Measured speed and memory",
        "",
        f"Written by `make bench` on {utc_text(RealClock().now().replace(microsecond=0))}: {on}.",
        f"Medians on the wall clock, budgets for 2 cores: {budgets - missed} of {budgets} met.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---:|---|---|---:|",
        *(f"| {' | '.join(cells(row))} |" for row in rows),
        "",
        NOTES,
    ]
    RESULTS.write_text("\n".join(lines), encoding="utf-8")
