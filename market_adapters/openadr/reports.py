"""What we can report, as METADATA and as values: zone totals only, under r_ids that never change.

A custom report's METADATA is called ``x-METADATA_BID``: the schema lets no custom name begin otherwise than
with ``x-``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from aggregator.model.time import HALF_HOUR
from aggregator.ports import Quality, Report, ReportRow
from market_adapters.openadr.units import to_wire
from market_adapters.openadr.values import duration_text

ONLINE, OVERRIDE = 1, 2


class Specifier(StrEnum):
    """Our reportSpecifierIDs."""

    TELEMETRY = "telemetry"
    STATUS = "status"
    HISTORY = "history"
    BID = "bid"
    NOMINATION = "nomination"
    SETTLEMENT = "settlement"


REPORT_NAMES = {
    Specifier.TELEMETRY: "TELEMETRY_USAGE",
    Specifier.STATUS: "TELEMETRY_STATUS",
    Specifier.HISTORY: "HISTORY_USAGE",
    Specifier.BID: "x-BID",
    Specifier.NOMINATION: "x-NOMINATION",
    Specifier.SETTLEMENT: "x-SETTLEMENT",
}
METADATA_NAMES = {
    Specifier.TELEMETRY: "METADATA_TELEMETRY_USAGE",
    Specifier.STATUS: "METADATA_TELEMETRY_STATUS",
    Specifier.HISTORY: "METADATA_HISTORY_USAGE",
    Specifier.BID: "x-METADATA_BID",
    Specifier.NOMINATION: "x-METADATA_NOMINATION",
    Specifier.SETTLEMENT: "x-METADATA_SETTLEMENT",
}
_KW = {
    "name": "powerReal",
    "description": "RealPower",
    "unit": "W",
    "scale": "k",
    "power_attributes": {"hertz": 50, "voltage": 230, "ac": True},
}
_KWH = {"name": "energyReal", "description": "RealEnergy", "unit": "Wh", "scale": "k"}
_GBP_PER_MWH = {"name": "currencyPerKWh", "description": "currencyPerKWh", "unit": "GBP", "scale": "m"}
_GBP_PER_MW_H = {"name": "customUnit", "description": "GBP/MW/h", "unit": "GBP/MW/h", "scale": "none"}
QUALITY_WORDS = {
    Quality.GOOD: "Quality Good - Non Specific",
    Quality.ESTIMATED: "Quality Uncertain - Non Specific",
    Quality.MISSING: "No Quality - No Value",
}


def metadata(
    zones: Sequence[str],
    products: Mapping[str, int],
    granularity: timedelta,
    created_at: datetime,
    request_id: str | None = None,
) -> list[dict[str, Any]]:
    """Return the METADATA of all our reports, as openleadr's templates take it.

    Args:
        zones: The zones we report on.
        products: The products we bid in, and in how many price steps at most.
        granularity: Length of a telemetry interval.
        created_at: Domain instant.
        request_id: The reportRequestID by which the platform asked for it, if it did.
    """
    return [
        {
            "report_name": METADATA_NAMES[specifier],
            "report_specifier_id": specifier.value,
            "report_request_id": request_id or "0",
            "created_date_time": created_at,
            "report_descriptions": [
                description
                for zone in zones
                for description in _descriptions(specifier, zone, products, granularity)
            ],
        }
        for specifier in Specifier
    ]


def offered(zones: Sequence[str], products: Mapping[str, int]) -> Mapping[str, frozenset[str]]:
    """Return the r_ids of each report that our METADATA names, by specifier."""
    return {
        specifier.value: frozenset(
            row["r_id"] for zone in zones for row in _descriptions(specifier, zone, products, HALF_HOUR)
        )
        for specifier in Specifier
    }


def _descriptions(
    specifier: Specifier, zone: str, products: Mapping[str, int], granularity: timedelta
) -> Iterator[dict[str, Any]]:
    match specifier:
        case Specifier.TELEMETRY:
            yield _description(f"{zone}/export_kw", "demand", "Mean", _KW, granularity)
            yield _description(f"{zone}/export_kwh", "usage", "Net", _KWH, granularity)
        case Specifier.STATUS:
            yield _description(f"{zone}/status", "x-resourceStatus", "x-notApplicable", None, granularity)
        case Specifier.HISTORY:
            yield _description(f"{zone}/export_kwh", "usage", "Net", _KWH, granularity)
        case Specifier.BID:
            for bid, step in (
                (f"{zone}/{product}", step)
                for product, steps in products.items()
                for step in range(1, steps + 1)
            ):
                yield _description(f"{bid}/kw/{step}", "setPoint", "Projected", _KW, HALF_HOUR)
                yield _description(f"{bid}/util/{step}", "price", "x-notApplicable", _GBP_PER_MWH, HALF_HOUR)
                yield _description(
                    f"{bid}/avail/{step}", "price", "x-notApplicable", _GBP_PER_MW_H, HALF_HOUR
                )
        case Specifier.NOMINATION:
            yield _description(f"{zone}/nominated_kwh", "baseline", "Projected", _KWH, HALF_HOUR)
        case Specifier.SETTLEMENT:
            yield _description(f"{zone}/nominated_kwh", "baseline", "Contract", _KWH, HALF_HOUR)
            yield _description(f"{zone}/metered_kwh", "usage", "Net", _KWH, HALF_HOUR)
            yield _description(f"{zone}/delivered_kwh", "deltaUsage", "Derived", _KWH, HALF_HOUR)


def _description(
    r_id: str, report_type: str, reading_type: str, measurement: dict[str, Any] | None, period: timedelta
) -> dict[str, Any]:
    every = duration_text(period)
    return {
        "r_id": r_id,
        "report_type": report_type,
        "reading_type": reading_type,
        # openleadr's check writes into what it is given
        "measurement": None if measurement is None else dict(measurement),
        "sampling_rate": {"min_period": every, "max_period": every, "on_change": False},
    }


def values(report: Report, load_sign: int) -> dict[str, Any]:
    """Return a report's values, as our template takes them, with the sign of the wire.

    Raises:
        BadMessage: If a value is not finite or its r_id is none of ours.
    """
    return {
        "report_id": report.report_id,
        "report_request_id": report.request_id,
        "report_specifier_id": report.specifier,
        "report_name": REPORT_NAMES[Specifier(report.specifier)],
        "created_date_time": report.created_at,
        "dtstart": min((row.interval.start for row in report.rows), default=None),
        "intervals": [_interval(row, load_sign) for row in report.rows],
    }


def _interval(row: ReportRow, load_sign: int) -> dict[str, Any]:
    value = to_wire(row.r_id, row.value, load_sign)
    payload: dict[str, Any] = {"r_id": row.r_id, "value": value}
    if row.r_id.endswith("/status"):
        state = int(value)
        payload["status"] = {"online": bool(state & ONLINE), "manual_override": bool(state & OVERRIDE)}
    if row.quality is not None:
        payload["data_quality"] = QUALITY_WORDS[row.quality]
    return {
        "dtstart": row.interval.start,
        "duration": duration_text(row.interval.end - row.interval.start),
        "report_payload": payload,
    }
