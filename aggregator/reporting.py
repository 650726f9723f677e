"""What platforms asked to be told, and the reports that are due to them: what was measured, nominations.

Reports wait in the outbox until a platform has acknowledged them. Of a platform that stays away no more than
``MOST_WAITING`` wait there; what is measured meanwhile stays where it is, in the meters' registers, and is
told from there, in order, once there is room. So an outage of any length loses nothing and fills nothing.
What was told is kept for ``KEPT``, as it can be made again at any time.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.model.errors import RuleViolation
from aggregator.model.fleet import Fleet
from aggregator.model.market import Nomination
from aggregator.model.time import parse_instant, utc_text
from aggregator.ports import Report, ReportRequest, ReportRow
from aggregator.store import Store
from aggregator.telemetry import VALUES, due_spans, measured_report, pieces

WH_PER_KWH = 1000.0
MOST_WAITING = 200
KEPT = timedelta(days=31)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """Up to where a request was told; of which asking, as its id may come with another content."""

    asked_at: datetime
    until: datetime


class Reporting:
    """Report requests by platform and id, and up to where each was told."""

    def __init__(self, store: Store, fleet: Fleet, zones: Sequence[str], lag: timedelta) -> None:
        self._store = store
        self._fleet = fleet
        self._zones = tuple(zones)
        self._lag = lag
        self._requests: dict[Key, ReportRequest] = {}
        self._progress: dict[Key, Progress] = {}
        self._pruned_at: datetime | None = None
        self._lock = threading.Lock()

    def note(self, request: ReportRequest) -> None:
        """Keep a request in place of one of its id; drop one that was cancelled, with what waits for it.

        A periodic one that does not say from when goes on where the one that it replaces left off.
        """
        if request.specifier == "bid":
            return  # a bid's own request names its requirement, and its report goes by approval alone
        with self._lock:  # nothing is queued for a request once it was dropped
            if request.cancelled:
                self._drop(request)
                return
            key = (request.vtn_id, request.request_id)
            known = self._requests.get(key)
            self._requests[key] = request
            if known is not None and known != request and _goes_on(known, request):
                self._keep(request, self._since(known))

    def request_for(self, vtn_id: str, specifier: str, zone: str) -> ReportRequest | None:
        """Return the platform's latest request for a zone's statements or nominations; None for none."""
        found = [
            request
            for request in list(self._requests.values())
            if (request.vtn_id, request.specifier) == (vtn_id, specifier)
            and (not request.r_ids or any(r_id.startswith(f"{zone}/") for r_id in request.r_ids))
        ]
        return max(found, key=lambda request: request.asked_at, default=None)

    def queue_due(self, known_until: datetime) -> None:
        """Queue the reports that are owed by what is stored up to ``known_until``."""
        for request in list(self._requests.values()):
            if request.specifier in VALUES:
                self._queue_spans(request, known_until)
        if self._pruned_at is None or known_until - self._pruned_at > timedelta(days=1):
            self._store.outbox.prune(tuple(VALUES), known_until - KEPT)
            self._pruned_at = known_until

    def queue_nomination(self, vtn_id: str, nominations: Sequence[Nomination], now: datetime) -> bool:
        """Queue the report of a frozen nomination; return whether there is nothing left to do."""
        zone, start = nominations[0].zone, nominations[0].period.start
        request = self.request_for(vtn_id, "nomination", zone)
        if request is None:
            return False
        rows = tuple(
            ReportRow(f"{zone}/nominated_kwh", one.period, one.export_wh / WH_PER_KWH) for one in nominations
        )
        report_id = f"nomination:{vtn_id}:{zone}:{start:%Y%m%dT%H%M}"
        self._put_once(Report(report_id, vtn_id, request.request_id, "nomination", now, rows))
        return True

    def _queue_spans(self, request: ReportRequest, known_until: datetime) -> None:
        waiting: int | None = None
        for span in due_spans(request, self._since(request), known_until, self._lag):
            for piece in pieces(request, span, self._zones):
                if waiting is None:
                    waiting = self._store.outbox.waiting(request.vtn_id)
                if waiting >= MOST_WAITING:
                    return
                report = measured_report(self._store, self._fleet, self._zones, request, piece, known_until)
                with self._lock:
                    if not self._stands(request):
                        return
                    self._put_once(report)
                    self._keep(request, piece.end)
                waiting += 1
        if request.ends_at is not None and self._since(request) >= request.ends_at:
            with self._lock:
                if self._stands(request):
                    self._requests.pop((request.vtn_id, request.request_id), None)

    def _stands(self, request: ReportRequest) -> bool:
        return self._requests.get((request.vtn_id, request.request_id)) == request

    def _since(self, request: ReportRequest) -> datetime:
        """Return up to where a request was told, also before a restart; not what an earlier one was told."""
        key = (request.vtn_id, request.request_id)
        known = self._progress.get(key)
        if known is None and (text := self._store.memory.recall(request.vtn_id, _name(request))) is not None:
            asked_at, until = map(parse_instant, text.split())
            known = Progress(asked_at, until)
        if known is None or known.asked_at != request.asked_at:
            known = Progress(request.asked_at, self._first(request))
        self._progress[key] = known
        return known.until

    def _first(self, request: ReportRequest) -> datetime:
        """Return where a request begins: a periodic one not before anything was measured."""
        if request.once or request.window is None:
            return request.starts_at
        measured_at = self._store.readings.first()
        earliest = min(request.asked_at, measured_at or request.asked_at)
        skipped = max(timedelta(0), earliest - request.starts_at) // request.back_duration
        return request.starts_at + skipped * request.back_duration

    def _keep(self, request: ReportRequest, until: datetime) -> None:
        self._progress[request.vtn_id, request.request_id] = Progress(request.asked_at, until)
        text = f"{utc_text(request.asked_at)} {utc_text(until)}"
        self._store.memory.remember(request.vtn_id, _name(request), text)

    def _put_once(self, report: Report) -> None:
        if self._store.outbox.get(report.report_id) is None:
            self._store.outbox.put(report)

    def _drop(self, request: ReportRequest) -> None:
        self._requests.pop((request.vtn_id, request.request_id), None)
        self._progress.pop((request.vtn_id, request.request_id), None)
        for entry in self._store.outbox.pending(request.vtn_id):
            if entry.report.request_id == request.request_id and entry.report.specifier == request.specifier:
                self._give_up(entry.report)

    def _give_up(self, report: Report) -> None:
        try:
            self._store.outbox.mark_dead(report.report_id, f"the platform cancelled {report.request_id}")
        except RuleViolation:
            return  # it was acknowledged meanwhile


def _goes_on(known: ReportRequest, request: ReportRequest) -> bool:
    periodic = not known.once and not request.once
    return periodic and known.specifier == request.specifier and request.window is None


def _name(request: ReportRequest) -> str:
    return f"reported {request.request_id}"
