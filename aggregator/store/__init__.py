"""The durable record: what happened, what was measured, what was decided and sent.

``open_store`` opens it, ``Store`` holds its parts. It is synchronous on purpose (see ``engine``): workers
call it through ``asyncio.to_thread``.
"""

from contextlib import AbstractContextManager
from types import TracebackType

from sqlalchemy import Engine

from aggregator.store import schema
from aggregator.store.audits import AuditRun, AuditRuns
from aggregator.store.car_history import CarHistory
from aggregator.store.chain import Verified
from aggregator.store.desk import (
    AT_THE_DESK,
    BY_A_DRIVER,
    BY_COMMAND,
    DeskAction,
    DeskPeople,
    DeskTrail,
    Lasting,
    SignedIn,
    Wanted,
)
from aggregator.store.drivers import DriverWords
from aggregator.store.engine import at_once, name_of, open_engine, parse_url, standing_still
from aggregator.store.fleet import FleetStore
from aggregator.store.halts import Halt, Halts
from aggregator.store.inbox import Inbox, InboxEntry
from aggregator.store.intervals import MeteredIntervals
from aggregator.store.journal import Journal, Recorded
from aggregator.store.lock import BY_PROCESS, Hold, held
from aggregator.store.memory import Memory
from aggregator.store.outbox import Outbox, OutboxEntry, SendState
from aggregator.store.readings import END_OF_TIME, Around, CarState, Readings, States
from aggregator.store.records import Alarm, Alarms, Nominations, Plans, SentPoint, SetPoints
from aggregator.store.register_events import RegisterEvents
from aggregator.store.rolled import RolledDay
from aggregator.store.rolling import Rolling
from aggregator.store.statements import OF_DRIVERS, Statements, StoredStatement
from aggregator.store.tables import BOUNDARY_INTERVALS, BOUNDARY_READINGS, METERED_INTERVALS, READINGS
from aggregator.store.tokens import DriverToken, DriverTokens
from aggregator.store.truth import TrueState, Truth

__all__ = [
    "AT_THE_DESK",
    "BY_A_DRIVER",
    "BY_COMMAND",
    "BY_PROCESS",
    "END_OF_TIME",
    "OF_DRIVERS",
    "Alarm",
    "Around",
    "AuditRun",
    "CarState",
    "DeskAction",
    "DriverToken",
    "Halt",
    "Hold",
    "InboxEntry",
    "Lasting",
    "OutboxEntry",
    "Recorded",
    "RolledDay",
    "SendState",
    "SentPoint",
    "SignedIn",
    "Store",
    "StoredStatement",
    "TrueState",
    "Verified",
    "Wanted",
    "open_store",
    "upgrade",
]


class Store:
    """The database, part by part. Each method is one transaction, and may be called from any thread.

    Attributes:
        journal: Facts about opportunities.
        inbox: Event versions received, and what we decided.
        outbox: Reports to be sent.
        memory: What a VEN must not forget.
        readings: Meter registers of chargers.
        boundary_readings: Meter registers of homes, by site id.
        intervals: Minutes and half-hours of chargers, from meter operators.
        boundary_intervals: Those of homes, by site id.
        rolling: Moves the readings of closed days to files.
        register_events: What became of registers that did not just count on.
        states: Reported car states.
        car_history: What these say over time.
        set_points: What cars were told.
        nominations: What zones were said to do.
        plans: The plans behind drafts.
        statements: What was settled.
        alarms: What people must look at.
        halts: Emergency stops.
        drivers: What drivers said.
        tokens: Who may say it.
        desk_people: Who may sign in at the desk, and who has.
        desk_trail: What each did there, and people by command: a chain.
        audits: What each audit found.
        fleet: Cars, chargers and homes, now and at any time.
        truth: What simulated cars really did; for the audit only.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.journal = Journal(engine)
        self.inbox = Inbox(engine)
        self.outbox = Outbox(engine)
        self.memory = Memory(engine)
        self.readings = Readings(engine)
        self.boundary_readings = Readings(engine, BOUNDARY_READINGS)
        self.intervals = MeteredIntervals(engine, METERED_INTERVALS)
        self.boundary_intervals = MeteredIntervals(engine, BOUNDARY_INTERVALS)
        self.rolling = Rolling(engine, (READINGS, BOUNDARY_READINGS))
        self.register_events = RegisterEvents(engine)
        self.states = States(engine)
        self.car_history = CarHistory(engine)
        self.set_points = SetPoints(engine)
        self.nominations = Nominations(engine)
        self.plans = Plans(engine)
        self.statements = Statements(engine)
        self.alarms = Alarms(engine)
        self.halts = Halts(engine)
        self.drivers = DriverWords(engine)
        self.tokens = DriverTokens(engine)
        self.desk_people = DeskPeople(engine)
        self.desk_trail = DeskTrail(engine)
        self.audits = AuditRuns(engine)
        self.fleet = FleetStore(engine)
        self.truth = Truth(engine)

    @property
    def name(self) -> str:
        """What people call it: its file, or its URL without the password."""
        return name_of(self._engine.url)

    @property
    def url(self) -> str:
        """Where it is, password included: for another process of ours."""
        return self._engine.url.render_as_string(hide_password=False)

    def held(self) -> AbstractContextManager[Hold]:
        """Hold it as its one gateway, or while there must be none.

        Raises:
            RuleViolation: If another process holds it.
            OSError: If the file beside the database cannot be written.
            Unavailable: If a database server does not answer.
        """
        return held(self._engine.url)

    def at_once(self) -> AbstractContextManager[None]:
        """Make one transaction of all that this thread stores within: all of it is durable, or none.

        Raises:
            Unavailable: If the database does not answer.
        """
        return at_once(self._engine)

    def standing_still(self) -> AbstractContextManager[None]:
        """Let all that this thread reads within see one state of the store, whatever is written meanwhile.

        Raises:
            Unavailable: If the database does not answer.
        """
        return standing_still(self._engine)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str, *, create: bool) -> Store:
    """Open the database behind ``sqlite:///FILE`` or a PostgreSQL URL.

    Args:
        url: Where it is.
        create: Whether a missing or empty one is created; an older one is never upgraded unasked.

    Raises:
        BadMessage: If the URL is none, or what is there is missing, older or newer than this program, made
            by another one, or no database at all. The message says what to do; nothing is changed.
        Unavailable: If a database server does not answer.
    """
    parsed = parse_url(url)
    if create and schema.check(parsed) is None:
        schema.upgrade(parsed)
    schema.must_be_current(parsed)
    return Store(open_engine(parsed))


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring a database up to this program's version; ``flexloop db upgrade``.

    Returns:
        The revision before, None where there was no table, and the revision now.

    Raises:
        BadMessage: If what is there is newer than this program, made by another one, or no database.
        Unavailable: If a database server does not answer.
    """
    return schema.upgrade(parse_url(url))
