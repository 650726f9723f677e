"""The DNO simulator from outside: registration, events, bids, outages, hostile bytes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .dno_platform import PEAK, PREFIX, START, ZONE, bid_and_award, platform
from .dno_ven import HALF_HOUR, MINUTE, by_id, values, version


async def test_registration_keeps_its_ids_by_name(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        kind, offered = await p.ven.send("EiRegisterParty", "oadrQueryRegistration")
        assert kind == "oadrCreatedPartyRegistration"
        assert offered["requested_oadr_poll_freq"] == timedelta(
            seconds=1
        )  # the schema has no quarter seconds
        await p.ven.register("gateway")
        first = (p.ven.ven_id, p.ven.registration_id)
        await p.ven.register("other")
        assert (p.ven.ven_id, p.ven.registration_id) != first
        await p.ven.register("gateway")
        assert (p.ven.ven_id, p.ven.registration_id) == first


async def test_an_unknown_ven_is_asked_to_register(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        p.ven.ven_id = "stranger"
        kind, _ = await p.ven.poll()
        assert kind == "oadrRequestReregistration"


async def test_a_ven_can_cancel_its_registration(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        kind, answer = await p.ven.send(
            "EiRegisterParty", "oadrCancelPartyRegistration", registration_id=p.ven.registration_id
        )
        assert (kind, answer["registration_id"]) == ("oadrCanceledPartyRegistration", p.ven.registration_id)
        assert (await p.ven.poll())[0] == "oadrRequestReregistration"


async def test_standing_requests_name_what_is_wanted(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        requests = await p.ven.offer(
            telemetry=[f"{ZONE}/export_kw", f"{ZONE}/export_kwh"],
            bid=[f"{PREFIX}/kw/1"],
            nomination=[f"{ZONE}/nominated_kwh"],
            settlement=[f"{ZONE}/delivered_kwh"],
        )
        assert set(requests) == {"RR-telemetry", "RR-nomination", "RR-settlement"}
        telemetry = requests["RR-telemetry"]["report_specifier"]
        assert telemetry["granularity"] == MINUTE
        assert telemetry["report_back_duration"] == 5 * MINUTE
        assert telemetry["report_interval"]["dtstart"] == datetime(2025, 1, 8, 15, 30, tzinfo=UTC)
        assert [s["r_id"] for s in telemetry["specifier_payloads"]] == [
            f"{ZONE}/export_kw",
            f"{ZONE}/export_kwh",
        ]
        assert requests["RR-settlement"]["report_specifier"]["granularity"] == timedelta(0)
        kind, _ = await p.ven.send(
            "EiReport",
            "oadrCreatedReport",
            response={"response_code": 200, "response_description": "OK", "request_id": "r-1"},
            pending_reports=[{"report_request_id": "RR-telemetry"}],
        )
        assert kind == "oadrResponse"


async def test_a_requirement_is_served_once_and_then_its_bid_is_asked_for(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        await p.ven.offer(bid=[f"{PREFIX}/kw/1", f"{PREFIX}/util/1", "Wrotham/day-ahead/kw/1"])
        assert (await p.ven.poll())[0] == "oadrResponse"  # not published yet
        p.at("2025-01-07T14:00:00Z")
        need = (await p.ven.events())[7]  # openleadr's reading makes a number of the id; the wire does not
        assert values(need) == [-30.0, -30.0]
        assert values(need, 1) == [598.0, 598.0]
        assert version(need) == (0, "far")
        assert need["targets"] == [{"group_id": ZONE}]
        kind, asked = await p.ven.poll()
        assert kind == "oadrCreateReport"
        (request,) = asked["report_requests"]
        assert request["report_specifier"]["report_specifier_id"] == "bid"
        assert [s["r_id"] for s in request["report_specifier"]["specifier_payloads"]] == [
            f"{PREFIX}/kw/1",
            f"{PREFIX}/util/1",
        ]
        assert (await p.ven.poll())[0] == "oadrResponse"
        await p.ven.answer("007")
        assert p.row()["opt"] == {"007": "optIn"}


async def test_who_declines_is_not_asked_for_a_bid(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        await p.ven.offer(bid=[f"{PREFIX}/kw/1"])
        p.at("2025-01-07T14:00:00Z")
        await p.ven.events()
        await p.ven.answer("007", opt="optOut")
        assert (await p.ven.poll())[0] == "oadrResponse"
        await p.ven.answer("007", opt="optIn")
        assert (await p.ven.poll())[0] == "oadrCreateReport"


async def test_registering_again_and_asking_bring_all_current_events(tmp_path: Path) -> None:
    async with platform(tmp_path, peak=[PEAK]) as p:
        await p.ven.register()
        p.at("2025-01-07T14:00:00Z")
        assert set(await p.ven.events()) == {7, f"PEAK-P1-{ZONE}", "PEAK-P1-Wrotham"}
        await p.ven.register()
        assert len(await p.ven.events()) == 3
        kind, answer = await p.ven.send("EiEvent", "oadrRequestEvent")
        assert kind == "oadrDistributeEvent"
        assert len(by_id(answer)) == 3
        p.at("2025-01-08T19:59:00Z")  # an hour after the peak, two after the requirement
        _, answer = await p.ven.send("EiEvent", "oadrRequestEvent")
        assert {name: version(event) for name, event in by_id(answer).items()} == {
            f"PEAK-P1-{ZONE}": (0, "completed"),
            "PEAK-P1-Wrotham": (0, "completed"),
        }


async def test_a_peak_is_one_interval_with_a_level(tmp_path: Path) -> None:
    async with platform(tmp_path, peak=[PEAK]) as p:
        await p.ven.register()
        p.at("2025-01-08T16:30:00Z")
        peak = (await p.ven.events())[f"PEAK-P1-{ZONE}"]
        assert values(peak) == [2.0]
        assert version(peak) == (0, "active")
        assert peak["event_descriptor"]["market_context"] == "http://dso.example/flex/peak"


async def test_award_dispatch_amendment_and_cancellation(tmp_path: Path) -> None:
    changes = {
        "accept_fraction": 0.5,
        "level": [1.0, 0.5],
        "amend": [{"at": "2025-01-08T16:00:00Z", "scale": [0.8]}],
        "cancel_at": "2025-01-08T17:10:00Z",
    }
    async with platform(tmp_path, changes) as p:
        award = (await bid_and_award(p, (25.0, 24.0)))["AWD-007"]
        assert values(award) == [-12.0, -12.0]  # half of it, down to the tick
        assert values(award, 1) == [590.0, 590.0]
        p.at("2025-01-08T15:00:00Z")
        dispatch = (await p.ven.events())["DSP-007"]
        assert values(dispatch) == [-12.0, -6.0]
        p.at("2025-01-08T16:00:00Z")
        amended = (await p.ven.events())["DSP-007"]
        assert values(amended) == pytest.approx([-9.6])
        assert version(amended) == (1, "far")
        assert amended["active_period"]["duration"] == HALF_HOUR
        await p.ven.answer("DSP-007", 1, "optOut")
        p.at("2025-01-08T17:10:00Z")
        events = await p.ven.events()
        assert version(events["DSP-007"]) == (2, "cancelled")
        assert set(events) == {7, "AWD-007", "DSP-007"}  # nothing live is dropped
        assert p.row()["opt"] == {"DSP-007": "optOut"}
        await p.ven.answer("DSP-007", 2)
        row = p.row()
        assert [order["kw"] for order in row["instructed"]] == [[12.0, 6.0], [9.6], [9.6]]
        assert row["opt"] == {"DSP-007": "optIn"}
        assert [(said["modification"], said["opt"], said["said"]) for said in row["answers"]] == [
            (1, "optOut", "OK"),
            (2, "optIn", "OK"),
        ]


@pytest.mark.parametrize(
    ("bids", "awarded", "refused"),
    [
        ([(1, (20.0, 10.0), 590.0), (2, (10.4, 5.0), 590.0)], [10.0, 5.0], []),
        ([(2, (10.0, 5.0), 590.0), (1, (20.0, 10.0), 590.0)], [10.0, 5.0], []),
        ([(1, (40.0, 31.0), 590.0)], [30.0, 30.0], []),
        ([(1, (20.0, 20.0), 598.1)], [0.0, 0.0], ["598.1 GBP/MWh", "598.1 GBP/MWh"]),
        ([(1, (20.0, 20.0), 590.0), (2, (0.0, 0.0), 590.0)], [0.0, 0.0], []),
        ([(1, (-5.0, 20.0), 590.0)], [0.0, 0.0], ["against the direction"]),
        ([(1, (20.0, 20.0), 590.0), (1, (10.0, 20.0), 590.0)], [20.0, 20.0], ["other content"]),
        ([], [0.0, 0.0], []),
    ],
)
async def test_clearing(
    tmp_path: Path,
    bids: list[tuple[int, tuple[float, ...], float]],
    awarded: list[float],
    refused: list[str],
) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        p.at("2025-01-07T15:00:00Z")
        for number, kw, price in bids:
            await p.ven.bid("007", number, kw, price, start=START, prefix=PREFIX)
        p.at("2025-01-08T15:00:00Z")
        row = p.row()
        assert row["awarded_kw"] == awarded
        assert len(row["refused"]) == len(refused)
        assert all(part in line for part, line in zip(refused, row["refused"], strict=True))
        assert ("AWD-007" in await p.ven.events()) is any(awarded)


async def test_a_bid_after_the_gate_is_refused(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        p.at("2025-01-07T16:00:01Z")
        await p.ven.bid("007", 1, (20.0, 20.0), 590.0, start=START, prefix=PREFIX)
        p.at("2025-01-07T17:00:00Z")
        row = p.row()
        assert (row["bid"], row["awarded_kw"]) == (None, [0.0, 0.0])
        assert "after gate closure" in row["refused"][0]


async def test_an_outage_answers_500_and_loses_nothing(tmp_path: Path) -> None:
    outage = {"from": "2025-01-07T14:00:00Z", "to": "2025-01-07T15:00:00Z", "kind": "http500"}
    async with platform(tmp_path, fail=[outage]) as p:
        await p.ven.register()
        p.at("2025-01-07T14:30:00Z")
        assert (await p.ven.post("OadrPoll", "<x/>"))[0] == 500
        p.at("2025-01-07T15:00:00Z")
        assert set(await p.ven.events()) == {7}


async def test_hostile_bytes_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY e "v">]><x>&e;</x>'
    async with platform(tmp_path) as p:
        for body in (bomb.encode(), bomb.encode("utf-16"), b"", b"\x00", b"<x/>"):
            assert (await p.ven.post("OadrPoll", body))[0] == 400
        await p.ven.register()
        assert (await p.ven.poll())[0] == "oadrResponse"


async def test_markup_in_a_zone_stays_text(tmp_path: Path) -> None:
    async with platform(tmp_path, {"zone": "A & <B>"}) as p:
        await p.ven.register()
        p.at("2025-01-07T14:00:00Z")
        assert (await p.ven.events())[7]["targets"] == [{"group_id": "A & <B>"}]


async def test_every_message_is_written_down(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        await p.ven.poll()
        lines = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
        assert [(line["direction"], line["type"]) for line in lines] == [
            ("received", "oadrCreatePartyRegistration"),
            ("sent", "oadrCreatedPartyRegistration"),
            ("received", "oadrPoll"),
            ("sent", "oadrResponse"),
        ]
        assert all(line["domain_time"] == "2025-01-07T13:00:00+00:00" and line["xml"] for line in lines)
        assert p.result()["messages"]["oadrPoll"] == 1
