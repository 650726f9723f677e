"""What audits found, each with when it ran and for whom."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select

from aggregator.store.engine import reading, writing
from aggregator.store.tables import AUDITS


@dataclass(frozen=True, slots=True)
class AuditRun:
    """One audit.

    Attributes:
        at: Domain instant at which it was done.
        by: Who asked for it, or ``command line``.
        kept: Whether every promise had something to check and is kept.
        body: What it found, as ``flexloop audit --json`` tells it.
        audit_id: Given when it is stored; 0 before.
    """

    at: datetime
    by: str
    kept: bool
    body: Mapping[str, Any]
    audit_id: int = 0


class AuditRuns:
    """Every audit there ever was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, run: AuditRun) -> AuditRun:
        """Store an audit; return it with its number."""
        row = {"at": run.at, "run_by": run.by, "kept": run.kept, "body": json.dumps(run.body)}
        with writing(self._engine) as connection:
            number = connection.scalar(insert(AUDITS).returning(AUDITS.c.audit_id), row)
        return replace(run, audit_id=number or 0)

    def last(self, count: int = 1) -> list[AuditRun]:
        """Return the newest ones, the newest first."""
        query = select(AUDITS).order_by(AUDITS.c.audit_id.desc()).limit(count)
        with reading(self._engine) as connection:
            return [
                AuditRun(row.at, row.run_by, row.kept, json.loads(row.body), row.audit_id)
                for row in connection.execute(query)
            ]
