"""A statement as CSV, JSON, tables and one HTML page: the same inputs give the same bytes.

No wall clock stands in any byte, keys and rows are in a fixed order, and the page asks no other host for
anything. Text cells that a spreadsheet could take for a formula are guarded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import jinja2
import pygal

from aggregator import charts
from aggregator.energy import Bias
from aggregator.files.cells import guarded, plain
from aggregator.files.outputs import write_files
from aggregator.model.time import LONDON, Interval, utc_text
from aggregator.settlement import Line, shares_gbp
from aggregator.statement_tables import has_parquet, to_parquet, to_xlsx

WH_PER_KWH = Decimal(1000)
PARQUET_FILE = "statement.parquet"
NOTHING_MORE: Mapping[str, str] = {}

COLUMNS = (
    "zone",
    "product",
    "opportunity",
    "period_start_utc",
    "settlement_date",
    "settlement_period",
    "needed_kw",
    "instructed_kwh",
    "baseline_export_kwh",
    "metered_export_kwh",
    "delivered_kwh",
    "deficiency_kwh",
    "availability_gbp",
    "utilisation_gbp",
    "penalty_gbp",
    "factor",
    "amount_gbp",
    "quality",
    "version",
    "base_discharge_kwh",
    "kept_discharge_kwh",
    "beyond_base_kwh",
)

CHART_STYLE = charts.style("#8a8f98", "#b35900", "#0b5fa5", "#1a7f37")


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One line of the statement, the version of the settlement it comes from, and the cars behind it."""

    line: Line
    version: int
    cars: tuple[str, ...] = ()

    def cells(self) -> dict[str, object]:
        """Return the row by column; energies in kWh to the Wh."""
        line = self.line
        return {
            "zone": line.zone,
            "product": line.product,
            "opportunity": line.opportunity,
            "period_start_utc": utc_text(line.period.start),
            "settlement_date": line.settlement_date.isoformat(),
            "settlement_period": line.settlement_period,
            "needed_kw": line.needed_kw,
            "instructed_kwh": _kwh(line.instructed_wh),
            "baseline_export_kwh": _kwh(line.baseline_export_wh),
            "metered_export_kwh": _kwh(line.metered_export_wh),
            "delivered_kwh": _kwh(line.delivered_wh),
            "deficiency_kwh": _kwh(line.deficiency_wh),
            "availability_gbp": line.availability_gbp,
            "utilisation_gbp": line.utilisation_gbp,
            "penalty_gbp": line.penalty_gbp,
            "factor": line.factor,
            "amount_gbp": line.amount_gbp,
            "quality": line.quality,
            "version": self.version,
            "base_discharge_kwh": _kwh(line.base_wh),
            "kept_discharge_kwh": _kwh(line.kept_wh),
            "beyond_base_kwh": _kwh(max(0, line.metered_export_wh - line.base_wh)),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One figure that a version of a statement has otherwise than the version before it."""

    period_start_utc: str
    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an opportunity's statement.

    Attributes:
        opportunity: Whose.
        version: From 1.
        recorded_at: When it was made.
        reason: Why.
        amount_gbp: What it came to.
        digest: SHA-256 of its figures.
        again: Whether the figures come out the same when made again from what was known then.
        changes: What it has otherwise than the version before; nothing for the first.
    """

    opportunity: str
    version: int
    recorded_at: datetime
    reason: str
    amount_gbp: Decimal
    digest: str
    again: bool
    changes: tuple[Change, ...] = ()

    def cells(self) -> dict[str, object]:
        """Return it as a row, without the changes and without when it was made: no clock stands in a file."""
        return {
            "opportunity": self.opportunity,
            "version": self.version,
            "reason": self.reason,
            "amount_gbp": self.amount_gbp,
            "digest": self.digest,
            "comes_out_again": self.again,
            "figures_changed": len(self.changes),
        }


@dataclass(frozen=True, slots=True)
class ShownBias:
    """How true nominations were at the local hours of a window, on days on which nothing was called (P13).

    Attributes:
        opportunity: Whose window.
        zone: Where.
        window: When.
        bias: What was compared: half-hours of the days before, as far as nominations and registers tell.
    """

    opportunity: str
    zone: str
    window: Interval
    bias: Bias

    def cells(self) -> dict[str, object]:
        """Return it as a row; energies in kWh, the bias in percent of what was nominated, empty for none."""
        share = self.bias.share
        start, end = (bound.astimezone(LONDON) for bound in (self.window.start, self.window.end))
        return {
            "opportunity": self.opportunity,
            "zone": self.zone,
            "local_hours": f"{start:%H:%M} to {end:%H:%M}",
            "half_hours_compared": self.bias.half_hours,
            "nominated_kwh": Decimal(f"{self.bias.nominated_kwh:.3f}"),
            "metered_kwh": Decimal(f"{self.bias.metered_kwh:.3f}"),
            "bias_percent": "" if share is None else Decimal(f"{100 * share:.1f}"),
        }


def changes(before: Sequence[Line], after: Sequence[Line]) -> tuple[Change, ...]:
    """Return every figure that differs, half-hour by half-hour; one that is not there is empty."""
    old, new = ({line.period: StatementRow(line, 0).cells() for line in lines} for lines in (before, after))
    return tuple(
        Change(utc_text(period.start), name, was, now)
        for period in sorted({*old, *new})
        for name in COLUMNS
        if (was := str(old.get(period, {}).get(name, ""))) != (now := str(new.get(period, {}).get(name, "")))
    )


@dataclass(frozen=True, slots=True)
class StatementBook:
    """What ``flexloop settle`` writes: rows of a span of local days, and what they were made from.

    Attributes:
        start: First London date, inclusive.
        end: Last London date, exclusive.
        zone: The only zone, or None for all.
        rows: In order of opportunity and half-hour.
        inputs: Name of each input to its SHA-256.
        versions: Of each statement in it, oldest first.
        biases: Of the nominations behind each statement, on days without an event.
    """

    start: date
    end: date
    zone: str | None
    rows: tuple[StatementRow, ...]
    inputs: Mapping[str, str]
    versions: tuple[Version, ...] = ()
    biases: tuple[ShownBias, ...] = ()

    @property
    def totals(self) -> dict[str, Decimal]:
        """Sums over all rows, energies in kWh, money in GBP; they are the sums of the printed rows."""
        names = ("instructed_kwh", "delivered_kwh", "deficiency_kwh", "amount_gbp")
        cells = [row.cells() for row in self.rows]
        return {name: sum((_decimal(cell[name]) for cell in cells), Decimal(0)) for name in names}


def book_files(book: StatementBook, more: Mapping[str, str] = NOTHING_MORE) -> dict[str, bytes]:
    """Return statement.csv, .json, .html, .xlsx and .parquet, by name.

    The last one is left out where pyarrow is not installed.

    Args:
        book: What is in it.
        more: Further files of it, by name.
    """
    files: dict[str, str | bytes] = {
        **more,
        "statement.csv": to_csv(book),
        "statement.json": to_json(book),
        "statement.html": to_html(book),
        "statement.xlsx": to_xlsx(_sheets(book), book.end),
    }
    if has_parquet():
        files[PARQUET_FILE] = to_parquet([row.cells() for row in book.rows], COLUMNS)
    return {name: body.encode() if isinstance(body, str) else body for name, body in files.items()}


def write_book(book: StatementBook, out: Path, more: Mapping[str, str] = NOTHING_MORE) -> dict[str, str]:
    """Write a book's files into a folder; each appears whole or not at all.

    Returns:
        File name to SHA-256 of its bytes.
    """
    return write_files(out, book_files(book, more))


def _sheets(book: StatementBook) -> dict[str, list[dict[str, object]]]:
    lines = [guarded(row.cells()) for row in book.rows]
    totals: list[dict[str, object]] = [{"total": name, "value": sum_} for name, sum_ in book.totals.items()]
    inputs: list[dict[str, object]] = [
        {"input": plain(name), "sha256": digest} for name, digest in book.inputs.items()
    ]
    versions = [guarded(one.cells()) for one in book.versions]
    changed = [
        {"opportunity": plain(one.opportunity), "version": one.version, **guarded(asdict(change))}
        for one in book.versions
        for change in one.changes
    ]
    return {
        "statement": lines,
        "totals": totals,
        "versions": versions,
        "changes": changed,
        "nomination bias": [guarded(one.cells()) for one in book.biases],
        "inputs": inputs,
    }


def to_csv(book: StatementBook) -> str:
    """Return the rows as CSV, with a header and guarded text cells."""
    import pandas as pd  # noqa: PLC0415 - takes a third of a second, and a gateway's process writes no CSV

    frame = pd.DataFrame([guarded(row.cells()) for row in book.rows], columns=list(COLUMNS), dtype=object)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def to_json(book: StatementBook) -> str:
    """Return everything as one JSON object; decimals are strings, so that no digit is lost."""
    return json.dumps(book_body(book), indent=1, sort_keys=True, default=str) + "\n"


def book_body(book: StatementBook) -> dict[str, object]:
    """Return everything, for one JSON object."""
    return {
        "from": book.start.isoformat(),
        "to": book.end.isoformat(),
        "zone": book.zone,
        "rows": [
            {
                **row.cells(),
                "shares_wh": dict(row.line.shares_wh),
                "shares_gbp": shares_gbp(row.line, row.cars),
            }
            for row in book.rows
        ],
        "totals": book.totals,
        "versions": [
            {**one.cells(), "changes": [asdict(change) for change in one.changes]} for one in book.versions
        ],
        "nomination_bias": [one.cells() for one in book.biases],
        "inputs": dict(book.inputs),
    }


def to_html(book: StatementBook) -> str:
    """Return one self-contained page with a chart and a table per opportunity."""
    by_opportunity: dict[str, list[StatementRow]] = {}
    for row in book.rows:
        by_opportunity.setdefault(row.line.opportunity, []).append(row)
    sections = [
        {
            "name": name,
            "zone": rows[0].line.zone,
            "rows": [row.cells() | {"local": _local(row)} for row in rows],
            "amount": sum((row.line.amount_gbp for row in rows), Decimal("0.00")),
            "chart": _chart(rows),
        }
        for name, rows in by_opportunity.items()
    ]
    return template_of("statement.html").render(book=book, sections=sections, totals=book.totals) + "\n"


@cache
def template_of(name: str) -> jinja2.Template:
    """Return the template of a page: what is not known fails, what is text stays text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("aggregator", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _chart(rows: Sequence[StatementRow]) -> str:
    """Return bars per half-hour as inline SVG: nominated, metered, instructed, delivered. [kWh]"""
    chart = pygal.Bar(
        style=CHART_STYLE, legend_at_bottom_columns=4, y_title="kWh in the half-hour", **charts.PLAIN
    )
    chart.x_labels = [_local(row) for row in rows]
    for name, field in (
        ("nominated export", "baseline_export_wh"),
        ("instructed", "instructed_wh"),
        ("metered export", "metered_export_wh"),
        ("delivered", "delivered_wh"),
    ):
        chart.add(name, [getattr(row.line, field) / float(WH_PER_KWH) for row in rows])
    return charts.svg(chart)


def _local(row: StatementRow) -> str:
    return f"{row.line.period.start.astimezone(LONDON):%d %b %H:%M}"


def _kwh(wh: int) -> Decimal:
    return (Decimal(wh) / WH_PER_KWH).quantize(Decimal("0.001"))


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))
