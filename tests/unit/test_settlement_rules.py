"""A product's own baseline and performance rules in its statement."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from aggregator.model.market import OrderMode
from aggregator.model.opportunity import Approved, Awarded, Instructed, Proposed, Received, replay
from aggregator.model.rules import (
    BaselineMethod,
    BaselineRule,
    FactorRule,
    Fallback,
    Measure,
    Over,
    Performance,
)
from aggregator.performance import Months
from aggregator.settlement import MEASURED, NO_BASELINE, Metered, Past, settle, shares_gbp
from tests.builders import (
    NOON,
    SLOTS,
    a_draft,
    a_nomination,
    a_product,
    a_requirement,
    an_award,
    an_instruction,
    some_steps,
)

ZERO = BaselineRule(BaselineMethod.ZERO)
BL01 = BaselineRule(BaselineMethod.BL01)
NOMINATIONS = {slot: a_nomination(period=slot, export_wh=1_000) for slot in SLOTS}
METERS = {
    slot: (Metered("charger-1", wh, estimated=False),)
    for slot, wh in zip(SLOTS, (3_000, 6_000, 11_000, 0), strict=True)
}


def settled(past=None, mode=OrderMode.DELTA, steps=(10, 10, 10, 10), **product):
    draft = a_draft()
    facts = [
        Received(NOON, a_requirement()),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Awarded(NOON, an_award(awarded_kw=(10.0,) * 4)),
        Instructed(NOON, an_instruction(mode=mode, steps=some_steps(*steps))),
    ]
    opportunity, cars = replay("one", facts), {"charger-1": "car-1"}
    return settle(opportunity, a_product(**product), NOMINATIONS, METERS, cars, past or Past()).lines


def months(delivered=(92, 100), schedule=()):
    return Past(months=Months(lambda month: delivered, lambda month, rule: schedule))


def test_delivery_is_measured_against_the_products_baseline():
    assert [line.delivered_wh for line in settled()] == [2_000, 5_000, 5_000, 0]
    lines = settled(baseline=ZERO)
    assert [line.delivered_wh for line in lines] == [3_000, 5_000, 5_000, 0]
    assert {line.baseline_export_wh for line in lines} == {0}
    assert {line.quality for line in lines} == {MEASURED}


def test_a_set_point_is_a_change_to_the_products_baseline():
    orders = {"mode": OrderMode.SETPOINT, "steps": (8, 8, 8, 8)}
    assert {line.instructed_wh for line in settled(**orders)} == {3_000}
    assert {line.instructed_wh for line in settled(baseline=ZERO, **orders)} == {4_000}


def test_like_days_make_the_baseline():
    past = Past(usage=lambda periods: [-2_000] * len(periods))
    lines = settled(past, baseline=BL01)
    assert [line.baseline_export_wh for line in lines] == [-2_000] * 4
    assert [line.delivered_wh for line in lines] == [5_000, 5_000, 5_000, 2_000]


def test_a_fallback_is_named_on_every_line():
    assert {line.quality for line in settled(baseline=BL01)} == {
        "measured; baseline nominated instead: 0 like days of 10"
    }


def test_without_any_baseline_nothing_is_delivered_or_missing():
    for line in settled(baseline=replace(BL01, fallback=Fallback.FEWER_DAYS)):
        assert (line.delivered_wh, line.deficiency_wh, line.penalty_gbp) == (0, 0, 0)
        assert line.quality.startswith(NO_BASELINE)


def test_use_raised_before_the_event_is_named_on_every_line():
    past = Past(usage=lambda ones: [-900 if one.start.date() == NOON.date() else -500 for one in ones])
    lines = settled(past, baseline=replace(BL01, adjusted=True))
    assert {line.baseline_export_wh for line in lines} == {-900}
    assert all("use raised before the event" in line.quality for line in lines)


def test_a_sliding_scale_cuts_what_energy_earned_and_not_the_penalty():
    plain, scale = settled(), FactorRule(multiplier=Decimal(2))
    lines = settled(performance=Performance(utilisation=scale))
    factor = Decimal("0.2")  # 12 of 20 kWh were delivered: 40% missing, twice that is lost
    for line, before in zip(lines, plain, strict=True):
        assert line.factor == factor
        assert line.utilisation_gbp == before.utilisation_gbp * factor
        assert (line.availability_gbp, line.penalty_gbp) == (before.availability_gbp, before.penalty_gbp)


def test_availability_is_scaled_by_past_delivery_and_says_so():
    plain, rule = settled(), FactorRule(over=Over.MONTH_BEFORE)
    for line, before in zip(
        settled(months(), performance=Performance(availability=rule)), plain, strict=True
    ):
        assert line.availability_gbp == before.availability_gbp * Decimal("0.92")
        assert (line.factor, line.utilisation_gbp) == (1, before.utilisation_gbp)
        assert line.quality == "measured; availability x 0.92: delivery 0.9200 in 2024-12"


def test_a_schedules_accuracy_scales_what_energy_earned():
    rule = FactorRule(Measure.SCHEDULE, Over.MONTH, Decimal("0.05"), Decimal(3), least_kw=1.0)
    lines = settled(months(schedule=[(-1_000, -920)]), performance=Performance(utilisation=rule))
    assert {line.factor for line in lines} == {Decimal("0.91")}


def test_rules_ask_for_the_month_in_which_the_event_begins():
    asked = []
    past = Past(months=Months(delivery=lambda month: asked.append(month) or (1, 1)))
    for over in (Over.MONTH, Over.MONTH_BEFORE):
        settled(past, performance=Performance(utilisation=FactorRule(over=over)))
    assert asked == [date(2025, 1, 1), date(2024, 12, 1)]


@pytest.mark.parametrize(("counts", "deficiency"), [(False, 5_000), (True, 6_000)])
def test_moving_the_wrong_way_is_missing_where_the_product_says_so(counts, deficiency):
    lines = settled(performance=Performance(wrong_way_is_missing=counts))
    assert [line.deficiency_wh for line in lines] == [3_000, 0, 0, deficiency]


def test_moving_the_wrong_way_without_an_order_misses_nothing():
    lines = settled(steps=(0, 0, 0, 0), performance=Performance(wrong_way_is_missing=True))
    assert {line.deficiency_wh for line in lines} == {0}


@pytest.mark.parametrize("penalty", [0, 100, 3_000])
def test_an_amount_is_shared_to_the_penny_penalties_too(penalty):
    for line in settled(penalty_gbp_per_mwh=Decimal(penalty)):
        shares = shares_gbp(line, ("car-1", "car-2", "car-3"))
        assert sum(shares.values()) == line.amount_gbp
        if line.delivered_wh:
            assert shares["car-2"] == 0
        else:
            assert max(shares.values()) - min(shares.values()) <= Decimal("0.01")


def test_without_cars_there_is_nobody_to_share_with():
    assert shares_gbp(settled()[0], ()) == {}
