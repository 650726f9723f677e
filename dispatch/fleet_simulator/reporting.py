"""What chargers tell: measured power and registers, a state of charge, and what the driver said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aggregator.model.metering import CarReport
from dispatch.fleet_simulator.orders import Orders
from dispatch.fleet_simulator.physics import State, Traits, metered_w, register_wh
from dispatch.fleet_simulator.script import Act, Stay


@dataclass(frozen=True, slots=True)
class Batch:
    """Reports of one instant.

    Attributes:
        at: The instant.
        reports: Of every charger that has something to tell.
        kept: Whether it is told again to a gateway that may have missed it: registers at a half-hour, which
            settlement reads, or a car that came or left, until when a register stood still. A real charger
            queues its transactions in the same way.
    """

    at: datetime
    reports: tuple[CarReport, ...]
    kept: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """A car that is here: its session, what it came with, and what its driver has said since."""

    stay: Stay
    arrival_soc: float
    depart_at: datetime | None = None
    target_soc: float | None = None

    def saying(self, act: Act) -> "Visit":
        """Return the visit once the driver has stated an intent; what it leaves open stays as it was."""
        depart_at = self.depart_at if act.depart_at is None else act.depart_at
        target_soc = self.target_soc if act.target_soc is None else act.target_soc
        return replace(self, depart_at=depart_at, target_soc=target_soc)


def reports(
    cars: Iterable[int],
    car_ids: Sequence[str],
    traits: Traits,
    state: State,
    orders: Orders,
    visits: Mapping[int, Visit],
    at_s: float,
    charge: Sequence[tuple[float | None, datetime | None]],
) -> tuple[CarReport, ...]:
    """Return the reports of ``cars``, given by their places in the arrays, at ``at_s``. [s since 1970]

    ``charge`` is what every car tells of its state of charge, and when that was so if not now.
    """
    at = datetime.fromtimestamp(at_s, UTC)
    boost = orders.boost.tolist()
    export_w = metered_w(state, orders.plugged, traits).tolist()
    drawn_wh = register_wh(state.import_wh).tolist()
    given_wh = register_wh(state.export_wh).tolist()

    def report(car: int) -> CarReport:
        visit = visits.get(car)
        return CarReport(
            car_id=car_ids[car],
            measured_at=at,
            plugged=visit is not None,
            soc=charge[car][0],
            export_w=export_w[car],
            import_wh=drawn_wh[car],
            export_wh=given_wh[car],
            boost=boost[car],
            depart_at=None if visit is None else visit.depart_at,
            target_soc=None if visit is None else visit.target_soc,
            soc_at=charge[car][1],
        )

    return tuple(report(car) for car in cars)
