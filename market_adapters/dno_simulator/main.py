"""Runs the simulated operator as a process: start, play the scenario, write the books, end by itself."""

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path

from aiohttp import web

from .clock import Clock, read_clock
from .edge import BadFile, Refusal
from .record import MessageLog, write_json
from .result import result
from .scenario import read_scenario
from .server import PATH, Vtn
from .state import State

OK = 0
WRONG_INPUT = 2
_HIGHEST_PORT = 65535


def run(scenario: Path, listen: str, out: Path, clock: Path | None = None) -> int:
    """Play a scenario; say on stderr what is wrong with it.

    Returns:
        0 when played, 2 if an input is wrong or the port is taken. Arguments as ``play``.
    """
    try:
        play(scenario, listen, out, clock)
    except BadFile as error:
        _say(str(error))
        return WRONG_INPUT
    return OK


def play(scenario: Path, listen: str, out: Path, clock: Path | None = None) -> None:
    """Play a scenario until it ends or the process gets SIGTERM or SIGINT.

    Args:
        scenario: TOML file.
        listen: ``host:port``; port 0 takes any free one, named on stderr.
        out: Folder for ``messages.jsonl``, ``memory.jsonl`` and ``result.json``; made if missing. A run that
            was killed is carried on from there.
        clock: JSON file of the domain clock; without it domain time is wall time.

    Raises:
        BadFile: If an input is wrong or the port is taken.
    """
    logging.getLogger("openleadr").setLevel(logging.ERROR)
    try:
        played, domain, address = read_scenario(scenario), read_clock(clock), _address(listen)
        with _listener(address) as listener:
            out.mkdir(parents=True, exist_ok=True)
            state = State(played, out / "memory.jsonl", domain.now())
            with MessageLog(out / "messages.jsonl", domain) as log:
                asyncio.run(_serve(state, domain, log, out / "result.json", listener))
    except OSError as error:
        raise BadFile(_explained(error, listen)) from None


async def _serve(
    state: State, clock: Clock, log: MessageLog, result_file: Path, listener: socket.socket
) -> None:
    scenario = state.scenario

    def write_books() -> None:
        write_json(result_file, result(scenario, state.book, clock.now(), log.counts))

    stop = asyncio.Event()
    vtn = Vtn(scenario, clock, state, log, write_books)
    tls = None if scenario.tls is None else scenario.tls.context()
    runner = web.AppRunner(vtn.app, shutdown_timeout=2.0, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        _say(f"listening on {'http' if tls is None else 'https'}://{_authority(runner)}{PATH}")
        write_books()
        clock.started()
        await _first(stop.wait(), clock.sleep_until(scenario.ends_at))
    finally:
        await runner.cleanup()
    write_books()


async def _first(*waits: Coroutine[object, object, object]) -> None:
    """Wait until one of them is over; the others end as well."""
    tasks = [asyncio.create_task(one) for one in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _authority(runner: web.AppRunner) -> str:
    host, port, *_ = runner.addresses[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise BadFile(Refusal("listen", listen, "host:port, such as 127.0.0.1:8080"))
    return host.strip("[]"), int(port)


def _listener(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens: nothing is written before it is known that the port is ours."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.create_server(address, family=family)


def _explained(error: OSError, listen: str) -> Refusal:
    if error.errno == errno.EADDRINUSE:
        return Refusal("listen", listen, "the port is in use by another program")
    if error.filename is not None:
        allowed = f"a path that can be written ({error.strerror})"
        return Refusal("out", str(error.filename), allowed)
    return Refusal("listen", listen, f"an address of this machine ({error.strerror or error})")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
