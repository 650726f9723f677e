"""Who was seen lately: lets somebody stop the cars while the database, which knows the sessions, is away.

Only a digest of a session's secret is kept, and in memory only. What is kept suffices for the emergency stop
and for nothing else: nobody can end a session, or take a role, in a database that is away. So who was seen
within the minutes before it went may stop for as long as it stays away, or the session would last unused.
"""

import hashlib
from collections import OrderedDict
from datetime import datetime, timedelta

from aggregator.model.errors import Unavailable

LATELY = timedelta(minutes=15)
MOST_KEPT = 1000
WITHOUT_DATABASE = (
    "in an emergency use a Live page of the desk that is open (Shift+S), which needs no database,"
    " or end the gateway: its cars end discharging within 120 s"
)


class NotKnown(Unavailable):
    """The database does not answer, and nothing is known of who asks."""


Known = tuple[str, frozenset[str]]
"""A user's name and roles."""


class Lately:
    """Keeps who was seen, the last of them.

    Args:
        idle: How long a session lasts unused.
    """

    def __init__(self, idle: timedelta) -> None:
        self._idle = idle
        self._seen: OrderedDict[str, tuple[Known, datetime]] = OrderedDict()
        self._away_since: datetime | None = None

    def note(self, secret: str, user: Known | None, at: datetime) -> None:
        """Note which user's session the database says a secret opens; None where none's, or none any more."""
        self._away_since = None
        self.forget(secret)
        if user is None:
            return
        self._seen[_digest(secret)] = user, at
        while len(self._seen) > MOST_KEPT:
            self._seen.popitem(last=False)

    def forget(self, secret: str) -> None:
        """Forget a session that has ended."""
        self._seen.pop(_digest(secret), None)

    def database_is_away(self, at: datetime) -> None:
        """Note that the database does not answer."""
        self._away_since = self._away_since or at

    def user(self, secret: str, now: datetime) -> Known | None:
        """Return who was seen with a secret lately; None where nobody was."""
        user, at = self._seen.get(_digest(secret), (None, now))
        is_late = at < (self._away_since or now) - LATELY or at < now - self._idle
        return None if is_late else user


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
