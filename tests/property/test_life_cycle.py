"""The life cycle is its table: walks over it replay, and nothing else is allowed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import (
    NEXT,
    Approved,
    AwardCancelled,
    Awarded,
    Checked,
    Declined,
    DeliveryEnded,
    DraftLapsed,
    DraftRefused,
    GateClosed,
    Instructed,
    InstructionCancelled,
    Opportunity,
    OptedOut,
    Proposed,
    Received,
    RequirementCancelled,
    Settled,
    Stage,
    Submitted,
    replay,
)
from tests.builders import NOON, a_draft, a_next_fact, a_requirement, an_award, an_event_key, an_instruction

KINDS = sorted({kind for row in NEXT.values() for kind in row}, key=lambda kind: kind.__name__)


def way(stage, goals):
    """Return the shortest list of kinds that lead from a stage to a goal, None where none does."""
    ahead, seen = [(stage, [])], set()
    for here, kinds in ahead:
        if here in goals:
            return kinds
        if here not in seen:
            seen.add(here)
            ahead += [(there, [*kinds, kind]) for kind, there in NEXT[here].items()]
    return None


@st.composite
def walks(draw, goals=tuple(Stage), most=12):
    """Return facts that could have happened, in order, and the opportunity they leave in one of ``goals``."""
    opportunity, facts = Opportunity("walk"), []
    for _ in range(draw(st.integers(0, most))):
        row = NEXT[opportunity.stage]
        kinds = sorted((kind for kind in row if way(row[kind], goals) is not None), key=str)
        if not kinds:
            break
        facts.append(a_next_fact(opportunity, draw(st.sampled_from(kinds))))
        opportunity = opportunity.after(facts[-1])
    for kind in way(opportunity.stage, goals):
        facts.append(a_next_fact(opportunity, kind))
        opportunity = opportunity.after(facts[-1])
    return facts, opportunity


def where_allowed(kind):
    return tuple(stage for stage in Stage if kind in NEXT[stage])


@given(walks())
def test_a_walk_replays_to_the_same_opportunity(walk):
    facts, opportunity = walk
    assert replay("walk", facts) == opportunity
    assert opportunity.version == len(facts)


@given(walks(tuple(set(Stage) - {Stage.NEW})), st.data())
def test_each_step_leads_where_the_table_says(walk, data):
    facts, _ = walk
    last = data.draw(st.integers(1, len(facts)))
    before = replay("walk", facts[: last - 1])
    after = replay("walk", facts[:last])
    assert after.stage is NEXT[before.stage][type(facts[last - 1])]


@given(walks(), st.sampled_from(KINDS))
def test_a_fact_that_is_not_in_the_table_is_refused_and_changes_nothing(walk, kind):
    facts, opportunity = walk
    assume(kind not in NEXT[opportunity.stage])
    with pytest.raises(RuleViolation, match=f"{kind.__name__} is not allowed when {opportunity.stage}"):
        opportunity.after(a_next_fact(opportunity, kind))
    assert opportunity == replay("walk", facts)


@given(walks(where_allowed(Approved)), st.sampled_from([Checked, Approved]))
def test_a_stale_draft_is_refused(walk, kind):
    facts, opportunity = walk
    seen = a_draft(version=1000).digest
    with pytest.raises(RuleViolation, match="the draft changed after it was shown"):
        opportunity.after(kind(NOON, seen, "ann"))
    assert opportunity == replay("walk", facts)


@given(walks(where_allowed(Proposed)))
def test_a_check_is_void_once_the_draft_is_replaced(walk):
    _, opportunity = walk
    replaced = opportunity.after(a_next_fact(opportunity, Proposed))
    assert replaced.checked_by is None
    assert replaced.approved_digest is None


def _newest_event(opportunity, event_id):
    """Return the highest modification of an event that the opportunity has taken, None where none."""
    return {
        "requirement-1": opportunity.requirement and opportunity.requirement.key.modification,
        "award-1": opportunity.award and opportunity.award.key.modification,
        "dispatch-1": max((change.key.modification for change in opportunity.orders), default=None),
    }[event_id]


VERSIONED = {
    Received: ("requirement-1", lambda key: a_requirement(key=key)),
    RequirementCancelled: ("requirement-1", lambda key: key),
    Awarded: ("award-1", lambda key: an_award(key=key)),
    AwardCancelled: ("award-1", lambda key: key),
    Instructed: ("dispatch-1", lambda key: an_instruction(key=key)),
    InstructionCancelled: ("dispatch-1", lambda key: key),
}


@given(st.sampled_from(sorted(VERSIONED, key=str)), st.data())
def test_a_lower_or_equal_modification_is_refused(kind, data):
    _, opportunity = data.draw(walks(where_allowed(kind)))
    event_id, content = VERSIONED[kind]
    newest = _newest_event(opportunity, event_id)
    assume(newest is not None)
    old = data.draw(st.integers(0, newest))
    with pytest.raises(RuleViolation, match=f"{event_id} modification {old} does not follow {newest}"):
        opportunity.after(kind(NOON, content(an_event_key(event_id=event_id, modification=old))))


def test_every_stage_is_reached_by_some_walk():
    reached, ahead = set(), [Opportunity("walk")]
    while ahead:
        opportunity = ahead.pop()
        if opportunity.stage not in reached:
            reached.add(opportunity.stage)
            ahead += [opportunity.after(a_next_fact(opportunity, kind)) for kind in NEXT[opportunity.stage]]
    assert reached == set(Stage)


@given(walks((Stage.CLOSED,)), st.sampled_from(KINDS))
def test_nothing_leads_out_of_closed(walk, kind):
    _, opportunity = walk
    fact = a_next_fact(opportunity, kind)
    if kind is Settled:
        assert opportunity.after(fact).stage is Stage.CLOSED
    else:
        with pytest.raises(RuleViolation):
            opportunity.after(fact)


def after_kinds(*kinds):
    opportunity = Opportunity("walk")
    for kind in kinds:
        opportunity = opportunity.after(a_next_fact(opportunity, kind))
    return opportunity


def test_when_a_new_draft_lapses_the_submitted_one_stands():
    before = after_kinds(Received, Proposed, Approved, Submitted)
    lapsed = before.after(a_next_fact(before, Proposed)).after(DraftLapsed(NOON))
    assert lapsed.stage is Stage.SUBMITTED
    assert lapsed.draft == lapsed.submitted == before.submitted
    assert lapsed.approved_digest == before.submitted.digest


@pytest.mark.parametrize("ends", [DraftLapsed, DraftRefused])
def test_the_submitted_draft_keeps_who_checked_it(ends):
    before = after_kinds(Received, Proposed, Checked, Approved, Submitted, Proposed)
    assert before.checked_by is None
    assert before.after(a_next_fact(before, ends)).checked_by == "ann"


def test_when_an_amended_need_finds_no_draft_the_submitted_one_stands():
    lapsed = after_kinds(Received, Proposed, Approved, Submitted, Received, DraftLapsed)
    assert lapsed.draft == lapsed.submitted is not None


def test_a_cancelled_award_leaves_neither_award_nor_order():
    cancelled = after_kinds(Received, Proposed, Approved, Submitted, Awarded, Instructed, AwardCancelled)
    assert cancelled.stage is Stage.CLOSED
    assert cancelled.award is None
    assert cancelled.instruction is None


def test_an_order_older_than_its_cancellation_does_not_come_back():
    ordered = after_kinds(Received, Proposed, Approved, Submitted, Awarded, Instructed)
    cancelled = ordered.after(InstructionCancelled(NOON, an_event_key(event_id="dispatch-1", modification=9)))
    late = an_instruction(key=an_event_key(event_id="dispatch-1", modification=8))
    with pytest.raises(RuleViolation, match="modification 8 does not follow 9"):
        cancelled.after(Instructed(NOON, late))


@given(walks(where_allowed(OptedOut)))
def test_once_opted_out_no_order_is_in_force_and_none_is_taken(walk):
    _, opportunity = walk
    gone = opportunity.after(a_next_fact(opportunity, OptedOut))
    assert (gone.in_force, gone.opted_out_at) == ((), NOON)
    with pytest.raises(RuleViolation):
        gone.after(a_next_fact(gone, Instructed))


@given(walks())
def test_of_each_order_event_one_version_at_most_is_in_force(walk):
    _, opportunity = walk
    events = [order.key.event_id for order in opportunity.in_force]
    assert len(set(events)) == len(events)


def test_an_end_says_why():
    received = after_kinds(Received)
    assert received.after(Declined(NOON, "too few cars", "ann")).closed_because == "Declined: too few cars"
    assert received.after(GateClosed(NOON)).closed_because == "GateClosed"
    assert after_kinds(Received, Proposed, Approved, Awarded, DeliveryEnded).closed_because is None


def test_an_opportunity_without_facts_has_no_terms():
    with pytest.raises(RuleViolation, match="no fact yet"):
        _ = Opportunity("walk").zone
