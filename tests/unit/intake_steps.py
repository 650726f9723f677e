"""Steps of a need on its way to an award and orders, as a platform's events bring them."""

from aggregator.desk import Desk
from aggregator.intake import take
from aggregator.model.opportunity import Approved, Proposed, Submitted
from aggregator.ports import Opt
from aggregator.workflow import Workflow
from tests.builders import NOON, PRODUCT, VTN, ZONE, a_draft, a_need_call, a_product, an_award_call

NEED_ID = f"{VTN}:requirement-1:{ZONE}"
CALL_PRODUCT = "operational"


def a_flow(store, clock):
    products = {
        PRODUCT: a_product(),
        CALL_PRODUCT: a_product(product_id=CALL_PRODUCT, standing_contract=True),
    }
    return Workflow(store, clock, products, Desk(True, frozenset(), frozenset(), ()))


def named(flow, name=NEED_ID):
    return flow.store.journal.opportunity(name)


def bid_for(flow, name=NEED_ID):
    """Bring a received need to SUBMITTED, as desk and platform would."""
    draft = a_draft(bid_id=name)
    facts = [Proposed(NOON, draft), Approved(NOON, draft.digest, "bob"), Submitted(NOON, draft.report_id)]
    return flow.record(named(flow, name), *facts, by="test")


def awarded(flow, **changes):
    assert take(flow, a_need_call()).opt is Opt.IN
    bid_for(flow)
    assert take(flow, an_award_call(opportunity_ref="requirement-1", **changes)).opt is Opt.IN
    return named(flow)


def refusals(flow):
    """Return the alarms about refused events, each of which has its entry in the inbox."""
    out = [entry for entry in flow.store.inbox.all() if entry.decision is Opt.OUT]
    alarms = flow.store.alarms.open()
    assert {alarm.code for alarm in alarms} <= {"event_refused"}
    assert sorted(alarm.text for alarm in alarms) == sorted(entry.reason for entry in out)
    assert all(entry.raw == b"<oadrPayload/>" and entry.opportunity_id is None for entry in out)
    return [alarm.text for alarm in alarms]
