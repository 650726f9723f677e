"""The desk in the browser: passwords, sessions, and the trail of what each person did there.

Of a password its argon2 hash is kept, of a session's secret a plain one: it is random, 256 bits of it. A
session is a row, so that one who is signed out is refused at the next request; so is a driver whose token is
revoked, as the session names it. The trail is only added to, each row chained to the one before it (see
``chain``); a person's key names an action once, so that what is asked twice is done once and answered alike.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from aggregator.model.time import Interval
from aggregator.store.chain import COVERED, Verified, last_of, link, verify
from aggregator.store.columns import micros
from aggregator.store.engine import AnyRow, insert_if_new, reading, writing
from aggregator.store.tables import DESK_ACTIONS, DESK_PASSWORDS, DESK_SESSIONS, DRIVER_TOKENS

AT_THE_DESK, BY_COMMAND, BY_A_DRIVER = "desk", "command line", "driver"
"""Where people act; a driver at the own page and the drivers' door."""

SEEN_AGAIN = timedelta(minutes=1)
"""That a session is used is noted no more often than this."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a session lives on unused, and at most."""

    idle: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose session it is: a user's, or a driver's.

    Attributes:
        name: The user's, or the car's id.
        token_id: The driver's token; None for a user.
    """

    name: str
    token_id: str | None = None


class DeskPeople:
    """Passwords and sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def set_password(self, user: str, password_hash: str, at: datetime) -> None:
        """Put a password in place of the one there was; whoever is signed in by that one is signed out."""
        row = {"user_name": user, "hash": password_hash, "made_at": at}
        mine = DESK_PASSWORDS.c.user_name == user
        with writing(self._engine) as connection:
            if not insert_if_new(connection, DESK_PASSWORDS, row):
                connection.execute(update(DESK_PASSWORDS).where(mine).values(row))
            users = (DESK_SESSIONS.c.user_name == user, DESK_SESSIONS.c.token_id.is_(None))
            connection.execute(delete(DESK_SESSIONS).where(*users))

    def password_hash(self, user: str) -> str | None:
        """Return the hash of a user's password; None where none was ever made."""
        query = select(DESK_PASSWORDS.c.hash).where(DESK_PASSWORDS.c.user_name == user)
        with reading(self._engine) as connection:
            found: str | None = connection.scalar(query)
        return found

    def sign_in(self, who: SignedIn, at: datetime) -> str:
        """Begin a session; return its secret, which is kept by the browser alone."""
        secret = secrets.token_urlsafe(32)
        row = {
            "digest": _digest(secret),
            "user_name": who.name,
            "made_at": at,
            "seen_at": at,
            "token_id": who.token_id,
        }
        with writing(self._engine) as connection:
            connection.execute(insert(DESK_SESSIONS), row)
        return secret

    def who(self, secret: str, at: datetime, users: Lasting, drivers: Lasting) -> SignedIn | None:
        """Return whose session a secret opens; None where it has ended, or none began with it.

        A driver's ends with the token, too.

        Args:
            secret: The browser's.
            at: Now, of the wall.
            users: How long sessions of the desk's users last.
            drivers: How long those of drivers do.
        """
        columns, tokens, digest = DESK_SESSIONS.c, DRIVER_TOKENS.c, _digest(secret)

        def lasts(said: Lasting) -> ColumnElement[bool]:
            return and_(columns.seen_at > at - said.idle, columns.made_at > at - said.longest)

        holds = and_(tokens.token_id.is_not(None), tokens.revoked_at.is_(None))
        query = (
            select(DESK_SESSIONS)
            .outerjoin(DRIVER_TOKENS, tokens.token_id == columns.token_id)
            .where(
                columns.digest == digest,
                or_(and_(columns.token_id.is_(None), lasts(users)), and_(holds, lasts(drivers))),
            )
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if at - row.seen_at > SEEN_AGAIN:
            with writing(self._engine) as connection:
                connection.execute(update(DESK_SESSIONS).where(columns.digest == digest).values(seen_at=at))
        return SignedIn(row.user_name, row.token_id)

    def sign_out(self, secret: str) -> None:
        """End a session; one that has ended stays so."""
        with writing(self._engine) as connection:
            connection.execute(delete(DESK_SESSIONS).where(DESK_SESSIONS.c.digest == _digest(secret)))


@dataclass(frozen=True, slots=True)
class DeskAction:
    """What somebody did, or was refused.

    Attributes:
        at: Domain instant.
        user: Who; a driver by the id of the token.
        action: Which, as the route table names it; what a driver's word is about.
        subject: The bid, zone, alarms or car it was about.
        draft: The draft that was seen, where it was about one.
        status: How it was answered, HTTP's.
        said: In words.
        key: The person's own name for it: the same key, the same action.
        asked: SHA-256 of what was asked, so that a key is not used for something else.
        via: Where: ``desk``, ``command line`` or ``driver``.
        action_id: Given when it is stored, the next number; 0 before.
        digest: The row's hash in the chain, given when it is stored.
    """

    at: datetime
    user: str
    action: str
    subject: str
    draft: str
    status: int
    said: str
    key: str
    asked: str
    via: str = AT_THE_DESK
    action_id: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which actions are wanted: by whom, which, where, about what (a part of it), when; all without."""

    user: str = ""
    action: str = ""
    via: str = ""
    subject: str = ""
    during: Interval | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return them for a query."""
        columns, found = DESK_ACTIONS.c, []
        exact = {columns.user_name: self.user, columns.action: self.action, columns.via: self.via}
        found += [column == text for column, text in exact.items() if text]
        if self.subject:
            found.append(func.lower(columns.subject).contains(self.subject.lower(), autoescape=True))
        if self.during is not None:
            found += [columns.at >= self.during.start, columns.at < self.during.end]
        return found

    def is_met(self, one: DeskAction) -> bool:
        """Whether an action is one of them."""
        return (
            self.user in ("", one.user)
            and self.action in ("", one.action)
            and self.via in ("", one.via)
            and self.subject.lower() in one.subject.lower()
            and (self.during is None or one.at in self.during)
        )


class DeskTrail:
    """Every action ever asked for at the desk, and every word of a driver."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, action: DeskAction) -> DeskAction:
        """Store an action as the next link of the chain; return it with its number and hash."""
        row = {
            "at": action.at,
            "user_name": action.user,
            "action": action.action,
            "subject": action.subject,
            "draft": action.draft,
            "status": action.status,
            "said": action.said,
            "key": action.key,
            "asked": action.asked,
            "via": action.via,
        }
        with writing(self._engine) as connection:  # one writer at a time: the last row stays the last
            last, before = last_of(connection)
            numbered = {**row, "action_id": last + 1}
            plain = {**numbered, "at": micros(action.at)}
            digest = link(before, [plain[name] for name in COVERED])
            connection.execute(insert(DESK_ACTIONS), {**numbered, "digest": digest})
        return replace(action, action_id=last + 1, digest=digest)

    def verify(self, head: str | None = None) -> Verified:
        """Walk along the whole chain, looking for a head that was kept elsewhere where one is given."""
        return verify(self._engine, head)

    def length(self) -> int:
        """Return the number of the last row, 0 where there is none."""
        with reading(self._engine) as connection:
            return last_of(connection)[0]

    def by_key(self, user: str, key: str) -> DeskAction | None:
        """Return what a person did under a key."""
        columns = DESK_ACTIONS.c
        found = self._select(select(DESK_ACTIONS).where(columns.user_name == user, columns.key == key))
        return found[0] if found else None

    def of_user(self, user: str, numbers: Collection[int]) -> list[DeskAction]:
        """Return those of some actions that a person did, oldest first."""
        columns = DESK_ACTIONS.c
        query = select(DESK_ACTIONS).where(columns.user_name == user, columns.action_id.in_(numbers))
        return self._select(query) if numbers else []

    def about(self, subject: str) -> list[DeskAction]:
        """Return what was done about a bid, oldest first."""
        return self._select(select(DESK_ACTIONS).where(DESK_ACTIONS.c.subject == subject))

    def all(self) -> list[DeskAction]:
        """Return every action, oldest first."""
        return self._select(select(DESK_ACTIONS))

    def count(self, wanted: Wanted) -> int:
        """Return how many actions are wanted."""
        query = select(func.count()).select_from(DESK_ACTIONS).where(*wanted.conditions())
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def newest(self, wanted: Wanted, skipped: int, most: int) -> list[DeskAction]:
        """Return wanted actions, the newest first, some of these skipped."""
        query = select(DESK_ACTIONS).where(*wanted.conditions())
        query = query.order_by(DESK_ACTIONS.c.action_id.desc()).limit(most).offset(skipped)
        with reading(self._engine) as connection:
            return [_action(row) for row in connection.execute(query)]

    def after(self, number: int, wanted: Wanted, most: int) -> list[DeskAction]:
        """Return the first wanted actions after a number, oldest first."""
        query = select(DESK_ACTIONS).where(DESK_ACTIONS.c.action_id > number, *wanted.conditions())
        return self._select(query.limit(most))

    def people(self) -> list[str]:
        """Return everybody who did anything, but for drivers, in order."""
        return self._distinct(DESK_ACTIONS.c.user_name, DESK_ACTIONS.c.via != BY_A_DRIVER)

    def kinds(self) -> list[str]:
        """Return every kind of action that was asked for, in order."""
        return self._distinct(DESK_ACTIONS.c.action)

    def done(self, actions: Collection[str], status: int) -> list[tuple[str, str, str, int]]:
        """Return who did some actions, about what, which and when, oldest first. [microseconds since 1970]

        Only those that were answered with a status.
        """
        columns = DESK_ACTIONS.c
        at = type_coerce(columns.at, BigInteger)
        query = select(columns.user_name, columns.subject, columns.action, at)
        query = query.where(columns.action.in_(actions), columns.status == status)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(columns.action_id))
            return [(row[0], row[1], row[2], row[3]) for row in rows]

    def _distinct(self, column: ColumnElement[str], *conditions: ColumnElement[bool]) -> list[str]:
        with reading(self._engine) as connection:
            return sorted(connection.scalars(select(column).where(*conditions).distinct()))

    def _select(self, query: Select[Any]) -> list[DeskAction]:
        with reading(self._engine) as connection:
            return [_action(row) for row in connection.execute(query.order_by(DESK_ACTIONS.c.action_id))]


def _action(row: AnyRow) -> DeskAction:
    return DeskAction(
        row.at,
        row.user_name,
        row.action,
        row.subject,
        row.draft,
        row.status,
        row.said,
        row.key,
        row.asked,
        row.via,
        row.action_id,
        row.digest,
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
