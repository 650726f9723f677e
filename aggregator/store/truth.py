"""What simulated cars really did, loaded after a simulation for the audit; no decision may read it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from aggregator.model.time import Interval
from aggregator.store.engine import chunks, insert_all_new, reading, writing
from aggregator.store.tables import TRUE_STATES

_THINGS = 500


@dataclass(frozen=True, slots=True)
class TrueState:
    """A simulated car's true state at an instant.

    Attributes:
        car_id: Which car.
        at: When.
        plugged: Whether it is connected.
        energy_kwh: Energy in the battery. [kWh]
        export_w: Power, positive from car to grid. [W]
        boundary_w: Power at its home's boundary, house and panels included, positive from home to grid; None
            where that is not known. [W]
    """

    car_id: str
    at: datetime
    plugged: bool
    energy_kwh: float
    export_w: int
    boundary_w: int | None = None


class Truth:
    """The true states of simulated cars."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, states: Iterable[TrueState]) -> None:
        """Store true states; of a car and instant already there the first stays."""
        with writing(self._engine) as connection:
            insert_all_new(connection, TRUE_STATES, [asdict(state) for state in states])

    def between(self, car_ids: Sequence[str], interval: Interval) -> tuple[TrueState, ...]:
        """Return true states in an interval, by car and instant."""
        columns = TRUE_STATES.c
        within = (columns.at >= interval.start, columns.at < interval.end)
        found: list[TrueState] = []
        with reading(self._engine) as connection:
            for chunk in chunks(sorted(set(car_ids)), _THINGS):
                rows = connection.execute(select(TRUE_STATES).where(columns.car_id.in_(chunk), *within))
                found += [TrueState(*row) for row in rows]
        return tuple(sorted(found, key=lambda state: (state.car_id, state.at)))
