"""Settlement at the desk: the same bytes as the command, versions, figures walked back, wrong questions."""

import asyncio
import hashlib
import html
import io
import json
import re
import shlex
import zipfile
from datetime import timedelta
from urllib.parse import quote

import pytest
from sqlalchemy import text

from aggregator.audit.evidence import Evidence
from aggregator.audit.money import p9_registers
from aggregator.cli import run
from aggregator.commands.context import known_instant
from aggregator.flexible_power import flexible_power_files
from aggregator.model.opportunity import Awarded, OptedOut
from aggregator.reports import write_book
from aggregator.statement_books import make_book
from aggregator.statements import Period
from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.workflow import fleets_of
from tests.builders import an_award
from tests.desk.money_world import DAY, a_delivered_desk, a_late_reading, found
from tests.desk.world import EVENING, NOW, PRODUCT, a_bid, a_key, approved
from tests.protocol.gateway import ZONE
from tests.unit.config_steps import a_config, edit

DELIVERED = ["0.000", "1.500", "1.500", "1.500"]
"""The order came half an hour into the window."""


def done(number):
    return lambda body: (
        sum(one["name"] == "settle" and "new version" in one["said"] for one in body["deeds"]) >= number
    )


async def settled(person, day=DAY, number=1):
    """Make a statement and wait for it; return what the trail says came of it."""
    start, end = (part.partition("=")[2] for part in day.split("&")[:2])
    status, said = await person.post("/v1/settlement", {"from": start, "to": end})
    assert status == 200, said
    body = await found(person, "/v1/audit?name=settle", done(number))
    return body["deeds"][0]["said"]


async def test_a_statement_is_shown_kept_and_corrected(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue, vera = await desk.sign_in("sue"), await desk.sign_in("vera")
        status, body = await vera.get(f"/v1/settlement?{DAY}")
        assert (status, body["not_kept"], body["versions"]) == (200, ["bid-5"], [])
        assert [row["delivered_kwh"] for row in body["rows"]] == DELIVERED
        assert body["totals"]["instructed_kwh"] == "4.500"
        _, page = await vera.get(f"/settlement?{DAY}")
        assert "no version yet" in page
        assert "takes the role settlement or operator" in page
        assert await settled(sue) == "14 Jan 2025 to 15 Jan 2025: 1 event, 1 new version"
        first = desk.store.statements.latest("bid-5")
        assert (first.version, first.reason) == (1, "first settlement")
        assert await settled(sue, number=2) == "14 Jan 2025 to 15 Jan 2025: 1 event, 0 new versions"

        desk.parts.clock.pass_by(timedelta(minutes=1))
        a_late_reading(desk, 1400)
        known = desk.parts.clock.now()
        assert await settled(sue, number=3) == "14 Jan 2025 to 15 Jan 2025: 1 event, 1 new version"
        status, body = await vera.get(f"/v1/settlement?{DAY}")
        assert [one["version"] for one in body["versions"]] == [1, 2]
        assert body["versions"][1]["reason"] == "readings changed"
        assert all(one["comes_out_again"] for one in body["versions"])
        changes = {(one["column"], one["before"], one["after"]) for one in body["versions"][1]["changes"]}
        assert ("delivered_kwh", "1.500", "1.100") in changes
        assert body["not_kept"] == []
        _, page = await vera.get(f"/settlement?{DAY}")
        assert "readings changed" in page
        before = (known - timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
        _, then = await vera.get(f"/v1/settlement?{DAY}&known_at={before}")
        assert [row["delivered_kwh"] for row in then["rows"]] == DELIVERED


async def test_an_audit_before_a_late_reading_s_version_finds_the_last_one_as_it_was_made(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue, settings = await desk.sign_in("sue"), desk.parts.gateway.settings
        await settled(sue)
        desk.parts.clock.pass_by(timedelta(minutes=1))
        a_late_reading(desk, 1400)
        audited = p9_registers(Evidence(desk.store, settings))
        assert (audited.breaches, "next version is due" in audited.unchecked) == ((), True)
        await settled(sue, number=2)
        assert p9_registers(Evidence(desk.store, settings)).unchecked == ""


async def test_what_was_taken_back_before_its_window_is_owed_no_statement(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        award = an_award(key=a_key("award-9"), zone=ZONE, product_id=PRODUCT, window=EVENING)
        gone = (Awarded(NOW, award), OptedOut(NOW, "a charger recall", "anna"))
        a_bid(desk.store, "bid-9", approved, *gone, event="requirement-9")
        desk.parts.clock.set(EVENING.end + timedelta(hours=1))
        sue, day = await desk.sign_in("sue"), "from=2025-01-15&to=2025-01-16"
        status, body = await sue.get(f"/v1/settlement?{day}")
        assert (status, body["not_kept"]) == (200, [])
        _, page = await sue.get(f"/settlement?{day}")
        assert "taken back before: nothing owed" in page
        assert "no version yet" not in page
        assert await settled(sue, day) == "15 Jan 2025 to 16 Jan 2025: 1 event, 0 new versions"
        assert desk.store.statements.latest("bid-9") is None


async def test_files_are_byte_by_byte_those_of_the_command(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        await settled(sue)
        period = Period(*(desk.bid("bid-5").window.start.date() + timedelta(days=n) for n in (0, 1)))
        settings, store = desk.parts.gateway.settings, desk.store
        book = make_book(store, settings.products, fleets_of(store), period.start, period.end)
        digests = write_book(book, tmp_path / "out", flexible_power_files(book.rows))
        _, body = await sue.get(f"/v1/settlement?{DAY}")
        assert {one["name"]: one["sha256"] for one in body["files"]} == digests
        for name, digest in digests.items():
            assert "%" not in name
            data, headers = await sue.download(f"/v1/settlement/files/{quote(name)}?{DAY}")
            assert hashlib.sha256(data).hexdigest() == digest
            kept = f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name, safe='')}"
            assert headers["Content-Disposition"] == kept
        assert any(f"_{ZONE}_" in name for name in digests)
        _, page = await sue.get(f"/settlement?{DAY}")
        assert f">flexible_power_readings_{ZONE}_day-ahead.csv<" in page
        assert (await sue.get(f"/v1/settlement/files/other.csv?{DAY}"))[0] == 404


async def test_files_of_a_day_that_still_runs_are_those_of_the_command_as_known_at_the_same_time(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        await settled(sue)
        known_at = desk.parts.clock.now()
        desk.parts.clock.pass_by(timedelta(minutes=1))
        a_late_reading(desk, 1400)
        await settled(sue, number=2)
        day = desk.bid("bid-5").window.start.date()
        settings, store = desk.parts.gateway.settings, desk.store
        assert known_instant("settle", f"{known_at:%Y-%m-%dT%H:%M}") == known_at, "London's winter is UTC"
        for n, (as_known_at, more) in enumerate(
            [(known_at, f"&known_at={known_at:%Y-%m-%dT%H:%M}"), (None, "")]
        ):
            end = day + timedelta(days=1)
            book = make_book(store, settings.products, fleets_of(store), day, end, None, as_known_at)
            digests = write_book(book, tmp_path / f"out-{n}", flexible_power_files(book.rows))
            assert {"statement.html", "statement.json", "statement.xlsx"} <= set(digests)
            for name, digest in digests.items():
                data, _ = await sue.download(f"/v1/settlement/files/{quote(name)}?{DAY}{more}")
                assert hashlib.sha256(data).hexdigest() == digest, name
        first, second = ((tmp_path / f"out-{n}" / "statement.json").read_bytes() for n in (0, 1))
        assert first != second


async def test_the_command_line_beside_the_files_writes_the_same_bytes_whatever_came_in_since(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue, clock = await desk.sign_in("sue"), desk.parts.clock
        config = a_config(tmp_path)
        edit(
            config / "markets" / "ukpn.toml", ("standing_contract = false", "standing_contract = true")
        )  # as the world's
        options = ["--config", str(config / "gateway.toml"), "--database", desk.store.url]
        clock.pass_by(timedelta(seconds=34, microseconds=123_456))
        await settled(sue)
        for more in ("", f"&zone={ZONE}"):
            page = await found(sue, f"/settlement?{DAY}{more}", lambda page: 'id="command"' in page)
            command = html.unescape(re.search(r'<pre id="command">([^<]*)</pre>', page)[1])
            assert f"--as-known-at {clock.now():%Y-%m-%dT%H:%M:%S.%f}Z" in command
            _, body = await sue.get(f"/v1/settlement?{DAY}{more}")
            assert body["command"] == command
            assert [one["version"] for one in body["versions"]] == [1]
            files = {one["name"]: one["sha256"] for one in body["files"]}
            clock.pass_by(timedelta(microseconds=5))
            a_late_reading(desk, 1400)
            words = shlex.split(command)[1:-1]
            out = tmp_path / f"again{more}"
            assert await asyncio.to_thread(run, [*words, str(out), *options]) == 0
            written = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}
            assert written == files
            link = html.unescape(re.search(r'href="(/v1/settlement/files/statement.json[^"]*)"', page)[1])
            data, _ = await sue.download(link)
            assert hashlib.sha256(data).hexdigest() == files["statement.json"], (
                "what was shown, not what is new"
            )


async def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(WITHOUT_PYARROW)
    async with a_delivered_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        status, body = await sue.get(f"/v1/settlement?{DAY}")
        assert status == 200
        assert body["not_written"] == ["statement.parquet: needs pip install 'flexloop[parquet]'"]
        status, refused = await sue.get(f"/v1/settlement/files/statement.parquet?{DAY}")
        assert (status, refused["detail"]) == (404, body["not_written"][0])
        assert body["not_written"][0].replace("'", "&#39;") in (await sue.get(f"/settlement?{DAY}"))[1]


WITHOUT_PYARROW = """
import importlib.util as util
found = util.find_spec
util.find_spec = lambda name, package=None: None if name == "pyarrow" else found(name, package)
"""


async def test_a_figure_is_walked_back(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        status, body = await vera.get("/v1/settlement/bid-5?half_hour=12:00&car=car-1")
        assert status == 200
        (line,) = body["half_hours"]
        assert (line["instructed_wh"], line["metered_export_wh"], line["delivered_wh"]) == (1500, 3000, 1500)
        assert [one["car"] for one in line["cars"]] == ["car-1"]
        assert line["cars"][0]["start"]["rule"] == "read"
        status, page = await vera.get("/settlement/bid-5?half_hour=12:00&car=car-1")
        assert status == 200
        for words in (
            "metered 3.000 kWh, net export of 2 chargers",
            "order-5 modification 0",
            "car-1: net export",
            'kW from <time datetime="2025-01-14T12:00:00Z" title="2025-01-14 12:00:00 UTC">12:00</time> to ',
        ):
            assert words in page
        assert "Choose a half-hour" in (await vera.get("/settlement/bid-5"))[1]
        for path in ("bid-5?half_hour=03:00", "bid-5?car=car-9", "bid-1"):
            status, refused = await vera.get(f"/v1/settlement/{path}")
            assert status == 422, path
            assert refused["faults"][0]["field"] in ("query: half_hour", "query: car", "path: bid")
        assert (await vera.get("/v1/settlement/nothing"))[0] == 404
        assert (await vera.get("/settlement/nothing"))[0] == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=2025-13-01&to=2025-01-02", "a date of the calendar"),
        ("from=14.1.&to=2025-01-15", "a local date, 2025-01-15"),
        ("from=2025-01-15&to=2025-01-14", "a date after 2025-01-15"),
        ("from=2025-01-15", "a value must be stated"),
        ("from=2023-01-15&to=2025-01-14", "at most 366 days"),
        ("from=0001-01-01&to=0001-01-02", "a date after 2000-01-01"),
        (f"{DAY}&zone=Mars", "one of "),
        (f"{DAY}&known_at=yesterday", "a date and time"),
        (f"{DAY}&known_at=2025-03-30T01:30", "they go forward that night"),
        (f"{DAY}&known_at=2024-10-27T01:30", "they go back that night"),
    ],
)
async def test_a_wrong_question_is_a_clear_line(tmp_path, query, words):
    async with a_delivered_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        status, refused = await sue.get(f"/v1/settlement?{query}")
        assert status == 422
        assert words in refused["detail"]
        assert refused["faults"][0]["field"].startswith("query: ")
        status, page = await sue.get(f"/settlement?{query}")
        assert status == 422
        assert words in page
        assert 'name="from"' in page
        assert (await sue.get(f"/v1/settlement/files/statement.csv?{query}"))[0] == 422


async def test_who_may_make_a_statement(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        body = {"from": "2025-01-14", "to": "2025-01-15"}
        for name in ("anna", "ben", "vera"):
            person = await desk.sign_in(name)
            assert (await person.post("/v1/settlement", body))[0] == 403
            assert (await person.get(f"/v1/settlement?{DAY}"))[0] == 200
        sue = await desk.sign_in("sue")
        assert (await sue.post("/v1/settlement", {**body, "zone": "Mars"}))[0] == 422
        assert (await sue.post("/v1/settlement", {**body, "known_at": "2025-01-14T12:00"}))[0] == 422
        assert (await sue.post("/v1/settlement", {"from": "2025-01-15", "to": "2025-01-14"}))[0] == 422
        assert desk.store.statements.latest("bid-5") is None
        answers = [await sue.post("/v1/settlement", body) for _ in range(3)]
        assert answers[0][0] == 200
        refused = [answer for status, answer in answers if status == 409]
        assert all("is being worked on for sue already" in one["detail"] for one in refused)


async def test_a_month_of_drivers_is_taken_along(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        data, _ = await vera.download("/v1/settlement/drivers/2025-01/drivers.json")
        assert {row["car_id"] for row in json.loads(data)["drivers"]} == {"car-1", "car-2"}
        assert desk.store.statements.starting("driver ") == []
        assert (await vera.get("/v1/settlement/drivers/2025-01/other.csv"))[0] == 404
        assert (await vera.get("/v1/settlement/drivers/2025-1/drivers.csv"))[0] == 422
        assert (await vera.get("/v1/settlement/drivers/2024-01/drivers.csv"))[0] == 409


async def test_a_month_is_offered_whole_with_a_page_for_each_car(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        page = await found(vera, f"/settlement?{DAY}", lambda page: "Drivers’ month" in page)
        offered = re.findall(r'href="/v1/settlement/drivers/2025-01/([^"]+)"', page)
        data, headers = await vera.download("/v1/settlement/drivers/2025-01/month.zip")
        assert headers["Content-Type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(data)) as taken:
            inside = {name: taken.read(name) for name in taken.namelist()}
        assert {name for name in inside if "/" in name} == {"drivers/car-1.html", "drivers/car-2.html"}
        files = {name for name in inside if "/" not in name}
        assert set(offered) == files | {"month.zip"}
        for name in files:
            assert (await vera.download(f"/v1/settlement/drivers/2025-01/{name}"))[0] == inside[name], name


async def test_a_database_that_goes_is_said_and_the_next_try_works(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        engine = open_engine(parse_url(desk.store.url))
        with writing(engine) as connection:
            connection.execute(text("ALTER TABLE nominations RENAME TO gone"))
        status, refused = await sue.get(f"/v1/settlement?{DAY}")
        assert (status, refused["detail"]) == (503, "the database does not answer")
        with writing(engine) as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO nominations"))
        engine.dispose()
        assert (await sue.get(f"/v1/settlement?{DAY}"))[0] == 200


async def test_a_statement_says_as_known_when_and_is_worked_out_anew_for_who_asks(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        at = desk.parts.clock.now()
        page = await found(vera, f"/settlement?{DAY}", lambda page: "Work it out anew" in page)
        a_late_reading(desk, 1400)
        desk.parts.clock.pass_by(timedelta(minutes=23))
        _, page = await vera.get(f"/settlement?{DAY}")
        assert re.search(f"as known at <time[^>]*>{at:%a %d %b %H:%M:%S}</time>, 23 min ago", page)
        anew = html.unescape(re.search(r'id="anew" href="([^"]*)"', page)[1])
        for _ in range(2):
            page = await found(vera, anew, lambda page: "Work it out anew" in page)
            assert re.search(f"as known at <time[^>]*>{at + timedelta(minutes=23):%a %d %b %H:%M:%S}<", page)
            assert 'id="anew"' in page
        _, body = await vera.get(f"/v1/settlement?{DAY}")
        assert "1.100" in [row["delivered_kwh"] for row in body["rows"]]


def late_words(page):
    return " ".join(
        html.unescape(re.sub("<[^>]*>", "", re.search(r'id="late".*?</p>', page, re.S)[0])).split()
    )


async def test_readings_newer_than_the_statement_are_told_with_what_to_do_about_them(tmp_path):
    async with a_delivered_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        await settled(sue)
        page = await found(sue, f"/settlement?{DAY}", lambda page: "version 1" in page)
        assert 'id="late"' not in page
        desk.parts.clock.pass_by(timedelta(minutes=5))
        a_late_reading(desk, 1400)
        desk.parts.clock.pass_by(timedelta(minutes=5))
        page = await found(sue, f"/settlement?{DAY}", lambda page: "Newer readings" in page)
        assert "1 meter told of 1 half-hour of 1 event after it was made or worked out." in late_words(page)
        assert "lack some of them: work it out anew" in late_words(page)
        assert "newer readings: 1 meter, 1 half-hour" in page
        anew = html.unescape(re.search(r'id="anew" href="([^"]*)"', page)[1])
        page = await found(sue, anew, lambda page: "differs from version 1" in page)
        assert "have them and differ from what is kept: make a statement" in late_words(page)
        await settled(sue, number=2)
        page = await found(sue, f"/settlement?{DAY}", lambda page: "version 2" in page)
        assert 'id="late"' not in page
