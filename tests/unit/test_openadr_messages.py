"""What we send conforms to the published schema, whatever the names in it."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.errors import BadMessage
from aggregator.model.time import Interval
from aggregator.ports import Opt, Quality, Report, ReportRow
from market_adapters.openadr import messages, reports
from market_adapters.openadr.messages import EventAnswer
from market_adapters.openadr.wire import parse

HARD = "A & B <c> \"d\" 'e'</ei:venID>"
NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)
SLOT = Interval(NOON, NOON + timedelta(minutes=30))
R_IDS = {
    "telemetry": ("export_kw", "export_kwh"),
    "status": ("status",),
    "history": ("export_kwh",),
    "bid": ("day-ahead/kw/1", "day-ahead/util/1", "day-ahead/avail/1"),
    "nomination": ("nominated_kwh",),
    "settlement": ("nominated_kwh", "metered_kwh", "delivered_kwh"),
}


def a_report(specifier, value=1.0, quality=None):
    rows = tuple(ReportRow(f"{HARD}/{r_id}", SLOT, value, quality) for r_id in R_IDS[specifier])
    return Report(f"{HARD}:1", "DSO", "RR-1", specifier, NOON, rows)


ALL = [
    messages.query_registration(HARD),
    messages.create_party_registration(HARD, HARD, None, None, signed=False),
    messages.create_party_registration(HARD, HARD, HARD, HARD, signed=True),
    messages.canceled_party_registration(HARD, HARD, HARD),
    messages.response(HARD, HARD, 459, HARD, to="EiEvent"),
    messages.poll(HARD),
    messages.request_event(HARD, HARD),
    messages.created_event(HARD, HARD, [EventAnswer(HARD, 2, 460, HARD, Opt.OUT)]),
    messages.register_report(
        HARD, HARD, reports.metadata((HARD,), {HARD: 1, "day-ahead": 2}, timedelta(seconds=60), NOON)
    ),
    messages.register_report(HARD, HARD, reports.metadata((HARD,), {}, timedelta(60), NOON, HARD), HARD),
    messages.registered_report(HARD, HARD),
    messages.created_report(HARD, HARD, [HARD], [HARD]),
    messages.canceled_report(HARD, HARD, []),
    *(messages.update_report(HARD, reports.values(a_report(name), 1)) for name in R_IDS),
]


@pytest.mark.parametrize("message", ALL, ids=[message.name for message in ALL])
def test_a_message_conforms_and_its_names_come_through(message):
    read = parse(messages.render(message))
    assert read.name == message.name
    assert HARD in read.fields.values()


@pytest.mark.parametrize(
    ("quality", "word"),
    [
        (Quality.GOOD, "Quality Good - Non Specific"),
        (Quality.ESTIMATED, "Quality Uncertain - Non Specific"),
        (Quality.MISSING, "No Quality - No Value"),
        (None, None),
    ],
)
def test_a_report_carries_its_own_id_and_the_quality_of_its_values(quality, word):
    report = a_report("nomination", 2.5, quality)
    fields = parse(messages.render(messages.update_report("v", reports.values(report, 1)))).fields
    assert fields["oadrReport.eiReportID"] == report.report_id
    payload = "oadrReport.intervals.interval.oadrReportPayload"
    assert fields[f"{payload}.payloadFloat.value"] == "-2.5"
    assert fields.get(f"{payload}.oadrDataQuality") == word


def test_metadata_that_was_asked_for_names_the_request():
    offered = reports.metadata(("Z",), {"P": 2}, timedelta(seconds=60), NOON, "RR-M")
    fields = parse(messages.render(messages.register_report("v", "1", offered, "RR-M"))).fields
    assert fields["reportRequestID"] == "RR-M"
    assert {fields[f"oadrReport[{n}].reportRequestID"] for n in range(len(offered))} == {"RR-M"}
    names = {fields[f"oadrReport[{n}].reportName"] for n in range(len(offered))}
    assert {"METADATA_TELEMETRY_USAGE", "METADATA_TELEMETRY_STATUS", "METADATA_HISTORY_USAGE"} <= names


def test_what_is_offered_is_what_the_metadata_names():
    offered = reports.offered(("Z",), {"P": 2})
    described = {
        report["report_specifier_id"]: {row["r_id"] for row in report["report_descriptions"]}
        for report in reports.metadata(("Z",), {"P": 2}, timedelta(seconds=60), NOON)
    }
    assert offered == described


@pytest.mark.parametrize(
    ("state", "online", "override"), [(0, "false", "false"), (1, "true", "false"), (3, "true", "true")]
)
def test_a_status_is_a_resource_status(state, online, override):
    report = a_report("status", float(state))
    fields = parse(messages.render(messages.update_report("v", reports.values(report, 1)))).fields
    status = "oadrReport.intervals.interval.oadrReportPayload.oadrPayloadResourceStatus"
    assert (fields[f"{status}.oadrOnline"], fields[f"{status}.oadrManualOverride"]) == (online, override)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_not_sent(value):
    with pytest.raises(BadMessage):
        reports.values(a_report("telemetry", value), 1)


def test_a_row_of_an_unknown_kind_is_not_sent():
    report = Report("r:1", "DSO", "RR-1", "telemetry", NOON, (ReportRow("zone/surprise", SLOT, 1.0),))
    with pytest.raises(BadMessage, match="zone/surprise"):
        reports.values(report, 1)
