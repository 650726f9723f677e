"""The promises about what leaves and what was answered: approved bids only, one durable fact per answer."""

from collections import Counter
from collections.abc import Iterator, Sequence

from aggregator.audit.evidence import Evidence, Finding
from aggregator.model.market import Draft, EventKey, Requirement
from aggregator.model.opportunity import (
    Approved,
    AwardCancelled,
    Awarded,
    Checked,
    Declined,
    Fact,
    Instructed,
    InstructionCancelled,
    Proposed,
    Received,
    RequirementCancelled,
    Withdrawn,
)
from aggregator.outgoing import bid_report
from aggregator.ports import CallKind, Opt, Report
from aggregator.wiring import desk_of

BEARS_FACTS = (CallKind.REQUIREMENT, CallKind.AWARD, CallKind.DISPATCH)


def p7_approval(evidence: Evidence) -> Finding:
    """Every bid report in the outbox is exactly a draft that two people, or a written rule, approved."""
    drafts = {
        fact.draft.report_id: (name, fact.draft)
        for name, facts in evidence.facts.items()
        for fact in facts
        if isinstance(fact, Proposed)
    }
    checked, breaches = 0, []
    for entry in evidence.store.outbox.all():
        if entry.report.specifier != "bid":
            continue
        checked += 1
        known = drafts.get(entry.report.report_id)
        if known is None:
            if not _is_withdrawal(entry.report, evidence):
                breaches.append(f"bid {entry.report.report_id} has no draft behind it")
            continue
        name, draft = known
        fault = _approval_fault(entry.report, evidence.facts[name], draft, evidence)
        if fault:
            breaches.append(f"bid {entry.report.report_id}: {fault}")
    return Finding("P7 approval", "bid reports made for platforms", checked, tuple(breaches))


def _approval_fault(report: Report, facts: Sequence[Fact], draft: Draft, evidence: Evidence) -> str | None:
    """Return why this report should not have been made, None where all is well."""
    if draft.sealed().digest != draft.digest:
        return "the draft is not what its digest says"
    needs = [fact.requirement for fact in facts if isinstance(fact, Received)]
    products = evidence.settings.products
    same = any(
        bid_report(need, draft, products[need.product_id], report.created_at).rows == report.rows
        for need in needs
        if len(need.needed_kw) == len(draft.offered_kw) and need.product_id in products
    )
    if not same:
        return "what leaves is not what was drafted"
    approvals = [fact for fact in facts if isinstance(fact, Approved) and fact.draft_digest == draft.digest]
    if not approvals:
        return "nobody approved it"
    return (
        None
        if any(_is_rightful(one, draft, needs, facts, evidence) for one in approvals)
        else "one person alone approved it"
    )


def _is_rightful(
    approval: Approved,
    draft: Draft,
    needs: Sequence[Requirement],
    facts: Sequence[Fact],
    evidence: Evidence,
) -> bool:
    desk = desk_of(evidence.settings)
    if approval.rule is not None or not all(desk.needs_two(need, draft) for need in needs):
        return True
    checks = [fact for fact in facts if isinstance(fact, Checked)]
    return any(one.draft_digest == approval.draft_digest and one.by != approval.by for one in checks)


def _is_withdrawal(report: Report, evidence: Evidence) -> bool:
    """Whether it is the bid of nothing that follows a withdrawal, or a refusal over a bid already sent."""
    name = report.report_id.rsplit(":", 1)[0]
    facts = evidence.facts.get(name, ())
    nothing = not any(row.value for row in report.rows if "/kw/" in row.r_id)
    return nothing and any(isinstance(fact, (Withdrawn, Declined)) for fact in facts)


def p8_durable(evidence: Evidence) -> Finding:
    """Each event version answered optIn has its one fact, and each fact from an event its one answer.

    The award of a scheduled product is an order as well: one fact of each kind.
    """
    made = Counter(
        (key, type(fact)) for facts in evidence.facts.values() for fact in facts if (key := event_key(fact))
    )
    keys = dict.fromkeys(key for key, _ in made)
    entries = evidence.store.inbox.all()
    breaches = [
        f"event {_name(key)} made {count} facts of kind {kind.__name__}"
        for (key, kind), count in made.items()
        if count > 1
    ]
    accepted = set()
    for entry in entries:
        if entry.decision is not Opt.IN or entry.kind not in BEARS_FACTS or entry.reason is not None:
            continue
        accepted.add(entry.key)
        if entry.key not in keys:
            breaches.append(f"event {_name(entry.key)} was answered optIn without a fact")
    breaches += [f"a fact of event {_name(key)} has no answer" for key in keys if key not in accepted]
    breaches += _journal_faults(evidence)
    return Finding("P8 durable", "event versions decided", len(entries), tuple(breaches))


def _journal_faults(evidence: Evidence) -> Iterator[str]:
    """Yield each opportunity whose facts are not all there, or cannot have happened in this order."""
    for name, rows in evidence.journal.items():
        if [recorded.version for recorded in rows] != list(range(1, len(rows) + 1)):
            yield f"the journal of {name} has a gap"
        if name in evidence.torn:
            yield f"the facts of {name} cannot have happened so: {evidence.torn[name]}"


def event_key(fact: Fact) -> EventKey | None:
    """Return the event version that a fact came from, None for the desk's and the clock's facts."""
    match fact:
        case Received(requirement=requirement):
            return requirement.key
        case Awarded(award=award):
            return award.key
        case Instructed(instruction=instruction):
            return instruction.key
        case RequirementCancelled(key=key) | AwardCancelled(key=key) | InstructionCancelled(key=key):
            return key
        case _:
            return None


def _name(key: EventKey) -> str:
    return f"{key.event_id} modification {key.modification} of {key.vtn_id}"
