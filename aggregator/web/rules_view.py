"""The page of rules as data: what each allows, what it approved, and what it would do with bids open now."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.desk import OnePerson, Rule
from aggregator.desk_settings import User
from aggregator.model.facts import MODEL
from aggregator.model.market import Draft, Requirement
from aggregator.model.opportunity import Approved, Opportunity, Proposed, Stage
from aggregator.model.time import Interval, utc_text
from aggregator.store import Recorded
from aggregator.workflow import Workflow

WhyNot = Callable[[Requirement, Draft], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A bid that waits for somebody, as a rule sees it.

    Attributes:
        bid: Its id.
        zone: Where.
        product: Under which rules.
        window: When.
        offered_kw: Its draft's level, per slot. [kW]
        margin_gbp: What the draft is expected to leave. [GBP]
        why_not: Why the rule leaves it to people; nothing where it does not.
    """

    bid: str
    zone: str
    product: str
    window: Interval
    offered_kw: tuple[float, ...]
    margin_gbp: float
    why_not: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """A bid that a rule approved."""

    bid: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RuleView:
    """A written rule.

    Attributes:
        rule: As the gateway read it at its start.
        approvals: The bids it approved, the newest first.
        judged: The bids that wait for somebody.
    """

    rule: Rule
    approvals: tuple[Approval, ...]
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class OnePersonView:
    """Bids so small that one person will do, and those that wait for somebody."""

    limits: OnePerson
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class RulesView:
    """The page.

    Attributes:
        two_people: Whether two people must agree to a bid, as a rule.
        rules: Tried in this order.
        former: Approvals by rules that are not written any more, by rule.
        one_person: What one person may approve.
        newest: Zone and window of the last bid that each rule approved, by its id.
        tried_at: When the last draft of the model came up: rules are tried on each.
        waiting: How many bids wait for somebody.
        people: Everybody, with their roles.
    """

    two_people: bool
    rules: tuple[RuleView, ...]
    former: tuple[tuple[str, tuple[Approval, ...]], ...]
    one_person: tuple[OnePersonView, ...]
    newest: Mapping[str, tuple[str, Interval]]
    tried_at: datetime | None
    waiting: int
    people: tuple[User, ...]


def rules_view(flow: Workflow, people: Sequence[User]) -> RulesView:
    """Return what the rules allow, did and would do."""
    desk, now = flow.desk, flow.now()
    waiting = [one for one in flow.open() if one.stage is Stage.IN_REVIEW]
    by_rule = _approvals(flow.store.journal.of_kinds((Approved,), ()))
    known = {rule.rule_id for rule in desk.rules}
    newest = [flow.store.journal.opportunity(found[0].bid) for found in by_rule.values()]

    def judged(why_not: WhyNot, extra: Callable[[Opportunity], Iterable[str]]) -> tuple[Judged, ...]:
        return tuple(
            _judged(one, need, draft, (*extra(one), *why_not(need, draft))) for one, need, draft in drafts
        )

    def not_by_rule(one: Opportunity) -> Iterable[str]:
        if one.draft is not None and one.draft.by != MODEL:
            yield f"{one.draft.by} wrote this draft, not the model"
        if now >= flow.gate_closes_at(one):
            yield "its gate has closed"

    drafts = [(one, one.requirement, one.draft) for one in waiting if one.requirement and one.draft]
    return RulesView(
        desk.two_people,
        tuple(
            RuleView(rule, by_rule.get(rule.rule_id, ()), judged(rule.why_not, not_by_rule))
            for rule in desk.rules
        ),
        tuple(sorted((name, found) for name, found in by_rule.items() if name not in known)),
        tuple(OnePersonView(one, judged(one.why_not, lambda _: ())) for one in desk.one_person),
        {one.opportunity_id: (one.zone, one.window) for one in newest},
        flow.store.journal.newest_at(Proposed, MODEL),
        len(drafts),
        tuple(people),
    )


def rules_body(view: RulesView) -> dict[str, object]:
    """Return the page for programs."""
    return {
        "two_people": view.two_people,
        "tried_at": utc_text(view.tried_at) if view.tried_at else None,
        "rules": [
            {
                **_limits(one.rule),
                "rule": one.rule.rule_id,
                "min_margin_gbp": one.rule.min_margin_gbp,
                "written_by": one.rule.written_by,
                "approved_by": one.rule.approved_by,
                "approvals": [_approval(found) for found in one.approvals],
                "open_bids": [_judged_body(found) for found in one.judged],
            }
            for one in view.rules
        ],
        "former_rules": [
            {"rule": name, "approvals": [_approval(one) for one in found]} for name, found in view.former
        ],
        "one_person": [
            {**_limits(one.limits), "open_bids": [_judged_body(found) for found in one.judged]}
            for one in view.one_person
        ],
        "people": [{"user": one.name, "roles": list(one.roles)} for one in view.people],
    }


def _limits(one: Rule | OnePerson) -> dict[str, object]:
    return {
        "max_kw": one.max_kw,
        "zones": None if one.zones is None else list(one.zones),
        "products": None if one.products is None else list(one.products),
    }


def _approval(one: Approval) -> dict[str, object]:
    return {"bid": one.bid, "at": utc_text(one.at)}


def _judged_body(one: Judged) -> dict[str, object]:
    return {"bid": one.bid, "allows": not one.why_not, "why_not": list(one.why_not)}


def _judged(one: Opportunity, need: Requirement, draft: Draft, why_not: tuple[str, ...]) -> Judged:
    level, margin = draft.offered_kw, draft.expected_margin_gbp
    return Judged(one.opportunity_id, need.zone, need.product_id, need.window, level, margin, why_not)


def _approvals(found: Iterable[tuple[str, Recorded]]) -> dict[str, tuple[Approval, ...]]:
    by_rule: dict[str, tuple[Approval, ...]] = {}
    for bid, recorded in found:
        if isinstance(recorded.fact, Approved) and recorded.fact.rule is not None:
            rule = recorded.fact.rule
            by_rule[rule] = (Approval(bid, recorded.fact.at), *by_rule.get(rule, ()))
    return by_rule
