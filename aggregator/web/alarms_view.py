"""Open alarms as data: those of one kind together, so that forty of a kind don't hide the one beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.store import Alarm
from aggregator.web.bodies import MOST_AT_ONCE


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
    def places(self) -> tuple[str, ...]:
        """The cars, zones or bids that they are about, each once."""
        return tuple(dict.fromkeys(name for one in self.alarms for name in one.where.split(", ")))

    @property
    def at_once(self) -> tuple[Alarm, ...]:
        """Those that one press acknowledges: the newest."""
        return self.alarms[:MOST_AT_ONCE]


def grouped(alarms: Sequence[Alarm]) -> tuple[AlarmGroup, ...]:
    """Return alarms by kind, in the order in which the kinds come."""
    codes = dict.fromkeys(one.code for one in alarms)
    return tuple(AlarmGroup(code, tuple(one for one in alarms if one.code == code)) for code in codes)
