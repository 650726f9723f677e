"""Whenever one looks, what is owed tiles the time asked for: no interval lost, none twice, none open."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.time import Interval
from aggregator.ports import NO_TIME, ReportRequest
from aggregator.telemetry import due_spans, pieces
from tests.builders import NOON, VTN, ZONE

SECOND = timedelta(seconds=1)
seconds = st.integers(1, 7200).map(lambda n: n * SECOND)


@st.composite
def requests(draw):
    back = draw(st.one_of(st.just(NO_TIME), seconds))
    start = NOON + draw(st.integers(-7200, 7200)) * SECOND
    window = draw(st.one_of(st.none(), seconds.map(lambda length: Interval(start, start + length))))
    granularity = draw(seconds if window is None and not back else st.one_of(st.just(NO_TIME), seconds))
    asked_at = NOON + draw(st.integers(0, 600)) * SECOND
    return ReportRequest(VTN, "RR-1", "telemetry", granularity, back, asked_at, window)


@given(requests(), st.lists(seconds, min_size=1, max_size=20), st.integers(0, 240))
def test_what_is_owed_tiles_the_time_asked_for(request, steps, lag_s):
    now, since, lag = NOON, request.starts_at, lag_s * SECOND
    told = []
    for step in steps:
        now += step
        for span in due_spans(request, since, now, lag):
            for piece in pieces(request, span, [ZONE]):
                assert piece.end + lag <= now
                assert not request.once or now >= request.asked_at
                told.append(piece)
                since = piece.end
    bounds = [request.starts_at, *(piece.end for piece in told)]
    assert [piece.start for piece in told] == bounds[:-1]
    assert request.ends_at is None or since <= request.ends_at
    longest = request.back_duration or (request.ends_at or now) - request.starts_at
    surely_due = now - lag - longest
    assert since > surely_due or since == request.ends_at or (request.once and now < request.asked_at)
