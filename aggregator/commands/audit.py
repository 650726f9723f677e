"""``flexloop audit``: all promises over a database, or some of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aggregator.audit import CHECKS, Check, run_audit
from aggregator.audit.evidence import MOST_SHOWN, Evidence
from aggregator.audit.present import audit_body, audit_table
from aggregator.audit.runs import run_and_keep
from aggregator.audit.truth import read_simulated
from aggregator.commands.context import Context
from aggregator.model.errors import BadMessage, Fault
from aggregator.store import BY_COMMAND
from aggregator.wiring import settings_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit_command)


def audit_command(
    context: typer.Context,
    promises: Annotated[
        list[str] | None, typer.Option("--promise", help="Only this one, as P4; may be given again.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="What a simulated fleet really did: the folder it was told as --out."),
    ] = None,
) -> int:
    """Check every promise over the store; exit 1 when one is broken or had nothing to check.

    A check of all is kept: the desk shows the last one.

    The store's own settings count, those its gateway last ran by; the configuration where none has run.
    """
    shared: Context = context.obj
    some = _asked_for(promises or ())
    simulated = read_simulated(truth) if truth is not None else None
    with shared.store() as store:
        evidence = Evidence(store, settings_of(store) or shared.settings(), simulated=simulated)
        if some:
            audit = run_audit(evidence, some)
        else:
            audit, _ = run_and_keep(evidence, shared.clock().now(), BY_COMMAND)
    if shared.as_json:
        shared.answer(audit_body(audit), "")
    else:
        shared.console().print(audit_table(audit))
        for finding in audit.findings:
            for breach in finding.breaches[:MOST_SHOWN]:
                shared.console().print(f"{finding.promise}: {breach}", style="red", soft_wrap=True)
    return 0 if audit.kept else 1


def _asked_for(promises: Sequence[str]) -> list[Check]:
    """Return the checks of some promises.

    Raises:
        BadMessage: If there is no such promise.
    """
    faults = [Fault("--promise", name, ", ".join(CHECKS)) for name in promises if name not in CHECKS]
    if faults:
        raise BadMessage(*faults)
    return [CHECKS[name] for name in promises]
