"""Who may do what: people by role, and written rules that people approved; and what they are told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.explanation import Change
from aggregator.model.facts import MODEL
from aggregator.model.figures import figure
from aggregator.model.market import Award, Draft, Instruction, OrderMode, Product, Requirement
from aggregator.model.money import exact
from aggregator.model.opportunity import NEXT, Declined, Fact, Opportunity, Stage
from aggregator.model.steps import PriceStep, cut_to
from aggregator.model.time import LONDON, Interval, said_at


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
        return not any(self.why_not(requirement, draft))

    def why_not(self, requirement: Requirement, draft: Draft) -> Iterator[str]:
        """Yield each limit of it that a draft passes; none where it approves the draft."""
        margin = draft.expected_margin_gbp
        yield from _beyond(self, requirement, draft)
        if margin < self.min_margin_gbp:
            yield f"GBP {margin:.2f} is less than GBP {self.min_margin_gbp:.2f}"


@dataclass(frozen=True, slots=True)
class OnePerson:
    """Bids so small, of these zones and products, that one person's approval will do. [kW]"""

    max_kw: float
    zones: tuple[str, ...] | None = None
    products: tuple[str, ...] | None = None

    def will_do(self, requirement: Requirement, draft: Draft) -> bool:
        """Whether it covers this draft."""
        return not any(self.why_not(requirement, draft))

    def why_not(self, requirement: Requirement, draft: Draft) -> Iterator[str]:
        """Yield each limit of it that a draft passes; none where it covers the draft."""
        return _beyond(self, requirement, draft)


def _beyond(limits: Rule | OnePerson, requirement: Requirement, draft: Draft) -> Iterator[str]:
    """Yield which of the limits of kW, zones and products a draft passes."""
    level = max(draft.offered_kw)
    if level > limits.max_kw:
        yield f"{figure(level)} kW is more than {figure(limits.max_kw)} kW"
    if limits.zones is not None and requirement.zone not in limits.zones:
        yield f"{requirement.zone} is not among its zones: {', '.join(limits.zones)}"
    if limits.products is not None and requirement.product_id not in limits.products:
        yield f"{requirement.product_id} is not among its products: {', '.join(limits.products)}"


@dataclass(frozen=True, slots=True)
class Desk:
    """Who may approve what.

    Attributes:
        two_people: Whether a check and an approval by different people are needed.
        approvers: User names that may check and approve.
        traders: User names that may amend, refuse and withdraw.
        rules: Written rules, tried in order.
        users: Everybody known, with or without a role.
        operators: User names that may let stopped cars go on.
        settlement: User names that look after statements.
        one_person: Where two people are needed: the bids that one may approve all the same.
    """

    two_people: bool
    approvers: frozenset[str]
    traders: frozenset[str]
    rules: tuple[Rule, ...]
    users: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    one_person: tuple[OnePerson, ...] = ()
    settlement: frozenset[str] = frozenset()

    def needs_two(self, requirement: Requirement | None, draft: Draft | None) -> bool:
        """Whether two people must agree to a draft; where there is none, whether they must as a rule."""
        if requirement is None or draft is None:
            return self.two_people
        return self.two_people and not any(one.will_do(requirement, draft) for one in self.one_person)

    def may(self, user: str, *roles: str) -> bool:
        """Whether a user has one of these roles: ``approver``, ``trader``, ``operator`` or ``settlement``."""
        return any(user in self._with_role[role] for role in roles)

    @property
    def _with_role(self) -> Mapping[str, frozenset[str]]:
        return {
            "approver": self.approvers,
            "trader": self.traders,
            "operator": self.operators,
            "settlement": self.settlement,
        }

    def _names(self, role: str) -> str:
        plural = role if role == "settlement" else f"{role}s"
        return f"{plural}: {', '.join(sorted(self._with_role[role])) or 'nobody'}"

    def must_be_known(self, user: str) -> None:
        """Fail where nobody of that name is known.

        Raises:
            BadMessage: If so.
        """
        known = self.users.union(*self._with_role.values())
        if user not in known:
            names = ", ".join(sorted(known)) or "none is configured"
            raise BadMessage(Fault("--as", user, f"a user of the configuration: {names}"))

    def must_be(self, user: str, *roles: str) -> None:
        """Fail where a user has none of the roles asked for, as for ``may``.

        Raises:
            BadMessage: If nobody of that name is known.
            RuleViolation: If the user is known, and has another role.
        """
        self.must_be_known(user)
        if not self.may(user, *roles):
            told = "; ".join(map(self._names, roles))
            raise RuleViolation(f"{user} is no {' or '.join(roles)}; {told}")


NOT_OFFERED = "not offered by the model"
ENDED = {
    "Declined": "refused",
    "Withdrawn": "withdrawn",
    "RequirementCancelled": "the DNO took its need back",
    "SubmissionFailed": "never submitted",
    "AwardCancelled": "the DNO took its award back",
    "NotAwarded": "the DNO had not answered when its window began: not awarded",
    "OptedOut": "taken back after the award",
}


def why_closed(opportunity: Opportunity, gate_closes_at: datetime) -> str | None:
    """Return in the desk's words why an opportunity ended; None where it has not."""
    if opportunity.stage is not Stage.CLOSED:
        return None
    fact, _, reason = (opportunity.closed_because or "").partition(": ")
    if fact == "GateClosed":
        why = "nobody had approved a draft" if opportunity.draft is not None else "no draft had been made"
        return f"lapsed: {why} by its gate, {said_at(gate_closes_at)}"
    ended = NOT_OFFERED if was_not_offered(opportunity) else ENDED.get(fact, "settled")
    return ": ".join(filter(None, [ended, reason]))


def was_not_offered(opportunity: Opportunity) -> bool:
    """Whether it ended as the model declined it."""
    fact = (opportunity.closed_because or "").partition(": ")[0]
    return fact == Declined.__name__ and opportunity.closed_by == MODEL


def how_ended(opportunity: Opportunity) -> str:
    """Return in the desk's words how an order or award ended before its time."""
    if opportunity.opted_out_at is not None:
        return "withdrawn by us"
    if opportunity.held_until is not None:
        return "award taken back by the DNO"
    return "order cancelled"


GONE = {
    "Declined": "that was refused",
    "Withdrawn": "that was withdrawn",
    "RequirementCancelled": "whose need it took back",
    "GateClosed": "that nobody had approved when the gate closed",
    "SubmissionFailed": "that it had not acknowledged when the gate closed",
    "AwardCancelled": "whose award it took back",
    "NotAwarded": "that it had not awarded when its window began",
    "OptedOut": "that was taken back after the award",
    "DeliveryEnded": "whose window ended",
}
"""By what ends a bid: what an order or award that comes later is for."""


def not_followed(told: Award | Instruction, ended: Fact | None) -> str:
    """Return in the desk's words that an order or award is for a bid that it cannot be for.

    Args:
        told: The order or the award.
        ended: What ended the bid; None where it is only not that far yet.
    """
    window = f"{told.zone}, {said_window(told.window)}"
    if isinstance(told, Award):
        what = f"awarded {figure(max(told.awarded_kw))} kW in {window},"
    else:
        unit = "times the nomination" if told.mode is OrderMode.MULTIPLIER else "kW"
        level = max((abs(step.value) for step in told.steps), default=0.0)
        what = f"ordered {figure(level)} {unit} in {window},"
    if ended is None:
        which = "that it has not awarded" if isinstance(told, Instruction) else "that was not sent to it"
    else:
        which = f"{GONE[type(ended).__name__]} {said_at(ended.at)}"
    return f"the DNO {what} for a bid {which}; it is not followed"


def undecided(opportunity: Opportunity, draft: Draft, gate_closes_at: datetime) -> str:
    """Return in the desk's words that a gate closed and nobody had decided on the draft there was."""
    closed = _closed(opportunity, gate_closes_at)
    bid = f"the draft of {figure(max(draft.offered_kw))} kW"
    return f"{closed} with nobody having decided on {bid}; {_stands(opportunity)}"


def undrafted(opportunity: Opportunity, gate_closes_at: datetime) -> str:
    """Return in the desk's words that a gate closed before a draft could be made."""
    return f"{_closed(opportunity, gate_closes_at)} and no draft had been made; {_stands(opportunity)}"


def _stands(opportunity: Opportunity) -> str:
    return "nothing was bid" if opportunity.submitted is None else "the bid sent before stands"


def unsent(opportunity: Opportunity, draft: Draft, gate_closes_at: datetime, tried: bool) -> str:
    """Return in the desk's words that a gate closed and no platform had acknowledged the approved bid."""
    held = "it was sent, and the DNO may hold it: an award will tell" if tried else "it never left"
    closed = _closed(opportunity, gate_closes_at)
    bid = f"the bid of {figure(max(draft.offered_kw))} kW"
    return f"{closed} and the platform had not acknowledged {bid}; {held}"


def is_unanswered(opportunity: Opportunity, now: datetime) -> bool:
    """Whether the window of what was bid has begun without an award, which would have had to come before."""
    return opportunity.stage in (Stage.APPROVED, Stage.SUBMITTED) and now >= opportunity.window.start


def unanswered(opportunity: Opportunity, held: Draft) -> str:
    """Return in the desk's words that a window began and the DNO had not answered the bid that it holds."""
    bid = f"the bid of {figure(max(held.offered_kw))} kW"
    return (
        f"{_where_and_when(opportunity)}: the window began and the DNO, which acknowledged {bid}, had not"
        " answered it; it counts as not awarded, and nothing is delivered for it"
    )


def _closed(opportunity: Opportunity, gate_closes_at: datetime) -> str:
    return f"{_where_and_when(opportunity)}: the gate closed {said_at(gate_closes_at)}"


def _where_and_when(opportunity: Opportunity) -> str:
    return f"{opportunity.zone}, {said_window(opportunity.window)}"


def said_window(window: Interval) -> str:
    """Return a window in a sentence, by London's clocks: ``Wed 15 Jan 17:00 to 19:00``."""
    start, end = window.start.astimezone(LONDON), window.end.astimezone(LONDON)
    last = f"{end:%H:%M}" if start.date() == end.date() else said_at(end)
    return f"{said_at(start)} to {last}"


def must_be_possible(opportunity: Opportunity, fact: type[Fact], done: str, gate_closes_at: datetime) -> None:
    """Fail where a bid is not at a stage at which ``fact`` can happen to it.

    Args:
        opportunity: The bid.
        fact: What is about to be recorded.
        done: The desk's word for it, such as ``checked``.
        gate_closes_at: When bids for it must be in.

    Raises:
        RuleViolation: In the desk's words.
    """
    if fact in NEXT[opportunity.stage]:
        return
    bid = f"bid {opportunity.opportunity_id}"
    match opportunity.stage:
        case Stage.CLOSED:
            because = why_closed(opportunity, gate_closes_at)
            raise RuleViolation(f"{bid} is closed ({because}); nothing can be {done} any more")
        case Stage.NEW | Stage.RECEIVED:
            raise RuleViolation(f"{bid} has no draft yet; nothing can be {done}")
        case Stage.APPROVED:
            raise RuleViolation(f"{bid} is approved and leaves now; it can only be withdrawn, not {done}")
        case Stage.SUBMITTED:
            raise RuleViolation(f"{bid} is with the DNO; it can be amended or withdrawn, not {done}")
        case Stage.AWARDED | Stage.DELIVERING if opportunity.cancelled_at is not None:
            at = said_at(opportunity.cancelled_at)
            raise RuleViolation(
                f"{bid} was awarded, its order cancelled {at}; nothing can be {done} any more"
            )
        case Stage.DELIVERED | Stage.SETTLED if opportunity.held_until is not None:
            ended = f"{how_ended(opportunity)} {said_at(opportunity.held_until)}"
            raise RuleViolation(f"{bid} was awarded, and {ended}; nothing can be {done} any more")
        case stage:
            raise RuleViolation(f"{bid} is {stage.value.lower()}; nothing can be {done} any more")


def amended_draft(
    need: Requirement, product: Product, draft: Draft, model: Draft, kw: float | None, price: Decimal | None
) -> Draft:
    """Return a draft at another level or price, with the model's own reasons and margin.

    Args:
        need: What is bid on.
        product: Its rules.
        draft: As it stands.
        model: The model's own: no person offers more than that.
        kw: The level; None where it stays. [kW]
        price: The price; None where it stays. [GBP/MWh]

    Raises:
        RuleViolation: If a limit is passed, or nothing would change.
    """
    if kw is not None:
        _must_be_offerable(kw, max(model.offered_kw), product)
    ceiling = need.utilisation_ceiling
    if price is not None and (
        not price.is_finite() or price < 0 or (ceiling is not None and price > ceiling)
    ):
        raise RuleViolation(f"GBP {price}/MWh is outside 0 to the ceiling of {ceiling}")
    offered = draft.offered_kw if kw is None else tuple(min(kw, level) for level in model.offered_kw)
    asked = draft.utilisation_gbp_per_mwh if price is None else price
    change = Change(
        from_version=draft.version,
        kw=max(offered) - max(draft.offered_kw),
        gbp_per_mwh=float(asked - draft.utilisation_gbp_per_mwh),
        margin_gbp=0.0,
        inputs=(),
    )
    new = replace(
        draft,
        offered_kw=offered,
        utilisation_gbp_per_mwh=asked,
        steps=_amended_steps(draft, model, offered) if price is None else (),
        expected_margin_gbp=model.expected_margin_gbp,
        why=replace(model.why, change=change),
    )
    if (new.offered_kw, new.priced) == (draft.offered_kw, draft.priced):
        raise RuleViolation("that changes nothing: the draft offers just this already")
    return new


def _amended_steps(draft: Draft, model: Draft, offered_kw: tuple[float, ...]) -> tuple[PriceStep, ...]:
    """Return the price steps of a draft whose level is amended: the model's, cut to it; none with one price.

    Args:
        draft: As it stands, maybe with a price that a person put in place of the steps: it stays.
        model: The model's own.
        offered_kw: What is offered now, per slot. [kW]
    """
    as_drawn = cut_to(model.steps, draft.offered_kw)
    one_price = len(as_drawn) > 1 and draft.steps != as_drawn
    if one_price or draft.utilisation_gbp_per_mwh != model.utilisation_gbp_per_mwh:
        return ()
    steps = cut_to(model.steps, offered_kw)
    return steps if len(steps) > 1 else ()


def _must_be_offerable(kw: float, most_kw: float, product: Product) -> None:
    """Fail where a level is beyond what can be delivered, off the tick or below the product's minimum.

    Raises:
        RuleViolation: With the limit that is passed.
    """
    asked = figure(kw, 6)
    if not 0 <= kw <= most_kw:
        raise RuleViolation(f"{asked} kW is outside 0 to {figure(most_kw)} kW that can be delivered")
    ticks = exact(kw) / exact(product.tick_kw)
    if ticks != round(ticks):
        raise RuleViolation(f"{asked} kW is no whole multiple of the product's {figure(product.tick_kw)} kW")
    if 0 < kw < product.min_kw:
        least = f"the product's minimum of {figure(product.min_kw)} kW"
        raise RuleViolation(f"{asked} kW is under {least}; 0 bids nothing")
