"""What the platform holds stands while another draft is decided on, is refused, or an award comes."""

import pytest

from aggregator.intake import take
from aggregator.model.opportunity import Proposed, Received, Stage
from aggregator.nominating import bids_that_stand
from aggregator.ports import Opt
from aggregator.store import open_store
from tests.builders import NOON, a_draft, a_need_call, a_requirement, an_award_call, key_of
from tests.fakes.clock import FakeClock
from tests.unit.desk_steps import a_workflow, amended_need, bids, re_proposed
from tests.unit.intake_steps import NEED_ID, a_flow, bid_for, named


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def flow(store):
    return a_workflow(store, FakeClock(NOON))


def test_refusing_a_draft_over_a_submitted_bid_leaves_that_one_as_the_platform_holds_it(flow):
    before = re_proposed(flow)
    sent = bids(flow)
    one = flow.decline(before, "too few cars", "ann")
    assert (one.stage, one.draft, one.approved_digest) == (
        Stage.SUBMITTED,
        before.submitted,
        before.submitted.digest,
    )
    assert bids(flow) == sent
    again = flow.amend(one, one.draft.digest, "tim", 10.0, None)
    assert again.draft.version == before.draft.version + 1


def test_refusing_the_draft_for_an_amended_need_of_another_length_leaves_a_bid_that_can_be_amended(flow):
    one = flow.propose(
        amended_need(flow, needed_kw=(15.0,) * 2),
        a_draft(version=2, offered_kw=(12.0,) * 2, base_kw=(1.0,) * 2, kept_kw=(1.0,) * 2),
    )
    one = flow.decline(one, "too few cars", "tim")
    assert one.draft == one.submitted
    one = flow.amend(one, one.draft.digest, "tim", 10.0, None)
    assert (one.draft.offered_kw, one.draft.kept_kw) == ((10.0,) * 2, (1.0,) * 2)


@pytest.mark.parametrize(
    "meanwhile",
    [
        [Proposed(NOON, a_draft(bid_id=NEED_ID, version=2, offered_kw=(10.0,) * 4))],
        [Received(NOON, a_requirement(key=key_of("requirement-1", 1)))],
    ],
    ids=["an amendment is in review", "the need was amended"],
)
def test_an_award_that_comes_while_another_draft_is_decided_on_is_of_the_bid_that_the_dno_holds(
    store, meanwhile
):
    flow = a_flow(store, FakeClock(NOON))
    take(flow, a_need_call())
    sent = bid_for(flow)
    flow.record(sent, *meanwhile, by="test")
    assert take(flow, an_award_call(opportunity_ref="requirement-1")).opt is Opt.IN
    one = named(flow)
    assert (one.stage, one.draft) == (Stage.AWARDED, sent.submitted)
    assert store.alarms.open() == []


def test_what_a_submitted_bid_holds_back_is_by_the_need_that_it_was_made_for(flow):
    """The need has two slots now, the bid four: it stands all the same."""
    ((need, draft),) = bids_that_stand([amended_need(flow, needed_kw=(15.0,) * 2)])
    assert len(need.slots) == len(draft.base_kw) == 4
