"""Our side of the link against the simulated operator: from its need to its books."""

from datetime import timedelta

from aggregator.model.time import Interval
from aggregator.ports import CallKind, Decision, Opt, Report, ReportRow
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
