"""The gateway's own parts over a store and a real socket, on a clock that the test turns minute by minute."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from pydantic import AnyHttpUrl

from aggregator.app import loop_settings, ven_of
from aggregator.config import read_settings
from aggregator.gateway import Gateway
from aggregator.model.fleet import Fleet
from aggregator.store import open_store
from dispatch.controller import Controller
from tests.builders import a_car, a_car_report, a_charger, a_site
from tests.fakes.clock import FakeClock
from tests.fakes.link import ObedientLink
from tests.protocol.vtn import CONTEXT, PATIENCE_S, VTN_ID

CONFIG = Path(__file__).parents[2] / "config" / "gateway.toml"
ZONE = "Hendon Way"
MINUTE = timedelta(minutes=1)
CARS = 2


def the_settings(url, **vtn):
    """The configuration as shipped, with one platform whose orders need no bid before."""
    settings = read_settings(CONFIG)
    (market,) = settings.market
    said = {"vtn_id": VTN_ID, "url": AnyHttpUrl(url), "market_context": CONTEXT, "poll_interval_s": 0.02}
    said |= {"timeout_s": 5.0, "retry_first_s": 0.02, "retry_most_s": 0.05, **vtn}
    product = market.product[0].model_copy(update={"standing_contract": True})
    market = market.model_copy(update={"vtn": market.vtn.model_copy(update=said), "product": (product,)})
    return settings.model_copy(update={"market": (market,)})


def the_fleet():
    cars = [
        a_car(
            car_id=f"car-{n}",
            charger=a_charger(charger_id=f"charger-{n}"),
            site=a_site(site_id=f"home-{n}", zone=ZONE),
        )
        for n in range(1, CARS + 1)
    ]
    return Fleet(tuple(cars), digest="f" * 64)


async def until(met):
    """Wait until something holds; with patience, as the machine may be busy."""
    async with asyncio.timeout(PATIENCE_S):
        while not met():  # noqa: ASYNC110 - what is waited for lives in a database
            await asyncio.sleep(0.01)


class Parts:
    """Intake, sender, reports, recorder and control loop of one gateway, beside a link that obeys."""

    def __init__(self, settings, store, clock):
        self.clock, self.store, self.link = clock, store, ObedientLink()
        self._kept_wh = Counter()
        self.gateway = Gateway(settings, store, clock)
        self.controller = Controller(
            self.gateway.fleet,
            self.link,
            clock,
            self.gateway.book,
            self.gateway.prices,
            self.gateway.recorder.put,
            loop_settings(settings),
            self.gateway.said.words,
            store.car_history.charger_words(self.gateway.said.words()),
        )
        self.ven = ven_of(settings, settings.market[0], self.gateway.patience, clock)

    async def minute(self, *, stored=True, obedient=False):
        """Let a minute pass: cars report, a cycle runs, and what it leaves is stored, where it can be.

        A car gives 3 kW, or, where it is ``obedient``, what it was told last.
        """
        given_w = {point.car_id: point.export_w for point in self.link.told} if obedient else {}
        self.clock.pass_by(MINUTE)
        now = self.clock.now()
        wh = round(now.timestamp() / 60) * 50
        for car_id, export_w in given_w.items():
            self._kept_wh[car_id] += (3000 - export_w) // 60
        reports = [
            a_car_report(
                car_id=car.car_id,
                measured_at=now,
                soc=0.9,
                export_w=given_w.get(car.car_id, 3000),
                import_wh=0,
                export_wh=wh - self._kept_wh[car.car_id],
            )
            for car in self.gateway.fleet.cars
        ]
        self.link.hear(*reports)
        await until(lambda: all(view.report and view.report.measured_at == now for view in self.views()))
        self.link.told.clear()
        await self.controller.cycle()
        await until(lambda: not stored or self.gateway.recorder.stored_until == now)

    async def minutes(self, count, *, stored=True):
        for _ in range(count):
            await self.minute(stored=stored)

    def views(self):
        return self.controller.view.all()

    def waiting(self):
        return [entry.report for entry in self.store.outbox.pending(VTN_ID)]


@asynccontextmanager
async def running(url, folder, at, *, database=None, desk=None, **vtn):
    """Run the parts against a platform; entered again on the same database it is a restart."""
    settings, clock = the_settings(url, **vtn), FakeClock(at)
    if desk is not None:
        settings = settings.model_copy(update={"desk": desk})
    with (
        open_store(database or f"sqlite:///{folder / 'flexloop.db'}", create=True) as store,
        ThreadPoolExecutor() as threads,  # what they do with the store is done before it closes
    ):
        asyncio.get_running_loop().set_default_executor(threads)
        if store.fleet.load() is None:
            store.fleet.replace(the_fleet(), at, "test")
        parts = Parts(settings, store, clock)
        async with parts.ven as ven:
            workers = [
                parts.gateway.recorder.run(),
                parts.controller.listen(),
                parts.gateway.intake(ven, parts.controller),
                parts.gateway.send(ven, VTN_ID),
                parts.gateway.report(),
            ]
            tasks = [asyncio.create_task(worker) for worker in workers]
            try:
                yield parts
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with suppress(asyncio.CancelledError):
                        await task
