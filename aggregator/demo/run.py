"""Runs the demo: fleet, platform and gateway as processes of their own, watched until they end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from aggregator.audit import run_audit
from aggregator.audit.evidence import Evidence
from aggregator.clock import FastClock, start_fast_clock
from aggregator.config import read_settings
from aggregator.demo import day
from aggregator.demo.result import Result, gather, load_truth, tell
from aggregator.demo.story import Story
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON, utc_text
from aggregator.reports import write_book
from aggregator.settling import make_book
from aggregator.store import open_store, upgrade

BOOT_S = 4.0
"""Wall seconds for three Python programs to start before the domain clock does."""

WATCH_S = 0.5
GRACE_S = 15.0
OWN_FILES = (
    *("flexloop.db", "flexloop.db-wal", "flexloop.db-shm", "dno", "fleet", "settlement"),
    *("gateway.log", "dno.log", "fleet.log"),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The three processes."""

    fleet: subprocess.Popen[bytes]
    dno: subprocess.Popen[bytes]
    gateway: subprocess.Popen[bytes]


def run_demo(out: Path, seed: int, *, as_json: bool) -> int:
    """Run the day; return 0 when every promise was kept and every figure is there, else 1."""
    out = out.resolve()
    say = _silent if as_json else typer.echo
    vtn_port, link_port = _free_ports(2)
    _prepare(out, vtn_port, link_port)
    started = time.monotonic()
    clock = start_clock(out)
    for pace in day.PACES:
        say(f"from {pace.since.astimezone(LONDON):%a %d %b %H:%M} on, {pace.factor:g} times real time")
    with ExitStack() as stack:
        store = stack.enter_context(open_store(store_url(out), create=False))
        programs = _start(out, vtn_port, link_port, seed, stack)
        _watch(programs, out, clock, Story(store, say))
        _end(programs)
    result = _conclude(out, time.monotonic() - started)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=1, default=str))
    else:
        tell(result, out)
    return 0 if result.good else 1


def start_clock(out: Path) -> FastClock:
    """Start the domain clock a little ahead and leave its file for the other programs."""
    clock = start_fast_clock(day.PACES, delay_s=BOOT_S)
    (out / "clock.json").write_text(clock.to_json(), encoding="utf-8")
    return clock


def _prepare(out: Path, vtn_port: int, link_port: int) -> None:
    """Lay out the folder: what an earlier run left goes, anything else is a reason to stop."""
    out.mkdir(parents=True, exist_ok=True)
    strangers = [path.name for path in out.iterdir() if path.is_dir() and path.name not in OWN_FILES]
    if strangers:
        raise BadMessage(Fault("demo: --out", str(out), f"an empty folder; {strangers[0]} lies in it"))
    for name in OWN_FILES:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    cars = day.fleet()
    texts = day.gateway_toml(vtn_port, link_port) | {
        "scenario.toml": day.scenario_toml(),
        "acts.toml": day.acts_toml(cars, day.sessions()),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    url = store_url(out)
    upgrade(url)
    with open_store(url, create=False) as store:
        store.fleet.replace(cars, imported_at=day.STARTS_AT, source="fleet.csv")


def store_url(out: Path) -> str:
    """Return the URL of the demo's store."""
    return f"sqlite:///{out / 'flexloop.db'}"


def _start(out: Path, vtn_port: int, link_port: int, seed: int, stack: ExitStack) -> Programs:
    clock = ["--clock", str(out / "clock.json")]
    fleet = [
        *("simulate", "fleet", "--fleet", str(day.DATA / "fleet.csv")),
        *("--sessions", str(day.DATA / "sessions.csv"), "--acts", str(out / "acts.toml")),
        *("--out", str(out / "fleet"), "--listen", f"127.0.0.1:{link_port}"),
        *("--ends-at", utc_text(day.ENDS_AT), "--seed", str(seed), "--interval-s", str(day.REPORTING_S)),
    ]
    dno = [
        *("simulate", "dno", "--scenario", str(out / "scenario.toml")),
        *("--out", str(out / "dno"), "--listen", f"127.0.0.1:{vtn_port}"),
    ]
    return Programs(
        fleet=_program(out, "fleet", [*clock, *fleet], stack),
        dno=_program(out, "dno", [*clock, *dno], stack),
        gateway=start_gateway(out, stack),
    )


def start_gateway(out: Path, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start ``flexloop serve`` on the demo's folder."""
    arguments = ["--clock", str(out / "clock.json"), "--config", str(out / "gateway.toml")]
    return _program(out, "gateway", [*arguments, "--database", store_url(out), "serve"], stack)


def _program(out: Path, name: str, arguments: Sequence[str], stack: ExitStack) -> subprocess.Popen[bytes]:
    log = stack.enter_context((out / f"{name}.log").open("ab"))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "aggregator", *arguments]
    program = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    stack.callback(_kill, program)
    return program


def _watch(programs: Programs, out: Path, clock: FastClock, story: Story) -> None:
    """Tell the story as it happens until the day is over and the platform has settled."""
    deadline: float | None = None
    while True:
        time.sleep(WATCH_S)
        story.tell_news(clock.now())
        for name in ("fleet", "dno", "gateway"):
            program = getattr(programs, name)
            if program.poll() not in (None, 0) or (name == "gateway" and program.poll() is not None):
                log = (out / f"{name}.log").as_posix()
                raise BadMessage(Fault(f"demo: {name}", f"ended with {program.poll()}", f"see {log}"))
        if clock.now() >= day.ENDS_AT:
            deadline = deadline or time.monotonic() + GRACE_S
            over = programs.dno.poll() is not None and programs.fleet.poll() is not None
            if over or time.monotonic() > deadline:
                story.tell_news(clock.now())
                return


def _end(programs: Programs) -> None:
    programs.gateway.send_signal(signal.SIGTERM)
    for program in (programs.gateway, programs.dno, programs.fleet):
        try:
            program.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _kill(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        program.kill()
        program.wait()


def _conclude(out: Path, seconds: float) -> Result:
    settings = read_settings(out / "gateway.toml", store_url(out))
    with open_store(store_url(out), create=False) as store:
        load_truth(store, out / "fleet" / "truth.csv")
        fleet = day.fleet()
        delivery_day = day.needs()[0].start.astimezone(LONDON).date()
        following = delivery_day.fromordinal(delivery_day.toordinal() + 1)
        book = make_book(store, settings.products, fleet, delivery_day, following)
        write_book(book, out / "settlement")
        audit = run_audit(Evidence(store, settings, fleet))
        return gather(store, fleet, book, audit, out, seconds)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _silent(text: str) -> None:
    """Say nothing: stdout is for one JSON object."""
