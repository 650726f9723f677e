from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.acceptance import Acceptance, Cleared, PriceRule
from aggregator.files.cleared import read_cleared
from aggregator.model.errors import BadMessage

START = datetime(2024, 11, 1, 17, tzinfo=UTC)
RULE = PriceRule(price_of_ceiling=1.0, least_margin_gbp_per_mwh=0.0)


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


AT = "2024-11-07T17:00:00Z"
COLUMNS = (
    "utilisation_price,product,extra,zone,start_time_utc,end_time_utc,company_name,fu_id,"
    "availability_mw_req,utilisation_mw_req,availability_price\n"
)


def written(path, *rows):
    """Write dispatch records: price, zone and start of each."""
    lines = [
        f"{price},Day-Ahead,x,{zone},{start},2024-11-09T18:00:00Z,A,f,0,1,0" for price, zone, start in rows
    ]
    path.write_text("\ufeff" + COLUMNS + "".join(f"{line}\n" for line in lines))
    return path


def test_a_dispatch_file_tells_what_was_cleared(tmp_path):
    rows = (
        (500.0, "Hendon Way", "2024-11-07 17:00:00+00:00"),
        (0.0, "Hendon Way", "2024-11-08 17:00:00+00:00"),
    )
    (one,) = read_cleared(written(tmp_path / "dispatches.csv", *rows)).cleared
    assert (one.zone, one.gbp_per_mwh, one.start.day) == ("Hendon Way", 500.0, 7)


@pytest.mark.parametrize(
    "row", [("nan", "Z", "2024-11-07T17:00:00Z"), (1, "", "2024-11-07T17:00:00Z"), (1, "Z", "x")]
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, row):
    path = written(tmp_path / "dispatches.csv", (1, "Z", AT), row)
    with pytest.raises(BadMessage, match=r"dispatches\.csv: line 3"):
        read_cleared(path)
