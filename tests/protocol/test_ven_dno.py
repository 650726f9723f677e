"""Our side of the link against the simulated operator: from its need to its books."""

from datetime import timedelta
from decimal import Decimal

from aggregator.model.opportunity import Approved, Awarded, Instructed, Proposed, Received, replay
from aggregator.model.steps import PriceStep
from aggregator.model.time import Interval
from aggregator.outgoing import bid_report
from aggregator.plausible import must_be_plausible
from aggregator.ports import CallKind, Decision, Opt, Report, ReportRow
from aggregator.settlement import Metered, settle
from tests.builders import a_draft, a_nomination, a_product
from tests.protocol.dno_platform import PREFIX, START, ZONE, platform
from tests.protocol.linked import linked

MINUTE, HALF_HOUR = timedelta(minutes=1), timedelta(minutes=30)
SLOTS = Interval(START, START + 2 * HALF_HOUR).slots(HALF_HOUR)


class Address:
    """Where the simulated operator listens, as ``linked`` wants it."""

    def __init__(self, base):
        self.url = f"{base}/OpenADR2/Simple/2.0b"


async def the_call(inbox, kind):
    """Wait for the first call of a kind; return it with its batch."""
    count = 1
    while True:
        batch = (await inbox.batches(count))[count - 1]
        for call in batch.calls:
            if call.kind is kind:
                return batch, call
        count += 1


def a_report(name, request_id, specifier, rows):
    return Report(name, "DSO-Demo", request_id, specifier, START, tuple(rows))


async def test_need_bid_award_order_telemetry_and_settlement(tmp_path):
    async with (
        platform(tmp_path) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        p.at("2025-01-07T14:00:00+00:00")
        batch, need = await the_call(inbox, CallKind.REQUIREMENT)
        assert need.content.needed_kw == (30.0, 30.0)
        await ven.answer(batch, {need.key: Decision(Opt.IN)})

        asked = await inbox.requests(5)
        assert {r.request_id for r in asked} == {
            "RR-telemetry", "RR-status", "RR-nomination", "RR-settlement", "007"
        }  # fmt: skip
        values = {"kw/1": 30.0, "util/1": 590.0, "avail/1": 0.0}
        bid = [ReportRow(f"{PREFIX}/{name}", slot, value) for slot in SLOTS for name, value in values.items()]
        await ven.send(a_report("B-1:1", "007", "bid", bid))
        nominated = [ReportRow(f"{ZONE}/nominated_kwh", slot, 1.0) for slot in SLOTS]
        await ven.send(a_report("N-1:1", "RR-nomination", "nomination", nominated))

        p.at("2025-01-07T16:30:00+00:00")
        _, award = await the_call(inbox, CallKind.AWARD)
        assert (award.content.awarded_kw, award.opportunity_ref) == ((30.0, 30.0), "007")
        p.at("2025-01-08T15:00:00+00:00")
        batch, order = await the_call(inbox, CallKind.DISPATCH)
        assert [step.value for step in order.content.steps] == [30.0, 30.0]
        await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls})

        p.at("2025-01-08T18:30:00+00:00")
        minutes = Interval(START, START + 2 * HALF_HOUR).slots(MINUTE)
        metered = [ReportRow(f"{ZONE}/export_kwh", minute, 32 / 60) for minute in minutes]
        await ven.send(a_report("T-1", "RR-telemetry", "telemetry", metered))
        await ven.send(a_report("S-1", "RR-status", "status", [ReportRow(f"{ZONE}/status", minutes[0], 1.0)]))
        quantities = {"nominated_kwh": 1.0, "metered_kwh": 16.0, "delivered_kwh": 15.0}
        claim = [ReportRow(f"{ZONE}/{name}", slot, kwh) for slot in SLOTS for name, kwh in quantities.items()]
        await ven.send(a_report(f"settlement:{ZONE}:1", "RR-settlement", "settlement", claim))

        row = p.row()
        assert (row["bid"]["kw"], row["refused"]) == ([30.0, 30.0], [])
        assert row["opt"]["007"] == row["opt"]["DSP-007"] == "optIn"
        assert row["delivered_kwh"] == 30.0
        assert row["agrees"]


async def test_three_price_steps_are_cleared_in_price_order_and_both_sides_pay_the_same(tmp_path):
    """Half of 30 kW is taken: 10 kW at 300, 5 kW at 310, nothing at 345.50. Paid is the mean, 303.33."""
    steps = tuple(PriceStep((10.0, 10.0), Decimal(price)) for price in ("300.00", "310.00", "345.50"))
    draft = a_draft(
        offered_kw=(30.0, 30.0),
        utilisation_gbp_per_mwh=Decimal("300.00"),
        availability_gbp_per_mw_h=Decimal(0),
        base_kw=(0.0, 0.0),
        kept_kw=(0.0, 0.0),
        steps=steps,
    )
    product = a_product(product_id="day-ahead", penalty_gbp_per_mwh=Decimal(600))
    async with (
        platform(tmp_path, {"accept_fraction": 0.5}) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo", price_steps=3) as (ven, inbox),
    ):
        p.at("2025-01-07T14:00:00+00:00")
        batch, need = await the_call(inbox, CallKind.REQUIREMENT)
        await ven.answer(batch, {need.key: Decision(Opt.IN)})
        asked = await inbox.requests(5)
        wanted = next(r for r in asked if r.request_id == "007")
        assert {f"{PREFIX}/{name}/{n}" for name in ("kw", "util", "avail") for n in (1, 2, 3)} == set(
            wanted.r_ids
        )
        await ven.send(bid_report(need.content, draft, product, p.clock.now()))
        nominated = [ReportRow(f"{ZONE}/nominated_kwh", slot, 0.0) for slot in SLOTS]
        await ven.send(a_report("N-1:1", "RR-nomination", "nomination", nominated))
        assert [step["util"] for step in p.row()["bid"]["steps"]] == [[300.0] * 2, [310.0] * 2, [345.5] * 2]

        p.at("2025-01-07T16:30:00+00:00")
        batch, award = await the_call(inbox, CallKind.AWARD)
        assert award.content.awarded_kw == (15.0, 15.0)
        assert award.content.utilisation_gbp_per_mwh == Decimal("303.33")
        await ven.answer(batch, {award.key: Decision(Opt.IN)})
        p.at("2025-01-08T15:00:00+00:00")
        batch, order = await the_call(inbox, CallKind.DISPATCH)
        await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls})
        p.at("2025-01-08T18:30:00+00:00")
        minutes = Interval(START, START + 2 * HALF_HOUR).slots(MINUTE)
        metered = [ReportRow(f"{ZONE}/export_kwh", minute, 14.2 / 60) for minute in minutes]
        await ven.send(a_report("T-1", "RR-telemetry", "telemetry", metered))

        now, row = START - timedelta(hours=2), p.row()
        offered = [Received(now, need.content), Proposed(now, draft)]
        must_be_plausible(award.content, replay("bid-1", offered), START)
        one = replay(
            "bid-1",
            [
                *offered,
                Approved(now, draft.digest, "bob"),
                Awarded(now, award.content),
                Instructed(now, order.content),
            ],
        )
        lines = settle(
            one,
            product,
            {slot: a_nomination(zone=ZONE, period=slot, export_wh=0) for slot in SLOTS},
            {slot: (Metered("charger-1", 7_100, False),) for slot in SLOTS},
            {"charger-1": "car-1"},
        ).lines
        assert [line["delivered_kwh"] for line in row["settlement"]] == [7.1, 7.1]
        # 7.1 kWh x 303.33 less 0.4 kWh x 600: GBP 2.15364 - 0.24 = 1.91
        assert [line.amount_gbp for line in lines] == [Decimal("1.91")] * 2
        assert [Decimal(str(line["amount_gbp"])) for line in row["settlement"]] == [Decimal("1.91")] * 2
        assert row["price"] == [303.33, 303.33]
