"""Steps on the way of one bid, through a real workflow; the desk has two approvers and one trader."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aggregator.desk import Desk, Rule
from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Awarded, Received
from aggregator.workflow import Workflow
from tests.builders import (
    PRODUCT,
    ZONE,
    a_draft,
    a_product,
    a_requirement,
    an_award,
    an_event_key,
)

GATE = datetime(2025, 1, 15, 14, tzinfo=UTC)
RULE = Rule("small", "ann", "bob", max_kw=50.0, min_margin_gbp=1.0, zones=(ZONE,), products=None)
DESK = Desk(True, frozenset({"ann", "bob"}), frozenset({"tim"}), ())


def a_workflow(store, clock):
    return Workflow(store, clock, {PRODUCT: a_product()}, DESK)


def ruled(flow, *rules):
    return Workflow(flow.store, flow._clock, flow.products, replace(flow.desk, rules=rules))


def received(flow, **changes):
    new = flow.store.journal.opportunity("bid-1")
    return flow.record(new, Received(flow.now(), a_requirement(**changes)), by="platform")


def in_review(flow, **changes):
    return flow.propose(received(flow), a_draft(**changes))


def approved(flow, **changes):
    one = in_review(flow, **changes)
    return flow.approve(flow.check(one, one.draft.digest, "ann"), one.draft.digest, "bob")


def submitted(flow, **changes):
    one = approved(flow, **changes)
    flow.store.outbox.mark_sent(one.draft.report_id, flow.now())
    flow.acknowledged(one.draft.report_id)
    return now_of(flow)


def awarded(flow):
    return flow.record(submitted(flow), Awarded(flow.now(), an_award()), by="platform")


def now_of(flow):
    return flow.store.journal.opportunity("bid-1")


def bids(flow):
    """Return every bid made for the platform as (report id, kW per slot)."""
    return [
        (entry.report.report_id, [row.value for row in entry.report.rows if "/kw/" in row.r_id])
        for entry in flow.store.outbox.all()
        if entry.report.specifier == "bid"
    ]


def refused(flow, match):
    """Expect a refusal that changes nothing."""
    before = now_of(flow), bids(flow)

    class Expectation:
        def __enter__(self):
            self.raises = pytest.raises(RuleViolation, match=match)
            self.raises.__enter__()

        def __exit__(self, *error):
            swallowed = self.raises.__exit__(*error)
            assert (now_of(flow), bids(flow)) == before
            return swallowed

    return Expectation()


def re_proposed(flow):
    """Return an opportunity with a bid submitted and a new draft in review."""
    return flow.propose(submitted(flow), a_draft(version=2, offered_kw=(10.0,) * 4))


def amended_need(flow, **changes):
    need = a_requirement(key=an_event_key(modification=1), **changes)
    return flow.record(submitted(flow), Received(flow.now(), need), by="platform")
