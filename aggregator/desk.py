"""Who may approve what: people by role, and written rules that people approved."""

from dataclasses import dataclass

from aggregator.model.market import Draft, Requirement


@dataclass(frozen=True, slots=True)
class Rule:
    """A written rule that people approved: it approves drafts within its limits."""

    rule_id: str
    written_by: str
    approved_by: str
    max_kw: float
    min_margin_gbp: float
    zones: tuple[str, ...] | None
    products: tuple[str, ...] | None

    def allows(self, requirement: Requirement, draft: Draft) -> bool:
        """Whether it approves this draft."""
        return (
            max(draft.offered_kw) <= self.max_kw
            and draft.expected_margin_gbp >= self.min_margin_gbp
            and (self.zones is None or requirement.zone in self.zones)
            and (self.products is None or requirement.product_id in self.products)
        )


@dataclass(frozen=True, slots=True)
class Desk:
    """Who may approve what.

    Attributes:
        two_people: Whether a check and an approval by different people are needed.
        approvers: User names that may check and approve.
        traders: User names that may amend, refuse and withdraw.
        rules: Written rules, tried in order.
    """

    two_people: bool
    approvers: frozenset[str]
    traders: frozenset[str]
    rules: tuple[Rule, ...]
