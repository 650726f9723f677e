"""The demo: its wall time, and the memory of its processes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, sleep

from tests.bench.measure import Row

WALL_S, MEMORY_MIB = 90.0, 600.0
LOOK_EVERY_S = 0.2
KIB_PER_MIB = 1024
PROCESSES = Path("/proc")
SIZE = "135 cars, one day, 4 processes"


def rows() -> Iterator[Row]:
    """Run the demo once; where it broke a promise that is said first, as its time then means little."""
    rss_mib = pss_mib = 0.0
    with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
        command = [sys.executable, "-m", "aggregator", "demo", "--json", "--out", str(Path(folder) / "out")]
        start = perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
            while demo.poll() is None:
                held = [memory_kib(pid) for pid in family(demo.pid)]
                rss_mib = max(rss_mib, sum(rss for rss, _ in held) / KIB_PER_MIB)
                pss_mib = max(pss_mib, sum(pss for _, pss in held) / KIB_PER_MIB)
                sleep(LOOK_EVERY_S)
        seconds = perf_counter() - start
    yield Row("flexloop demo, exit code (1: a promise broken)", SIZE, demo.returncode, "", 1, 0)
    yield Row("flexloop demo, wall time", SIZE, seconds, "s", 1, WALL_S)
    if rss_mib:
        yield Row("flexloop demo, peak RSS of all at once", SIZE, rss_mib, "MiB", 1, MEMORY_MIB)
        yield Row("the same, what they share counted once (PSS)", SIZE, pss_mib, "MiB", 1)


def family(pid: int) -> Iterator[int]:
    """Yield a process and those it started; only itself where there is no /proc."""
    yield pid
    for line in _lines(PROCESSES / str(pid) / "task" / str(pid) / "children"):
        for child in line.split():
            yield from family(int(child))


def memory_kib(pid: int) -> tuple[int, ...]:
    """Return what a process holds now, and its share of that; zeros where /proc does not say. [KiB]"""
    found = dict(line.split(":", 1) for line in _lines(PROCESSES / str(pid) / "smaps_rollup") if "kB" in line)
    return tuple(int(found.get(name, "0").split()[0]) for name in ("Rss", "Pss"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):  # it ended meanwhile
        return []
