"""What meter operators' files say of half-hours: it counts in place of our own registers.

A half-hour is known where one interval is just that half-hour, or where shorter ones fill it without a gap.
Of what was told twice the later word counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from operator import attrgetter

from aggregator.model.metering import MeteredInterval
from aggregator.model.time import HALF_HOUR, Interval, floor_half_hour
from aggregator.store.intervals import MeteredIntervals

Told = Mapping[tuple[str, Interval], int]
"""Net export by meter and half-hour, where a file says it. [Wh]"""

NOTHING_TOLD: Told = {}


def told_by_operators(
    kept: MeteredIntervals,
    meters: Sequence[str],
    periods: Sequence[Interval],
    as_known_at: datetime | None = None,
) -> Told:
    """Return what is known of half-hours from files.

    Args:
        kept: Where it is.
        meters: Whose.
        periods: Half-hours, in order.
        as_known_at: Only what was learnt by then; None for all.
    """
    wanted, found = set(periods), {}
    for span in _joined(periods):
        for meter, rows in groupby(kept.within(meters, span, as_known_at), attrgetter("meter_id")):
            for start, inside in groupby(rows, lambda one: floor_half_hour(one.span.start)):
                period, wh = Interval(start, start + HALF_HOUR), _filled_wh(tuple(inside))
                if wh is not None and period in wanted:
                    found[meter, period] = wh
    return found


def _filled_wh(rows: Sequence[MeteredInterval]) -> int | None:
    """Return the energy of a half-hour that intervals fill; None where they do not. [Wh]

    A whole half-hour beside minutes of it is what was told before them, or after: only one of them ends last.
    """
    last = rows[-1]
    if last.span.end - last.span.start == HALF_HOUR:
        return round(last.export_wh)
    start = floor_half_hour(last.span.start)
    bounds = [start, *(bound for one in rows for bound in (one.span.start, one.span.end)), start + HALF_HOUR]
    fills = all(before == after for before, after in zip(bounds[::2], bounds[1::2], strict=True))
    return round(sum(one.export_wh for one in rows)) if fills else None


def _joined(periods: Iterable[Interval]) -> Iterator[Interval]:
    """Yield spans without gaps that hold the half-hours: days looked back on lie far apart."""
    ordered = sorted(set(periods))
    cuts = [0, *(n for n, (one, other) in enumerate(pairwise(ordered), 1) if one.end != other.start)]
    for first, stop in pairwise([*cuts, len(ordered)]):
        if first < stop:
            yield Interval(ordered[first].start, ordered[stop - 1].end)
