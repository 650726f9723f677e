"""What is new in the journal, whoever wrote it: for the log of a gateway that shares it with a desk."""

from collections.abc import Iterator
from decimal import Decimal

from aggregator.model.market import OrderMode
from aggregator.model.opportunity import Approved, Awarded, Fact, Instructed, Proposed, Received
from aggregator.model.time import utc_text
from aggregator.store import Recorded
from aggregator.store.journal import Journal


class News:
    """Reads each fact once; what was there before it began is no news."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read = journal.versions()

    def read(self) -> list[tuple[str, Recorded]]:
        """Return the facts recorded since the last time, each opportunity's in their order."""
        versions = self._journal.versions()
        changed = [name for name, version in versions.items() if version > self._read.get(name, 0)]
        found = [(name, one) for name in changed for one in self._unread(name)]
        for name, one in found:
            self._read[name] = one.version
        return found

    def _unread(self, name: str) -> Iterator[Recorded]:
        known = self._read.get(name, 0)
        return (one for one in self._journal.facts(name) if one.version > known)


def told(recorded: Recorded) -> dict[str, object]:
    """Return a fact as the fields of a log line: who, what, when, and its figures."""
    fact = recorded.fact
    line = {
        "version": recorded.version,
        "fact": type(fact).__name__,
        "by": recorded.by,
        "at": utc_text(fact.at),
        **_figures(fact),
    }
    return line | {
        name: getattr(fact, name) for name in ("reason", "report_id", "amount_gbp") if hasattr(fact, name)
    }


def _figures(fact: Fact) -> dict[str, object]:
    match fact:
        case Received(requirement=need):
            return {"needed_kw": need.needed_kw}
        case Proposed(draft=draft):
            return {"draft": draft.digest[:12], "offered_kw": draft.offered_kw} | _price(
                draft.utilisation_gbp_per_mwh
            )
        case Approved(draft_digest=digest):
            return {"draft": digest[:12]}
        case Awarded(award=award):
            return {"awarded_kw": award.awarded_kw} | _price(award.utilisation_gbp_per_mwh)
        case Instructed(instruction=instruction):
            name = "times_nominated" if instruction.mode is OrderMode.MULTIPLIER else "instructed_kw"
            return {"mode": instruction.mode.value, name: [step.value for step in instruction.steps]}
        case _:
            return {}


def _price(gbp_per_mwh: Decimal) -> dict[str, object]:
    return {"gbp_per_mwh": str(gbp_per_mwh)}
