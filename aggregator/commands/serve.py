"""``flexloop serve`` and ``flexloop demo``: the programs that stay."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import structlog
import typer

from aggregator.app import serve
from aggregator.commands.context import Context
from aggregator.config import Settings
from aggregator.demo.run import run_demo
from aggregator.ports import Clock
from aggregator.problems import solver_choice
from aggregator.solver import SolverChoice, must_solve
from aggregator.store import Hold, Store
from aggregator.takeover import take_over

log = structlog.get_logger()

DEMO_OUT = Path("demo-out")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve_command)
    app.command("demo")(demo_command)


def serve_command(context: typer.Context) -> int:
    """Run the store's one gateway until SIGTERM or SIGINT; cars are released before it ends."""
    shared: Context = context.obj
    settings = shared.settings()
    must_solve(solver_choice(settings.bidding))
    with shared.store(create=True) as store, store.held() as hold:
        clock = shared.clock()
        take_over(store, shared.timekeeping, clock.now())
        return asyncio.run(_serve_until_signal(settings, store, hold, clock))


async def _serve_until_signal(settings: Settings, store: Store, hold: Hold, clock: Clock) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        await serve(settings, store, clock, stop, hold)
    except ExceptionGroup as crashed:
        log.exception("worker_crashed", exc_info=crashed)
        return 1
    return 0


def demo_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything it leaves.")] = DEMO_OUT,
    seed: Annotated[int, typer.Option("--seed", help="For the simulated cars' noise.")] = 1,
    desk: Annotated[
        str | None,
        typer.Option("--desk", help="Serve the desk in the browser meanwhile.", metavar="HOST:PORT"),
    ] = None,
) -> int:
    """Run one real winter weekday, end to end, on a fast clock."""
    shared: Context = context.obj
    must_solve(SolverChoice())
    return run_demo(out, seed, as_json=shared.as_json, desk=desk)
