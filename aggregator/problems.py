"""From a zone's day and its needs to the problem of one window: what is asked of the model."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import numpy as np

from aggregator.acceptance import Acceptance, Asking, PriceRule, accepted
from aggregator.bidding import Line, Problem
from aggregator.bidding.conformal import conformal_factor
from aggregator.bidding.problem import KW_PER_MW, BoolArray, Cvar, FloatArray
from aggregator.bidding.tiers import Recharge, recharge
from aggregator.clashes import free_needs, the_other_way
from aggregator.config import BiddingSettings
from aggregator.drafting import Asked
from aggregator.energy import FleetWindow, Stay, reach
from aggregator.model.market import BidShape, Direction, Plan, Requirement
from aggregator.model.time import LONDON, Interval
from aggregator.nominating import held_back_kw
from aggregator.risk import Level, best_level, caution_after
from aggregator.solver import SolverChoice
from aggregator.spans import Span, joint_spans, runs_of, span_of
from aggregator.standing import Other, Standing
from aggregator.track_record import Delivered, PastBids
from aggregator.zone_day import ZoneDay

WH_PER_KWH = 1000.0
TAKEN = "another bid of the zone stands in the same half-hours: one service per place and time"


@dataclass(frozen=True, slots=True)
class Terms:
    """By what rules problems are made.

    Attributes:
        bidding: The configuration.
        rule: For prices.
        acceptance: Prices cleared before.
        cleared_as: What a product is called there, by id, where it is not its id.
        past: What was delivered of what was committed.
    """

    bidding: BiddingSettings
    rule: PriceRule
    acceptance: Acceptance
    cleared_as: Mapping[str, str]
    past: PastBids


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that the bids of one window stand on.

    Attributes:
        need: The requirement that was asked about.
        plan: The zone's plan over the day, with its digest.
        problem: What the model is asked.
        asked: The need of each of the problem's lines, that one among them.
        asking: The price of each line.
        levels: How far each line may go by the record of past bids; None where CVaR limits them instead.
        inputs: Digest of each input, by name.
        refused: Needs of the zone that cannot be bid on beside these, and why.
    """

    need: Requirement
    plan: Plan
    problem: Problem
    asked: tuple[Asked, ...]
    asking: tuple[Asking, ...]
    levels: tuple[Level | None, ...]
    inputs: Mapping[str, str]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """What is nominated in a window; all of shape (slots,).

    Attributes:
        base_kw: Base discharge less what commitments hold back. [kW]
        charge_kw: Expected charging. [kW]
        committed_kw: Bids that stand, in the window's direction. [kW]
        frozen: Where it has been sent.
    """

    base_kw: FloatArray
    charge_kw: FloatArray
    committed_kw: FloatArray
    frozen: BoolArray


def prepared(
    day: ZoneDay, terms: Terms, own: Asked, standing: Standing, known_at: datetime, fleet_digest: str
) -> Prepared | str:
    """Return the problem of the window that a need lies in, or why it cannot be bid on."""
    mine = span_of(own.need.window, day.slots)
    if mine is None:
        return f"the window of {own.need.window.start} is not within the forecast's horizon"
    refused = the_other_way(own, standing)
    if own.name in refused:
        return refused[own.name]
    direction = own.product.direction
    asked = [own, *(one for one in free_needs(standing) if one.product.direction is direction)]
    spans = {one.name: span_of(one.need.window, day.slots) for one in asked}
    committed = [
        span_of(interval, day.slots, committed=True)
        for other in standing.others
        if other.product.direction is direction
        for interval, kw in other.levels
        if kw > 0.0
    ]
    bids = [span for span in (*spans.values(), *committed) if span is not None]
    plan = standing.base(day.plan)
    base = runs_of(plan.base_discharge_kw) if direction is Direction.UP else ()
    joint = joint_spans([*bids, *base], day.tariff.red, day.cheap)
    window = next(span for span in joint if span.holds(mine))
    inside = sorted(
        (
            one
            for one in asked
            if one.name not in refused and (span := spans[one.name]) is not None and window.holds(span)
        ),
        key=lambda one: one.name,
    )
    earlier = [span for span in joint if span.stop <= window.first and any(span.holds(bid) for bid in bids)]
    return _prepared(day, terms, own, inside, standing, window, earlier, refused, known_at, fleet_digest)


def _prepared(
    day: ZoneDay,
    terms: Terms,
    own: Asked,
    asked: Sequence[Asked],
    standing: Standing,
    window: Span,
    earlier: Sequence[Span],
    refused: Mapping[str, str],
    known_at: datetime,
    fleet_digest: str,
) -> Prepared | str:
    up = own.product.direction is Direction.UP
    plan = standing.base(day.plan)
    base = _base(day, plan, standing, window, own.product.direction)
    windows, stays = day.windows(window, earlier, up=up)
    costs = _costs(day, window, windows, stays, up=up)
    free = [one for one in asked if _has_room(one, day.slots[window.slots], base)]
    if own not in free:
        return TAKEN
    asking = [_asking(terms, one, day.slots[window.slots], costs, known_at) for one in free]
    past = [_past(terms, one.need, known_at) for one in free]
    by_record = terms.bidding.risk == "record"
    lines = [
        _line(one, day.slots[window.slots], base, price, 1.0 if by_record else _factor(before))
        for one, price, before in zip(free, asking, past, strict=True)
    ]
    said = terms.bidding
    inputs = _inputs(day, terms, free, standing, plan, base, windows, past, asking, fleet_digest)
    problem = Problem(
        slots=tuple(day.slots[window.slots]),
        direction=own.product.direction,
        lines=tuple(lines),
        base_kw=base.base_kw,
        charge_kw=base.charge_kw,
        committed_kw=base.committed_kw,
        reach=reach(windows, windows[0].slot_hours, up=up),
        scenario_labels=day.labels,
        probability=np.full(len(day.labels), 1.0 / len(day.labels)),
        spread_gbp_per_mwh=costs.spread,
        base_gbp_per_mwh=costs.base,
        cars=day.most_cars,
        inputs_digest=_digest(f"{name} {digest}" for name, digest in sorted(inputs.items())),
        tiers=costs.recharge.tiers if costs.recharge is not None else (),
        plugged=np.array([one.plugged.sum(axis=0) for one in windows]),
        cvar=None if by_record or said.cvar_limit >= 1.0 else Cvar(said.cvar_level, said.cvar_limit),
        solver=solver_choice(terms.bidding),
    )
    taken = {one.name: TAKEN for one in asked if one not in free}
    levels = [
        _level(problem, line, before) if by_record else None for line, before in zip(lines, past, strict=True)
    ]
    kept = (level.within(line) if level else line for line, level in zip(lines, levels, strict=True))
    problem = replace(problem, lines=tuple(kept))
    return Prepared(
        own.need, plan, problem, tuple(free), tuple(asking), tuple(levels), inputs, {**refused, **taken}
    )


def _level(problem: Problem, line: Line, past: Sequence[Delivered]) -> Level:
    """Return how far a line may go, as if it were alone: others on the same battery only leave it less."""
    caution = caution_after((one.ratio, one.hope_gbp) for one in past)
    return best_level(replace(problem, lines=(line,)), caution)


def solver_choice(said: BiddingSettings) -> SolverChoice:
    """Return which solver makes the bids, and for how long it may."""
    return SolverChoice(said.solver, said.glpsol, said.time_limit_s)


def _base(day: ZoneDay, plan: Plan, standing: Standing, window: Span, direction: Direction) -> _Base:
    slots = day.slots[window.slots]
    drafts = [one for other in standing.others if (one := other.holding_back) is not None]
    held = held_back_kw(plan, drafts)
    planned = zip(plan.slots, plan.base_discharge_kw, plan.base_charge_kw, strict=True)
    figures = {slot: (max(0.0, base - held.get(slot, 0.0)), charge) for slot, base, charge in planned}
    frozen = standing.frozen or {}
    for slot in slots:
        if slot in frozen:
            sent, kw = frozen[slot], 1.0 / (WH_PER_KWH * slot.hours)
            figures[slot] = (sent.kept_wh * kw, (sent.kept_wh - sent.export_wh) * kw)
    return _Base(
        base_kw=np.array([figures[slot][0] for slot in slots]),
        charge_kw=np.array([figures[slot][1] for slot in slots]),
        committed_kw=np.array([_committed_kw(slot, standing.others, direction) for slot in slots]),
        frozen=np.array([slot in frozen for slot in slots]),
    )


def _committed_kw(slot: Interval, others: Sequence[Other], direction: Direction) -> float:
    """Return the sum over opportunities of the most that each promises within a half-hour. [kW]"""
    return 0.0 + sum(
        max((kw for interval, kw in other.levels if interval.overlap(slot) is not None), default=0.0)
        for other in others
        if other.product.direction is direction
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Costs:
    """What energy earns beside the product less what it costs, in GBP/MWh, of shape (slots,).

    Attributes:
        spread: At the dearest recharge.
        base: At the cheapest.
        recharge: The tiers of both; None where more import is asked for.
    """

    spread: FloatArray
    base: FloatArray
    recharge: Recharge | None = None


def _costs(
    day: ZoneDay, window: Span, windows: Sequence[FleetWindow], stays: Sequence[Stay], *, up: bool
) -> _Costs:
    """Return the costs of a window.

    Energy given is put back in the cheapest half-hours there are for it, with losses, and wears the battery.
    Energy taken in costs its half-hour's price, and saves buying it in the cheapest half-hour.
    """
    tariff = day.tariff
    if not up:
        cost = KW_PER_MW * (tariff.import_gbp_per_kwh[window.slots] - tariff.buy_back_gbp_per_kwh)
        return _Costs(-cost, np.zeros_like(cost))
    found = recharge(day.cars, windows, stays, tariff, window.stop)
    export = tariff.export_gbp_per_kwh[window.slots]
    return _Costs(
        spread=KW_PER_MW * (export - found.dearest_gbp_per_kwh),
        base=KW_PER_MW * (export - found.cheapest_gbp_per_kwh),
        recharge=found,
    )


def _asking(terms: Terms, one: Asked, slots: Sequence[Interval], costs: _Costs, known_at: datetime) -> Asking:
    """Return the price asked: never less than energy costs beyond what its export earns.

    That is the cheapest energy, in the half-hour where it earns least; the dearest where no ceiling is known.
    """
    ceiling = one.need.utilisation_ceiling
    cleared = _cleared(terms, one.need, known_at)
    cheap = ceiling is not None and costs.recharge is not None
    wanted = np.array([slot.overlap(one.need.window) is not None for slot in slots])
    cost = -float((costs.base if cheap else costs.spread)[wanted].min())
    return terms.rule.ask(max(0.0, cost), ceiling, cleared)


def asking_at(terms: Terms, need: Requirement, price: Decimal, known_at: datetime) -> Asking:
    """Return a price that a person asks, and how likely it is accepted by what was known at an instant."""
    cleared = _cleared(terms, need, known_at)
    return Asking(price, accepted(cleared, float(price)) if cleared else 1.0)


def _cleared(terms: Terms, need: Requirement, known_at: datetime) -> tuple[float, ...]:
    product = terms.cleared_as.get(need.product_id, need.product_id)
    return terms.acceptance.prices(need.zone, product, known_at)


def _past(terms: Terms, need: Requirement, known_at: datetime) -> Sequence[Delivered]:
    """Return what became of the zone's bids for the product."""
    day = need.window.start.astimezone(LONDON).date()
    return terms.past(need.zone, need.product_id, day, known_at)


def _factor(past: Sequence[Delivered]) -> float:
    """Return the scale that a need's bid has earned by past delivery on days like its own."""
    return conformal_factor([one.ratio for one in past if one.is_like])


def _has_room(one: Asked, slots: Sequence[Interval], base: _Base) -> bool:
    """Whether a need may still be bid on: a flat one in all its half-hours, else in any."""
    wanted = np.array([slot.overlap(one.need.window) is not None for slot in slots])
    free = wanted & (base.committed_kw <= 0.0)
    flat = one.product.bid_shape is BidShape.FLAT
    return bool((free == wanted).all() if flat else free.any())


def _line(one: Asked, slots: Sequence[Interval], base: _Base, asking: Asking, factor: float) -> Line:
    need, product = one.need, one.product
    wanted = np.array([slot.overlap(need.window) is not None for slot in slots])
    line = Line(
        name=one.name,
        bid_slots=wanted,
        needed_kw=np.array([_needed_kw(need, slot) for slot in slots]),
        bid_shape=product.bid_shape,
        tick_kw=product.tick_kw,
        min_kw=product.min_kw,
        hold_back=product.hold_back and not bool((base.frozen & wanted).any()),
        utilisation_gbp_per_mwh=float(asking.gbp_per_mwh),
        availability_gbp_per_mw_h=float(need.availability_ceiling or 0),
        award_probability=product.award_probability * asking.accepted,
        penalty_gbp_per_mwh=float(product.penalty_gbp_per_mwh),
        factor=factor,
    )
    return line.without(base.committed_kw > 0.0)


def _needed_kw(need: Requirement, slot: Interval) -> float:
    """Return the kW needed all through a half-hour, 0 where the requirement covers it only in part."""
    if slot.start < need.window.start or slot.end > need.window.end:
        return 0.0
    touching = zip(need.slots, need.needed_kw, strict=True)
    return min(kw for part, kw in touching if part.overlap(slot) is not None)


def _inputs(
    day: ZoneDay,
    terms: Terms,
    asked: Sequence[Asked],
    standing: Standing,
    plan: Plan,
    base: _Base,
    windows: Sequence[FleetWindow],
    past: Sequence[Sequence[Delivered]],
    asking: Sequence[Asking],
    fleet_digest: str,
) -> dict[str, str]:
    """Return the digest of each input, by the name that the desk knows it by."""
    tariff = day.tariff
    prices = (tariff.import_gbp_per_kwh, tariff.export_gbp_per_kwh)
    cars = [
        getattr(one, name).tobytes()
        for one in windows
        for name in ("arrive", "depart", "exportable_kwh", "fillable_kwh", "first_kwh", "rest_kwh")
    ]
    committed = [(other.product.direction, other.levels) for other in standing.others if other.levels]
    return {
        "needs": _digest(f"{one.name} {one.need!r}" for one in asked),
        "rules": _digest([*_each(one.product for one in asked), repr(terms.bidding), repr(terms.rule)]),
        "fleet": fleet_digest,
        "history": _digest([repr(day.labels), *cars]),
        "peak signals": _digest([tariff.red.tobytes()]),
        "prices": _digest([*(price.tobytes() for price in prices), repr(tariff.wear_gbp_per_kwh)]),
        "base plan": _digest([plan.digest, base.base_kw.tobytes(), base.charge_kw.tobytes()]),
        "bids that stand": _digest([repr(committed)]),
        "past delivery": _digest(_each(list(one) for one in past)),
        "price asked": _digest(_each(asking)),
    }


def _each(found: Iterable[object]) -> list[str]:
    """Return what differs among some: a need beside others under the same rules brings no new ones."""
    return sorted({repr(one) for one in found})


def _digest(parts: Iterable[str | bytes]) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part if isinstance(part, bytes) else part.encode())
        state.update(b"\n")
    return state.hexdigest()
