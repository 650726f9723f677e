"""The whole chain on a real winter weekday: from the DNO's need to the statement, in separate processes."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest

from aggregator.cli import run
from tests.property.settled import figures, recomputed
from tests.property.settlement_oracle import Oracle

from .conftest import Played

pytestmark = pytest.mark.slow

STATEMENT_FILES = ("statement.csv", "statement.json", "statement.html")


def settle(played: Played, start: str, end: str, out: Path) -> int:
    shared = ["--config", str(played.out / "gateway.toml"), "--database", f"sqlite:///{played.database}"]
    return run([*shared, "--json", "settle", "--from", start, "--to", end, "--out", str(out)])


def test_it_keeps_every_promise_and_says_so(played: Played) -> None:
    assert (played.code, played.body["good"]) == (0, True), played.story
    audit = played.body["audit"]
    assert audit["kept"]
    assert {row["promise"].split()[0] for row in audit["promises"]} == {f"P{n}" for n in range(1, 15)}
    for row in audit["promises"]:
        assert row["checked"] > 0, row
        assert row["breaches"] == [], row


def test_every_event_delivered_and_the_dno_agrees(played: Played) -> None:
    events = played.body["events"]
    assert [event["zone"] for event in events if event["cancelled"]] == ["Hendon Way"]
    assert len(events) == 3
    for event in events:
        assert event["dno_agrees"], event
        assert event["awarded_kw"] > 0, event
        assert Decimal(event["delivered_kwh"]) == Decimal(event["dno_delivered_kwh"]).quantize(
            Decimal("0.001")
        )
        assert Decimal(event["amount_gbp"]) == Decimal(event["dno_amount_gbp"])
        if not event["cancelled"]:
            assert Decimal(event["delivered_kwh"]) > 0, event


def test_every_driver_got_what_was_promised(played: Played) -> None:
    assert played.body["departures"] > 0
    assert played.body["departures_met"] == played.body["departures"]
    assert played.body["lowest_soc_above_floor"] >= 0
    assert played.body["cars_used"] > 0


@pytest.mark.parametrize(
    "line",
    [
        "Wrotham: the DNO needs",
        "Wrotham: approved by rule",
        "Wrotham: bid acknowledged by the DNO",
        "Wrotham: awarded",
        "a driver in Wrotham switches V2G off",
        "a driver in Canvey leaves before the time given",
        "Canvey: instruction (modification 1)",
        "Hendon Way: instruction cancelled",
        "Wrotham: settled",
        "Wrotham: settlement report acknowledged",
    ],
)
def test_the_story_tells(played: Played, line: str) -> None:
    assert line in played.story


def test_the_statement_made_again_has_the_same_bytes(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settle(played, "2025-01-08", "2025-01-09", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12
    for name in STATEMENT_FILES:
        first = (played.out / "settlement" / name).read_bytes()
        assert first, name
        assert (tmp_path / name).read_bytes() == first, name


def test_an_independent_recomputation_agrees_to_the_wh_and_the_penny(played: Played) -> None:
    table = pd.read_csv(played.out / "settlement" / "statement.csv", dtype=str, keep_default_na=False)
    oracle = Oracle(played.database, played.out / "market.toml")
    assert len(table) == 12
    assert recomputed(oracle, date(2025, 1, 8), date(2025, 1, 9)) == figures(table)


def test_a_day_without_events_is_an_empty_statement(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settle(played, "2025-01-07", "2025-01-08", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 0


def test_the_folder_holds_what_the_demo_says(played: Played) -> None:
    for name in ("gateway.log", "dno/messages.jsonl", "dno/result.json", "fleet/truth.csv"):
        assert (played.out / name).stat().st_size > 0, name
    assert "Traceback" not in (played.out / "gateway.log").read_text()


def test_its_desk_shows_each_order_as_it_runs(played: Played) -> None:
    pictures = played.watcher.pictures
    assert played.watcher.came_in
    running: dict[str, list[tuple[float, float, str]]] = {}
    for picture in pictures:
        for zone in picture["zones"]:
            if zone["serving"] is not None:
                row = (zone["metered_kw"], zone["target_kw"], zone["zone"])
                running.setdefault(zone["serving"], []).append(row)
    assert {rows[0][2] for rows in running.values()} == {event["zone"] for event in played.body["events"]}
    assert [one["now"] for one in pictures] == sorted(one["now"] for one in pictures)
    for bid, rows in running.items():
        assert len({kw for kw, *_ in rows}) > 1, "it moves"
        assert any(abs(kw - target) < 1.0 for kw, target, _ in rows), (bid, rows)
        page = played.watcher.live_pages[bid]
        assert "<title>Live" in page
        assert f'href="/bids/{quote(bid, safe="")}"' in page
