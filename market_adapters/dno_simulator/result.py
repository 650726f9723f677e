"""The operator's books as one JSON object: asked, bid, awarded, ordered, settled, and whether it agrees."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .book import Book
from .market import cleared, delivery, order_basis_at, order_id, orders, terms
from .ordering import Ordered
from .scenario import Requirement, Scenario
from .settle import Line, in_force, settle
from .span import half_hours

TOLERANCE_WH = 1.0
_QUANTITIES = ("metered", "nominated", "delivered")


def result(scenario: Scenario, book: Book, now: datetime, messages: Mapping[str, int]) -> dict[str, Any]:
    """The whole state at a domain time.

    Only half-hours that are over are settled. ``agrees`` compares the VEN's delivered energy with the
    operator's, within 1 Wh per half-hour; a half-hour that the VEN has not settled does not agree.
    """
    requirements = [_requirement(requirement, scenario, book, now) for requirement in scenario.requirement]
    calls = [_ordered(call, scenario, book, now) for call in scenario.call]
    return {
        "at": _time(now),
        "requirements": requirements,
        "calls": calls,
        "opt": book.opt,
        "opts": [
            {
                "id": one.opt.opt_id,
                "event": one.opt.event_id,
                "opt": one.opt.opt,
                "reason": one.opt.reason,
                "at": _time(one.since),
                "cancelled_at": one.until and _time(one.until),
            }
            for one in book.opts.values()
        ],
        "reports": dict(sorted(book.reports.items())),
        "telemetry_minutes": sum(len(readings) for readings in book.metered.values()),
        "half_hours_compared": sum(len(ordered["settlement"]) for ordered in (*requirements, *calls)),
        "agrees": all(ordered["agrees"] for ordered in (*requirements, *calls)),
        "messages": dict(sorted(messages.items())),
    }


def _requirement(requirement: Requirement, scenario: Scenario, book: Book, now: datetime) -> dict[str, Any]:
    clearing = cleared(requirement, book)
    closed = now >= requirement.gate_closure_at
    bid = clearing.bid
    nothing = [0.0] * requirement.count
    return _ordered(requirement, scenario, book, now) | {
        "bid": bid
        and {
            "id": bid.report_id,
            "version": bid.version,
            "kw": list(bid.kw),
            "steps": [
                {
                    "kw": list(step.kw),
                    "util": list(step.utilisation_gbp_per_mwh),
                    "avail": list(step.availability_gbp_per_mw_h),
                }
                for step in bid.steps
            ],
            "received_at": _time(bid.received_at),
        },
        "refused": list(clearing.refused),
        "awarded_kw": list(clearing.awarded_kw) if closed else nothing,
        "price": list(clearing.price_gbp_per_mwh) if closed and clearing.awarded else nothing,
    }


def _ordered(ordered: Ordered, scenario: Scenario, book: Book, now: datetime) -> dict[str, Any]:
    lines = _settlement(ordered, scenario, book, now)
    names = (ordered.id, f"AWD-{ordered.id}", f"DSP-{ordered.id}")
    return {
        "id": ordered.id,
        "zone": ordered.zone,
        "product": ordered.product,
        "direction": ordered.direction,
        "start": _time(ordered.start),
        "end": _time(ordered.end),
        "slot_minutes": ordered.slot_minutes,
        "needed_kw": list(ordered.needed_kw),
        "instructed": [
            {"modification": o.modification, "kw": list(o.kw), "at": _time(o.at), "cancelled": o.cancelled}
            for o in orders(ordered, book, now)
        ],
        "opt": {name: book.opt[name] for name in names if name in book.opt},
        "answers": [
            {"event": name, "modification": number, "opt": answer.opt, "said": answer.said}
            for name in names
            for number, answer in sorted(book.answers.get(name, {}).items())
        ],
        "settlement": lines,
        "delivered_kwh": round(sum((line["delivered_kwh"] for line in lines), 0.0), 6),
        "amount_gbp": round(sum((line["amount_gbp"] for line in lines), 0.0), 2),
        "agrees": all(line["agrees"] for line in lines),
    }


def _settlement(ordered: Ordered, scenario: Scenario, book: Book, now: datetime) -> list[dict[str, Any]]:
    if ordered.order_form.test:
        return []  # a test moves no car, and no money
    made = orders(ordered, book, now)
    agreed = terms(ordered, scenario, book)
    if not made and not (any(agreed.awarded_kw) and now >= order_basis_at(ordered)):
        return []
    ruled = in_force(made, book.opted_out(order_id(ordered)))
    rows = []
    for span in half_hours(delivery(ordered, made)):
        if span.end <= now:
            nominated_kwh = book.nomination(ordered.zone, span.start, order_basis_at(ordered))
            metered_kwh, missing_minutes = book.telemetry(ordered.zone, span)
            line = settle(span, agreed, ruled, nominated_kwh, metered_kwh)
            rows.append(_row(line, ordered.zone, missing_minutes, book))
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
