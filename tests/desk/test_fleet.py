"""The fleet's page and a car's, over HTTP: rows, filters, paging, one night, and the same as JSON."""

import re
from collections import Counter
from datetime import datetime, timedelta

import pytest

from aggregator.model.drivers import Floor, Topic, Word
from aggregator.model.fleet import Approval, ExportSource, Fleet
from aggregator.store import open_store
from aggregator.web.fleet_view import PER_PAGE, SHOWN, SORTS, FleetChoice
from tests.builders import a_car, a_car_report, a_charger, a_site
from tests.desk.driver_steps import a_driver, said
from tests.desk.world import NOW, a_desk
from tests.protocol.gateway import ZONE

MINUTE = timedelta(minutes=1)


def stored(folder, cars):
    """Put a fleet into the database that a desk is served from."""
    with open_store(f"sqlite:///{folder / 'flexloop.db'}", create=True) as store:
        store.fleet.replace(Fleet(tuple(cars), digest="a" * 64), NOW, "test")


def a_home(number, **site):
    home = a_site(site_id=f"home-{number}", zone=ZONE, **site)
    return a_car(car_id=f"car-{number:04}", charger=a_charger(charger_id=f"charger-{number}"), site=home)


async def test_each_car_is_told_with_all_that_bears_on_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        status, body = await vera.get("/v1/fleet")
        assert status == 200
        assert (body["found"], body["of"], body["page"], body["pages"]) == (2, 2, 1, 1)
        row = body["cars"][0]
        assert (row["car_id"], row["zone"], row["state"], row["link"]) == (
            "car-1",
            ZONE,
            "giving",
            "connected",
        )
        assert (row["soc"], row["floor_soc"], row["export_kw"], row["heard_s"]) == (0.9, 0.3, 3.0, 0.0)
        assert (row["departs_at"], row["departure_said"]) == ("2025-01-15T07:30:00Z", "default")
        assert (row["boost"], row["v2g"], row["short_kwh"]) == (False, True, 0.0)
        assert row["site"]["bar_to_discharge"] is None
        _, page = await vera.get("/fleet")
        assert "car-1" in page
        assert "90% charged, floor 30%, target" in page
        desk.parts.clock.pass_by(4 * MINUTE)
        _, body = await vera.get("/v1/fleet")
        assert {(row["state"], row["link"], row["export_kw"]) for row in body["cars"]} == {
            ("silent", "silent", None)
        }


async def test_where_no_car_has_been_heard_of_nothing_is_claimed(tmp_path):
    async with a_desk(tmp_path, heard=False) as desk:
        vera = await desk.sign_in("vera")
        _, page = await vera.get("/fleet")
        assert "in reach" not in page
        assert page.count("not known yet: no car has been heard of") == 3
        assert "nothing is known of any" in (await vera.get("/live"))[1]
        assert (await vera.get("/v1/fleet"))[1]["heard"] == 0
        await desk.parts.minute()
        assert "every target is in reach" in (await vera.get("/fleet"))[1]
        assert "no car is shown" in (await vera.get("/fleet?text=nobody"))[1]


async def test_what_drivers_say_is_seen_at_once(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, driver = await desk.sign_in("vera"), await a_driver(desk)
        await said(driver, "boost")
        await said(driver, "floor", {"level": "50", "unit": "percent"})
        await said(driver, "v2g", {"on": "off"})
        _, body = await vera.get("/v1/fleet?shown=boosted")
        assert [(row["car_id"], row["boost"], row["v2g"], row["floor_soc"]) for row in body["cars"]] == [
            ("car-1", True, False, 0.5)
        ]
        assert (await vera.get("/v1/fleet?shown=no-v2g"))[1]["found"] == 1


async def test_approvals_in_all_their_states(tmp_path):
    later = (NOW + timedelta(days=9)).date()
    homes = [
        a_home(1, export_source=ExportSource.NONE, export_limit_kw=0.0),
        a_home(2, approval=Approval.APPLIED),
        a_home(3, approval=Approval.REFUSED),
        a_home(4, approved_from=later, export_source=ExportSource.G99),
        a_home(5, export_source=ExportSource.G100, export_limit_kw=5.0),
    ]
    stored(tmp_path, homes)
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        _, body = await vera.get("/v1/fleet?shown=no-export")
        bars = [row["site"]["bar_to_discharge"] for row in body["cars"]]
        assert bars == [
            "no export approval",
            "approval applied",
            "approval refused",
            f"approved from {later}",
        ]
        assert (body["may_export"], body["of"]) == (0, 5)
        _, page = await vera.get("/fleet")
        for words in ("approval applied", "approval refused", f"approved from {later}", "G100"):
            assert words in page


async def test_many_cars_come_in_pages_filtered_and_sorted(tmp_path):
    count = 2 * PER_PAGE + 30
    stored(tmp_path, [a_home(number) for number in range(1, count + 1)])
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        seen = []
        for page in (1, 2, 3, 4):
            _, body = await vera.get(f"/v1/fleet?page={page}")
            assert (body["found"], body["pages"]) == (count, 3)
            seen += [row["car_id"] for row in body["cars"]] if page < 4 else []
        assert seen == [f"car-{number:04}" for number in range(1, count + 1)]
        assert body["page"] == 3, "beyond the last the last one is shown"
        _, page = await vera.get("/fleet?sort=soc&page=2")
        assert "page 2 of 3" in page
        assert "sort=soc&amp;page=3" in page
        _, body = await vera.get("/v1/fleet?text=CAR-000")
        assert body["found"] == 9
        assert (await vera.get("/v1/fleet?zone=Wrotham"))[1]["found"] == 0
        _, page = await vera.get("/fleet?text=%3Cscript%3E")
        assert "<script>" not in page.split("<main")[1]
        assert "No car fits this filter" in page
        for sort in SORTS:
            assert (await vera.get(f"/v1/fleet?sort={sort}"))[1]["found"] == count
        for shown in SHOWN:
            assert (await vera.get(f"/fleet?shown={shown}"))[0] == 200


def test_a_query_that_makes_no_sense_is_as_usual():
    odd = {"shown": "x", "sort": "y", "page": "-1", "text": "  "}
    assert FleetChoice.of(odd) == FleetChoice()
    assert FleetChoice.of({"page": "9" * 400}) == FleetChoice()
    assert FleetChoice.of({"page": "\N{SUPERSCRIPT TWO}"}) == FleetChoice()


async def test_a_cars_night_says_what_it_did_and_why(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        await desk.parts.minutes(40)
        status, body = await vera.get("/v1/fleet/car-1")
        assert status == 200
        night = body["night"]
        assert (night["from"], night["until"]) == ("2025-01-14T12:00:00Z", "2025-01-15T12:00:00Z")
        first, running = night["half_hours"]
        assert (first["took_wh"], first["until"]) == (None, "2025-01-14T12:30:00Z"), "no reading before"
        assert (running["took_wh"], running["gave_wh"]) == (0, 550), "50 Wh each of 11 minutes"
        assert "order" in first["why"]
        assert (first["soc_at_end"], running["soc_at_end"]) == (0.9, 0.9)
        assert night["needed"] == {"at": "2025-01-15T07:30:00Z", "soc": 0.8}
        assert ([one["served"] for one in night["events"]], body["bids"]) == ([True], ["bid-5"])
        assert night["lowest_soc"] == 0.9
        assert body["plan"][0]["from"]["utc"] == "2025-01-14T12:41:00Z"
        assert body["cycles"]["needed"] == 12
        status, page = await vera.get("/fleet/car-1")
        assert status == 200
        assert page.count('<svg class="night"') == 2
        assert "the network operator&#39;s order" in page
        assert " style=" not in page
        table = page.partition("Half-hour by half-hour")[2].partition("</table>")[0]
        assert table.count('<td class="num">90%</td>') >= 2
        assert not re.search(r"\byou(r)?\b", page.partition("<main")[2]), "a driver's words"


async def test_a_night_is_chosen_by_its_evening(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        _, body = await vera.get("/v1/fleet/car-1?night=2025-01-10")
        assert body["night"]["from"] == "2025-01-10T12:00:00Z"
        assert {one["took_wh"] for one in body["night"]["half_hours"]} == {None}
        assert len(body["night"]["half_hours"]) == 48
        _, page = await vera.get("/fleet/car-1?night=2025-01-10")
        assert "Nothing was reported of it in this night" in page
        assert "night=2025-01-09" in page
        assert "night=2025-01-11" in page
        _, spring = await vera.get("/v1/fleet/car-1?night=2024-03-30")
        assert len(spring["night"]["half_hours"]) == 46, "clocks go forward"
        _, autumn = await vera.get("/v1/fleet/car-1?night=2024-10-26")
        assert len(autumn["night"]["half_hours"]) == 50
        for wrong in ("2025-01-15", "1999-12-31", "x", "2025-02-30", ""):
            status, problem = await vera.get(f"/v1/fleet/car-1?night={wrong}")
            assert (status, problem["faults"][0]["field"]) == (422, "query: night"), wrong
            assert (await vera.get(f"/fleet/car-1?night={wrong}"))[0] == 422


async def test_a_car_that_is_not_there_is_not_found(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        for path in ("/fleet/car-9", "/v1/fleet/car-9", "/v1/fleet/%00"):
            assert (await vera.get(path))[0] == 404, path


@pytest.mark.parametrize("at", [4, 12])
async def test_a_past_night_has_the_floor_of_its_time(tmp_path, at):
    async with a_desk(tmp_path) as desk:
        word = Word("car-1", Topic.FLOOR, 0, NOW + timedelta(hours=at), "0" * 12, Floor(0.6))
        desk.store.drivers.say(word, 0)
        _, body = await (await desk.sign_in("vera")).get("/v1/fleet/car-1")
        assert [one["soc"] for one in body["night"]["floors"]] == [0.3, 0.6]
        assert body["night"]["floors"][1]["from"] == f"2025-01-{14 + (at == 12)}T{(12 + at) % 24:02}:00:00Z"


async def test_a_plan_in_a_window_is_what_the_zone_must_do_and_not_what_each_car_would(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, driver = await desk.sign_in("vera"), await a_driver(desk)
        wanted = {
            slot.start: kw
            for target in desk.parts.gateway.book.targets_ahead(ZONE, desk.parts.clock.now())
            for slot, kw in zip(target.slots[1:], target.export_kw[1:], strict=True)
        }
        assert wanted
        planned = Counter()
        for car in ("car-1", "car-2"):
            _, body = await vera.get(f"/v1/fleet/{car}")
            for row in body["plan"]:
                at = datetime.fromisoformat(row["from"]["utc"])
                planned[at] += row["export_kw"]
                if at in wanted:
                    assert row["why"] == "its probable share of the network operator's order to its zone"
        for at, kw in wanted.items():
            assert planned[at] == pytest.approx(kw, abs=0.01)
        _, page = await driver.get("/my-car")
        assert "its probable share of the network operator" in page


async def test_of_a_car_that_is_away_it_is_told_since_when_and_that_its_charger_is_heard(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, parts = await desk.sign_in("vera"), desk.parts
        parts.clock.pass_by(MINUTE)
        left_at = parts.clock.now()
        for _ in range(3):
            now = parts.clock.now()
            parts.controller.observe([a_car_report(car_id="car-1", measured_at=now, plugged=False)])
            parts.clock.pass_by(18 * MINUTE)
        _, body = await vera.get("/v1/fleet/car-1")
        since = left_at.isoformat().replace("+00:00", "Z")
        assert (body["state"], body["link"], body["heard_s"], body["since"]) == (
            "away",
            "connected",
            1080,
            since,
        )
        words = re.compile(r"car away since <time[^>]*>Tue 12:02</time>; heard 18 min ago")
        for path in ("/fleet", "/fleet/car-1"):
            _, page = await vera.get(path)
            assert "charger connected" in page
            assert words.search(page), path
        parts.clock.pass_by(60 * MINUTE)
        assert (await vera.get("/v1/fleet/car-1"))[1]["link"] == "silent"
        assert "charger silent" in (await vera.get("/fleet"))[1]
