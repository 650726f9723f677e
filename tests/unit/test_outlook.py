"""What a zone can count on: hand cases of percentiles, energy and power."""

from datetime import UTC, datetime

import numpy as np
import pytest

from aggregator.energy import CarArrays, Stay, Tariff
from aggregator.forecast import Scenario
from aggregator.forecast.outlook import outlook
from aggregator.model.fleet import ExportSource
from aggregator.model.time import HALF_HOUR
from tests.builders import NOON, a_car, a_charger, a_site

FLAT = Tariff(np.full(4, 0.3), np.zeros(4), np.zeros(4, dtype=bool))


def arrays(*cars):
    return CarArrays.of(cars, NOON)


def leaf(name="a", **changes):
    charger = a_charger(charger_id=f"q-{name}", charge_kw=7.4, discharge_kw=7.4, eta_discharge=0.9)
    home = a_site(site_id=f"home-{name}", export_limit_kw=5.0, **changes)
    return a_car(car_id=name, capacity_kwh=40.0, floor_soc=0.3, charger=charger, site=home)


def stays(*rows):
    """Each row: first slot, slot of leaving, kWh on arrival, kWh wanted."""
    first, last, energy, target = (np.array(column) for column in zip(*rows, strict=True))
    nowhere = np.zeros_like(first)
    none = Stay(nowhere, nowhere, nowhere.astype(float), nowhere.astype(float))
    return Scenario("2025-01-07", Stay(first, last, energy.astype(float), target.astype(float)), none)


def seen(cars, *scenarios):
    return outlook(cars, scenarios, FLAT, 0.5, 0.01)


def test_power_ends_where_the_energy_above_floor_and_guard_does():
    """14.2 kWh stored: 12 are the floor, 0.8 the guard; 1.4 kWh give 1.26 at the plug, 2.52 kW in a slot."""
    found = seen(arrays(leaf()), stays((1, 4, 14.2, 12.0)))
    assert found.exportable_kwh[1] == pytest.approx([0.0, 1.26, 1.26, 1.26])
    assert found.discharge_kw[1] == pytest.approx([0.0, 2.52, 2.52, 2.52])
    assert list(found.cars[1]) == [0, 1, 1, 1]


def test_power_is_the_home_s_room_and_none_without_an_approval():
    full = stays((0, 4, 38.0, 12.0))
    assert seen(arrays(leaf()), full).discharge_kw[1] == pytest.approx([5.0] * 4)
    found = seen(arrays(leaf(export_source=ExportSource.NONE)), full)
    assert not found.discharge_kw.any()
    assert not found.exportable_kwh.any()
    assert found.cars.all()


def test_nothing_is_forecast_before_the_approval_s_midnight():
    midnight = datetime(2025, 1, 16, tzinfo=UTC)
    bounds = [midnight + (n - 2) * HALF_HOUR for n in range(5)]
    cars = CarArrays.of([leaf(approved_from=midnight.date())], *bounds)
    found = seen(cars, stays((0, 4, 38.0, 12.0)))
    assert found.discharge_kw[1] == pytest.approx([0.0, 0.0, 5.0, 5.0])
    assert found.exportable_kwh[1] == pytest.approx([0.0, 0.0, 22.68, 22.68])
    assert found.cars.all()


def test_what_a_driver_needs_soon_is_not_there_to_give():
    """Full at the end of slot 3: full power from slot 0 on is just enough, so that nothing may be given."""
    cars = arrays(leaf())
    taken_kwh = 4 * 3.7 * cars.eta_charge[0]
    found = seen(cars, stays((0, 4, 36.0 - taken_kwh, 36.0)))
    assert found.exportable_kwh[1] == pytest.approx([0.0] * 4)


def test_a_tenth_of_the_days_lies_below_the_lowest_percentile():
    """Of 19 scenarios the second lowest is P10, the tenth P50, the second highest P90."""
    energy_kwh = np.linspace(14.0, 32.0, 19)
    found = seen(arrays(leaf()), *(stays((0, 4, kwh, 12.0)) for kwh in energy_kwh))
    expected = 0.9 * (energy_kwh[[1, 9, 17]] - 12.8)
    assert found.exportable_kwh[:, 0] == pytest.approx(expected)


def test_without_a_scenario_there_is_no_outlook():
    with pytest.raises(ValueError, match="at least one"):
        seen(arrays(leaf()))
