"""What the desk has worked out beside the gateway: statements, drivers' months and audits.

Each is a task for the workshop's process, which opens the store for itself, and what is done with its result.
"""

import secrets
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from aggregator.acting import DONE
from aggregator.gateway import Gateway
from aggregator.model.errors import RuleViolation
from aggregator.settling import settle_named
from aggregator.statements import Made, Period, settleable
from aggregator.store import DeskAction
from aggregator.web.heavy_tasks import audit_task, month_task
from aggregator.web.tasks import Asked, look_task
from aggregator.web.workshop import Busy, Job, Task, Workshop

GOOD_FOR_S = 300.0
"""How long a statement is shown as it was worked out, where no fact about it is new: registers may be."""

SETTLE, AUDIT = "settle", "audit"
PROMISES = "all promises"


class Making:
    """Has things worked out for a gateway's desk.

    Args:
        gateway: Whose.
        workshop: Where.
    """

    def __init__(self, gateway: Gateway, workshop: Workshop) -> None:
        self._gateway, self._workshop = gateway, workshop

    def look(self, period: Period, by: str, but: int | None = None) -> Job:
        """Have a period's statement made, or return the one that was made lately; in a thread.

        Args:
            period: Which.
            by: Who asks.
            but: The number of the job that made the one that is not wanted any more.

        Raises:
            Busy: If too much is waiting.
        """
        store = self._gateway.store
        facts = sorted((one.opportunity_id, one.version) for one in settleable(store, period))
        name = f"the statement of {days_of(period)}"
        asked = self._asked((period, self._gateway.clock.now()))
        key = (period, tuple(facts))
        return self._workshop.begin(key, name, by, look_task, asked, good_for_s=GOOD_FOR_S, but=but)

    def month(self, first: date, known_at: datetime | None, by: str) -> Job:
        """Have a month of drivers made, as known at a time, now without one.

        Raises:
            Busy: If too much is waiting.
        """
        at = known_at or self._gateway.clock.now()
        asked = self._asked((first, at))
        name = f"the drivers' {first:%B %Y}"
        key = ("month", first, known_at)
        return self._workshop.begin(key, name, by, month_task, asked, good_for_s=GOOD_FOR_S)

    def keep(self, period: Period, by: str) -> str:
        """Begin to make a statement: each that comes out otherwise than its last version is kept as the next.

        Raises:
            RuleViolation: If one is being made, or too much is waiting.
        """

        def settled(made: Made, job: Job) -> str:
            flow = self._gateway.workflow
            for n, name in enumerate(made.unkept):
                job.tell(n, len(made.unkept))
                settle_named(flow, self._gateway.fleets, name)
            events = len({row.line.opportunity for row in made.book.rows})
            said = f"{days_of(period)}: {_count(events, 'event')}, {_count(len(made.unkept), 'new version')}"
            self._note(by, SETTLE, days_of(period), said)
            return said

        what = (period, self._gateway.clock.now())
        self._begin(SETTLE, f"a statement of {days_of(period)}", by, look_task, what, settled)
        return f"a statement of {days_of(period)} is being made; this page tells when it is"

    def audit(self, by: str) -> str:
        """Begin an audit.

        Raises:
            RuleViolation: If one runs, or too much is waiting.
        """

        def audited(number: int, _: Job) -> int:
            self._note(by, AUDIT, PROMISES, f"audit {number} is done")
            return number

        asked = (by, self._gateway.clock.now())
        self._begin(AUDIT, "the audit", by, audit_task, asked, audited)
        return "the audit runs; this page tells when it is done"

    def job(self, key: str) -> Job | None:
        """Return the last making of a statement (``SETTLE``) or audit (``AUDIT``) at this desk."""
        return self._workshop.job(key)

    def _begin(
        self, key: str, name: str, by: str, task: Task, what: object, then: Callable[[Any, Job], Any]
    ) -> None:
        known = self._workshop.job(key)
        if known is not None and not known.is_over:
            raise RuleViolation(f"{known.name} is being worked on for {known.by} already")
        try:
            self._workshop.begin(key, name, by, task, self._asked(what), then)
        except Busy:
            raise RuleViolation("too much is being worked on already: try again in a minute") from None

    def _asked(self, what: object) -> Asked:
        return Asked(self._gateway.store.url, self._gateway.settings, what)

    def _note(self, by: str, action: str, subject: str, said: str) -> None:
        now = self._gateway.clock.now()
        row = DeskAction(now, by, action, subject, "", DONE, said, secrets.token_hex(8), "")
        self._gateway.store.desk_trail.add(row)


def days_of(period: Period) -> str:
    """Return a period in words."""
    return f"{period.start:%d %b %Y} to {period.end:%d %b %Y}{f', {period.zone}' if period.zone else ''}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
