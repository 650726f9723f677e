"""Our word taken back after the award: by the desk, or because no car can do anything."""

import asyncio
from datetime import date, timedelta
from pathlib import Path

import pytest

from aggregator.app import loop_settings
from aggregator.book import Book
from aggregator.config import read_settings
from aggregator.gateway import LONGEST_UNSERVED, Gateway
from aggregator.intake import take
from aggregator.model.errors import RuleViolation
from aggregator.model.fleet import Approval, ExportSource, Fleet
from aggregator.model.market import Direction
from aggregator.model.opportunity import OptedOut, Stage
from aggregator.ordered import instructed_wh
from aggregator.ports import Decision, Opt, OptOut
from aggregator.settlement import settle
from aggregator.store import open_store
from dispatch.controller import Controller
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    VTN,
    ZONE,
    a_car,
    a_fleet,
    a_product,
    a_site,
    an_award_call,
    an_order_call,
    cancelled,
    key_of,
)
from tests.fakes.clock import FakeClock
from tests.fakes.link import ObedientLink
from tests.unit.desk_steps import DESK
from tests.unit.intake_steps import CALL_PRODUCT, a_flow, awarded, named, refusals

REF = {"opportunity_ref": "requirement-1"}
PATIENCE_S = 20
RUNNING = EVENING.start + timedelta(minutes=40)
SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def clock():
    return FakeClock(NOON)


@pytest.fixture
def flow(store, clock):
    flow = a_flow(store, clock)
    flow.desk = DESK
    return flow


def delivering(flow, clock):
    awarded(flow)
    take(flow, an_order_call(**REF))
    clock.set(RUNNING)
    return flow.advance(named(flow))


def opted_out(flow):
    """Return the event versions that the platform is told we opt out of."""
    reports = [entry.report for entry in flow.store.outbox.pending(VTN)]
    return [report.event for report in reports if isinstance(report, OptOut)]


def test_an_award_taken_back_by_the_desk_closes_and_the_platform_is_told(flow):
    one = flow.withdraw(awarded(flow), "a charger recall", "tim")
    assert (one.stage, one.closed_because) == (Stage.CLOSED, "OptedOut: a charger recall")
    assert opted_out(flow) == [key_of("award-1")]


def test_an_order_taken_back_while_it_is_delivered_counts_until_then(flow, clock):
    one = flow.withdraw(delivering(flow, clock), "a charger recall", "tim")
    assert (one.stage, one.instruction) == (Stage.DELIVERED, None)
    assert opted_out(flow) == [key_of("award-1"), key_of("dispatch-1")]
    assert [instructed_wh(one, a_product(), 0, slot) for slot in SLOTS] == [15_000, 8_333, 0, 0]
    lines = settle(one, a_product(), {}, {}, {}).lines
    whole = [line.availability_gbp for line in settle(delivering_again(flow), a_product(), {}, {}, {}).lines]
    paid = [line.availability_gbp for line in lines]
    assert paid[0] == whole[0]
    assert paid[1] == pytest.approx(whole[1] / 3)
    assert paid[2:] == [0, 0]


def delivering_again(flow):
    """Return the opportunity as it stood before it was opted out of."""
    facts = [row.fact for row in flow.store.journal.facts(named(flow).opportunity_id)]
    one = type(named(flow))("as it stood")
    for fact in facts:
        one = one if isinstance(fact, OptedOut) else one.after(fact)
    return one


def test_only_a_trader_takes_an_award_back(flow):
    one = awarded(flow)
    with pytest.raises(RuleViolation, match="ann is no trader"):
        flow.withdraw(one, "no", "ann")
    assert (named(flow), opted_out(flow)) == (one, [])


def test_what_was_delivered_cannot_be_taken_back(flow, clock):
    delivering(flow, clock)
    clock.set(EVENING.end)
    with pytest.raises(RuleViolation):
        flow.withdraw(flow.advance(named(flow)), "no", "tim")
    assert opted_out(flow) == []


def test_a_redelivery_is_answered_by_what_holds_now(flow, clock):
    one = delivering(flow, clock)
    assert take(flow, an_order_call(**REF)).opt is Opt.IN
    flow.withdraw(one, "a charger recall", "tim")
    assert take(flow, an_order_call(**REF)).opt is Opt.OUT
    assert take(flow, an_award_call(**REF)) == Decision(Opt.OUT, "we have opted out of it since")
    assert take(flow, an_order_call(1, **REF)).opt is Opt.OUT
    assert take(flow, cancelled(an_order_call(**REF), modification=2)).opt is Opt.IN


def test_a_call_under_a_standing_contract_is_opted_out_of_alone(flow):
    take(flow, an_order_call(product_id=CALL_PRODUCT))
    (one,) = flow.open()
    assert flow.opt_out(one, "no cars", "fleet").stage is Stage.CLOSED
    assert opted_out(flow) == [key_of("dispatch-1")]


# the fleet cannot


@pytest.mark.parametrize(
    "site",
    [
        a_site(export_source=ExportSource.NONE),
        a_site(export_limit_kw=0.0),
        a_site(zone="WESTGATE"),
        a_site(approval=Approval.APPLIED),
        a_site(approved_from=date(2025, 1, 16)),
    ],
    ids=["none", "nothing", "elsewhere", "applied", "tomorrow"],
)
def test_an_order_where_no_car_may_ever_deliver_is_refused(flow, site):
    flow.store.fleet.replace(Fleet((a_car(site=site),), "f" * 64), NOON, "fleet.csv")
    assert take(flow, an_order_call(product_id=CALL_PRODUCT)).opt is Opt.OUT
    assert refusals(flow) == [f"no car of {ZONE} may deliver anything"]


def test_a_zone_of_cars_that_only_charge_serves_orders_for_load(flow):
    flow.products[CALL_PRODUCT] = a_product(
        product_id=CALL_PRODUCT, direction=Direction.DOWN, standing_contract=True
    )
    site = a_site(export_source=ExportSource.NONE)
    flow.store.fleet.replace(Fleet((a_car(site=site),), "f" * 64), NOON, "fleet.csv")
    assert take(flow, an_order_call(product_id=CALL_PRODUCT)).opt is Opt.IN


@pytest.fixture
def gateway(flow, store, clock):
    store.fleet.replace(a_fleet(2), NOON, "fleet.csv")
    settings = SETTINGS.model_copy(
        update={"fleet": SETTINGS.fleet.model_copy(update={"zones": (ZONE,), "history": None})}
    )
    gateway = Gateway(settings, store, clock)
    gateway.workflow = flow
    return gateway


def test_an_order_that_no_car_can_serve_for_long_is_opted_out_of_once_with_an_alarm(gateway, flow, clock):
    name = delivering(flow, clock).opportunity_id
    gateway.give_up({name: RUNNING})
    assert opted_out(flow) == []
    clock.set(RUNNING + LONGEST_UNSERVED)
    for _ in range(2):
        gateway.give_up({name: RUNNING})
    assert opted_out(flow) == [key_of("award-1"), key_of("dispatch-1")]
    (alarm,) = flow.store.alarms.all()
    assert (alarm.code, alarm.where) == ("opted_out", name)
    assert "no car of EASTGATE could deliver anything since 2025-01-15T17:40:00Z" in alarm.text


def test_what_the_desk_does_meanwhile_is_noticed_and_the_loop_is_told(gateway, flow, clock):
    one = delivering(flow, clock)
    gateway.tick()
    gateway.book.refresh(clock.now())
    assert gateway.book.targets(clock.now()) != []
    assert not gateway.tick()
    a_desk = a_flow(flow.store, clock)
    a_desk.desk = DESK
    a_desk.withdraw(one, "a charger recall", "tim")
    assert gateway.tick()
    assert gateway.book.refresh(clock.now())
    assert gateway.book.targets(clock.now()) == []
    assert not gateway.book.refresh(clock.now())


async def test_an_order_that_the_desk_takes_back_is_out_of_the_loop_at_once(gateway, flow, clock):
    one = delivering(flow, clock)
    asked = asyncio.Queue()

    class Asked(Book):
        def targets(self, now):
            found = super().targets(now)
            asked.put_nowait([target.export_kw[0] for target in found])
            return found

    async def record(_):
        """Keep nothing."""

    gateway.book = Asked(flow.store, gateway.settings.fleet.zones)
    gateway.book.refresh(clock.now())
    controller = Controller(
        gateway.fleet, ObedientLink(), clock, gateway.book, gateway.prices, record, loop_settings(SETTINGS)
    )
    # the clock stands still: no cycle is due but those that something wakes
    tasks = [asyncio.create_task(controller.run()), asyncio.create_task(gateway.keep_time(controller))]
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await asked.get() == [50.0]
            await asyncio.to_thread(flow.withdraw, one, "a charger recall", "tim")
            while await asked.get() == [50.0]:
                pass
            assert gateway.book.targets(clock.now()) == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
