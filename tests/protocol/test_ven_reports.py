"""Reports from the request to the platform's acknowledgement: our gateway's parts against a real socket."""

import itertools
from dataclasses import dataclass
from datetime import timedelta

import pytest
from openleadr.messaging import create_message

from aggregator.model.time import Interval
from aggregator.ports import NO_TIME
from market_adapters.openadr.values import read_duration, read_instant
from tests.protocol.gateway import MINUTE, ZONE, running, until
from tests.protocol.vtn import (
    OK,
    START,
    VTN_ID,
    FakeVtn,
    a_report_request,
    an_event,
    cancel_report,
    create_report,
)

KWH, KW, STATUS = f"{ZONE}/export_kwh", f"{ZONE}/export_kw", f"{ZONE}/status"
ONCE = {"granularity": "PT0S", "back": "PT0S"}


@dataclass(frozen=True)
class Told:
    """One value as the platform received it."""

    report_id: str
    request_id: str
    r_id: str
    interval: Interval
    value: float | None
    quality: str


def numbered(fields, prefix):
    """Yield the paths of a repeated element, whether it comes once or more often."""
    if any(name.startswith(f"{prefix}.") for name in fields):
        return [prefix]
    count = len({name[len(prefix) :].split("]")[0] for name in fields if name.startswith(f"{prefix}[")})
    return [f"{prefix}[{n}]" for n in range(count)]


def values_in(message):
    fields = message.fields
    for path in numbered(fields, "oadrReport.intervals.interval"):
        start = read_instant(fields[f"{path}.dtstart.date-time"])
        payload = f"{path}.oadrReportPayload"
        value = fields.get(f"{payload}.payloadFloat.value")
        yield Told(
            report_id=fields["oadrReport.eiReportID"],
            request_id=fields["oadrReport.reportRequestID"],
            r_id=fields[f"{payload}.rID"],
            interval=Interval(start, start + read_duration(fields[f"{path}.duration.duration"])),
            value=None if value is None else float(value),
            quality=fields[f"{payload}.oadrDataQuality"],
        )


def reports_of(vtn, request_id):
    found = [message for message in vtn.received if message.name == "oadrUpdateReport"]
    return [one for one in found if one.fields["oadrReport.reportRequestID"] == request_id]


def told(vtn, request_id="RR-telemetry", r_id=KWH):
    rows = [row for message in reports_of(vtn, request_id) for row in values_in(message)]
    return [row for row in rows if row.r_id == r_id]


def spans(rows):
    return [(row.interval.start - START) / MINUTE for row in rows]


def pending(vtn, name="oadrCreatedReport"):
    """Return what our last answer says is pending, and its code."""
    fields = vtn.last(name).fields
    prefix = "oadrPendingReports.reportRequestID"
    return sorted(value for path, value in fields.items() if path.startswith(prefix)), fields[
        "eiResponse.responseCode"
    ]


async def test_periodic_reports_hold_several_whole_intervals_each_in_its_own(tmp_path):
    standing = (
        a_report_request(),
        a_report_request("RR-status", "status", "PT5M", "PT5M"),
        a_report_request("RR-kwh", granularity="PT5M", back="PT10M", r_ids=(KWH,)),
    )
    async with FakeVtn(standing=standing) as vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        await parts.minutes(13)
        await until(lambda: len(told(vtn)) >= 15 and len(told(vtn, "RR-kwh")) >= 4)
        await until(lambda: len(told(vtn, "RR-status", STATUS)) >= 3)
        assert spans(told(vtn)) == list(range(-5, 10))
        assert len(reports_of(vtn, "RR-telemetry")) == 3
        # before the first minute nobody reported; an export is negative load on the wire
        assert [(row.value, row.quality) for row in told(vtn)] == [
            *[(0.0, "No Quality - No Value")] * 6,
            *[(-0.1, "Quality Good - Non Specific")] * 9,
        ]
        assert [row.value for row in told(vtn, r_id=KW)[6:]] == [-6.0] * 9
        assert spans(told(vtn, "RR-kwh")) == [-10, -5, 0, 5]
        assert told(vtn, "RR-kwh", KW) == []
        online = [
            message.fields[
                "oadrReport.intervals.interval.oadrReportPayload.oadrPayloadResourceStatus.oadrOnline"
            ]
            for message in reports_of(vtn, "RR-status")
        ]
        assert online == ["false", "true", "true"]


async def test_one_shots_history_and_metadata_are_told_once_by_poll(tmp_path):
    async with FakeVtn() as vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        await parts.minutes(20)
        past = {"start": START + 2 * MINUTE, "length": 10 * MINUTE}
        vtn.polls.append(
            create_report(
                a_report_request("RR-now", "status", **ONCE),
                a_report_request("RR-last", **ONCE),
                a_report_request("RR-past", "history", "PT5M", "PT0S", **past),
                a_report_request("RR-meta", "METADATA", **ONCE),
            )
        )
        await vtn.until("oadrRegisterReport", 2)
        assert vtn.last("oadrRegisterReport").fields["reportRequestID"] == "RR-meta"
        assert pending(vtn) == (["RR-last", "RR-now", "RR-past"], "200")
        await parts.minutes(5)
        await until(lambda: all(reports_of(vtn, name) for name in ("RR-now", "RR-last", "RR-past")))
        assert [row.interval for row in told(vtn, "RR-past")] == list(
            Interval(START + 2 * MINUTE, START + 12 * MINUTE).slots(5 * MINUTE)
        )
        assert [row.value for row in told(vtn, "RR-past")] == [-0.5, -0.5]
        assert spans(told(vtn, "RR-last")) == spans(told(vtn, "RR-now", STATUS)) == [19]
        await parts.minutes(5)
        vtn.polls.append(cancel_report("RR-none"))
        await vtn.until("oadrCanceledReport")
        assert pending(vtn, "oadrCanceledReport") == ([], "200")
        assert all(len(reports_of(vtn, name)) == 1 for name in ("RR-now", "RR-last", "RR-past"))


async def test_what_is_unknown_is_refused_and_the_rest_of_the_message_taken(tmp_path):
    async with FakeVtn() as vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        vtn.polls.append(
            create_report(
                a_report_request("RR-1", r_ids=(KWH, f"{ZONE}/volts")),
                a_report_request("RR-2", "weather"),
                a_report_request("RR-3", r_ids=("Mars/export_kwh",)),
                a_report_request("RR-4", "history"),
            )
        )
        await vtn.until("oadrCreatedReport")
        assert pending(vtn) == (["RR-1"], "461")
        text = vtn.last("oadrCreatedReport").fields["eiResponse.responseDescription"]
        assert all(word in text for word in ("volts", "'weather'", "Mars/export_kwh", "reportInterval"))
        await parts.minutes(8)
        await until(lambda: told(vtn, "RR-1"))
        assert {row.r_id for message in reports_of(vtn, "RR-1") for row in values_in(message)} == {KWH}


async def test_a_window_begins_and_ends_where_it_was_asked_to(tmp_path):
    window = {"start": START + 3 * MINUTE, "length": 7 * MINUTE}
    vtn = FakeVtn(standing=(a_report_request(**window),))
    async with vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        await parts.minutes(20)
        await until(lambda: len(told(vtn)) >= 7)
        assert spans(told(vtn)) == list(range(3, 10))
        assert len(reports_of(vtn, "RR-telemetry")) == 2
        await until(lambda: parts.waiting() == [])
        vtn.polls.append(create_report(a_report_request("RR-2")))
        await vtn.until("oadrCreatedReport", 2)
        assert pending(vtn) == (["RR-2"], "200")


@pytest.mark.parametrize("by_acknowledgement", [False, True], ids=["poll", "piggy-backed"])
@pytest.mark.parametrize("follow", [False, True], ids=["no report", "report to follow"])
async def test_a_cancelled_report_ends(tmp_path, by_acknowledgement, follow):
    vtn = FakeVtn(standing=(a_report_request(), a_report_request("RR-other", back="PT1M")))
    async with vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        await parts.minutes(8)
        await until(lambda: len(told(vtn)) == 10 and len(told(vtn, "RR-other")) == 7)
        if by_acknowledgement:
            cancel = {"request_id": "k", "report_request_id": ["RR-telemetry"], "report_to_follow": follow}
            vtn.answers["oadrUpdateReport"] = [
                create_message("oadrUpdatedReport", response=OK, cancel_report=cancel)
            ]
            await parts.minute()
            await until(lambda: not vtn.answers["oadrUpdateReport"])
            await until(lambda: parts.ven._asked.pending() == ("RR-other",))
        else:
            vtn.polls.append(cancel_report("RR-telemetry", follow=follow))
            await vtn.until("oadrCanceledReport")
            assert pending(vtn, "oadrCanceledReport") == (["RR-other"], "200")
        ended = round((parts.clock.now() - START) / MINUTE)
        await parts.minutes(8)
        await until(lambda: spans(told(vtn, "RR-other"))[-1] == ended + 5)
        await until(lambda: parts.waiting() == [])
        assert spans(told(vtn)) == list(range(-5, ended if follow else 5))
        assert {name.request_id for name in parts.ven._asked.standing()} == {"RR-other"}


async def test_a_request_is_replaced_under_its_own_id(tmp_path):
    vtn = FakeVtn(standing=(a_report_request(),))
    async with vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        await parts.minutes(8)
        await until(lambda: len(told(vtn)) == 10)
        vtn.polls.append(create_report(a_report_request(granularity="PT2M", back="PT4M", r_ids=(KWH,))))
        await vtn.until("oadrCreatedReport", 2)
        assert pending(vtn) == (["RR-telemetry"], "200")
        await parts.minutes(12)
        await until(lambda: told(vtn)[-1].interval.end >= START + 16 * MINUTE)
        rows = told(vtn)
        assert all(one.interval.end == next_.interval.start for one, next_ in itertools.pairwise(rows))
        assert len(told(vtn, r_id=KW)) == 10


async def test_registering_again_doubles_nothing_and_new_ids_replace_the_old(tmp_path):
    vtn = FakeVtn(standing=(a_report_request(), a_report_request("RR-now", "status", **ONCE)))
    async with vtn, running(vtn.url, tmp_path, START) as parts:
        await vtn.until("oadrPoll")
        await parts.minutes(8)
        for again in (2, 3):
            vtn.polls.append(create_message("oadrRequestReregistration", ven_id="ven-1"))
            await vtn.until("oadrCreatedReport", again)
            await parts.minutes(5)
        await until(lambda: len(told(vtn)) >= 20)
        assert spans(told(vtn)) == list(range(-5, 15))
        assert len(reports_of(vtn, "RR-now")) == 1
        vtn.standing = (a_report_request("RR-new"),)
        vtn.polls.append(create_message("oadrRequestReregistration", ven_id="ven-1"))
        await vtn.until("oadrCreatedReport", 4)
        await parts.minutes(10)
        await until(lambda: len(told(vtn, "RR-new")) >= 15)
        assert spans(told(vtn)) == list(range(-5, 15))


async def test_a_restart_loses_no_interval_and_tells_none_twice(tmp_path):
    vtn = FakeVtn(standing=(a_report_request(),))
    async with vtn:
        async with running(vtn.url, tmp_path, START) as parts:
            await vtn.until("oadrPoll")
            await parts.minutes(8)
            await until(lambda: len(told(vtn)) == 10 and not parts.waiting())
        async with running(vtn.url, tmp_path, START + 30 * MINUTE) as parts:
            await vtn.until("oadrCreatedReport", 2)
            await parts.minutes(3)
            await until(lambda: len(told(vtn)) >= 35)
            rows = told(vtn)
            assert spans(rows) == list(range(-5, 30))
            # nobody measured while we were away: what lies between two readings is an estimate
            assert {row.quality for row in rows[15:]} == {"Quality Uncertain - Non Specific"}
            assert sum(row.value for row in rows[6:]) == pytest.approx(-2.9)


async def test_the_platform_is_away_for_an_hour(tmp_path):
    """Events in hand run to their end; reports queue, drain in order, none twice, each with its interval."""
    order = an_event(kw=(-6.0, -6.0, -6.0))
    order["event_descriptor"]["vtn_comment"] = None
    vtn = FakeVtn(events=(order,), standing=(a_report_request(),))
    async with running(vtn.url, tmp_path, START - 10 * MINUTE) as parts:
        async with vtn:
            await vtn.until("oadrCreatedEvent")
            answer = vtn.last("oadrCreatedEvent").fields
            assert answer["eiCreatedEvent.eventResponses.eventResponse.optType"] == "optIn"
            await parts.minutes(20)
            await until(lambda: len(told(vtn)) == 20 and parts.waiting() == [])
        before = len(vtn.received)

        ordered = []
        for _ in range(90):
            await parts.minute()
            orders = [point.opportunity_id for point in parts.link.told if point.opportunity_id]
            ordered.append((parts.clock.now(), bool(orders)))
            if parts.clock.now() == START + 70 * MINUTE:
                await until(lambda: len(parts.waiting()) >= 12)
        end = START + timedelta(minutes=90)
        assert {at for at, is_ordered in ordered if is_ordered} <= {at for at, _ in ordered if at < end}
        assert any(is_ordered for at, is_ordered in ordered if at > end - 3 * MINUTE)
        await until(lambda: len(parts.waiting()) >= 17)
        assert len(vtn.received) == before
        assert parts.ven.consecutive_failures > 0

        async with vtn:
            await until(lambda: parts.waiting() == [])
            await vtn.until("oadrPoll", 2)
            rows = told(vtn)
            assert spans(rows) == list(range(-15, -15 + len(rows)))
            assert len(rows) >= 20 + 85
            assert {row.interval.end - row.interval.start for row in rows} == {MINUTE}
            assert len({row.report_id for row in rows}) == len(reports_of(vtn, "RR-telemetry"))
            assert NO_TIME < parts.clock.now() - rows[-1].interval.end <= 8 * MINUTE
            assert parts.store.outbox.counts(VTN_ID)["dead"] == 0
