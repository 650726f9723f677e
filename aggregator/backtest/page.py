"""A backtest as files: ``backtest.json`` with all figures, ``backtest.html`` to be read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aggregator.backtest.charts import bars, calibration_chart, fan_chart
from aggregator.backtest.run import Outcome
from aggregator.backtest.story import MODEL, POLICIES
from aggregator.files.outputs import write_files
from aggregator.reports import template_of

JSON_FILE, HTML_FILE = "backtest.json", "backtest.html"
MONEY = ("revenue_gbp", "penalty_gbp", "energy_gbp", "wear_gbp", "net_gbp")


def write_backtest(outcome: Outcome, out: Path) -> tuple[Path, ...]:
    """Write both files into ``out``, which is made if need be; each appears whole or not at all."""
    body = json.dumps(outcome.body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return tuple(out / name for name in write_files(out, {JSON_FILE: body, HTML_FILE: to_html(outcome)}))


def to_html(outcome: Outcome) -> str:
    """Return one self-contained page."""
    template = template_of("backtest.html")
    page = template.render(body=outcome.body, model=MODEL, policies=POLICIES, charts=_charts(outcome))
    return page + "\n"


def _charts(outcome: Outcome) -> dict[str, str]:
    body = outcome.body
    policies, histogram = body["policies"], body["histogram"]
    ranges = [_range(bar) for bar in histogram[MODEL]]
    charts = {
        "calibration": calibration_chart(body["calibration"]),
        "histogram": bars(
            ranges,
            {name: [bar["bids"] for bar in histogram[name]] for name in POLICIES},
            "bids",
            "delivered over committed",
        ),
        "money": bars(
            [name.removesuffix("_gbp") for name in MONEY],
            {name: [policies[name][figure] for figure in MONEY] for name in POLICIES},
            "GBP",
        ),
        "rivals": bars(
            ["committed", "delivered"],
            {name: [policies[name]["committed_kwh"], policies[name]["delivered_kwh"]] for name in POLICIES},
            "kWh",
        ),
    }
    return charts | ({"fan": fan_chart(outcome.fan)} if outcome.fan is not None else {})


def _range(bar: Mapping[str, Any]) -> str:
    return "all" if bar["below"] is None else f"{100 * bar['from']:g} to {100 * bar['below']:g}%"
