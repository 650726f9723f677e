"""What a VEN must not forget across a restart: its registration, the report requests it agreed to."""

from sqlalchemy import Engine, select, update

from aggregator.store.engine import insert_if_new, reading, writing
from aggregator.store.tables import VEN_MEMORY


class Memory:
    """Named texts per platform; the ``VenMemory`` of a VEN."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def recall(self, vtn_id: str, name: str) -> str | None:
        """Return what was remembered under ``name``."""
        columns = VEN_MEMORY.c
        query = select(columns.value).where(columns.vtn_id == vtn_id, columns.name == name)
        with reading(self._engine) as connection:
            value: str | None = connection.scalar(query)
        return value

    def remember(self, vtn_id: str, name: str, value: str) -> None:
        """Store ``value`` in place of what was there, durably, before returning."""
        columns = VEN_MEMORY.c
        with writing(self._engine) as connection:
            if not insert_if_new(connection, VEN_MEMORY, {"vtn_id": vtn_id, "name": name, "value": value}):
                same = (columns.vtn_id == vtn_id, columns.name == name)
                connection.execute(update(VEN_MEMORY).where(*same).values(value=value))
