"""Dispatch records: read by column, checked against themselves, the odd ones named."""

import csv
import io
from decimal import Decimal

import pytest

from aggregator.dispatch_check import check_dispatches, odd_by_rule
from aggregator.files.dispatches import COLUMNS, STATED, read_dispatches
from aggregator.model.errors import BadMessage

HELD = {
    "company_name": "Cars Ltd",
    "fu_id": "CARS -SAOU-007",
    "zone": "Hendon Way",
    "product": "Scheduled Availability",
    "start_time_local": "2025-07-01T17:00:00+01:00",
    "end_time_local": "2025-07-01T19:00:00+01:00",
    "availability_mw_req": "0.021",
    "utilisation_mw_req": "0.0",
    "availability_price": "41.5",
    "utilisation_price": "0.0",
    "availability_mwh_req": "0.04",
    "utilisation_mwh_req": "0.0",
    "hours_requested": "2.0",
    "start_time_utc": "2025-07-01 16:00:00+00:00",
    "end_time_utc": "2025-07-01 18:00:00+00:00",
}
CALLED = HELD | {
    "end_time_local": "2025-07-01T17:30:00+01:00",
    "availability_mw_req": "0.0",
    "utilisation_mw_req": "0.009",
    "availability_price": "0.0",
    "utilisation_price": "300.0",
    "availability_mwh_req": "0.0",
    "hours_requested": "0.5",
    "end_time_utc": "2025-07-01 16:30:00+00:00",
}


def text_of(*lines, columns=tuple(HELD), **dialect):
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, lineterminator="\n", **dialect)
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def a_file(tmp_path, text):
    path = tmp_path / "dispatches.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def checked(tmp_path, *lines):
    return check_dispatches(read_dispatches(a_file(tmp_path, text_of(*lines)), stated=True))


def odd_of(tmp_path, *lines):
    return [(one.row, one.line, one.rule) for one in checked(tmp_path, *lines).odd]


def refusal(tmp_path, text):
    with pytest.raises(BadMessage) as refused:
        read_dispatches(a_file(tmp_path, text), stated=True)
    (fault,) = refused.value.faults
    assert "\n" not in str(fault)
    return str(fault)


# figures


def test_money_is_paid_on_mw_times_hours_whatever_the_rounded_mwh_say(tmp_path):
    result = checked(tmp_path, HELD, CALLED)
    assert result.odd == ()
    (total,) = result.by_product.values()
    assert total.rows == result.rows == 2
    assert total.availability_mw_h == Decimal("0.042")
    assert total.availability_gbp == Decimal("1.743")
    assert total.utilisation_mwh == Decimal("0.0045")
    assert total.utilisation_gbp == Decimal("1.35")


def test_totals_are_told_by_product_zone_month_and_company(tmp_path):
    midnight = {"start_time_utc": "2025-07-31 23:00:00+00:00", "end_time_utc": "2025-08-01 01:00:00+00:00"}
    local = {"start_time_local": "2025-08-01T00:00:00+01:00", "end_time_local": "2025-08-01T02:00:00+01:00"}
    result = checked(tmp_path, HELD, HELD | midnight | local | {"zone": "Canvey", "company_name": "Vans Ltd"})
    assert {name: total.rows for name, total in result.by_product.items()} == {"Scheduled Availability": 2}
    assert list(result.by_zone) == ["Canvey", "Hendon Way"]
    assert list(result.by_month) == ["2025-07", "2025-08"]
    assert list(result.by_company) == ["Cars Ltd", "Vans Ltd"]


def test_what_is_called_belongs_to_what_is_held(tmp_path):
    pairs = checked(tmp_path, HELD, CALLED).pairs
    assert (pairs.held, pairs.held_and_called, pairs.called, pairs.unheld) == (1, 1, 1, 0)
    assert checked(tmp_path, CALLED).pairs.unheld == 1


# forms of one file


@pytest.mark.parametrize(
    "text",
    [
        text_of(HELD, CALLED, columns=tuple(reversed(HELD))),
        text_of(HELD | {"other": "x,y"}, CALLED | {"other": '"'}, columns=("other", *HELD)),
        text_of(HELD, CALLED, quoting=csv.QUOTE_ALL),
        text_of(HELD, CALLED).replace("\n", "\r\n"),
        "\ufeff" + text_of(HELD, CALLED),
        text_of(HELD, CALLED).replace("\n", "\n\n"),
        text_of(HELD, CALLED).replace("company_name", " company_name "),
        text_of(HELD, CALLED).replace("+00:00", ""),
        text_of(HELD, CALLED).replace("+00:00", "Z").replace("T17:00:00+01:00", " 17:00"),
    ],
    ids=["order", "more columns", "quotes", "CRLF", "BOM", "empty lines", "spaces", "no zone", "Z"],
)
def test_other_forms_of_the_same_table_are_the_same(tmp_path, text):
    result = check_dispatches(read_dispatches(a_file(tmp_path, text), stated=True))
    plain = checked(tmp_path, HELD, CALLED)
    assert (result.by_product, result.by_zone, result.pairs) == (plain.by_product, plain.by_zone, plain.pairs)
    assert result.odd == ()


def test_only_who_checks_needs_the_columns_that_say_it_again(tmp_path):
    path = a_file(tmp_path, text_of({name: HELD[name] for name in COLUMNS}, columns=COLUMNS))
    (one,) = read_dispatches(path).dispatches
    assert (one.unit, one.stated) == ("CARS -SAOU-007", None)
    assert STATED[0] in refusal(tmp_path, path.read_bytes())


# odd lines


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"zone": " "}, "missing"),
        ({"availability_mw_req": ""}, "missing"),
        ({"fu_id": "a\x00b"}, "not_printable"),
        ({"availability_mw_req": "0,021"}, "not_a_number"),
        ({"availability_mw_req": "1_000"}, "not_a_number"),
        ({"availability_price": "nan"}, "not_a_number"),
        ({"availability_price": "Infinity"}, "not_a_number"),
        ({"hours_requested": "two"}, "not_a_number"),
        ({"availability_price": "1e99"}, "too_large"),
        ({"availability_mw_req": "-0.021"}, "negative"),
        ({"availability_price": "-1"}, "negative"),
        ({"start_time_utc": "noon"}, "not_an_instant"),
        ({"start_time_utc": "0001-01-01T00:00+05:00"}, "not_an_instant"),
        ({"start_time_utc": "2025-02-30 16:00:00+00:00"}, "not_an_instant"),
        ({"end_time_local": ""}, "missing"),
        ({"end_time_utc": "2025-07-01 16:00:00+00:00"}, "times"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_left_out(tmp_path, changes, rule):
    result = checked(tmp_path, HELD | changes, CALLED | {"product": "Day-Ahead"})
    assert [(one.row, one.line, one.rule) for one in result.odd] == [(1, 2, rule)]
    assert result.rows == 2
    assert list(result.by_product) == ["Day-Ahead"]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"product": "Lottery"}, "unknown_product"),
        ({"availability_mw_req": "0", "availability_mwh_req": "0", "availability_price": "0"}, "nothing"),
        ({"availability_price": "0"}, "no_price"),
        ({"utilisation_price": "12"}, "no_power"),
        ({"start_time_local": "2025-07-01T16:00:00+01:00"}, "utc_local"),
        ({"end_time_local": "2025-07-01T19:00:00+00:00"}, "utc_local"),
        ({"hours_requested": "2.01"}, "hours"),
        ({"availability_mwh_req": "0.03"}, "mwh"),
        ({"utilisation_mwh_req": "0.01"}, "mwh"),
    ],
)
def test_an_odd_line_that_can_be_read_is_named_and_counts(tmp_path, changes, rule):
    result = checked(tmp_path, HELD | changes)
    assert [one.rule for one in result.odd] == [rule]
    assert sum(total.rows for total in result.by_product.values()) == 1


@pytest.mark.parametrize(("mwh", "odd"), [("0.037", 0), ("0.0369", 1), ("0.047", 0), ("0.0471", 1)])
def test_mwh_may_be_half_their_last_digit_off(tmp_path, mwh, odd):
    assert len(checked(tmp_path, HELD | {"availability_mwh_req": mwh}).odd) == odd


def test_mwh_that_the_rounding_of_mw_may_explain_say_so(tmp_path):
    (near,) = checked(tmp_path, HELD | {"availability_mwh_req": "0.048"}).odd
    (far,) = checked(tmp_path, HELD | {"availability_mwh_req": "0.05"}).odd
    assert "may explain" in near.detail
    assert far.detail == "availability_mwh_req is 0.05, 0.021 MW x 2 h = 0.042"


def test_a_line_that_stands_twice_counts_once(tmp_path):
    result = checked(tmp_path, HELD, CALLED, HELD)
    assert [(one.row, one.line, one.rule) for one in result.odd] == [(3, 4, "duplicate")]
    assert (result.rows, result.by_product["Scheduled Availability"].rows) == (3, 2)


def test_a_dispatch_written_another_way_is_the_same_dispatch(tmp_path):
    another = HELD | {
        "availability_mw_req": "0.0210",
        "start_time_utc": "2025-07-01T17:00+01:00",
        "other": "2",
    }
    text = text_of(HELD | {"other": "1"}, another, columns=("other", *HELD))
    assert [one.rule for one in read_dispatches(a_file(tmp_path, text)).left_out] == ["duplicate"]


def test_holding_the_same_unit_twice_is_named_and_counts(tmp_path):
    again = HELD | {"availability_price": "19"}
    assert odd_of(tmp_path, HELD, again) == [(2, 3, "repeated")]
    assert odd_of(tmp_path, HELD, again | {"fu_id": "another"}) == []
    later = HELD | {
        "start_time_utc": "2025-07-01 17:00:00+00:00",
        "start_time_local": "2025-07-01T18:00:00+01:00",
        "hours_requested": "1",
        "availability_mwh_req": "0.02",
    }
    assert odd_of(tmp_path, HELD, later) == [(2, 3, "overlap")]


def test_calling_what_is_not_held_is_named(tmp_path):
    assert odd_of(tmp_path, CALLED) == [(1, 2, "unheld")]
    assert odd_of(tmp_path, HELD | {"fu_id": "another"}, CALLED) == [(2, 3, "unheld")]
    more = CALLED | {"utilisation_mw_req": "0.022", "utilisation_mwh_req": "0.01"}
    assert odd_of(tmp_path, HELD, more) == [(2, 3, "more_than_held")]
    assert odd_of(tmp_path, CALLED | {"product": "Day-Ahead"}) == []


def test_a_line_with_too_many_or_too_few_fields_is_named(tmp_path):
    good = text_of(CALLED | {"product": "Day-Ahead"})
    lines = (f"{good}a,b\n", f"{good}{','.join(HELD.values())},more\n")
    for text in lines:
        file = read_dispatches(a_file(tmp_path, text))
        assert [(one.row, one.line, one.rule) for one in file.left_out] == [(2, 3, "fields")]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    text = text_of(HELD | {"company_name": "Cars\nLtd"}, HELD, HELD | {"zone": ""})
    assert [(one.row, one.line, one.rule) for one in read_dispatches(a_file(tmp_path, text)).left_out] == [
        (1, 2, "not_printable"),
        (3, 5, "missing"),
    ]


def test_rules_are_counted_the_most_often_first(tmp_path):
    result = checked(
        tmp_path, HELD | {"zone": ""}, HELD | {"product": "x"}, CALLED | {"zone": "", "fu_id": "y"}
    )
    assert odd_by_rule(result.odd) == {"missing": 2, "unknown_product": 1}


# broken files


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "header: '(missing)'"),
        (text_of(), "no dispatch"),
        (text_of(HELD).replace("zone,", "place,"), "also the columns zone"),
        (text_of(HELD).replace("company_name,", "zone,", 1), "also the columns company_name"),
        (text_of(HELD).replace("\n", ",x\n", 1).replace(",x\n", ",zone\n"), "'zone' is not allowed"),
        (text_of(HELD) + '"a"b,c\n', "line 3"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"\x00" * 50, "header"),
    ],
)
def test_what_is_no_such_table_is_refused_in_one_line(tmp_path, text, part):
    assert part in refusal(tmp_path, text)
