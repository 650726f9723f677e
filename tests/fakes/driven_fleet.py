"""A control loop over the simulated fleet in virtual time, with a store and drivers at their door."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path

import numpy as np

from aggregator.audit.evidence import ALWAYS, Evidence
from aggregator.config import read_settings
from aggregator.energy import Tariff
from aggregator.model.drivers import Word
from aggregator.model.fleet import Fleet
from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, Interval, parse_instant
from aggregator.patience import Patience
from aggregator.ports import ZoneTarget
from aggregator.recorder import Recorder
from aggregator.said import UNTOLD, DriversSaid
from aggregator.store import TrueState, open_store
from dispatch.controller import Controller
from dispatch.links.messages import PointRow
from dispatch.records import LoopSettings
from tests.fakes.clock import FakeClock
from tests.fakes.simulated_fleet import FIVE_PM, Watched, a_leaf, a_stay

MINUTE = timedelta(minutes=1)
SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")
LOOP = LoopSettings(MINUTE, 2 * MINUTE, MINUTE, 0.01, 500.0, 2000.0)
ZONE = "Canvey"
PATIENCE_S = 60.0


def three_leafs(soc=0.55):
    """Three cars that are plugged in from before five to the next morning."""
    cars = [a_leaf(f"leaf-{n}") for n in (1, 2, 3)]
    return cars, [a_stay(car.car_id, plugged_in_at=FIVE_PM - 2 * MINUTE, arrival_soc=soc) for car in cars]


class Driven:
    """The loop's link and orders, and the hands of the clock.

    Args:
        store: Where all is kept.
        cars: The fleet.
        stays: When it is plugged in.
        acts: What drivers do at their chargers.
        ordered_kw: Net export that the zone is ordered to give from five to seven, None for no order.
    """

    def __init__(self, store, cars, stays, acts=(), ordered_kw=8.0, clock=None, watched=None, loop=LOOP):
        self.store, self.ordered_kw = store, ordered_kw
        self.clock = clock or FakeClock(FIVE_PM - MINUTE)
        self.fleet = Fleet(tuple(cars), "f" * 64)
        if store.fleet.load() is None:
            store.fleet.replace(self.fleet, self.clock.now(), "test")
        self.watched = watched or Watched(list(cars), stays, list(acts), starts_at=self.clock.now())
        self.said = DriversSaid(store, self.clock)
        self.recorder = Recorder(store, self.fleet, self.clock, 2 * MINUTE, Patience(store, self.clock))
        self.controller = Controller(
            self.fleet,
            self,
            self.clock,
            self,
            dear_evening,
            self.recorder.put,
            loop,
            self.said.words,
            store.car_history.charger_words(self.said.words()),
        )

    # orders

    def targets(self, now):
        ends = [FIVE_PM + n * HALF_HOUR for n in range(5)]
        if self.ordered_kw is None or not ends[0] <= now < ends[-1]:
            return ()
        slots = tuple(Interval(a, b) for a, b in pairwise([now, *[end for end in ends if end > now]]))
        n = len(slots)
        return (ZoneTarget(ZONE, slots, (self.ordered_kw,) * n, Direction.UP, ("order",) * n),)

    def stopped(self):
        return ()

    def rebound(self, zone, now):
        return None

    # link

    async def apply(self, points):
        rows = [
            PointRow(car_id=one.car_id, export_w=one.export_w, expires_at=one.expires_at) for one in points
        ]
        return self.watched.world.command(rows)

    async def set_fallback(self, defaults):
        self.watched.world.set_fallback(defaults)

    # time

    async def minute(self):
        """Let a minute pass in the world, then a cycle run, and those that it asks for at once."""
        self.clock.pass_by(MINUTE)
        for batch in self.watched.world.advance(self.clock.now()):
            self.controller.observe(batch.reports)
        await self.cycle()

    async def cycle(self):
        for n in count():
            await self.controller.cycle()
            if not self.controller._wake.is_set():
                return
            assert n < 10, "the loop never rests"

    async def minutes(self, number):
        for _ in range(number):
            await self.minute()

    async def stored(self):
        """Wait until all that the cycles left is stored; with patience, as the disk may be busy."""
        async with asyncio.timeout(PATIENCE_S):
            while self.recorder.stored_until != self.controller.cycled_at:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    # drivers

    def say(self, topic, saying, car_id="leaf-1", until=None):
        last = self.said.words().get(car_id, {}).get(topic)
        word = Word(car_id, topic, 0, UNTOLD, "somebody", saying, until)
        return self.said.say(word, last.version if last else 0)

    # what came of it

    def export_w(self, car_id="leaf-1"):
        return self.watched.now(car_id).export_w

    def soc(self, car_id="leaf-1"):
        return self.watched.now(car_id).soc

    def truth(self, car_id):
        return [
            TrueState(
                car_id,
                parse_instant(row["at"]),
                plugged=row["plugged"] == "true",
                energy_kwh=float(row["true_energy_kwh"]),
                export_w=int(row["export_w"]),
            )
            for row in self.watched.truth(car_id)
        ]

    def evidence(self):
        self.store.truth.add([row for car in self.fleet.cars for row in self.truth(car.car_id)])
        dispatch = SETTINGS.dispatch.model_copy(update={"reporting_interval_s": 60.0})
        return Evidence(self.store, SETTINGS.model_copy(update={"dispatch": dispatch}))

    def points(self):
        """Return every set-point that was made, refused ones, too."""
        return self.store.set_points.between(ALWAYS)

    def again(self):
        """Return what a gateway that starts again makes of the same store and fleet."""
        return Driven(
            self.store,
            self.fleet.cars,
            (),
            ordered_kw=self.ordered_kw,
            clock=self.clock,
            watched=self.watched,
        )


def dear_evening(zone, slots):
    """Return a tariff that is cheap from 23:00 to 05:00 and pays for energy from 16:00 to 19:00."""
    hours = np.array([slot.start.hour for slot in slots])
    night, peak = (hours >= 23) | (hours < 5), (hours >= 16) & (hours < 19)
    price = np.where(night, 0.15, np.where(peak, 0.45, 0.3))
    return Tariff(price, np.where(peak, 0.36, 0.1), np.zeros(len(slots), dtype=np.bool_))


@asynccontextmanager
async def driven(folder, cars=None, stays=None, acts=(), ordered_kw=8.0):
    """Run a loop's recorder while the test turns the clock; all is stored on leaving."""
    if cars is None:
        cars, stays = three_leafs()
    with open_store(f"sqlite:///{folder / 'flexloop.db'}", create=True) as store:
        one = Driven(store, cars, stays, acts, ordered_kw)
        async with keeping(one):
            yield one


@asynccontextmanager
async def keeping(one):
    """Store what a loop leaves, all of it on leaving."""
    task = asyncio.create_task(one.recorder.run())
    await asyncio.sleep(0)
    try:
        yield one
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
