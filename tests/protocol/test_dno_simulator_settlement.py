"""The DNO simulator from outside: telemetry, nomination, settlement, and reports that make no sense."""

from datetime import timedelta
from pathlib import Path

import pytest
from openleadr.messaging import create_message

from .dno_platform import PREFIX, START, ZONE, Platform, bid_and_award, claim, meter, nominate, platform
from .dno_ven import HALF_HOUR, MINUTE


async def test_settlement_that_agrees(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await bid_and_award(p)
        p.at("2025-01-07T16:10:00Z")
        await nominate(p, 2.0)
        p.at("2025-01-08T18:30:00Z")
        await meter(p, 28.0)
        await meter(p, 28.0)  # the same again changes nothing
        assert p.row()["agrees"] is False  # nothing claimed yet
        await claim(p, 12.0005, 14.0, 2.0)
        row = p.row()
        assert [line["delivered_kwh"] for line in row["settlement"]] == [12.0, 12.0]
        assert [line["deficiency_kwh"] for line in row["settlement"]] == [3.0, 3.0]
        # 12 kWh at 590 less 3 kWh at 600 GBP/MWh
        assert [line["amount_gbp"] for line in row["settlement"]] == [5.28, 5.28]
        assert row["settlement"][0]["missing_minutes"] == 0
        assert (row["agrees"], row["delivered_kwh"], row["amount_gbp"]) == (True, 24.0, 10.56)
        assert p.result()["telemetry_minutes"] == 60


async def test_settlement_that_does_not_agree_and_its_correction(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await bid_and_award(p)
        p.at("2025-01-07T16:10:00Z")
        await nominate(p, 0.0)
        p.at("2025-01-08T18:30:00Z")
        await meter(p, 30.0)
        await claim(p, 14.9, 14.9, 0.0, n=2)
        assert p.result()["agrees"] is False
        assert p.row()["settlement"][0]["delivered_difference_wh"] == -100.0
        await claim(p, 15.0, 15.0, 0.0, n=1)  # an older version does not replace a newer one
        assert p.result()["agrees"] is False
        await claim(p, 15.0, 15.0, 0.0, n=3)
        assert p.result()["agrees"] is True


async def test_a_nomination_after_the_award_does_not_count_and_a_gap_is_not_a_zero(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await bid_and_award(p)
        p.at("2025-01-07T16:31:00Z")
        await nominate(p, 2.0)
        p.at("2025-01-08T18:30:00Z")
        await meter(p, 30.0, minutes=20)
        first, second = p.row()["settlement"]
        assert (first["nominated_kwh"], first["delivered_kwh"], first["missing_minutes"]) == (None, 0.0, 10.0)
        assert first["metered_kwh"] == pytest.approx(10.0)
        assert (second["metered_kwh"], second["missing_minutes"]) == (None, 30.0)


async def test_numbers_are_scaled_as_the_metadata_says(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        xml = await offer_in_watt_hours(p)
        assert "siScaleCode>none" in xml
        p.at("2025-01-08T18:30:00Z")
        await p.ven.report("telemetry", "RR-telemetry", "T", [(f"{ZONE}/export_kwh", START, MINUTE, -500.0)])
        (reading,) = p.book.metered[ZONE].values()
        assert reading.export_kwh == 0.5


async def offer_in_watt_hours(p: Platform) -> str:
    report = {
        "report_specifier_id": "telemetry",
        "report_name": "METADATA_TELEMETRY_USAGE",
        "created_date_time": START,
        "report_descriptions": [
            {
                "r_id": f"{ZONE}/export_kwh",
                "report_type": "usage",
                "reading_type": "Direct Read",
                "measurement": {
                    "name": "energyReal",
                    "description": "RealEnergy",
                    "unit": "Wh",
                    "scale": "none",
                },
            }
        ],
    }
    xml = create_message("oadrRegisterReport", ven_id=p.ven.ven_id, request_id="r-1", reports=[report])
    assert (await p.ven.post("EiReport", xml))[0] == 200
    return xml


@pytest.mark.parametrize(
    ("specifier", "report_id", "r_id", "length", "value", "why"),
    [
        ("bid", "BID-1", f"{PREFIX}/kw/1", HALF_HOUR, -1.0, "&lt;id&gt;:&lt;version&gt;"),
        ("telemetry", "T", f"{ZONE}/export_kwh", MINUTE, float("nan"), "not a finite number"),
        ("nomination", "N", f"{ZONE}/nominated_kwh", MINUTE, 1.0, "not of a half-hour"),
        ("gossip", "G", "x", MINUTE, 1.0, "no report"),
    ],
)
async def test_a_report_that_makes_no_sense_is_answered_with_a_code(
    tmp_path: Path, specifier: str, report_id: str, r_id: str, length: timedelta, value: float, why: str
) -> None:
    async with platform(tmp_path) as p:
        await p.ven.register()
        interval = {"dtstart": START, "duration": length, "report_payload": {"r_id": r_id, "value": value}}
        report = {
            "report_id": report_id,
            "report_specifier_id": specifier,
            "report_request_id": "007",
            "created_date_time": START,
            "intervals": [interval],
        }
        xml = create_message("oadrUpdateReport", ven_id=p.ven.ven_id, request_id="r-1", reports=[report])
        status, text = await p.ven.post("EiReport", xml.replace(">nan<", ">NaN<"))
        assert status == 200
        assert "responseCode>454<" in text
        assert why in text
        assert p.changes == []
