"""Sums close (P10), whatever was ordered, nominated and measured."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

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
from aggregator.settlement import metered, settle
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    a_draft,
    a_nomination,
    a_product,
    a_reading,
    a_requirement,
    an_award,
    an_event_key,
    an_instruction,
)

prices = st.decimals(min_value=0, max_value=3000, places=2)
stamps = st.timedeltas(timedelta(hours=-2), timedelta(hours=2)).map(lambda span: EVENING.start + span)


@st.composite
def orders(draw):
    """Return orders, amendments and cancellations of one event, in the order of their stamps."""
    facts = []
    for modification, at in enumerate(sorted(draw(st.lists(stamps, max_size=4)))):
        key = an_event_key(event_id="dispatch-1", modification=modification)
        if draw(st.booleans()):
            values = draw(st.lists(st.floats(-500, 500), min_size=4, max_size=4))
            steps = tuple(Step(slot, value) for slot, value in zip(SLOTS, values, strict=True))
            mode = draw(st.sampled_from(OrderMode))
            facts.append(Instructed(at, an_instruction(key=key, steps=steps, mode=mode, issued_at=at)))
        else:
            facts.append(InstructionCancelled(at, key))
    return facts


@st.composite
def registers(draw, charger):
    """Return one charger's readings, ascending, at odd times or none at all; registers never run back."""
    minutes = sorted(draw(st.sets(st.integers(-30, 150), max_size=12)))
    import_wh = export_wh = 0
    rows = []
    for minute in minutes:
        import_wh += draw(st.integers(0, 4000))
        export_wh += draw(st.integers(0, 4000))
        at = EVENING.start + timedelta(minutes=minute)
        rows.append(a_reading(charger_id=charger, measured_at=at, import_wh=import_wh, export_wh=export_wh))
    return rows


@st.composite
def cases(draw):
    draft = a_draft()
    award = an_award(utilisation_gbp_per_mwh=draw(prices), availability_gbp_per_mw_h=draw(prices))
    facts = [
        Received(NOON, a_requirement()),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Awarded(NOON, award),
        *draw(orders()),
    ]
    product = a_product(direction=draw(st.sampled_from(Direction)), penalty_gbp_per_mwh=draw(prices))
    nominated = draw(st.lists(st.integers(-60_000, 60_000) | st.none(), min_size=4, max_size=4))
    nominations = {
        slot: a_nomination(period=slot, export_wh=wh)
        for slot, wh in zip(SLOTS, nominated, strict=True)
        if wh is not None
    }
    chargers = [f"charger-{n}" for n in range(draw(st.integers(0, 5)))]
    known = {charger: draw(registers(charger)) for charger in chargers}
    return replay("opportunity-1", facts), product, nominations, known


def settled(case):
    opportunity, product, nominations, known = case
    meters = metered(known, SLOTS)
    cars = {charger: f"car of {charger}" for charger in known}
    return settle(opportunity, product, nominations, meters, cars), meters


@given(cases())
def test_every_line_closes(case):
    _, product, nominations, known = case
    statement, meters = settled(case)
    for line in statement.lines:
        moved = product.direction.sign * (line.metered_export_wh - line.baseline_export_wh)
        measured = sum(meter.export_wh for meter in meters[line.period])
        assert line.metered_export_wh == (measured if any(known.values()) else line.baseline_export_wh)
        if line.period in nominations:
            assert line.delivered_wh == min(max(moved, 0), line.instructed_wh)
            assert line.delivered_wh + line.deficiency_wh == line.instructed_wh
        else:
            assert (line.delivered_wh, line.deficiency_wh, line.penalty_gbp) == (0, 0, 0)
        assert line.delivered_wh >= 0
        assert sum(wh for _, wh in line.shares_wh) == line.delivered_wh
        assert line.amount_gbp == pounds(line.availability_gbp + line.utilisation_gbp - line.penalty_gbp)


@given(cases())
def test_a_statement_adds_to_the_penny(case):
    statement, _ = settled(case)
    assert statement.amount_gbp == sum((line.amount_gbp for line in statement.lines), Decimal(0))
    assert statement.amount_gbp.as_tuple().exponent == -2


@given(cases())
def test_energy_adds_from_half_hours_to_the_registers(case):
    *_, known = case
    _, meters = settled(case)
    for charger, rows in known.items():
        found = [meter for slot in SLOTS for meter in meters[slot] if meter.charger_id == charger]
        assert len(found) == (len(SLOTS) if rows else 0)
        by_instant = {row.measured_at: row.export_wh - row.import_wh for row in rows}
        if EVENING.start in by_instant and EVENING.end in by_instant:
            total = by_instant[EVENING.end] - by_instant[EVENING.start]
            assert sum(meter.export_wh for meter in found) == total


@given(cases())
def test_what_could_be_otherwise_is_flagged(case):
    """A figure not flagged is the same whatever the registers did between and beyond the readings."""
    *_, known = case
    _, meters = settled(case)
    sure = [(meter, slot) for slot in SLOTS for meter in meters[slot] if not meter.estimated]
    for meter, slot in sure:
        rows = known[meter.charger_id]
        for bound in (slot.start, slot.end):
            before = [row for row in rows if row.measured_at <= bound]
            after = [row for row in rows if row.measured_at >= bound]
            assert before
            assert after
            assert before[-1].import_wh == after[0].import_wh
            assert before[-1].export_wh == after[0].export_wh
