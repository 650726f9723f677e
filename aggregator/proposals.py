"""From an opportunity to a draft: forecast, base plan, capability tables, the bid, and why.

The base plan and its digest are made before the opportunity's price is read. The model sees only tables,
never cars. The same inputs give the same draft: the audit makes it again and compares.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_UP, Decimal

import numpy as np

from aggregator.bidding import propose
from aggregator.bidding_types import Infeasible, Problem, Proposal
from aggregator.config import Settings
from aggregator.energy import (
    BasePlan,
    CarArrays,
    FloatArray,
    Tariff,
    base_plan,
    capability_kwh,
    expected_nomination,
    fleet_window,
    turn_down_kwh,
)
from aggregator.forecast import Calendar, History, Scenario, horizon_slots, scenarios
from aggregator.model.fleet import Fleet
from aggregator.model.market import (
    Direction,
    Draft,
    Explanation,
    PeakWindow,
    Plan,
    Product,
    Requirement,
)
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import HALF_HOUR, HOUR, LONDON, Interval
from aggregator.solver import SolverChoice
from aggregator.wiring import prices_of
from aggregator.workflow import MODEL, Workflow

SLOT_HOURS = HALF_HOUR / HOUR
LONGEST_WINDOW = 12
LEAST_GUARD_SOC = 0.02
KWH_PER_MWH = 1000.0
ROUNDED_TO = 6
"""Digits of a kW kept from the solver: a milliwatt; the rest is its noise."""
NOON_HOUR = 12
PENNY = Decimal("0.01")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that the bid of one opportunity stands on.

    Attributes:
        need: The requirement.
        plan: The zone's plan over the horizon, with its digest.
        problem: What the model is asked.
    """

    need: Requirement
    plan: Plan
    problem: Problem


PeaksKnown = Callable[[str, datetime], Sequence[PeakWindow]]
"""A zone's standing signals by what was received until an instant: the store's, for bid and audit alike."""


class Proposer:
    """Makes drafts for one fleet."""

    def __init__(self, settings: Settings, fleet: Fleet, history: History, peaks: PeaksKnown) -> None:
        self._settings = settings
        self._fleet = fleet
        self._history = history
        self._peaks = peaks

    def propose(self, workflow: Workflow, opportunity: Opportunity, now: datetime) -> Opportunity:
        """Put a draft up for review, or decline with the reason.

        Raises:
            Unavailable: If the solver failed; nothing was decided, so that it may be tried again.
        """
        need = opportunity.requirement
        if need is None:
            return opportunity
        rival = _rival(workflow, opportunity, need)
        if rival is not None:
            return workflow.decline(
                opportunity, f"{rival} is already bid on these cars' batteries that day", MODEL
            )
        prepared = self.prepare(need, workflow.products[need.product_id], now)
        if isinstance(prepared, str):
            return workflow.decline(opportunity, prepared, MODEL)
        proposal = propose(prepared.problem)
        if isinstance(proposal, Infeasible):
            return workflow.decline(opportunity, proposal.reason, MODEL)
        if proposal.is_zero:
            return workflow.decline(opportunity, _why_nothing(proposal), MODEL)
        draft = self._draft(opportunity, prepared, proposal, now)
        return workflow.propose(opportunity, draft, prepared.plan)

    def prepare(self, need: Requirement, product: Product, now: datetime) -> Prepared | str:
        """Return what the bid stands on as known at ``now``, or why there can be none."""
        day = delivery_day(need.window.start)
        slots = horizon_slots(day)
        cars = self._fleet.in_zone(need.zone)
        count, calendar = self._settings.bidding.scenarios, Calendar(self._settings.fleet.holidays)
        drawn = scenarios(self._history, cars, day, now, count, calendar=calendar)
        if not cars or not drawn:
            return f"no cars in {need.zone}" if not cars else "no history of like days to forecast from"
        if need.slots[0].end - need.slots[0].start < HALF_HOUR:
            return "the model works in half-hours; the requirement's slots are shorter"
        tariff = prices_of(self._settings, lambda zone: self._peaks(zone, now))(need.zone, slots)
        arrays = CarArrays.of(cars, *(slot.start for slot in slots), slots[-1].end)
        plans = [base_plan(arrays, scenario.stay, tariff, SLOT_HOURS) for scenario in drawn]
        plan = self._plan(need.zone, slots, plans, drawn, day)
        span = _window(need.window, slots, tariff)
        if span is None:
            return f"the window of {need.window.start} is not within the forecast's horizon, or too long"
        tables = self._tables(arrays, drawn, plans, span, product.direction)
        return Prepared(need, plan, self._problem(need, product, plan, tariff, arrays, drawn, tables, span))

    def _plan(
        self,
        zone: str,
        slots: Sequence[Interval],
        plans: Sequence[BasePlan],
        drawn: Sequence[Scenario],
        day: date,
    ) -> Plan:
        base_kw, charge_kw = expected_nomination(plans, None, 0, len(slots))
        state = hashlib.sha256(f"{zone} {day} {[one.label for one in drawn]} {self._fleet.digest}".encode())
        state.update(base_kw.tobytes())
        state.update(charge_kw.tobytes())
        return Plan(zone, tuple(slots), _floats(base_kw), _floats(charge_kw), state.hexdigest())

    def _tables(
        self,
        arrays: CarArrays,
        drawn: Sequence[Scenario],
        plans: Sequence[BasePlan],
        span: slice,
        direction: Direction,
    ) -> FloatArray:
        """Return h_w(S) per scenario and set of slots, shape (scenarios, 2**slots). [kWh]"""
        table = capability_kwh if direction is Direction.UP else turn_down_kwh
        guard = max(LEAST_GUARD_SOC, self._settings.dispatch.soc_resolution)
        count = span.stop - span.start
        windows = (
            fleet_window(arrays, scenario.stay, plan, span.start, count, SLOT_HOURS, guard)
            for scenario, plan in zip(drawn, plans, strict=True)
        )
        return np.array([table(window, SLOT_HOURS) for window in windows])

    def _problem(
        self,
        need: Requirement,
        product: Product,
        plan: Plan,
        tariff: Tariff,
        arrays: CarArrays,
        drawn: Sequence[Scenario],
        tables: FloatArray,
        span: slice,
    ) -> Problem:
        slots = plan.slots[span]
        bid_slots = np.array([slot.overlap(need.window) is not None for slot in slots])
        cost = _recharge_gbp_per_kwh(tariff, arrays) + tariff.wear_gbp_per_kwh
        spread = tariff.export_gbp_per_kwh[span] - cost
        digest = hashlib.sha256(f"{need!r} {product!r} {plan.digest}".encode())
        digest.update(tables.tobytes())
        digest.update(tariff.export_gbp_per_kwh.tobytes())
        return Problem(
            slots=slots,
            direction=product.direction,
            bid_slots=bid_slots,
            needed_kw=np.array([_needed_kw(need, slot) for slot in slots]),
            bid_shape=product.bid_shape,
            tick_kw=product.tick_kw,
            min_kw=product.min_kw,
            hold_back=product.hold_back,
            base_kw=np.array(plan.base_discharge_kw[span]),
            charge_kw=np.array(plan.base_charge_kw[span]),
            capability_kwh=tables,
            scenario_labels=tuple(scenario.label for scenario in drawn),
            probability=np.full(len(drawn), 1.0 / len(drawn)),
            spread_gbp_per_mwh=spread * KWH_PER_MWH,
            energy_cost_gbp_per_mwh=cost * KWH_PER_MWH,
            utilisation_gbp_per_mwh=float(self._asking(need, cost)),
            availability_gbp_per_mw_h=float(need.availability_ceiling or 0),
            award_probability=product.award_probability,
            penalty_gbp_per_mwh=float(product.penalty_gbp_per_mwh),
            nomination_penalty_gbp_per_mwh=float(product.penalty_gbp_per_mwh),
            cars=max(int(scenario.stay.present.sum()) for scenario in drawn),
            inputs_digest=digest.hexdigest(),
            solver=solver_choice(self._settings),
        )

    def _asking(self, need: Requirement, cost_gbp_per_kwh: float) -> Decimal:
        """Return the price asked: a share of the ceiling, never under cost, never over the ceiling."""
        cost = Decimal(str(cost_gbp_per_kwh * KWH_PER_MWH))
        if need.utilisation_ceiling is None:
            return cost.quantize(PENNY, ROUND_UP)
        share = Decimal(str(self._settings.bidding.price_of_ceiling))
        asked = max(need.utilisation_ceiling * share, cost).quantize(PENNY, ROUND_UP)
        return min(asked, need.utilisation_ceiling)

    def _draft(
        self, opportunity: Opportunity, prepared: Prepared, proposal: Proposal, known_at: datetime
    ) -> Draft:
        problem, need = prepared.problem, prepared.need
        base, kept = problem.base_kw, np.round(proposal.kept_kw, ROUNDED_TO)
        why = Explanation(
            binding=proposal.binding,
            bad_scenarios=tuple(str(scenario) for scenario in proposal.bad_scenarios),
            marginal_cost_gbp_per_mwh=proposal.marginal_cost_gbp_per_mwh,
            held_back_kwh=proposal.held_back_kwh,
            factor=proposal.factor,
            cars=proposal.cars,
            scenarios=len(problem.scenario_labels),
            solver=f"{proposal.run.name} {proposal.run.status}, gap {proposal.run.gap:g}",
            margin_p10_gbp=proposal.margin_p10_gbp,
            inputs_digest=proposal.inputs_digest,
            known_at=known_at,
        )
        return Draft(
            bid_id=opportunity.opportunity_id,
            version=opportunity.last_draft_version + 1,
            offered_kw=_per_need_slot(need, problem.slots, proposal.offered_kw, min),
            utilisation_gbp_per_mwh=Decimal(str(problem.utilisation_gbp_per_mwh)).quantize(PENNY),
            availability_gbp_per_mw_h=need.availability_ceiling or Decimal(0),
            base_kw=_per_need_slot(need, problem.slots, base, _mean),
            kept_kw=_per_need_slot(need, problem.slots, kept, _mean),
            expected_margin_gbp=proposal.expected_margin_gbp,
            why=why,
            by=MODEL,
        ).sealed()


def solver_choice(settings: Settings) -> SolverChoice:
    """Return which solver makes the bids, and for how long it may."""
    said = settings.bidding
    return SolverChoice(said.solver, said.glpsol, said.time_limit_s)


def _rival(workflow: Workflow, opportunity: Opportunity, need: Requirement) -> str | None:
    """Return another live bid of the zone that day: until bids are made jointly, one battery is bid once."""
    slots = horizon_slots(delivery_day(need.window.start))
    day = Interval(slots[0].start, slots[-1].end)
    bid = [stage for stage in Stage if stage not in (Stage.NEW, Stage.RECEIVED, Stage.CLOSED)]
    found = workflow.store.journal.find(zone=need.zone, overlapping=day, stages=bid)
    names = [one.opportunity_id for one in found if one.opportunity_id != opportunity.opportunity_id]
    return names[0] if names else None


def delivery_day(starts_at: datetime) -> date:
    """Return the local day whose noon-to-noon horizon holds an instant."""
    local = starts_at.astimezone(LONDON)
    return local.date() if local.hour >= NOON_HOUR else local.date() - timedelta(days=1)


def _window(need: Interval, slots: Sequence[Interval], tariff: Tariff) -> slice | None:
    """Return the half-hours of the bid window and of the red ones that touch it, None where they don't fit.

    Where all of them are more than the model takes, the red ones before and after are left out.
    """
    inside = [n for n, slot in enumerate(slots) if slot.overlap(need) is not None]
    if not inside or need.start < slots[0].start or need.end > slots[-1].end:
        return None
    first, last = inside[0], inside[-1]
    while first > 0 and tariff.red[first - 1]:
        first -= 1
    while last + 1 < len(slots) and tariff.red[last + 1]:
        last += 1
    if last - first >= LONGEST_WINDOW:
        first, last = inside[0], inside[-1]
    return slice(first, last + 1) if last - first < LONGEST_WINDOW else None


def _needed_kw(need: Requirement, slot: Interval) -> float:
    """Return the kW needed all through a half-hour, 0 where the requirement covers it only in part."""
    if slot.start < need.window.start or slot.end > need.window.end:
        return 0.0
    touching = zip(need.slots, need.needed_kw, strict=True)
    return min(kw for part, kw in touching if part.overlap(slot) is not None)


def _recharge_gbp_per_kwh(tariff: Tariff, arrays: CarArrays) -> float:
    """Return what a kWh given costs to put back: the cheapest half-hour's price, with losses both ways."""
    cheapest = float(tariff.import_gbp_per_kwh[~tariff.red].min(initial=tariff.import_gbp_per_kwh.max()))
    round_trip = float((arrays.eta_charge * arrays.eta_discharge).mean())
    return cheapest / round_trip


def _per_need_slot(
    need: Requirement, slots: Sequence[Interval], values: FloatArray, over: Callable[[list[float]], float]
) -> tuple[float, ...]:
    return tuple(
        over([float(v) for slot, v in zip(slots, values, strict=True) if slot.overlap(part) is not None])
        for part in need.slots
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _why_nothing(proposal: Proposal) -> str:
    bad = "; ".join(str(scenario) for scenario in proposal.bad_scenarios[:3])
    return f"nothing can be offered at a profit and above the minimum ({bad or 'no scenario falls short'})"
