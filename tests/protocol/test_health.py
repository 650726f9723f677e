"""What a gateway tells of itself over HTTP: alive, ready or why not, and its figures."""

import asyncio
import socket
import sqlite3
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from prometheus_client.parser import text_string_to_metric_families

from aggregator.app import serve
from aggregator.cli import run
from aggregator.clock import RealClock
from aggregator.config import HttpSettings, LinkSettings
from aggregator.health import Health
from aggregator.metrics import Watched
from aggregator.model.errors import BadMessage
from aggregator.platform_watch import LOOK_S, PlatformWatch, platform_check
from aggregator.serving import listen_on, serving
from aggregator.store import open_store
from tests.protocol.gateway import CONFIG, MINUTE, running, the_fleet, the_settings, until
from tests.protocol.signing import an_identity
from tests.protocol.vtn import PATIENCE_S, START, VTN_ID, FakeVtn, a_report_request, an_event

PLATFORM = f"platform {VTN_ID}"


class Looked:
    """Asks a gateway's own server."""

    def __init__(self, session, base):
        self._session = session
        self._base = base

    async def get(self, path):
        async with self._session.get(self._base + path) as response:
            return response.status, await response.read()

    async def ready(self):
        async with self._session.get(f"{self._base}/health/ready") as response:
            body = await response.json()
            assert response.status == (200 if body["ready"] else 503)
            return body["ready"], {
                name: check["says"] for name, check in body["checks"].items() if not check["ok"]
            }

    async def until(self, met):
        async with asyncio.timeout(PATIENCE_S):
            while not met(*await self.ready()):  # noqa: ASYNC110 - asked as an operator's probe does
                await asyncio.sleep(0.05)

    async def figures(self):
        status, page = await self.get("/metrics")
        assert status == 200
        found = {
            (sample.name.removeprefix("flexloop_"), frozenset(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(page.decode())
            for sample in family.samples
        }
        return lambda name, *labels: found[name, frozenset(labels)]


@asynccontextmanager
async def looked_at(parts):
    """Serve a gateway's health on a free port."""
    stop, listener = asyncio.Event(), listen_on("127.0.0.1:0")
    gateway = parts.gateway
    watched = Watched(
        gateway.settings, parts.store, parts.clock, parts.controller, gateway.recorder, {VTN_ID: parts.ven}
    )
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(listener, Health(watched, stop).app(), "http"), aiohttp.ClientSession() as session:
        yield Looked(session, base), stop


async def test_it_is_ready_once_all_works_and_says_why_it_is_not(tmp_path):
    vtn = FakeVtn()
    async with (
        running(vtn.url, tmp_path, START, poll_interval_s=1.0) as parts,
        looked_at(parts) as (look, stop),
    ):
        assert (await look.get("/health/live"))[0] == 200
        ready, why = await look.ready()
        assert not ready
        assert "not registered" in why[PLATFORM]
        assert why["control loop"] == "no cycle yet"
        async with vtn:
            await vtn.until("oadrPoll", 2)
            await parts.minute()
            await until(lambda: parts.ven.poll_age_s is not None)
            await look.until(lambda ready, _: ready)

        await until(lambda: parts.ven.poll_age_s > 3.0)
        assert "last good poll" in (await look.ready())[1][PLATFORM]
        parts.clock.pass_by(timedelta(minutes=4))
        assert "last cycle 240 s ago, at most 180 s" in (await look.ready())[1]["control loop"]
        stop.set()
        assert (await look.ready())[1]["process"] == "it was asked to end"
        assert (await look.get("/health/live"))[0] == 200


async def test_a_platform_that_is_away_raises_one_alarm_each_time(tmp_path):
    vtn = FakeVtn()
    async with running(vtn.url, tmp_path, START, poll_interval_s=0.1) as parts:
        alarms = parts.store.alarms
        watch = PlatformWatch({VTN_ID: parts.ven}, parts.store, parts.clock, parts.gateway.patience)
        watching = asyncio.create_task(watch.run())
        for times in (1, 2):
            async with vtn:
                await vtn.until("oadrPoll", 2)
                await until(lambda: platform_check(parts.ven).ok)
                await asyncio.sleep(2 * LOOK_S)
                assert len(alarms.all()) == times - 1
                assert all(one.over_at == parts.clock.now() for one in alarms.all())
            await until(lambda: len(alarms.all()) == times)  # noqa: B023
            await asyncio.sleep(2 * LOOK_S)
            assert [(one.code, one.where) for one in alarms.all()] == [("platform_away", VTN_ID)] * times
            assert alarms.all()[-1].over_at is None
        watching.cancel()
        again = PlatformWatch({VTN_ID: parts.ven}, parts.store, parts.clock, parts.gateway.patience)
        watching = asyncio.create_task(again.run())  # as after a restart
        await asyncio.sleep(2 * LOOK_S + 1.0)
        assert len(alarms.all()) == times
        watching.cancel()


async def test_a_platform_that_has_not_been_asked_in_vain_yet_is_not_away(tmp_path):
    """A gateway that starts slowly, or a first answer that takes its time, says nothing of the platform."""
    held = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/OpenADR2/Simple/2.0b"
    async with running(url, tmp_path, START, poll_interval_s=0.1, timeout_s=4.0) as parts:
        watch = PlatformWatch({VTN_ID: parts.ven}, parts.store, parts.clock, parts.gateway.patience)
        watching = asyncio.create_task(watch.run())
        await until(lambda: held)
        await asyncio.sleep(4 * LOOK_S)
        assert (parts.ven.consecutive_failures, list(parts.store.alarms.all())) == (0, [])
        await until(parts.store.alarms.all)
        assert "1 failures" in parts.store.alarms.all()[0].text
        watching.cancel()
    silent.close()
    for writer in held:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_a_database_that_cannot_be_written_is_told(tmp_path):
    async with FakeVtn() as vtn, running(vtn.url, tmp_path, START) as parts, looked_at(parts) as (look, _):
        await vtn.until("oadrPoll")
        assert "database" not in (await look.ready())[1]
        with closing(sqlite3.connect(tmp_path / "flexloop.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await look.until(lambda _, why: why.get("database"))
            assert (await look.figures())("platform_registered", VTN_ID) == 1
            other.execute("ROLLBACK")


async def test_figures_of_platform_reports_loop_and_cars(tmp_path):
    cert, key = an_identity("ven").files(tmp_path)
    order = an_event(kw=(-6.0,))
    order["event_descriptor"]["vtn_comment"] = None
    theirs = an_identity("vtn")
    keys = {"cert": theirs.cert, "key": theirs.key}
    vtn = FakeVtn(events=(order, an_event("mars", zone="Mars")), standing=(a_report_request(),), keys=keys)
    signed = {"certificate": cert, "key": key, "vtn_fingerprint": theirs.fingerprint}
    async with (
        running(vtn.url, tmp_path, START - 2 * MINUTE, **signed) as parts,
        looked_at(parts) as (look, _),
    ):
        async with vtn:
            await vtn.until("oadrCreatedEvent")
            await parts.minutes(6)
            await until(lambda: parts.store.outbox.counts(VTN_ID)["sent"] >= 1)
            await until(lambda: parts.ven.poll_age_s is not None)
            found = await look.figures()
        assert found("platform_registered", VTN_ID) == 1
        assert found("platform_poll_interval_seconds", VTN_ID) == pytest.approx(0.02)
        assert found("platform_poll_age_seconds", VTN_ID) >= 0
        assert abs(found("platform_clock_skew_seconds", VTN_ID)) < 60
        assert abs(found("platform_signature_skew_seconds", VTN_ID)) < 60
        assert 30_000 < found("platform_certificate_days", VTN_ID) < 36_501
        assert found("event_answers_total", VTN_ID, "optIn", "200") >= 1
        assert found("event_answers_total", VTN_ID, "optOut", "462") >= 1
        assert found("outbox_reports", VTN_ID, "sent") >= 1
        assert (found("cars", "known"), found("cars", "plugged"), found("cars", "stale")) == (2, 2, 0)
        assert found("cycles_total") == 6
        assert found("set_points_total", "accepted") >= 2
        assert found("recorder_backlog") == 0
        assert found("cycle_age_seconds") == 0
        assert found("cycle_seconds") > 0

        await parts.minutes(12)
        await until(lambda: parts.waiting() and parts.ven.consecutive_failures)
        found = await look.figures()
        assert found("outbox_reports", VTN_ID, "pending") >= 1
        assert found("outbox_oldest_seconds", VTN_ID) > 0
        assert found("platform_failures", VTN_ID) > 0
        parts.clock.pass_by(10 * MINUTE)
        assert (await look.figures())("cars", "stale") == 2


def test_an_address_in_use_is_told():
    with listen_on("127.0.0.1:0") as taken:
        address = "{}:{}".format(*taken.getsockname())
        with pytest.raises(BadMessage, match=r"http\.listen"):
            listen_on(address)


def test_serve_ends_with_2_and_one_line_where_the_port_is_in_use(tmp_path, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("FLEXLOOP_HTTP__LISTEN", f"127.0.0.1:{port}")
        database = f"sqlite:///{tmp_path / 'flexloop.db'}"
        assert run(["serve", "--config", str(CONFIG), "--database", database]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"flexloop: http.listen: '127.0.0.1:{port}' is not allowed")
    assert line.endswith("an address that is free (Address already in use)")


async def test_serve_tells_it_where_the_configuration_says(tmp_path):
    port, stop = unused_port(), asyncio.Event()
    async with FakeVtn() as vtn:
        link = LinkSettings(url=f"http://127.0.0.1:{unused_port()}/link")
        changes = {"http": HttpSettings(listen=f"127.0.0.1:{port}"), "link": link}
        settings = the_settings(vtn.url, poll_interval_s=1.0).model_copy(update=changes)
        with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
            store.fleet.replace(the_fleet(), START, "test")
            async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
                look = Looked(session, f"http://127.0.0.1:{port}")
                serving = group.create_task(serve(settings, store, RealClock(), stop))
                await vtn.until("oadrPoll")
                await look.until(lambda ready, _: ready)
                assert (await look.figures())("platform_registered", VTN_ID) == 1
                stop.set()
                await asyncio.wait_for(serving, PATIENCE_S)
                with pytest.raises(aiohttp.ClientConnectorError):
                    await look.get("/health/live")
