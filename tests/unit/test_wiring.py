"""From settings and standing signals to a zone's prices."""

from pathlib import Path

from aggregator.config import read_settings
from aggregator.wiring import prices_of
from tests.builders import SLOTS, ZONE, a_peak_window, some_steps

SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")


def tariff(*peaks):
    return prices_of(SETTINGS, lambda zone: peaks if zone == ZONE else ())(ZONE, SLOTS)


def test_without_a_signal_the_tariff_holds():
    assert list(tariff().import_gbp_per_kwh) == [0.4693, 0.4693, 0.4693, 0.4693]


def test_a_price_that_stands_as_a_signal_is_what_is_drawn_at_and_earns_nothing():
    priced = a_peak_window(steps=some_steps(0, 0), prices=some_steps(900, -20))
    found = tariff(priced)
    assert list(found.import_gbp_per_kwh) == [0.9, -0.02, 0.4693, 0.4693]
    assert list(found.export_gbp_per_kwh) == list(tariff().export_gbp_per_kwh)
    assert not found.red.any()


def test_of_two_prices_the_dearer_holds():
    dear, cheap = (a_peak_window(prices=some_steps(kw)) for kw in (900, 100))
    assert tariff(dear, cheap).import_gbp_per_kwh[0] == tariff(cheap, dear).import_gbp_per_kwh[0] == 0.9
