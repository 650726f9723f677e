from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_adapters.dno_simulator.settle import Order, Terms, instructed_kwh, settle
from market_adapters.dno_simulator.span import HALF_HOUR, Span, half_hours

START = datetime(2025, 1, 8, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SLOTS = tuple(Span(START + n * HALF_HOUR, START + (n + 1) * HALF_HOUR) for n in range(2))
SECONDS = st.integers(-1800, 5400).map(lambda s: START + timedelta(seconds=s))


def terms(
    kw: float = 30.0, price: float = 590.0, standby: float = 0.0, penalty: float = 600.0, sign: int = 1
) -> Terms:
    return Terms(SLOTS, (kw, kw), (price, price), (standby, standby), penalty, sign)


@pytest.mark.parametrize(
    ("allocation_mw", "delivered_mw", "deficiency_mw", "settlement"),
    [(7.0, 2.0, 0.0, "14.00"), (9.0, 1.0, 1.0, "-4.00")],
)
def test_the_worked_example_of_the_shapeshifter_specification(
    allocation_mw: float, delivered_mw: float, deficiency_mw: float, settlement: str
) -> None:
    """Source: shapeshifter-specification, settle-phase.md, d96ee003: baseline 10 MW of load, 2 MW ordered."""
    hour = Span(START, START + HOUR)
    agreed = Terms((hour,), (2000.0,), (7.0,), (0.0,), 11.0, 1)
    order = Order(0, START - HOUR, (2000.0,))
    line = settle(hour, agreed, [order], nominated_kwh=-10_000.0, metered_kwh=-1000 * allocation_mw)
    assert line.delivered_kwh == 1000 * delivered_mw
    assert line.deficiency_kwh == 1000 * deficiency_mw
    assert line.amount_gbp == Decimal(settlement)


def test_availability_is_paid_for_megawatts_times_hours_whatever_is_called() -> None:
    line = settle(SLOTS[0], terms(standby=10.0), [], 0.0, 0.0)
    assert line.amount_gbp == Decimal("0.15")  # 0.030 MW * 0.5 h * 10 GBP/MW/h


@pytest.mark.parametrize(("kwh", "pounds"), [(0.5, "0.00"), (1.5, "0.02"), (2.5, "0.02")])
def test_money_is_rounded_half_even_to_the_penny(kwh: float, pounds: str) -> None:
    line = settle(SLOTS[0], terms(price=10.0), [Order(0, START - HOUR, (2 * kwh,))], 0.0, kwh)
    assert line.amount_gbp == Decimal(pounds)


def test_amendments_and_a_cancellation_count_to_the_second() -> None:
    orders = [
        Order(0, START - HOUR, (30.0, 30.0)),
        Order(1, START + 10 * MINUTE, (12.0, 12.0)),
        Order(2, START + 40 * MINUTE + timedelta(seconds=1), (12.0, 12.0), cancelled=True),
    ]
    assert instructed_kwh(SLOTS[0], SLOTS, orders) == pytest.approx(30 / 6 + 12 / 3)
    assert instructed_kwh(SLOTS[1], SLOTS, orders) == pytest.approx(12 * 601 / 3600)


def test_a_shorter_amendment_orders_nothing_after_its_end() -> None:
    orders = [Order(0, START - HOUR, (30.0, 30.0)), Order(1, START - MINUTE, (30.0,))]
    assert instructed_kwh(SLOTS[1], SLOTS, orders) == 0.0


def test_a_down_product_is_delivered_by_less_export() -> None:
    order = Order(0, START - HOUR, (10.0, 10.0))
    line = settle(SLOTS[0], terms(kw=10.0, sign=-1), [order], nominated_kwh=-1.0, metered_kwh=-4.0)
    assert (line.delivered_kwh, line.deficiency_kwh) == (3.0, 2.0)


@pytest.mark.parametrize(("nominated", "metered"), [(None, 15.0), (0.0, None)])
def test_without_nomination_or_meter_nothing_is_delivered(
    nominated: float | None, metered: float | None
) -> None:
    line = settle(SLOTS[0], terms(), [Order(0, START - HOUR, (30.0, 30.0))], nominated, metered)
    assert (line.delivered_kwh, line.deficiency_kwh, line.amount_gbp) == (0.0, 15.0, Decimal("-9.00"))


@given(
    st.lists(
        st.tuples(SECONDS, st.lists(st.integers(0, 50), min_size=1, max_size=2), st.booleans()), max_size=4
    ),
    SECONDS,
)
def test_what_is_instructed_is_the_sum_over_the_seconds(
    changes: list[tuple[datetime, list[int], bool]], cut: datetime
) -> None:
    changes.sort(key=lambda change: change[0])
    orders = [Order(n, at, tuple(map(float, kw)), off) for n, (at, kw, off) in enumerate(changes)]

    def in_force(at: datetime) -> float:
        last = next((order for order in reversed(orders) if order.at <= at), None)
        slot = next((n for n, span in enumerate(SLOTS) if span.start <= at < span.end), None)
        return (
            0.0 if last is None or last.cancelled or slot is None or slot >= len(last.kw) else last.kw[slot]
        )

    window = Span(SLOTS[0].start, SLOTS[1].end)
    by_seconds = sum(in_force(window.start + timedelta(seconds=s)) for s in range(3600)) / 3600
    assert instructed_kwh(window, SLOTS, orders) == pytest.approx(by_seconds, abs=1e-9)
    parts = instructed_kwh(Span(window.start, cut), SLOTS, orders) + instructed_kwh(
        Span(cut, window.end), SLOTS, orders
    )
    assert parts == pytest.approx(by_seconds, abs=1e-9) or not window.start <= cut <= window.end


@given(st.floats(-100, 100), st.floats(-100, 100), st.integers(0, 60), st.sampled_from((1, -1)))
def test_delivered_and_deficiency_make_up_what_was_instructed(
    nominated: float, metered: float, kw: int, sign: int
) -> None:
    line = settle(SLOTS[0], terms(sign=sign), [Order(0, START - HOUR, (float(kw),))], nominated, metered)
    assert 0.0 <= line.delivered_kwh <= line.instructed_kwh
    assert line.delivered_kwh + line.deficiency_kwh == pytest.approx(line.instructed_kwh)
    assert line.delivered_kwh <= max(0.0, sign * (metered - nominated))
    assert line.amount_gbp == line.amount_gbp.quantize(Decimal("0.01"))


@given(st.integers(0, 10_000), st.integers(1, 600))
def test_half_hours_cover_a_window_without_a_gap(offset_minutes: int, minutes: int) -> None:
    window = Span(START + offset_minutes * MINUTE, START + (offset_minutes + minutes) * MINUTE)
    spans = half_hours(window)
    assert spans[0].start <= window.start < spans[0].end
    assert spans[-1].start < window.end <= spans[-1].end
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(span.start.minute in {0, 30} and span.hours == 0.5 for span in spans)
