"""Whether a charger's registers counted on from one report to the next, or tell nothing of it."""

from datetime import timedelta

from aggregator.model.fleet import Charger
from aggregator.model.metering import CarReport
from aggregator.model.time import HOUR

WH_PER_KWH = 1000.0
BEYOND_RATING = 1.25
SETTLES = timedelta(seconds=20)
"""How long a charger may take to follow a new set-point."""

SLACK_WH = 20.0
"""A report's instant and its registers are not read in the same moment."""


def counts_on(charger: Charger, before: CarReport, report: CarReport) -> bool:
    """Return whether both registers rose, by no more than the charger can move in that time.

    A register that was reset, rolled over or jumped is none to reckon a power or a battery with.
    """
    hours = (report.measured_at - before.measured_at) / HOUR
    return all(
        0 <= step_wh <= BEYOND_RATING * rated_kw * hours * WH_PER_KWH + SLACK_WH
        for step_wh, rated_kw in (
            (report.import_wh - before.import_wh, charger.charge_kw),
            (report.export_wh - before.export_wh, charger.discharge_kw),
        )
    )
