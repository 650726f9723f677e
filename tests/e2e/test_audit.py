"""The audit finds what was broken by hand: each break in its own copy of the demo's database."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aggregator.cli import run
from aggregator.demo import day
from aggregator.model.fleet import Fleet
from aggregator.store import open_store, upgrade

from .conftest import Played

Audit = Callable[..., tuple[int, dict[str, Any]]]

pytestmark = pytest.mark.slow

WROTHAM = "DSO-Demo:REQ-Wrotham:Wrotham"
ONE_DISCHARGE = """(SELECT set_point_id FROM set_points
    WHERE export_w > 0 AND outcome = 'accepted' AND opportunity_id IS NOT NULL LIMIT 1)"""

BREAKS: Mapping[str, tuple[str, str, str]] = {
    "a true energy under the floor while discharging": (
        "P1",
        "UPDATE true_states SET energy_kwh = 5 WHERE (car_id, at) IN"
        " (SELECT car_id, at FROM true_states WHERE export_w > 0 LIMIT 1)",
        "floor",
    ),
    "a departure with less than was promised": (
        "P2",
        "UPDATE true_states SET energy_kwh = 0.4 * (SELECT capacity_kwh FROM cars WHERE car_id = left.car_id)"
        " FROM (SELECT car_id, depart_at FROM car_states WHERE plugged AND measured_at >= depart_at LIMIT 1)"
        " AS left WHERE true_states.car_id = left.car_id AND at BETWEEN depart_at - 3600000000 AND depart_at",
        "stood at 0.400",
    ),
    "a discharge while the driver has V2G switched off": (
        "P3",
        "UPDATE set_points SET export_w = 3000 WHERE set_point_id = (SELECT max(set_point_id) FROM"
        " set_points WHERE purpose = 'boost' AND outcome = 'accepted' AND export_w < 0)",
        "told to give 3000 W",
    ),
    "a set-point above a home's export approval": (
        "P4",
        f"UPDATE set_points SET export_w = 50000 WHERE set_point_id = {ONE_DISCHARGE}",
        "50000 W out",
    ),
    "a discharge that would run for seven minutes": (
        "P5",
        f"UPDATE set_points SET expires_at = expires_at + 300000000 WHERE set_point_id = {ONE_DISCHARGE}",
        " for 0:07:00",
    ),
    "a refused set-point that was sent": (
        "P6",
        "INSERT INTO set_points (car_id, export_w, issued_at, expires_at, purpose, outcome, reason)"
        " SELECT car_id, export_w, issued_at, expires_at, purpose, 'interlocked', 'P1: by hand'"
        f" FROM set_points WHERE set_point_id = {ONE_DISCHARGE}",
        "refused and sent all the same",
    ),
    "a bid that nobody approved": (
        "P7",
        f"DELETE FROM facts WHERE opportunity_id = '{WROTHAM}' AND name = 'Approved'",
        "nobody approved it",
    ),
    "a draft that was changed after it was approved": (
        "P7",
        f"UPDATE facts SET body = json_set(body, '$.Proposed.draft.offered_kw[0]', 39.0)"
        f" WHERE opportunity_id = '{WROTHAM}' AND name = 'Proposed'",
        "not what its digest says",
    ),
    "an award without its fact": (
        "P8",
        f"DELETE FROM facts WHERE opportunity_id = '{WROTHAM}' AND name = 'Awarded'",
        "AWD-REQ-Wrotham modification 0 of DSO-Demo was answered optIn without a fact",
    ),
    "an award whose answer is not known": (
        "P8",
        "DELETE FROM inbox WHERE event_id = 'AWD-REQ-Wrotham'",
        "AWD-REQ-Wrotham modification 0 of DSO-Demo has no answer",
    ),
    "a register that runs backwards": (
        "P9",
        "UPDATE readings SET export_wh = export_wh - 1 WHERE (charger_id, measured_at) IN"
        " (SELECT charger_id, max(measured_at) FROM readings GROUP BY charger_id LIMIT 1)",
        "less than before",
    ),
    "a register that changes what was settled": (
        "P9",
        "UPDATE readings SET export_wh = export_wh + 100 WHERE measured_at >= 1736359200000000"  # 18:00
        " AND charger_id = (SELECT charger_id FROM cars JOIN sites USING (site_id) WHERE zone = 'Wrotham'"
        " ORDER BY position LIMIT 1)",
        "comes out differently now",
    ),
    "a bid that misses more than it says": (
        "P11",
        "UPDATE facts SET body = json_set(body, '$.Proposed.draft.offered_kw[0]', 900.0)"
        f" WHERE opportunity_id = '{WROTHAM}' AND name = 'Proposed'",
        "kW, made again (",
    ),
    "a discharge of a car that was silent": (
        "P12",
        "DELETE FROM car_states WHERE car_id ="
        f" (SELECT car_id FROM set_points WHERE set_point_id = {ONE_DISCHARGE})",
        "was stale",
    ),
    "a nomination that was moved": (
        "P13",
        "UPDATE nominations SET export_wh = export_wh + 1000 WHERE zone = 'Wrotham'",
        "nominated is not what was planned",
    ),
    "more power moved in a minute than is allowed": (
        "P14",
        "UPDATE set_points SET export_w = 600000 WHERE set_point_id = (SELECT min(set_point_id) FROM"
        " set_points WHERE purpose = 'plan' AND outcome = 'accepted')",
        "moved in a minute",
    ),
}


@pytest.fixture
def copy(played: Played, tmp_path: Path) -> Path:
    with closing(sqlite3.connect(played.database)) as source:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copy(played.database, tmp_path / "copy.db"))


@pytest.fixture
def audit(played: Played, capsys: pytest.CaptureFixture[str]) -> Audit:
    def run_audit(database: Path, *options: str) -> tuple[int, dict[str, Any]]:
        shared = ["--config", str(played.out / "gateway.toml"), "--database", f"sqlite:///{database}"]
        code = run([*shared, "--json", "audit", *options])
        return code, json.loads(capsys.readouterr().out)

    return run_audit


@pytest.mark.parametrize(("promise", "broken_by", "told"), BREAKS.values(), ids=BREAKS)
def test_it_finds(
    copy: Path,
    audit: Audit,
    promise: str,
    broken_by: str,
    told: str,
) -> None:
    with closing(sqlite3.connect(copy)) as database, database:
        assert database.execute(broken_by).rowcount > 0
    code, body = audit(copy, "--promise", promise)
    (found,) = body["promises"]
    assert (code, body["kept"]) == (1, False)
    assert (found["promise"].split()[0], found["verdict"]) == (promise, "BROKEN")
    assert any(told in breach for breach in found["breaches"]), found["breaches"]


def test_one_promise_broken_is_one_too_many(copy: Path, audit: Audit) -> None:
    promise, broken_by, _ = BREAKS["a register that runs backwards"]
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute(broken_by)
    code, body = audit(copy)
    assert (code, body["kept"]) == (1, False)
    verdicts = {row["promise"].split()[0]: row["verdict"] for row in body["promises"]}
    assert {name for name, verdict in verdicts.items() if verdict == "BROKEN"} == {promise}
    assert len(verdicts) == 14


def test_it_finds_nothing_where_nothing_was_broken_and_a_fleet_imported_since_changes_no_verdict(
    copy: Path, audit: Audit
) -> None:
    """With other floors and half of the cars gone: the day was played with those that there were."""
    there = day.fleet().cars[::2]
    later = Fleet(tuple(replace(car, floor_soc=0.5) for car in there), "later")
    code, before = audit(copy)
    assert (code, before["kept"]) == (0, True)
    with open_store(f"sqlite:///{copy}", create=False) as store:
        store.fleet.replace(later, imported_at=day.ENDS_AT + timedelta(days=1), source="later.csv")
    assert audit(copy) == (0, before)


def test_nothing_to_check_is_not_kept(tmp_path: Path, audit: Audit) -> None:
    database = tmp_path / "empty.db"
    upgrade(f"sqlite:///{database}")
    with open_store(f"sqlite:///{database}", create=False) as store:
        store.fleet.replace(day.fleet(), imported_at=day.STARTS_AT, source="fleet.csv")
    code, body = audit(database)
    assert (code, body["kept"]) == (1, False)
    assert {(row["verdict"], row["checked"]) for row in body["promises"]} == {("nothing to check", 0)}
