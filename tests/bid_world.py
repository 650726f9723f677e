"""A small zone with a past, a store and a desk, to make drafts in."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from aggregator.config import Settings, read_settings
from aggregator.forecast import History, Session
from aggregator.model.fleet import Fleet
from aggregator.model.market import Requirement
from aggregator.model.opportunity import Opportunity, Received
from aggregator.model.time import Interval
from aggregator.proposals import Proposer
from aggregator.store import Store, open_store
from aggregator.wiring import workflow_of
from aggregator.workflow import Workflow
from tests.builders import a_fleet, a_peak_window, a_requirement, a_site, an_event_key, some_steps
from tests.fakes.clock import FakeClock

ROOT = Path(__file__).parents[1]
DAY = datetime(2025, 1, 15, tzinfo=UTC)
KNOWN_AT = DAY - timedelta(days=1) + timedelta(hours=12)
ZONE = "Canvey"
PEAK = Interval(DAY + timedelta(hours=16), DAY + timedelta(hours=19))


def at(hour: float) -> datetime:
    """Return an instant of the delivery day."""
    return DAY + timedelta(hours=hour)


def a_need(start: float, end: float, kw: float = 100.0, event: str = "need-1", **changes) -> Requirement:
    """Return a need of the zone, the same kW in all its half-hours, at GBP 459/MWh."""
    window = Interval(at(start), at(end))
    need = a_requirement(
        key=an_event_key(event_id=event),
        zone=ZONE,
        product_id="day-ahead",
        window=window,
        needed_kw=(kw,) * round((end - start) * 2),
        utilisation_ceiling=Decimal(459),
        availability_ceiling=None,
    )
    return replace(need, **changes)


def a_zone(cars: int) -> Fleet:
    """Return cars of the zone, each alone at home."""
    fleet = a_fleet(cars)
    homes = tuple(replace(car, site=a_site(site_id=car.site.site_id, zone=ZONE)) for car in fleet.cars)
    return replace(fleet, cars=homes)


def a_past(
    cars: int, days: int = 12, *, seed: int | None = None, soc: float = 0.9, arrive: float = 15
) -> History:
    """Return evenings at home: all cars to 07:30 with much energy, or, with a seed, at random."""
    draw = np.random.default_rng(seed)
    sessions = []
    for back in range(1, days + 1):
        start = at(0) - timedelta(days=back)
        for n in range(1, cars + 1):
            if seed is not None and draw.uniform() < 0.25:
                continue
            early, full = (
                (draw.uniform(-1.0, 4.0), draw.uniform(0.35, 0.95)) if seed is not None else (0, soc)
            )
            plugged = Interval(start + timedelta(hours=arrive + early), start + timedelta(hours=31.5))
            sessions.append(Session(f"car-{n}", plugged, 10.0, full))
    return History.of(sessions)


@dataclass(frozen=True)
class World:
    """A workflow with a clock, and what makes drafts in it."""

    settings: Settings
    workflow: Workflow
    proposer: Proposer
    clock: FakeClock
    store: Store

    def received(self, need: Requirement) -> Opportunity:
        """Take a need in."""
        new = self.store.journal.opportunity(f"{ZONE}:{need.key.event_id}")
        return self.workflow.record(new, Received(self.clock.now(), need), by="platform")

    def proposed(self, need: Requirement) -> Opportunity:
        """Take a need in and make a draft of it."""
        return self.proposer.propose(self.workflow, self.received(need), self.clock.now())

    def now(self, opportunity: Opportunity) -> Opportunity:
        """Return an opportunity as it stands."""
        return self.store.journal.opportunity(opportunity.opportunity_id)


@contextmanager
def a_world(folder: Path, *, cars: int = 10, past: History | None = None, red: bool = True, **bidding):
    """Open a world; ``bidding`` changes settings of that table."""
    url = f"sqlite:///{folder / 'flexloop.db'}"
    settings = read_settings(ROOT / "config" / "gateway.toml", url)
    said = {"glpsol": None, "solver": "highs", "scenarios": 8, **bidding}
    settings = settings.model_copy(update={"bidding": settings.bidding.model_copy(update=said)})
    desk = settings.desk.model_copy(update={"rule": ()})
    settings = settings.model_copy(update={"desk": desk})
    peak = a_peak_window(zone=ZONE, steps=some_steps(*[2] * 6, slots=PEAK.slots(timedelta(minutes=30))))
    clock = FakeClock(KNOWN_AT)
    with open_store(url, create=True) as store:
        workflow = workflow_of(settings, store, clock)
        proposer = Proposer(
            settings,
            a_zone(cars),
            past or a_past(cars),
            lambda zone, known_at: (peak,) if red else (),
        )
        yield World(settings, workflow, proposer, clock, store)
