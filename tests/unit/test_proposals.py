"""From needs to drafts: peak against event, several needs of a zone, what stands already."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from aggregator.bidding import propose
from aggregator.forecast import History
from aggregator.model.market import Direction
from aggregator.model.opportunity import Stage
from aggregator.nominating import nominated
from aggregator.outgoing import bid_report
from aggregator.proposals import Proposer
from aggregator.track_record import Delivered
from tests.bid_world import PEAK, a_need, a_past, a_world, a_zone, at

EXPORT_KW = 60.0  # ten cars of 6 kW
SPREAD = 359.3 - 201.1 / (0.92 * 0.91) - 20.0  # export 16-19, less recharge at night with losses, less wear
AWARDED = 0.9


@pytest.fixture
def world(tmp_path):
    with a_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize("risk", ["cvar", "record"])
def test_at_a_high_price_a_fleet_at_its_export_limit_holds_its_peak_back_and_bids_it(tmp_path, risk):
    # With the 16-19 signal all ten cars give 6 kW in every half-hour: there is no kW left for a bid but those
    # held back. One MWh held back earns 0.9 x 459 as a bid and loses 0.9 x 99.09 by its new name, where it is
    # called, and 99.09 where it is not nominated; called, it is given all the same: + 0.9 x 99.09.
    # In all 0.9 x 459 - 99.09 = 314.01 GBP/MWh, on 60 kW x 1.5 h = 0.09 MWh: GBP 28.26.
    with a_world(tmp_path, risk=risk) as world:
        draft = world.proposed(a_need(17, 18.5)).draft
    assert draft.base_kw == pytest.approx((EXPORT_KW,) * 3)
    assert draft.offered_kw == (EXPORT_KW,) * 3
    assert draft.kept_kw == pytest.approx((0.0,) * 3, abs=1e-5)
    assert draft.expected_margin_gbp == pytest.approx(0.09 * (AWARDED * 459 - SPREAD), abs=0.01)
    assert draft.expected_margin_gbp == pytest.approx(28.26, abs=0.01)
    assert draft.why.held_back_kwh == pytest.approx(90.0, abs=1e-3)
    assert draft.why.held_back_gbp == pytest.approx(0.09 * SPREAD, abs=0.01)


@pytest.mark.parametrize("risk", ["cvar", "record"])
def test_at_a_low_price_the_peak_stays_and_nothing_is_bid(tmp_path, risk):
    # 0.9 x 37 - 99.09 < 0: what runs for the peak signal earns more than the product.
    with a_world(tmp_path, risk=risk) as world:
        refused = world.proposed(a_need(17, 18.5, utilisation_ceiling=Decimal(37)))
        prepared = world.proposer.prepare(
            a_need(17, 18.5, utilisation_ceiling=Decimal(37)), world.workflow.products["day-ahead"], at(-12)
        )
    assert refused.stage is Stage.CLOSED
    assert "no bid, from the least that the DNO takes upwards, would pay" in refused.closed_because
    assert propose(prepared.problem).kept_kw == pytest.approx([EXPORT_KW] * 6)


def test_what_the_peak_leaves_is_bid_without_holding_anything_back(tmp_path):
    # A need after the peak, when the cars give nothing: 0.9 x (459 + spread) per MWh, the spread of 19:00 on.
    spread = 225.2 - 201.1 / (0.92 * 0.91) - 20.0
    with a_world(tmp_path, red=False) as world:
        draft = world.proposed(a_need(19.5, 20.5)).draft
    assert draft.offered_kw == (EXPORT_KW,) * 2
    assert draft.kept_kw == draft.base_kw
    assert draft.expected_margin_gbp == pytest.approx(0.06 * AWARDED * (459 + spread), abs=0.01)


def test_two_needs_of_one_window_are_bid_jointly_and_agree_on_what_is_nominated(world):
    first = world.proposed(a_need(16.5, 17.5, event="one"))
    second = world.proposed(a_need(17.5, 18.5, event="two"))
    first = world.now(first)
    assert (first.stage, second.stage) == (Stage.IN_REVIEW, Stage.IN_REVIEW)
    assert first.draft.offered_kw == second.draft.offered_kw == (EXPORT_KW,) * 2
    assert first.draft.base_kw == pytest.approx(second.draft.base_kw)
    plans = [world.store.plans.get(one.opportunity_id) for one in (first, second)]
    assert plans[0] == plans[1]


def test_of_two_needs_of_the_same_half_hours_the_dearer_is_bid_on(world):
    cheap = world.proposed(a_need(17, 18, event="cheap", utilisation_ceiling=Decimal(400)))
    assert cheap.stage is Stage.IN_REVIEW
    dear = world.proposed(a_need(17, 18, event="dear", utilisation_ceiling=Decimal(450)))
    assert dear.draft.offered_kw == (EXPORT_KW,) * 2
    cheap = world.now(cheap)
    assert cheap.stage is Stage.CLOSED
    assert "Canvey:dear earns more in the same half-hours" in cheap.closed_because


def test_a_new_need_changes_the_draft_that_nobody_has_touched_and_says_so(tmp_path):
    # Each car can give 0.91 x 60 x (0.46 - 0.32) = 7.644 kWh, 76.44 in all: 60 kW for an hour and some.
    # A dearer need of 30 kW for an hour then leaves 46.44 kWh: 46 kW.
    with a_world(tmp_path, red=False, past=a_past(10, soc=0.46)) as world:
        first = world.proposed(a_need(17, 18, event="first", utilisation_ceiling=Decimal(400)))
        world.clock.pass_by(timedelta(minutes=5))
        second = world.proposed(a_need(18, 19, 30.0, event="second", utilisation_ceiling=Decimal(600)))
        again = world.now(first)
    assert first.draft.offered_kw == (60.0,) * 2
    assert second.draft.offered_kw == (30.0,) * 2
    assert again.draft.offered_kw == (46.0,) * 2
    assert again.draft.version == first.draft.version + 1
    change = again.draft.why.change
    assert (change.from_version, change.kw, change.gbp_per_mwh) == (first.draft.version, -14.0, 0.0)
    assert "needs" in change.inputs
    same = {"fleet", "rules", "prices", "peak signals", "past delivery", "bids that stand"}
    assert not same & set(change.inputs)


def test_what_was_approved_is_kept_and_served_first(tmp_path):
    with a_world(tmp_path, red=False, past=a_past(10, soc=0.46)) as world:
        first = world.proposed(a_need(17, 18, event="first"))
        digest = first.draft.digest
        world.workflow.check(first, digest, "anna")
        first = world.workflow.approve(world.now(first), digest, "ben")
        second = world.proposed(a_need(18, 19, event="second", utilisation_ceiling=Decimal(459)))
        assert world.now(first).draft.digest == digest
        third = world.proposed(a_need(17, 18, event="third", utilisation_ceiling=Decimal(459)))
    assert third.stage is Stage.CLOSED
    assert "one service per place and time" in third.closed_because
    if second.draft is not None:
        energy_kwh = 0.5 * (sum(first.draft.offered_kw) + sum(second.draft.offered_kw))
        assert energy_kwh <= 10 * 0.91 * 60 * (0.46 - 0.32) + 1e-6


def test_needs_far_apart_stand_alone_and_the_later_one_counts_on_what_the_first_may_leave(tmp_path):
    with a_world(tmp_path, red=False, past=a_past(10, soc=0.46)) as world:
        alone = world.proposer.prepare(
            a_need(22, 23, event="late"), world.workflow.products["day-ahead"], world.clock.now()
        )
        world.proposed(a_need(17, 18, event="early"))
        late = world.proposed(a_need(22, 23, event="late"))
    most = propose(alone.problem).offered_kw.max()
    assert most == EXPORT_KW
    offered = max(late.draft.offered_kw) if late.draft else 0.0
    assert offered < most


def test_an_explanation_tells_parts_percentiles_and_inputs(world):
    why = world.proposed(a_need(17, 18.5)).draft.why
    assert why.parts[-1].up_to_kw == EXPORT_KW
    assert [part.price_gbp_per_mwh for part in why.parts] == [459.0] * 4
    assert why.margin_p10_gbp <= why.margin_p90_gbp
    assert {"needs", "fleet", "history", "peak signals", "prices", "past delivery"} <= dict(why.inputs).keys()
    assert why.change is None


def test_what_was_nominated_is_not_held_back_any_more(world):
    one = world.proposed(a_need(17, 18.5))
    plan = world.store.plans.get(one.opportunity_id)
    world.store.nominations.freeze(nominated(plan, [], world.clock.now()))
    again = world.proposer.propose(world.workflow, one, world.clock.now())
    assert again.stage is Stage.CLOSED  # at its export limit the fleet has nothing left
    assert [one.kept_wh for one in world.store.nominations.between("Canvey", PEAK)] == [30_000] * 6


def test_the_same_need_drafted_again_is_the_same_draft(world):
    one = world.proposed(a_need(17, 18.5))
    again = world.proposer.propose(world.workflow, one, world.clock.now())
    assert again.draft.digest == one.draft.digest
    assert again.version == one.version


def test_by_cvar_past_delivery_makes_the_bid_smaller(tmp_path):
    past = [Delivered(0.9, 10.0, is_like=True)] * 9
    with a_world(tmp_path, red=False, past=a_past(10), risk="cvar") as world:
        proposer = Proposer(world.settings, a_zone(10), a_past(10), lambda zone, at: (), lambda *_: past)
        draft = proposer.propose(world.workflow, world.received(a_need(20, 21)), world.clock.now()).draft
    assert draft.offered_kw == (54.0,) * 2
    assert draft.why.factor == 0.9


def half_of_them_out():
    """Return a past in which five of ten cars are out on every third day."""
    days = a_past(10).sessions
    out = [one for one in days if one.plugged.start.toordinal() % 3 or int(one.car_id[-1]) % 2]
    return History.of(out)


@pytest.mark.parametrize(("ratios", "most"), [([1.0] * 20, 60.0), ([0.5] * 6, 31.0)])
def test_the_record_of_past_bids_says_how_bold_the_next_may_be(tmp_path, ratios, most):
    past = [Delivered(ratio, 20.0, is_like=True) for ratio in ratios]
    history = half_of_them_out()  # 30 kW is 95% of 31.5
    with a_world(tmp_path, red=False, past=history, risk="record") as world:
        proposer = Proposer(world.settings, a_zone(10), history, lambda zone, at: (), lambda *_: past)
        draft = proposer.propose(world.workflow, world.received(a_need(20, 21)), world.clock.now()).draft
    assert draft.offered_kw == (most,) * 2
    assert draft.why.miss == (0.0 if most == 31.0 else pytest.approx(1 / 3, abs=0.15))
    assert draft.why.hope_gbp >= draft.expected_margin_gbp - 1e-6


@pytest.mark.parametrize("risk", ["cvar", "record"])
def test_where_not_all_cars_come_all_of_the_peak_is_held_back_for_what_the_fewest_can_give(tmp_path, risk):
    # On a third of the days five of ten cars are out, so the peak's 60 kW are 50 on average and 30 then.
    # All held back, 30 kW are there on every day; with less held back the cars of a bad day serve the
    # nomination first. After many misses the record, too, bids no more: 31, as 30 are 95% of it.
    missed = [Delivered(0.5, 20.0, is_like=True)] * 9
    history = half_of_them_out()
    with a_world(tmp_path, past=history, risk=risk) as world:
        past = missed if risk == "record" else ()
        peaks = world.proposer._peaks
        proposer = Proposer(world.settings, a_zone(10), history, peaks, lambda *_: past)
        draft = proposer.propose(world.workflow, world.received(a_need(17, 18.5)), world.clock.now()).draft
    assert min(draft.offered_kw) == max(draft.offered_kw)
    assert draft.offered_kw[0] == pytest.approx(31.0, abs=1.0)
    assert max(draft.kept_kw) <= 1.0
    assert min(draft.base_kw) > 40.0
    assert draft.why.miss == 0.0


def steps_sent(folder, most):
    """Return a draft for a platform that takes ``most`` price steps, and the rows of its report."""
    rule = {"price_of_ceiling": 0.3, "least_margin_gbp_per_mwh": 110.0}
    with a_world(folder, red=False, past=a_past(10, seed=3), **rule) as world:
        product = replace(world.workflow.products["day-ahead"], price_steps=most)
        world.workflow.products["day-ahead"] = product
        one = world.proposed(a_need(20, 21.5))
        return one.draft, bid_report(one.requirement, one.draft, product, at(0)).rows


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_bid_goes_out_in_as_many_price_steps_as_the_platform_takes(tmp_path, most):
    # Energy is put back at night as far as there is room, then in dearer hours, and the last kW are missed on
    # some days: every quarter of the bid costs more than the one before. The desk adds GBP 110/MWh.
    draft, rows = steps_sent(tmp_path, most)
    costs = [part.marginal_gbp_per_mwh for part in draft.why.parts]
    assert costs == sorted(set(costs))
    last_of_each = costs[4 // most - 1 :: 4 // most] if most > 1 else costs[:1]
    assert [float(step.gbp_per_mwh) for step in draft.priced] == pytest.approx(
        [cost + 110.0 for cost in last_of_each]
    )
    assert len(draft.steps) == (most if most > 1 else 0)
    assert draft.utilisation_gbp_per_mwh == draft.priced[0].gbp_per_mwh
    assert {row.r_id.rsplit("/", 1)[-1] for row in rows} == {str(n + 1) for n in range(most)}
    ends = [draft.why.parts[(n + 1) * 4 // most - 1].up_to_kw for n in range(most)]
    for slot in {row.interval for row in rows}:
        kw = [row.value for row in rows if row.interval == slot and "/kw/" in row.r_id]
        asked = [row.value for row in rows if row.interval == slot and "/util/" in row.r_id]
        assert np.cumsum(kw) == pytest.approx(ends)
        assert asked == [float(step.gbp_per_mwh) for step in draft.priced]


def test_a_price_is_asked_by_what_was_cleared(tmp_path):
    rows = [
        f"A,f{day},Canvey,day-ahead,2024-12-{day:02}T17:00:00Z,2024-12-{day:02}T19:00:00Z,0,1,0,300"
        for day in range(1, 13)
    ]
    records = tmp_path / "dispatches.csv"
    header = (
        "company_name,fu_id,zone,product,start_time_utc,end_time_utc,"
        "availability_mw_req,utilisation_mw_req,availability_price,utilisation_price"
    )
    records.write_text("\n".join([header, *rows]) + "\n")
    with a_world(tmp_path, red=False, acceptance=records) as world:
        draft = world.proposed(a_need(20, 21)).draft
    assert draft.utilisation_gbp_per_mwh == Decimal("300.00")
    assert draft.why.accepted == 1.0


def test_a_down_need_is_paid_for_what_its_energy_costs_more_than_at_the_cheapest_hour(tmp_path):
    # Taken in at 14:00 for 335.2 GBP/MWh, it saves buying at 201.1: it costs 134.1. Ten cars of 7.4 kW.
    with a_world(tmp_path, red=False, past=a_past(10, soc=0.5, arrive=13)) as world:
        product = replace(
            world.workflow.products["day-ahead"], product_id="down", direction=Direction.DOWN, hold_back=False
        )
        need = a_need(14, 15, product_id="down", utilisation_ceiling=Decimal(200))
        prepared = world.proposer.prepare(need, product, world.clock.now())
    (offer,) = propose(prepared.problem).offers
    assert offer.offered_kw.max() == pytest.approx(74.0, abs=1.0)
    assert offer.expected_margin_gbp == pytest.approx(0.074 * AWARDED * (200 - 134.1), abs=0.1)


def test_of_opposite_needs_in_the_same_half_hours_the_lesser_is_refused(world):
    up = world.workflow.products["day-ahead"]
    world.workflow.products["down"] = replace(up, product_id="down", direction=Direction.DOWN)
    down = world.proposed(a_need(17, 18, event="down", product_id="down", utilisation_ceiling=Decimal(500)))
    up = world.proposed(a_need(17.5, 18.5, 50.0, event="up"))
    assert up.stage is Stage.CLOSED
    assert "Canvey:down moves the same cars the other way in the same half-hours" in up.closed_because
    assert world.now(down).stage is Stage.IN_REVIEW
    dearer = world.proposed(a_need(17.5, 18.5, event="dearer", utilisation_ceiling=Decimal(900)))
    assert dearer.stage is Stage.IN_REVIEW
    assert "the other way" in world.now(down).closed_because


def test_a_committed_bid_is_not_crossed_by_one_the_other_way(world):
    up = world.workflow.products["day-ahead"]
    world.workflow.products["down"] = replace(up, product_id="down", direction=Direction.DOWN)
    one = world.proposed(a_need(17, 18))
    world.workflow.check(one, one.draft.digest, "anna")
    world.workflow.approve(world.now(one), one.draft.digest, "ben")
    down = world.proposed(
        a_need(17.5, 18.5, event="down", product_id="down", utilisation_ceiling=Decimal(999))
    )
    assert "the other way" in down.closed_because
    assert world.now(one).stage is Stage.APPROVED
