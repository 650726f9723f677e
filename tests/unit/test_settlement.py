from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.model.market import Direction, OrderMode, Step
from aggregator.model.money import pounds
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    Instructed,
    InstructionCancelled,
    Proposed,
    Received,
    replay,
)
from aggregator.model.rules import BaselineMethod, BaselineRule
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ordered import instructed_wh
from aggregator.settlement import LATE, MEASURED, NO_PRICE, NOT_NOMINATED, Metered, settle
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_draft,
    a_nomination,
    a_product,
    a_requirement,
    an_award,
    an_event_key,
    an_instruction,
    some_steps,
)

FIRST = SLOTS[0]
HALF_PAST_FIVE = FIRST.end


def an_order(at=NOON, modification=0, **changes):
    key = an_event_key(event_id="dispatch-1", modification=modification)
    return Instructed(at, an_instruction(key=key, issued_at=at, **changes))


def another_order(**changes):
    return Instructed(NOON, an_instruction(key=an_event_key(event_id="dispatch-2"), **changes))


def a_cancellation(at, modification=1):
    return InstructionCancelled(at, an_event_key(event_id="dispatch-1", modification=modification))


def an_awarded(*orders, award=None, requirement=None):
    draft = a_draft()
    facts = [
        Received(NOON, requirement or a_requirement()),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Awarded(NOON, award or an_award()),
        *orders,
    ]
    return replay("opportunity-1", facts)


def nominated(*export_wh, slots=SLOTS):
    return {slot: a_nomination(period=slot, export_wh=wh) for slot, wh in zip(slots, export_wh, strict=False)}


def measured(*export_wh, slots=SLOTS, charger="charger-1"):
    return {slot: (Metered(charger, wh, False),) for slot, wh in zip(slots, export_wh, strict=False)}


def settled(opportunity, nominations, meters, product=None, car_of=None):
    cars = car_of or {"charger-1": "car-1"}
    return settle(opportunity, product or a_product(), nominations, meters, cars).lines


# instructed


def wh_ordered(*orders, nominated_wh=0, period=FIRST, **product):
    return instructed_wh(an_awarded(*orders), a_product(**product), nominated_wh, period)


def test_an_order_counts_for_the_whole_half_hour():
    assert wh_ordered(an_order()) == 15_000
    assert wh_ordered(an_order(), period=SLOTS[3]) == 10_000


def test_nothing_ordered_is_nothing_instructed():
    assert wh_ordered() == 0


@pytest.mark.parametrize("seconds", [1, 600, 1799])
def test_an_amendment_counts_from_its_stamp_to_the_second(seconds):
    amended = an_order(FIRST.start + timedelta(seconds=seconds), 1, steps=some_steps(10))
    assert wh_ordered(an_order(), amended) == round((30 * seconds + 10 * (1800 - seconds)) / 3600 * 1000)


@pytest.mark.parametrize("seconds", [0, 1, 900])
def test_a_cancellation_ends_the_order_to_the_second(seconds):
    cancelled = a_cancellation(FIRST.start + timedelta(seconds=seconds))
    assert wh_ordered(an_order(), cancelled) == round(30 * seconds / 3600 * 1000)
    assert wh_ordered(an_order(), cancelled, period=SLOTS[1]) == 0


def test_an_order_that_comes_late_counts_from_its_stamp():
    assert wh_ordered(an_order(FIRST.start + timedelta(minutes=10))) == 10_000


def test_an_order_after_a_cancellation_counts_again():
    cancelled = a_cancellation(FIRST.start + timedelta(minutes=6))
    again = an_order(FIRST.start + timedelta(minutes=24), 2)
    assert wh_ordered(an_order(), cancelled, again) == 3_000 + 3_000


def test_an_amendment_stamped_before_the_order_it_amends_replaces_it_whole():
    before = NOON - timedelta(minutes=1)
    assert wh_ordered(an_order(), an_order(before, 1, steps=some_steps(10))) == 5_000


def test_half_a_watt_hour_ordered_goes_to_the_even_one_whatever_a_float_makes_of_it():
    cancelled = a_cancellation(FIRST.start + timedelta(minutes=10))
    assert wh_ordered(an_order(steps=some_steps(0.009)), cancelled) == 2  # 1.5 Wh


def test_a_set_point_order_is_read_as_a_change_to_the_nomination():
    order = an_order(mode=OrderMode.SETPOINT)
    assert wh_ordered(order, nominated_wh=4_000) == 11_000
    assert wh_ordered(order, nominated_wh=-4_000) == 19_000
    assert wh_ordered(order, nominated_wh=16_000) == 0


def test_a_multiplier_is_read_as_a_change_to_the_nomination():
    twice = an_order(mode=OrderMode.MULTIPLIER, steps=some_steps(2))
    assert wh_ordered(twice, nominated_wh=4_000) == 4_000


def test_of_two_orders_that_overlap_the_one_served_counts():
    low, high = an_order(steps=some_steps(30)), another_order(steps=some_steps(10), priority=1)
    assert wh_ordered(low, high) == wh_ordered(high, low) == 5_000


def test_an_order_ends_without_the_other_orders_of_its_need():
    second = another_order(steps=some_steps(20, slots=SLOTS[1:]))
    orders = (an_order(steps=some_steps(30)), second, a_cancellation(NOON))
    assert [wh_ordered(*orders, period=slot) for slot in SLOTS[:2]] == [0, 10_000]


def test_a_down_product_counts_orders_that_take_export_away():
    order = an_order(steps=some_steps(-30, 30))
    assert wh_ordered(order, direction=Direction.DOWN) == 15_000
    assert wh_ordered(order, direction=Direction.DOWN, period=SLOTS[1]) == 0


def test_steps_that_do_not_meet_half_hours_are_cut_there():
    steps = (Step(Interval(FIRST.start + timedelta(minutes=20), FIRST.end + timedelta(minutes=5)), 12.0),)
    assert wh_ordered(an_order(steps=steps)) == 2_000
    assert wh_ordered(an_order(steps=steps), period=SLOTS[1]) == 1_000


# delivered and money


@pytest.mark.parametrize(
    ("metered_wh", "delivered_wh"),
    [(-5_000, 0), (4_500, 0), (4_501, 1), (10_000, 5_500), (19_500, 15_000), (90_000, 15_000)],
)
def test_delivered_is_what_lies_above_the_nomination_up_to_what_was_ordered(metered_wh, delivered_wh):
    line, *_ = settled(an_awarded(an_order()), nominated(4_500), measured(metered_wh))
    assert (line.instructed_wh, line.baseline_export_wh, line.metered_export_wh) == (
        15_000,
        4_500,
        metered_wh,
    )
    assert line.delivered_wh == delivered_wh
    assert line.deficiency_wh == 15_000 - delivered_wh


def test_less_import_than_nominated_is_delivery_too():
    line, *_ = settled(an_awarded(an_order()), nominated(-10_000), measured(-2_000))
    assert line.delivered_wh == 8_000


def test_down_products_are_paid_for_less_export_or_more_import():
    product = a_product(direction=Direction.DOWN)
    order = an_order(steps=some_steps(-30, -30))
    first, second, *_ = settled(
        an_awarded(order), nominated(4_000, 4_000), measured(-2_000, 9_000), product=product
    )
    assert (first.delivered_wh, first.deficiency_wh) == (6_000, 9_000)
    assert (second.delivered_wh, second.deficiency_wh) == (0, 15_000)


def test_a_line_is_paid_for_holding_and_moving_and_charged_for_what_is_missing():
    line, *_ = settled(an_awarded(an_order()), nominated(0), measured(10_000))
    assert line.availability_gbp == Decimal("0.15")  # 30 kW for half an hour at GBP 10/MW/h
    assert line.utilisation_gbp == Decimal("3.00")  # 10 kWh at GBP 300/MWh
    assert line.penalty_gbp == Decimal("0.50")  # 5 kWh at GBP 100/MWh
    assert line.amount_gbp == Decimal("2.65")
    assert line.factor == 1


def test_an_amount_may_be_negative_and_is_rounded_once_half_to_even():
    award = an_award(availability_gbp_per_mw_h=Decimal(0))
    product = a_product(penalty_gbp_per_mwh=Decimal("1"))
    line, *_ = settled(an_awarded(an_order(), award=award), nominated(0), measured(0), product=product)
    assert line.penalty_gbp == Decimal("0.015")
    assert str(line.amount_gbp) == "-0.02"


def test_a_statement_is_the_sum_of_its_lines():
    opportunity = an_awarded(an_order())
    statement = settle(
        opportunity, a_product(), nominated(0, 0, 0, 0), measured(0, 9_999, 1, 7), {"charger-1": "car-1"}
    )
    assert len(statement.lines) == 4
    assert statement.amount_gbp == sum(line.amount_gbp for line in statement.lines)


def test_availability_is_paid_without_an_order_and_nothing_else_is():
    line, *_ = settled(an_awarded(), nominated(0), measured(8_000))
    assert (line.instructed_wh, line.delivered_wh, line.deficiency_wh) == (0, 0, 0)
    assert line.amount_gbp == Decimal("0.15")


def test_an_amended_award_pays_what_it_says():
    later = an_award(
        key=an_event_key(event_id="award-1", modification=1), utilisation_gbp_per_mwh=Decimal(100)
    )
    line, *_ = settled(an_awarded(Awarded(NOON, later), an_order()), nominated(0), measured(10_000))
    assert line.utilisation_gbp == 1


def test_a_call_under_a_standing_contract_has_lines_for_its_order_alone():
    opportunity = replay("call-1", [an_order(steps=some_steps(30, 30, slots=SLOTS[1:]))])
    lines = settled(opportunity, nominated(0, 0, 0, 0), measured(1, 2, 3, 4))
    assert [line.period for line in lines] == list(SLOTS[1:3])
    assert {line.needed_kw for line in lines} == {0.0}


def test_the_need_of_a_half_hour_is_the_mean_of_what_was_asked_in_it():
    need = a_requirement(window=Interval(FIRST.start, FIRST.end), needed_kw=(10.0, 20.0))
    line, *_ = settled(an_awarded(requirement=need), nominated(0), measured(0))
    assert line.needed_kw == 15.0


def test_a_half_hour_never_nominated_cannot_be_settled_and_claims_no_penalty():
    line, *_ = settled(
        an_awarded(an_order()), {}, measured(20_000), a_product(penalty_gbp_per_mwh=Decimal(600))
    )
    assert (line.instructed_wh, line.delivered_wh, line.deficiency_wh) == (15_000, 0, 0)
    assert (line.quality, line.penalty_gbp) == (NOT_NOMINATED, 0)
    assert "cannot be settled" in line.quality
    assert line.amount_gbp == pounds(line.availability_gbp)


@pytest.mark.parametrize(
    ("method", "baseline_wh"), [(BaselineMethod.ZERO, 0), (BaselineMethod.FIXED, -2_000)]
)
def test_a_half_hour_never_nominated_has_the_baseline_that_the_product_names_for_it(method, baseline_wh):
    rule = BaselineRule(not_nominated=method, profile_kw=(-4.0,) * 48)
    lines = settled(
        an_awarded(an_order()), nominated(1_000), measured(9_000, 9_000), a_product(baseline=rule)
    )
    assert [line.baseline_export_wh for line in lines] == [1_000, *[baseline_wh] * 3]
    assert [line.delivered_wh for line in lines[:2]] == [8_000, 9_000 - baseline_wh]
    assert lines[0].quality == MEASURED
    assert lines[1].quality == f"{MEASURED}; nothing was nominated: baseline {method}"


def a_call(at=NOON):
    return replay("call-1", [an_order(at)])


def test_a_call_is_paid_at_the_price_that_the_contract_names():
    product = a_product(call_gbp_per_mwh=Decimal(500), penalty_gbp_per_mwh=Decimal(600))
    frozen = nominated(0, slots=SLOTS[:1])
    line, *_ = settled(a_call(NOON + timedelta(minutes=1)), frozen, measured(15_000), product)
    assert (line.delivered_wh, line.amount_gbp, line.quality) == (15_000, Decimal("7.50"), MEASURED)
    line, *_ = settled(a_call(), frozen, measured(15_000), a_product())
    assert (line.utilisation_gbp, line.quality) == (0, f"{MEASURED}; {LATE}; {NO_PRICE}")


def test_lines_name_their_local_day_and_period_over_the_autumn_night():
    night = Interval(datetime(2025, 10, 25, 22, tzinfo=UTC), datetime(2025, 10, 26, 3, tzinfo=UTC))
    slots = night.slots(HALF_HOUR)
    order = an_order(steps=(Step(night, 10.0),))
    award = an_award(window=night, awarded_kw=(10.0,) * 10)
    need = a_requirement(window=night, needed_kw=(10.0,) * 10)
    lines = settled(
        an_awarded(order, award=award, requirement=need),
        nominated(*[0] * 10, slots=slots),
        measured(*[5_000] * 10, slots=slots),
    )
    days = [(line.settlement_date, line.settlement_period) for line in lines]
    assert days[:2] == [(date(2025, 10, 25), 47), (date(2025, 10, 25), 48)]
    assert days[2:] == [(date(2025, 10, 26), n) for n in range(1, 9)]
    assert sum(line.delivered_wh for line in lines) == 50_000


# shares


def test_cars_share_what_the_zone_delivered_by_what_each_gave():
    meters = {
        FIRST: (Metered("c-1", 6_000, False), Metered("c-2", 3_000, False), Metered("c-3", -2_000, False))
    }
    line, *_ = settled(
        an_awarded(an_order()), nominated(0), meters, car_of={"c-1": "a", "c-2": "b", "c-3": "c"}
    )
    assert line.metered_export_wh == 7_000
    assert line.shares_wh == (("a", 4_667), ("b", 2_333))


def test_cars_that_only_drew_less_share_alike():
    meters = {FIRST: (Metered("c-1", 0, False), Metered("c-2", -1, False))}
    line, *_ = settled(an_awarded(an_order()), nominated(-4), meters, car_of={"c-1": "a", "c-2": "b"})
    assert line.shares_wh == (("a", 2), ("b", 1))


# quality


def test_a_line_says_how_many_chargers_were_estimated():
    meters = {FIRST: (Metered("c-1", 6_000, True), Metered("c-2", 3_000, False))}
    line, *_ = settled(an_awarded(an_order()), nominated(0), meters, car_of={"c-1": "a", "c-2": "b"})
    assert "estimated" in line.quality
    assert "1 of 2 chargers" in line.quality


def test_a_line_measured_whole_says_so():
    line, *_ = settled(an_awarded(an_order()), nominated(0), measured(1))
    assert line.quality == MEASURED


def test_a_charger_without_any_register_is_a_gap_and_not_a_zero():
    cars = {"charger-1": "car-1", "charger-2": "car-2"}
    line, *_ = settled(an_awarded(an_order()), nominated(0), measured(9_000), car_of=cars)
    assert line.delivered_wh == 9_000
    assert "no register" in line.quality
    assert "1 of 2 chargers" in line.quality


def test_a_zone_nobody_measured_counts_as_nominated_and_delivers_nothing():
    line, *_ = settled(an_awarded(an_order()), nominated(-10_000), {})
    assert (line.metered_export_wh, line.delivered_wh, line.shares_wh) == (-10_000, 0, ())
    assert "no register" in line.quality


def test_the_same_inputs_settle_alike():
    opportunity = an_awarded(an_order())
    once = settled(opportunity, nominated(1, 2, 3, 4), measured(5, 6, 7, 8))
    assert once == settled(opportunity, nominated(1, 2, 3, 4), measured(5, 6, 7, 8))
    assert once[0] != replace(once[0], delivered_wh=1)
    assert [line.period for line in once] == list(EVENING.slots(HALF_HOUR))
