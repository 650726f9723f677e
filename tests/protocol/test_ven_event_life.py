"""From a platform's bytes to what the control loop follows, and back to the platform as an answer."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest

from aggregator.book import Book
from aggregator.desk import Desk
from aggregator.intake import take_batch
from aggregator.model.errors import Unavailable
from aggregator.ports import CallBatch
from aggregator.rehearsals import Rehearsals
from aggregator.store import open_store
from aggregator.workflow import Workflow
from aggregator.yielding import Yielding
from market_adapters.openadr.ven import Ven, VenSettings
from tests.builders import a_product
from tests.fakes.clock import FakeClock
from tests.protocol.linked import PROFILE
from tests.protocol.vtn import HALF_HOUR, START, VTN_ID, FakeVtn, an_event, distribute

ZONE = "Hendon Way"
MINUTE, TEN_MINUTES = timedelta(minutes=1), timedelta(minutes=10)
PATIENCE_S = 20


@dataclass
class Gateway:
    """A store, its workflow, and the link that feeds it."""

    vtn: FakeVtn
    flow: Workflow
    clock: FakeClock

    def asked_kw(self):
        """Return what the control loop would follow now, None where it is in no window. [kW]"""
        book = Book(self.flow.store, (ZONE,))
        book.refresh(self.clock.now())
        return next((target.export_kw[0] for target in book.targets(self.clock.now())), None)

    def notices(self):
        """Return what the desk is told by now."""
        book = Book(self.flow.store, (ZONE,))
        book.refresh(self.clock.now())
        Rehearsals(self.flow.store).tell(book.tests, self.clock.now())
        Yielding(self.flow.store).tell(self.flow.open(), self.clock.now())
        return [alarm.code for alarm in self.flow.store.alarms.all()]

    async def deliver(self, *events):
        """Deliver all current events by poll; return the answer, event by event, as (code, opt)."""
        count = self.vtn.names().count("oadrCreatedEvent")
        self.vtn.polls.append(distribute(*events))
        async with asyncio.timeout(PATIENCE_S):
            await self.vtn.until("oadrCreatedEvent", count + 1)
        said = self.vtn.last("oadrCreatedEvent").fields
        prefix = "eiCreatedEvent.eventResponses.eventResponse"
        several = f"{prefix}[0].optType" in said
        names = [f"{prefix}[{n}]" for n in range(len(events))] if several else [prefix]
        return [(int(said[f"{name}.responseCode"]), said[f"{name}.optType"]) for name in names]


async def follow(ven, flow):
    async for item in ven.calls():
        if isinstance(item, CallBatch):
            decisions = await asyncio.to_thread(take_batch, flow, item)
            with suppress(Unavailable):
                await ven.answer(item, {call.key: one for call, one in decisions.items()})


@asynccontextmanager
async def a_gateway(tmp_path, at=START + MINUTE):
    """A gateway under a standing contract, so that an order needs no bid before."""
    clock = FakeClock(at)
    products = {"day-ahead": a_product(product_id="day-ahead", standing_contract=True)}
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        flow = Workflow(store, clock, products, Desk(True, frozenset(), frozenset(), ()))
        async with FakeVtn() as vtn:
            settings = VenSettings(VTN_ID, vtn.url, "flexloop", 0.02, retry_first_s=0.02, retry_most_s=0.05)
            async with Ven(settings, PROFILE, store.memory, clock) as ven:
                task = asyncio.create_task(follow(ven, flow))
                await vtn.until("oadrPoll")
                try:
                    yield Gateway(vtn, flow, clock)
                finally:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task


IN, OUT = (200, "optIn"), (200, "optOut")


@pytest.mark.parametrize("status", ["none", "far", "near", "active"])
async def test_an_order_is_followed_by_its_times_whatever_live_status_it_has(tmp_path, status):
    async with a_gateway(tmp_path) as gateway:
        assert await gateway.deliver(an_event(status=status)) == [IN]
        assert gateway.asked_kw() == 30.0


@pytest.mark.parametrize(("status", "answer"), [("cancelled", IN), ("completed", OUT)])
async def test_what_is_over_when_first_seen_starts_nothing(tmp_path, status, answer):
    async with a_gateway(tmp_path) as gateway:
        event = an_event(status=status)
        assert await gateway.deliver(event) == [answer]
        assert await gateway.deliver(event) == [answer]
        assert gateway.asked_kw() is None


async def test_the_platform_is_told_why_an_order_is_opted_out_of(tmp_path):
    async with a_gateway(tmp_path, START + 3 * HALF_HOUR) as gateway:
        for _ in range(2):
            assert await gateway.deliver(an_event()) == [OUT]
            said = gateway.vtn.last("oadrCreatedEvent").fields
            told = said["eiCreatedEvent.eventResponses.eventResponse.responseDescription"]
            assert told == "the order was over before it was told: it ended at 2025-01-15T18:00:00Z"
        assert len(gateway.flow.store.alarms.open()) == 1


async def test_a_stamp_that_is_never_raised_takes_back_nothing_that_was_delivered(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event())
        gateway.clock.set(START + 2 * TEN_MINUTES)
        assert await gateway.deliver(an_event(modification=1, status="cancelled")) == [IN]
        (order,) = gateway.flow.store.journal.find(zone=ZONE)
        assert [change.at for change in order.orders] == [START + MINUTE, START + 2 * TEN_MINUTES]


@pytest.mark.parametrize("status", ["cancelled", "completed"])
@pytest.mark.parametrize("modification", [0, 1])
async def test_a_running_order_that_is_over_is_gone_also_without_a_new_number(tmp_path, status, modification):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event())
        over = an_event(status=status, modification=modification)
        assert await gateway.deliver(over) == [IN]
        assert gateway.asked_kw() is None
        assert await gateway.deliver(over) == [IN]
        assert len(gateway.flow.store.alarms.open()) == 0


async def test_the_end_of_an_order_needs_no_more_than_its_id(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event())
        bare = an_event(status="cancelled", modification=1, zone="Mars", signal_name="x-WHAT")
        assert await gateway.deliver(bare) == [IN]
        assert gateway.asked_kw() is None


async def test_a_status_of_another_clock_is_not_believed(tmp_path):
    async with a_gateway(tmp_path, START - HALF_HOUR) as gateway:
        assert await gateway.deliver(an_event(status="completed")) == [IN]
        gateway.clock.set(START + MINUTE)
        assert gateway.asked_kw() == 30.0


async def test_an_order_is_modified_shortened_lengthened_and_ended_while_it_runs(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event())
        assert await gateway.deliver(an_event(modification=1, kw=(-20.0,))) == [IN]
        assert gateway.asked_kw() == 20.0
        gateway.clock.set(START + HALF_HOUR + MINUTE)
        assert gateway.asked_kw() is None
        assert await gateway.deliver(an_event(modification=2, kw=(-20.0, -20.0, -10.0))) == [IN]
        assert gateway.asked_kw() == 20.0
        assert await gateway.deliver(an_event(modification=1)) == [(450, "optOut")]
        assert gateway.asked_kw() == 20.0
        assert await gateway.deliver(an_event(modification=3, status="cancelled")) == [IN]
        assert gateway.asked_kw() is None


async def test_overlapping_orders_are_served_by_priority_and_the_other_resumes(tmp_path):
    def of_need(name, kw, priority):
        event = an_event(name, kw=kw)
        event["event_descriptor"] |= {"priority": priority, "vtn_comment": f"REQ-{name}"}
        return event

    low, high = of_need("low", (-10.0, -10.0), 3), of_need("high", (-30.0,), 1)
    async with a_gateway(tmp_path) as gateway:
        assert await gateway.deliver(low, high) == [IN, IN]
        assert gateway.asked_kw() == 30.0
        assert gateway.notices() == ["order_yields"]
        gateway.clock.set(START + HALF_HOUR + MINUTE)
        assert gateway.asked_kw() == 10.0
        await gateway.deliver(high)
        assert gateway.asked_kw() is None


async def test_orders_of_one_need_stand_side_by_side(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        first, second = an_event("first", kw=(-30.0,)), an_event("second", kw=(-20.0, -20.0))
        assert await gateway.deliver(first, second) == [IN, IN]
        assert gateway.asked_kw() == 20.0
        await gateway.deliver(first)
        assert gateway.asked_kw() == 30.0


async def test_a_bad_event_among_several_is_refused_alone(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        bad = an_event("bad", signal_name="CHARGE_STATE")
        assert await gateway.deliver(an_event("good"), bad) == [IN, (460, "optOut")]
        assert gateway.asked_kw() == 30.0


async def test_an_open_ended_order_is_ended_by_a_modification(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        gateway.vtn.polls.append(distribute(an_event(kw=(-30.0,))).replace("PT30M", "PT0S"))
        await gateway.vtn.until("oadrCreatedEvent")
        gateway.clock.set(START + timedelta(hours=6))
        assert gateway.asked_kw() == 30.0
        assert await gateway.deliver(an_event(modification=1, kw=(-30.0, -30.0))) == [IN]
        assert gateway.asked_kw() is None


async def test_a_test_is_accepted_moves_nothing_and_ends_also_by_going_missing(tmp_path):
    tried = an_event("tried")
    tried["event_descriptor"]["test_event"] = True
    async with a_gateway(tmp_path) as gateway:
        assert await gateway.deliver(tried) == [IN]
        assert gateway.asked_kw() is None
        assert gateway.notices() == ["test_event_started"]
        await gateway.deliver(an_event("real"))
        assert gateway.asked_kw() == 30.0
        assert gateway.notices() == ["test_event_started", "test_event_ended"]
        assert await gateway.deliver(tried) == [(450, "optOut")]


XCAL = "urn:ietf:params:xml:ns:icalendar-2.0"


def with_period(event, text):
    """Return a delivery whose active period says more."""
    return distribute(event).replace("</properties>", text + "</properties>")


async def test_a_ramp_is_followed_before_the_start(tmp_path):
    ramp = f'<ei:x-eiRampUp><duration xmlns="{XCAL}">PT10M</duration></ei:x-eiRampUp>'
    async with a_gateway(tmp_path, START - timedelta(minutes=11)) as gateway:
        gateway.vtn.polls.append(with_period(an_event(), ramp))
        await gateway.vtn.until("oadrCreatedEvent")
        asked = []
        for minutes in (11, 10, 5, 1):
            gateway.clock.set(START - timedelta(minutes=minutes))
            asked.append(gateway.asked_kw())
        assert asked == [None, pytest.approx(1.5), pytest.approx(16.5), pytest.approx(28.5)]
        gateway.clock.set(START)
        assert gateway.asked_kw() == 30.0


async def test_a_randomised_start_is_the_same_after_a_restart(tmp_path):
    tolerance = "<tolerance><tolerate><startafter>PT20M</startafter></tolerate></tolerance>"
    seen = []
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        async with a_gateway(tmp_path / name, START) as gateway:
            gateway.vtn.polls.append(with_period(an_event(), tolerance))
            await gateway.vtn.until("oadrCreatedEvent")
            (one,) = gateway.flow.open()
            delay = timedelta(seconds=one.instruction.delay_s)
            assert timedelta(0) < delay <= timedelta(minutes=20)
            gateway.clock.set(START + delay - timedelta(seconds=1))
            assert gateway.asked_kw() is None
            gateway.clock.set(START + 2 * HALF_HOUR + delay - timedelta(seconds=1))
            assert gateway.asked_kw() == 30.0
            seen.append(delay)
    assert seen[0] == seen[1]


async def test_an_order_that_wants_no_answer_is_followed_and_not_answered(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        gateway.vtn.polls.append(distribute(an_event(response_required="never")))
        await gateway.deliver(an_event(response_required="never"), an_event("asked", kw=(-10.0,)))
        assert gateway.vtn.names().count("oadrCreatedEvent") == 1
        assert "DSP-1" not in gateway.vtn.last("oadrCreatedEvent").fields.values()
        assert len(gateway.flow.open()[0].in_force) == 2
