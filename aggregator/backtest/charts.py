"""The plots of a backtest as inline SVG: the same figures give the same bytes, no script, no request."""

from collections.abc import Mapping, Sequence
from typing import Any

from aggregator.backtest.story import Fan
from aggregator.charts import PLAIN, XY, Bar, Line, style, svg
from aggregator.model.time import LONDON

CHART_STYLE = style("#0b5fa5", "#8a8f98", "#1a7f37", "#b35900")
SHOWN = {**PLAIN, "style": CHART_STYLE}

Bars = Mapping[str, Sequence[float | None]]


def bars(labels: Sequence[str], series: Bars, y_title: str, x_title: str = "") -> str:
    """Return bars side by side, one colour a series."""
    chart = Bar(**SHOWN, x_labels=list(labels), y_title=y_title, x_title=x_title)
    return _drawn(chart, series)


def fan_chart(fan: Fan) -> str:
    """Return a horizon's plugged-in power: forecast at 10, 50 and 90%, and as it came. [kW]"""
    shown = [f"{start.astimezone(LONDON):%H:%M}" for start in fan.starts]
    chart = Line(
        **SHOWN,
        x_labels=shown,
        x_labels_major=shown[::4],
        show_minor_x_labels=False,
        show_dots=False,
        y_title="kW plugged in",
        x_title=f"{fan.zone}, {fan.day:%A %d %B %Y}, London time",
    )
    return _drawn(
        chart, {"P10": fan.low_kw, "P50": fan.middle_kw, "P90": fan.high_kw, "as it came": fan.true_kw}
    )


def calibration_chart(curve: Sequence[Mapping[str, float | None]]) -> str:
    """Return the share of events that kept what was promised with each probability, beside the ideal."""
    chart = XY(
        **SHOWN, show_dots=True, dots_size=2, x_title="promised", y_title="kept", range=(0, 1), xrange=(0, 1)
    )
    points = [(one["promised"], one["kept"]) for one in curve if one["kept"] is not None]
    return _drawn(chart, {"ideal": [(0, 0), (1, 1)], "forecast": points})


def _drawn(chart: Any, series: Mapping[str, Sequence[Any]]) -> str:  # noqa: ANN401 - pygal has no types
    chart.config.legend_at_bottom_columns = len(series)
    for name, values in series.items():
        chart.add(name, list(values))
    return svg(chart)
