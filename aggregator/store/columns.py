"""Kinds of columns: how instants, local times and figures are kept, the same on every database."""

from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import BigInteger, Dialect, Integer, Text, TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Return whole microseconds since 1970; an instant without a zone is refused with ``ValueError``."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return (instant - EPOCH) // MICROSECOND


class UtcMicros(TypeDecorator[datetime]):
    """An aware instant, stored as whole microseconds since 1970-01-01T00:00Z."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn an instant into a number; one without a zone is refused with ``ValueError``."""
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Turn a number into an instant in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class LocalTime(TypeDecorator[time]):
    """A local time of day, stored as ISO text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: time | None, dialect: Dialect) -> str | None:
        """Turn a time of day into text."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> time | None:
        """Turn text into a time of day."""
        return None if value is None else time.fromisoformat(value)


class LocalDate(TypeDecorator[date]):
    """A local calendar date, stored as ISO text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:
        """Turn a date into text."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> date | None:
        """Turn text into a date."""
        return None if value is None else date.fromisoformat(value)


class Figures(TypeDecorator[tuple[float, ...]]):
    """Some figures in their order, stored as text with spaces between them."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, dialect: Dialect) -> str:
        """Turn figures into text, each as exact as it is."""
        return " ".join(map(repr, value or ()))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[float, ...]:
        """Turn text into figures."""
        return tuple(map(float, (value or "").split()))


SERIAL = BigInteger().with_variant(Integer(), "sqlite")
"""A key that counts up by itself: SQLite does so for INTEGER only."""
