"""``flexloop audit``: all promises over a database."""

import typer

from aggregator.audit.evidence import MOST_SHOWN
from aggregator.audit.present import audit_body, audit_table
from aggregator.audit.runs import run_and_keep
from aggregator.commands.context import Context
from aggregator.store import BY_COMMAND
from aggregator.wiring import settings_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit_command)


def audit_command(context: typer.Context) -> int:
    """Check every promise over the store and keep what was found; exit 1 when one is broken or unchecked.

    The store's own settings count, those its gateway last ran by; the configuration where none has run.
    """
    shared: Context = context.obj
    with shared.store() as store:
        settings = settings_of(store) or shared.settings()
        audit, _ = run_and_keep(store, settings, shared.clock().now(), BY_COMMAND)
    if shared.as_json:
        shared.answer(audit_body(audit), "")
    else:
        shared.console().print(audit_table(audit))
        for finding in audit.findings:
            for breach in finding.breaches[:MOST_SHOWN]:
                shared.console().print(f"{finding.promise}: {breach}", style="red", soft_wrap=True)
    return 0 if audit.kept else 1
