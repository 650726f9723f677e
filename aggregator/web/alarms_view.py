"""Open alarms as data: those of one kind together, so that forty of a kind don't hide the one beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.model.time import LONDON
from aggregator.store import Alarm
from aggregator.web.bodies import MOST_AT_ONCE

KINDS = {
    "bid_unacknowledged": "the gate closed before the DNO's platform had acknowledged the bid",
    "capacity_differs": "a car reports another battery size than the fleet's file says",
    "charger_refused": "a charger did not prove who it is, and is not heard",
    "database_away": "the database did not answer; what happened meanwhile was kept and stored later",
    "event_refused": "a message of the DNO could not be taken as it was",
    "interlock": "the safety check stopped a set-point before it reached its car",
    "no_bid_made": "a gate closed before a draft could be made",
    "no_bid_yet": "no draft could be made; it is tried again",
    "not_following": "a car takes set-points and does not do what they say; others take its part",
    "not_nominated": "a half-hour began and nothing had been nominated for it",
    "not_taken": "a charger did not take the set-point it was sent; other cars take its part",
    "opted_out": "an awarded bid was taken back",
    "order_short": "the cars cannot give all that is ordered",
    "order_yields": "the DNO ordered something else of the same zone, of higher priority, at the same time",
    "peak_exceeded": "refilling in time takes more than the nominated peak",
    "platform_away": "the DNO's platform did not answer for some polls",
    "ramp_held": "cars wait: the zone would have changed its power faster than it may",
    "register_event": "a meter's register jumped, stood still or was replaced",
    "report_refused": "the DNO's platform did not take a report",
    "set_aside": "something could not be worked on and waits",
    "short_of_target": "a driver's target cannot be reached in time",
    "stopped": "somebody pressed the emergency stop",
    "test_event_ended": "the DNO's platform tried out its way to us, and is done",
    "test_event_started": "the DNO's platform tries out its way to us; no car moves",
    "unanswered": "the DNO had not answered a bid when its window began",
    "undecided": "a gate closed with nobody having decided on the draft",
}
"""What each kind means, for who has not met it."""

OF_BIDS = frozenset(
    {
        "bid_unacknowledged",
        "event_refused",
        "no_bid_made",
        "no_bid_yet",
        "opted_out",
        "order_yields",
        "report_refused",
        "set_aside",
        "unanswered",
        "undecided",
    }
)
"""Kinds that name a bid, or a report on one."""


@dataclass(frozen=True, slots=True)
class AlarmGroup:
    """Open alarms of one kind.

    Attributes:
        code: Their stable word.
        alarms: At least one, the newest first.
    """

    code: str
    alarms: tuple[Alarm, ...]

    @property
    def first_at(self) -> datetime:
        """When the oldest was raised."""
        return min(one.at for one in self.alarms)

    @property
    def last_at(self) -> datetime:
        """When the newest was raised."""
        return max(one.at for one in self.alarms)

    @property
    def means(self) -> str:
        """What the kind means; empty where its text says all."""
        return KINDS.get(self.code, "")

    @property
    def is_of_a_day(self) -> bool:
        """Whether all were raised on one day of London's."""
        return same_day(self.first_at, self.last_at)

    @property
    def over(self) -> int:
        """Of how many what they tell of is over."""
        return sum(one.over_at is not None for one in self.alarms)

    @property
    def is_brief(self) -> bool:
        """Whether all were raised within a minute, so that one time of day tells when."""
        return f"{self.first_at:%x %H:%M}" == f"{self.last_at:%x %H:%M}"

    @property
    def places(self) -> tuple[str, ...]:
        """The cars, zones or bids that they are about, each once."""
        return tuple(dict.fromkeys(name for one in self.alarms for name in one.where.split(", ")))

    @property
    def at_once(self) -> tuple[Alarm, ...]:
        """Those that one press acknowledges: the newest."""
        return self.alarms[:MOST_AT_ONCE]


def same_day(one: datetime, other: datetime) -> bool:
    """Whether two instants are of one day of London's."""
    return one.astimezone(LONDON).date() == other.astimezone(LONDON).date()


@dataclass(frozen=True, slots=True)
class Place:
    """The bid that an alarm is about: zone and window in words, and its id."""

    words: str
    bid: str


def named(names: Sequence[str], places: Mapping[str, Place]) -> str:
    """Return names as people know them, with commas between them."""
    return ", ".join(places[name].words if name in places else name for name in names)


def grouped(alarms: Sequence[Alarm]) -> tuple[AlarmGroup, ...]:
    """Return alarms by kind, in the order in which the kinds come."""
    codes = dict.fromkeys(one.code for one in alarms)
    return tuple(AlarmGroup(code, tuple(one for one in alarms if one.code == code)) for code in codes)
