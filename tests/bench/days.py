"""What the loop makes of a day: of surprises, and of cars and chargers that are not as they should be."""

import asyncio
import statistics
from collections.abc import Iterator

from aggregator.model.metering import Outcome
from aggregator.model.time import HALF_HOUR
from tests.bench.measure import Row
from tests.played_day import DEAF, EVENT, PlayedDay, Way, nominations_of, usual_troubles
from tests.surprises import share_of_the_best

EVENTS = 200
SURPRISES = ((0.03, 0.0), (0.0, 0.2), (0.03, 0.2))
WAYS = {
    "plain": (),
    "noise and faults": usual_troubles(),
    "the same, a tenth deaf": (*usual_troubles(), DEAF),
}
DRAINED_KW = 70.0


def surprise_rows() -> Iterator[Row]:
    """Measure what is delivered, split again in every slot, of what one could who knew it all."""
    for unplugs, late in SURPRISES:
        shares = [100 * share_of_the_best(seed, unplugs, late) for seed in range(EVENTS)]
        size = f"135 cars, 6 slots, {unplugs:.0%} unplug a slot, {late:.0%} come late"
        yield Row("surprises, mean", size, statistics.mean(shares), "% of clairvoyant", EVENTS)
        yield Row("surprises, worst", size, min(shares), "% of clairvoyant", EVENTS)


def rows() -> Iterator[Row]:
    """Play the day in each way, at two lengths of cycle, and once with orders that drain the batteries."""
    nominations = asyncio.run(nominations_of(Way()))
    for name, troubles in WAYS.items():
        yield from _played(name, Way(troubles=troubles), nominations)
        evening = Way(troubles=troubles, cycle_s=10, starts_at=EVENT.start - HALF_HOUR, ends_at=EVENT.end)
        yield from _evening(f"{name}, cycles of 10 s", evening, nominations)
        drained = Way(troubles=troubles, ordered_kw=DRAINED_KW, ends_at=EVENT.end)
        yield from _evening(f"{name}, {DRAINED_KW:g} kW a zone", drained, nominations, tracked=False)


def _played(name: str, way: Way, nominations) -> Iterator[Row]:
    day = asyncio.run(PlayedDay(way, nominations).play())
    yield from _rows(name, day)
    checked, missed = day.departures()
    yield Row("day, departures as promised", name, checked - len(missed), f"of {checked}", 1, checked, True)
    peaks = [day.drawn_after_kw(zone) for zone in day.fleet.zones]
    share = max(100 * drawn_kw / nominated_kw for drawn_kw, nominated_kw in peaks)
    yield Row("day, most drawn after the event", name, share, "% of nominated peak", 1, 100)


def _evening(name: str, way: Way, nominations, *, tracked: bool = True) -> Iterator[Row]:
    yield from _rows(name, asyncio.run(PlayedDay(way, nominations).play()), tracked=tracked)


def _rows(name: str, day: PlayedDay, *, tracked: bool = True) -> Iterator[Row]:
    if tracked:
        off = sorted(abs(100 * share) for share in day.tracking().values())
        yield Row("day, off the request, mean half-hour", name, statistics.mean(off), "%", len(off), 1)
        yield Row("day, off the request, worst half-hour", name, off[-1], "%", len(off))
    margins = day.floor_margins().values()
    broken = sum(margin < 0 for margin in margins)
    yield Row("day, floors broken, true energy", name, broken, f"of {len(margins)} cars", 1, 0)
    yield Row("day, nearest to a floor", name, 100 * min(margins), "% of capacity", 1)
    told = ", ".join(f"{code} {count}" for code, count in sorted(day.told().items()))
    yield Row("day, told", f"{name}: {told}", sum(day.told().values()), "", 1)
    refused = day.outcomes[Outcome.INTERLOCKED]
    size = f"{name}, of {sum(day.outcomes.values()):,} set-points"
    yield Row("day, refused by the interlock", size, refused, "", 1)
