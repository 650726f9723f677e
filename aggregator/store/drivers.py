"""What drivers said: every word a row, none ever changed."""

from dataclasses import replace

from sqlalchemy import Engine, Text, and_, exists, insert, select

from aggregator.model.drivers import Topic, Word
from aggregator.model.errors import RuleViolation
from aggregator.store.codec import SAYINGS, from_text, to_text
from aggregator.store.engine import AnyRow, reading, writing
from aggregator.store.tables import DESK_ACTIONS, DRIVER_WORDS


class DriverWords:
    """Every word that was ever told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def say(self, word: Word, expected_version: int) -> Word:
        """Store a word, durably, before returning; return it with its version.

        Args:
            word: What was said; its own version counts for nothing.
            expected_version: Of the last word of that car and topic, as whoever tells this one has seen it;
                0 where there was none.

        Raises:
            RuleViolation: If another word was told meanwhile; nothing is stored.
        """
        columns = DRIVER_WORDS.c
        newest = (
            select(columns.version)
            .where(columns.car_id == word.car_id, columns.topic == word.topic.value)
            .order_by(columns.version.desc())
            .limit(1)
        )
        with writing(self._engine) as connection:
            found = connection.scalar(newest) or 0
            if found != expected_version:
                raise RuleViolation(f"version {expected_version} was seen, version {found} stands")
            row = {
                "car_id": word.car_id,
                "topic": word.topic.value,
                "version": found + 1,
                "told_at": word.told_at,
                "told_by": word.told_by,
                "saying": None if word.saying is None else to_text(word.saying),
                "until": word.until,
            }
            connection.execute(insert(DRIVER_WORDS), row)
        return replace(word, version=found + 1)

    def of(self, car_id: str) -> tuple[Word, ...]:
        """Return every word about a car, by topic, oldest first."""
        columns = DRIVER_WORDS.c
        query = select(DRIVER_WORDS).where(columns.car_id == car_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(columns.topic, columns.version))
            return tuple(_word(row) for row in rows)

    def all(self) -> tuple[Word, ...]:
        """Return every word, by car and topic, oldest first."""
        columns = DRIVER_WORDS.c
        query = select(DRIVER_WORDS).order_by(columns.car_id, columns.topic, columns.version)
        with reading(self._engine) as connection:
            return tuple(_word(row) for row in connection.execute(query))

    def unchained(self) -> tuple[Word, ...]:
        """Return the words that no row of the trail tells of: those from before words were chained."""
        columns, rows = DRIVER_WORDS.c, DESK_ACTIONS.c
        version = columns.version.cast(Text)
        names_it = and_(
            rows.user_name == columns.told_by,
            rows.key == columns.car_id + " " + columns.topic + " " + version,
        )
        query = select(DRIVER_WORDS).where(~exists().where(names_it))
        with reading(self._engine) as connection:
            return tuple(_word(row) for row in connection.execute(query))


def key_of(word: Word) -> str:
    """Return by which key the trail's row tells of a word, which is its teller's."""
    return f"{word.car_id} {word.topic.value} {word.version}"


def _word(row: AnyRow) -> Word:
    where = f"driver_words {row.car_id} {row.topic} {row.version}"
    saying = None if row.saying is None else from_text(SAYINGS, row.saying, where)
    return Word(row.car_id, Topic(row.topic), row.version, row.told_at, row.told_by, saying, row.until)
