"""From settings, price files and standing signals to a zone's prices."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from aggregator.config import PriceSettings, TariffBand, read_settings
from aggregator.model.time import HALF_HOUR, Interval
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


NOON = datetime(2025, 1, 7, 12, tzinfo=UTC)
DAY = Interval(NOON, NOON + timedelta(days=1)).slots(HALF_HOUR)


def priced(known_at=None, bands=SETTINGS.tariff, slots=DAY, **said):
    settings = SETTINGS.model_copy(update={"prices": PriceSettings(**said), "tariff": bands})
    return prices_of(settings, lambda _: (), known_at)(ZONE, slots)


def a_price_file(tmp_path, start, pence, name="agile.csv"):
    path = tmp_path / name
    lines = [f"{(start + n * HALF_HOUR).isoformat()},{price}" for n, price in enumerate(pence)]
    path.write_text("\n".join(["datetime_utc,p_per_kwh_inc_vat", *lines]))
    return path


def test_half_hourly_prices_hold_where_the_file_has_them_and_the_tariff_beyond(tmp_path):
    path = a_price_file(tmp_path, NOON - HALF_HOUR, range(1, 6))
    found = priced(import_csv=path)
    assert list(found.import_gbp_per_kwh[:5]) == [0.02, 0.03, 0.04, 0.05, 0.3352]
    assert list(found.export_gbp_per_kwh) == list(priced().export_gbp_per_kwh)


def test_exports_have_their_own_file_or_one_price(tmp_path):
    path = a_price_file(tmp_path, NOON, [7.5])
    assert list(priced(export_csv=path).export_gbp_per_kwh[:2]) == [0.075, 0.2252]
    assert set(priced(export_gbp_per_kwh=0.15).export_gbp_per_kwh) == {0.15}
    assert list(priced(export_gbp_per_kwh=0.15).import_gbp_per_kwh) == list(priced().import_gbp_per_kwh)


def test_beyond_the_file_the_week_before_may_stand_in_by_what_clocks_showed(tmp_path):
    """Clocks went forward on 30 March 2025: 12:00 on the 31st is 11:00 UTC, a week before 12:00 UTC."""
    path = a_price_file(tmp_path, datetime(2025, 3, 24, 11, tzinfo=UTC), range(1, 9))
    start = datetime(2025, 3, 31, 11, tzinfo=UTC)
    slots = Interval(start, start + 4 * HALF_HOUR).slots(HALF_HOUR)
    found = priced(import_csv=path, beyond="week_before", slots=slots)
    assert list(found.import_gbp_per_kwh) == [0.03, 0.04, 0.05, 0.06]
    far = priced(import_csv=path, beyond="week_before")
    assert list(far.import_gbp_per_kwh) == list(priced().import_gbp_per_kwh)


@pytest.mark.parametrize(
    ("known_at", "priced_until"), [((6, 15, 59), (6, 23)), ((6, 16, 0), (7, 23)), ((7, 16, 1), (8, 23))]
)
def test_a_price_counts_once_it_was_published(tmp_path, known_at, priced_until):
    path = a_price_file(tmp_path, NOON - timedelta(days=2), [1] * 200)
    found = priced(datetime(2025, 1, *known_at, tzinfo=UTC), import_csv=path)
    until = datetime(2025, 1, *priced_until, tzinfo=UTC)
    for slot, price in zip(DAY, found.import_gbp_per_kwh, strict=True):
        assert (price == 0.01) == (slot.start < until)


def test_a_tariff_that_changes_holds_from_its_local_midnight_on():
    later = TariffBand(
        valid_from=date(2025, 1, 8),
        from_local=time(0),
        until_local=time(0),
        import_gbp_per_kwh=0.5,
        export_gbp_per_kwh=0.1,
    )
    latest = later.model_copy(update={"valid_from": date(2026, 1, 1), "import_gbp_per_kwh": 0.9})
    found = priced(bands=(latest, *SETTINGS.tariff, later))
    before, after = found.import_gbp_per_kwh[:24], found.import_gbp_per_kwh[24:]
    assert list(before) == list(priced().import_gbp_per_kwh[:24])
    assert set(after) == {0.5}
    assert set(found.export_gbp_per_kwh[24:]) == {0.1}


def test_a_signal_s_price_wins_over_the_file(tmp_path):
    path = a_price_file(tmp_path, SLOTS[0].start, [1] * 4)
    settings = SETTINGS.model_copy(update={"prices": PriceSettings(import_csv=path)})
    peak = a_peak_window(steps=some_steps(0, 0), prices=some_steps(900, -20))
    found = prices_of(settings, lambda _: (peak,))(ZONE, SLOTS)
    assert list(found.import_gbp_per_kwh) == [0.9, -0.02, 0.01, 0.01]


def test_what_touches_a_bid_window_is_marked_in_its_zone_only():
    inside = Interval(SLOTS[1].start + timedelta(minutes=10), SLOTS[2].start)
    found = prices_of(SETTINGS, lambda _: (), windows=lambda zone: (inside,) if zone == ZONE else ())
    assert list(found(ZONE, SLOTS).bid) == [False, True, False, False]
    assert not found("elsewhere", SLOTS).bid.any()
