"""``flexloop simulate fleet``: the simulated chargers as a program of their own."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from socket import socket
from typing import TextIO, TypeVar

from structlog import get_logger

from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Car
from aggregator.ports import Clock
from dispatch.fleet_simulator.script import read_acts, read_stays
from dispatch.fleet_simulator.server import FleetServer, listen_on, serving
from dispatch.fleet_simulator.troubles import read_troubles
from dispatch.fleet_simulator.truth import TruthLog, write_summary
from dispatch.fleet_simulator.world import World

LOG = get_logger(__name__)

T = TypeVar("T")

SHORTEST_INTERVAL_S = 0.1
LONGEST_INTERVAL_S = 86_400.0


def run(
    fleet: Sequence[Car],
    sessions: Path,
    acts: Path | None,
    listen: str,
    clock: Clock,
    out: Path,
    ends_at: datetime | None,
    seed: int,
    interval_s: float,
    troubles: Path | None = None,
    secrets: Mapping[str, str] | None = None,
) -> int:
    """Play the fleet until ``ends_at`` or a signal to stop; leave ``truth.csv`` and ``summary.json``.

    Args:
        fleet: The cars.
        sessions: CSV of when cars are plugged in.
        acts: TOML of what drivers do; None for nothing.
        listen: ``HOST:PORT``, loopback.
        clock: The domain clock; the simulation starts at what it shows.
        out: Folder for the two files, made where it is missing.
        ends_at: Domain instant; None to go on until stopped.
        seed: Of all chance, at least 0.
        interval_s: Between two reports of a plugged-in car. [s]
        troubles: TOML of what is wrong with cars and chargers; None for nothing.
        secrets: Of each car's charger; it proves its own to a gateway that asks.

    Returns:
        0.

    Raises:
        BadMessage: With every fault of the arguments and files, or if the port is in use. Nothing was played.
    """
    car_ids = [car.car_id for car in fleet]
    faults: list[Fault] = []
    stays = _gather(faults, lambda: read_stays(sessions, car_ids))
    deeds = _gather(faults, lambda: read_acts(acts, car_ids))
    wrong = _gather(faults, lambda: read_troubles(troubles, car_ids))
    if not SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
        allowed = f"a number of seconds from {SHORTEST_INTERVAL_S:g} to {LONGEST_INTERVAL_S:g}"
        faults.append(Fault("interval_s", str(interval_s), allowed))
    if seed < 0:
        faults.append(Fault("seed", str(seed), "a whole number, at least 0"))
    if not fleet:
        faults.append(Fault("fleet", "no car", "at least one car"))
    listener = _gather(faults, lambda: listen_on(listen))
    if faults or stays is None or deeds is None or wrong is None or listener is None:
        if listener is not None:
            listener.close()
        raise BadMessage(*faults)
    with listener, _truth_file(out) as file:
        truth = TruthLog(file)
        world = World(
            fleet,
            stays,
            deeds,
            starts_at=clock.now(),
            seed=seed,
            interval_s=interval_s,
            truth=truth,
            troubles=wrong,
        )
        asyncio.run(_play(FleetServer(world, clock, secrets), world, listener, ends_at))
    write_summary(out / "summary.json", world.summary())
    return 0


async def _play(server: FleetServer, world: World, listener: socket, ends_at: datetime | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(server, listener):
        LOG.info("fleet_plays", listen=listener.getsockname()[:2], starts_at=world.now.isoformat())
        playing = asyncio.create_task(server.play(ends_at), name="fleet-play")
        stopping = asyncio.create_task(stop.wait(), name="fleet-stop")
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if playing.done():
            playing.result()
        playing.cancel()


def _gather(faults: list[Fault], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except BadMessage as error:
        faults.extend(error.faults)
        return None


def _truth_file(out: Path) -> TextIO:
    try:
        out.mkdir(parents=True, exist_ok=True)
        return (out / "truth.csv").open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise BadMessage(Fault("out", str(out), f"a folder to write to ({error.strerror})")) from None
