"""What meter operators' files tell of minutes and half-hours, each with when we learnt it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, Table

from aggregator.model.metering import MeteredInterval
from aggregator.model.time import Interval
from aggregator.store.engine import reading, writing
from aggregator.store.versions import add_versions, learnt_after, newest

JUST_AFTER = timedelta.resolution


class MeteredIntervals:
    """The intervals of one kind of meters: those of all chargers, or those at the boundaries of all homes.

    Args:
        engine: Of the database.
        table: Which kind; ``measured_at`` is an interval's end.
    """

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._table = table

    def add(self, intervals: Iterable[MeteredInterval]) -> int:
        """Store intervals that say something new, all of them or none; return how many did.

        One that differs from what was known of a meter and an end is a correction and kept beside it.
        """
        rows = [
            {
                "meter_id": one.meter_id,
                "measured_at": one.span.end,
                "received_at": one.received_at,
                "length_s": round((one.span.end - one.span.start).total_seconds()),
                "export_wh": one.export_wh,
            }
            for one in intervals
        ]
        with writing(self._engine) as connection:
            return add_versions(connection, self._table, rows)

    def learnt_after(
        self, meter_ids: Sequence[str], interval: Interval, since: datetime
    ) -> dict[tuple[str, datetime], datetime]:
        """Return what was learnt late, by meter and half-hour: see ``versions.learnt_after``."""
        ends = Interval(interval.start + JUST_AFTER, interval.end)
        with reading(self._engine) as connection:
            return learnt_after(connection, self._table, meter_ids, ends, since)

    def within(
        self, meter_ids: Sequence[str], interval: Interval, as_known_at: datetime | None = None
    ) -> list[MeteredInterval]:
        """Return the intervals that end in a span of time, its end included, by meter and end.

        Args:
            meter_ids: Whose.
            interval: After its start and until its end.
            as_known_at: Only what was learnt by then; None for all.
        """
        ends = Interval(interval.start + JUST_AFTER, interval.end + JUST_AFTER)
        with reading(self._engine) as connection:
            return [
                MeteredInterval(
                    row.meter_id,
                    Interval(row.measured_at - timedelta(seconds=row.length_s), row.measured_at),
                    row.received_at,
                    row.export_wh,
                )
                for row in newest(connection, self._table, meter_ids, ends, as_known_at)
            ]
