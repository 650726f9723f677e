"""A draft in words and as data: what the desk is shown before it approves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from aggregator.desk import why_closed
from aggregator.model import figures
from aggregator.model.explanation import Change, Explanation, Worth
from aggregator.model.facts import MODEL
from aggregator.model.figures import figure
from aggregator.model.market import Draft, Instruction, Requirement
from aggregator.model.opportunity import (
    Declined,
    DraftRefused,
    Opportunity,
    Stage,
    SubmissionFailed,
    Withdrawn,
)
from aggregator.model.steps import PriceStep
from aggregator.model.time import LONDON, utc_text
from aggregator.store import Recorded
from aggregator.workflow import Workflow
from aggregator.worth import is_in_part, is_valued, said_by

NOTHING_KW = 1e-6
WITH_REASON = (Declined, DraftRefused, Withdrawn, SubmissionFailed)


def by_gate(found: Iterable[Opportunity], workflow: Workflow) -> list[Opportunity]:
    """Return bids in the order in which they are to be looked at: gate, window, zone."""
    return sorted(
        found,
        key=lambda one: (workflow.gate_closes_at(one), one.window.start, one.zone, one.opportunity_id),
    )


def summary(one: Opportunity, workflow: Workflow) -> dict[str, object]:
    """Return a bid's figures and where it stands: a row of ``bids list --json``."""
    need, draft = one.requirement, one.draft
    closed = why_closed(one, workflow.gate_closes_at(one))
    worth = _told(one)
    held = one.submitted if not closed and one.held_until is None else None
    return {
        "opportunity": one.opportunity_id,
        "stage": one.stage.value,
        "zone": one.zone,
        "product": one.product_id,
        "start": utc_text(one.window.start),
        "end": utc_text(one.window.end),
        "gate_closes_at": utc_text(workflow.gate_closes_at(one)),
        "needed_kw": list(need.needed_kw) if need else None,
        "ceiling_gbp_per_mwh": need.utilisation_ceiling if need else None,
        "offered_kw": list(draft.offered_kw) if draft else None,
        "utilisation_gbp_per_mwh": draft.utilisation_gbp_per_mwh if draft else None,
        "price_steps": [_step(step) for step in draft.priced] if draft else None,
        "expected_margin_gbp": round(worth.margin_gbp, 2) if worth else None,
        "margin_p10_gbp": round(worth.p10_gbp, 2) if worth else None,
        "deliver": round(worth.deliver, 4) if worth else None,
        "draft": draft.digest if draft else None,
        "checked_by": one.checked_by,
        "approved": one.approved_digest is not None,
        "awarded_kw": list(one.award.awarded_kw) if one.award else None,
        "dno_holds_kw": list(held.offered_kw) if held else None,
        "closed_because": closed,
    }


def _told(one: Opportunity) -> Worth | None:
    """Return what a bid is worth, or what was awarded of it; of an amended draft maybe the model's."""
    if one.draft is None or is_in_part(one):
        return one.worth
    return said_by(one.draft)


def whole(one: Opportunity, workflow: Workflow) -> dict[str, object]:
    """Return all that ``bids show --json`` tells: the summary, the draft and why, orders and facts."""
    orders = [order_body(order) for order in one.in_force]
    facts = fact_rows(workflow.store.journal.facts(one.opportunity_id))
    return {**summary(one, workflow), **details(one), "orders": orders, "facts": facts}


def fact_rows(facts: Iterable[Recorded]) -> list[dict[str, object]]:
    """Return what happened, a row a fact, with the reason where a person or the program gave one."""
    return [
        {"version": version, "fact": type(fact).__name__, "at": utc_text(fact.at), "by": by}
        | ({"reason": fact.reason} if isinstance(fact, WITH_REASON) else {})
        for version, fact, by, _ in facts
    ]


def order_body(order: Instruction) -> dict[str, object]:
    """Return an order in force; values in kW, export positive, or multiples of the nomination."""
    return {
        "event": order.key.event_id,
        "modification": order.key.modification,
        "start": utc_text(order.window.start),
        "end": utc_text(order.window.end),
        "mode": order.mode.value,
        "values": [step.value for step in order.steps],
        "priority": order.priority,
        "ramp_up_s": order.ramp_up_s,
        "notice_s": order.notice_s,
        "delay_s": order.delay_s,
    }


def plainly(value: object) -> str:
    """Return a value of an answer's body as people read it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return " ".join(f"{name} {plainly(part)}" for name, part in value.items())
        case list() | tuple():
            parts = [plainly(part) for part in value]
            return ("; " if value and isinstance(value[0], Mapping) else ", ").join(parts) or "-"
        case float():
            return figure(value)
        case _:
            return str(value)


def kws(levels: object) -> str:
    """Return levels as one figure, or from the lowest to the highest. [kW]"""
    if not isinstance(levels, list | tuple) or not levels:
        return ""
    low, high = min(levels), max(levels)
    return figure(high) if low == high else f"{figure(low)}-{figure(high)}"


def offer(draft: Draft | None) -> str:
    """Return in words what a draft offers."""
    if draft is None:
        return "no draft"
    return f"draft {draft.version} ({kws(draft.offered_kw)} kW at {draft.asks})"


def _awarded(one: Opportunity) -> Iterator[str]:
    """Yield what an award of less than was bid is worth."""
    if one.draft is None or one.award is None or not is_in_part(one):
        return
    awarded = f"  awarded {kws(one.award.awarded_kw)} of {kws(one.draft.offered_kw)} kW bid"
    if one.worth is None:
        yield f"{awarded}: what that is expected to earn is not known; the figures above are of all"
        return
    yield (
        f"{awarded}: expected margin GBP {one.worth.margin_gbp:.2f}, P10 {one.worth.p10_gbp:.2f},"
        f" P90 {one.worth.p90_gbp:.2f}, P(deliver) {one.worth.deliver:.0%}; the figures above are of all"
    )


def _step(step: PriceStep) -> dict[str, object]:
    return {"offered_kw": list(step.offered_kw), "gbp_per_mwh": step.gbp_per_mwh}


def details(one: Opportunity) -> dict[str, object]:
    """Return the draft's figures and reasons; nothing where there is no draft."""
    if one.draft is None or one.stage is Stage.NEW:
        return {}
    return {
        "by": one.draft.by,
        "version": one.draft.version,
        "base_kw": list(one.draft.base_kw),
        "kept_kw": list(one.draft.kept_kw),
        "availability_gbp_per_mw_h": one.draft.availability_gbp_per_mw_h,
        "why": _why(one.draft.why),
    }


def in_words(one: Opportunity) -> Iterator[str]:
    """Yield the lines that tell a draft: the offer, what it earns, what stops it, what changed."""
    draft, need = one.draft, one.requirement
    if draft is None or need is None:
        return
    why = draft.why
    yield f"draft {draft.version} by {draft.by}, {draft.digest[:12]}"
    yield from _offer(need, draft)
    yield (
        f"  expected margin GBP {draft.expected_margin_gbp:.2f}, "
        f"nine past days in ten earn {why.margin_p10_gbp:.2f} or more (P10), "
        f"one in ten {why.margin_p90_gbp:.2f} or more (P90)"
    )
    yield f"  {why.cars} cars behind it, over {why.scenarios} past days; solver: {why.solver}"
    yield from _awarded(one)
    if why.miss_gbp > 0.0:
        yield (
            f"  misses a twentieth or more on {why.miss:.0%} of those days; by the record of past bids a miss"
            f" is taken to cost GBP {why.miss_gbp:.2f} beside its penalty"
        )
    if why.factor < 1.0:
        yield f"  cut to {why.factor:.3f} of what the past days allow, by what was delivered of earlier bids"
    if why.accepted < 1.0:
        yield f"  the price is held to be accepted {why.accepted:.0%} of the time, by prices cleared before"
    if why.held_back_kwh > 0.0:
        yield (
            f"  holds {figures.kwh(why.held_back_kwh)} of base discharge back, which would have earned "
            f"GBP {why.held_back_gbp:.2f}"
        )
    if note := by_whom(draft):
        yield f"  {note}"
    yield from _parts(why)
    yield from _list("what stops it", why.binding)
    yield from _list("days on which it falls short", why.bad_scenarios)
    if why.change is not None:
        yield _changed(draft.by, why, why.change)
    yield f"  inputs {why.inputs_digest[:12]}"


def _offer(need: Requirement, draft: Draft) -> Iterator[str]:
    for slot, needed, kw, base, kept in zip(
        need.slots, need.needed_kw, draft.offered_kw, draft.base_kw, draft.kept_kw, strict=True
    ):
        held = f", {figures.kw(base - kept)} held back" if base - kept > NOTHING_KW else ""
        yield (
            f"  {slot.start.astimezone(LONDON):%H:%M}-{slot.end.astimezone(LONDON):%H:%M}  "
            f"{figure(kw)} of {figure(needed)} kW; base discharge {figures.kw(base)}{held}"
        )
    yield f"  asks {draft.asks} delivered, {draft.availability_gbp_per_mw_h}/MW/h held ready"
    for step in draft.steps:
        yield f"    {figure(max(step.offered_kw))} kW at GBP {step.gbp_per_mwh}/MWh"


def _parts(why: Explanation) -> Iterator[str]:
    for part in why.parts:
        yield (
            f"  up to {figure(part.up_to_kw)} kW the last MWh costs GBP {part.marginal_gbp_per_mwh:.2f}, "
            f"price GBP {part.price_gbp_per_mwh:.2f}"
        )


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"  {title}:"
        yield from (f"    {line}" for line in lines)


def by_whom(draft: Draft) -> str:
    """Return what of a person's draft is still the model's, in words; nothing of the model's own."""
    if draft.by == MODEL:
        return ""
    held = "an amendment changes neither what is held back nor what is nominated"
    if is_valued(draft):
        return f"written by {draft.by}: what stops it from being larger is told of the model's draft; {held}"
    return (
        f"written by {draft.by}: kW and prices sent are this draft's; margins, days that fall short, what"
        f" each part costs and what stops it are the model's draft's; {held}"
    )


def _changed(by: str, why: Explanation, change: Change) -> str:
    if by != MODEL:
        figures = f"{change.kw:+g} kW, GBP {change.gbp_per_mwh:+.2f}/MWh"
        margin = f", margin GBP {change.margin_gbp:+.2f}" if why.valued_anew else ""
        return f"  since draft {change.from_version}: {figures}{margin}, by {by}"
    inputs = ", ".join(change.inputs) or "nothing but the time"
    return (
        f"  since draft {change.from_version}: {change.kw:+g} kW, GBP {change.gbp_per_mwh:+.2f}/MWh, "
        f"margin GBP {change.margin_gbp:+.2f}; changed: {inputs}"
    )


def _why(why: Explanation) -> dict[str, object]:
    change = why.change
    return {
        "binding": list(why.binding),
        "bad_scenarios": list(why.bad_scenarios),
        "marginal_cost_gbp_per_mwh": round(why.marginal_cost_gbp_per_mwh, 2),
        "parts": [
            {
                "up_to_kw": part.up_to_kw,
                "marginal_gbp_per_mwh": part.marginal_gbp_per_mwh,
                "price_gbp_per_mwh": part.price_gbp_per_mwh,
            }
            for part in why.parts
        ],
        "held_back_kwh": round(why.held_back_kwh, 3),
        "held_back_gbp": round(why.held_back_gbp, 2),
        "factor": why.factor,
        "miss": round(why.miss, 4),
        "miss_gbp": round(why.miss_gbp, 2),
        "valued_anew": why.valued_anew,
        "accepted": why.accepted,
        "cars": why.cars,
        "scenarios": why.scenarios,
        "solver": why.solver,
        "margin_p10_gbp": round(why.margin_p10_gbp, 2),
        "margin_p90_gbp": round(why.margin_p90_gbp, 2),
        "inputs": why.inputs_digest,
        "input_digests": dict(why.inputs),
        "beside": [one.opportunity_id for one in why.beside],
        "change": None
        if change is None
        else {
            "from_version": change.from_version,
            "kw": change.kw,
            "gbp_per_mwh": change.gbp_per_mwh,
            "margin_gbp": round(change.margin_gbp, 2),
            "inputs": list(change.inputs),
        },
    }
