"""Our side of a link: registers, polls, hands on what the platform wants, and sends what we have to say.

Not built on openleadr's client, which loses reports, opts out of a message's every event when one is bad,
never takes a missing event as cancelled, and goes deaf when its registration is cancelled. Kept from
openleadr are its messages, schema and signatures.

What is handed on is remembered before (so that a missing event is noticed even after a crash) and marked as
dealt with only when the next item is asked for. Whatever is handed on twice is the same twice.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential, wait_random

from aggregator.model.errors import BadMessage, Fault, Unavailable
from aggregator.model.market import EventKey
from aggregator.ports import CallBatch, Clock, Decision, Opt, OptOut, Report, ReportRequest, VenMemory
from market_adapters.openadr import messages, reports
from market_adapters.openadr.asked import ReportBook, read_asked
from market_adapters.openadr.book import Book
from market_adapters.openadr.delivery import answers_of, read_delivery
from market_adapters.openadr.doubt import Doubt, now_s
from market_adapters.openadr.exchange import NOT_REGISTERED, Exchange, LostRegistration
from market_adapters.openadr.messages import Outgoing, new_id
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.settings import LONGEST_POLL_S, SHORTEST_POLL_S, VenSettings
from market_adapters.openadr.wire import (
    Answer,
    CancelReport,
    CreatedPartyRegistration,
    DistributeEvent,
    Message,
    Other,
    ReportsAsked,
    Reregister,
    UpdatedReport,
)
from market_adapters.openadr.xmltree import reason_of

__all__ = ["Ven", "VenSettings"]

DEFAULT_POLL_S = 10.0
MOST_IN_A_ROW = 50


class Ven:
    """One link; an async context manager.

    Args:
        settings: Where the platform is, and our name there.
        profile: How it uses OpenADR.
        memory: What must outlive this process.
        clock: Domain time; waiting between polls and after failures is wall time.

    Attributes:
        registered: Whether the platform knows us and our reports.
        last_poll_at: Domain instant of the last poll that was answered.
        consecutive_failures: How often in a row the platform did not answer, or not in a way we can read.
        poll_s: Time between polls. [wall s]
        answers: How many events were answered, by opt and response code.
    """

    def __init__(self, settings: VenSettings, profile: Profile, memory: VenMemory, clock: Clock) -> None:
        self.registered = False
        self.last_poll_at: datetime | None = None
        self.consecutive_failures = 0
        self.poll_s = settings.poll_interval_s or DEFAULT_POLL_S
        self.answers: Counter[tuple[Opt, int]] = Counter()
        self._polled_s: float | None = None
        self._settings = settings
        self._profile = profile
        self._clock = clock
        self._book = Book(settings.vtn_id, memory)
        self._asked = ReportBook(settings.vtn_id, memory)
        self._zones = settings.zones or profile.zones
        products = settings.products or tuple(profile.products)
        self._products = {name: profile.price_steps.get(name, 1) for name in products}
        self._exchange = Exchange(settings)
        self._waiting: deque[CallBatch | ReportRequest] = deque(self._asked.standing())
        self._wake = asyncio.Event()
        self._synced = self._missed = False
        first_s, most_s = settings.retry_first_s, settings.retry_most_s
        self._unanswered, self._unsaid = Doubt(first_s, most_s), Doubt(first_s, most_s)
        self._problems: dict[EventKey, str] = {}
        self._metadata_for: str | None = None
        self._untaken: Message | None = None
        self._in_a_row = 0
        self._log = structlog.get_logger().bind(vtn_id=settings.vtn_id)

    async def __aenter__(self) -> Self:
        await self._exchange.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.registered = False
        await self._exchange.__aexit__(kind, error, trace)

    @property
    def poll_age_s(self) -> float | None:
        """How long ago a poll was last answered, on the wall; None before the first. [s]"""
        return None if self._polled_s is None else now_s() - self._polled_s

    @property
    def clock_skew_s(self) -> float | None:
        """How far the platform's clock is ahead of ours by its last answer; None before one. [s]"""
        return self._exchange.clock_skew_s

    @property
    def skew_s(self) -> float | None:
        """By how much the platform's clock was ahead of ours in its last signature; None before one. [s]"""
        return self._exchange.skew_s

    async def calls(self) -> AsyncIterator[CallBatch | ReportRequest]:
        """Yield what the platform wants, for ever; first the report requests that stood before a restart.

        The next poll waits until the next item is asked for. A platform that is away, or talks nonsense, is
        tried again for ever.
        """
        first_s = self._settings.retry_first_s
        steps = AsyncRetrying(
            retry=retry_if_exception_type((Unavailable, BadMessage)),
            wait=wait_exponential(multiplier=first_s, max=self._settings.retry_most_s)
            + wait_random(0, first_s),
            before_sleep=self._failed,
        )
        while True:
            while self._waiting:
                item = self._waiting.popleft()
                yield item
                if isinstance(item, CallBatch):
                    await steps(asyncio.to_thread, self._book.taken_back, item.calls)
            await steps(self._step)
            self.consecutive_failures = 0

    async def answer(self, batch: CallBatch, decisions: Mapping[EventKey, Decision]) -> None:
        """Tell the platform what we do with a batch's events.

        Those with a problem are opted out of, with the response code that goes with it. The others are told
        the reason of their decision. Those that want an answer and have no decision are left unanswered.

        Raises:
            Unavailable: If the platform is away or does not take the answer. All events are then asked for
                again, ever later, and answered the same way, until it does.
        """
        answers = answers_of(batch, decisions, self._book)
        if not answers:
            return
        message = messages.created_event(self._ven_id(), batch.request_id, answers)
        try:
            # 452 and 454 speak of an event here: it changed since
            await self._ask(message, lost_codes=(NOT_REGISTERED,))
        except (Unavailable, BadMessage) as failure:
            self._unanswered.arises(now_s())
            raise Unavailable(reason_of(failure)) from failure
        self._unanswered.passes()
        self.answers.update((answer.opt, answer.code) for answer in answers)

    async def send(self, report: Report) -> None:
        """Send a report, and return once the platform has acknowledged it.

        Raises:
            Unavailable: If the platform is away, or does not acknowledge it.
            BadMessage: If it refuses it, or the report cannot be sent at all.
        """
        content = reports.values(report, self._profile.load_sign)
        message = messages.update_report(self._ven_id(), content)
        try:
            answer = await self._ask(message, lost_codes=(NOT_REGISTERED,))
        except BadMessage:
            self._asked.told(report)
            raise
        if answer is None or not isinstance(answer.body, UpdatedReport):
            raise Unavailable(f"{report.report_id}: no oadrUpdatedReport in answer to oadrUpdateReport")
        self._asked.told(report)
        if answer.body.cancel is not None:
            self._cancel(answer.body.cancel)
            self._wake.set()

    async def opt_out(self, opt: OptOut) -> None:
        """Opt out of an event that was opted into, and return once the platform has acknowledged it.

        Raises:
            Unavailable: If the platform is away, or does not acknowledge it.
            BadMessage: If it refuses it.
        """
        event = replace(opt.event, modification=self._book.number_sent(opt.event))
        message = messages.create_opt(self._ven_id(), replace(opt, event=event))
        answer = await self._ask(message, lost_codes=(NOT_REGISTERED,))
        if answer is None or not isinstance(answer.body, Answer):
            raise Unavailable(f"{opt.report_id}: no oadrCreatedOpt in answer to oadrCreateOpt")

    async def _step(self) -> None:
        """Do the next thing that is due; what it brings is put among what waits to be yielded."""
        if self._untaken is not None:
            await self._take_it()
        elif not self.registered:
            await self._register()
        elif not self._synced:
            await self._take(await self._ask(messages.request_event(self._ven_id(), new_id())))
            self._synced = True
        elif self._metadata_for is not None:
            await self._offer_reports(self._ven_id(), self._metadata_for)
            self._metadata_for = None
        else:
            await self._poll()

    async def _poll(self) -> None:
        if self._in_a_row in {0, MOST_IN_A_ROW} and not self.consecutive_failures:
            self._in_a_row = 0
            await self._pause()
        if not self.registered or self._waiting:
            return
        self._in_a_row += 1
        self._missed |= any([doubt.falls_due(now_s()) for doubt in (self._unanswered, self._unsaid)])
        try:
            answer = await self._ask(messages.poll(self._ven_id()))
        except (Unavailable, BadMessage):
            self._in_a_row, self._missed = 0, True
            raise
        # what a lost answer held, the platform may count as delivered: all events are asked for anew
        self._synced, self._missed = not self._missed, False
        self.last_poll_at = self._clock.now()
        self._polled_s = now_s()
        if answer is None:
            self._unsaid.arises(self._polled_s)
        else:
            self._unsaid.passes()
        self._untaken = answer
        if not await self._take_it():
            self._in_a_row = 0

    async def _pause(self) -> None:
        pause_s = min(doubt.wait_s(now_s(), self.poll_s) for doubt in (self._unanswered, self._unsaid))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        self._wake.clear()

    async def _register(self) -> None:
        with suppress(BadMessage):
            # only asked because the standard has it so; what counts is in the answer to the registration
            await self._ask(messages.query_registration(new_id()))
        message = messages.create_party_registration(
            new_id(),
            self._settings.ven_name,
            self._book.ven_id,
            self._book.registration_id,
            signed=self._settings.cert is not None,
        )
        try:
            answer = await self._ask(message)
        except LostRegistration:
            self._book.register(None, None)
            raise
        if answer is None or not isinstance(answer.body, CreatedPartyRegistration) or not answer.body.ven_id:
            found = "nothing" if answer is None else answer.name
            raise BadMessage(Fault(message.name, found, "oadrCreatedPartyRegistration with a venID"))
        if answer.body.vtn_id != self._settings.vtn_id:
            raise BadMessage(Fault(f"{answer.name}: vtnID", answer.body.vtn_id, self._settings.vtn_id))
        self._book.register(answer.body.ven_id, answer.body.registration_id)
        if self._settings.poll_interval_s is None and answer.body.poll_every is not None:
            self.poll_s = min(LONGEST_POLL_S, max(SHORTEST_POLL_S, answer.body.poll_every.total_seconds()))
        await self._offer_reports(answer.body.ven_id)
        self.registered, self._synced = True, False
        self._log.info("registered", ven_id=answer.body.ven_id, poll_s=self.poll_s)

    async def _offer_reports(self, ven_id: str, asked_as: str | None = None) -> None:
        granularity, now = self._settings.granularity, self._clock.now()
        offered = reports.metadata(self._zones, self._products, granularity, now, asked_as)
        try:
            answer = await self._ask(messages.register_report(ven_id, new_id(), offered, asked_as))
        except BadMessage as refusal:
            # a platform that wants no reports can still send events
            self._log.warning("reports_refused", error=str(refusal))
            return
        if answer is not None and isinstance(answer.body, ReportsAsked) and answer.body.requests:
            await self._reports_asked(ven_id, answer.body, registered=True)

    async def _take_it(self) -> bool:
        """Deal with what a poll brought; where it can't be kept now it stays: nobody may say it again."""
        message, self._untaken = self._untaken, None
        try:
            return await self._take(message)
        except Unavailable:
            self._untaken = message
            raise

    async def _take(self, message: Message | None) -> bool:
        """Deal with one message; return whether more may be waiting."""
        if message is None:
            return False
        body, ven_id = message.body, self._book.ven_id or ""
        match body:
            case DistributeEvent():
                return self._events(body, message.raw)
            case ReportsAsked():
                await self._reports_asked(ven_id, body, registered=False)
            case CancelReport():
                self._cancel(body)
                pending = self._asked.pending()
                await self._tell(messages.canceled_report(ven_id, body.request_id, pending))
            case Other() if message.name == "oadrRegisterReport":
                await self._tell(messages.registered_report(ven_id, body.request_id))
            case Other():
                text = f"{message.name} is not expected by a VEN"
                self._log.warning("unexpected_message", message=message.name)
                await self._tell(messages.response(ven_id, body.request_id, 459, text, to="EiEvent"))
            case _:
                return False
        return True

    def _events(self, body: DistributeEvent, raw: bytes) -> bool:
        """Put all current events among what waits; return whether there was anything new among them."""
        vtn_id = self._settings.vtn_id
        if body.vtn_id not in {vtn_id, ""}:
            self._log.warning("other_vtn", found=body.vtn_id)
            return False
        batch, new = read_delivery(body, raw, self._book, self._profile, vtn_id, self._clock.now())
        problems = {call.key: call.problem for call in batch.calls if call.problem is not None}
        for key, problem in problems.items() - self._problems.items():
            self._log.warning("event_with_problem", event_id=key.event_id, problem=problem)
        self._problems = problems
        if batch.calls:
            self._waiting.append(batch)
        return new

    async def _reports_asked(self, ven_id: str, body: ReportsAsked, *, registered: bool) -> None:
        now = self._clock.now()
        asked = read_asked(
            body.requests,
            reports.offered(self._zones, self._products),
            standing=self._asked.pending(),
            vtn_id=self._settings.vtn_id,
            granularity=self._settings.granularity,
            now=now,
        )
        self._waiting.extend(self._asked.ask(asked.requests, now, registered=registered))
        if asked.refusals:
            self._log.warning("report_requests_refused", refusals=asked.refusals)
        if not registered:
            # in answer to our METADATA it would be asked for without end
            self._metadata_for = asked.metadata or self._metadata_for
        pending = self._asked.pending()
        await self._tell(messages.created_report(ven_id, body.request_id, pending, asked.refusals))

    def _cancel(self, body: CancelReport) -> None:
        now = self._clock.now()
        self._waiting.extend(self._asked.cancel(body.report_request_ids, now, to_follow=body.to_follow))

    async def _tell(self, message: Outgoing) -> None:
        """Say something that changes nothing for us if it is lost."""
        try:
            await self._ask(message, lost_codes=(NOT_REGISTERED,))
        except (Unavailable, BadMessage) as error:
            self._log.warning("not_told", message=message.name, error=str(error))

    async def _ask(self, message: Outgoing, *, lost_codes: tuple[int, ...] | None = None) -> Message | None:
        try:
            if lost_codes is None:
                return await self._exchange.ask(message)
            return await self._exchange.ask(message, lost_codes=lost_codes)
        except LostRegistration as lost:
            self._log.warning("registration_lost", error=str(lost))
            self.registered = False
            self._wake.set()
            if lost.asked is not None:
                await self._confirm(lost.asked)
            raise

    async def _confirm(self, asked: Reregister) -> None:
        """Confirm that we heard it; a registration taken back is no use for the next one."""
        ven_id, request_id = self._book.ven_id or "", asked.request_id
        if request_id is None:
            message = messages.response(ven_id, "", to="EiRegisterParty")
        else:
            message = messages.canceled_party_registration(ven_id, asked.registration_id, request_id)
            self._book.register(ven_id or None, None)
        with suppress(Unavailable, BadMessage):
            await self._exchange.ask(message)

    def _failed(self, state: RetryCallState) -> None:
        self.consecutive_failures += 1
        error = reason_of(state.outcome.exception()) if state.outcome else None
        wait_s = round(state.next_action.sleep, 3) if state.next_action else None
        self._log.warning("vtn_away", error=error, failures=self.consecutive_failures, wait_s=wait_s)

    def _ven_id(self) -> str:
        if not self.registered or self._book.ven_id is None:
            raise Unavailable(f"{self._settings.vtn_id}: not registered")
        return self._book.ven_id
