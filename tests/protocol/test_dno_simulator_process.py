"""The DNO simulator as a process of its own, met by openleadr's stock client."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from openleadr import OpenADRClient

from .dno_ven import PATH, Ven

COMMAND = (
    "import sys; from pathlib import Path; from market_adapters.dno_simulator.main import run;"
    "a = sys.argv; sys.exit(run(Path(a[1]), a[2], Path(a[3]), Path(a[4])))"
)
# Years ahead, because the stock client answers nothing that is over by the wall clock.
SCENARIO = """
vtn_id = "DSO-Demo"
market_context = "http://dso.example/flex"
starts_at = "2099-01-07T13:00:00Z"
ends_at = "2099-01-07T23:00:00Z"

[[requirement]]
id = "REQ-HW"
zone = "Hendon Way"
product = "day-ahead"
start = "2099-01-08T17:00:00Z"
end = "2099-01-08T19:00:00Z"
kw = 30.0
ceiling_gbp_per_mwh = 598.0
publish_at = "2099-01-07T13:00:00Z"
gate_closure_at = "2099-01-07T16:00:00Z"
award_at = "2099-01-07T16:30:00Z"
"""


def files(folder: Path, factor: float) -> list[str]:
    scenario, clock = folder / "scenario.toml", folder / "clock.json"
    scenario.write_text(SCENARIO)
    start = "2099-01-07T13:00:00Z"
    steps = [{"from": start, "factor": factor}]
    clock.write_text(json.dumps({"wall_epoch_s": time.time(), "starts_at": start, "steps": steps}))
    return [str(scenario), "127.0.0.1:0", str(folder / "out"), str(clock)]


@asynccontextmanager
async def simulator(arguments: list[str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            line = (await process.stderr.readline()).decode().strip()
        yield process, line.removeprefix("listening on ")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "result.json").read_text())


async def test_the_stock_client_registers_and_opts_in(tmp_path: Path) -> None:
    async with simulator(files(tmp_path, factor=1.0)) as (process, url):
        seen: list[str] = []

        async def on_event(event: dict[str, Any]) -> str:
            seen.append(event["event_descriptor"]["event_id"])
            return "optIn"

        client = OpenADRClient(ven_name="stock", vtn_url=url)
        client.add_handler("on_event", on_event)
        client.add_report(
            callback=lambda: 0.0,
            report_specifier_id="telemetry",
            r_id="Hendon Way/export_kwh",
            resource_id="Hendon Way",
            measurement="energyReal",
            unit="Wh",
            scale="k",
            report_duration=timedelta(hours=1),
            sampling_rate=timedelta(minutes=1),
        )
        await client.run()
        assert [request["report_request_id"] for request in client.report_requests] == ["RR-telemetry"]
        await client.stop()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert seen == ["REQ-HW"]
        assert result(tmp_path)["requirements"][0]["opt"] == {"REQ-HW": "optIn"}
        assert result(tmp_path)["messages"]["oadrCreatedReport"] == 1


async def test_it_ends_by_itself_and_keeps_stdout_clean(tmp_path: Path) -> None:
    async with simulator(files(tmp_path, factor=200_000.0)) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        async with asyncio.timeout(20):
            stdout, stderr = await process.communicate()
        assert (process.returncode, stdout, stderr) == (0, b"", b"")
        assert result(tmp_path)["requirements"][0]["awarded_kw"] == [0.0] * 4
        assert (tmp_path / "out" / "messages.jsonl").read_text() == ""


async def test_killed_and_started_again_it_knows_who_is_registered(tmp_path: Path) -> None:
    arguments = files(tmp_path, factor=1.0)
    async with aiohttp.ClientSession() as session:
        async with simulator(arguments) as (process, url):
            ven = await Ven(session, url.removesuffix(PATH)).register()
            await ven.events()
            process.kill()
            await process.wait()
        async with simulator(arguments) as (_, url):
            ven.base_url = url.removesuffix(PATH)
            assert (await ven.poll())[0] == "oadrResponse"  # registered, and told of all there is
            await ven.answer("REQ-HW")
            assert result(tmp_path)["opt"] == {"REQ-HW": "optIn"}
            assert result(tmp_path)["messages"]["oadrPoll"] == 2


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    async with simulator(files(tmp_path, factor=1.0)) as (_, url):
        taken = url.removeprefix("http://").partition("/")[0]
        arguments = files(tmp_path, factor=1.0)
        async with simulator([arguments[0], taken, *arguments[2:]]) as (second, line):
            assert await second.wait() == 2
            assert line == f"listen: {taken!r} is not allowed; the port is in use by another program"
