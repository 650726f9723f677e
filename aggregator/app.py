"""Wiring and lifecycle of ``flexloop serve``: one task a worker, one way in, one way out.

A signal only sets ``stop``. Intake stops first, then the cars are released, then what was measured until
then is stored. A worker that crashes ends the process, with the cars released.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from aiohttp.log import server_logger

from aggregator.alarm_ends import AlarmEnds
from aggregator.config import Settings
from aggregator.drivers.door import Door
from aggregator.files.secrets import read_secrets
from aggregator.gateway import Gateway
from aggregator.health import Health
from aggregator.link import link_settings
from aggregator.listening import HttpSettings, SecuredSettings
from aggregator.market_file import MarketFile
from aggregator.metrics import Watched
from aggregator.model.fleet import Fleet
from aggregator.platform_watch import PlatformWatch
from aggregator.ports import Clock, VenMemory
from aggregator.recall import recent_reports, set_points_in_force, told_before
from aggregator.serving import listener_of, serving, tls_of
from aggregator.store import BY_PROCESS, Alarm, Hold, Store
from aggregator.web.site import Site
from aggregator.wiring import remember_settings
from dispatch.controller import Controller
from dispatch.links.simulated import SimulatedLink
from dispatch.records import LoopSettings
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.ven import Ven

log = structlog.get_logger()


async def serve(
    settings: Settings, store: Store, clock: Clock, stop: asyncio.Event, hold: Hold = BY_PROCESS
) -> None:
    """Run a gateway until ``stop`` is set; cars are released and the link closed before it returns.

    Args:
        settings: What it runs by.
        store: Its record.
        clock: The domain clock.
        stop: Ends it.
        hold: What makes sure that nobody else serves the store.

    Raises:
        BadMessage: If it can't listen where it should; nothing was started.
        ExceptionGroup: If a worker crashed; the cars are released all the same.
    """
    async with AsyncExitStack() as stack:
        tables: dict[str, HttpSettings | SecuredSettings] = {
            "http": settings.http,
            "drivers": settings.drivers,
            "desk": settings.desk,
        }
        doors = {
            table: stack.enter_context(socket)
            for table, said in tables.items()
            if (socket := listener_of(said, table))
        }
        gateway = Gateway(settings, store, clock)
        remember_settings(store, settings)
        await asyncio.to_thread(gateway.book.refresh, clock.now())
        link = await stack.enter_async_context(link_of(settings, gateway.fleet, store, clock))
        record = gateway.recorder.put
        controller = Controller(
            gateway.fleet,
            link,
            clock,
            gateway.book,
            gateway.prices,
            record,
            loop_settings(settings),
            gateway.said.words,
            await asyncio.to_thread(store.car_history.charger_words, gateway.said.words().keys()),
        )
        reports = await asyncio.to_thread(recent_reports, store, gateway.fleet, clock.now())
        told = await asyncio.to_thread(told_before, store, clock.now())
        controller.recall(reports, set_points_in_force(store, clock.now()), told)
        vens = {
            market.vtn.vtn_id: await stack.enter_async_context(
                ven_of(settings, market, gateway.patience, clock)
            )
            for market in settings.market
        }
        watch = PlatformWatch(vens, store, clock, gateway.patience)
        ends = AlarmEnds(store, controller, gateway.book, clock, gateway.patience)
        if listener := doors.get("http"):
            watched = Watched(settings, store, clock, controller, gateway.recorder, vens)
            app = Health(watched, stop).app()
            await stack.enter_async_context(serving(listener, app, "http", logger=server_logger))
        if listener := doors.get("drivers"):
            app, tls = Door(gateway, controller).app(), tls_of(settings.drivers, "drivers")
            await stack.enter_async_context(serving(listener, app, "drivers", tls))
        if listener := doors.get("desk"):
            app, tls = Site(gateway, controller).app(), tls_of(settings.desk, "desk")
            await stack.enter_async_context(serving(listener, app, "desk", tls))
        async with asyncio.TaskGroup() as keepers:  # where a worker crashes, these keep what it leaves
            recording = keepers.create_task(gateway.recorder.run(), name="record")
            listening = keepers.create_task(controller.listen(), name="listen")
            async with asyncio.TaskGroup() as workers:
                dispatch = workers.create_task(controller.run(), name="dispatch")
                market_side = [
                    workers.create_task(gateway.keep_time(controller), name="keep time"),
                    workers.create_task(gateway.report(), name="report"),
                    workers.create_task(gateway.tell(), name="tell"),
                    workers.create_task(gateway.keep_hold(hold), name="keep hold"),
                    workers.create_task(watch.run(), name="watch platforms"),
                    workers.create_task(ends.run(), name="end alarms"),
                ]
                for vtn_id, ven in vens.items():
                    market_side.append(
                        workers.create_task(gateway.intake(ven, controller), name=f"intake {vtn_id}")
                    )
                    market_side.append(workers.create_task(gateway.send(ven, vtn_id), name=f"send {vtn_id}"))
                log.info("serving", cars=len(gateway.fleet.cars), zones=settings.fleet.zones)
                await stop.wait()
                await _end(*market_side)
                await _end(dispatch)
            await _end(listening)
            await _end(recording)
    log.info("stopped")


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait until they are done."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


REFUSED = "charger_refused"


def link_of(settings: Settings, fleet: Fleet, store: Store, clock: Clock) -> SimulatedLink:
    """Return the way to the chargers; one that does not prove its secret is an alarm.

    Raises:
        BadMessage: If the file of secrets is wrong.
    """

    def refused(car_id: str) -> None:
        if any((one.code, one.where) == (REFUSED, car_id) for one in store.alarms.open()):
            return  # told on an earlier connection
        text = "its charger does not prove its secret: it is not heard and not told"
        store.alarms.raise_(Alarm(clock.now(), REFUSED, car_id, text))

    secrets = read_secrets(settings.link.secrets, fleet)
    return SimulatedLink(str(settings.link.url), clock, secrets=secrets, refused=refused)


def loop_settings(settings: Settings) -> LoopSettings:
    """Return the control loop's settings."""
    said = settings.dispatch
    return LoopSettings(
        cycle=timedelta(seconds=said.cycle_s),
        set_point=timedelta(seconds=said.set_point_s),
        reporting_interval=timedelta(seconds=said.reporting_interval_s),
        soc_resolution=said.soc_resolution,
        zone_ramp_kw_per_minute=said.zone_ramp_kw_per_minute,
        total_ramp_kw_per_minute=said.total_ramp_kw_per_minute,
    )


def ven_of(settings: Settings, market: MarketFile, memory: VenMemory, clock: Clock) -> Ven:
    """Return our end of one platform's link."""
    said = market.vtn
    profile = Profile(
        context=said.market_context,
        zones=settings.fleet.zones,
        products={row.product_id: row.direction for row in market.product},
        price_steps={row.product_id: row.price_steps for row in market.product},
        load_sign=1 if said.load_is_positive else -1,
    )
    return Ven(link_settings(market), profile, memory, clock)
