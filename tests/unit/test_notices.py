"""What the control loop finds out, in words."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.notices import Holds, ShortOrders

NOW = datetime(2025, 1, 15, 18, 0, tzinfo=UTC)
TARGET = ZoneTarget("E", (Interval(NOW, NOW + HALF_HOUR),), (20.0,), Direction.UP, ("order",))


@pytest.mark.parametrize(
    ("short_kwh", "said"),
    [
        (
            4.0,
            "order: 4 of 10 kWh still asked for (with what was nominated) cannot be had from the cars here",
        ),
        (
            11.6,
            "order: none of the 10 kWh still asked for (with what was nominated) can be had "
            "from the cars here, which draw 1.6 kWh for their drivers",
        ),
    ],
)
def test_what_is_missing_of_an_order_is_never_said_to_be_more_than_it(short_kwh, said):
    (notice,) = ShortOrders().note(TARGET, (short_kwh,), NOW)
    assert notice.text == said


def test_what_is_missing_of_an_order_is_of_its_own_half_hours_alone():
    slots = tuple(Interval(NOW + n * HALF_HOUR, NOW + (n + 1) * HALF_HOUR) for n in range(3))
    target = ZoneTarget("E", slots, (20.0, 20.0, 20.0), Direction.UP, ("order", "next", None))
    short = ShortOrders()
    assert short.note(target, (0.0, 10.0, 10.0), NOW) == []
    (notice,) = short.note(target, (2.0, 10.0, 10.0), NOW)
    assert notice.text.startswith("order: 2 of 10 kWh")


def test_cars_that_must_wait_are_told_once_a_zone_as_long_as_it_goes_on():
    holds, places = Holds(), {"a": ("E", "1"), "b": ("E", "2"), "c": ("W", "3")}
    told = [
        holds.of(waiting, places, NOW + timedelta(seconds=at))
        for at, waiting in ((0, {"a"}), (32, {"a", "b"}), (52, {"b", "c"}), (110, set()), (170, {"a"}))
    ]
    assert told == [["a"], [], ["c"], [], []]
    assert holds.of({"b"}, places, NOW + timedelta(minutes=30)) == ["b"]
