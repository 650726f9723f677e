"""What the workshop's process does for audits and drivers' months: both load the model that drafts bids."""

from collections.abc import Mapping

from aggregator.audit import CHECKS
from aggregator.audit.evidence import Evidence
from aggregator.audit.runs import run_and_keep
from aggregator.store import open_store
from aggregator.trial.month_files import month_files
from aggregator.trial.months import known_month
from aggregator.web.tasks import Asked, Step, told_to


def month_task(asked: Asked, step: Step) -> Mapping[str, bytes]:
    """Make the files of a month of drivers, as known at a time; no statement is kept."""
    first, known_at = asked.what
    with open_store(asked.url, create=False) as store:
        made, kept = known_month(store, asked.settings, first, known_at, told_to(step, passes=1))
        return month_files(made, kept, {})


def audit_task(asked: Asked, step: Step) -> int:
    """Audit the store, keep what was found, and return its number."""
    by, at = asked.what
    with open_store(asked.url, create=False) as store:
        checks = told_to(step, passes=1)(tuple(CHECKS.values()))
        return run_and_keep(Evidence(store, asked.settings), at, by, checks)[1].audit_id
