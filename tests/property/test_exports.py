"""Who pays for an exported Wh: somebody once, or nobody."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from aggregator.model.fleet import NOBODY_PAYS, ExportTariff, FeedIn, FitExport
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.trial.exports import Export, Payers, Sold, paid_by, tariff_gbp, tariff_price

WH = st.integers(0, 20_000)
DEALS = st.sampled_from(
    (
        NOBODY_PAYS,
        FeedIn("A", FitExport.METERED),
        FeedIn("A", FitExport.DEEMED),
        FeedIn("A", FitExport.NONE, ExportTariff.FLAT, 0.15),
        FeedIn(None, FitExport.NONE, ExportTariff.HALF_HOURLY),
    )
)


@given(export=WH, cars=WH, sold=st.builds(Sold, WH, WH), deal=DEALS)
def test_the_parts_add_to_the_export_and_exclude_each_other(export, cars, sold, deal):
    paid = paid_by(export, cars, sold, deal)
    assert paid.export_wh == export
    assert min(paid.market_wh, paid.fit_export_wh, paid.export_tariff_wh, paid.not_paid_wh) >= 0
    assert paid.market_wh <= sold.at_chargers_wh + sold.at_boundary_wh
    assert not (paid.fit_export_wh and paid.export_tariff_wh)
    if deal.export_tariff is ExportTariff.NONE:
        assert paid.export_tariff_wh == 0
    if deal.fit_export is not FitExport.METERED:
        assert paid.fit_export_wh == 0
    if deal.fit_export is FitExport.DEEMED:
        assert paid.not_paid_wh == export - paid.market_wh


@given(export=WH, cars=WH, sold=WH)
def test_a_feed_in_tariff_never_pays_for_what_a_battery_gave(export, cars, sold):
    paid = paid_by(export, cars, Sold(sold), FeedIn("A", FitExport.METERED))
    assert paid.fit_export_wh == max(0, export - cars)
    assert paid.market_wh == min(sold, cars, export)


@given(
    rows=st.lists(st.tuples(WH, WH, WH, st.decimals("-0.2", "0.9", places=4)), max_size=60),
)
def test_the_tariff_s_money_is_that_of_its_own_wh_rounded_once(rows):
    start = datetime(2024, 10, 27, tzinfo=UTC)
    deal = FeedIn(None, FitExport.NONE, ExportTariff.HALF_HOURLY)
    exports = [
        Export(
            Interval(start + n * HALF_HOUR, start + (n + 1) * HALF_HOUR),
            paid_by(export, cars, Sold(sold), deal),
            min(cars, export),
            tariff_price(deal, float(price)),
        )
        for n, (export, cars, sold, price) in enumerate(rows)
    ]
    exact = sum(((e - min(s, c, e)) * p for e, c, s, p in rows), Decimal(0)) / 1000
    assert abs(tariff_gbp(exports) - exact) <= Decimal("0.005")
    assert sum((one.payers for one in exports), Payers()).export_wh == sum(row[0] for row in rows)


def test_nobody_is_paid_before_the_first_day():
    deal = FeedIn("A", FitExport.METERED, feed_in_from=date(2024, 10, 27))
    midnight = datetime(2024, 10, 26, 23, tzinfo=UTC)
    assert deal.at(midnight) == deal
    assert deal.at(midnight - timedelta(seconds=1)) == NOBODY_PAYS
