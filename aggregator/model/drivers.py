"""What drivers say, and what holds of it: facts, each with when it was told and by whom, none ever changed.

A word holds from when it was told. Of one topic the latest told holds, until it is taken back or runs out:
an older word does not come back then. A charger passes on what its driver said at the car: boost, and when
the car is next needed. Between door and charger the latest told wins, too: a charger's word is as old as the
first report of an unbroken row that says it, and one that says nothing takes nothing back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import Protocol

from aggregator.model.figures import stated
from aggregator.model.fleet import Car, Intent
from aggregator.model.time import LONDON, shown_on

ONE_DAY = timedelta(days=1)
LATE = timedelta(hours=1)
"""So long a driver who is late finds the car as it was promised, where no expiry was stated."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Topic(StrEnum):
    """What a word is about; each has words of its own."""

    DEPARTURE = "departure"
    WEEK = "week"
    BOOST = "boost"
    V2G = "v2g"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Departure:
    """The car is needed once at an instant, this full (a fraction)."""

    depart_at: datetime
    target_soc: float


@dataclass(frozen=True, slots=True)
class WeekDay:
    """On this day of each week (0 is Monday) the car is needed at a local time, this full (a fraction)."""

    day: int
    depart_local: time
    target_soc: float


@dataclass(frozen=True, slots=True)
class Week:
    """A driver's usual week; on a day that it leaves out the car's default intent holds."""

    days: tuple[WeekDay, ...]


@dataclass(frozen=True, slots=True)
class Boost:
    """Full power now, and out of every dispatch."""


@dataclass(frozen=True, slots=True)
class V2g:
    """Whether the car may be discharged at all."""

    on: bool


@dataclass(frozen=True, slots=True)
class Floor:
    """The car is not discharged below this; a fraction."""

    soc: float


Saying = Departure | Week | Boost | V2g | Floor


@dataclass(frozen=True, slots=True)
class Word:
    """Something that a driver said, or took back.

    Attributes:
        car_id: Whose.
        topic: About what.
        version: From 1 on, per car and topic.
        told_at: When it was told; it holds from then on.
        told_by: Who told it: the id of a driver's token.
        saying: What; None where the last one is taken back.
        until: Until when it holds; None until it is replaced.
    """

    car_id: str
    topic: Topic
    version: int
    told_at: datetime
    told_by: str
    saying: Saying | None
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it says something, and has not run out."""
        return self.saying is not None and (self.until is None or at < self.until)


def in_words(word: Word) -> str:
    """Return what a driver said, in words; times are London's."""
    match word.saying:
        case None:
            text = "taken back"
        case Departure(depart_at=at, target_soc=soc):
            text = f"needed {_local(at)} with {stated(soc)}"
        case Week(days=days):
            text = ", ".join(
                f"{DAYS[row.day]} {row.depart_local:%H:%M} with {stated(row.target_soc)}" for row in days
            )
        case Boost():
            text = "full power now" if word.until is None else f"full power now, until {_local(word.until)}"
        case V2g(on=on):
            text = f"V2G {'on' if on else 'off'}"
        case Floor(soc=soc):
            text = f"never below {stated(soc)}"
    return text


def _local(at: datetime) -> str:
    return f"{at.astimezone(LONDON):%a %d %b %Y %H:%M}"


Words = Mapping[Topic, Word]
"""The latest word of each topic of one car."""

NO_WORDS: Words = {}


def latest(words: Iterable[Word], known_at: datetime | None = None) -> dict[str, dict[Topic, Word]]:
    """Return the latest words by car, of those told by ``known_at``; of all where that is None."""
    found: dict[str, dict[Topic, Word]] = {}
    for word in sorted(words, key=lambda one: one.version):
        if known_at is None or word.told_at <= known_at:
            found.setdefault(word.car_id, {})[word.topic] = word
    return found


def said(words: Words, topic: Topic, at: datetime) -> Saying | None:
    """Return what holds of a topic at an instant; None where nothing does."""
    word = words.get(topic)
    return word.saying if word is not None and word.holds(at) else None


@dataclass(frozen=True, slots=True)
class ChargerWord:
    """What a charger passes on of its driver's will, and since when it says so.

    Attributes:
        boost: Whether its driver has switched V2G off at the charger.
        boost_since: Since when; None where it never said anything else than off.
        depart_at: When the car is next needed; None where it does not say.
        target_soc: How full, as a fraction; None where it does not say.
        intent_since: Since when it says so; None where it says nothing.
    """

    boost: bool = False
    boost_since: datetime | None = None
    depart_at: datetime | None = None
    target_soc: float | None = None
    intent_since: datetime | None = None

    def after(self, report: "Passed") -> "ChargerWord":
        """Return what it says once it has reported; reports come in the order they were measured in."""
        word = self
        if report.boost != self.boost:
            word = replace(word, boost=report.boost, boost_since=report.measured_at)
        intent = report.depart_at, report.target_soc
        if intent != (self.depart_at, self.target_soc):
            since = report.measured_at if any(one is not None for one in intent) else None
            word = replace(word, depart_at=intent[0], target_soc=intent[1], intent_since=since)
        return word


class Passed(Protocol):
    """A report, as far as it passes on a driver's will."""

    @property
    def measured_at(self) -> datetime:
        """When it was so."""

    @property
    def boost(self) -> bool:
        """Whether the driver has switched V2G off at the charger."""

    @property
    def depart_at(self) -> datetime | None:
        """When the driver said at the charger that the car is next needed."""

    @property
    def target_soc(self) -> float | None:
        """How full the driver said there that it must be, as a fraction."""


SILENT = ChargerWord()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a driver wants at an instant, by the latest words of door and charger.

    Attributes:
        boost: Whether the car is boosted.
        v2g: Whether it may be discharged.
        floor_soc: What its driver's own floor is, as a fraction; None without one.
        depart_at: When the car is next needed; None where only the car's default intent says so.
        target_soc: How full then, as a fraction; None as above.
        source: Whose word the departure is: ``departure`` or ``week`` of the door's, ``charger``,
            ``default``.
    """

    boost: bool = False
    v2g: bool = True
    floor_soc: float | None = None
    depart_at: datetime | None = None
    target_soc: float | None = None
    source: str = "default"


def wish_of(words: Words, charger: ChargerWord, default: Intent, at: datetime) -> Wish:
    """Return what a driver wants at an instant.

    Args:
        words: The latest of each topic at the door.
        charger: What the charger passes on.
        default: What holds for a driver who says nothing.
        at: The instant.
    """
    v2g, floor = said(words, Topic.V2G, at), said(words, Topic.FLOOR, at)
    wish = Wish(
        boost=_boosted(words, charger, at),
        v2g=not (isinstance(v2g, V2g) and not v2g.on),
        floor_soc=floor.soc if isinstance(floor, Floor) else None,
    )
    word = words.get(Topic.DEPARTURE)
    once, newer = said(words, Topic.DEPARTURE, at), _is_newer(charger.intent_since, word)
    if charger.intent_since is not None and (newer or once is None):
        return replace(wish, depart_at=charger.depart_at, target_soc=charger.target_soc, source="charger")
    if isinstance(once, Departure):
        return replace(wish, depart_at=once.depart_at, target_soc=once.target_soc, source="departure")
    week = said(words, Topic.WEEK, at)
    if isinstance(week, Week):
        depart_at, intent = next_departure(week, default, at)
        return replace(wish, depart_at=depart_at, target_soc=intent.target_soc, source="week")
    return wish


def overrules(charger: ChargerWord, word: Word | None, topic: Topic) -> bool:
    """Whether the charger has said something about a topic since the door heard a word of it."""
    since = {Topic.BOOST: charger.boost_since, Topic.DEPARTURE: charger.intent_since}.get(topic)
    return _is_newer(since, word)


def next_departure(week: Week, default: Intent, after: datetime) -> tuple[datetime, Intent]:
    """Return when, strictly after an instant, the car is needed by a driver's week, and how full."""
    first = after.astimezone(LONDON).date()
    intents = ((day, intent_on(week, default, day.weekday())) for day in (first, first + ONE_DAY))
    found = ((at, intent) for day, intent in intents for at in shown_on(day, intent.depart_local))
    return min((one for one in found if one[0] > after), key=itemgetter(0))


def intent_on(week: Week, default: Intent, day: int) -> Intent:
    """Return what holds on a day of the week, 0 being Monday."""
    named = next((one for one in week.days if one.day == day), None)
    return Intent(named.depart_local, named.target_soc) if named is not None else default


def as_wished(car: Car, wish: Wish) -> Car:
    """Return a car as its driver wants it: a higher floor, and no discharge where V2G is off."""
    floor_soc = max(car.floor_soc, wish.floor_soc or 0.0)
    if floor_soc != car.floor_soc:
        car = replace(car, floor_soc=floor_soc)
    return car if wish.v2g else replace(car, charger=replace(car.charger, discharge_kw=0.0))


def _boosted(words: Words, charger: ChargerWord, at: datetime) -> bool:
    word = words.get(Topic.BOOST)
    if word is None or _is_newer(charger.boost_since, word):
        return charger.boost
    return word.holds(at)


def _is_newer(since: datetime | None, word: Word | None) -> bool:
    return since is not None and (word is None or since > word.told_at)


@dataclass(frozen=True, slots=True)
class Told:
    """Every word of a fleet's drivers, to be asked what held at an instant.

    Attributes:
        words: All of them.
    """

    words: Sequence[Word]
    _by_car: dict[str, dict[Topic, list[Word]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[str, dict[Topic, list[Word]]] = {}
        for word in sorted(self.words, key=lambda one: one.version):
            found.setdefault(word.car_id, {topic: [] for topic in Topic})[word.topic].append(word)
        object.__setattr__(self, "_by_car", found)

    def of(self, car_id: str, at: datetime) -> Words:
        """Return the latest words of a car told by an instant."""
        if car_id not in self._by_car:  # most say nothing at the door, and are asked about by the report
            return NO_WORDS
        known = {
            topic: next((word for word in reversed(words) if word.told_at <= at), None)
            for topic, words in self._by_car[car_id].items()
        }
        return {topic: word for topic, word in known.items() if word is not None}

    def about(self, car_id: str, topic: Topic) -> Sequence[Word]:
        """Return all words of a car about a topic, oldest first."""
        return self._by_car[car_id][topic] if car_id in self._by_car else ()
