"""Drivers' tokens: what is kept is a keyed hash, so that whoever reads the database can use none.

A token is random, 256 bits of it, and no password that people choose: there is nothing to guess that a slow
hash would protect, and a fast one lets each request be checked anew, so that a revoked token is refused at
once. The key is the token's own id: equal secrets would not look equal.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, insert, select, update

from aggregator.store.engine import AnyRow, reading, writing
from aggregator.store.tables import DRIVER_TOKENS

_TEXT = re.compile(r"flx_([0-9a-f]{12})_([0-9a-f]{64})")
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class DriverToken:
    """A token, without what makes it one.

    Attributes:
        token_id: How people name it; also who told a word.
        car_id: Whose driver's.
        made_at: Since when.
        revoked_at: Until when; None while it holds.
    """

    token_id: str
    car_id: str
    made_at: datetime
    revoked_at: datetime | None = None


class DriverTokens:
    """Every token that was ever made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def make(self, car_id: str, at: datetime) -> tuple[DriverToken, str]:
        """Make a token for a car's driver; return it, and the text that is shown this once."""
        token_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        row = {"token_id": token_id, "car_id": car_id, "digest": _digest(token_id, secret), "made_at": at}
        with writing(self._engine) as connection:
            connection.execute(insert(DRIVER_TOKENS), row)
        return DriverToken(token_id, car_id, at), f"flx_{token_id}_{secret}"

    def check(self, text: str) -> DriverToken | None:
        """Return the token that a text is; None where it is none, or a revoked one."""
        parts = _TEXT.fullmatch(text)
        if parts is None:
            return None
        token_id, secret = parts.groups()
        with reading(self._engine) as connection:
            row = connection.execute(
                select(DRIVER_TOKENS).where(DRIVER_TOKENS.c.token_id == token_id)
            ).one_or_none()
        known = _NOBODY if row is None else row.digest
        same = hmac.compare_digest(known, _digest(token_id, secret))
        return _token(row) if same and row is not None and row.revoked_at is None else None

    def revoke(self, token_id: str, at: datetime) -> DriverToken | None:
        """Revoke a token for good; return it, None where there is none. One that is revoked stays so."""
        mine = DRIVER_TOKENS.c.token_id == token_id
        with writing(self._engine) as connection:
            connection.execute(
                update(DRIVER_TOKENS).where(mine, DRIVER_TOKENS.c.revoked_at.is_(None)).values(revoked_at=at)
            )
            row = connection.execute(select(DRIVER_TOKENS).where(mine)).one_or_none()
        return None if row is None else _token(row)

    def all(self) -> tuple[DriverToken, ...]:
        """Return every token, by car and age."""
        columns = DRIVER_TOKENS.c
        query = select(DRIVER_TOKENS).order_by(columns.car_id, columns.made_at, columns.token_id)
        with reading(self._engine) as connection:
            return tuple(_token(row) for row in connection.execute(query))


def _token(row: AnyRow) -> DriverToken:
    return DriverToken(row.token_id, row.car_id, row.made_at, row.revoked_at)


def _digest(token_id: str, secret: str) -> str:
    return hashlib.blake2b(secret.encode(), key=token_id.encode(), digest_size=32).hexdigest()
