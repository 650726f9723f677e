"""The drivers' door over HTTP on loopback: what it tells, takes and refuses."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.drivers import Topic
from aggregator.model.time import utc_text
from tests.protocol.drivers_steps import CAR, at_the_door
from tests.protocol.gateway import MINUTE, until


async def test_a_driver_is_told_how_the_car_is(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        state = await driver.get()
        assert state["charge"] == {"soc": 0.9, "percent": 90.0, "kwh": 54.0, "miles": 179.8}
        assert (state["age_s"], state["plugged"], state["v2g"], state["boost"]) == (0.0, True, True, False)
        assert state["floor"]["percent"] == 30.0
        assert state["departure"]["at"] == {
            "utc": "2025-01-16T07:30:00Z",
            "london": "2025-01-16T07:30:00+00:00",
        }
        assert state["departure"]["said"] == "default"
        assert (state["site"]["export_approved"], state["site"]["export_barred"]) == (True, None)
        assert state["health"] == {"ok": True, "says": []}
        parts.clock.pass_by(3 * MINUTE)
        (fault,) = (await driver.get())["health"]["says"]
        assert "not been heard of for 3 minutes" in fault


async def test_the_plan_runs_to_the_departure_and_says_why(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        rows = (await driver.get("/plan"))["half_hours"]
        assert rows[0]["from"]["utc"] == utc_text(parts.clock.now())
        assert rows[-1]["until"]["utc"] == "2025-01-16T07:30:00Z"
        assert all(a["until"] == b["from"] for a, b in itertools.pairwise(rows))
        assert all(row["why"] for row in rows)
        assert any(row["export_kw"] > 0 and "gives energy" in row["why"] for row in rows)
        cheap = [row for row in rows if row["export_kw"] < 0]
        assert cheap
        assert all("cheapest hours" in row["why"] for row in cheap)
        assert all("02:00" <= row["from"]["london"][11:16] < "05:00" for row in cheap)
        assert rows[-1]["soc_at_end"] >= 0.8
        await driver.put("/v2g", {"on": False})
        rows = (await driver.get("/plan"))["half_hours"]
        assert all(row["export_kw"] <= 0 for row in rows[1:])
        assert any("V2G is off" in row["why"] for row in rows)
        await driver.put("/boost")
        await parts.controller.cycle()
        rows = (await driver.get("/plan"))["half_hours"]
        assert rows[0]["export_kw"] == -7.4
        assert "boost" in rows[0]["why"]


async def test_what_is_said_is_stored_wakes_the_loop_and_is_answered_in_both_times(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        parts.controller._wake.clear()
        body = await driver.put("/departure", {"depart_at": "2025-01-15T19:30", "target_percent": 95})
        assert body["says"]["depart_at"] == {
            "utc": "2025-01-15T19:30:00Z",
            "london": "2025-01-15T19:30:00+00:00",
        }
        assert body["says"]["target"]["soc"] == 0.95
        assert (body["holds"], body["until"]["utc"]) == (True, "2025-01-15T20:30:00Z")
        assert parts.controller._wake.is_set()
        (word,) = parts.store.drivers.all()
        (token,) = parts.store.tokens.all()
        assert (word.car_id, word.topic, word.told_by) == (CAR, Topic.DEPARTURE, token.token_id)
        assert word.told_at == parts.clock.now()
        assert (await driver.get())["departure"]["said"] == "departure"
        response, body = await driver.ask("DELETE", "/departure")
        assert (response.status, body["holds"], body["version"]) == (200, False, 2)
        assert (await driver.get())["departure"]["said"] == "default"


async def test_a_target_below_the_floor_is_answered_with_what_comes_of_it(tmp_path):
    async with at_the_door(tmp_path) as (_, driver):
        await driver.put("/floor", {"percent": 40})
        low, words = {"target_percent": 20}, "20% is below the floor of 40%, which is kept"
        body = await driver.put("/departure", {"depart_at": "2025-01-15T19:30", **low})
        assert body["says"]["below_floor"] == words
        assert (await driver.get())["departure"]["below_floor"] == words
        rows = [{"on": ["mon"], "depart_local": "07:30", **low}]
        rows += [{"on": ["tue"], "depart_local": "07:30", "target_percent": 40}]
        body = await driver.put("/week", {"days": rows})
        assert [row["below_floor"] for row in body["says"]["days"]] == [words, None]


async def test_a_departure_out_of_reach_is_told_by_how_much_at_once_and_to_the_desk(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        assert (await driver.get("/shortfall"))["short"]["kwh"] == 0
        await driver.put("/departure", {"depart_at": "2025-01-15T17:11", "target_soc": 1})
        short = await driver.get("/shortfall")
        assert short["short"]["kwh"] == pytest.approx(6 - 7.4 * 0.92 / 6, abs=0.001)
        assert short["at_least"]["kwh"] == pytest.approx(60 - short["short"]["kwh"], abs=0.002)
        parts.link.told.clear()
        await parts.controller.cycle()
        assert [point.export_w for point in parts.link.told if point.car_id == CAR] == [-7400]
        await until(lambda: any(alarm.code == "short_of_target" for alarm in parts.store.alarms.open()))
        assert (await driver.get())["health"]["says"] == ["your target will be missed: see shortfall"]


async def test_putting_the_same_twice_says_it_once_and_a_stale_write_is_refused(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        response, _ = await driver.ask("GET", "/floor")
        assert response.headers["ETag"] == '"0"'
        for _ in range(3):
            response, body = await driver.ask("PUT", "/floor", {"soc": 0.5})
            assert (response.headers["ETag"], body["version"]) == ('"1"', 1)
        assert len(parts.store.drivers.all()) == 1
        assert (await driver.put("/floor", {"soc": 0.6}, If_Match='"1"'))["version"] == 2
        for stale in ('"1"', '"3"', "1", 'W/"2"', "nonsense"):
            body = await driver.refused("PUT", "/floor", {"soc": 0.7}, 412, If_Match=stale)
            assert body["faults"][0]["field"] == "If-Match"
        await driver.refused("DELETE", "/floor", None, 412, If_Match='"1"')
        await driver.refused("PUT", "/week", {"days": []}, 412, If_Match="*")
        assert (await driver.put("/floor", {"soc": 0.7}, If_Match='"9", "2"'))["version"] == 3
        assert (await driver.put("/floor", {"soc": 0.8}, If_Match="*"))["version"] == 4
        for _ in range(2):
            response, _ = await driver.ask("DELETE", "/floor")
            assert response.headers["ETag"] == '"5"'


async def test_of_many_writes_at_once_each_is_a_row_and_those_with_a_version_win_once(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        levels = [0.4 + n / 50 for n in range(12)]
        answers = await asyncio.gather(
            *(driver.ask("PUT", "/floor", {"soc": soc}, If_Match='"0"') for soc in levels)
        )
        assert sorted(response.status for response, _ in answers) == [200] + [412] * 11
        (word,) = parts.store.drivers.all()
        (won,) = [body for response, body in answers if response.status == 200]
        assert won["says"]["soc"] == pytest.approx(word.saying.soc)


@pytest.mark.parametrize(
    ("body", "soc"),
    [
        ({"soc": 0.3}, 0.3),
        ({"percent": 30}, 0.3),
        ({"miles": 60}, 60 / 3.33 / 60),
        ({"miles": 100, "miles_per_kwh": 4}, 100 / 4 / 60),
        ({"soc": 1}, 1.0),
    ],
)
async def test_a_floor_in_any_unit(tmp_path, body, soc):
    async with at_the_door(tmp_path) as (_, driver):
        assert (await driver.put("/floor", body))["says"]["soc"] == pytest.approx(soc, abs=1e-4)
        assert (await driver.get())["floor"]["soc"] == pytest.approx(soc, abs=1e-4)


WRONG = [
    ("/floor", {"soc": 0.2999}, "soc", "at least 0.3: the car"),
    ("/floor", {"percent": 10}, "percent", "at least 30%: the car"),
    ("/floor", {"miles": 40}, "miles", "at least 60 miles: the car"),
    ("/floor", {"miles": 59}, "miles", "60 miles"),
    ("/floor", {"miles": 300}, "miles", "at most 199.8"),
    ("/floor", {"percent": 101}, "percent", "less than or equal to 100"),
    ("/floor", {"soc": 30}, "soc", "less than or equal to 1"),
    ("/floor", {"soc": "0.5"}, "soc", "without quotes"),
    ("/floor", {"soc": True}, "soc", "not true or false"),
    ("/floor", {"soc": None}, "soc", "exactly one of"),
    ("/floor", {"soc": 0.5, "percent": 50}, "soc", "exactly one of"),
    ("/floor", {}, "soc", "exactly one of"),
    ("/floor", {"floor": 0.5}, "floor", "unknown key; known here: miles, miles_per_kwh, percent, soc"),
    ("/floor", {"miles": 80, "miles_per_kwh": 0}, "miles_per_kwh", "greater than or equal to 1"),
    ("/floor", [], "body", "keys"),
    ("/floor", 0.5, "body", "keys"),
    ("/v2g", {}, "on", "must be stated"),
    ("/v2g", {"on": "false"}, "on", "without quotes"),
    ("/v2g", {"on": 0}, "on", "true or false"),
    ("/boost", {"on": True}, "on", "unknown key"),
    ("/boost", {"until": "2025-01-15T16:00"}, "until", "after Wed 15 Jan 2025 17:01 (now)"),
    ("/departure", {"depart_at": "2025-01-16T07:30"}, "target_soc", "exactly one of"),
    ("/departure", {"target_soc": 0.9}, "depart_at", "must be stated"),
    ("/departure", {"depart_at": "07:30", "target_soc": 0.9}, "depart_at", "a date and time"),
    ("/departure", {"depart_at": "2025-01-16", "target_soc": 0.9}, "depart_at", "a date and time"),
    ("/departure", {"depart_at": "2025-02-30T07:30", "target_soc": 0.9}, "depart_at", "a date and time"),
    ("/departure", {"depart_at": 1737000000, "target_soc": 0.9}, "depart_at", "in quotes"),
    ("/departure", {"depart_at": "2025-01-15T17:00", "target_soc": 0.9}, "depart_at", "(now)"),
    ("/departure", {"depart_at": "2025-03-15T17:00", "target_soc": 0.9}, "depart_at", "until Wed 29 Jan"),
    ("/departure", {"depart_at": "0001-01-01T00:00+14:00", "target_soc": 0.9}, "depart_at", "years"),
    ("/departure", {"depart_at": "2025-01-16T07:30", "target_percent": -1}, "target_percent", "0"),
    (
        "/departure",
        {"depart_at": "2025-01-16T07:30", "target_soc": 0.9, "expires_at": "2025-01-16T07:00"},
        "expires_at",
        "from depart_at",
    ),
    ("/week", {"days": []}, "days", "at least 1"),
    (
        "/week",
        {"days": [{"on": ["mon"], "depart_local": "7:30", "target_soc": 1}]},
        "days[0].depart_local",
        "07:30",
    ),
    (
        "/week",
        {"days": [{"on": ["mon"], "depart_local": "25:30", "target_soc": 1}]},
        "days[0].depart_local",
        "",
    ),
    (
        "/week",
        {"days": [{"on": ["Mon"], "depart_local": "07:30", "target_soc": 1}]},
        "days[0].on",
        "weekdays",
    ),
    ("/week", {"days": [{"on": "mon", "depart_local": "07:30", "target_soc": 1}]}, "days[0].on", "a list"),
    (
        "/week",
        {
            "days": [
                {"on": ["weekdays"], "depart_local": "07:30", "target_soc": 1},
                {"on": ["fri"], "depart_local": "09:30", "target_soc": 1},
            ]
        },
        "days[1].on",
        "each day once",
    ),
]


async def test_what_is_wrong_is_told_with_field_value_and_what_is_allowed_and_nothing_is_stored(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        for path, body, field, allowed in WRONG:
            found = await driver.refused("PUT", path, body)
            fault = found["faults"][0]
            assert fault["field"] == field, (path, body, found)
            assert allowed in fault["allowed"], (path, body, found)
            assert "\n" not in found["detail"]
        assert parts.store.drivers.all() == ()


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff\xfe", b'{"soc": NaN', b"[" * 3000, b'{"soc": 0.5, "soc": 0.6}', b"nonsense", b'{"soc"'],
)
async def test_what_is_no_json_is_told_so(tmp_path, raw):
    async with at_the_door(tmp_path) as (parts, driver):
        await driver.refused("PUT", "/floor", status=400, raw=raw)
        assert parts.store.drivers.all() == ()


async def test_numbers_that_are_none_and_other_hostile_bodies(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        for raw in (
            b'{"soc": NaN}',
            b'{"soc": Infinity}',
            b'{"soc": 1e999}',
            b'{"soc": ' + b"9" * 3000 + b"}",
        ):
            await driver.refused("PUT", "/floor", raw=raw)
        await driver.refused("PUT", "/floor", status=413, raw=b" " * 5000 + b"{}")
        await driver.refused("PUT", "/floor", status=415, raw=b"soc=0.5", Content_Type="text/plain")
        await driver.refused("PUT", "/floor?soc=0.5", {"soc": 0.5})
        await driver.refused("GET", "/cycles?month=2025-13")
        await driver.refused("GET", "/cycles?month=2025-02")
        await driver.refused("GET", "/cycles?year=2025")
        await driver.refused("POST", "/floor", {"soc": 0.5}, 405)
        await driver.refused("DELETE", "/v2g", None, 405)
        await driver.refused("GET", "/nothing", None, 404)
        assert parts.store.drivers.all() == ()


async def test_clock_changes_make_no_doubt(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        parts.clock.set(datetime(2025, 3, 29, 12, tzinfo=UTC))
        skipped = await driver.refused(
            "PUT", "/departure", {"depart_at": "2025-03-30T01:30", "target_soc": 0.9}
        )
        assert "skip this one" in skipped["detail"]
        body = await driver.put("/departure", {"depart_at": "2025-03-30T07:30", "target_soc": 0.9})
        assert body["says"]["depart_at"] == {
            "utc": "2025-03-30T06:30:00Z",
            "london": "2025-03-30T07:30:00+01:00",
        }
        parts.clock.set(datetime(2025, 10, 25, 12, tzinfo=UTC))
        twice = await driver.refused(
            "PUT", "/departure", {"depart_at": "2025-10-26T01:30", "target_soc": 0.9}
        )
        assert "2025-10-26T01:30:00+01:00 for the first" in twice["detail"]
        for zone, utc in (("+01:00", "00:30"), ("+00:00", "01:30"), ("Z", "01:30")):
            body = await driver.put("/departure", {"depart_at": f"2025-10-26T01:30{zone}", "target_soc": 0.9})
            assert body["says"]["depart_at"]["utc"] == f"2025-10-26T{utc}:00Z"


async def test_the_nights_of_the_month_are_listed_and_counted(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        report = replace(parts.controller.view.of(CAR).report, soc=0.5)
        for day in range(1, 14):
            evening = datetime(2025, 1, day, 17, 59, 30, tzinfo=UTC)
            rows = [(evening, True), (evening + timedelta(hours=11, seconds=31), True)]
            rows += [(evening + timedelta(hours=12), False)]
            for at, plugged in rows:
                parts.store.states.add([replace(report, measured_at=at, plugged=plugged)], at)
        body = await driver.get("/cycles")
        assert (body["month"], body["cycles"], body["missing"], body["credit_gbp"]) == ("2025-01", 13, 0, 30)
        assert body["nights"] == [f"2025-01-{day:02}" for day in range(1, 14)]
        body = await driver.get("/cycles?month=2024-12")
        assert (body["cycles"], body["missing"], body["credit_gbp"]) == (0, 12, 0)


async def test_a_departure_that_is_past_is_told_as_it_was_stated(tmp_path):
    async with at_the_door(tmp_path) as (parts, driver):
        assert (await driver.get())["departure"]["overdue"] is None
        await driver.put("/departure", {"depart_at": "2025-01-15T17:06", "target_soc": 1})
        await parts.minutes(9)
        for path in ("/plan", "/shortfall"):
            assert (await driver.get(path))["departs_at"]["utc"] == "2025-01-15T17:06:00Z"
        departure = (await driver.get())["departure"]
        assert departure["at"]["utc"] == "2025-01-15T17:06:00Z"
        overdue = departure["overdue"]
        assert (overdue["soc"], overdue["met"]) == (0.9, False)
        assert overdue["kept_until"]["utc"] == "2025-01-15T18:06:00Z"
