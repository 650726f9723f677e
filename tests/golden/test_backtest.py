"""A backtest small enough to be worked out by hand.

One car of 40 kWh comes at 16:00 with 36 kWh (90%: it is never driven) and leaves at 07:00. Two calls from
17:00 to 19:00 want 5 kW at GBP 500/MWh; energy costs 20 p at all times; on the second day the car stays away.

Above the floor (30% = 12 kWh) and the guard (2% = 0.8 kWh) the car holds 36 - 12.8 = 23.2 kWh, 0.93 of which
reach the grid: 21.576 kWh over two hours at up to 7.4 kW, so 7.4 kW all through: 5 kW are bid on both days,
as all past weekdays went alike. Awarded: 10 kWh each.

Day one: 10 kWh at GBP 0.5 earn 5.00. The battery has lost 10 / 0.93 kWh; to put them back takes
10 / 0.93 / 0.93 = 11.562 kWh at GBP 0.20 = 2.312. Wear: 10 kWh at GBP 0.02 = 0.20. Net 5.00 - 2.312 - 0.20.
Day two: nothing is delivered; the penalty is 10 kWh at GBP 0.60 = 6.00. Who knows the day does not bid.
"""

import json
from datetime import date, timedelta

import pytest

from aggregator.cli import run
from tests.backtest_world import Call, Files, at, evenings

MONDAY = date(2024, 11, 4)
KEPT, MISSED = MONDAY + timedelta(days=14), MONDAY + timedelta(days=15)


@pytest.fixture
def files(tmp_path):
    stays = evenings("ann", MONDAY, 28, skip=[MISSED])
    calls = [Call(at(day, 17), at(day, 19), 5.0, 500.0) for day in (KEPT, MISSED)]
    return Files(tmp_path, stays, calls, KEPT, 2).write()


def test_a_kept_and_a_missed_call(files, tmp_path, capsys):
    assert run([*files.arguments(tmp_path / "out"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)

    kept, missed = body["events_told"]
    assert kept["results"]["flexloop"] == {
        "bid_kw": 5.0,
        "committed_kwh": 10.0,
        "delivered_kwh": 10.0,
        "net_gbp": pytest.approx(5.0 - 10 / 0.93**2 * 0.2 - 0.2, abs=0.005),
    }
    assert missed["results"]["flexloop"] == {
        "bid_kw": 5.0,
        "committed_kwh": 10.0,
        "delivered_kwh": 0.0,
        "net_gbp": -6.0,
    }
    assert missed["results"]["clairvoyant"]["bid_kw"] == 0.0
    assert "0 cars through the window, 1.0 expected; counted on and not there: ann@2019" in missed["why"]

    own = body["policies"]["flexloop"]
    assert (own["bid_on"], own["committed_kwh"], own["delivered_kwh"]) == (2, 20.0, 10.0)
    assert (own["revenue_gbp"], own["penalty_gbp"], own["wear_gbp"]) == (5.0, 6.0, 0.2)
    assert own["energy_gbp"] == pytest.approx(2.31)
    assert own["coverage_95"]["share"] == 0.5
    assert (body["events"], body["feasible"]) == (2, 1)
    assert body["volume_of_clairvoyant"] == 2.0
    assert body["promises"]["broken"] == 0
    assert body["promises"]["checked"] > 0


def test_nights_at_home_are_cycles(files, tmp_path, capsys):
    assert run([*files.arguments(tmp_path / "out"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["cycles"] == {"cycles": 1, "driver_months": 1, "months_earning": 0, "credit_gbp": 0}


def test_the_page_asks_nobody_for_anything(files, tmp_path):
    assert run(files.arguments(tmp_path / "out")) == 0
    page = (tmp_path / "out" / "backtest.html").read_text()
    for word in ("<script", "src=", "@import", "url(", "<link"):
        assert word not in page
    assert page.count("<svg") == 5
    assert "10.0" in page


def test_the_same_inputs_give_the_same_bytes(files, tmp_path):
    for name in ("one", "two"):
        assert run(files.arguments(tmp_path / name)) == 0
    for name in ("backtest.json", "backtest.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
