"""A night of homes with two or three cars behind one fuse, from charges that just suffice.

The oracle knows nothing of plans: it asks a linear programme in steps of five minutes how empty the cars of a
home may be when they come, for all of them to reach their targets in time; a battery takes less near full, by
a straight line, and the fuse holds at every step. The simulated fleet, the control loop and the interlock are
the real ones.
"""

import io
import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from aggregator.model.fleet import Car, Fleet, Site, Taper
from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.controller import Controller
from dispatch.fleet_simulator.physics import Traits
from dispatch.fleet_simulator.script import Act, Kind, Stay
from dispatch.fleet_simulator.truth import TruthLog
from dispatch.fleet_simulator.world import World
from dispatch.records import LoopSettings
from tests.builders import a_car, a_charger, a_site, an_intent
from tests.fakes.clock import FakeClock
from tests.played_day import WorldLink, cheap_nights
from tests.property.energy_cases import Lp

TEN = datetime(2025, 1, 8, 22, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
ETA, FULL_KW, KNEE, FULL_SHARE, EMPTY = 0.93, 7.4, 0.8, 0.2, 0.1
STEPS_PER_HOUR = 12
LOOP = LoopSettings(MINUTE, 2 * MINUTE, MINUTE, 0.01, 5000.0, 5000.0)


@dataclass(frozen=True)
class Home:
    """Cars behind one fuse, all plugged in from ten on.

    Attributes:
        capacity_kwh: Of each car.
        target_soc: What each driver wants.
        stays: How long each car stays, in steps of five minutes.
        fuse_kw: What the fuse carries.
        empty: How far down from its target each car begins, 0 at it, 1 at 10%.
    """

    capacity_kwh: np.ndarray
    target_soc: np.ndarray
    stays: np.ndarray
    fuse_kw: float
    empty: float

    def arrival_soc(self, ease: float) -> np.ndarray:
        """Return what each car comes with, where ``ease`` of what could be charged is wanted."""
        return self.target_soc - ease * self.empty * (self.target_soc - EMPTY)


def some_homes(count: int, seed: int) -> list[Home]:
    """Return homes whose cars have not a minute to lose."""
    draw, found = np.random.default_rng(seed), []
    while len(found) < count:
        cars = int(draw.integers(2, 4))
        capacity_kwh, target_soc = draw.uniform(30.0, 70.0, cars), draw.choice([0.9, 0.95, 1.0], cars)
        stays = draw.integers(3 * STEPS_PER_HOUR, 8 * STEPS_PER_HOUR, 1 if draw.random() < 0.5 else cars)
        figures = capacity_kwh, target_soc, np.broadcast_to(stays, cars)
        fuse_kw = float(draw.uniform(0.4, 0.95) * cars * FULL_KW)
        empty = emptiest(*figures, fuse_kw)
        if empty is not None and 0.15 < empty < 0.99:
            found.append(Home(*figures, fuse_kw, empty))
    return found


def emptiest(
    capacity_kwh: np.ndarray, target_soc: np.ndarray, stays: np.ndarray, fuse_kw: float
) -> float | None:
    """Return how far down from their targets the cars may begin to reach them all, up to 1; None if none."""
    lp, step_h = Lp(), 1 / STEPS_PER_HOUR
    empty, drawn = lp.var(0.0, 1.0, -1.0), defaultdict(list)
    for capacity, target, stay in zip(capacity_kwh, target_soc, stays, strict=True):
        energy, begins_kwh, most = lp.var(), target * capacity, FULL_KW * step_h
        lp.row({energy: 1.0, empty: (target - EMPTY) * capacity}, begins_kwh, begins_kwh)
        slope = (1.0 - FULL_SHARE) / (capacity * (1.0 - KNEE))
        for step in range(int(stay)):
            last = step == stay - 1
            after, takes = lp.var(begins_kwh if last else 0.0, capacity), lp.var(0.0, most)
            lp.row({after: 1.0, energy: -1.0, takes: -ETA}, 0.0, 0.0)
            mean = most * slope / 2
            lp.row({takes: 1.0, energy: mean, after: mean}, high=most * (1.0 + slope * KNEE * capacity))
            drawn[step].append(takes)
            energy = after
    for takes in drawn.values():
        lp.row(dict.fromkeys(takes, 1.0), high=fuse_kw * step_h)
    least = lp.minimum()
    return None if least is None else -least


class CrowdedNight:
    """The night, its parts, and what came of it.

    Args:
        homes: The homes.
        ease: Part of what could just be charged that is wanted.
        ordered_kw: Net export that the zone is ordered to give in the first hour; None for no order.

    Attributes:
        over_kw: The most that any home drew above its fuse at any full minute.
        lowest_soc: The least above its floor that a car had while it gave energy.
        outcomes: Of set-points.
    """

    def __init__(self, homes: list[Home], ease: float, ordered_kw: float | None = None) -> None:
        self._homes, self._ordered_kw = homes, ordered_kw
        cars, stays, acts = [], [], []
        for n, home in enumerate(homes):
            site = a_site(site_id=f"home-{n}", export_limit_kw=3.68, import_limit_kw=home.fuse_kw)
            socs = home.arrival_soc(ease)
            for k, capacity_kwh in enumerate(home.capacity_kwh):
                car = _a_car(f"{n}-{k}", float(capacity_kwh), site)
                leaves_at = TEN + int(home.stays[k]) * timedelta(minutes=60 // STEPS_PER_HOUR)
                cars.append(car)
                stays.append(_a_stay(car.car_id, leaves_at + SECOND, float(socs[k])))
                target = {"depart_at": leaves_at, "target_soc": float(home.target_soc[k])}
                acts.append(Act(car_id=car.car_id, kind=Kind.INTENT, at=TEN + SECOND, **target))
        self.fleet, self.clock = Fleet(tuple(cars), "f" * 64), FakeClock(TEN - MINUTE)
        self.world = World(
            cars,
            stays,
            acts,
            starts_at=self.clock.now(),
            seed=3,
            interval_s=60,
            truth=TruthLog(io.StringIO()),
            traits=Traits(gain_at_full=0.0, taper_from_soc=KNEE, taper_end=FULL_SHARE),
        )
        self.controller = Controller(
            self.fleet, WorldLink(self.world), self.clock, self, cheap_nights, self._record, LOOP
        )
        self._ends_at = max(stay.plugged_out_at for stay in stays) + MINUTE
        self._home = np.array([int(car.site.site_id.split("-")[1]) for car in cars])
        self._fuse_kw = np.array([home.fuse_kw for home in homes])
        self.over_kw, self.outcomes = 0.0, Counter()

    def targets(self, now):
        begins, ends = TEN + MINUTE, TEN + HOUR
        if self._ordered_kw is None or not begins <= now < ends:
            return ()
        bounds = [now, *(at for at in (TEN + HALF_HOUR, ends) if at > now)]
        slots = tuple(Interval(*both) for both in itertools.pairwise(bounds))
        count = len(slots)
        zone = self.fleet.zones[0]
        return (ZoneTarget(zone, slots, (self._ordered_kw,) * count, Direction.UP, ("order",) * count),)

    def stopped(self):
        return ()

    def rebound(self, zone, now):
        return None

    async def play(self) -> "CrowdedNight":
        """Play it until the last car has left."""
        self.controller.observe(self.world.snapshot())
        due = self.clock.now()
        while (now := self.clock.now()) < self._ends_at:
            if now >= due or self.controller._wake.is_set():
                await self.controller.cycle()
                due = min(now + MINUTE, self.controller._boundary)
                continue
            until = min(due, self.world.next_stop_at)
            self.clock.set(until)
            for batch in self.world.advance(until):
                self.controller.observe(batch.reports)
            if until.second == until.microsecond == 0:  # chargers ramp for seconds
                drawn_kw = np.bincount(self._home, np.maximum(0.0, -self.world._state.power_kw))
                self.over_kw = max(self.over_kw, float((drawn_kw - self._fuse_kw).max()))
        return self

    def missing_kwh(self) -> dict[str, float]:
        """Return by how much each car missed its target, in truth; below 0 where it had more."""
        return {
            left["car_id"]: (left["target_soc"] - left["true_soc"])
            * self.fleet.by_id[left["car_id"]].capacity_kwh
            for left in self.world.summary()["departures"]
        }

    def floor_margins(self) -> list[float]:
        """Return the lowest true state of charge above its floor of each car that gave energy."""
        lowest = self.world.summary()["lowest_true_soc_while_discharging"]
        return [soc - self.fleet.by_id[name].floor_soc for name, soc in lowest.items() if soc is not None]

    async def _record(self, record) -> None:
        self.outcomes.update(one.outcome for one in record.sent)


def _a_car(name: str, capacity_kwh: float, site: Site) -> Car:
    charger = a_charger(
        charger_id=f"charger-{name}", charge_kw=FULL_KW, discharge_kw=7.4, eta_charge=ETA, eta_discharge=ETA
    )
    return a_car(
        car_id=f"car-{name}",
        capacity_kwh=capacity_kwh,
        default_intent=an_intent(),
        charger=charger,
        site=site,
        taper=Taper(KNEE, FULL_SHARE),
    )


def _a_stay(car_id: str, leaves_at: datetime, soc: float) -> Stay:
    return Stay(car_id=car_id, plugged_in_at=TEN, plugged_out_at=leaves_at, energy_kwh=8.0, arrival_soc=soc)
