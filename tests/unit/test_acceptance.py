from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.acceptance import Acceptance, Cleared, PriceRule
from aggregator.files.cleared import read_cleared
from aggregator.model.errors import BadMessage

START = datetime(2024, 11, 1, 17, tzinfo=UTC)
RULE = PriceRule(price_of_ceiling=1.0, least_margin_gbp_per_mwh=0.0)
HEADER = "company_name,zone,product,start_time_utc,utilisation_price\n"


def cleared(*prices, zone="Canvey", product="Day-Ahead"):
    return [Cleared(zone, product, START + timedelta(days=day), price) for day, price in enumerate(prices)]


def test_the_dearest_price_of_a_need_counts_and_only_what_was_known():
    rows = cleared(*range(100, 200, 10)) + cleared(*range(300, 400, 10))
    found = Acceptance.of(rows)
    assert found.prices("Canvey", "Day-Ahead", START + timedelta(days=10)) == tuple(range(300, 400, 10))
    assert found.prices("Canvey", "Day-Ahead", START + timedelta(days=9)) == ()


def test_a_zone_with_few_records_takes_those_of_all_zones():
    found = Acceptance.of(cleared(*[200.0] * 12, zone="Wrotham") + cleared(500.0))
    prices = found.prices("Canvey", "Day-Ahead", START + timedelta(days=99))
    assert len(prices) == 13
    assert found.prices("Canvey", "Peak Reduction", START + timedelta(days=99)) == ()


def test_the_price_asked_earns_most_against_what_was_cleared():
    # Ten needs cleared at 300, ten at 500. At a cost of 250: 300 is always accepted, (300 - 250) x 1 = 50;
    # 500 half of the time, (500 - 250) x 0.5 = 125. At a cost of 50: 250 x 1 against 450 x 0.5 = 225.
    prices = (300.0,) * 10 + (500.0,) * 10
    dear = RULE.ask(250.0, Decimal(600), prices)
    assert (dear.gbp_per_mwh, dear.accepted) == (Decimal("500.00"), 0.5)
    cheap = RULE.ask(50.0, Decimal(600), prices)
    assert (cheap.gbp_per_mwh, cheap.accepted) == (Decimal("300.00"), 1.0)


def test_no_price_is_under_cost_and_margin_or_over_the_ceiling():
    rule = PriceRule(price_of_ceiling=0.5, least_margin_gbp_per_mwh=20.0)
    assert rule.ask(100.0, Decimal(400), ()).gbp_per_mwh == Decimal("200.00")
    assert rule.ask(300.0, Decimal(400), ()).gbp_per_mwh == Decimal("320.00")
    assert rule.ask(390.0, Decimal(400), ()).gbp_per_mwh == Decimal(400)
    assert rule.ask(100.0, None, ()).gbp_per_mwh == Decimal("120.00")
    assert rule.ask(100.0, Decimal(400), (50.0,) * 10).gbp_per_mwh >= Decimal("120.00")
    assert rule.ask(100.0, Decimal(400), (900.0,) * 10).gbp_per_mwh == Decimal(400)


def test_a_file_is_read_by_its_columns_in_any_order(tmp_path):
    path = tmp_path / "dispatches.csv"
    path.write_text(
        "\ufeffutilisation_price,product,extra,zone,start_time_utc\n"
        "500.0,Day-Ahead,x,Hendon Way,2024-11-07 17:00:00+00:00\n"
        "0.0,Day-Ahead,x,Hendon Way,2024-11-08 17:00:00+00:00\n"
    )
    (one,) = read_cleared(path).cleared
    assert (one.zone, one.gbp_per_mwh, one.start.day) == ("Hendon Way", 500.0, 7)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("zone,product\n", "header"),
        ("", "header"),
        (HEADER + "a,Z,P,2024-11-07 17:00:00,1\n", r"line 2\.start_time_utc: '2024-11-07 17:00:00'"),
        (HEADER + "a,Z,P,2024-11-07T17:00:00Z,nan\n", r"line 2\.utilisation_price: 'nan'"),
        (HEADER + "a,,P,2024-11-07T17:00:00Z,1\n", r"line 2\.zone"),
        (HEADER + "a,Z\n", r"line 2\.product"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, where):
    path = tmp_path / "dispatches.csv"
    path.write_text(text)
    with pytest.raises(BadMessage, match=where):
        read_cleared(path)


def test_the_real_records_form_is_read(tmp_path):
    path = tmp_path / "dispatches.csv"
    path.write_text(
        "company_name,fu_id,zone,product,start_time_local,utilisation_price,start_time_utc\n"
        '"Axle Energy Limited",f,"Steel Cross",Peak Reduction,2024-05-17T08:00:00+01:00,209.3,'
        "2024-05-17 07:00:00+00:00\n"
    )
    assert read_cleared(path).cleared[0].product == "Peak Reduction"
