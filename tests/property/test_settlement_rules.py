"""Sums close (P10) and statements repeat (P9) whatever a product's baseline and performance rules are."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from aggregator.audit.money import line_faults
from aggregator.baselines import baseline
from aggregator.model.market import Direction
from aggregator.model.rules import (
    BaselineMethod,
    BaselineRule,
    FactorRule,
    Fallback,
    Measure,
    Over,
    Performance,
)
from aggregator.performance import Months, factor, schedule_accuracy
from aggregator.settlement import Past, metered, settle, shares_gbp
from tests.builders import SLOTS
from tests.property.test_settlement import cases

shares = st.decimals(0, 1, places=2)
energies = st.integers(-60_000, 60_000)


@st.composite
def baselines(draw):
    method = draw(st.sampled_from(BaselineMethod))
    profile = st.lists(st.floats(-50, 50), min_size=48, max_size=48)
    others = [one for one in BaselineMethod if one is not BaselineMethod.NOMINATED]
    other = draw(st.none() | st.sampled_from(others)) if method is BaselineMethod.NOMINATED else None
    return BaselineRule(
        method=method,
        working_days=draw(st.integers(1, 12)),
        lookback_days=draw(st.integers(1, 60)),
        fallback=draw(st.sampled_from(Fallback)),
        adjusted=draw(st.booleans()),
        not_nominated=other,
        profile_kw=tuple(draw(profile)) if BaselineMethod.FIXED in (method, other) else (),
        per_charger=draw(st.booleans()),
    )


@st.composite
def factor_rules(draw):
    measure = draw(st.sampled_from(Measure))
    months = (Over.MONTH, Over.MONTH_BEFORE)
    floor = draw(shares)
    return FactorRule(
        measure=measure,
        over=draw(st.sampled_from(months if measure is Measure.SCHEDULE else Over)),
        grace=draw(shares),
        multiplier=draw(st.decimals(0, 5, places=1)),
        floor=floor,
        cap=draw(st.decimals(floor, 2, places=2)),
        least_kw=draw(st.floats(0.1, 100)),
    )


@st.composite
def pasts(draw):
    """Return a past that answers the same question alike, with gaps."""
    answers = draw(st.lists(energies | st.none(), min_size=1, max_size=20))
    delivered, instructed = sorted(draw(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7))))
    pairs = draw(st.lists(st.tuples(energies, energies), max_size=5))

    def usage(periods):
        return [answers[int(one.start.timestamp()) // 1800 % len(answers)] for one in periods]

    return Past(usage, frozenset(), Months(lambda month: (delivered, instructed), lambda month, rule: pairs))


performances = st.builds(Performance, st.none() | factor_rules(), st.none() | factor_rules(), st.booleans())


@given(cases(), baselines(), performances, pasts())
def test_every_line_closes_under_every_rule(case, rule, performance, past):
    opportunity, product, nominations, known = case
    product = replace(product, baseline=rule, performance=performance)
    meters, cars = metered(known, SLOTS), {charger: f"car of {charger}" for charger in known}
    statement = settle(opportunity, product, nominations, meters, cars, past)
    for line in statement.lines:
        assert list(line_faults(line, product, alone=True)) == []
        if line.is_settled:
            assert line.deficiency_wh >= line.instructed_wh - line.delivered_wh >= 0
        else:
            assert (line.delivered_wh, line.deficiency_wh, line.utilisation_gbp, line.penalty_gbp) == (0,) * 4
        assert line.availability_gbp >= 0
        assert line.utilisation_gbp >= 0
        if performance.utilisation is not None:
            bounds = performance.utilisation
            assert line.factor == 1 or bounds.floor <= line.factor <= bounds.cap
        shared = shares_gbp(line, tuple(cars.values()))
        assert sum(shared.values()) == (line.amount_gbp if cars else 0)
    assert statement.amount_gbp == sum((line.amount_gbp for line in statement.lines), Decimal(0))
    assert settle(opportunity, product, nominations, meters, cars, past) == statement


@given(baselines(), pasts(), st.integers(-50_000, 50_000))
def test_like_days_that_move_together_move_the_baseline_as_much(rule, past, by):
    rule = replace(rule, method=BaselineMethod.BL01, fallback=Fallback.FEWER_DAYS)

    def moved(periods):
        return [None if wh is None else wh + by for wh in past.usage(periods)]

    nominated = (None,) * len(SLOTS)
    before, after = (
        baseline(rule, Direction.UP, SLOTS, nominated, usage, (), 1) for usage in (past.usage, moved)
    )
    assert after.days == before.days
    for one, other in zip(before.export_wh, after.export_wh, strict=True):
        assert (one is None and other is None) or abs(other - one - by) <= 1  # rounded half to even


@given(factor_rules(), st.fractions(-2, 2), st.fractions(0, 1))
def test_more_delivered_is_never_paid_less(rule, measured, more):
    assert factor(rule, measured) <= factor(rule, measured + more)


@given(st.lists(st.tuples(energies, energies), min_size=1), st.integers(1, 10_000))
def test_a_schedule_is_as_accurate_whichever_way_power_counts(pairs, least):
    mirrored = [(-actual, -said) for actual, said in pairs]
    found = schedule_accuracy(pairs, least)
    assert found == schedule_accuracy(mirrored, least)
    assert found <= 1
    assert (found == 1) == all(actual == said for actual, said in pairs)
