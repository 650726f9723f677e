"""What we send conforms to the published schema, whatever the names in it."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.errors import BadMessage
from aggregator.model.time import Interval
from aggregator.ports import Opt, Report, ReportRow
from market_adapters.openadr import messages, reports
from market_adapters.openadr.messages import EventAnswer
from market_adapters.openadr.wire import parse

HARD = "A & B <c> \"d\" 'e'</ei:venID>"
NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)
SLOT = Interval(NOON, NOON + timedelta(minutes=30))
R_IDS = {
    "telemetry": ("export_kw", "export_kwh"),
    "status": ("status",),
    "bid": ("day-ahead/kw/1", "day-ahead/util/1", "day-ahead/avail/1"),
    "nomination": ("nominated_kwh",),
    "settlement": ("nominated_kwh", "metered_kwh", "delivered_kwh"),
}


def a_report(specifier, value=1.0, estimated=False):
    rows = tuple(ReportRow(f"{HARD}/{r_id}", SLOT, value, estimated) for r_id in R_IDS[specifier])
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
        HARD, HARD, reports.metadata((HARD,), (HARD, "day-ahead"), timedelta(seconds=60), NOON)
    ),
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


def test_a_report_carries_its_own_id_and_the_quality_of_an_estimate():
    report = a_report("nomination", 2.5, estimated=True)
    fields = parse(messages.render(messages.update_report("v", reports.values(report, 1)))).fields
    assert fields["oadrReport.eiReportID"] == report.report_id
    payload = "oadrReport.intervals.interval.oadrReportPayload"
    assert fields[f"{payload}.payloadFloat.value"] == "-2.5"
    assert fields[f"{payload}.oadrDataQuality"].startswith("Quality Uncertain")


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
