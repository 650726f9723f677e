"""The gateway's workers: intake, clock, sender, reports. Each takes what is pending and acts on it.

They call the synchronous store and the solver in threads, so that nothing blocks the loop that holds the
cars; GLPK runs as a process of its own.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random

from aggregator.allowed import COMMITTED
from aggregator.book import FOLLOWED, Book
from aggregator.clockwork import FLEET
from aggregator.config import Settings
from aggregator.forecast import Horizon
from aggregator.intake import take_batch
from aggregator.model.errors import BadMessage, RuleViolation, Unavailable
from aggregator.model.market import EventKey
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import Interval, utc_second, utc_text
from aggregator.news import News, told
from aggregator.nominating import Nominating
from aggregator.outgoing import BID, OPT, settlement_report_id
from aggregator.patience import Patience
from aggregator.ports import CallBatch, CallKind, Clock, OptOut, Report, ReportRequest
from aggregator.proposals import history_of, proposer_of
from aggregator.recorder import Recorder
from aggregator.rehearsals import Rehearsals
from aggregator.reporting import Reporting
from aggregator.revaluing import revaluing_of
from aggregator.said import DriversSaid
from aggregator.settlement import settled_from
from aggregator.settling import settle_opportunity, settlement_report, work_out
from aggregator.store import Alarm, Hold, Store
from aggregator.wiring import prices_of, workflow_of
from aggregator.workflow import fleet_of, fleets_of
from aggregator.yielding import Yielding
from dispatch.controller import Controller
from market_adapters.openadr.ven import Ven

log = structlog.get_logger()
FIRST = (OPT, BID)
MOVES_CARS = (CallKind.AWARD, CallKind.DISPATCH, CallKind.PEAK)
T = TypeVar("T")

LONGEST_WAIT_S = 30.0
"""Wall seconds between tries to reach a platform that stays away."""

TICK_S = 0.1
"""Wall seconds between looks at the clock and the outbox."""

SOLVE_AGAIN = timedelta(minutes=1)
"""Domain time between tries to make a bid whose solver failed; the gate ends them."""

NEWS_S = 1.0
"""Wall seconds between looks at what is new in the journal."""

LONGEST_TICK = timedelta(minutes=5)
"""How far a simulation's clock runs on while bids are made: gates close in the end, as in real life."""

LONGEST_UNSERVED = timedelta(minutes=15)
"""How long no car can serve an order before the platform is told that we do not."""

TIMEKEEPER = "keep time"

HOLD_S = 1.0
"""Wall seconds between looks whether we still hold the store."""

AHEAD = timedelta(days=15)
"""How far ahead opportunities are looked at for their nominations: the longest gate, and a day."""


class Gateway:
    """All workers of one gateway process, over one store."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.fleet = fleet_of(store)
        self.fleets = fleets_of(store)
        self.book = Book(store, settings.fleet.zones)
        self.prices = prices_of(settings, self.book.peaks, windows=self.book.windows)
        self.lag = 2 * timedelta(seconds=settings.dispatch.reporting_interval_s)
        self.patience = Patience(store, clock)
        self.recorder = Recorder(store, self.fleet, clock, self.lag, self.patience)
        self.reporting = Reporting(store, self.fleet, settings.fleet.zones, self.lag)
        self.history = history_of(settings.fleet.history)
        self.said = DriversSaid(store, clock)
        self.proposer = proposer_of(settings, store, self.fleet, self.history, self.said.known_by)
        contracts = [
            (market.vtn.vtn_id, row.to_product())
            for market in settings.market
            for row in market.product
            if row.standing_contract
        ]
        self.nominating = Nominating(store, self.proposer.base_plan, contracts, settings.fleet.zones)
        revalue = revaluing_of(settings, store, self.fleet, self.history, self.said.known_by)
        self.workflow = workflow_of(settings, store, clock, self.nominating.before_order, revalue)
        self.news = News(store.journal)
        self.rehearsals = Rehearsals(store)
        self.yielding = Yielding(store)
        self._versions: dict[str, int] = {}
        self._frozen: set[str] = set()
        self._nominated: set[str] = set()
        self._aside: set[str] = set()
        self._valued: set[tuple[str, EventKey | None]] = set()
        self._solve_again_at: dict[str, datetime] = {}

    # workers

    async def intake(self, ven: Ven, controller: Controller) -> None:
        """Take a platform's events and report requests in, durably, then answer."""
        async for item in ven.calls():
            match item:
                case CallBatch():
                    decisions = await self.patience.of(take_batch, self.workflow, item)
                    await self._refresh()
                    if any(call.kind in MOVES_CARS for call in item.calls):
                        controller.wake()
                    try:
                        await ven.answer(item, {call.key: one for call, one in decisions.items()})
                    except (Unavailable, BadMessage) as error:
                        log.warning("answer_not_taken", vtn=item.vtn_id, error=str(error))
                case ReportRequest():
                    await self.patience.of(self.reporting.note, item)

    async def send(self, ven: Ven, vtn_id: str) -> None:
        """Send what the outbox holds for a platform, until acknowledged: opt-outs and bids before reports.

        A platform that is away is tried again for ever, ever later, with jitter.
        """
        away = wait_exponential(multiplier=TICK_S, max=LONGEST_WAIT_S) + wait_random(0, TICK_S)
        state = RetryCallState(AsyncRetrying(), None, (), {})
        while True:
            pending = await self.patience.of(self.store.outbox.pending, vtn_id)
            state.attempt_number += 1
            for entry in sorted(pending, key=lambda entry: entry.report.specifier not in FIRST):
                if not await self._send_one(ven, entry.report):
                    break
            else:
                state.attempt_number = 1
            await asyncio.sleep(away(state) if state.attempt_number > 1 else TICK_S)

    async def keep_time(self, controller: Controller) -> None:
        """Do what the clock brings: propose, close gates, nominate, start and end delivery, settle.

        What the desk did meanwhile is noticed, too: an order taken back is out of the loop at once.
        """
        while True:
            self.clock.hold(TIMEKEEPER, self.clock.now() + LONGEST_TICK)
            await self._in_time(self.give_up, dict(controller.unserved.since))
            if await self._in_time(self.tick) and await self._refresh():
                controller.wake()
            self.clock.hold(TIMEKEEPER, None)
            await asyncio.sleep(TICK_S)

    async def report(self) -> None:
        """Queue the periodic reports that platforms asked for."""
        while True:
            if self.recorder.recorded_until is not None:
                await self.patience.of(self.reporting.queue_due, self.recorder.recorded_until)
            await asyncio.sleep(TICK_S)

    async def tell(self) -> None:
        """Log each new fact of the journal, whoever recorded it: the desk is a process of its own."""
        while True:
            for name, recorded in await self.patience.of(self.news.read):
                log.info("fact", opportunity_id=name, **told(recorded))
            await asyncio.sleep(NEWS_S)

    async def keep_hold(self, hold: Hold) -> None:
        """Make sure that this stays the store's one gateway, also after its database was away.

        Raises:
            RuleViolation: If another one has taken its place: two must not serve the same cars.
        """
        while True:
            if await self.patience.of(hold.keep):
                log.warning("store_held_again", store=self.store.name)
            await asyncio.sleep(HOLD_S)

    # steps, called in threads

    def tick(self) -> bool:
        """Advance every open opportunity by one step; return whether any moved, by whomever."""
        opportunities = self.workflow.open()
        versions = {one.opportunity_id: one.version for one in opportunities}
        halted = self.store.halts.standing() != self.book.halts
        if halted:
            log.warning(
                "stops_changed", standing=[halt.zone or "all zones" for halt in self.store.halts.standing()]
            )
        moved, self._versions = halted or versions != self._versions, versions
        for opportunity in opportunities:
            try:
                after = self._step(opportunity)
            except RuleViolation as refused:
                log.info("overtaken", opportunity_id=opportunity.opportunity_id, reason=str(refused))
                continue
            except (ArithmeticError, ValueError) as broken:
                self._set_aside(opportunity, broken)
                continue
            if after.version != opportunity.version:
                moved = True
        self.rehearsals.tell(self.book.tests, self.clock.now())
        self.yielding.tell((one for one in opportunities if one.stage in FOLLOWED), self.clock.now())
        return self._nominate() or moved

    def give_up(self, unserved: Mapping[str, datetime]) -> None:
        """Opt out, with an alarm, of orders for which no car could do anything for too long."""
        now = self.clock.now()
        for name, since in unserved.items():
            opportunity = self.store.journal.opportunity(name)
            if now - since < LONGEST_UNSERVED or opportunity.stage not in COMMITTED:
                continue
            reason = f"no car of {opportunity.zone} could deliver anything since {utc_second(since)}"
            try:
                self.workflow.opt_out(opportunity, reason, FLEET)
            except RuleViolation as refused:
                log.info("overtaken", opportunity_id=name, reason=str(refused))
                continue
            self.store.alarms.raise_(Alarm(now, "opted_out", name, reason))

    def _set_aside(self, opportunity: Opportunity, broken: Exception) -> None:
        """Raise an alarm, once, about figures that cannot be worked with: the cars must go on."""
        name = opportunity.opportunity_id
        if name not in self._aside:
            self._aside.add(name)
            log.exception("set_aside", opportunity_id=name)
            text = f"{type(broken).__name__}: {broken}"
            self.store.alarms.raise_once(Alarm(self.clock.now(), "set_aside", name, text))

    def _step(self, opportunity: Opportunity) -> Opportunity:
        now = self.clock.now()
        if opportunity.stage is Stage.RECEIVED and now < self.workflow.gate_closes_at(opportunity):
            return self._propose(opportunity, now)
        recorded_until = self.recorder.recorded_until
        if opportunity.stage is Stage.DELIVERED:
            if recorded_until is None or recorded_until < settled_from(opportunity) + self.lag:
                return opportunity  # readings of its half-hours may still be on their way
            request = self.reporting.request_for(opportunity.vtn_id, "settlement", opportunity.zone)
            return settle_opportunity(self.workflow, opportunity, self.fleets, request)
        if opportunity.stage is Stage.SETTLED:
            self._report_settled(opportunity)
        after = self.workflow.advance(opportunity)
        return self._value_award(after) if after.stage in COMMITTED else after

    def _value_award(self, opportunity: Opportunity) -> Opportunity:
        """Work out, once, what an award of less than was bid is worth; orders are followed all the same."""
        asked = opportunity.opportunity_id, opportunity.award.key if opportunity.award else None
        if asked in self._valued:
            return opportunity
        self._valued.add(asked)
        try:
            return self.workflow.value_award(opportunity)
        except (Unavailable, BadMessage) as failed:
            log.warning("not_valued_anew", opportunity_id=opportunity.opportunity_id, error=str(failed))
            return opportunity

    def _propose(self, opportunity: Opportunity, now: datetime) -> Opportunity:
        """Make a draft; where the solver fails, raise an alarm once and try again later."""
        name = opportunity.opportunity_id
        if now < self._solve_again_at.get(name, now):
            return opportunity
        try:
            proposed = self.proposer.propose(self.workflow, opportunity, now)
        except (Unavailable, BadMessage) as failed:
            if isinstance(failed, BadMessage) and failed.code != "no_solver":
                raise
            if name not in self._solve_again_at:
                self.store.alarms.raise_once(Alarm(now, "no_bid_yet", name, str(failed)))
            log.warning("no_bid_yet", opportunity_id=name, reason=str(failed))
            self._solve_again_at[name] = self.clock.now() + SOLVE_AGAIN
            return opportunity
        self._solve_again_at.pop(name, None)
        self.store.alarms.end("no_bid_yet", name, self.clock.now())
        return proposed

    def _report_settled(self, opportunity: Opportunity) -> None:
        """Queue the report of a statement that was made before the platform asked for such reports."""
        request = self.reporting.request_for(opportunity.vtn_id, "settlement", opportunity.zone)
        report_id = settlement_report_id(opportunity.opportunity_id, opportunity.statement_version)
        if request is not None and self.store.outbox.get(report_id) is None:
            product = self.workflow.products[opportunity.product_id]
            worked = work_out(self.store, opportunity, product, self.fleets)
            self.store.outbox.put(
                settlement_report(worked, opportunity.statement_version, request, self.clock.now())
            )

    def _nominate(self) -> bool:
        """Freeze and queue the nominations whose gate has closed; return whether any was frozen.

        Drafts that count on holding base discharge back that was nominated are made anew.
        """
        now = self.clock.now()
        frozen = False
        for name, vtn_id, zone, days, unasked in self._to_nominate(now):
            if name not in self._frozen:
                newly = any([self.nominating.freeze(zone, day, now, unasked=unasked) for day in days])
                for day in days if newly or unasked else ():
                    self._draft_anew(zone, day, now)
                frozen = frozen or newly
                self._frozen.add(name)
            if self.reporting.request_for(vtn_id, "nomination", zone) is None:
                continue  # nobody wants to be told yet
            found = [self.store.nominations.between(zone, day) for day in days]
            if all([self.reporting.queue_nomination(vtn_id, one, now) for one in found if one]):
                self._nominated.add(name)
        return frozen

    def _to_nominate(self, now: datetime) -> Iterator[tuple[str, str, str, list[Interval], bool]]:
        """Yield what may not be nominated yet: a name, platform, zone, days, and whether no bid has a plan.

        These are the days of bids whose gates have closed, of orders that no bid preceded, and those that
        standing contracts are nominated for in any case.
        """
        for one in self.store.journal.find(overlapping=Interval(now, now + AHEAD)):
            name, is_call = one.opportunity_id, one.requirement is None
            in_review = one.stage in (Stage.RECEIVED, Stage.IN_REVIEW)
            if name in self._nominated or in_review:
                continue
            if not is_call and now < self.workflow.gate_closes_at(one):
                continue
            if not is_call and self.store.plans.get(name) is None:
                self._nominated.add(name)
                continue
            days = [part.interval for part in Horizon.over(one.window).parts]
            yield name, one.vtn_id, one.zone, days, is_call
        for vtn_id, zone, day in self.nominating.standing_days(now):
            name = f"{vtn_id} {zone} {utc_text(day.start)}"
            if name not in self._nominated:
                yield name, vtn_id, zone, [day], True

    def _draft_anew(self, zone: str, span: Interval, now: datetime) -> None:
        """Make new drafts of those that count on holding base discharge back that was nominated just now."""
        for one in self.store.journal.find(zone=zone, overlapping=span, stages=(Stage.IN_REVIEW,)):
            draft, is_open = one.draft, now < self.workflow.gate_closes_at(one)
            if is_open and draft is not None and draft.kept_kw != draft.base_kw:
                self._propose(one, now)

    async def _refresh(self) -> bool:
        return await self.patience.of(self.book.refresh, self.clock.now())

    async def _in_time(self, step: Callable[..., T], *arguments: object) -> T:
        """Take a step of the timekeeper; where the database is away, a simulation's clock waits no longer."""
        return await self.patience.of(step, *arguments, meanwhile=lambda: self.clock.hold(TIMEKEEPER, None))

    async def _send_one(self, ven: Ven, report: Report) -> bool:
        """Send one report; return whether the next one may be tried at once."""
        if report.specifier == BID:
            if not await self.patience.of(self.workflow.may_leave, report):
                await self._quietly(
                    self.store.outbox.mark_dead, report.report_id, "no longer the approved bid"
                )
                return True
            # from here on the platform may hold it, whatever we hear: gate closure must know that
            await self._quietly(self.store.outbox.mark_attempt, report.report_id, self.clock.now(), "sending")
        try:
            await (ven.opt_out(report) if isinstance(report, OptOut) else ven.send(report))
        except Unavailable as away:
            await self._quietly(self.store.outbox.mark_attempt, report.report_id, self.clock.now(), str(away))
            return False
        except BadMessage as refused:
            alarm = Alarm(self.clock.now(), "report_refused", report.report_id, str(refused))
            await self.patience.of(self.store.alarms.raise_, alarm)
            await self._quietly(self.store.outbox.mark_dead, report.report_id, str(refused))
            return True
        await self._quietly(self.store.outbox.mark_sent, report.report_id, self.clock.now())
        await self._quietly(self.workflow.acknowledged, report.report_id)
        return True

    async def _quietly(self, step: Callable[..., T], *arguments: object) -> T | None:
        """Take a step that somebody else may have taken already."""
        try:
            return await self.patience.of(step, *arguments)
        except RuleViolation as overtaken:
            log.info("overtaken", reason=str(overtaken))
            return None
