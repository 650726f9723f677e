"""Wiring and lifecycle of ``flexloop serve``: one task a worker, one way in, one way out.

A signal only sets ``stop``. Intake stops first, then the cars are released, then the store is closed. A
worker that crashes ends the process with the cars released. The workers call the synchronous store and the
solver in threads, so that nothing blocks the loop that holds the cars; GLPK runs as a process of its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from aggregator.book import Book
from aggregator.config import MarketFile, Settings
from aggregator.files.sessions import read_sessions
from aggregator.forecast import History
from aggregator.intake import take_batch
from aggregator.model.errors import BadMessage, RuleViolation, Unavailable
from aggregator.model.market import Draft, Requirement
from aggregator.model.metering import CarReport, Reading
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import Interval
from aggregator.ports import CallBatch, CallKind, Clock, Report, ReportRequest, ReportRow, ZoneTarget
from aggregator.proposals import Proposer
from aggregator.settling import settle_opportunity
from aggregator.store import Alarm, SentPoint, Store
from aggregator.telemetry import due_spans, status_report, telemetry_report
from aggregator.wiring import prices_of, workflow_of
from aggregator.workflow import fleet_of
from dispatch.controller import Controller, CycleRecord, LoopSettings
from dispatch.links.simulated import SimulatedLink
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.ven import Ven, VenSettings

log = structlog.get_logger()
T = TypeVar("T")

TICK_S = 0.1
"""Wall seconds between looks at the clock and the outbox."""

PERIODIC = ("telemetry", "status")


class Gateway:
    """All workers of one gateway process, over one store."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.fleet = fleet_of(store)
        self.workflow = workflow_of(settings, store, clock)
        self.book = Book(store, settings.fleet.zones)
        self.prices = prices_of(settings, self.book.peaks)
        history = read_sessions(settings.fleet.history) if settings.fleet.history else History(())
        self.proposer = Proposer(settings, self.fleet, history, self.prices)
        self.lag = 2 * timedelta(seconds=settings.dispatch.reporting_interval_s)
        self._requests: dict[tuple[str, str], ReportRequest] = {}
        self._reported_until: dict[str, datetime] = {}

    # workers

    async def intake(self, ven: Ven, controller: Controller) -> None:
        """Take a platform's events and report requests in, durably, then answer."""
        async for item in ven.calls():
            match item:
                case CallBatch():
                    decisions = await asyncio.to_thread(take_batch, self.workflow, item)
                    await asyncio.to_thread(self.book.refresh, self.clock.now())
                    if any(call.kind in (CallKind.DISPATCH, CallKind.PEAK) for call in item.calls):
                        controller.wake()
                    try:
                        await ven.answer(item, {call.key: opt for call, opt in decisions.items()})
                    except (Unavailable, BadMessage) as error:
                        log.warning("answer_not_taken", vtn=item.vtn_id, error=str(error))
                case ReportRequest():
                    self._note_request(item)

    async def send(self, ven: Ven, vtn_id: str) -> None:
        """Send what the outbox holds for a platform, oldest first, until it is acknowledged."""
        while True:
            for entry in await asyncio.to_thread(self.store.outbox.pending, vtn_id):
                if not await self._send_one(ven, entry.report):
                    break
            await asyncio.sleep(TICK_S)

    async def keep_time(self) -> None:
        """Do what the clock brings: propose, close gates, start and end delivery, settle."""
        while True:
            changed = await asyncio.to_thread(self.tick)
            if changed:
                await asyncio.to_thread(self.book.refresh, self.clock.now())
            await asyncio.sleep(TICK_S)

    async def report(self) -> None:
        """Queue the periodic reports that platforms asked for."""
        while True:
            for request in list(self._requests.values()):
                if request.specifier in PERIODIC and request.back_duration:
                    await asyncio.to_thread(self._queue_periodic, request)
            await asyncio.sleep(TICK_S)

    async def record(self, record: CycleRecord) -> None:
        """Store a control cycle's readings, set-points and notices."""
        await asyncio.to_thread(self._record, record)

    async def targets(self, now: datetime) -> Sequence[ZoneTarget]:
        """Return the zones' targets from the book in memory."""
        return self.book.targets(now)

    # steps, called in threads

    def tick(self) -> bool:
        """Advance every open opportunity by one step; return whether any moved."""
        moved = False
        for opportunity in self.workflow.open():
            try:
                after = self._step(opportunity)
            except RuleViolation as refused:
                log.info("overtaken", opportunity_id=opportunity.opportunity_id, reason=str(refused))
                continue
            if after.version != opportunity.version:
                moved = True
                log.info("stage", opportunity_id=after.opportunity_id, stage=after.stage.value)
        return moved | self._freeze_due_nominations()

    def _step(self, opportunity: Opportunity) -> Opportunity:
        now = self.clock.now()
        if opportunity.stage is Stage.RECEIVED and now < self.workflow.gate_closes_at(opportunity):
            return self.proposer.propose(self.workflow, opportunity, now)
        if opportunity.stage is Stage.DELIVERED and now >= opportunity.window.end + self.lag:
            request = self._requests.get((opportunity.vtn_id, "settlement"))
            return settle_opportunity(
                self.workflow, opportunity, self.fleet, request.request_id if request else None
            )
        return self.workflow.advance(opportunity)

    def _freeze_due_nominations(self) -> bool:
        """Freeze and queue the nomination of each zone and window whose gate has closed."""
        now = self.clock.now()
        frozen = False
        for opportunity in self.store.journal.find(overlapping=Interval(now, now + timedelta(days=3))):
            plan = self.store.plans.get(opportunity.opportunity_id)
            if plan is None or now < self.workflow.gate_closes_at(opportunity):
                continue
            if opportunity.stage is Stage.IN_REVIEW:
                continue
            span = Interval(plan.slots[0].start, plan.slots[-1].end)
            if not self.store.nominations.between(opportunity.zone, span):
                self.workflow.freeze_nominations(
                    opportunity.zone, plan, self._drafts_standing(opportunity.zone, span)
                )
                frozen = True
            self._queue_nomination(opportunity, span)
        return frozen

    def _drafts_standing(self, zone: str, span: Interval) -> list[tuple[Requirement, Draft]]:
        standing: list[tuple[Requirement, Draft]] = []
        for one in self.store.journal.find(zone=zone, overlapping=span):
            draft = one.submitted or (one.draft if one.approved_digest else None)
            if draft is not None and one.requirement is not None and one.stage is not Stage.CLOSED:
                standing.append((one.requirement, draft))
        return standing

    def _queue_nomination(self, opportunity: Opportunity, span: Interval) -> None:
        request = self._requests.get((opportunity.vtn_id, "nomination"))
        if request is None:
            return
        report_id = f"nomination:{opportunity.zone}:{span.start:%Y%m%dT%H%M}"
        if self.store.outbox.get(report_id) is not None:
            return
        rows = tuple(
            ReportRow(f"{one.zone}/nominated_kwh", one.period, one.export_wh / 1000.0)
            for one in self.store.nominations.between(opportunity.zone, span)
        )
        now = self.clock.now()
        self.store.outbox.put(
            Report(report_id, opportunity.vtn_id, request.request_id, "nomination", now, rows)
        )

    def _queue_periodic(self, request: ReportRequest) -> None:
        now = self.clock.now()
        start = request.window.start if request.window is not None else now - request.back_duration
        since = self._reported_until.setdefault(request.request_id, start)
        for span in due_spans(request, since, now, self.lag):
            if request.window is not None and span.start >= request.window.end:
                return
            zones = self.settings.fleet.zones
            if request.specifier == "status":
                self._put_once(status_report(zones, request, span, now))
            else:
                report = telemetry_report(self.store, self.fleet, zones, request, span, now)
                if report is not None:
                    self._put_once(report)
            self._reported_until[request.request_id] = span.end

    def _put_once(self, report: Report) -> None:
        if self.store.outbox.get(report.report_id) is None:
            self.store.outbox.put(report)

    def _record(self, record: CycleRecord) -> None:
        now = self.clock.now()
        by_id = self.fleet.by_id
        known = [report for report in record.reports if report.car_id in by_id]
        self.store.readings.add(
            [_reading(report, by_id[report.car_id].charger.charger_id, now) for report in known]
        )
        self.store.states.add(known, received_at=now)
        self.store.set_points.add([SentPoint(one.point, one.outcome, one.reason) for one in record.sent])
        for notice in record.notices:
            self.store.alarms.raise_(Alarm(notice.at, notice.code, notice.where, notice.text))

    async def _send_one(self, ven: Ven, report: Report) -> bool:
        try:
            await ven.send(report)
        except Unavailable as away:
            await _quietly(self.store.outbox.mark_attempt, report.report_id, self.clock.now(), str(away))
            return False
        except BadMessage as refused:
            alarm = Alarm(self.clock.now(), "report_refused", report.report_id, str(refused))
            await asyncio.to_thread(self.store.alarms.raise_, alarm)
            await _quietly(self.store.outbox.mark_dead, report.report_id, str(refused))
            return True
        await _quietly(self.store.outbox.mark_sent, report.report_id, self.clock.now())
        await _quietly(self.workflow.acknowledged, report.report_id)
        return True

    def _note_request(self, request: ReportRequest) -> None:
        key = (request.vtn_id, request.specifier)
        if request.specifier == "bid":
            return
        if request.cancelled:
            self._requests.pop(key, None)
        else:
            self._requests[key] = request


async def serve(settings: Settings, store: Store, clock: Clock, stop: asyncio.Event) -> None:
    """Run a gateway until ``stop`` is set; cars are released and the link closed before it returns.

    Raises:
        ExceptionGroup: If a worker crashed; the cars are released all the same.
    """
    gateway = Gateway(settings, store, clock)
    await asyncio.to_thread(gateway.book.refresh, clock.now())
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(SimulatedLink(str(settings.link.url), clock))
        controller = Controller(
            gateway.fleet, link, clock, gateway.targets, gateway.prices, gateway.record, _loop(settings)
        )
        vens = [
            (market.vtn.vtn_id, await stack.enter_async_context(_ven(settings, market, store, clock)))
            for market in settings.market
        ]
        async with asyncio.TaskGroup() as workers:
            intake = [
                workers.create_task(gateway.intake(ven, controller), name=f"intake {vtn_id}")
                for vtn_id, ven in vens
            ]
            others = [
                workers.create_task(gateway.send(ven, vtn_id), name=f"send {vtn_id}") for vtn_id, ven in vens
            ]
            others.append(workers.create_task(gateway.keep_time(), name="keep time"))
            others.append(workers.create_task(gateway.report(), name="report"))
            dispatch = workers.create_task(controller.run(), name="dispatch")
            listening = workers.create_task(controller.listen(), name="listen")
            log.info("serving", cars=len(gateway.fleet.cars), zones=settings.fleet.zones)
            await stop.wait()
            for group in (intake, others, [dispatch], [listening]):
                for worker in group:
                    worker.cancel()
                await asyncio.wait(group)
    log.info("stopped")


def _loop(settings: Settings) -> LoopSettings:
    said = settings.dispatch
    return LoopSettings(
        cycle=timedelta(seconds=said.cycle_s),
        set_point=timedelta(seconds=said.set_point_s),
        reporting_interval=timedelta(seconds=said.reporting_interval_s),
        soc_resolution=said.soc_resolution,
        zone_ramp_kw_per_minute=said.zone_ramp_kw_per_minute,
        total_ramp_kw_per_minute=said.total_ramp_kw_per_minute,
    )


def _ven(settings: Settings, market: MarketFile, store: Store, clock: Clock) -> Ven:
    said = market.vtn
    products = {row.product_id: row.direction for row in market.product}
    profile = Profile(
        context=said.market_context,
        zones=settings.fleet.zones,
        products=products,
        load_sign=1 if said.load_is_positive else -1,
    )
    ven_settings = VenSettings(
        vtn_id=said.vtn_id,
        url=str(said.url),
        ven_name=said.ven_name,
        poll_interval_s=said.poll_interval_s,
        timeout_s=said.timeout_s,
        retry_first_s=said.retry_first_s,
        retry_most_s=said.retry_most_s,
        granularity=timedelta(seconds=said.telemetry_granularity_s),
        lenient=said.lenient,
        cert=said.certificate,
        key=said.key,
        ca=said.ca,
        fingerprint=said.vtn_fingerprint,
    )
    return Ven(ven_settings, profile, store.memory, clock)


def _reading(report: CarReport, charger_id: str, received_at: datetime) -> Reading:
    return Reading(charger_id, report.measured_at, received_at, report.import_wh, report.export_wh)


async def _quietly(step: Callable[..., T], *arguments: object) -> T | None:
    """Take a step that somebody else may have taken already."""
    try:
        return await asyncio.to_thread(step, *arguments)
    except RuleViolation as overtaken:
        log.info("overtaken", reason=str(overtaken))
        return None
