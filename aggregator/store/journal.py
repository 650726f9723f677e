"""The journal: facts, append-only, keyed ``(opportunity_id, version)``; all state is a replay of them.

Two who act at once on the same version make one row and one ``RuleViolation``. The event that led to a
fact and the reports that follow from it are stored in the same transaction: after a crash there is all
of it or nothing. ``opportunities`` is an index over the journal, never a source.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Fact, Opportunity, Stage, replay
from aggregator.model.time import Interval
from aggregator.ports import Report
from aggregator.store.codec import FACTS as KINDS
from aggregator.store.codec import from_text, to_text
from aggregator.store.engine import AnyRow, reading, writing
from aggregator.store.inbox import InboxEntry, decide_with
from aggregator.store.outbox import put_report
from aggregator.store.statements import StoredStatement, put_statement
from aggregator.store.tables import FACTS, OPPORTUNITIES


class Recorded(NamedTuple):
    """A fact as the journal holds it: who recorded it and when (``fact.at`` says when it happened)."""

    version: int
    fact: Fact
    by: str
    recorded_at: datetime


class Journal:
    """All facts about all opportunities."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(
        self,
        opportunity_id: str,
        fact: Fact,
        *,
        expected_version: int,
        by: str,
        recorded_at: datetime,
        inbox: InboxEntry | None = None,
        reports: Sequence[Report] = (),
        statement: StoredStatement | None = None,
    ) -> Opportunity:
        """Record one fact; as ``append_many``."""
        return self.append_many(
            opportunity_id,
            (fact,),
            expected_version=expected_version,
            by=by,
            recorded_at=recorded_at,
            inbox=inbox,
            reports=reports,
            statement=statement,
        )

    def append_many(
        self,
        opportunity_id: str,
        facts: Sequence[Fact],
        *,
        expected_version: int,
        by: str,
        recorded_at: datetime,
        inbox: InboxEntry | None = None,
        reports: Sequence[Report] = (),
        statement: StoredStatement | None = None,
    ) -> Opportunity:
        """Record facts, the event they follow from and what follows from them, all or nothing.

        Args:
            opportunity_id: Opaque; an unknown one with version 0 begins an opportunity.
            facts: What happened, in order; at least one.
            expected_version: The version of the opportunity on which the facts were decided.
            by: Who recorded them: a user, a rule or a part of the program.
            recorded_at: When.
            inbox: The event version that led to the facts; it must not have been decided before.
            reports: What is to be sent because of them.
            statement: The statement that a ``Settled`` fact is about.

        Returns:
            The opportunity as it now stands. It is durable.

        Raises:
            RuleViolation: If the opportunity is at another version by now, a fact is not allowed, the
                event version has its decision already, or a report or statement clashes with what is
                there. Nothing is changed then.
            Unavailable: If the database does not answer.
        """
        if not facts:
            raise ValueError(f"no facts to append to {opportunity_id}")
        try:
            with writing(self._engine) as connection:
                before = _replay(connection, opportunity_id)
                _must_be_at(before, expected_version)
                after = _applied(before, facts)
                _index(connection, after, expected_version)
                connection.execute(insert(FACTS), _rows(before, facts, by, recorded_at))
                if inbox is not None:
                    decide_with(connection, inbox, opportunity_id)
                for report in reports:
                    put_report(connection, report)
                if statement is not None:
                    put_statement(connection, statement)
        except IntegrityError:  # PostgreSQL lets two writers come this far; one of them lost
            raise RuleViolation(
                f"{opportunity_id} changed after version {expected_version} was read"
            ) from None
        return after

    def opportunity(self, opportunity_id: str) -> Opportunity:
        """Return the opportunity that its facts leave; one without facts is NEW at version 0.

        Raises:
            BadMessage: If a fact can't be read.
        """
        with reading(self._engine) as connection:
            return _replay(connection, opportunity_id)

    def facts(self, opportunity_id: str) -> list[Recorded]:
        """Return an opportunity's facts, oldest first."""
        query = select(FACTS).where(FACTS.c.opportunity_id == opportunity_id).order_by(FACTS.c.version)
        with reading(self._engine) as connection:
            return [_recorded(row) for row in connection.execute(query)]

    def find(
        self,
        *,
        vtn_id: str | None = None,
        event_id: str | None = None,
        zone: str | None = None,
        product: str | None = None,
        stages: Collection[Stage] | None = None,
        overlapping: Interval | None = None,
        since: datetime | None = None,
    ) -> list[Opportunity]:
        """Return the opportunities that match all that is given, by start and id.

        Args:
            vtn_id: The platform.
            event_id: The event that began it: the requirement's, or the first order's where none was.
            zone: Where.
            product: Under which rules.
            stages: Where they stand.
            overlapping: An interval that the requirement, the award or any order shares some of.
            since: What may have shared some of it as known at any time from then on, too; None for now only.
        """
        columns = OPPORTUNITIES.c
        equal = {"vtn_id": vtn_id, "event_id": event_id, "zone": zone, "product": product}
        query = select(FACTS).join(OPPORTUNITIES)
        query = query.where(*(columns[name] == value for name, value in equal.items() if value is not None))
        if stages is not None:
            query = query.where(columns.stage.in_([stage.value for stage in stages]))
        if overlapping is not None:
            query = query.where(_may_overlap(overlapping, since))
        return [replay(name, [one.fact for one in facts]) for name, facts in self._each(query)]

    def histories(
        self, zone: str, overlapping: Interval, since: datetime | None
    ) -> Iterator[tuple[str, list[Recorded]]]:
        """Yield each opportunity of a zone by its id and facts; arguments as in ``find``."""
        which = (OPPORTUNITIES.c.zone == zone, _may_overlap(overlapping, since))
        yield from self._each(select(FACTS).join(OPPORTUNITIES).where(*which))

    def _each(self, query: Select[Any]) -> Iterator[tuple[str, list[Recorded]]]:
        """Yield the opportunities whose facts a query finds, by start and id, with their facts in order."""
        columns = OPPORTUNITIES.c
        ordered = query.order_by(columns.starts_at, columns.opportunity_id, FACTS.c.version)
        with reading(self._engine) as connection:
            for opportunity_id, rows in groupby(connection.execute(ordered), _opportunity_id):
                yield opportunity_id, [_recorded(row) for row in rows]

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all opportunities, by start and id."""
        columns = OPPORTUNITIES.c
        query = select(columns.opportunity_id).order_by(columns.starts_at, columns.opportunity_id)
        with reading(self._engine) as connection:
            return tuple(connection.scalars(query))

    def newest_at(self, kind: type[Fact] | None = None, by: str | None = None) -> datetime | None:
        """Return when the newest fact was recorded, of a kind and by somebody; None where there is none."""
        query = select(func.max(FACTS.c.recorded_at))
        query = query if kind is None else query.where(FACTS.c.name == kind.__name__)
        query = query if by is None else query.where(FACTS.c.recorded_by == by)
        with reading(self._engine) as connection:
            at: datetime | None = connection.scalar(query)
        return at

    def versions(self) -> dict[str, int]:
        """Return how many facts each opportunity has."""
        columns = OPPORTUNITIES.c
        with reading(self._engine) as connection:
            rows = connection.execute(select(columns.opportunity_id, columns.version))
            return {row.opportunity_id: row.version for row in rows}

    def of_kinds(self, kinds: Collection[type[Fact]], not_by: Collection[str]) -> list[tuple[str, Recorded]]:
        """Return facts of some kinds, but for those that some recorded, with their bids, oldest first."""
        columns, names = FACTS.c, [kind.__name__ for kind in kinds]
        query = select(FACTS).where(columns.name.in_(names), columns.recorded_by.not_in(not_by))
        query = query.order_by(columns.recorded_at, columns.opportunity_id, columns.version)
        with reading(self._engine) as connection:
            return [(row.opportunity_id, _recorded(row)) for row in connection.execute(query)]

    def length(self) -> int:
        """Return how many facts there are."""
        with reading(self._engine) as connection:
            return int(
                connection.execute(select(func.coalesce(func.sum(OPPORTUNITIES.c.version), 0))).scalar_one()
            )

    def all_facts(self) -> Iterator[tuple[str, Recorded]]:
        """Yield every fact with its opportunity's id, opportunity by opportunity, oldest first.

        All come from one state of the database, whatever is appended meanwhile.
        """
        query = select(FACTS).order_by(FACTS.c.opportunity_id, FACTS.c.version)
        with reading(self._engine) as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield row.opportunity_id, _recorded(row)


def _may_overlap(interval: Interval, since: datetime | None) -> ColumnElement[bool]:
    """Return the condition on opportunities that share some of an interval, or did from a time on.

    Without a fact recorded after that time one stood then as it stands now; others may have had another
    window.
    """
    columns = OPPORTUNITIES.c
    now_there = (columns.starts_at < interval.end) & (columns.ends_at > interval.start)
    if since is None:
        return now_there
    changed = select(FACTS.c.opportunity_id).where(FACTS.c.recorded_at > since)
    return now_there | columns.opportunity_id.in_(changed)


def _replay(connection: Connection, opportunity_id: str) -> Opportunity:
    query: Select[Any] = (
        select(FACTS).where(FACTS.c.opportunity_id == opportunity_id).order_by(FACTS.c.version)
    )
    return replay(opportunity_id, [_recorded(row).fact for row in connection.execute(query)])


def _recorded(row: AnyRow) -> Recorded:
    fact = from_text(KINDS, row.body, f"journal: {row.opportunity_id}, version {row.version}")
    return Recorded(row.version, fact, row.recorded_by, row.recorded_at)


def _opportunity_id(row: AnyRow) -> str:
    return str(row.opportunity_id)


def _must_be_at(opportunity: Opportunity, expected_version: int) -> None:
    if opportunity.version != expected_version:
        raise RuleViolation(
            f"{opportunity.opportunity_id} is at version {opportunity.version}, not {expected_version}:"
            " it changed after it was read"
        )


def _applied(opportunity: Opportunity, facts: Iterable[Fact]) -> Opportunity:
    for fact in facts:
        opportunity = opportunity.after(fact)
    return opportunity


def _rows(before: Opportunity, facts: Sequence[Fact], by: str, recorded_at: datetime) -> list[dict[str, Any]]:
    return [
        {
            "opportunity_id": before.opportunity_id,
            "version": version,
            "name": type(fact).__name__,
            "body": to_text(fact),
            "happened_at": fact.at,
            "recorded_by": by,
            "recorded_at": recorded_at,
        }
        for version, fact in enumerate(facts, start=before.version + 1)
    ]


def _index(connection: Connection, after: Opportunity, expected_version: int) -> None:
    row = _index_row(after)
    if expected_version == 0:
        connection.execute(insert(OPPORTUNITIES), row)
        return
    columns = OPPORTUNITIES.c
    same = (columns.opportunity_id == after.opportunity_id, columns.version == expected_version)
    if connection.execute(update(OPPORTUNITIES).where(*same).values(row)).rowcount != 1:
        raise RuleViolation(f"{after.opportunity_id} changed after version {expected_version} was read")


def _index_row(opportunity: Opportunity) -> dict[str, Any]:
    orders = [change.instruction for change in opportunity.orders if change.instruction]
    first = (opportunity.requirement or orders[0]).key
    return {
        "opportunity_id": opportunity.opportunity_id,
        "vtn_id": opportunity.vtn_id,
        "event_id": first.event_id,
        "zone": opportunity.zone,
        "product": opportunity.product_id,
        "starts_at": opportunity.window.start,
        "ends_at": opportunity.window.end,
        "stage": opportunity.stage.value,
        "version": opportunity.version,
    }
