"""Runs an audit and keeps what it found, with when and for whom."""

from collections.abc import Iterable
from datetime import datetime

from aggregator.audit import CHECKS, Audit, Check, run_audit
from aggregator.audit.evidence import Evidence
from aggregator.audit.present import audit_body
from aggregator.config import Settings
from aggregator.store import AuditRun, Store


def run_and_keep(
    store: Store,
    settings: Settings,
    at: datetime,
    by: str,
    checks: Iterable[Check] = CHECKS.values(),
) -> tuple[Audit, AuditRun]:
    """Check every promise over a store and keep the findings there.

    Args:
        store: Which.
        settings: Its configuration.
        at: When it runs.
        by: For whom.
        checks: All of them, as a rule.
    """
    audit = run_audit(Evidence(store, settings), checks)
    return audit, store.audits.add(AuditRun(at, by, audit.kept, audit_body(audit)))
