"""Plug-in history to scenarios: who may be at home tomorrow, from when to when, with how much.

A scenario is one whole past day of the whole fleet, so that what makes drivers act alike (weather, holidays,
football) stays in it: coin flips per car would make a large fleet look far surer than it is. Only days of the
same kind count, weekdays or weekends, and only what was known at the time asked for.

Decisions:
    The horizon runs from local noon to local noon, so that an evening and the night after it are one piece.
    A car has one stay in it: the one covering most of 16:00 to 19:00 local, else the longest.
    Past times are moved to the delivery day by what clocks showed. Where a clock change makes that doubtful
    the car comes at the later and leaves at the earlier of the two instants.
    A car is plugged until the past day's own departure or the time its driver now states (or always states,
    by default), whichever is earlier, and its target is due then: drivers say when they leave, so a past day
    on which a car left in the evening is a day on which it had to be charged for that.
    A car plugged in since before the horizon has gained what its session took, at full power.
    A car whose history begins later than a past day borrows that day from a car drawn by a hash of its id.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from aggregator.energy import Stay
from aggregator.model.fleet import Car
from aggregator.model.time import HALF_HOUR, HOUR, LONDON, Interval, next_local

NOON = time(12)
PEAK_FROM, PEAK_UNTIL = time(16), time(19)
ONE_DAY = timedelta(days=1)
SATURDAY = 5
LONGEST_STAY = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Session:
    """One past stay of a car on its charger.

    Attributes:
        car_id: Which car.
        plugged: From plugging in to unplugging.
        energy_kwh: Drawn from the grid, net, over the session. [kWh AC]
        arrival_soc: State of charge on plugging in, as a fraction.
    """

    car_id: str
    plugged: Interval
    energy_kwh: float
    arrival_soc: float


@dataclass(frozen=True, slots=True)
class History:
    """All sessions known, by car, in order of plugging in."""

    sessions: tuple[Session, ...]
    by_car: Mapping[str, tuple[Session, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_car: dict[str, list[Session]] = {}
        for session in sorted(self.sessions, key=lambda one: (one.plugged, one.car_id)):
            by_car.setdefault(session.car_id, []).append(session)
        object.__setattr__(self, "by_car", {car_id: tuple(rows) for car_id, rows in by_car.items()})

    @classmethod
    def of(cls, sessions: Iterable[Session]) -> "History":
        """Return the history made of ``sessions``."""
        return cls(tuple(sessions))

    def known(self, until: datetime) -> "History":
        """Return what was known at ``until``: sessions begun by then, open ones cut there, energy unknown."""
        return History(
            tuple(
                one if one.plugged.end <= until else _open(one, until)
                for one in self.sessions
                if one.plugged.start < until
            )
        )

    def around(self, car_id: str, span: Interval) -> tuple[Session, ...]:
        """Return the car's sessions that touch ``span``, none begun more than a month before it."""
        own = self.by_car.get(car_id, ())
        first = bisect_left(own, span.start - LONGEST_STAY, key=_plugged_at)
        last = bisect_left(own, span.end, key=_plugged_at)
        return tuple(one for one in own[first:last] if one.plugged.end > span.start)


@dataclass(frozen=True, slots=True)
class StatedIntent:
    """What a driver said: when the car is next needed, and how full, as a fraction."""

    depart_at: datetime
    target_soc: float


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """One way the delivery day may go.

    Attributes:
        label: ISO date of the past day it is drawn from.
        stay: One stay per car, in the order of the cars asked for.
    """

    label: str
    stay: Stay


def horizon(delivery_day: date) -> Interval:
    """Return local noon of the day to local noon of the next: 23, 24 or 25 hours."""
    return Interval(
        datetime.combine(delivery_day, NOON, LONDON), datetime.combine(delivery_day + ONE_DAY, NOON, LONDON)
    )


def horizon_slots(delivery_day: date) -> tuple[Interval, ...]:
    """Return the horizon's half-hours: 46, 48 or 50."""
    return horizon(delivery_day).slots(HALF_HOUR)


def scenarios(
    history: History,
    cars: Sequence[Car],
    delivery_day: date,
    known_until: datetime,
    count: int,
    intents: Mapping[str, StatedIntent] | None = None,
) -> tuple[Scenario, ...]:
    """Return up to ``count`` equally likely scenarios of the delivery day, the latest past day first.

    Args:
        history: Past sessions; those not yet begun at ``known_until`` are not looked at.
        cars: The fleet, in the order of the stays' arrays.
        delivery_day: The local day whose noon starts the horizon.
        known_until: The instant of the forecast: a past day counts once its whole horizon is over.
        count: Most scenarios.
        intents: What drivers have said, by car.

    Returns:
        Fewer where there are fewer like days; none where there is no history at all.
    """
    known = history.known(known_until)
    days = _like_days(known, delivery_day, known_until, count)
    draw = _Draw(known, delivery_day, intents or {})
    return tuple(Scenario(day.isoformat(), draw.stay(cars, day)) for day in days)


def _like_days(history: History, delivery_day: date, known_until: datetime, count: int) -> list[date]:
    """Return the latest days of the delivery day's kind that are over, latest first."""
    if not history.sessions:
        return []
    first_local = min(one.plugged.start for one in history.sessions).astimezone(LONDON)
    first = first_local.date() - (ONE_DAY if first_local.time() < NOON else timedelta(0))
    days: list[date] = []
    day = min(known_until.astimezone(LONDON).date(), delivery_day) - ONE_DAY
    while day >= first and len(days) < count:
        if _is_weekend(day) == _is_weekend(delivery_day) and horizon(day).end <= known_until:
            days.append(day)
        day -= ONE_DAY
    return days


def _is_weekend(day: date) -> bool:
    return day.weekday() >= SATURDAY


@dataclass(frozen=True, slots=True)
class _Draw:
    """What stays are drawn from."""

    history: History
    delivery_day: date
    intents: Mapping[str, StatedIntent]

    def stay(self, cars: Sequence[Car], past_day: date) -> Stay:
        """Return the stays of all cars if the delivery day goes like ``past_day``."""
        end = horizon(past_day).end
        donors = tuple(
            sorted(name for name, own in self.history.by_car.items() if own[0].plugged.start < end)
        )
        rows = [self._one(car, past_day, donors) for car in cars]
        arrive, depart, energy_kwh, target_kwh = zip(*rows, strict=True) if rows else ((),) * 4
        return Stay(
            np.array(arrive, dtype=np.int64),
            np.array(depart, dtype=np.int64),
            np.array(energy_kwh, dtype=np.float64),
            np.array(target_kwh, dtype=np.float64),
        )

    def _one(self, car: Car, past_day: date, donors: Sequence[str]) -> tuple[int, int, float, float]:
        """Return arrival slot, departure slot, energy and target; an absent car is all zero."""
        session = self._session(car, past_day, donors)
        if session is None:
            return 0, 0, 0.0, 0.0
        span = horizon(self.delivery_day)
        shift = self.delivery_day - past_day
        comes_at = max(_moved(session.plugged.start, shift))
        leaves_at = min(_moved(session.plugged.end, shift))
        ready_at, target_soc = self._intent(car, max(comes_at, span.start))
        arrive = max(0, -((span.start - comes_at) // HALF_HOUR))
        depart = (min(leaves_at, ready_at) - span.start) // HALF_HOUR
        if depart <= arrive:
            return 0, 0, 0.0, 0.0
        return arrive, depart, _energy_kwh(car, session, past_day), target_soc * car.capacity_kwh

    def _session(self, car: Car, past_day: date, donors: Sequence[str]) -> Session | None:
        """Return the stay that counts, of the car itself or, before its history begins, of a donor."""
        own = self.history.by_car.get(car.car_id, ())
        driver = car.car_id
        if not own or own[0].plugged.start >= horizon(past_day).end:
            if not donors:
                return None
            driver = donors[_hash(car.car_id) % len(donors)]
        return _main_session(self.history.around(driver, horizon(past_day)), past_day)

    def _intent(self, car: Car, comes_at: datetime) -> tuple[datetime, float]:
        """Return when the car is next needed after ``comes_at``, and how full."""
        stated = self.intents.get(car.car_id)
        if stated is not None and stated.depart_at > comes_at:
            return stated.depart_at, stated.target_soc
        return next_local(comes_at, car.default_intent.depart_local), car.default_intent.target_soc


def _main_session(sessions: Sequence[Session], day: date) -> Session | None:
    """Return the one of ``sessions`` covering most of 16:00 to 19:00 local, else the longest."""
    span = horizon(day)
    peak = Interval(datetime.combine(day, PEAK_FROM, LONDON), datetime.combine(day, PEAK_UNTIL, LONDON))
    return max(
        sessions,
        key=lambda one: (_shared(one.plugged, peak), _shared(one.plugged, span), one.plugged.start),
        default=None,
    )


def _plugged_at(session: Session) -> datetime:
    return session.plugged.start


def _open(session: Session, until: datetime) -> Session:
    return replace(session, plugged=Interval(session.plugged.start, until), energy_kwh=0.0)


def _shared(first: Interval, second: Interval) -> float:
    overlap = first.overlap(second)
    return overlap.hours if overlap else 0.0


def _energy_kwh(car: Car, session: Session, past_day: date) -> float:
    """Return what is stored on arrival, or at the horizon's start for a car plugged in before it. [kWh]"""
    hours = max(0.0, (horizon(past_day).start - session.plugged.start) / HOUR)
    taken_kwh = min(max(0.0, session.energy_kwh), car.charger.charge_kw * hours) * car.charger.eta_charge
    return min(car.capacity_kwh, session.arrival_soc * car.capacity_kwh + taken_kwh)


def _moved(instant: datetime, shift: timedelta) -> tuple[datetime, datetime]:
    """Return the instants at which clocks show the same time ``shift`` later; two in a clock change."""
    local = instant.astimezone(LONDON).replace(tzinfo=None) + shift
    return (
        local.replace(tzinfo=LONDON, fold=0).astimezone(UTC),
        local.replace(tzinfo=LONDON, fold=1).astimezone(UTC),
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
