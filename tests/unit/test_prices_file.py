"""Price files: what is read, what is refused, and what happens when they grow."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.files.prices import PriceFile, read_prices
from aggregator.model.errors import BadMessage

HEADER = "datetime_utc,local_time_as_published,zone_code,city,p_per_kwh_inc_vat"
START = datetime(2025, 1, 15, 17, tzinfo=UTC)


def a_line(number, pence="28.287"):
    at = START + timedelta(minutes=30 * number)
    return f"{at.isoformat(sep=' ')},{at:%H:%M},C,London,{pence}"


def a_file(tmp_path, *lines, header=HEADER):
    path = tmp_path / "agile.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def faults_of(path):
    with pytest.raises(BadMessage) as refused:
        read_prices(path)
    lines = [str(fault) for fault in refused.value.faults]
    assert all("agile.csv" in line and "\n" not in line for line in lines)
    return lines


def test_pence_become_pounds_and_hold_for_their_half_hour(tmp_path):
    prices = read_prices(a_file(tmp_path, a_line(0), a_line(1, "-2.5")))
    assert prices.at(START) == prices.at(START + timedelta(minutes=29)) == pytest.approx(0.28287)
    assert prices.at(START + timedelta(minutes=30)) == pytest.approx(-0.025)
    assert prices.at(START - timedelta(seconds=1)) is None
    assert prices.at(prices.end) is None


def test_columns_may_stand_in_any_order_and_blank_lines_anywhere(tmp_path):
    path = a_file(tmp_path, "", "12,2025-01-15T17:00:00Z", "", header="p_per_kwh_inc_vat,datetime_utc")
    assert read_prices(path).at(START) == pytest.approx(0.12)


@pytest.mark.parametrize(
    ("lines", "where", "allowed"),
    [
        (
            [a_line(0), a_line(2)],
            "line 3.datetime_utc: '2025-01-15T18:00:00Z'",
            "2025-01-15T17:30:00Z: half-h",
        ),
        (
            [a_line(0), a_line(0)],
            "line 3.datetime_utc: '2025-01-15T17:00:00Z'",
            "2025-01-15T17:30:00Z: half-h",
        ),
        (["2025-01-15 17:10:00+00:00,,,,1"], "line 2.datetime_utc", "the start of a half-hour with its zone"),
        (["2025-01-15 17:00:00,,,,1"], "line 2.datetime_utc", "with its zone"),
        (["9999-12-31T23:30:00Z,,,,1"], "line 2.datetime_utc", "the start of a half-hour"),
        (["soon,,,,1"], "line 2.datetime_utc: 'soon'", "the start of a half-hour"),
        ([a_line(0, "nan")], "line 2.p_per_kwh_inc_vat: 'nan'", "a number of pence"),
        ([a_line(0, "1e9")], "line 2.p_per_kwh_inc_vat: '1e9'", "-10000 to 10000"),
        ([a_line(0).rsplit(",", 1)[0]], "line 2.p_per_kwh_inc_vat: '(missing)'", "a number of pence"),
        ([], "'a header only'", "at least one half-hour"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path, lines, where, allowed):
    (line,) = faults_of(a_file(tmp_path, *lines))
    assert where in line
    assert allowed in line


@pytest.mark.parametrize("header", ["datetime_utc,pence", "datetime_utc,datetime_utc,p_per_kwh_inc_vat", ""])
def test_the_columns_must_be_there_once(tmp_path, header):
    (line,) = faults_of(a_file(tmp_path, a_line(0), header=header))
    assert "datetime_utc and p_per_kwh_inc_vat" in line


def test_a_file_that_grows_is_read_again_and_one_that_breaks_is_not_believed(tmp_path):
    path = a_file(tmp_path, a_line(0))
    file, later = PriceFile(path), START + timedelta(minutes=30)
    assert file.at(later) is None
    a_file(tmp_path, a_line(0), a_line(1, "5"))
    assert file.at(later) == pytest.approx(0.05)
    a_file(tmp_path, a_line(0), "broken")
    assert file.at(later) == pytest.approx(0.05)
    path.unlink()
    assert file.at(later) == pytest.approx(0.05)
