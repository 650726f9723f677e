import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aggregator.model.opportunity import Approved, Awarded, Instructed, Proposed, Received, replay
from aggregator.reports import COLUMNS, StatementBook, StatementRow, to_csv, to_html, to_json, write_book
from aggregator.settlement import Metered, settle
from tests.builders import (
    NOON,
    SLOTS,
    a_draft,
    a_nomination,
    a_product,
    a_requirement,
    an_award,
    an_instruction,
)

NASTY = '=HYPERLINK("http://evil.example")<script>alert(1)</script>'
ENERGIES_WH = (14_501, 9_999, 25_000, -3)


def a_line_each():
    draft = a_draft()
    facts = [
        Received(NOON, a_requirement()),
        Proposed(NOON, draft),
        Approved(NOON, draft.digest, "bob"),
        Awarded(NOON, an_award(utilisation_gbp_per_mwh=Decimal("333.33"))),
        Instructed(NOON, an_instruction()),
    ]
    nominations = {slot: a_nomination(period=slot) for slot in SLOTS}
    meters = {slot: (Metered("charger-1", wh, False),) for slot, wh in zip(SLOTS, ENERGIES_WH, strict=True)}
    return settle(
        replay("opportunity-1", facts), a_product(), nominations, meters, {"charger-1": "car-1"}
    ).lines


def a_book(**changes):
    rows = tuple(StatementRow(replace(line, **changes), 1) for line in a_line_each())
    return StatementBook(date(2025, 1, 15), date(2025, 1, 16), None, rows, {"readings": "r" * 64})


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


class Page(HTMLParser):
    """What a browser would make of a page: its tags, and what it would ask for."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.asked, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        fetching = ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
        self.asked += [value for name, value in attrs if name in fetching]

    def handle_data(self, data):
        self.text += data


def test_the_columns_are_the_contracts_and_then_ours():
    header = to_csv(a_book()).splitlines()[0]
    assert header == ",".join(COLUMNS)
    assert header.startswith(
        "zone,product,opportunity,period_start_utc,settlement_date,settlement_period,needed_kw,instructed_kwh,"
        "baseline_export_kwh,metered_export_kwh,delivered_kwh,deficiency_kwh,availability_gbp,utilisation_gbp,"
        "penalty_gbp,factor,amount_gbp,quality,version"
    )


def test_a_row_says_what_the_line_says():
    first, *_ = rows_of(to_csv(a_book()))
    assert (first["period_start_utc"], first["settlement_date"], first["settlement_period"]) == (
        "2025-01-15T17:00:00Z",
        "2025-01-15",
        "35",
    )
    assert (first["instructed_kwh"], first["baseline_export_kwh"]) == ("15.000", "4.500")
    assert (first["metered_export_kwh"], first["delivered_kwh"], first["deficiency_kwh"]) == (
        "14.501",
        "10.001",
        "4.999",
    )
    assert Decimal(first["utilisation_gbp"]) == Decimal("10001") * Decimal("333.33") / 1_000_000
    assert first["amount_gbp"] == "2.98"


def test_the_same_book_gives_the_same_bytes(tmp_path):
    once = write_book(a_book(), tmp_path / "one")
    again = write_book(a_book(), tmp_path / "two")
    assert once == again
    for name, digest in once.items():
        body = (tmp_path / "one" / name).read_bytes()
        assert body == (tmp_path / "two" / name).read_bytes()
        assert hashlib.sha256(body).hexdigest() == digest
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(once)


def test_another_process_on_another_day_gives_the_same_bytes(tmp_path):
    """Between Kiribati and Midway there is always a midnight."""
    program = (
        "import sys, pathlib; from aggregator.reports import write_book;"
        "from tests.unit.test_reports import a_book;"
        "print(sorted(write_book(a_book(), pathlib.Path(sys.argv[1])).items()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)],
            env={"PYTHONHASHSEED": seed, "TZ": zone},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed, zone in (("1", "Pacific/Midway"), ("2", "Pacific/Kiritimati"))
    }
    assert said == {f"{sorted(write_book(a_book(), tmp_path / 'here').items())}\n"}


def test_a_book_replaces_one_that_is_there(tmp_path):
    write_book(a_book(zone="ELSEWHERE"), tmp_path)
    digests = write_book(a_book(), tmp_path)
    assert hashlib.sha256((tmp_path / "statement.csv").read_bytes()).hexdigest() == digests["statement.csv"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_text_that_a_spreadsheet_could_run_is_guarded(start):
    rows = rows_of(to_csv(a_book(zone=f"{start}1+1", opportunity=f"{start}cmd")))
    assert {row["zone"] for row in rows} == {f"'{start}1+1"}
    assert {row["opportunity"] for row in rows} == {f"'{start}cmd"}


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_end_in_a_text_ends_no_row(end):
    text = to_csv(a_book(zone=f"{end}=1+1", opportunity=f'a{end}=1+1,"b"'))
    rows = rows_of(text)
    assert len(rows) == len(SLOTS) == len(text.splitlines()) - 1
    assert {row["zone"][:1] for row in rows} <= {"'", " "}
    assert {row["opportunity"] for row in rows} == {f'a{" " * len(end)}=1+1,"b"'}


def test_negative_numbers_stay_numbers():
    last = rows_of(to_csv(a_book()))[-1]
    assert last["metered_export_kwh"] == "-0.003"
    assert Decimal(last["amount_gbp"]) < 0


def test_text_in_the_page_is_escaped():
    page = Page(to_html(a_book(zone=NASTY, opportunity=NASTY, quality=NASTY)))
    assert "script" not in page.tags
    assert page.text.count(NASTY) >= 2 + len(SLOTS)


def test_the_page_asks_no_other_host_for_anything():
    text = to_html(a_book())
    page = Page(text)
    assert page.asked == []
    assert {"link", "script", "img", "iframe", "object"} & set(page.tags) == set()
    assert re.findall(r"url\(|@import", text) == []


def test_the_page_shows_every_half_hour_and_the_sum():
    page = Page(to_html(a_book()))
    assert "svg" in page.tags
    for row in a_book().rows:
        assert str(row.line.amount_gbp) in page.text
    assert f"GBP {a_book().totals['amount_gbp']}" in page.text
    assert "15 Jan 17:30" in page.text


def test_the_json_totals_are_the_sums_of_its_rows():
    body = json.loads(to_json(a_book()))
    for name, total in body["totals"].items():
        assert sum(Decimal(row[name]) for row in body["rows"]) == Decimal(total)
    assert set(body["totals"]) == {"instructed_kwh", "delivered_kwh", "deficiency_kwh", "amount_gbp"}


def test_the_json_says_span_inputs_and_each_cars_share():
    body = json.loads(to_json(a_book()))
    assert (body["from"], body["to"], body["zone"]) == ("2025-01-15", "2025-01-16", None)
    assert body["inputs"] == {"readings": "r" * 64}
    assert [sum(row["shares_wh"].values()) for row in body["rows"]] == [10_001, 5_499, 20_500, 0]
    assert {name for row in body["rows"] for name in COLUMNS if name not in row} == set()


def test_a_book_without_rows_says_so():
    empty = StatementBook(date(2025, 1, 15), date(2025, 1, 16), "EASTGATE", (), {})
    assert to_csv(empty).splitlines() == [",".join(COLUMNS)]
    assert json.loads(to_json(empty))["totals"]["amount_gbp"] == "0"
    assert "Nothing was settled" in to_html(empty)
