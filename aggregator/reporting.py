"""What platforms asked to be told, and the reports that are due to them: telemetry, status, nomination."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.market import Nomination
from aggregator.model.time import parse_instant, utc_text
from aggregator.ports import Report, ReportRequest, ReportRow
from aggregator.store import Store
from aggregator.telemetry import due_spans, status_report, telemetry_report

PERIODIC = ("telemetry", "status")
WH_PER_KWH = 1000.0
BACK_FILL = timedelta(days=7)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reporting:
    """Standing report requests, by platform and specifier, and what was last reported on each."""

    def __init__(self, store: Store, fleet: Fleet, zones: Sequence[str], lag: timedelta) -> None:
        self._store = store
        self._fleet = fleet
        self._zones = tuple(zones)
        self._lag = lag
        self._requests: dict[tuple[str, str], ReportRequest] = {}
        self._reported_until: dict[str, datetime] = {}

    def note(self, request: ReportRequest) -> None:
        """Keep a request, or drop one that was cancelled; a bid's own request names its requirement."""
        key = (request.vtn_id, request.specifier)
        if request.cancelled:
            self._requests.pop(key, None)
        elif request.specifier != "bid":
            self._requests[key] = request

    def request_id(self, vtn_id: str, specifier: str) -> str | None:
        """Return the platform's standing request for a report; None where it made none."""
        request = self._requests.get((vtn_id, specifier))
        return request.request_id if request is not None else None

    def queue_due(self, known_until: datetime) -> None:
        """Queue the periodic reports that are owed by what is stored up to ``known_until``."""
        for request in list(self._requests.values()):
            if request.specifier in PERIODIC and request.back_duration:
                self._queue_spans(request, known_until)

    def queue_nomination(self, vtn_id: str, nominations: Sequence[Nomination], now: datetime) -> bool:
        """Queue the report of a frozen nomination; return whether there is nothing left to do."""
        request_id = self.request_id(vtn_id, "nomination")
        if request_id is None:
            return False
        zone, start = nominations[0].zone, nominations[0].period.start
        rows = tuple(
            ReportRow(f"{zone}/nominated_kwh", one.period, one.export_wh / WH_PER_KWH) for one in nominations
        )
        report_id = f"nomination:{zone}:{start:%Y%m%dT%H%M}"
        self._put_once(Report(report_id, vtn_id, request_id, "nomination", now, rows))
        return True

    def _queue_spans(self, request: ReportRequest, known_until: datetime) -> None:
        since = self._since(request, known_until)
        for span in due_spans(request, since, known_until, self._lag):
            if request.window is not None and span.start >= request.window.end:
                return
            if request.specifier == "status":
                self._put_once(status_report(self._zones, request, span, known_until))
            elif report := telemetry_report(
                self._store, self._fleet, self._zones, request, span, known_until
            ):
                self._put_once(report)
            self._reported_until[request.request_id] = span.end
            self._store.memory.remember(request.vtn_id, _name(request), utc_text(span.end))

    def _since(self, request: ReportRequest, known_until: datetime) -> datetime:
        """Return where the last span ended, also before a restart; never further back than a week."""
        since = self._reported_until.get(request.request_id)
        if since is None:
            told = self._store.memory.recall(request.vtn_id, _name(request))
            since = parse_instant(told) if told is not None else _first_start(request, known_until)
        oldest = known_until - BACK_FILL
        return since if since >= oldest else oldest - (oldest - EPOCH) % request.back_duration

    def _put_once(self, report: Report) -> None:
        if self._store.outbox.get(report.report_id) is None:
            self._store.outbox.put(report)


def _name(request: ReportRequest) -> str:
    return f"reported {request.request_id}"


def _first_start(request: ReportRequest, now: datetime) -> datetime:
    """Return where the first span begins: the window's start, or a whole multiple of the period."""
    if request.window is not None:
        return request.window.start
    return now - (now - EPOCH) % request.back_duration - request.back_duration
