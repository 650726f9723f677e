"""What was told before a gateway started, by and to chargers, and to people: it goes on until told anew.

Registers count on while nobody listens, and chargers pass on later who came and left meanwhile. So the last
state of charge of a stay is good however old it is: the registers since move it on, and the doubt grows with
them. Across a silence of more than an hour a stay may have been another one, and nothing is known.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.metering import CarReport, Outcome, Reading, SetPoint
from aggregator.model.time import Interval
from aggregator.store import CarState, Store
from dispatch.notices import HOLDS_ON, LASTING, RAMP_HELD
from dispatch.records import Notice

RECENT = timedelta(hours=1)
"""A longer silence is not reckoned across: a car may have been anywhere since."""

INSTANT = timedelta(microseconds=1)
REPLACES = timedelta(minutes=3)
"""What gives energy holds less than that, and so does what may have replaced it since."""

LATE = timedelta(minutes=30)
"""A state of charge may be as late when it is told: the registers of its instant must be there, too."""

LONGEST = timedelta(days=8)
"""No further is gone back for a car that does not say what it stores."""


def recent_reports(store: Store, fleet: Fleet, now: datetime) -> tuple[CarReport, ...]:
    """Return what the fleet's cars told in their present stays, oldest first, those with registers only.

    That is all of the last hour and a half, and of a car that did not say then what it stores, its last word.
    """
    charger_of = {car.car_id: car.charger.charger_id for car in fleet.cars}
    span = Interval(now - RECENT - LATE, now)
    stays = _stays(store, list(charger_of), span)
    readings = _registers(store.readings.between([charger_of[name] for name in stays], span))
    states = [state for stay in stays.values() for state in stay]
    for state in _last_told(store, stays, now):
        charger_id = charger_of[state.car_id]
        instant = Interval(state.measured_at, state.measured_at + INSTANT)
        readings |= _registers(store.readings.between([charger_id], instant))
        states.append(state)
    found = [
        _report(state, reading)
        for state in states
        if (reading := readings.get((charger_of[state.car_id], state.measured_at))) is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.measured_at, one.car_id)))


def set_points_in_force(store: Store, now: datetime) -> tuple[SetPoint, ...]:
    """Return what chargers were told last and still do; what ran out replaced what came before it, too."""
    told = store.set_points.between(Interval(now - REPLACES, now + INSTANT))
    last = {one.point.car_id: one.point for one in told if one.outcome is Outcome.ACCEPTED}
    return tuple(point for point in last.values() if point.expires_at > now)


def told_before(store: Store, now: datetime) -> list[Notice]:
    """Return what people were told by a control loop that ran until just now, and that goes on.

    After a longer silence all is news: what goes on then may be another fault of the same car.
    """
    last_at = store.set_points.newest_at()
    if last_at is None or now - last_at > RECENT:
        return []
    found = [one for one in store.alarms.unfinished(LASTING) if one.over_at is None]
    found += [one for one in store.alarms.unfinished([RAMP_HELD]) if now - one.at < HOLDS_ON]
    return [
        Notice(one.at, one.code, one.where, one.text, about=one.about, amount=one.amount) for one in found
    ]


def _stays(store: Store, car_ids: Sequence[str], span: Interval) -> dict[str, list[CarState]]:
    """Return each car's states in a span that surely belong to its present stay, ascending."""
    by_car: dict[str, list[CarState]] = defaultdict(list)
    for state in store.states.between(car_ids, span):
        stay = by_car[state.car_id]
        if not state.plugged or (stay and state.measured_at - stay[-1].measured_at > RECENT):
            stay.clear()
        if state.plugged:
            stay.append(state)
    return {name: stay for name, stay in by_car.items() if stay and span.end - stay[-1].measured_at <= RECENT}


def _last_told(store: Store, stays: Mapping[str, Sequence[CarState]], now: datetime) -> Iterator[CarState]:
    """Yield the last state that told a charge, of cars that have told none lately."""
    silent = {name: len(stay) for name, stay in stays.items() if all(state.soc is None for state in stay)}
    back = RECENT + LATE
    while silent and back < LONGEST:
        back *= 2
        longer = _stays(store, list(silent), Interval(now - back, now))
        for name, known in list(silent.items()):
            told = next((state for state in reversed(longer[name]) if state.soc is not None), None)
            if told is not None:
                yield told
            if told is not None or len(longer[name]) == known:
                del silent[name]
            else:
                silent[name] = len(longer[name])


def _registers(readings: Iterable[Reading]) -> dict[tuple[str, datetime], Reading]:
    return {(one.charger_id, one.measured_at): one for one in readings}


def _report(state: CarState, reading: Reading) -> CarReport:
    return CarReport(
        car_id=state.car_id,
        measured_at=state.measured_at,
        plugged=state.plugged,
        soc=state.soc,
        export_w=state.export_w,
        import_wh=reading.import_wh,
        export_wh=reading.export_wh,
        boost=state.boost,
        depart_at=state.depart_at,
        target_soc=state.target_soc,
        soc_at=state.soc_at,
    )
