"""Runs the demo: fleet, platform and gateway as processes of their own, watched until they end.

``run_demo`` is ``prepare``, ``start``, ``watch``, ``end``, ``conclude``, while a ``Timekeeper`` moves the
clock: whoever wants another day, such as one on which the gateway is killed, puts the same parts together.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer

from aggregator.audit import run_audit
from aggregator.audit.evidence import Evidence
from aggregator.config import read_settings
from aggregator.demo import day
from aggregator.demo.desk import Invitation, open_desk
from aggregator.demo.result import Result, gather, load_truth, tell
from aggregator.demo.story import Story
from aggregator.demo.timekeeper import Timekeeper
from aggregator.kept_clock import KeptClock
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import LONDON
from aggregator.reports import write_book
from aggregator.statement_books import make_book
from aggregator.store import open_store, upgrade
from aggregator.workflow import fleets_of

WATCH_S = 0.5
GRACE_S = 15.0
MARK = "scenario.toml"
"""Its presence shows that a folder is a demo's."""

OWN_FILES = (
    *("flexloop.db", "flexloop.db-wal", "flexloop.db-shm", "flexloop.db.lock"),
    *("dno", "fleet", "settlement"),
    *("gateway.log", "dno.log", "fleet.log"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the day is played: a folder, and a port for each simulator."""

    out: Path
    vtn_port: int
    link_port: int

    @property
    def url(self) -> str:
        """The URL of the demo's store."""
        return f"sqlite:///{self.out / 'flexloop.db'}"


@dataclass(frozen=True, slots=True)
class Programs:
    """The three processes."""

    fleet: subprocess.Popen[bytes]
    dno: subprocess.Popen[bytes]
    gateway: subprocess.Popen[bytes]


def run_demo(out: Path, seed: int, *, as_json: bool, desk: str | None = None) -> int:
    """Run the day; return 0 when every promise was kept and every figure is there, else 1.

    Args:
        out: Folder for everything it leaves.
        seed: For the simulated cars' noise.
        as_json: Whether stdout is for one JSON object.
        desk: Where the desk is served to browsers meanwhile; nowhere without.
    """
    say = _say_aside if as_json else typer.echo
    stage = prepare(out)
    invitation = open_desk(stage.out, stage.url, desk) if desk is not None else None
    started = time.monotonic()
    for leg in day.LEGS:
        say(f"from {leg.since.astimezone(LONDON):%a %d %b %H:%M} on, {leg.factor:g} times real time")
    with ExitStack() as stack:
        story = Story(stack.enter_context(open_store(stage.url, create=False)), say)
        timekeeper = stack.enter_context(Timekeeper(stage.out, day.LEGS))
        programs = start(stage, seed, stack)
        if invitation is not None and listens(invitation, programs.gateway):
            say(invitation.text)
        watch(programs, stage, timekeeper.clock, story, day.ENDS_AT)
        end(programs)
    result = conclude(stage, time.monotonic() - started, timekeeper.waited_s)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=1, default=str))
    else:
        tell(result, stage.out)
    return 0 if result.good else 1


def prepare(out: Path) -> Stage:
    """Lay out the folder: what an earlier run left goes; a folder of somebody else's is a reason to stop."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / MARK).exists():
        raise BadMessage(Fault("demo: --out", str(out), "an empty folder, or one that an earlier demo left"))
    for name in OWN_FILES:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    stage = Stage(out, *_free_ports(2))
    cars = day.fleet()
    texts = day.gateway_toml(stage.vtn_port, stage.link_port) | {
        MARK: day.scenario_toml(),
        "acts.toml": day.acts_toml(cars, day.sessions()),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    upgrade(stage.url)
    with open_store(stage.url, create=False) as store:
        store.fleet.replace(cars, imported_at=day.STARTS_AT, source="fleet.csv")
    return stage


def start(stage: Stage, seed: int, stack: ExitStack) -> Programs:
    """Start the three programs; closing ``stack`` kills those that still run."""
    clock = ["--clock", str(stage.out / "clock.json")]
    fleet = [
        *("simulate", "fleet", "--fleet", str(day.DATA / "fleet.csv")),
        *("--sessions", str(day.DATA / "sessions.csv"), "--acts", str(stage.out / "acts.toml")),
        *("--out", str(stage.out / "fleet"), "--listen", f"127.0.0.1:{stage.link_port}"),
        *("--seed", str(seed), "--interval-s", str(day.REPORTING_S)),
    ]
    dno = [
        *("simulate", "dno", "--scenario", str(stage.out / MARK)),
        *("--out", str(stage.out / "dno"), "--listen", f"127.0.0.1:{stage.vtn_port}"),
    ]
    return Programs(
        fleet=start_program(stage.out / "fleet.log", [*clock, *fleet], stack),
        dno=start_program(stage.out / "dno.log", [*clock, *dno], stack),
        gateway=start_gateway(stage, stack),
    )


def start_gateway(stage: Stage, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start ``flexloop serve`` on the demo's folder: the first time, or again after it was killed."""
    shared = ["--clock", str(stage.out / "clock.json"), "--config", str(stage.out / "gateway.toml")]
    return start_program(stage.out / "gateway.log", [*shared, "--database", stage.url, "serve"], stack)


def start_program(log_file: Path, arguments: Sequence[str], stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start a ``flexloop`` command that logs to a file; closing ``stack`` kills it if it still runs."""
    log = stack.enter_context(log_file.open("ab"))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "aggregator", *arguments]
    program = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    stack.callback(_kill, program)
    return program


def listens(desk: Invitation, gateway: subprocess.Popen[bytes]) -> bool:
    """Wait until the gateway serves its desk; return whether it does, as it may have ended."""
    while not desk.holds():
        if gateway.poll() is not None:
            return False
        time.sleep(WATCH_S)
    return True


def watch(programs: Programs, stage: Stage, clock: KeptClock, story: Story, until: datetime) -> None:
    """Tell the story as it happens, until a domain instant.

    Raises:
        BadMessage: If a program ended that should still run, or ended badly.
    """
    while clock.now() < until:
        time.sleep(min(WATCH_S, clock.wall_seconds_until(until)))
        story.tell_news(clock.now())
        for name in ("fleet", "dno", "gateway"):
            code = getattr(programs, name).poll()
            if code not in (None, 0) or (name == "gateway" and code is not None):
                log = (stage.out / f"{name}.log").as_posix()
                raise BadMessage(Fault(f"demo: {name}", f"ended with {code}", f"see {log}"))


def end(programs: Programs) -> None:
    """Stop the gateway in good order while its cars are still there to be released, then the simulators."""
    for group in ((programs.gateway,), (programs.dno, programs.fleet)):
        for program in group:
            if program.poll() is None:
                program.send_signal(signal.SIGTERM)
        for program in _wait_each(*group):
            _kill(program)


def _wait_each(*programs: subprocess.Popen[bytes]) -> list[subprocess.Popen[bytes]]:
    """Wait for programs to end by themselves, for a while; return those that did not."""
    deadline = time.monotonic() + GRACE_S
    for program in programs:
        with suppress(subprocess.TimeoutExpired):
            program.wait(max(0.0, deadline - time.monotonic()))
    return [program for program in programs if program.poll() is None]


def _kill(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        program.kill()
        program.wait()


def conclude(stage: Stage, seconds: float, waited_s: float) -> Result:
    """Settle, audit and gather what the day came to.

    Args:
        stage: Where it was played; all programs have ended.
        seconds: How long it took.
        waited_s: For how long of it the clock waited.
    """
    settings = read_settings(stage.out / "gateway.toml", stage.url)
    with open_store(stage.url, create=False) as store:
        load_truth(store, stage.out / "fleet" / "truth.csv")
        fleets = fleets_of(store)
        delivery_day = day.needs()[0].start.astimezone(LONDON).date()
        following = delivery_day.fromordinal(delivery_day.toordinal() + 1)
        book = make_book(store, settings.products, fleets, delivery_day, following)
        write_book(book, stage.out / "settlement")
        audit = run_audit(Evidence(store, settings))
        return gather(store, fleets, book, audit, stage.out, seconds, waited_s)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _say_aside(text: str) -> None:
    """Tell the story on stderr: stdout is for one JSON object."""
    typer.echo(text, err=True)
