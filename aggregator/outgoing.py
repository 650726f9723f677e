"""What goes to a platform because of a decision: a bid, a bid of nothing, an opt-out, a statement's id.

Each has an id that follows from what it is about, so that making it twice makes one.
"""

from datetime import datetime

from aggregator.model.market import Draft, EventKey, Product, Requirement
from aggregator.ports import OptOut, Report, ReportRow

BID = "bid"
OPT = "opt"


def opt_out_of(key: EventKey, now: datetime) -> OptOut:
    """Return the word to a platform that an event version is no longer served."""
    name = f"opt:{key.vtn_id}:{key.event_id}:{key.modification}"
    return OptOut(name, key.vtn_id, key.event_id, OPT, now, (), event=key)


def bid_report(need: Requirement, draft: Draft, product: Product, now: datetime) -> Report:
    """Return the report that carries a bid: kW and prices of each price step, per interval of the need."""
    prefix = f"{need.zone}/{need.product_id}"
    rows = [
        row
        for at, slot in enumerate(need.slots)
        for number, step in enumerate(draft.priced, start=1)
        for row in (
            ReportRow(f"{prefix}/kw/{number}", slot, product.direction.sign * step.offered_kw[at]),
            ReportRow(f"{prefix}/util/{number}", slot, float(step.gbp_per_mwh)),
            ReportRow(f"{prefix}/avail/{number}", slot, float(draft.availability_gbp_per_mw_h)),
        )
    ]
    return Report(draft.report_id, need.key.vtn_id, need.key.event_id, BID, now, tuple(rows))


def settlement_report_id(opportunity_id: str, version: int) -> str:
    """Return the id of the report of one version of an opportunity's statement."""
    return f"settlement:{opportunity_id}:{version}"
