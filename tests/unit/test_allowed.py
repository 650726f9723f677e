"""Who may refuse what: a draft is refused, a bid that has left is taken back, by those who may."""

from datetime import timedelta

import pytest

from aggregator.allowed import Asked, must_allow_refusal, must_allow_withdrawal, why_not
from aggregator.desk import Desk
from aggregator.model.opportunity import Approved, Proposed, Received, Submitted, replay
from tests.builders import NOON, a_draft, a_requirement

DESK = Desk(True, frozenset({"ben"}), frozenset({"tom"}), (), frozenset({"ben", "tom", "vera"}))
DRAFT = a_draft()
IN_REVIEW = [Received(NOON, a_requirement()), Proposed(NOON, DRAFT)]
SENT = [*IN_REVIEW, Approved(NOON, DRAFT.digest, "ben"), Submitted(NOON, DRAFT.report_id)]
DRAFTED_AGAIN = [*SENT, Proposed(NOON, a_draft(version=2))]


def asked(facts, user):
    return Asked(DESK, replay(DRAFT.bid_id, facts), NOON + timedelta(hours=1), NOON, user)


@pytest.mark.parametrize(("user", "may"), [("ben", True), ("tom", True), ("vera", False)])
def test_a_draft_is_refused_by_traders_and_approvers(user, may):
    assert (why_not(must_allow_refusal, asked(IN_REVIEW, user)) is None) is may


@pytest.mark.parametrize("user", ["ben", "tom"])
def test_a_bid_that_was_sent_is_not_refused_but_withdrawn(user):
    assert "withdraw it instead" in why_not(must_allow_refusal, asked(SENT, user))
    assert (why_not(must_allow_withdrawal, asked(SENT, user)) is None) is (user == "tom")


@pytest.mark.parametrize("user", ["ben", "tom"])
def test_a_draft_over_a_sent_bid_is_refused_as_any_other_and_the_bid_withdrawn_by_traders(user):
    assert why_not(must_allow_refusal, asked(DRAFTED_AGAIN, user)) is None
    assert (why_not(must_allow_withdrawal, asked(DRAFTED_AGAIN, user)) is None) is (user == "tom")
