"""What chargers told before a gateway started: what cars store that do not say it just then."""

from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.metering import CarReport
from aggregator.model.time import Interval
from aggregator.store import Store

RECENT = timedelta(hours=1)
"""Older states of charge are not gone back to: a car may have been anywhere since."""


def recent_reports(store: Store, fleet: Fleet, now: datetime) -> tuple[CarReport, ...]:
    """Return the fleet's reports of the last hour, oldest first, those with registers only."""
    span = Interval(now - RECENT, now)
    charger_of = {car.car_id: car.charger.charger_id for car in fleet.cars}
    registers = {
        (one.charger_id, one.measured_at): one
        for one in store.readings.between(list(charger_of.values()), span)
    }
    found = []
    for state in store.states.between(list(charger_of), span):
        reading = registers.get((charger_of[state.car_id], state.measured_at))
        if reading is not None:
            found.append(
                CarReport(
                    car_id=state.car_id,
                    measured_at=state.measured_at,
                    plugged=state.plugged,
                    soc=state.soc,
                    export_w=state.export_w,
                    import_wh=reading.import_wh,
                    export_wh=reading.export_wh,
                    boost=state.boost,
                    depart_at=state.depart_at,
                    target_soc=state.target_soc,
                    soc_at=state.soc_at,
                )
            )
    return tuple(sorted(found, key=lambda one: (one.measured_at, one.car_id)))
