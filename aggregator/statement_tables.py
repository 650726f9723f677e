"""A statement as tables for other programs: Parquet and an Excel workbook. The same book, the same bytes.

Energies and money are decimals in Parquet, so that no digit is lost and sums close; Excel knows floats only.
Parquet needs the extra ``parquet`` (pyarrow), which weighs half of what all the rest does.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import xlsxwriter

from aggregator.model.time import parse_instant

GBP_DIGITS = 18
"""Decimals kept of money that is not rounded yet: energy to the Wh, a price to the penny, a factor."""
LARGEST_DIGITS = 38
WIDEST = 40
"""Characters of the widest column."""

FORMATS = {"_kwh": "0.000", "_kw": "0.0##", "_gbp": "0.00####", "factor": "0.00####"}
"""How numbers of columns that end so are shown."""


def has_parquet() -> bool:
    """Return whether Parquet can be written here."""
    return find_spec("pyarrow") is not None


def to_parquet(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> bytes:
    """Return rows as one Parquet file.

    Instants are of UTC, dates days, periods and versions integers, energies decimals with 3 digits, money
    with 18 but for ``amount_gbp``, which has 2.
    """
    arrow = import_module("pyarrow")
    parquet = import_module("pyarrow.parquet")
    schema = arrow.schema([(name, _parquet_type(arrow, name)) for name in columns])
    values = {name: [_parquet_value(name, row[name]) for row in rows] for name in columns}
    sink = io.BytesIO()
    parquet.write_table(arrow.table(values, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _parquet_type(arrow: Any, name: str) -> Any:  # noqa: ANN401 - pyarrow is not there for the type check
    match name:
        case "period_start_utc":
            return arrow.timestamp("us", tz="UTC")
        case "settlement_date":
            return arrow.date32()
        case "settlement_period" | "version":
            return arrow.int32()
        case "needed_kw":
            return arrow.float64()
        case "amount_gbp":
            return arrow.decimal128(LARGEST_DIGITS, 2)
        case _ if name.endswith("_kwh"):
            return arrow.decimal128(LARGEST_DIGITS, 3)
        case _ if name.endswith("_gbp") or name == "factor":
            return arrow.decimal128(LARGEST_DIGITS, GBP_DIGITS)
        case _:
            return arrow.string()


def _parquet_value(name: str, value: object) -> object:
    if name == "period_start_utc":
        return parse_instant(str(value))
    if name == "settlement_date":
        return datetime.fromisoformat(str(value)).date()
    if isinstance(value, Decimal) and name != "amount_gbp" and not name.endswith("_kwh"):
        return value.quantize(Decimal(1).scaleb(-GBP_DIGITS))
    return value


def to_xlsx(sheets: Mapping[str, Sequence[Mapping[str, object]]], made_on: date) -> bytes:
    """Return a workbook with one table a sheet; texts are texts, whatever they begin with.

    Args:
        sheets: Rows by sheet; the first row's keys are the columns.
        made_on: What the workbook says of when it was made, so that its bytes do not change.
    """
    sink = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(sink, options) as book:
        book.set_properties({"created": datetime.combine(made_on, time.min)})
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        shown = {ending: book.add_format({"num_format": text}) for ending, text in FORMATS.items()}
        for title, rows in sheets.items():
            sheet = book.add_worksheet(title)
            sheet.freeze_panes(1, 0)
            for column, name in enumerate(rows[0] if rows else ()):
                cells = [row[name] for row in rows]
                sheet.write_string(0, column, name, bold)
                number_format = next((shown[end] for end in shown if name.endswith(end)), None)
                for line, value in enumerate(cells, start=1):
                    if isinstance(value, int | float | Decimal):
                        sheet.write_number(line, column, value, number_format)
                    else:
                        sheet.write_string(line, column, str(value))
                widest = max(len(name), *(len(str(value)) for value in cells))
                sheet.set_column(column, column, min(WIDEST, widest + 1))
            if rows:
                sheet.autofilter(0, 0, len(rows), len(rows[0]) - 1)
    return sink.getvalue()
