"""The drivers' door of ``flexloop serve`` against the simulated fleet; killed and started again meanwhile."""

import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from aggregator.audit.cars import p1_floor, p3_boost
from aggregator.audit.evidence import Evidence
from aggregator.cli import run
from aggregator.clock import Pace, start_fast_clock
from aggregator.config import read_settings
from aggregator.demo import day
from aggregator.demo.run import Stage, prepare
from aggregator.model.metering import Purpose
from aggregator.model.time import HOUR
from aggregator.store import open_store

from .processes import PATIENCE_S, fork, fork_gateway, wait
from .truth import told

pytestmark = pytest.mark.slow

STARTS_AT = datetime(2025, 1, 8, 17, 12, tzinfo=UTC)
"""Within the evening's dear hours, when many cars give energy by their own plan."""

FACTOR = 30.0
CHARGES_KW = 1.5
"""Cars that have been here since the afternoon are nearly full, and take less and less."""


class Driver:
    """Asks the door with a token that the command line printed."""

    def __init__(self, port: int, car_id: str, token: str) -> None:
        self.car_id = car_id
        self._root = f"http://127.0.0.1:{port}/v1/cars/{car_id}"
        self._token = token

    def ask(self, method: str, path: str = "", body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._root + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def until(self, met: Callable[[Any], bool]) -> Any:
        """Wait until the car's state is as wanted, and return it; the door may not be open yet."""
        found: list[Any] = []

        def look() -> bool:
            try:
                found[:] = [self.ask("GET")]
            except urllib.error.HTTPError as error:
                if error.code != 429:
                    raise
                return False
            except OSError:
                return False
            return met(found[0])

        wait(look)
        return found[0]


def test_what_drivers_say_reaches_their_cars_and_outlives_a_kill(tmp_path, capfd) -> None:
    stage = prepare(tmp_path / "out")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = stage.out / "gateway.toml"
    config.write_text(
        f'{config.read_text()}\n[drivers]\nlisten = "127.0.0.1:{port}"\nrequests_per_minute = 6000\n'
    )
    clock = start_fast_clock([Pace(STARTS_AT, FACTOR)])
    (stage.out / "clock.json").write_text(clock.to_json())
    with ExitStack() as stack:
        fleet = _start_fleet(stage, stack)
        gateway = fork_gateway(stage, stack)
        boosting, careful, cautious = (_driver(stage, port, name, capfd) for name in _long_stays(3))
        for driver in (boosting, careful, cautious):
            driver.until(lambda state: state["plugged"] and state["export_kw"] > 1)

        boosting.ask("PUT", "/boost")
        careful.ask("PUT", "/v2g", {"on": False})
        boosting.until(lambda state: state["boost"] and state["export_kw"] < -CHARGES_KW)
        careful.until(lambda state: state["export_kw"] <= 0)
        level = cautious.ask("GET")["charge"]["percent"]
        said = cautious.ask("PUT", "/floor", {"percent": min(99, level + 10)})
        cautious.until(lambda state: state["export_kw"] <= 0)  # else its set-point runs on for up to 120 s
        gateway.kill()
        gateway.join(PATIENCE_S)
        killed_at = clock.now()

        again = fork_gateway(stage, stack)
        state = boosting.until(lambda state: state["plugged"])
        assert state["boost"]
        assert cautious.ask("GET", "/floor") == said
        assert careful.ask("GET", "/v2g")["says"] == {"on": False}
        cautious.until(lambda state: state["export_kw"] < -0.5)
        for driver in (boosting, careful, cautious):
            driver.until(lambda state: state["plugged"] and state["age_s"] < 60)
        wait(lambda: _boosted_since(stage, boosting.car_id, killed_at))
        again.terminate()
        again.join(PATIENCE_S)
        assert again.exitcode == 0
        fleet.terminate()
        fleet.join(PATIENCE_S)
    points_of = told(stage.url)
    for driver in (boosting, careful, cautious):
        assert all(one.export_w <= 0 for one in points_of[driver.car_id] if one.issued_at > killed_at)
    with open_store(stage.url, create=False) as store:
        evidence = Evidence(store, read_settings(config, stage.url))
        assert (p1_floor(evidence).breaches, p3_boost(evidence).breaches) == ((), ())
        assert p3_boost(evidence).checked >= 1
    log = (stage.out / "gateway.log").read_text()
    assert "driver_said" in log
    assert not re.search(r"flx_[0-9a-f]{12}_[0-9a-f]{64}", log)


def _driver(stage: Stage, port: int, car_id: str, capfd: Any) -> Driver:
    capfd.readouterr()
    shared = ["--clock", str(stage.out / "clock.json"), "--database", stage.url]
    assert run([*shared, "drivers", "token", car_id]) == 0
    return Driver(port, car_id, capfd.readouterr().out.strip())


def _boosted_since(stage: Stage, car_id: str, since: datetime) -> bool:
    """Return whether a car's charger took a boost's set-point after an instant: others may be from before."""
    points = told(stage.url)[car_id]
    return any(one.issued_at > since and one.purpose is Purpose.BOOST for one in points)


def _long_stays(number: int) -> list[str]:
    """Return cars at approved homes of their own that come early, half full, and stay the night."""
    cars = day.fleet().by_id
    homes = [car.site.site_id for car in cars.values()]
    found = [
        stay.car_id
        for stay in day.sessions()
        if stay.plugged.start < STARTS_AT < STARTS_AT + 12 * HOUR < stay.plugged.end
        and 0.5 < stay.arrival_soc < 0.75
        and cars[stay.car_id].site.export_limit_kw > 0
        and homes.count(cars[stay.car_id].site.site_id) == 1
    ]
    return found[:number]


def _start_fleet(stage: Stage, stack: ExitStack) -> Any:
    arguments = [
        *("--clock", str(stage.out / "clock.json"), "simulate", "fleet"),
        *("--fleet", str(day.DATA / "fleet.csv"), "--sessions", str(day.DATA / "sessions.csv")),
        *("--out", str(stage.out / "fleet"), "--listen", f"127.0.0.1:{stage.link_port}"),
        *("--interval-s", str(day.REPORTING_S)),
    ]
    return fork(arguments, stage.out / "fleet.log", stack)
