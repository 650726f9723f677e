"""The reports a platform asked for: which we can give, and what must be remembered of them.

A request told again with the same content is the same request, so that a platform that registers us anew
gets nothing twice; other content under its reportRequestID takes its place. One that came with a registration
and is answered once is kept as answered, so that it is not answered again when the next one repeats it.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aggregator.model.time import Interval, parse_instant, utc_text
from aggregator.ports import NO_TIME, Report, ReportRequest, VenMemory
from market_adapters.openadr.reports import Specifier
from market_adapters.openadr.wire import WireReportRequest

METADATA = "METADATA"
FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)
KEPT = timedelta(days=31)
MOST_INTERVALS = 10_000
MOST_REQUESTS = 2_000
SECOND = timedelta(seconds=1)
MEASURED = (Specifier.TELEMETRY, Specifier.STATUS, Specifier.HISTORY)
_NAME = "reports_asked"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one message asks for.

    Attributes:
        requests: Those that we can serve, with the r_ids that are ours.
        metadata: The reportRequestID by which our METADATA is wanted again; None if it is not.
        refusals: What is not ours or can't be done, one text each.
    """

    requests: tuple[ReportRequest, ...]
    metadata: str | None
    refusals: tuple[str, ...]


def read_asked(
    wanted: Iterable[WireReportRequest],
    offered: Mapping[str, frozenset[str]],
    *,
    standing: Collection[str],
    vtn_id: str,
    granularity: timedelta,
    now: datetime,
) -> Asked:
    """Sort the requests of one message into what we can serve and what we refuse.

    Args:
        wanted: As they came.
        offered: Our r_ids by specifier.
        standing: The ids of the requests that stand.
        vtn_id: The platform.
        granularity: Length of an interval, where one is asked for without saying how long.
        now: Domain instant.
    """
    requests: list[ReportRequest] = []
    refusals: list[str] = []
    metadata = None
    for one in wanted:
        if one.specifier == METADATA:
            metadata = one.request_id
            continue
        ours = offered.get(one.specifier)
        if ours is None:
            refusals.append(f"{one.request_id}: no report {one.specifier!r}")
            continue
        if unknown := [r_id for r_id in one.r_ids if r_id not in ours]:
            refusals.append(f"{one.request_id}: no r_id {', '.join(unknown)} in {one.specifier!r}")
        if one.r_ids and len(unknown) == len(one.r_ids):
            continue
        full = one.request_id not in standing and len(standing) + len(requests) >= MOST_REQUESTS
        if fault := f"more than {MOST_REQUESTS} requests" if full else _fault(one):
            refusals.append(f"{one.request_id}: {fault}")
            continue
        requests.append(_request(one, ours, vtn_id, granularity, now))
    return Asked(tuple(requests), metadata, tuple(refusals))


def _fault(one: WireReportRequest) -> str | None:
    """Return why a request for one of our reports can't be served; None where it can."""
    if one.specifier not in MEASURED:
        return None
    if any(length % SECOND for length in (one.granularity, one.back_duration)):
        return "granularity and reportBackDuration must be whole seconds"
    if one.specifier == Specifier.HISTORY and (one.start is None or one.length is None):
        return "history needs a reportInterval with start and duration"
    length = one.back_duration or one.length or NO_TIME
    if one.granularity and length / one.granularity > MOST_INTERVALS:
        return f"more than {MOST_INTERVALS} intervals at once"
    return None


def _request(
    one: WireReportRequest, ours: frozenset[str], vtn_id: str, granularity: timedelta, now: datetime
) -> ReportRequest:
    end = FOR_EVER if one.start is None or one.length is None else one.start + one.length
    window = None if one.start is None or one.start >= end else Interval(one.start, end)
    measured = one.specifier in MEASURED
    once = one.specifier == Specifier.HISTORY or not one.back_duration
    if measured and once and window is not None and window.end == FOR_EVER:
        window = Interval(window.start, window.start + (one.granularity or granularity))
    return ReportRequest(
        vtn_id=vtn_id,
        request_id=one.request_id,
        specifier=one.specifier,
        granularity=one.granularity or (granularity if measured and once and window is None else NO_TIME),
        back_duration=NO_TIME if once else one.back_duration,
        asked_at=now,
        window=window,
        r_ids=tuple(dict.fromkeys(r_id for r_id in one.r_ids if r_id in ours)),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A request as remembered.

    Attributes:
        request: What was asked for.
        registered: Whether it came with the platform's oadrRegisteredReport.
        answered: Whether all it asked for was told.
        ending: Whether it was cancelled with one last report to follow.
    """

    request: ReportRequest
    registered: bool
    answered: bool = False
    ending: bool = False


class ReportBook:
    """One platform's report requests; reads once, writes through.

    Args:
        vtn_id: The platform.
        memory: Where they are stored.
    """

    def __init__(self, vtn_id: str, memory: VenMemory) -> None:
        self._vtn_id = vtn_id
        self._memory = memory
        text = memory.recall(vtn_id, _NAME)
        known: dict[str, Any] = {} if text is None else json.loads(text)
        self._entries = {name: _entry(vtn_id, name, row) for name, row in known.items()}

    def standing(self) -> tuple[ReportRequest, ...]:
        """Return the requests that something is still owed to."""
        return tuple(entry.request for entry in self._entries.values() if not entry.answered)

    def pending(self) -> tuple[str, ...]:
        """Return the ids of the requests that stand, as the platform is told."""
        entries = self._entries.items()
        return tuple(name for name, entry in entries if not entry.answered and not entry.ending)

    def ask(
        self, requests: Sequence[ReportRequest], now: datetime, *, registered: bool
    ) -> tuple[ReportRequest, ...]:
        """Remember requests; return what changed by it, those they replace as cancelled.

        Args:
            requests: As read.
            now: Domain instant.
            registered: Whether they came with oadrRegisteredReport: they then stand in place of those that
                came so before for the same reports, as a platform that lost its memory makes new ids.
        """
        names = {request.request_id for request in requests}
        specifiers = {request.specifier for request in requests} - {Specifier.BID}
        replaced = [
            name
            for name, entry in self._entries.items()
            if registered and entry.registered and name not in names and entry.request.specifier in specifiers
        ]
        gone = tuple(replace(self._entries[name].request, cancelled=True) for name in replaced)
        kept = {
            name: entry
            for name, entry in self._entries.items()
            if name not in replaced and not _over(entry, now - KEPT)
        }
        for request in requests:
            known = kept.get(request.request_id)
            if known is None or not _is_same(known, request, registered=registered):
                came_so = registered or (known is not None and known.registered)
                kept[request.request_id] = Entry(request, came_so)
        self._keep(kept)
        asked = (self._entries[name] for name in dict.fromkeys(one.request_id for one in requests))
        return (*gone, *(entry.request for entry in asked if not entry.answered))

    def cancel(self, names: Iterable[str], now: datetime, *, to_follow: bool) -> tuple[ReportRequest, ...]:
        """Forget requests; return what changed by it.

        With a report to follow, a periodic request becomes one that ends now, and one that is answered once
        is still answered; neither stands any more.
        """
        entries, changed = dict(self._entries), []
        for name in dict.fromkeys(names):
            entry = entries.pop(name, None)
            if entry is None:
                continue
            last = _ending(entry.request, now) if to_follow and not entry.answered else None
            if last is None:
                changed.append(replace(entry.request, cancelled=True))
            else:
                changed.append(last)
                entries[name] = replace(entry, request=last, ending=True)
        self._keep(entries)
        return tuple(changed)

    def told(self, report: Report) -> None:
        """Note that a report has reached the platform, or was refused: nothing may be owed after it."""
        entry = self._entries.get(report.request_id)
        if not report.last or entry is None or entry.request.asked_at > report.created_at:
            return
        entries = {name: one for name, one in self._entries.items() if name != report.request_id}
        if entry.registered and not entry.ending:
            entries[report.request_id] = replace(entry, answered=True)
        self._keep(entries)

    def _keep(self, entries: dict[str, Entry]) -> None:
        if entries != self._entries:
            rows = {name: _row(entry) for name, entry in entries.items()}
            self._memory.remember(self._vtn_id, _NAME, json.dumps(rows))
            self._entries = entries  # not before it is stored: else it would not be tried again


def _is_same(known: Entry, request: ReportRequest, *, registered: bool) -> bool:
    """Whether a request is one that is known: asked for anew once it was answered, it is another one."""
    if known.ending or (known.answered and not registered):
        return False
    return replace(request, asked_at=known.request.asked_at) == known.request


def _ending(request: ReportRequest, now: datetime) -> ReportRequest | None:
    """Return the request as it stands once cancelled with a report to follow; None where nothing is left."""
    if request.specifier not in MEASURED:
        return None
    if request.once:
        return request
    end = min(request.ends_at or FOR_EVER, now.replace(microsecond=0))
    if end <= request.starts_at:
        return None
    return replace(request, window=Interval(request.starts_at, end))


def _over(entry: Entry, oldest: datetime) -> bool:
    """Whether nobody can still mean it: a bid's after a month, as those answered or past their window."""
    request = entry.request
    if entry.answered or request.specifier == Specifier.BID:
        return request.asked_at < oldest
    return request.window is not None and max(request.window.end, request.asked_at) < oldest


def _entry(vtn_id: str, name: str, row: Mapping[str, Any]) -> Entry:
    window = row["window"]
    request = ReportRequest(
        vtn_id=vtn_id,
        request_id=name,
        specifier=row["specifier"],
        granularity=timedelta(seconds=row["granularity_s"]),
        back_duration=timedelta(seconds=row["back_duration_s"]),
        asked_at=parse_instant(row["asked_at"]),
        window=None if window is None else Interval(parse_instant(window[0]), parse_instant(window[1])),
        r_ids=tuple(row["r_ids"]),
    )
    return Entry(request, row["registered"], row["answered"], row["ending"])


def _row(entry: Entry) -> dict[str, Any]:
    request = entry.request
    window = request.window
    return {
        "specifier": request.specifier,
        "granularity_s": request.granularity.total_seconds(),
        "back_duration_s": request.back_duration.total_seconds(),
        "asked_at": utc_text(request.asked_at),
        "window": None if window is None else [utc_text(window.start), utc_text(window.end)],
        "r_ids": list(request.r_ids),
        "registered": entry.registered,
        "answered": entry.answered,
        "ending": entry.ending,
    }
