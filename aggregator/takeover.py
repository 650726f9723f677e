"""What a gateway makes sure of before it goes on with a store: that its time is the store's.

All that is pending is measured against the clock. One that shows another time, such as real time over a
simulated day, would close every gate and end every delivery at once, for good. So a store keeps to the kind
of clock that it was first served by, and time in it never runs backwards. That it has run on while no gateway
was there is an outage, and what restarts are for.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from aggregator.model.errors import RuleViolation
from aggregator.model.time import utc_text
from aggregator.store import Store
from aggregator.wiring import GATEWAY

CLOCK = "clock"
MOST_BACK = timedelta(minutes=5)
"""How far a clock may have been set back; a new set-point or reading then still tells its order."""


class Timekeeping(StrEnum):
    """What tells a store's time."""

    REAL = "real time"
    FILE = "a clock file"


SWITCH = {
    Timekeeping.REAL: "leave --clock out, or use another --database",
    Timekeeping.FILE: "give that --clock FILE, or use another --database",
}


def take_over(store: Store, keeping: Timekeeping, now: datetime) -> None:
    """Go on with a store from now on, with the fleet imported last.

    Args:
        store: Held by this process.
        keeping: What tells the gateway's time.
        now: What it shows.

    Raises:
        RuleViolation: If the store's time is told by something else, or is later than that. Nothing is
            changed then. Before anything is recorded any clock will do.
    """
    newest = newest_record(store)
    if newest is not None:
        must_keep_time(store, keeping)
        if now < newest - MOST_BACK:
            told = (
                f"{store.name} holds what was recorded at {utc_text(newest)}; {keeping} shows {utc_text(now)}"
            )
            raise RuleViolation(told, "set the clock right, or use another --database")
    store.memory.remember(GATEWAY, CLOCK, keeping.value)
    store.fleet.serve_from(now)


def must_keep_time(store: Store, keeping: Timekeeping) -> None:
    """Check that a store's time is told by the same kind of clock as ever.

    Raises:
        RuleViolation: If a gateway served it by another kind.
    """
    known = store.memory.recall(GATEWAY, CLOCK)
    if known is not None and known != keeping:
        raise RuleViolation(
            f"{store.name} is served by {known}, not by {keeping}", SWITCH[Timekeeping(known)]
        )


def newest_record(store: Store) -> datetime | None:
    """Return when the newest fact, set-point or reading was recorded; None where there is none."""
    fleets = store.fleet.all()
    chargers = fleets.charger_ids if fleets is not None else ()
    found = [store.journal.newest_at(), store.set_points.newest_at(), store.readings.newest_at(chargers)]
    return max((at for at in found if at is not None), default=None)
