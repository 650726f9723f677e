"""What registers come to in half-hours: steps at the boundaries, lines between, what is held beyond."""

from datetime import timedelta

import pytest

from aggregator.settlement import metered
from tests.builders import SLOTS, a_reading

FIRST = SLOTS[0]


def readings(*rows, charger="charger-1"):
    """Return readings of (minutes after the first half-hour's start, import Wh, export Wh)."""
    return [
        a_reading(
            charger_id=charger,
            measured_at=FIRST.start + timedelta(minutes=minutes),
            import_wh=import_wh,
            export_wh=export_wh,
        )
        for minutes, import_wh, export_wh in rows
    ]


def energies(*rows, periods=SLOTS[:2]):
    found = metered({"charger-1": readings(*rows)}, periods)
    return [(meter.export_wh, meter.estimated) for period in periods for meter in found[period]]


def test_energy_is_the_step_between_registers_at_the_boundaries():
    assert energies((0, 100, 0), (13, 100, 900), (30, 100, 2_000), (60, 600, 2_000)) == [
        (2_000, False),
        (-500, False),
    ]


def test_a_register_between_readings_is_interpolated_and_flagged():
    assert energies((-10, 0, 0), (20, 0, 3_000), (40, 0, 4_000), (60, 0, 4_000)) == [
        (2_500, True),
        (500, True),
    ]


@pytest.mark.parametrize("began_wh", [0, 1])
def test_half_a_watt_hour_metered_goes_to_the_even_one_whatever_a_float_makes_of_it(began_wh):
    ends = FIRST.start - timedelta(seconds=270), FIRST.start + timedelta(seconds=90)
    shown = [
        a_reading(measured_at=at, import_wh=0, export_wh=wh)
        for at, wh in zip(ends, (began_wh, began_wh + 26), strict=True)
    ]
    (only,) = metered({"charger-1": shown}, [FIRST])[FIRST]
    assert only.export_wh == 26 - 20  # 19.5 Wh by the start


def test_a_register_that_stood_still_across_a_boundary_is_beyond_doubt():
    assert energies((-20, 5, 7), (10, 5, 7), (15, 5, 9), (60, 5, 9)) == [(2, False), (0, False)]


def test_what_lies_beyond_the_last_register_is_held_and_flagged():
    assert energies((0, 0, 0), (30, 0, 2_000), (45, 0, 3_000)) == [(2_000, False), (1_000, True)]
    assert energies((0, 0, 0), (30, 0, 2_000)) == [(2_000, False), (0, True)]


def test_what_lies_before_the_first_register_is_held_and_flagged():
    assert energies((20, 0, 500), (30, 0, 1_500), (60, 0, 1_500)) == [(1_000, True), (0, False)]


def test_estimated_energies_add_to_the_registers_all_the_same():
    found = energies((-7, 0, 0), (67, 0, 7_777), periods=SLOTS)
    assert sum(wh for wh, _ in found) == 7_777 - round(7_777 * 7 / 74)
