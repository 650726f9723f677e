"""What the simulated operator does beside events: registrations, report requests, opt-outs, its restart."""

import re
from pathlib import Path
from typing import Any

import pytest
from openleadr.messaging import create_message

from market_adapters.dno_simulator.edge import BadFile

from .dno_platform import START, ZONE, Platform, bid_and_award, meter, nominate, platform
from .dno_ven import MINUTE

AT_TWO = "2025-01-07T13:30:00Z"
TELEMETRY = {"telemetry": [f"{ZONE}/export_kwh"]}


def an_act(kind: str) -> dict[str, Any]:
    return {"registration": [{"at": AT_TWO, "kind": kind}]}


async def test_a_registration_is_taken_back_once_and_confirmed(tmp_path: Path) -> None:
    async with platform(tmp_path, **an_act("cancel")) as p:
        await p.ven.register()
        assert (await p.ven.poll())[0] == "oadrResponse"
        p.at(AT_TWO)
        kind, asked = await p.ven.poll()
        assert (kind, asked["registration_id"]) == ("oadrCancelPartyRegistration", p.ven.registration_id)
        assert (await p.ven.poll())[0] == "oadrResponse"  # said once; and it is registered until it confirms
        response = {"response_code": 200, "response_description": "OK", "request_id": asked["request_id"]}
        kind, _ = await p.ven.send(
            "EiRegisterParty",
            "oadrCanceledPartyRegistration",
            response=response,
            registration_id=p.ven.registration_id,
        )
        assert kind == "oadrResponse"
        assert (await p.ven.poll())[0] == "oadrRequestReregistration"
        p.at("2025-01-07T13:31:00Z")
        await p.ven.register()
        assert (await p.ven.poll())[0] == "oadrResponse"


async def test_a_ven_is_asked_to_register_again_once(tmp_path: Path) -> None:
    async with platform(tmp_path, **an_act("reregister")) as p:
        await p.ven.register()
        p.at(AT_TWO)
        assert [(await p.ven.poll())[0] for _ in range(2)] == ["oadrRequestReregistration", "oadrResponse"]


async def test_a_platform_that_forgets_knows_nobody_who_registered_before(tmp_path: Path) -> None:
    async with platform(tmp_path, **an_act("forget")) as p:
        await p.ven.register()
        p.at(AT_TWO)
        assert [(await p.ven.poll())[0] for _ in range(2)] == ["oadrRequestReregistration"] * 2
        p.at("2025-01-07T13:31:00Z")
        await p.ven.register()
        assert (await p.ven.poll())[0] == "oadrResponse"


async def test_nobody_is_registered_while_registrations_are_rejected(tmp_path: Path) -> None:
    window = {"from": "2025-01-07T13:00:00Z", "to": AT_TWO, "kind": "reject_registration"}
    async with platform(tmp_path, fail=[window]) as p:
        with pytest.raises(AssertionError):
            await p.ven.register()
        assert (tmp_path / "messages.jsonl").read_text().count("responseCode>463<") == 1
        p.at(AT_TWO)
        await p.ven.register()


async def asked_by_poll(p: Platform) -> dict[str, Any]:
    kind, asked = await p.ven.poll()
    assert kind == "oadrCreateReport", asked
    (request,) = asked["report_requests"]
    return request


async def test_reports_are_asked_for_once_for_a_past_window_and_by_a_name_that_there_is_not(
    tmp_path: Path,
) -> None:
    window = {"from": "2025-01-07T12:00:00Z", "to": "2025-01-07T13:00:00Z"}
    asked = [
        {"at": AT_TWO, "request_id": "ONCE", "specifier": "telemetry"},
        {"at": AT_TWO, "request_id": "PAST", "specifier": "telemetry", "granularity_s": 60} | window,
        {"at": AT_TWO, "request_id": "NONE", "specifier": "gossip"},
    ]
    async with platform(tmp_path, report=asked) as p:
        await p.ven.register()
        await p.ven.offer(**TELEMETRY)
        p.at(AT_TWO)
        once, past, none = [await asked_by_poll(p) for _ in range(3)]
        assert (await p.ven.poll())[0] == "oadrResponse"
        assert once["report_request_id"] == "ONCE"
        assert once["report_specifier"]["granularity"].total_seconds() == 0
        assert [row["r_id"] for row in once["report_specifier"]["specifier_payloads"]] == TELEMETRY[
            "telemetry"
        ]
        assert past["report_specifier"]["report_interval"]["dtstart"].hour == 12
        assert past["report_specifier"]["granularity"] == MINUTE
        assert none["report_specifier"]["report_specifier_id"] == "gossip"
        await p.ven.report("telemetry", "ONCE", "T", [(f"{ZONE}/export_kwh", START, MINUTE, -1.0)])
        assert p.result()["reports"] == {"ONCE": 1}


async def test_reports_are_cancelled_by_poll_and_in_passing(tmp_path: Path) -> None:
    cancelled = [
        {"at": AT_TWO, "request_id": "RR-status"},
        {"at": AT_TWO, "request_id": "RR-telemetry", "by": "updated_report"},
    ]
    async with platform(tmp_path, cancel_report=cancelled) as p:
        await p.ven.register()
        await p.ven.offer(status=[f"{ZONE}/status"], **TELEMETRY)
        rows = [(f"{ZONE}/export_kwh", START, MINUTE, -1.0)]
        _, answer = await p.ven.report("telemetry", "RR-telemetry", "T", rows)
        assert "cancel_report" not in answer
        p.at(AT_TWO)
        kind, asked = await p.ven.poll()
        assert (kind, asked["report_request_id"]) == ("oadrCancelReport", "RR-status")
        assert (await p.ven.poll())[0] == "oadrResponse"
        _, answer = await p.ven.report("telemetry", "RR-telemetry", "T", rows)
        assert answer["cancel_report"]["report_request_id"] == "RR-telemetry"
        _, answer = await p.ven.report("telemetry", "RR-telemetry", "T", rows)
        assert "cancel_report" not in answer


async def test_a_report_that_was_cancelled_is_not_asked_of_who_registers_later(tmp_path: Path) -> None:
    asked = {"request_id": "ONCE", "specifier": "telemetry"}
    times = [{"at": AT_TWO, "request_id": "ONCE"}]
    async with platform(tmp_path, report=[asked | {"at": "2025-01-07T13:10:00Z"}], cancel_report=times) as p:
        await p.ven.register()
        await p.ven.offer(**TELEMETRY)
        p.at("2025-01-07T13:10:00Z")
        assert (await asked_by_poll(p))["report_request_id"] == "ONCE"
        p.at(AT_TWO)
        assert (await p.ven.poll())[0] == "oadrCancelReport"
        await p.ven.register()
        await p.ven.offer(**TELEMETRY)
        assert (await p.ven.poll())[0] == "oadrResponse"


async def test_a_test_is_not_settled(tmp_path: Path) -> None:
    async with platform(tmp_path, {"dispatch_form": {"test": True}}) as p:
        await bid_and_award(p)
        p.at("2025-01-08T18:30:00Z")
        row = p.row()
        assert (len(row["instructed"]), row["settlement"], row["agrees"]) == (1, [], True)


async def opt(p: Platform, opt_type: str = "optOut", **changes: Any) -> tuple[str, dict[str, Any]]:
    said = {
        "opt_id": "OPT-1",
        "opt_type": opt_type,
        "opt_reason": "emergency",
        "created_date_time": START,
        "event_id": "DSP-007",
        "modification_number": 0,
    }
    return await p.ven.send("EiOpt", "oadrCreateOpt", **said | changes)


async def test_an_opt_out_of_a_running_dispatch_ends_what_it_pays_and_costs(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await bid_and_award(p)
        await nominate(p, 0.0)
        p.at("2025-01-08T17:30:00Z")
        kind, answer = await opt(p)
        assert (kind, answer["opt_id"]) == ("oadrCreatedOpt", "OPT-1")
        await opt(p)  # the same again is the same
        p.at("2025-01-08T18:30:00Z")
        await meter(p, 30.0)
        first, second = p.row()["settlement"]
        assert (first["instructed_kwh"], first["delivered_kwh"]) == (15.0, 15.0)
        assert (second["instructed_kwh"], second["deficiency_kwh"], second["amount_gbp"]) == (0.0, 0.0, 0.0)
        (kept,) = p.result()["opts"]
        assert (kept["event"], kept["opt"], kept["at"]) == ("DSP-007", "optOut", "2025-01-08T17:30:00Z")


async def test_an_opt_that_is_cancelled_puts_the_order_back_in_force(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await bid_and_award(p)
        p.at("2025-01-08T17:10:00Z")
        await opt(p)
        p.at("2025-01-08T17:20:00Z")
        kind, answer = await p.ven.send("EiOpt", "oadrCancelOpt", opt_id="OPT-1")
        assert (kind, answer["opt_id"]) == ("oadrCanceledOpt", "OPT-1")
        p.at("2025-01-08T18:00:00Z")
        assert p.row()["settlement"][0]["instructed_kwh"] == 10.0
        assert p.result()["opts"][0]["cancelled_at"] == "2025-01-08T17:20:00Z"


async def test_an_opt_that_makes_no_sense_is_answered_with_a_code(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        await opt(p)
        for xml in (
            create_message("oadrCancelOpt", ven_id=p.ven.ven_id, request_id="r", opt_id="OPT-2"),
            create_message(
                "oadrCreateOpt",
                ven_id=p.ven.ven_id,
                request_id="r",
                opt_id="OPT-1",
                opt_type="optIn",
                opt_reason="emergency",
                created_date_time=START,
            ),
        ):
            status, text = await p.ven.post("EiOpt", xml)
            assert (status, re.findall(r"responseCode>(\d+)<", text)) == (200, ["454"])
        p.ven.ven_id = "stranger"
        assert (await opt(p))[0] == "oadrRequestReregistration"


async def test_a_platform_that_was_killed_carries_on_from_its_folder(tmp_path: Path) -> None:
    asked = [{"at": AT_TWO, "request_id": "ONCE", "specifier": "telemetry"}]
    async with platform(tmp_path, report=asked) as p:
        await p.ven.register()
        await p.ven.offer(**TELEMETRY)
        p.at(AT_TWO)
        await asked_by_poll(p)
        ids = (p.ven.ven_id, p.ven.registration_id)
        await bid_and_award(p)
        assert (p.ven.ven_id, p.ven.registration_id) == ids
        await p.ven.answer("007")
        await opt(p, event_id="AWD-007")
        before, at = p.result(), p.clock.now().isoformat()
    memory = tmp_path / "memory.jsonl"
    memory.write_text(memory.read_text() + '{"at": "2025-01-07T16:3')  # what a kill may leave
    async with platform(tmp_path, report=asked, at=at) as p:
        p.ven.ven_id = ids[0]
        assert p.result() == before
        assert (await p.ven.poll())[0] != "oadrRequestReregistration"
        p.at("2025-01-08T15:00:00Z")
        assert set(await p.ven.events()) == {7, "AWD-007", "DSP-007"}


async def test_a_message_in_another_encoding_is_remembered_as_well(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        xml = create_message("oadrRegisterReport", ven_id=p.ven.ven_id, request_id="r", reports=[])
        assert (await p.ven.post("EiReport", xml.replace("utf-8", "utf-16").encode("utf-16")))[0] == 200
        at = p.clock.now().isoformat()
    async with platform(tmp_path, at=at) as p:
        await p.ven.register()


async def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        p.at(AT_TWO)
        await p.ven.register()
    with pytest.raises(BadFile, match="has not come further than 2025-01-07T13:00:00"):
        async with platform(tmp_path):
            pass
    for line in (
        "gibberish",
        "[]",
        '{"at": "2025-01-07T13:00:00Z", "what": "told", "ven_id": "", "text": ""}',
    ):
        (tmp_path / "memory.jsonl").write_text(f"{line}\n")
        with pytest.raises(BadFile, match="lines that this program wrote"):
            async with platform(tmp_path):
                pass
    (tmp_path / "memory.jsonl").unlink()
    (tmp_path / "messages.jsonl").write_text("gibberish\n")
    with pytest.raises(BadFile, match="a log that this program wrote"):
        async with platform(tmp_path):
            pass
