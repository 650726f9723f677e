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
LEAST_W = {"car-2": 1400, "car-3": 4000}

powers = st.integers(-16_000, 16_000)
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
        goes = limit.allowed(points, standing, PLACE_OF, now, LEAST_W)
        assert goes.keys() == set(wanted)
        for point in points:
            before_w, now_w = standing.get(point.car_id, 0), goes[point.car_id]
            assert min(before_w, point.export_w, 0) <= now_w <= max(before_w, point.export_w, 0)
            assert now_w in {before_w, point.export_w, 0} or abs(now_w) >= LEAST_W.get(point.car_id, 0)
            passed.append((now, point.car_id, abs(now_w - before_w) / 1000, point.purpose))
            if now_w != point.export_w:
                held.append((now, point.car_id, abs(point.export_w - now_w) / 1000, point.purpose))
            standing[point.car_id] = now_w
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


def waiting(limit, points, standing, place_of, now):
    goes = limit.allowed(points, standing, place_of, now, {})
    return {point.car_id for point in points if goes[point.car_id] != point.export_w}


def test_what_was_held_passes_a_minute_later():
    limit, now = a_limit(), EVENING.start
    points = [a_set_point(car_id="car-1", export_w=15_000), a_set_point(car_id="car-3", export_w=6_000)]
    assert waiting(limit, points, {}, PLACE_OF, now) == {"car-3"}
    soon = now + timedelta(seconds=59)
    assert waiting(limit, points[1:], {}, PLACE_OF, soon) == {"car-3"}
    assert waiting(limit, points[1:], {}, PLACE_OF, now + MINUTE) == set()


def test_what_must_pass_uses_the_bound_up():
    limit = a_limit()
    boost = a_set_point(car_id="car-1", export_w=-20_000, purpose=Purpose.BOOST)
    plan = a_set_point(car_id="car-3", export_w=-1, purpose=Purpose.PLAN)
    assert waiting(limit, [boost, plan], {}, PLACE_OF, EVENING.start) == {"car-3"}


SHARED = {"car-1": ("east", "home"), "car-3": ("east", "home"), "car-5": ("east", "another")}


def test_the_cars_of_a_home_wait_together():
    """Half of a swap between them would be more than their home may give."""
    swap = [a_set_point(car_id="car-1", export_w=0), a_set_point(car_id="car-3", export_w=7000)]
    first = a_set_point(car_id="car-5", export_w=8000)
    limit, standing = a_limit(), {"car-1": 7000}
    assert waiting(limit, [first, *swap], standing, SHARED, EVENING.start) == {"car-1", "car-3"}
    assert waiting(limit, swap, standing, SHARED, EVENING.start + MINUTE) == set()


def test_who_makes_room_for_a_driver_s_right_does_not_wait():
    boost = a_set_point(car_id="car-1", export_w=-15_000, purpose=Purpose.BOOST)
    less = a_set_point(car_id="car-3", export_w=0)
    assert waiting(a_limit(), [boost, less], {"car-3": -7000}, SHARED, EVENING.start) == set()


def test_who_rises_beside_a_driver_s_right_keeps_to_the_bound_and_who_stands_in_the_way_gives_way():
    boost = a_set_point(car_id="car-1", export_w=-21_000, purpose=Purpose.BOOST)
    for standing_w, wanted_w, goes_w in (
        (0, 7000, 0),
        (-3000, 7000, 0),
        (-3000, -5000, -3000),
        (-3000, -1, -1),
    ):
        other = a_set_point(car_id="car-3", export_w=wanted_w)
        goes = a_limit().allowed([boost, other], {"car-3": standing_w}, SHARED, EVENING.start, {})
        assert goes == {"car-1": -21_000, "car-3": goes_w}


def test_who_gives_beside_a_driver_s_right_keeps_to_the_bound_in_giving_less_too():
    """Its energy takes nothing of the fuse."""
    charging = a_set_point(car_id="car-1", export_w=-5000, purpose=Purpose.MUST_CHARGE)
    less = a_set_point(car_id="car-3", export_w=1000)
    limit, standing = a_limit(), {"car-1": -5001, "car-3": 3700}
    before = a_set_point(car_id="car-5", export_w=18_000)
    assert waiting(limit, [before, charging, less], standing, SHARED, EVENING.start) == {"car-3"}
    assert waiting(limit, [charging, less], standing, SHARED, EVENING.start + MINUTE) == set()


def test_a_change_that_no_minute_allows_is_made_in_steps_by_all_cars_of_the_home():
    limit, standing, now = a_limit(), {"car-1": 7000, "car-3": 2600}, EVENING.start
    turn = [a_set_point(car_id=car, export_w=-15_000) for car in ("car-1", "car-3")]
    for _ in range(2):
        standing = limit.allowed(turn, standing, SHARED, now, {})
        now += MINUTE
    assert standing == {"car-1": -15_000, "car-3": -15_000}
