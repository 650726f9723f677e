"""What is bid on an event: by the model, and by the rivals it is measured against.

The model and two of the rivals see the same: sessions begun before the gate, prices published by then, and
the same like days drawn from them. The rivals bid flat kW that past days could have delivered: their mean, or
their 10th percentile over up to 28 of them. Who knows the day begins with the model on the true stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Literal

import numpy as np

from aggregator.backtest.dispatches import Event
from aggregator.backtest.garage import SLOT_HOURS, Course, Day, Part, Plugged, at_rows
from aggregator.bidding import Cvar, Infeasible, Line, Problem, propose
from aggregator.bidding.tiers import Recharge, recharge
from aggregator.energy import (
    BasePlan,
    CarArrays,
    FloatArray,
    Reach,
    Stay,
    Tariff,
    base_plan,
    expected_nomination,
    fleet_window,
    reach,
)
from aggregator.forecast import Calendar, History, StatedIntent, scenarios
from aggregator.model.fleet import Car
from aggregator.model.market import BidShape, Direction
from aggregator.model.time import Interval
from aggregator.risk import Caution, Level, best_level
from aggregator.solver import SolverChoice

KWH_PER_MWH = 1000.0
MOST_STEPS = 60
SETTLED_KWH = 1e-7
NOBODY = Plugged(0, Part(0.0, 0.0, 0.0), 0.0)
RIVAL_DAYS = 28
RIVAL_QUANTILE = 0.1
WEEKENDS = Calendar("none")
"""Moved by whole years of 364 days, the holidays of the record fall on other days: they are not known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The market's and the operator's rules of a backtest, stated in its result.

    Attributes:
        tick_kw: Bids are whole multiples. [kW]
        min_kw: Smallest bid. [kW]
        penalty_gbp_per_mwh: For each MWh awarded and not delivered; no UK figure is published.
        wear_gbp_per_kwh: Battery wear of a kWh given. [GBP/kWh AC]
        export_gbp_per_kwh: What a kWh given earns beside the market; the three files do not say. [GBP/kWh]
        award_probability: Of a bid being awarded and called: the record is of calls.
        risk: How bold bids are, as ``[bidding] risk`` has it: by the ``record`` of past bids, or ``cvar``, by
            its standard limit and without the factor from past delivery.
    """

    tick_kw: float = 1.0
    min_kw: float = 1.0
    penalty_gbp_per_mwh: float = 600.0
    wear_gbp_per_kwh: float = 0.02
    export_gbp_per_kwh: float = 0.0
    award_probability: float = 1.0
    risk: Literal["record", "cvar"] = "record"


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What one zone's cars could do in an event's window, day by day drawn, or as it came to be.

    Attributes:
        base_kw: b0, expected base discharge, shape (slots,). [kW]
        charge_kw: c, expected charging, shape (slots,). [kW]
        reach: What the cars can do, h_w(S).
        labels: Of the scenarios.
        recharge: What a kWh given costs: recharge with losses, and wear.
        present: Whether a car is there through the window, shape (scenarios, cars).
        plugged_kw: Discharging power plugged in, shape (scenarios, horizon slots). [kW]
    """

    base_kw: FloatArray
    charge_kw: FloatArray
    reach: Reach
    labels: tuple[str, ...]
    recharge: Recharge
    present: FloatArray
    plugged_kw: FloatArray

    def flat_kw(self, nominated_kw: FloatArray) -> FloatArray:
        """Return the flat kW upon ``nominated_kw`` that each scenario could deliver, shape (scenarios,). [kW]

        The least over sets S of slots of (h(S) - nominated energy in S) / (hours of S): from all slots on,
        the set that is asked furthest beyond h lowers the level, until none is (discrete Newton).
        """
        members = np.ones((self.reach.scenarios, len(nominated_kw)), dtype=np.bool_)
        level_kw = np.full(self.reach.scenarios, np.inf)
        for _ in range(MOST_STEPS):
            room_kwh = np.diagonal(self.reach.energy_kwh(members)) - SLOT_HOURS * (members @ nominated_kw)
            level_kw = np.minimum(level_kw, room_kwh / (SLOT_HOURS * members.sum(axis=1)))
            tight, excess_kwh = self.reach.tightest(SLOT_HOURS * (nominated_kw + level_kw[:, None]))
            if (excess_kwh <= SETTLED_KWH).all():
                break
            members = np.where((excess_kwh > SETTLED_KWH)[:, None], tight, members)
        return level_kw


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """What one policy bids.

    Attributes:
        bid_kw: Flat; 0 for none. [kW]
        nominated_kw: The zone's net export as nominated, shape (slots,). [kW]
        why: What stopped it, in words; empty where it bids.
        level: What the model weighed; None where it weighed nothing.
    """

    bid_kw: float
    nominated_kw: FloatArray
    why: str = ""
    level: Level | None = None


def forecast_outlook(
    history: History,
    cars: Sequence[Car],
    event: Event,
    slots: Sequence[Interval],
    tariff: Tariff,
    known_at: datetime,
    intents: Mapping[str, StatedIntent] | None,
) -> Outlook | None:
    """Return the outlook as known at ``known_at``; None without like days.

    Args:
        history: Past sessions.
        cars: The fleet.
        event: What is needed, and when.
        slots: The horizon.
        tariff: Prices as known then.
        known_at: The gate.
        intents: What drivers have said; None where they say nothing.
    """
    drawn = scenarios(history, cars, event.horizon, known_at, RIVAL_DAYS, intents, WEEKENDS)
    if not drawn:
        return None
    rows = event.horizon.rows
    arrays = CarArrays.of(cars, slots[0].start).repeated(rows)
    stays = [scenario.both for scenario in drawn]
    labels = tuple(scenario.label for scenario in drawn)
    return _outlook(arrays, stays, labels, tariff, window_of(event, slots), rows)


def true_outlook(day: Day, course: Course, window: slice) -> Outlook:
    """Return the outlook of who knows who comes and goes: each stay of the day, its end and its energy.

    What is owed to drivers is what the play owes them, by when they are believed to leave: at that time the
    target, and a car that is gone before it what full power from then on would have lacked.
    """
    came = course.plugged or (NOBODY,)
    rows = np.array([plugged.car for plugged in came], dtype=np.int64)
    parts = [plugged.part for plugged in came]
    arrive = np.array([max(0, int(np.ceil(part.start_h / SLOT_HOURS))) for part in parts], dtype=np.int64)
    stored = np.array([plugged.energy_kwh for plugged in came], dtype=np.float64)
    due_h = np.array([day.due_h(one.car, one.part, max(0.0, one.part.start_h)) for one in came])
    end_h = np.array([part.end_h for part in parts])
    depart = (np.minimum(end_h, due_h) / SLOT_HOURS).astype(np.int64)
    cars = at_rows(day.arrays, rows)
    later_kwh = cars.eta_charge * cars.charge_kw * np.maximum(0.0, due_h - end_h)
    target_kwh = np.maximum(0.0, day.target_kwh[rows] - later_kwh)
    stay = Stay(arrive, np.maximum(arrive, depart), stored, target_kwh)
    return _outlook(cars, [stay], ("the day itself",), day.tariff, window)


def _outlook(
    arrays: CarArrays,
    stays: Sequence[Stay],
    labels: tuple[str, ...],
    tariff: Tariff,
    window: slice,
    days: int = 1,
) -> Outlook:
    """Return the outlook of cars that have a row for each of some days."""
    count = window.stop - window.start
    plans = _plans(arrays, stays, tariff)
    windows = [
        fleet_window(arrays, stay, plan, window.start, count, SLOT_HOURS)
        for stay, plan in zip(stays, plans, strict=True)
    ]
    base_kw, charge_kw = expected_nomination(plans, None, window.start, count)
    there = [np.logical_or.reduce(one.plugged.reshape(days, -1, count)) for one in windows]
    return Outlook(
        base_kw=base_kw,
        charge_kw=charge_kw,
        reach=reach(windows, SLOT_HOURS, up=True),
        labels=labels,
        recharge=recharge(arrays, windows, stays, tariff, window.stop),
        present=np.array([one.all(axis=1) for one in there]),
        plugged_kw=np.array([arrays.discharge_kw @ stay.plugged(0, tariff.slots) for stay in stays]),
    )


def _plans(arrays: CarArrays, stays: Sequence[Stay], tariff: Tariff) -> list[BasePlan]:
    """Return the base plan of each scenario: made at once, each scenario's homes being homes of their own."""
    count, homes = len(stays), len(arrays.export_room_kw)
    many = at_rows(arrays, np.tile(np.arange(arrays.count), count))
    many = replace(
        many,
        site=many.site + homes * np.repeat(np.arange(count), arrays.count),
        export_room_kw=np.concatenate([arrays.export_room_kw] * count),
        import_room_kw=np.concatenate([arrays.import_room_kw] * count),
    )
    names = [one.name for one in fields(Stay)]
    stay = Stay(*(np.concatenate([getattr(one, name) for one in stays]) for name in names))
    plan = base_plan(many, stay, tariff, SLOT_HOURS)
    parts = [np.split(getattr(plan, one.name), count) for one in fields(BasePlan)]
    return [BasePlan(*own) for own in zip(*parts, strict=True)]


def window_of(event: Event, slots: Sequence[Interval]) -> slice:
    """Return the half-hours of the horizon that the event's window covers."""
    inside = [n for n, slot in enumerate(slots) if slot.overlap(event.window) is not None]
    return slice(inside[0], inside[-1] + 1)


def model_offer(
    event: Event,
    outlook: Outlook,
    slots: tuple[Interval, ...],
    rules: Rules,
    caution: Caution | None = None,
) -> Offer:
    """Return the model's bid.

    Args:
        event: What is needed, at what prices: they are asked in full, but never less than the cost.
        outlook: What the cars could do.
        slots: The horizon.
        rules: The market's.
        caution: What the record of bids says; None where the outlook is the day itself.
    """
    window = window_of(event, slots)
    none = Offer(0.0, outlook.base_kw - outlook.charge_kw)
    if event.utilisation_gbp_per_mwh + event.availability_gbp_per_mw_h <= _cost_gbp_per_mwh(outlook, rules):
        return replace(none, why="what is paid does not cover recharge, losses and wear")
    problem = _problem(event, outlook, slots[window], rules)
    level = None
    if caution is not None and rules.risk == "cvar":
        problem = replace(problem, cvar=Cvar())
    elif caution is not None:
        level = best_level(problem, caution)
        problem = replace(problem, lines=(level.within(problem.lines[0]),))
    answer = propose(problem)
    if isinstance(answer, Infeasible):
        return replace(none, why=answer.reason)
    if answer.is_zero:
        return replace(none, why="no bid above the minimum is worth the risk of missing it", level=level)
    return Offer(float(answer.offered_kw.max()), answer.kept_kw - outlook.charge_kw, level=level)


def rival_offer(event: Event, outlook: Outlook, rules: Rules, rule: str) -> Offer:
    """Return what a rule of thumb bids: ``mean`` or ``p10`` of the past days' flat kW."""
    nominated_kw = outlook.base_kw - outlook.charge_kw
    if event.utilisation_gbp_per_mwh + event.availability_gbp_per_mw_h <= _cost_gbp_per_mwh(outlook, rules):
        return Offer(0.0, nominated_kw, "what is paid does not cover recharge, losses and wear")
    flat_kw = outlook.flat_kw(nominated_kw)
    wanted_kw = float(flat_kw.mean() if rule == "mean" else np.quantile(flat_kw, RIVAL_QUANTILE))
    bid_kw = np.floor(max(0.0, min(wanted_kw, event.need_kw)) / rules.tick_kw) * rules.tick_kw
    return Offer(float(bid_kw) if bid_kw >= rules.min_kw else 0.0, nominated_kw)


def _cost_gbp_per_mwh(outlook: Outlook, rules: Rules) -> float:
    return (outlook.recharge.cheapest_gbp_per_kwh - rules.export_gbp_per_kwh) * KWH_PER_MWH


def _problem(
    event: Event,
    outlook: Outlook,
    slots: tuple[Interval, ...],
    rules: Rules,
) -> Problem:
    count, scenarios_drawn = len(slots), len(outlook.labels)
    dearest, cheapest = outlook.recharge.dearest_gbp_per_kwh, outlook.recharge.cheapest_gbp_per_kwh
    line = Line(
        name=event.source,
        bid_slots=np.ones(count, dtype=np.bool_),
        needed_kw=np.full(count, event.need_kw),
        bid_shape=BidShape.FLAT,
        tick_kw=rules.tick_kw,
        min_kw=rules.min_kw,
        hold_back=True,
        utilisation_gbp_per_mwh=event.utilisation_gbp_per_mwh,
        availability_gbp_per_mw_h=event.availability_gbp_per_mw_h,
        award_probability=rules.award_probability,
        penalty_gbp_per_mwh=rules.penalty_gbp_per_mwh,
    )
    return Problem(
        slots=slots,
        direction=Direction.UP,
        lines=(line,),
        base_kw=outlook.base_kw,
        charge_kw=outlook.charge_kw,
        committed_kw=np.zeros(count),
        reach=outlook.reach,
        scenario_labels=outlook.labels,
        probability=np.full(scenarios_drawn, 1.0 / scenarios_drawn),
        spread_gbp_per_mwh=np.full(count, (rules.export_gbp_per_kwh - dearest) * KWH_PER_MWH),
        base_gbp_per_mwh=np.full(count, (rules.export_gbp_per_kwh - cheapest) * KWH_PER_MWH),
        cars=outlook.present.shape[1],
        inputs_digest="",
        tiers=outlook.recharge.tiers,
        cvar=None,
        solver=SolverChoice("highs"),
    )
