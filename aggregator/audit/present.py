"""An audit as a table for people and as one JSON object for programs."""

from rich.table import Table

from aggregator.audit import Audit


def audit_table(audit: Audit) -> Table:
    """Return the findings as a table for people."""
    table = Table("promise", "verdict", "checked", "breaches", "what was looked at", "not yet checked")
    for one in audit.findings:
        table.add_row(
            one.promise, one.verdict, f"{one.checked:,}", str(len(one.breaches)), one.what, one.unchecked
        )
    return table


def audit_body(audit: Audit) -> dict[str, object]:
    """Return the findings as one JSON object."""
    return {
        "kept": audit.kept,
        "promises": [
            {
                "promise": one.promise,
                "verdict": one.verdict,
                "checked": one.checked,
                "breaches": list(one.breaches),
                "what": one.what,
                "not_yet_checked": one.unchecked,
            }
            for one in audit.findings
        ],
    }
