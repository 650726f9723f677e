"""``flexloop readings check``: where registers did not count on, and where nothing was told."""

import json
from dataclasses import replace

from aggregator.cli import run
from aggregator.model.fleet import Fleet
from aggregator.store import open_store
from tests.builders import EVENING, NOON, a_fleet, a_reading
from tests.e2e.test_same_bytes import MINUTE, NAMES, ROOT, ZONE, filled

CARS = list(enumerate(a_fleet(2).cars))


def test_restarts_and_gaps_are_listed(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'f.db'}"
    filled(url)
    with open_store(url, create=False) as store:
        at = EVENING.end + 10 * MINUTE
        store.readings.add([a_reading(charger_id="a1", measured_at=at, received_at=at, import_wh=5)])
    shared = ["--config", str(ROOT / "config" / "gateway.toml"), "--database", url, "--json"]
    assert run([*shared, "readings", "check", "--from", "2025-01-15", "--to", "2025-01-16"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = [(one["register"], one["kind"]) for one in said["events"] if one["meter"] == "a1"]
    assert found == [("import_wh", "restart")]
    silent = [gap for gap in said["gaps"] if gap["meter"] == NAMES[-1]]
    day = {"from": "2025-01-15T00:00:00Z", "to": "2025-01-16T00:00:00Z"}
    assert silent == [{"meter": "=1+1", "point": "charger", "quiet": False, **day}]
    assert run([*shared, "readings", "check", "--from", "2025-01-16", "--to", "2025-01-15"]) == 2


def test_registers_of_homes_with_a_boundary_meter_are_looked_at_too(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'f.db'}"
    homes = [replace(car, site=replace(car.site, zone=ZONE, boundary_meter=n == 0)) for n, car in CARS]
    with open_store(url, create=True) as store:
        store.fleet.replace(Fleet(tuple(homes), digest="f" * 64), NOON, "fleet.toml")
        for minute, wh in enumerate((900_000, 900_010, 5, 15)):
            at = NOON + minute * MINUTE
            said = {"charger_id": "home-1", "measured_at": at, "received_at": at, "export_wh": wh}
            store.boundary_readings.add([a_reading(**said)])
    shared = ["--config", str(ROOT / "config" / "gateway.toml"), "--database", url]
    check = ["readings", "check", "--from", "2025-01-15", "--to", "2025-01-16"]
    assert run([*shared, *check, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (event,) = said["events"]
    assert (event["point"], event["meter"], event["kind"]) == ("boundary", "home-1", "restart")
    assert {one["meter"] for one in said["gaps"] if one["point"] == "boundary"} == {"home-1"}
    assert run([*shared, *check]) == 0
    assert "boundary" in capsys.readouterr().out
