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
    """Run the demo once.

    Raises:
        RuntimeError: If it broke a promise: its time would mean nothing.
    """
    peaks: dict[int, int] = {}
    with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
        command = [sys.executable, "-m", "aggregator", "demo", "--json", "--out", str(Path(folder) / "out")]
        start = perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
            while demo.poll() is None:
                look(demo.pid, peaks)
                sleep(LOOK_EVERY_S)
        seconds = perf_counter() - start
    if demo.returncode:
        raise RuntimeError(f"flexloop demo ended with {demo.returncode}")
    yield Row("flexloop demo, wall time", SIZE, seconds, "s", 1, WALL_S)
    if peaks:
        total = sum(peaks.values()) / KIB_PER_MIB
        yield Row("flexloop demo, peak RSS, all processes", SIZE, total, "MiB", 1, MEMORY_MIB)


def look(pid: int, peaks: dict[int, int]) -> None:
    """Note the peak memory of a process and of those it started; nothing where there is no /proc. [KiB]

    Their sum is an upper bound: they need not peak at once, and share what they load.
    """
    for line in _lines(PROCESSES / str(pid) / "status"):
        if line.startswith("VmHWM:"):
            peaks[pid] = max(peaks.get(pid, 0), int(line.split()[1]))
    for line in _lines(PROCESSES / str(pid) / "task" / str(pid) / "children"):
        for child in line.split():
            look(int(child), peaks)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):  # it ended meanwhile
        return []
