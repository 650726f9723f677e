"""A month of drivers as files: rows for programs and billing, a page for each driver, a page over all.

The same store gives the same bytes. Sums are those of the printed rows.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from aggregator import charts
from aggregator.cycles import CREDIT_GBP, NIGHTS_PER_CREDIT, days_of
from aggregator.files.cells import guarded
from aggregator.files.outputs import write_files
from aggregator.model.time import utc_text
from aggregator.reports import template_of
from aggregator.trial.cells import (
    Cells,
    Generated,
    driver_cells,
    export_cells,
    home_cells,
    kwh,
    need_cells,
    night_rows,
)
from aggregator.trial.credits import Kept, credit_rows
from aggregator.trial.values import DriverMonth, Month

PAGES = "drivers"
LONGEST_NAME = 100
"""Characters of a page's name that come from the car's id."""

CHART_STYLE = charts.style("#0b5fa5", "#1a7f37")
NIGHT_COLUMNS = ("car_id", "evening", "counts", "why")
NEED_COLUMNS = ("car_id", "due_at", "due_london", "target_percent", "percent", "short_kwh", "could_be_met")
EXPORT_COLUMNS = (
    "site_id",
    "period_start_utc",
    "settlement_date",
    "settlement_period",
    "export_kwh",
    "market_kwh",
    "fit_export_kwh",
    "export_tariff_kwh",
    "not_paid_kwh",
    "cars_kwh",
    "export_tariff_gbp_per_kwh",
)
Versions = Mapping[str, Sequence[Kept]]

CREDIT_COLUMNS = (
    "credit_id",
    "car_id",
    "month",
    "version",
    "amount_gbp",
    "total_gbp",
    "cycles",
    "reason",
    "corrects",
)


def write_month(month: Month, kept: Versions, generated: Generated, out: Path) -> dict[str, str]:
    """Write all files of a month; each appears whole or not at all.

    Returns:
        File name to SHA-256 of its bytes.
    """
    files = month_files(month, kept, generated)
    pages = {name.removeprefix(f"{PAGES}/"): data for name, data in files.items() if "/" in name}
    digests = write_files(out, {name: data for name, data in files.items() if "/" not in name})
    return digests | {f"{PAGES}/{name}": sha for name, sha in write_files(out / PAGES, pages).items()}


def month_files(month: Month, kept: Versions, generated: Generated) -> dict[str, bytes]:
    """Return all files of a month, by name; each driver's page is in a folder of them."""
    drivers = [driver_cells(month, one) | {"version": _version(kept, one)} for one in month.drivers]
    homes = [home_cells(month, one, generated) for one in month.homes]
    nights = [row for one in month.drivers for row in night_rows(one)]
    needs = [need_cells(one, need) for one in month.drivers for need in one.needs]
    credit = credit_rows(month.name, kept)
    sums = totals(drivers, homes, credit)
    files: dict[str, str | bytes] = {
        "credits.csv": to_csv(credit, CREDIT_COLUMNS),
        "drivers.csv": to_csv(drivers, list(drivers[0])),
        "homes.csv": to_csv(homes, list(homes[0])),
        "nights.csv": to_csv(nights, NIGHT_COLUMNS),
        "needs.csv": to_csv(needs, NEED_COLUMNS),
        "exports.csv": to_csv(
            (export_cells(home, row) for home in month.homes for row in home.exports), EXPORT_COLUMNS
        ),
        "drivers.json": _json(
            {
                "month": month.name,
                "as_known_at": None if month.known_at is None else utc_text(month.known_at),
                "totals": sums,
                "drivers": drivers,
                "homes": homes,
                "nights": nights,
                "needs": needs,
                "credits": credit,
                "versions": [_version_cells(one) for car in sorted(kept) for one in kept[car]],
            }
        ),
        "drivers.html": _overview(month, drivers, homes, credit, sums),
    }
    pages = {
        page_name(one.car.car_id): _page(month, one, row, generated, kept.get(one.car.car_id, ()))
        for one, row in zip(month.drivers, drivers, strict=True)
    }
    found = files | {f"{PAGES}/{name}": page for name, page in pages.items()}
    return {name: body.encode() if isinstance(body, str) else body for name, body in found.items()}


def totals(drivers: Sequence[Cells], homes: Sequence[Cells], credit: Sequence[Cells]) -> Cells:
    """Return the sums of the printed rows: energies in kWh, money in GBP."""
    of_drivers = ("import_kwh", "export_kwh", "delivered_kwh", "throughput_kwh", "credit_gbp")
    of_homes = ("market_kwh", "fit_export_kwh", "export_tariff_kwh", "not_paid_kwh", "export_tariff_gbp")
    return {
        "drivers": len(drivers),
        "cycles": sum(int(str(row["cycles"])) for row in drivers),
        **{name: _sum(drivers, name) for name in of_drivers},
        "homes": len(homes),
        "homes_export_kwh": _sum(homes, "export_kwh"),
        **{name: _sum(homes, name) for name in of_homes},
        "needs": sum(int(str(row["needs"])) for row in drivers),
        "needs_missed": sum(int(str(row["needs_missed"])) for row in drivers),
        "credits_posted_gbp": _sum(credit, "amount_gbp"),
    }


def _sum(rows: Iterable[Cells], name: str) -> Decimal:
    start = Decimal("0.00") if name.endswith("_gbp") else Decimal("0.000")
    return sum((Decimal(str(row[name])) for row in rows), start)


def to_csv(rows: Iterable[Cells], columns: Sequence[str]) -> str:
    """Return rows as CSV with a header, text cells guarded."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(guarded(row) for row in rows)
    return sink.getvalue()


def page_name(car_id: str) -> str:
    """Return the file name of a driver's page: safe on every system, and another for every id."""
    safe = quote(car_id, safe=" ")
    if len(safe) > LONGEST_NAME or safe != safe.lower():
        safe = f"{safe[:LONGEST_NAME]}-{hashlib.sha256(car_id.encode()).hexdigest()[:16]}"
    return f"{safe}.html"


def _version(kept: Versions, driver: DriverMonth) -> int:
    versions = kept.get(driver.car.car_id, ())
    return versions[-1].version if versions else 0


def _version_cells(one: Kept) -> Cells:
    return {
        "car_id": one.car_id,
        "version": one.version,
        "reason": one.reason,
        "cycles": one.cycles,
        "credit_gbp": one.credit_gbp,
    }


def _overview(
    month: Month, drivers: Sequence[Cells], homes: Sequence[Cells], credit: Sequence[Cells], sums: Cells
) -> str:
    linked = [row | {"page": f"{PAGES}/{quote(page_name(str(row['car_id'])))}"} for row in drivers]
    counts = [int(str(row["cycles"])) for row in drivers]
    chart = charts.Bar(
        style=CHART_STYLE,
        y_title="drivers",
        x_title=f"nights that count; {NIGHTS_PER_CREDIT} earn GBP {CREDIT_GBP}",
        x_labels=[str(n) for n in range(max(counts, default=0) + 1)],
        **charts.PLAIN | {"show_legend": False},
    )
    chart.add("drivers", [counts.count(n) for n in range(max(counts, default=0) + 1)])
    return (
        template_of("drivers.html").render(
            month=month, drivers=linked, homes=homes, credits=credit, totals=sums, chart=charts.svg(chart)
        )
        + "\n"
    )


def _page(
    month: Month, driver: DriverMonth, row: Cells, generated: Generated, versions: Sequence[Kept]
) -> str:
    return (
        template_of("driver.html").render(
            month=month,
            row=row,
            nights=driver.nights,
            needs=[need_cells(driver, need) for need in driver.needs],
            homes=[home_cells(month, home, generated) for home in month.homes_of(driver)],
            versions=[_version_cells(one) for one in versions],
            chart=_days_chart(month, driver),
            needed=NIGHTS_PER_CREDIT,
            earns=CREDIT_GBP,
        )
        + "\n"
    )


def _days_chart(month: Month, driver: DriverMonth) -> str:
    """Return the energy of each day as inline SVG. [kWh]"""
    chart = charts.Bar(
        style=CHART_STYLE,
        y_title="kWh",
        x_labels=[str(day.day) for day in days_of(month.first)],
        legend_at_bottom_columns=2,
        **charts.PLAIN | {"height": 260},
    )
    chart.add("charged", [float(kwh(import_wh)) for import_wh, _ in driver.days])
    chart.add("given", [float(kwh(export_wh)) for _, export_wh in driver.days])
    return charts.svg(chart)


def _json(body: Mapping[str, object]) -> str:
    return json.dumps(body, indent=1, default=str, ensure_ascii=False) + "\n"
