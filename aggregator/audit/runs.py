"""Runs an audit and keeps what it found, with when and for whom."""

from collections.abc import Iterable
from datetime import datetime

from aggregator.audit import CHECKS, Audit, Check, run_audit
from aggregator.audit.evidence import Evidence
from aggregator.audit.present import audit_body
from aggregator.store import AuditRun


def run_and_keep(
    evidence: Evidence,
    at: datetime,
    by: str,
    checks: Iterable[Check] = CHECKS.values(),
) -> tuple[Audit, AuditRun]:
    """Check every promise over a store and keep the findings there.

    Args:
        evidence: The store with its configuration.
        at: When it runs.
        by: For whom.
        checks: All of them, as a rule.
    """
    audit = run_audit(evidence, checks)
    return audit, evidence.store.audits.add(AuditRun(at, by, audit.kept, audit_body(audit)))
