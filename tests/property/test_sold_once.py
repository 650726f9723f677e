"""Nothing is sold twice: all live bids of a zone and what it nominated can be split, day by day drawn."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregator.energy import reach
from aggregator.forecast import Horizon
from aggregator.model.market import BidShape
from aggregator.model.opportunity import Stage
from aggregator.spans import Span
from aggregator.zone_day import SLOT_HOURS, zone_day
from tests.bid_world import ZONE, a_need, a_past, a_world, at

needs = st.tuples(
    st.sampled_from([15.0, 16.0, 16.5, 17.0, 17.5, 18.0, 19.0, 20.5]),
    st.sampled_from([0.5, 1.0, 1.5]),
    st.sampled_from([15.0, 40.0, 100.0]),
    st.sampled_from([150, 300, 459, 700]),
    st.booleans(),
)
LIVE = (Stage.IN_REVIEW, Stage.APPROVED)


@given(
    st.integers(0, 10**6), st.lists(needs, min_size=2, max_size=3), st.booleans(), st.sampled_from(BidShape)
)
@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_live_bids_and_the_nomination_can_be_split_in_each_scenario(
    tmp_path_factory, seed, asked, red, shape
):
    folder = tmp_path_factory.mktemp("world")
    past = a_past(8, seed=seed)
    # no shortfall is let pass, so that what is bid is what every drawn day must give
    with a_world(folder, cars=8, past=past, red=red, scenarios=4, risk="cvar", cvar_limit=0.0) as world:
        product = replace(world.workflow.products["day-ahead"], bid_shape=shape, min_kw=1.0)
        world.workflow.products["day-ahead"] = product
        for number, (start, hours, kw, price, approve) in enumerate(asked):
            world.clock.pass_by(timedelta(minutes=1))
            need = a_need(start, start + hours, kw, f"need-{number}", utilisation_ceiling=Decimal(price))
            one = world.proposed(need)
            if approve and one.stage is Stage.IN_REVIEW:
                digest = one.draft.digest
                world.workflow.check(one, digest, "anna")
                world.workflow.approve(world.now(one), digest, "ben")
        live = world.store.journal.find(zone=ZONE, stages=LIVE)
        proposer = world.proposer
        day = zone_day(
            world.settings,
            proposer._fleet,
            past,
            proposer._peaks,
            ZONE,
            Horizon(at(17).date()),
            world.clock.now(),
        )
        plans = {world.store.plans.get(one.opportunity_id) for one in live}
        assert len(plans) <= 1
        if not live:
            return
        plan = plans.pop()
        nominated = np.array(plan.base_discharge_kw) - np.array(plan.base_charge_kw)
        bids = np.zeros(len(plan.slots))
        for one in live:
            rows = zip(
                one.requirement.slots, one.draft.offered_kw, one.draft.base_kw, one.draft.kept_kw, strict=True
            )
            for slot, kw, base, kept in rows:
                n = plan.slots.index(slot)
                assert not (bids[n] and kw), "two services in one half-hour"
                bids[n] += kw
                nominated[n] -= base - kept
        used = np.flatnonzero((bids > 0.0) | (np.array(plan.base_discharge_kw) > 0.01))
        first, stop = int(used[0]), int(used[-1]) + 1
        windows, _ = day.windows(Span(first, stop), (), up=True)
        able = reach(windows, SLOT_HOURS, up=True)
        without = able.most_kwh(SLOT_HOURS * nominated[first:stop])
        called = able.most_kwh(SLOT_HOURS * (nominated + bids)[first:stop])
        assert (called - without >= SLOT_HOURS * bids[first:stop].sum() - 1e-5).all()
