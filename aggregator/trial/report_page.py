"""A trial's report as files: ``trial.json`` with all figures, ``trial.html`` to be read, plots included."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aggregator import charts
from aggregator.files.outputs import write_files
from aggregator.reports import template_of

JSON_FILE, HTML_FILE = "trial.json", "trial.html"
SHOWN = {**charts.PLAIN, "style": charts.style("#0b5fa5", "#8a8f98", "#1a7f37", "#b35900")}
HALF_HOURS_A_LABEL = 4
MOST_LABELS = 12
"""As many as can be read side by side."""
Body = Mapping[str, Any]


def write_report(body: Body, out: Path) -> dict[str, str]:
    """Write both files into a folder that is made if need be; return each one's SHA-256."""
    text = json.dumps(body, indent=1, default=str, ensure_ascii=False, allow_nan=False) + "\n"
    return write_files(out, {JSON_FILE: text, HTML_FILE: to_html(body)})


def to_html(body: Body) -> str:
    """Return one self-contained page."""
    plots = {
        "availability": _by_time(
            body["availability"]["by_time_of_day"],
            {"mean": "mean_cars", "least": "least_cars", "most": "most_cars"},
            "cars plugged in",
        ),
        "events": _events(body["events"]),
        "accuracy": _accuracy(body["half_hours"]),
        "response": _response(body["responses"]),
        "carbon": None if body["carbon"] is None else _carbon(body["carbon"]["by_time_of_day"]),
    }
    return template_of("trial.html").render(body=body, plots=plots) + "\n"


def _by_time(rows: Sequence[Body], series: Mapping[str, str], y_title: str) -> str | None:
    """Return lines over the local time of day."""
    if not rows:
        return None
    chart = _line([row["local"] for row in rows], HALF_HOURS_A_LABEL, y_title, "London time")
    for name, field in series.items():
        chart.add(name, [row[field] for row in rows])
    return charts.svg(chart)


def _line(labels: Sequence[str], every: int, y_title: str, x_title: str) -> Any:  # noqa: ANN401 - no types
    return charts.Line(
        **SHOWN,
        x_labels=labels,
        x_labels_major=labels[::every],
        show_minor_x_labels=False,
        show_dots=False,
        y_title=y_title,
        x_title=x_title,
        legend_at_bottom_columns=3,
        value_formatter="{:.4g}".format,
    )


def _events(rows: Sequence[Body]) -> str | None:
    """Return what was instructed and delivered, by event where these are few, else by day. [kWh]"""
    if not rows:
        return None
    sums: dict[str, list[float]] = {}
    few = len(rows) <= MOST_LABELS
    for row in rows:
        both = sums.setdefault(f"{row['zone']} {row['local'][:6]}" if few else row["local"][:6], [0.0, 0.0])
        both[0] += row["instructed_kwh"]
        both[1] += row["delivered_kwh"]
    chart = charts.Bar(
        **SHOWN,
        x_labels=list(sums),
        x_labels_major=list(sums)[:: 1 + len(sums) // (MOST_LABELS + 1)],
        show_minor_x_labels=False,
        y_title="kWh",
        legend_at_bottom_columns=2,
    )
    chart.add("instructed", [round(both[0], 3) for both in sums.values()])
    chart.add("delivered", [round(both[1], 3) for both in sums.values()])
    return charts.svg(chart)


def _accuracy(rows: Sequence[Body]) -> str | None:
    """Return metered export over the target, half-hour by half-hour, beside the ideal. [kWh]"""
    if not rows:
        return None
    points = [(row["target_export_kwh"], row["metered_export_kwh"], row["ordered_share"]) for row in rows]
    values = [value for target, metered, _ in points for value in (target, metered)]
    ends = (min(values), max(values))
    chart = charts.XY(
        **SHOWN,
        stroke=False,
        dots_size=4,
        x_title="target: baseline and order, kWh exported in the half-hour",
        y_title="metered",
        legend_at_bottom_columns=3,
    )
    chart.add("ordered throughout", [(x, y) for x, y, share in points if share >= 1])
    chart.add("ideal", [(end, end) for end in ends], stroke=True, show_dots=False)
    chart.add("ordered in part", [(x, y) for x, y, share in points if share < 1])
    return charts.svg(chart)


def _response(rows: Sequence[Body]) -> str | None:
    """Return what part of its order a zone moved, from when it took hold; all orders together."""
    rows = [row for row in rows if row["moved_kw"]]
    if not rows:
        return None
    size = min(len(row["moved_kw"]) for row in rows)
    shares = [[100 * row["moved_kw"][n] / row["ordered_kw"] for row in rows] for n in range(size)]
    labels = [f"{(n + 1) * rows[0]['every_s'] / 60:g}" for n in range(size)]
    chart = _line(
        labels, max(1, size // MOST_LABELS), "% of what was ordered", "minutes since the order took hold"
    )
    for name, pick in (("mean", lambda own: sum(own) / len(own)), ("least", min), ("most", max)):
        chart.add(name, [round(pick(own), 1) for own in shares])
    return charts.svg(chart)


def _carbon(rows: Sequence[Body]) -> str:
    """Return energy by local time of day, and the grid's intensity on an axis of its own."""
    chart = _line([row["local"] for row in rows], HALF_HOURS_A_LABEL, "kWh", "London time; intensity: right")
    chart.add("charged, kWh", [row["import_kwh"] for row in rows])
    chart.add("given, kWh", [row["export_kwh"] for row in rows])
    chart.add("grid, g/kWh", [row["g_per_kwh"] for row in rows], secondary=True)
    return charts.svg(chart)
