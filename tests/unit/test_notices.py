"""What the control loop finds out, in words."""

from datetime import UTC, datetime

import pytest

from aggregator.model.market import Direction
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.notices import ShortOrders

NOW = datetime(2025, 1, 15, 18, 0, tzinfo=UTC)
TARGET = ZoneTarget("E", (Interval(NOW, NOW + HALF_HOUR),), (20.0,), Direction.UP, ("order",))


@pytest.mark.parametrize(
    ("short_kwh", "said"),
    [
        (4.0, "order: 4 of 10 kWh still asked for cannot be had from the cars"),
        (
            11.6,
            "order: none of the 10 kWh still asked for can be had from the cars, "
            "which draw 1.6 kWh for their drivers",
        ),
    ],
)
def test_what_is_missing_of_an_order_is_never_said_to_be_more_than_it(short_kwh, said):
    (notice,) = ShortOrders().note(TARGET, short_kwh, NOW)
    assert notice.text == said
