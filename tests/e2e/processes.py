"""``flexloop`` processes forked from a server that has everything imported: a new one is there at once."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from aggregator.cli import run
from aggregator.demo.run import Stage

PATIENCE_S = 60.0
LOOK_S = 0.02
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["aggregator.cli", *(f"aggregator.commands.{name}" for name in ("serve", "simulate", "readings"))]
)


def play(arguments: Sequence[str], log_file: Path) -> None:
    """Be a ``flexloop`` process that logs to a file."""
    with log_file.open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    sys.exit(run(arguments))


def fork(arguments: Sequence[str], log_file: Path, stack: ExitStack) -> ForkServerProcess:
    """Start a ``flexloop`` command; closing ``stack`` kills it if it still runs."""
    process = FORKS.Process(target=play, args=(list(arguments), log_file))
    process.start()
    stack.callback(process.kill)
    return process


def fork_gateway(stage: Stage, stack: ExitStack) -> ForkServerProcess:
    """Start ``flexloop serve`` on a folder that the demo laid out."""
    return fork(gateway_arguments(stage), stage.out / "gateway.log", stack)


def fork_dno(stage: Stage, stack: ExitStack) -> ForkServerProcess:
    """Start ``flexloop simulate dno`` on a folder that the demo laid out; return once it is there."""
    arguments = [
        *("--clock", str(stage.out / "clock.json"), "simulate", "dno"),
        *("--scenario", str(stage.out / "scenario.toml"), "--out", str(stage.out / "dno")),
        *("--listen", f"127.0.0.1:{stage.vtn_port}"),
    ]
    dno = fork(arguments, stage.out / "dno.log", stack)
    wait((stage.out / "dno" / "messages.jsonl").exists)
    return dno


def gateway_arguments(stage: Stage) -> list[str]:
    """Return what ``flexloop`` is told to serve on a folder that the demo laid out."""
    shared = ["--clock", str(stage.out / "clock.json"), "--config", str(stage.out / "gateway.toml")]
    return [*shared, "--database", stage.url, "serve"]


def wait(until: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: If it does not within ``patience_s`` wall seconds.
    """
    deadline = time.monotonic() + patience_s
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience_s} s")
        time.sleep(LOOK_S)
