"""What the backtest makes of files that are other than expected."""

import json
from datetime import date, timedelta

import pytest

from aggregator.backtest.dispatches import deal, local_dates, read_dispatches
from aggregator.backtest.prices import read_prices
from aggregator.backtest.sessions import read_record
from aggregator.cli import run
from aggregator.model.errors import BadMessage
from aggregator.model.time import HALF_HOUR, Interval, parse_instant
from tests.backtest_world import CALL_HEADER, LONDON, Call, Files, at, evenings

SESSIONS = "location,user_id,session_id,plugin_time,plugout_time,connection_time,energy_session\n"
GOOD = "A,ann,1,2019-11-04 16:00:00,2019-11-05 07:00:00,15,8.5\n"
CALLS = ",".join(CALL_HEADER) + "\n"
CALL = "X,u,East,Day-Ahead,2024-11-04 17:00:00+00:00,2024-11-04 19:00:00+00:00,0,0.01,0,250\n"
DAY = date(2024, 11, 4)


def sessions_from(tmp_path, text, zone=LONDON):
    (tmp_path / "sessions.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_record(tmp_path, zone)


def calls_from(tmp_path, text):
    path = tmp_path / "calls.csv"
    path.write_text(text)
    return read_dispatches(path)


def prices_from(tmp_path, text):
    path = tmp_path / "prices.csv"
    path.write_text(text)
    return read_prices(path)


def reasons(left_out):
    return [(row["line"], row["field"], row["value"]) for row in left_out.told]


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("A,ann,2,2019-11-06 16:00:00,,,1", "plugout_time", "(missing)"),
        ("A,ann,2,2019-11-06 16:00:00,2019-11-06 16:00:00,,1", "plugout_time", "2019-11-06 16:00:00"),
        ("A,ann,2,2019-11-06 16:00:00,2019-11-05 16:00:00,,1", "plugout_time", "2019-11-05 16:00:00"),
        ("A,ann,2,2019-11-04 20:00:00,2019-11-05 08:00:00,,1", "plugin_time", "2019-11-04 20:00:00"),
        ("A,ann,1,2019-11-06 16:00:00,2019-11-07 16:00:00,,1", "session_id", "1"),
        ("A,ann,2,2019-03-31 01:30:00,2019-03-31 16:00:00,,1", "plugin_time", "2019-03-31 01:30:00"),
        ("A,ann,2,9999-12-30 16:00:00,9999-12-31 16:00:00,,1", "plugin_time", "9999-12-30 16:00:00"),
        ("A,ann,2,0001-01-01 16:00:00,2019-11-07 16:00:00,,1", "plugin_time", "0001-01-01 16:00:00"),
        ("A,ann,2,yesterday,2019-11-07 16:00:00,,1", "plugin_time", "yesterday"),
        ("A,ann,2,2019-11-06 16:00:00,2019-11-07 16:00:00,,-1", "energy_session", "-1"),
        ("A,ann,2,2019-11-06 16:00:00,2019-11-07 16:00:00,,nan", "energy_session", "nan"),
        ("A,,2,2019-11-06 16:00:00,2019-11-07 16:00:00,,1", "user_id", "(missing)"),
        ("A,ann,2,2019-11-06 16:00:00", "(row)", "4 fields"),
    ],
)
def test_a_broken_session_is_told_and_left_out(tmp_path, row, field, value):
    record = sessions_from(tmp_path, SESSIONS + GOOD + row + "\n")
    assert len(record.sessions) == 1
    assert reasons(record.left_out[0]) == [(3, field, value)]
    assert sum(record.left_out[0].counts.values()) == 1


def test_other_order_other_columns_quotes_mark_and_line_ends(tmp_path):
    text = (
        "energy_session,plugout_time,extra,plugin_time,session_id,user_id,location\r\n"
        '8.5,2019-11-05 07:00:00,"a, b",2019-11-04T16:00:00Z,"an id, with spaces",ann b,A\r\n'
    )
    record = sessions_from(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert [(one.user, one.start, one.energy_kwh) for one in record.sessions] == [
        ("ann b", at(DAY.replace(year=2019), 16), 8.5)
    ]


@pytest.mark.parametrize("stamp", ["16:00:00+01:00", "15:00:00Z", "20:00:00+05:00"])
def test_a_stamp_with_an_offset_is_an_instant(tmp_path, stamp):
    text = SESSIONS + f"A,ann,1,2019-07-01T{stamp},2019-07-02 07:00:00,,1\n"
    assert sessions_from(tmp_path, text).sessions[0].start == at(date(2019, 7, 1), 16)


def test_batteries_that_are_not_predicted_are_small(tmp_path):
    assert sessions_from(tmp_path, SESSIONS + GOOD).capacity_kwh == {}
    (tmp_path / "users_predicted.csv").write_text("user_id,battery_capacity\nann,\nbob,75\n")
    record = sessions_from(tmp_path, SESSIONS + GOOD)
    assert record.capacity_kwh == {"bob": 75.0}
    assert reasons(record.left_out[1]) == [(2, "battery_capacity", "(missing)")]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "sessions.csv: header"),
        ("location,user_id\nA,ann\n", "sessions.csv: header"),
        (SESSIONS, "sessions.csv"),
        (SESSIONS + "A,ann,1,x,y,,1\n", "sessions.csv"),
    ],
)
def test_no_sessions_at_all_is_refused(tmp_path, text, where):
    with pytest.raises(BadMessage) as caught:
        sessions_from(tmp_path, text)
    assert caught.value.faults[0].where == where


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (CALL, "(row)"),
        ("X,u,East,P,2024-11-05 17:00:00+00:00,2024-11-05 19:00:00+00:00,0,0,0,250\n", "utilisation_mw_req"),
        ("X,u,East,P,at five,2024-11-05 19:00:00+00:00,0,0.01,0,250\n", "start_time_utc"),
        ("X,u,East,P,2024-11-05 19:00:00+00:00,2024-11-05 19:00:00+00:00,0,0.01,0,250\n", "end_time_utc"),
        ("X,u,East,P,2024-11-05 17:00:00+00:00,2024-11-09 19:00:00+00:00,0,0.01,0,250\n", "end_time_utc"),
        ("X,u,East,P,2024-11-05 17:00:00+00:00,2024-11-05 19:00:00+00:00,0,-1,0,250\n", "utilisation_mw_req"),
        ("X,u,East,P,2024-11-05 17:00:00+00:00,2024-11-05 19:00:00+00:00,0,0.01,0,\n", "utilisation_price"),
    ],
)
def test_a_broken_call_is_told_and_left_out(tmp_path, row, field):
    events, left_out = calls_from(tmp_path, CALLS + CALL + row)
    assert len(events) == 1
    assert [(line, where) for line, where, _ in reasons(left_out)] == [(3, field)]


def test_rows_of_one_zone_and_window_are_one_event(tmp_path):
    more = (
        "Y,v,East,Day-Ahead,2024-11-04 17:00:00+00:00,2024-11-04 19:00:00+00:00,0,0.03,0,450\n"
        "Y,v,East,Scheduled Availability,2024-11-04 17:00:00+00:00,2024-11-04 19:00:00+00:00,0.02,0,30,0\n"
        "Z,w,West,Scheduled Availability,2024-11-04 17:00:00+00:00,2024-11-04 19:00:00+00:00,0.02,0,30,0\n"
    )
    (event,), _ = calls_from(tmp_path, CALLS + CALL + more)
    assert event.need_kw == pytest.approx(40)
    assert event.utilisation_gbp_per_mwh == pytest.approx((10 * 250 + 30 * 450) / 40)
    assert event.availability_gbp_per_mw_h == pytest.approx(20 * 30 / 40)


def test_a_zone_takes_the_best_paid_call_of_a_day(tmp_path):
    rows = "".join(
        f"X,u,East,P,2024-11-04 {start}:00+00:00,2024-11-04 {end}:00+00:00,0,0.01,0,{price}\n"
        for start, end, price in (
            ("16:00", "17:00", 100),
            ("17:00", "18:00", 300),
            ("18:00", "19:00", 200),
            ("11:00", "15:00", 250),
            ("11:30", "12:30", 250),
            ("14:15", "15:00", 900),
        )
    )
    events, _ = calls_from(tmp_path, CALLS + rows)
    dealt = deal(events, ("zone-1",), [DAY, DAY - timedelta(days=1)])
    assert [event.utilisation_gbp_per_mwh for event in dealt.events["zone-1"].values()] == [300]
    assert (dealt.passed_over, dealt.outside) == (4, 1)


def test_a_call_across_noon_has_the_days_on_both_sides_of_it(tmp_path):
    rows = "".join(
        f"X,u,East,P,2024-11-0{start}:00+00:00,2024-11-0{end}:00+00:00,0,0.01,0,{price}\n"
        for start, end, price in (
            ("3 17:00", "3 19:00", 300),
            ("4 11:00", "4 15:00", 400),
            ("4 17:00", "4 19:00", 200),
            ("5 17:00", "5 19:00", 100),
            ("6 08:00", "6 23:00", 90),
        )
    )
    events, _ = calls_from(tmp_path, CALLS + rows)
    days = [DAY + timedelta(days=n) for n in (-1, 0, 1, 2)]
    dealt = deal(events, ("zone-1",), days)
    assert {day: event.utilisation_gbp_per_mwh for day, event in dealt.events["zone-1"].items()} == {
        days[0]: 400,
        days[2]: 100,
    }
    assert (dealt.passed_over, dealt.outside) == (3, 0)
    assert local_dates(events[1:2]) == (days[1], days[1])


def test_events_are_asked_for_by_the_local_day_on_which_they_begin(tmp_path):
    night = "Z,w,West,P,2024-11-04 {}:00+00:00,2024-11-04 {}:00+00:00,0,0.01,0,100\n"
    rows = "".join(
        night.format(*hours) for hours in (("02:00", "04:00"), ("11:00", "13:00"), ("18:00", "19:00"))
    )
    events, _ = calls_from(tmp_path, CALLS + rows)
    assert {event.starts_on for event in events} == {DAY}
    assert [event.days[0] for event in events] == [DAY - timedelta(days=1)] * 2 + [DAY]


def half_hours(first, count):
    start = parse_instant(first)
    return Interval(start, start + count * HALF_HOUR).slots(HALF_HOUR)


def test_both_price_tables_gaps_and_what_was_published(tmp_path):
    rows = "".join(
        f"{slot.start.isoformat(sep=' ')},{slot.end.isoformat(sep=' ')},1,{10 + n}\n"
        for n, slot in enumerate(half_hours("2024-11-03T00:00:00Z", 96))
        if n != 60
    )
    prices, _ = prices_from(tmp_path, "valid_from,valid_to,value_exc_vat,value_inc_vat\n" + rows)
    gap = half_hours("2024-11-04T06:00:00Z", 1)
    assert prices.of(gap) == [pytest.approx(0.22)], "the same time of the day before"
    evening = half_hours("2024-11-04T17:00:00Z", 1)
    assert prices.of(evening) == [pytest.approx(0.92)]
    assert prices.of(evening, parse_instant("2024-11-03T14:00:00Z")) == [pytest.approx(0.44)]
    assert prices.of(evening, parse_instant("2024-11-03T16:00:00Z")) == [pytest.approx(0.92)]
    assert prices.of(half_hours("2024-11-20T06:00:00Z", 1)) is None


def test_a_price_that_stands_twice_or_off_the_half_hour_is_left_out(tmp_path):
    text = (
        "city,p_per_kwh_inc_vat,datetime_utc\n"
        "L,-3.5,2024-11-03 00:00:00+00:00\n"
        "L,4,2024-11-03 00:00:00+00:00\n"
        "L,4,2024-11-03 00:10:00+00:00\n"
        "L,inf,2024-11-03 00:30:00+00:00\n"
        "L,4,noon\n"
    )
    prices, left_out = prices_from(tmp_path, text)
    assert list(prices.gbp_per_kwh.values()) == [-0.035]
    assert [(line, where) for line, where, _ in reasons(left_out)] == [
        (3, "p_per_kwh_inc_vat"),
        (4, "datetime_utc"),
        (5, "p_per_kwh_inc_vat"),
        (6, "datetime_utc"),
    ]


@pytest.fixture
def files(tmp_path):
    calls = [Call(at(DAY, 17), at(DAY, 19), 5.0, 500.0)]
    return Files(tmp_path, evenings("ann", DAY - timedelta(days=14), 28), calls, DAY, 1).write()


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (("--sessions-zone", "Mars/Olympus"), "--sessions-zone"),
        (("--from", "soon"), "--from"),
        (("--from", "2030-01-01"), "--from, --to"),
        (("--sessions", "nowhere"), "nowhere/sessions.csv"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(files, tmp_path, capsys, more, where):
    assert run([*files.arguments(tmp_path / "out"), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"flexloop: {where}")
    assert not (tmp_path / "out").exists()


def test_a_missing_column_is_one_object_with_json(files, tmp_path, capsys):
    (tmp_path / "calls.csv").write_text("zone,product\nA,B\n")
    assert run([*files.arguments(tmp_path / "out"), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {
        "code": "bad_input",
        "where": "calls.csv: header",
        "value": "(missing)",
        "allowed": "a column start_time_utc",
    }


def test_what_was_left_out_stands_in_the_result(files, tmp_path, capsys):
    with (tmp_path / "sessions" / "sessions.csv").open("a") as file:
        file.write("HOUSE,ann,x,2019-11-20 16:00:00,,,1\n")
    assert run([*files.arguments(tmp_path / "out"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["left_out"]["sessions.csv"]["rows"] == 1
    assert body["left_out_rows"][0]["field"] == "plugout_time"
    assert "plugout_time" in (tmp_path / "out" / "backtest.html").read_text()
