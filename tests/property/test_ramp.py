"""The power moved in any minute stays within bounds, whatever is asked, but for what must always pass."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.metering import Purpose
from dispatch.ramp import EXEMPT, MINUTE, RampLimit
from tests.builders import EVENING, a_set_point

ZONE_OF = {f"car-{n}": "east" if n % 2 else "west" for n in range(8)}
PLACE_OF = {car: (zone, f"home of {car}") for car, zone in ZONE_OF.items()}
ZONE_KW, TOTAL_KW = 20.0, 30.0
BOUND_BY_IT = sorted(set(Purpose) - EXEMPT)

powers = st.integers(-11_000, 11_000)
cycles = st.lists(
    st.tuples(
        st.integers(0, 90),
        st.dictionaries(
            st.sampled_from(sorted(ZONE_OF)), st.tuples(powers, st.sampled_from(Purpose)), max_size=8
        ),
    ),
    max_size=8,
)


def a_limit():
    return RampLimit(ZONE_KW, TOTAL_KW)


def run(limit, cycles):
    """Return every movement that passed as (at, car, kW, purpose), and every one held."""
    now, standing, passed, held = EVENING.start, {}, [], []
    for seconds, wanted in cycles:
        now += timedelta(seconds=seconds)
        points = [
            a_set_point(car_id=car, export_w=watts, purpose=purpose)
            for car, (watts, purpose) in wanted.items()
        ]
        waiting = limit.hold(points, standing, PLACE_OF, now)
        assert waiting <= set(wanted)
        for point in points:
            kw = abs(point.export_w - standing.get(point.car_id, 0)) / 1000
            row = (now, point.car_id, kw, point.purpose)
            (held if point.car_id in waiting else passed).append(row)
            if point.car_id not in waiting:
                standing[point.car_id] = point.export_w
    return passed, held


@given(cycles)
def test_what_moves_in_a_minute_stays_within_bounds(cycles):
    cycles = [
        (seconds, {car: (watts, Purpose.PLAN) for car, (watts, _) in wanted.items()})
        for seconds, wanted in cycles
    ]
    passed, _ = run(a_limit(), cycles)
    for end, *_ in passed:
        last_minute = [row for row in passed if end - MINUTE < row[0] <= end]
        assert sum(kw for _, _, kw, _ in last_minute) <= TOTAL_KW + 1e-9
        for zone in set(ZONE_OF.values()):
            assert sum(kw for _, car, kw, _ in last_minute if ZONE_OF[car] == zone) <= ZONE_KW + 1e-9


@given(cycles)
def test_a_drivers_right_and_letting_go_always_pass(cycles):
    _, held = run(a_limit(), cycles)
    assert {purpose for *_, purpose in held} <= set(BOUND_BY_IT)


@given(cycles)
def test_what_moves_nothing_is_never_held(cycles):
    _, held = run(a_limit(), cycles)
    assert all(kw > 0 for _, _, kw, _ in held)


@given(cycles)
def test_nothing_is_held_without_need(cycles):
    """A movement held would have passed a bound, with all that had passed in the minute before it."""
    passed, held = run(a_limit(), cycles)
    for at, car, kw, _ in held:
        recent = [row for row in passed if at - MINUTE < row[0] <= at]
        in_zone = sum(moved for _, other, moved, _ in recent if ZONE_OF[other] == ZONE_OF[car])
        assert in_zone + kw > ZONE_KW - 1e-9 or sum(row[2] for row in recent) + kw > TOTAL_KW - 1e-9


def test_what_was_held_passes_a_minute_later():
    limit, now = a_limit(), EVENING.start
    points = [a_set_point(car_id="car-1", export_w=15_000), a_set_point(car_id="car-3", export_w=6_000)]
    assert limit.hold(points, {}, PLACE_OF, now) == {"car-3"}
    soon = now + timedelta(seconds=59)
    assert limit.hold(points[1:], {}, PLACE_OF, soon) == {"car-3"}
    assert limit.hold(points[1:], {}, PLACE_OF, now + MINUTE) == frozenset()


def test_what_must_pass_uses_the_bound_up():
    limit = a_limit()
    boost = a_set_point(car_id="car-1", export_w=-20_000, purpose=Purpose.BOOST)
    plan = a_set_point(car_id="car-3", export_w=-1, purpose=Purpose.PLAN)
    assert limit.hold([boost, plan], {}, PLACE_OF, EVENING.start) == {"car-3"}


SHARED = {"car-1": ("east", "home"), "car-3": ("east", "home"), "car-5": ("east", "another")}


def test_the_cars_of_a_home_wait_together():
    """Half of a swap between them would be more than their home may give."""
    swap = [a_set_point(car_id="car-1", export_w=0), a_set_point(car_id="car-3", export_w=7000)]
    first = a_set_point(car_id="car-5", export_w=8000)
    limit, standing = a_limit(), {"car-1": 7000}
    assert limit.hold([first, *swap], standing, SHARED, EVENING.start) == {"car-1", "car-3"}
    assert limit.hold(swap, standing, SHARED, EVENING.start + MINUTE) == frozenset()


def test_who_makes_room_for_a_driver_s_right_does_not_wait():
    boost = a_set_point(car_id="car-1", export_w=-15_000, purpose=Purpose.BOOST)
    less = a_set_point(car_id="car-3", export_w=0)
    assert a_limit().hold([boost, less], {"car-3": -7000}, SHARED, EVENING.start) == frozenset()
