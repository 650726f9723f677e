"""The statement as tables: what another program reads there is what the CSV says."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import openpyxl
import pyarrow.parquet
import pytest

from aggregator.reports import COLUMNS, to_csv, write_book
from tests.unit.test_reports import NASTY, a_book


@pytest.fixture
def written(tmp_path):
    write_book(a_book(), tmp_path)
    return tmp_path


def test_parquet_holds_every_figure_exactly(written):
    table = pyarrow.parquet.read_table(written / "statement.parquet")
    assert table.column_names == list(COLUMNS)
    lines = list(csv.DictReader(io.StringIO(to_csv(a_book()))))
    assert len(lines) == table.num_rows > 0
    for line, row in zip(lines, table.to_pylist(), strict=True):
        for name in COLUMNS:
            if name.endswith(("_kwh", "_gbp", "_kw")) or name in ("factor", "version", "settlement_period"):
                assert Decimal(line[name]) == Decimal(str(row[name])), name
        assert row["period_start_utc"].astimezone(UTC) == datetime.fromisoformat(line["period_start_utc"])
        assert row["settlement_date"] == date.fromisoformat(line["settlement_date"])
    amounts = table.column("amount_gbp").to_pylist()
    assert sum(amounts) == a_book().totals["amount_gbp"]


def test_a_workbook_shows_lines_totals_and_inputs(written):
    book = openpyxl.load_workbook(written / "statement.xlsx")
    assert book.sheetnames == ["statement", "totals", "versions", "changes", "nomination bias", "inputs"]
    header, *rows = book["statement"].iter_rows(values_only=True)
    assert header == COLUMNS
    lines = list(csv.DictReader(io.StringIO(to_csv(a_book()))))
    for line, row in zip(lines, rows, strict=True):
        shown = dict(zip(header, row, strict=True))
        assert float(line["delivered_kwh"]) == shown["delivered_kwh"]
        assert float(line["amount_gbp"]) == shown["amount_gbp"]
        assert line["opportunity"] == shown["opportunity"]
    totals = dict(row for row in book["totals"].iter_rows(min_row=2, values_only=True))
    assert totals["amount_gbp"] == float(a_book().totals["amount_gbp"])


def test_a_workbook_takes_nothing_for_a_formula(tmp_path):
    write_book(a_book(zone=NASTY, opportunity="@SUM(1+1)", quality="-2+3"), tmp_path)
    book = openpyxl.load_workbook(tmp_path / "statement.xlsx")
    cells = [cell for row in book["statement"].iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in cells} == {"s", "n"}
    texts = [cell.value for cell in cells if cell.data_type == "s"]
    assert not any(text.startswith(("=", "@", "-", "+")) for text in texts)


def test_a_statement_of_nothing_is_written_too(tmp_path):
    book = a_book()
    write_book(type(book)(book.start, book.end, None, (), {}), tmp_path)
    assert pyarrow.parquet.read_table(tmp_path / "statement.parquet").num_rows == 0
    assert openpyxl.load_workbook(tmp_path / "statement.xlsx")["statement"].max_row == 1


def test_without_pyarrow_all_else_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("aggregator.reports.has_parquet", lambda: False)
    assert "statement.parquet" not in write_book(a_book(), tmp_path)
    assert (tmp_path / "statement.xlsx").exists()
