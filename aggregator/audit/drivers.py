"""What each driver wanted and when, by door and charger: what the promises to drivers are judged by."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.audit.evidence import Evidence
from aggregator.model.drivers import SILENT, Floor, Topic, V2g, Word, wish_of
from aggregator.model.fleet import LOWEST_FLOOR_SOC, Car, Intent
from aggregator.model.time import next_local
from aggregator.store import CarState

Promised = tuple[datetime, float]
"""When a driver was promised the car, and how full, as a fraction."""

ANYTIME = Intent(datetime.min.time(), 0.0)


def lowest_floor_kwh(evidence: Evidence, car: Car, since: datetime, until: datetime) -> float:
    """Return the lowest floor that held at some time of a span; a raised one holds a cycle after its word."""
    since -= timedelta(seconds=evidence.settings.dispatch.cycle_s)
    words = evidence.told.about(car.car_id, Topic.FLOOR)
    before = [word for word in words if word.told_at <= since]
    during = [word for word in words if since < word.told_at <= until]
    own = [_floor_soc(before[-1]) if before else 0.0, *map(_floor_soc, during)]
    return max(LOWEST_FLOOR_SOC, car.floor_soc, min(own)) * car.capacity_kwh


def promised(evidence: Evidence, states: Sequence[CarState]) -> Iterator[tuple[CarState, Promised | None]]:
    """Yield each state with when the driver was promised the car, and how full.

    None while it is not plugged in, or ours.
    """
    charger = SILENT
    for state in states:
        charger = charger.after(state)
        car = evidence.fleets.car(state.car_id, state.measured_at)
        if car is None or not state.plugged:
            yield state, None
            continue
        words, default = evidence.told.of(car.car_id, state.measured_at), car.default_intent
        wish = wish_of(words, charger, default, state.measured_at)
        target_soc = wish.target_soc if wish.target_soc is not None else default.target_soc
        yield state, (wish.depart_at or next_local(state.measured_at, default.depart_local), target_soc)


@dataclass(frozen=True, slots=True)
class Boosted:
    """From when on it was known that a car is boosted, or is not.

    Attributes:
        at: When it was known: a report's arrival, or a word at the door.
        on: Whether it is boosted, and plugged in.
        judged: Whether a car could be told within a cycle: it was heard of before and after, and stayed.
        at_door: Whether a word at the door made it so.
    """

    at: datetime
    on: bool
    judged: bool
    at_door: bool


def boosts(evidence: Evidence, car_id: str, states: Sequence[CarState]) -> Iterator[Boosted]:
    """Yield what was known of a car's boost, in order."""
    cycle = timedelta(seconds=evidence.settings.dispatch.cycle_s)
    fresh = 2 * timedelta(seconds=evidence.settings.dispatch.reporting_interval_s)
    left_at = [state.measured_at for state in states if not state.plugged]
    received_at = sorted(state.received_at for state in states)
    heard: list[tuple[datetime, CarState | Word]] = [(state.measured_at, state) for state in states]
    heard += [(word.told_at, word) for word in evidence.told.about(car_id, Topic.BOOST)]
    charger, last = SILENT, None
    for instant, what in sorted(heard, key=lambda one: one[0]):
        if isinstance(what, CarState):
            charger, last = charger.after(what), what
        if last is None:
            continue
        at_door = isinstance(what, Word)
        known_at = what.told_at if isinstance(what, Word) else what.received_at
        wish = wish_of(evidence.told.of(car_id, instant), charger, ANYTIME, instant)
        stays = not _any_within(left_at, instant, known_at + cycle)
        in_touch = _any_within(received_at, known_at, known_at + fresh)
        judged = stays and instant - last.measured_at <= fresh and (in_touch or not at_door)
        yield Boosted(known_at, last.plugged and wish.boost, judged, at_door)


def without_v2g(evidence: Evidence, car_id: str) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield from when to when a driver had V2G off; None where it still is."""
    off_at: datetime | None = None
    for word in evidence.told.about(car_id, Topic.V2G):
        on = not isinstance(word.saying, V2g) or word.saying.on
        if on and off_at is not None:
            yield off_at, word.told_at
            off_at = None
        elif not on and off_at is None:
            off_at = word.told_at
    if off_at is not None:
        yield off_at, None


def _any_within(instants: Sequence[datetime], after: datetime, until: datetime) -> bool:
    """Whether one of some ascending instants lies after one, and not after another."""
    return bisect_right(instants, after) < bisect_right(instants, until)


def _floor_soc(word: Word) -> float:
    return word.saying.soc if isinstance(word.saying, Floor) else 0.0
