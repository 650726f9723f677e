"""What a zone moves is delivered once (P10), under the order that the control loop followed."""

from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from aggregator.audit.money import line_faults, zone_faults
from aggregator.model.market import Direction, Step
from aggregator.model.opportunity import Instructed, replay
from aggregator.model.time import Interval
from aggregator.settlement import Metered, settle
from aggregator.targets import zone_target
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    ZONE,
    a_nomination,
    a_product,
    an_event_key,
    an_instruction,
)

MINUTE = timedelta(minutes=1)
LASTS = int((EVENING.end - EVENING.start) / MINUTE)
FIVES = st.integers(0, LASTS // 5)


@st.composite
def an_opportunity(draw, name):
    """Return one with an order or two, from any five minutes to any other of the evening."""
    facts = []
    for n in range(draw(st.integers(1, 2))):
        start, end = sorted(draw(st.lists(FIVES, min_size=2, max_size=2, unique=True)))
        span = Interval(EVENING.start + 5 * start * MINUTE, EVENING.start + 5 * end * MINUTE)
        order = an_instruction(
            key=an_event_key(event_id=f"{name}-{n}"),
            steps=(Step(span, draw(st.integers(-90, 90))),),
            priority=draw(st.integers(0, 3)),
            issued_at=NOON + draw(st.integers(0, 1)) * MINUTE,
        )
        facts.append(Instructed(NOON, order))
    return replay(name, facts)


@st.composite
def evenings(draw):
    names = [f"opportunity-{n}" for n in range(draw(st.integers(2, 4)))]
    moved = draw(st.lists(st.integers(-60_000, 60_000), min_size=4, max_size=4))
    nominated = draw(st.lists(st.integers(-20_000, 20_000), min_size=4, max_size=4))
    return [draw(an_opportunity(name)) for name in names], nominated, moved, draw(st.sampled_from(Direction))


def followed_wh(opportunities, nominations, slot, direction):
    """Return what the loop's own targets ask for in a half-hour, minute by minute, by opportunity. [Wh]"""
    found = {one.opportunity_id: Fraction(0) for one in opportunities}
    in_turn = sorted(opportunities, key=lambda one: (one.window.start, one.opportunity_id))
    for n in range(30):
        at = slot.start + n * MINUTE
        target = zone_target(ZONE, at, in_turn, nominations, ())
        if target is not None:
            change_kw = round(target.export_kw[0] - nominations[slot].export_wh / 500)
            found[target.opportunity_ids[0]] += Fraction(max(0, direction.sign * change_kw) * 1000, 60)
    return {name: round(wh) for name, wh in found.items()}


@given(evenings())
def test_what_a_zone_moved_is_delivered_once(evening):
    opportunities, nominated, moved, direction = evening
    product = a_product(direction=direction)
    nominations = {
        slot: a_nomination(period=slot, export_wh=wh) for slot, wh in zip(SLOTS, nominated, strict=True)
    }
    meters = {
        slot: (Metered("charger-1", base + wh, estimated=False),)
        for slot, base, wh in zip(SLOTS, nominated, moved, strict=True)
    }
    lines = []
    for one in opportunities:
        beside = [other for other in opportunities if other is not one]
        lines += settle(one, product, nominations, meters, {"charger-1": "car-1"}, beside=beside).lines
    for slot, wh in zip(SLOTS, moved, strict=True):
        here = {line.opportunity: line for line in lines if line.period == slot}
        due = followed_wh(opportunities, nominations, slot, direction)
        most = max(0, direction.sign * wh)
        delivered = {name: line.delivered_wh for name, line in here.items()}
        assert sum(delivered.values()) == min(most, sum(due.values()))
        assert all(0 <= delivered[name] <= due[name] for name in here)
        for line in here.values():
            assert list(line_faults(line, product, alone=False)) == []
        assert not here or list(zone_faults(list(here.values()), direction.sign)) == []
