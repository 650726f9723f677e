"""A month's energy and exports, against registers counted by hand."""

import itertools
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.config import read_settings
from aggregator.cycles import span_of
from aggregator.model.fleet import NOBODY_PAYS, ExportTariff, FeedIn, FitExport, Fleet, Fleets
from aggregator.model.metering import Reading
from aggregator.model.time import HALF_HOUR
from aggregator.store import open_store
from aggregator.trial.cells import driver_cells, home_cells
from aggregator.trial.month import make_month
from aggregator.trial.month_files import totals
from tests.builders import NOON, a_car, a_charger, a_site

MINUTE = timedelta(minutes=1)
PARTS = ("market_kwh", "fit_export_kwh", "export_tariff_kwh", "not_paid_kwh")
CONFIG = Path(__file__).parents[2] / "config" / "gateway.toml"
DEALS = (
    NOBODY_PAYS,
    FeedIn("A", FitExport.METERED),
    FeedIn("A", FitExport.DEEMED),
    FeedIn("A", FitExport.NONE, ExportTariff.FLAT, 0.15),
    FeedIn(None, FitExport.NONE, ExportTariff.HALF_HOURLY, feed_in_from=date(2024, 10, 27)),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store for many examples, each with cars of its own."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'flexloop.db'}", create=True) as store:
        yield store, itertools.count(), read_settings(CONFIG)


STEPS = st.lists(
    st.tuples(st.integers(1, 200), st.integers(0, 29), *([st.integers(0, 3000)] * 5)), min_size=1, max_size=25
)


@given(
    month=st.sampled_from((date(2024, 3, 1), date(2024, 10, 1), date(2025, 2, 1))),
    steps=STEPS,
    deal=st.sampled_from(DEALS),
    boundary=st.booleans(),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_energies_and_exports_are_those_of_the_registers(month, steps, deal, boundary, shared):
    """Two cars of one home, and its panels; each reading some half-hours and minutes after the last."""
    store, number, gateway = shared
    own, span = next(number), span_of(month)
    site = a_site(site_id=f"home-{own}", solar_kw=4.0, boundary_meter=boundary, feed_in=deal)
    cars = tuple(
        a_car(car_id=f"car-{own}-{n}", charger=a_charger(charger_id=f"charger-{own}-{n}"), site=site)
        for n in (0, 1)
    )
    at, sums = span.start, (0, 0, 0, 0, 0)
    rows = [(at, *sums)]
    for half_hours, minutes, *moved in steps:
        at += half_hours * HALF_HOUR + minutes * MINUTE
        if at < span.end:
            sums = tuple(total + wh for total, wh in zip(sums, moved, strict=True))
            rows.append((at, *sums))
    rows.append((span.end, *sums))
    for n in (0, 1):
        store.readings.add(
            Reading(f"charger-{own}-{n}", at, at, counts[2 * n], counts[2 * n + 1]) for at, *counts in rows
        )
    store.boundary_readings.add(
        Reading(site.site_id, at, at, 0, first + second + panels) for at, _, first, _, second, panels in rows
    )
    made = make_month(store, gateway, Fleets(((NOON, Fleet(cars, "f" * 64)),)), month)
    for n, driver in enumerate(made.drivers):
        assert (driver.import_wh, driver.export_wh) == (sums[2 * n], sums[2 * n + 1])
    (home,) = made.homes
    cars_wh = sums[1] + sums[3]
    assert home.payers.export_wh == cars_wh + (sums[4] if boundary else 0)
    assert home.cars_wh <= cars_wh
    green = sums[4] + len(home.exports)  # what three registers show apart may be a Wh more each time
    assert home.payers.fit_export_wh <= (green if deal.fit_export is FitExport.METERED and boundary else 0)
    if deal.feed_in_from is None and deal.export_tariff is not ExportTariff.NONE:
        assert home.payers.export_tariff_wh == home.payers.export_wh
    for row in home.exports:
        assert row.payers.export_wh > 0
        if deal.at(row.period.start).export_tariff is ExportTariff.NONE:
            assert (row.payers.export_tariff_wh, row.gbp_per_kwh) == (0, None)
    cells = [driver_cells(made, one) for one in made.drivers]
    in_all = totals(cells, [home_cells(made, home, {})], [])
    assert in_all["export_kwh"] * 1000 == cars_wh
    assert sum(in_all[part] for part in PARTS) == in_all["homes_export_kwh"]
