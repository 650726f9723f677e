"""A VEN made by hand from openleadr's messages, so that each test says exactly what goes over the wire."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import aiohttp
from openleadr.messaging import create_message, parse_message, validate_xml_schema

PATH = "/OpenADR2/Simple/2.0b"
HALF_HOUR = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)
METADATA = {"telemetry": "METADATA_TELEMETRY_USAGE", "status": "METADATA_TELEMETRY_STATUS"}
ENERGY = {"name": "energyReal", "description": "RealEnergy", "unit": "Wh", "scale": "k"}


@dataclass
class Ven:
    session: aiohttp.ClientSession
    base_url: str
    ven_id: str | None = None
    registration_id: str | None = None

    async def post(self, service: str, xml: str | bytes) -> tuple[int, str]:
        headers = {"content-type": "application/xml"}
        async with self.session.post(f"{self.base_url}{PATH}/{service}", data=xml, headers=headers) as answer:
            return answer.status, await answer.text()

    async def send(self, service: str, message: str, **payload: Any) -> tuple[str, dict[str, Any]]:
        xml = create_message(message, **({"ven_id": self.ven_id, "request_id": "r-1"} | payload))
        validate_xml_schema(xml)
        status, text = await self.post(service, xml)
        assert status == 200, (status, text)
        validate_xml_schema(text)
        return parse_message(text)

    async def register(self, name: str = "gateway") -> Self:
        kind, answer = await self.send(
            "EiRegisterParty",
            "oadrCreatePartyRegistration",
            ven_name=name,
            http_pull_model=True,
            xml_signature=False,
            report_only=False,
            profile_name="2.0b",
            transport_name="simpleHttp",
            transport_address=None,
        )
        assert kind == "oadrCreatedPartyRegistration"
        self.ven_id, self.registration_id = answer["ven_id"], answer["registration_id"]
        return self

    async def poll(self) -> tuple[str, dict[str, Any]]:
        return await self.send("OadrPoll", "oadrPoll")

    async def events(self) -> dict[str, dict[str, Any]]:
        """What the next poll brings, which must be events, by id."""
        kind, answer = await self.poll()
        assert kind == "oadrDistributeEvent", answer
        return by_id(answer)

    async def answer(self, event_id: str, modification: int = 0, opt: str = "optIn") -> None:
        response = {
            "response_code": 200,
            "response_description": "OK",
            "request_id": "r-1",
            "event_id": event_id,
            "modification_number": modification,
            "opt_type": opt,
        }
        kind, _ = await self.send(
            "EiEvent",
            "oadrCreatedEvent",
            response={"response_code": 200, "response_description": "OK", "request_id": "r-1"},
            event_responses=[response],
        )
        assert kind == "oadrResponse"

    async def offer(self, **r_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Register reports, r_ids by specifier; the VTN's requests by id."""
        reports = [
            {
                "report_specifier_id": specifier,
                "report_name": METADATA.get(specifier, f"x-METADATA_{specifier.upper()}"),
                "created_date_time": datetime.fromisoformat("2025-01-07T13:00:00Z"),
                "report_descriptions": [
                    {
                        "r_id": r_id,
                        "report_type": "usage",
                        "reading_type": "Direct Read",
                        "measurement": dict(ENERGY),
                    }
                    for r_id in names
                ],
            }
            for specifier, names in r_ids.items()
        ]
        kind, answer = await self.send("EiReport", "oadrRegisterReport", reports=reports)
        assert kind == "oadrRegisteredReport"
        return {request["report_request_id"]: request for request in answer.get("report_requests", [])}

    async def report(
        self,
        specifier: str,
        request_id: str,
        report_id: str,
        rows: Iterable[tuple[str, datetime, timedelta, float]],
    ) -> tuple[str, dict[str, Any]]:
        report = {
            "report_id": report_id,
            "report_specifier_id": specifier,
            "report_request_id": request_id,
            "created_date_time": datetime.fromisoformat("2025-01-07T13:00:00Z"),
            "intervals": [
                {"dtstart": start, "duration": length, "report_payload": {"r_id": r_id, "value": value}}
                for r_id, start, length, value in rows
            ],
        }
        return await self.send("EiReport", "oadrUpdateReport", reports=[report])

    async def bid(
        self,
        requirement: str,
        version: int,
        kw: Iterable[float],
        util: float,
        *,
        start: datetime,
        prefix: str,
    ) -> None:
        rows = []
        for n, volume in enumerate(kw):
            at = start + n * HALF_HOUR
            rows += [(f"{prefix}/kw/1", at, HALF_HOUR, -volume), (f"{prefix}/util/1", at, HALF_HOUR, util)]
            rows.append((f"{prefix}/avail/1", at, HALF_HOUR, 0.0))
        kind, _ = await self.report("bid", requirement, f"BID-1:{version}", rows)
        assert kind == "oadrUpdatedReport"


def by_id(answer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {event["event_descriptor"]["event_id"]: event for event in answer.get("events", [])}


def values(event: Mapping[str, Any], signal: int = 0) -> list[float]:
    return [interval["signal_payload"] for interval in event["event_signals"][signal]["intervals"]]


def version(event: Mapping[str, Any]) -> tuple[int, str]:
    return event["event_descriptor"]["modification_number"], event["event_descriptor"]["event_status"]
