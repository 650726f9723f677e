"""Needs on both sides of noon and across it: sold once, nominated as planned, found again by the audit."""

from datetime import date, timedelta

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregator.audit.evidence import Evidence
from aggregator.audit.plans import p11_split, p13_nomination
from aggregator.energy import reach
from aggregator.forecast import Horizon
from aggregator.model.market import BidShape
from aggregator.model.time import Interval, local_day
from aggregator.nominating import held_back_kw
from aggregator.spans import Span
from aggregator.standing import newest_plan
from aggregator.zone_day import SLOT_HOURS, zone_day
from tests.bid_world import ZONE
from tests.noon_world import Desk, a_desk, a_mixed_past

CARS = 4
WEDNESDAY = date(2025, 1, 15)
WINDOWS = [(11, 15), (17, 19), (9, 12.5), (6, 7.5), (11.5, 13), (22, 26), (35, 38), (41, 42)]
needs = st.lists(
    st.tuples(
        st.sampled_from(WINDOWS), st.sampled_from([5.0, 40.0]), st.sampled_from([300, 600]), st.booleans()
    ),
    min_size=2,
    max_size=3,
    unique_by=lambda one: one[0],
)


def must_be_deliverable(desk: Desk, day: date, history) -> None:
    """Check that all live bids of a local day and its nomination can be split in each scenario.

    From 06:00 on: across the night cars charge, which a single window does not count.
    """
    gateway, horizon = desk.gateway, Horizon(day, 2)
    span = Interval(local_day(day).start + timedelta(hours=6), local_day(day).end)
    here = [one for one in desk.live() if one.window.overlap(span)]
    if not here:
        return
    planned = zone_day(
        gateway.settings, gateway.fleet, history, lambda *_: (), ZONE, horizon, desk.clock.now()
    )
    drafts = [(one.requirement, one.draft or one.submitted) for one in here]
    nominated, base, bids = {}, {}, dict.fromkeys(horizon.slots, 0.0)
    for part in horizon.parts:
        names = [one.opportunity_id for one in desk.live() if one.window.overlap(part.interval)]
        plan = newest_plan(gateway.store, names, part.interval, desk.clock.now()) or planned.plan
        held = held_back_kw(plan, drafts)
        rows = zip(plan.slots, plan.base_discharge_kw, plan.base_charge_kw, strict=True)
        for slot, base_kw, charge_kw in rows:
            nominated[slot], base[slot] = base_kw - held.get(slot, 0.0) - charge_kw, base_kw
    for need, draft in drafts:
        for slot, kw in zip(need.slots, draft.offered_kw, strict=True):
            if slot in bids and slot.overlap(span):
                assert not (bids[slot] and kw), "two services in one half-hour"
                bids[slot] += kw
    used = [
        n
        for n, slot in enumerate(horizon.slots)
        if slot.overlap(span) and (bids[slot] > 0.0 or base[slot] > 0.01)
    ]
    if not used:
        return
    first, stop = used[0], used[-1] + 1
    windows, _ = planned.windows(Span(first, stop), (), up=True)
    able = reach(windows, SLOT_HOURS, up=True)
    base_kw, bid_kw = (np.array([kw[slot] for slot in horizon.slots[first:stop]]) for kw in (nominated, bids))
    without = able.most_kwh(SLOT_HOURS * base_kw)
    called = able.most_kwh(SLOT_HOURS * (base_kw + bid_kw))
    assert (called - without >= SLOT_HOURS * bid_kw.sum() - 1e-5).all()


@given(st.integers(0, 10**6), needs, st.sampled_from(BidShape))
@settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_needs_around_noon_are_sold_once_and_nominated_as_planned(tmp_path_factory, seed, asked, shape):
    past = a_mixed_past(CARS, seed)
    with a_desk(tmp_path_factory.mktemp("noon"), CARS, past, shape) as desk:
        for window, kw, price, approve in asked:
            desk.ask(window, kw, price, approve=approve)
        for day in (WEDNESDAY, WEDNESDAY + timedelta(days=1)):
            must_be_deliverable(desk, day, past)
        desk.at_gates(14 - 24, 14, 38)
        evidence = Evidence(desk.gateway.store, desk.gateway.settings)
        assert [check(evidence).breaches for check in (p11_split, p13_nomination)] == [(), ()]
