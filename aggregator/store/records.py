"""What was decided and shown, kept for good: set-points, nominations, plans, alarms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Select, func, insert, or_, select, update

from aggregator.model.errors import RuleViolation
from aggregator.model.market import Nomination, Plan
from aggregator.model.metering import Outcome, Purpose, SetPoint
from aggregator.model.time import Interval
from aggregator.store.codec import PLANS as KINDS
from aggregator.store.codec import from_text, to_text
from aggregator.store.engine import AnyRow, insert_if_new, reading, writing
from aggregator.store.tables import ALARMS, NOMINATIONS, PLANS, SET_POINTS
from aggregator.store.versions import known_by

LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SentPoint:
    """A set-point and what became of it; ``reason`` says why it was refused, where it was."""

    point: SetPoint
    outcome: Outcome
    reason: str | None = None


class SetPoints:
    """Every set-point ever decided, refused ones too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, rows: Sequence[SentPoint]) -> None:
        """Store set-points with their outcomes."""
        if rows:
            with writing(self._engine) as connection:
                connection.execute(insert(SET_POINTS), [_point_row(row) for row in rows])

    def between(self, interval: Interval) -> list[SentPoint]:
        """Return the set-points whose time, issue to expiry, shares some of an interval, oldest first."""
        columns = SET_POINTS.c
        query = select(SET_POINTS).where(
            columns.issued_at < interval.end, columns.expires_at > interval.start
        )
        return self._select(query)

    def of_car(self, car_id: str, interval: Interval) -> list[SentPoint]:
        """Return one car's set-points, as ``between``, but for any that lasts longer than a day.

        So a night long past is found by the expiries around it, and not by all that came after.
        """
        columns, around = SET_POINTS.c, interval.end + LONGEST
        query = select(SET_POINTS).where(
            columns.car_id == car_id,
            columns.issued_at < interval.end,
            columns.expires_at > interval.start,
            columns.expires_at < around,
        )
        return self._select(query)

    def _select(self, query: Select[Any]) -> list[SentPoint]:
        columns = SET_POINTS.c
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(columns.issued_at, columns.set_point_id))
            return [_sent_point(row) for row in rows]

    def newest_at(self) -> datetime | None:
        """Return when the set-point stored last was issued; None where there is none."""
        columns = SET_POINTS.c
        query = select(columns.issued_at).order_by(columns.set_point_id.desc()).limit(1)
        with reading(self._engine) as connection:
            at: datetime | None = connection.scalar(query)
        return at

    def count(self) -> int:
        """Return how many there are."""
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(SET_POINTS)) or 0


class Nominations:
    """What each zone was said to do, per half-hour; never changed once frozen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def freeze(self, nominations: Sequence[Nomination]) -> tuple[Nomination, ...]:
        """Store nominations; return those stored now: where one is frozen already, that one stands."""
        with writing(self._engine) as connection:
            return tuple(
                nomination
                for nomination in nominations
                if insert_if_new(connection, NOMINATIONS, _nomination_row(nomination))
            )

    def between(self, zone: str, interval: Interval, as_known_at: datetime | None = None) -> list[Nomination]:
        """Return a zone's nominations for half-hours that share some of an interval, in order.

        Args:
            zone: Whose.
            interval: When.
            as_known_at: Only what was frozen by then; None for all.
        """
        columns = NOMINATIONS.c
        within = (columns.starts_at < interval.end, columns.ends_at > interval.start)
        within += known_by(columns.frozen_at, as_known_at)
        query = select(NOMINATIONS).where(columns.zone == zone, *within).order_by(columns.starts_at)
        with reading(self._engine) as connection:
            return [_nomination(row) for row in connection.execute(query)]


class Plans:
    """The zone's plan behind each draft, as made before the price was read, and behind other nominations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, plan: Plan, made_at: datetime, opportunity_id: str) -> None:
        """Store a plan; the same again changes nothing.

        Raises:
            RuleViolation: If another plan was made for the opportunity at the same instant.
        """
        body = to_text(plan)
        key = {"opportunity_id": opportunity_id, "made_at": made_at}
        with writing(self._engine) as connection:
            if insert_if_new(connection, PLANS, {**key, "digest": plan.digest, "body": body}):
                return
            if connection.scalar(select(PLANS.c.body).filter_by(**key)) != body:
                raise RuleViolation(f"{opportunity_id} has another plan made at {made_at}")

    def get(self, opportunity_id: str) -> Plan | None:
        """Return the plan made last for an opportunity."""
        made = self.all(opportunity_id)
        return made[-1][1] if made else None

    def all(self, opportunity_id: str) -> list[tuple[datetime, Plan]]:
        """Return every plan made for an opportunity and when, oldest first."""
        query = select(PLANS).where(PLANS.c.opportunity_id == opportunity_id).order_by(PLANS.c.made_at)
        with reading(self._engine) as connection:
            return [
                (row.made_at, from_text(KINDS, row.body, f"plans: {opportunity_id}"))
                for row in connection.execute(query)
            ]

    def named(self, beginning: str) -> list[tuple[str, datetime, Plan]]:
        """Return every plan whose name begins so, with its name and when it was made, by name."""
        columns = PLANS.c
        query = select(PLANS).where(columns.opportunity_id.startswith(beginning, autoescape=True))
        query = query.order_by(columns.opportunity_id, columns.made_at)
        with reading(self._engine) as connection:
            return [
                (
                    row.opportunity_id,
                    row.made_at,
                    from_text(KINDS, row.body, f"plans: {row.opportunity_id}"),
                )
                for row in connection.execute(query)
            ]


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that people must look at; open until somebody clears it.

    Attributes:
        at: When.
        code: A stable word.
        where: The car, zone, event or opportunity.
        text: For people.
        alarm_id: Given when it is raised; 0 before.
        cleared_at: When somebody cleared it.
        cleared_by: Who.
        over_at: Since when what it tells of is over; None where it goes on, is not known to have ended, or
            has no end.
        about: What beside the place tells it from others of its kind, such as the order; None where nothing.
        amount: How much it tells of, in its kind's own unit; None where its kind knows no more or less.
    """

    at: datetime
    code: str
    where: str
    text: str
    alarm_id: int = 0
    cleared_at: datetime | None = None
    cleared_by: str | None = None
    over_at: datetime | None = None
    about: str | None = None
    amount: float | None = None


class Alarms:
    """Every alarm ever raised."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def raise_(self, alarm: Alarm) -> Alarm:
        """Store an alarm; return it with its id."""
        row = {"at": alarm.at, "code": alarm.code, "place": alarm.where, "text": alarm.text}
        row |= {"over_at": alarm.over_at, "about": alarm.about, "amount": alarm.amount}
        with writing(self._engine) as connection:
            alarm_id = connection.scalar(insert(ALARMS).returning(ALARMS.c.alarm_id), row)
        return replace(alarm, alarm_id=alarm_id or 0)

    def raise_once(self, alarm: Alarm) -> None:
        """Store an alarm unless what it tells of goes on since an earlier one, acknowledged or not."""
        columns = ALARMS.c
        about = columns.about.is_(None) if alarm.about is None else columns.about == alarm.about
        same = (columns.code == alarm.code, columns.place == alarm.where, about, columns.over_at.is_(None))
        if not self._select(select(ALARMS).where(*same)):
            self.raise_(alarm)

    def clear(self, alarm_ids: Iterable[int], at: datetime, by: str) -> None:
        """Close alarms, all of them or none.

        Raises:
            RuleViolation: If one of them is no open alarm.
        """
        with writing(self._engine) as connection:
            for alarm_id in alarm_ids:
                still_open = (ALARMS.c.alarm_id == alarm_id, ALARMS.c.cleared_at.is_(None))
                cleared = connection.execute(
                    update(ALARMS).where(*still_open).values(cleared_at=at, cleared_by=by)
                )
                if cleared.rowcount != 1:
                    raise RuleViolation(f"no open alarm {alarm_id}")

    def end(self, code: str, where: str, at: datetime) -> None:
        """Note that what alarms of a kind tell of a place is over; somebody must clear them all the same."""
        columns = ALARMS.c
        meant = (columns.code == code, columns.place == where, columns.over_at.is_(None))
        with writing(self._engine) as connection:
            connection.execute(update(ALARMS).where(*meant).values(over_at=at))

    def set_over(self, alarm_id: int, at: datetime | None) -> None:
        """Note since when what one alarm tells of is over; None where it goes on all the same."""
        with writing(self._engine) as connection:
            connection.execute(update(ALARMS).where(ALARMS.c.alarm_id == alarm_id).values(over_at=at))

    def all(self) -> list[Alarm]:
        """Return every alarm, in the order raised."""
        return self._select(select(ALARMS))

    def open(self) -> list[Alarm]:
        """Return the alarms that nobody has cleared, in the order raised."""
        return self._select(select(ALARMS).where(ALARMS.c.cleared_at.is_(None)))

    def unfinished(self, codes: Iterable[str]) -> list[Alarm]:
        """Return the alarms of some kinds that are open or tell of what goes on, in the order raised."""
        left = or_(ALARMS.c.cleared_at.is_(None), ALARMS.c.over_at.is_(None))
        return self._select(select(ALARMS).where(ALARMS.c.code.in_(list(codes)), left))

    def _select(self, query: Select[Any]) -> list[Alarm]:
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(ALARMS.c.alarm_id))
            return [
                Alarm(
                    row.at,
                    row.code,
                    row.place,
                    row.text,
                    row.alarm_id,
                    row.cleared_at,
                    row.cleared_by,
                    row.over_at,
                    row.about,
                    row.amount,
                )
                for row in rows
            ]


def _point_row(row: SentPoint) -> dict[str, Any]:
    return {
        "car_id": row.point.car_id,
        "export_w": row.point.export_w,
        "issued_at": row.point.issued_at,
        "expires_at": row.point.expires_at,
        "purpose": row.point.purpose.value,
        "opportunity_id": row.point.opportunity_id,
        "outcome": row.outcome.value,
        "reason": row.reason,
    }


def _sent_point(row: AnyRow) -> SentPoint:
    point = SetPoint(
        car_id=row.car_id,
        export_w=row.export_w,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        purpose=Purpose(row.purpose),
        opportunity_id=row.opportunity_id,
    )
    return SentPoint(point, Outcome(row.outcome), row.reason)


def _nomination_row(nomination: Nomination) -> dict[str, Any]:
    return {
        "zone": nomination.zone,
        "starts_at": nomination.period.start,
        "ends_at": nomination.period.end,
        "export_wh": nomination.export_wh,
        "base_wh": nomination.base_wh,
        "kept_wh": nomination.kept_wh,
        "frozen_at": nomination.frozen_at,
    }


def _nomination(row: AnyRow) -> Nomination:
    period = Interval(row.starts_at, row.ends_at)
    return Nomination(row.zone, period, row.export_wh, row.base_wh, row.kept_wh, row.frozen_at)
