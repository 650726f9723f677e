"""The operator's books as one JSON object: asked, bid, awarded, ordered, settled, and whether it agrees."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .book import Book
from .market import cleared, orders, terms
from .scenario import Requirement, Scenario
from .settle import Line, settle
from .span import half_hours

TOLERANCE_WH = 1.0
_QUANTITIES = ("metered", "nominated", "delivered")


def result(scenario: Scenario, book: Book, now: datetime, messages: Mapping[str, int]) -> dict[str, Any]:
    """The whole state at a domain time.

    Only half-hours that are over are settled. ``agrees`` compares the VEN's delivered energy with the
    operator's, within 1 Wh per half-hour; a half-hour that the VEN has not settled does not agree.
    """
    requirements = [_requirement(requirement, scenario, book, now) for requirement in scenario.requirement]
    return {
        "at": _time(now),
        "requirements": requirements,
        "opt": {event_id: answer.opt for event_id, answer in sorted(book.answers.items())},
        "telemetry_minutes": sum(len(readings) for readings in book.metered.values()),
        "half_hours_compared": sum(len(requirement["settlement"]) for requirement in requirements),
        "agrees": all(requirement["agrees"] for requirement in requirements),
        "messages": dict(sorted(messages.items())),
    }


def _requirement(requirement: Requirement, scenario: Scenario, book: Book, now: datetime) -> dict[str, Any]:
    clearing = cleared(requirement, book)
    closed = now >= requirement.gate_closure_at
    awarded = closed and clearing.awarded
    lines = _settlement(requirement, scenario, book, now) if awarded else []
    bid = clearing.bid
    nothing = [0.0] * len(requirement.slots)
    return {
        "id": requirement.id,
        "zone": requirement.zone,
        "product": requirement.product,
        "direction": requirement.direction,
        "start": _time(requirement.start),
        "end": _time(requirement.end),
        "slot_minutes": requirement.slot_minutes,
        "needed_kw": list(requirement.needed_kw),
        "bid": bid
        and {
            "id": bid.report_id,
            "version": bid.version,
            "kw": list(bid.kw),
            "util": list(bid.utilisation_gbp_per_mwh),
            "avail": list(bid.availability_gbp_per_mw_h),
            "received_at": _time(bid.received_at),
        },
        "refused": list(clearing.refused),
        "awarded_kw": list(clearing.awarded_kw) if closed else nothing,
        "price": list(bid.utilisation_gbp_per_mwh) if bid and awarded else nothing,
        "instructed": [
            {"modification": o.modification, "kw": list(o.kw), "at": _time(o.at), "cancelled": o.cancelled}
            for o in orders(requirement, book, now)
        ],
        "opt": {
            name: book.answers[name].opt
            for name in (requirement.id, f"AWD-{requirement.id}", f"DSP-{requirement.id}")
            if name in book.answers
        },
        "settlement": lines,
        "delivered_kwh": round(sum((line["delivered_kwh"] for line in lines), 0.0), 6),
        "amount_gbp": round(sum((line["amount_gbp"] for line in lines), 0.0), 2),
        "agrees": all(line["agrees"] for line in lines),
    }


def _settlement(
    requirement: Requirement, scenario: Scenario, book: Book, now: datetime
) -> list[dict[str, Any]]:
    made = orders(requirement, book, now)
    agreed = terms(requirement, scenario, cleared(requirement, book))
    rows = []
    for span in half_hours(requirement.window):
        if span.end <= now:
            # A bidder that freezes its plan at the gate needs a moment to send it, but must not know
            # the award.
            nominated_kwh = book.nomination(requirement.zone, span.start, requirement.award_at)
            metered_kwh, missing_minutes = book.telemetry(requirement.zone, span)
            line = settle(span, agreed, made, nominated_kwh, metered_kwh)
            rows.append(_row(line, requirement.zone, missing_minutes, book))
    return rows


def _row(line: Line, zone: str, missing_minutes: float, book: Book) -> dict[str, Any]:
    own = {"metered": line.metered_kwh, "nominated": line.nominated_kwh, "delivered": line.delivered_kwh}
    theirs = {name: book.claims.get((zone, line.span.start, f"{name}_kwh")) for name in _QUANTITIES}
    claimed = {name: claim and claim[1] for name, claim in theirs.items()}
    difference_wh = {name: _difference_wh(claimed[name], own[name]) for name in _QUANTITIES}
    off_wh = difference_wh["delivered"]
    return {
        "start": _time(line.span.start),
        "end": _time(line.span.end),
        "instructed_kwh": round(line.instructed_kwh, 6),
        "nominated_kwh": _rounded(line.nominated_kwh),
        "metered_kwh": _rounded(line.metered_kwh),
        "delivered_kwh": round(line.delivered_kwh, 6),
        "deficiency_kwh": round(line.deficiency_kwh, 6),
        "amount_gbp": float(line.amount_gbp) + 0.0,
        **{f"ven_{name}_kwh": _rounded(claimed[name]) for name in _QUANTITIES},
        **{f"{name}_difference_wh": difference_wh[name] for name in _QUANTITIES},
        "missing_minutes": round(missing_minutes, 3),
        "agrees": off_wh is not None and abs(off_wh) <= TOLERANCE_WH,
    }


def _difference_wh(claimed_kwh: float | None, own_kwh: float | None) -> float | None:
    return None if claimed_kwh is None or own_kwh is None else round(1000 * (claimed_kwh - own_kwh), 3)


def _rounded(kwh: float | None) -> float | None:
    return None if kwh is None else round(kwh, 6)


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
