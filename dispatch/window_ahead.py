"""What a zone's cars will probably be told in its windows: in the running one, and in those to come.

Each window's target is split as the control loop will split it (``zone_split``), over the cars that are there
when it begins, with what they will store then by their base plans. It is a forecast, made for those who ask
what is planned: it knows of no car that comes or leaves unannounced, of no meter (homes go by the cautious
rule), and of nothing that is ordered later. What is told is split anew each cycle.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aggregator.energy import Tariff
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.fleet_view import CarView
from dispatch.plan_run import HORIZON, planned
from dispatch.window_run import less
from dispatch.zone_split import split_zone

EnergiesKwh = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Share:
    """What cars will probably do in one window.

    Attributes:
        target: The zone's, slot by slot.
        export_kw: Per car and slot; nothing of a car that takes no part. [kW, export positive]
        after_kwh: Stored in each of these cars at its end. [kWh]
    """

    target: ZoneTarget
    export_kw: Mapping[str, Sequence[float]]
    after_kwh: EnergiesKwh

    @property
    def window(self) -> Interval:
        """From its first slot to its last."""
        return Interval(self.target.slots[0].start, self.target.slots[-1].end)


def shares_ahead(
    targets: Iterable[ZoneTarget],
    views: Sequence[CarView],
    now: datetime,
    prices: Callable[[Sequence[Interval]], Tariff],
    guard_soc: float,
) -> list[Share]:
    """Return what each car of a zone will probably do in each window.

    Args:
        targets: The zone's, in order; the first may be running.
        views: Its cars that are plugged in and heard of.
        now: Domain instant.
        prices: The zone's tariff for given slots.
        guard_soc: Kept above floors and targets, as a fraction.
    """
    at: datetime = now
    energies: EnergiesKwh = {view.car.car_id: view.energy_kwh(now) for view in views}
    leaves_at = {view.car.car_id: view.departs_at(now) for view in views}
    shares = []
    for target in targets:
        start = target.slots[0].start
        here = [view for view in views if leaves_at[view.car.car_id] > start or start == now]
        if start > at:
            energies = _moved_by_plan(here, Interval(at, start), energies, prices, guard_soc)
        share = _share(target, [_as_of(view, start, energies, now, guard_soc) for view in here], guard_soc)
        shares.append(share)
        energies, at = {**energies, **share.after_kwh}, share.window.end
    return shares


def _share(target: ZoneTarget, views: Sequence[CarView], guard_soc: float) -> Share:
    start = target.slots[0].start
    boosted = [view for view in views if view.is_boosted()]
    drawn_kw = sum(view.taken_kw(start) for view in boosted if not view.is_full(start))
    free = [view for view in views if not view.is_boosted()]
    export_kw = split_zone(less(target, drawn_kw), free, start, guard_soc).slots_kw
    after = {
        view.car.car_id: view.moved_kwh(
            view.energy_kwh(start),
            ((kw, slot.hours) for kw, slot in zip(export_kw[view.car.car_id], target.slots, strict=True)),
        )
        for view in free
    }
    return Share(target, export_kw, after)


def _as_of(view: CarView, at: datetime, energies: EnergiesKwh, now: datetime, guard_soc: float) -> CarView:
    """Return a car as it will be seen when a window begins; as it is, where that runs."""
    if at == now or view.report is None:
        return view
    soc = energies[view.car.car_id] / view.car.capacity_kwh
    lowest = view.car.floor_soc + max(guard_soc, view.doubt_soc)
    report = replace(view.report, measured_at=at, soc=soc)
    return replace(view, report=report, standing=None, resting=soc < lowest)


def _moved_by_plan(
    views: Sequence[CarView],
    until: Interval,
    energies: EnergiesKwh,
    prices: Callable[[Sequence[Interval]], Tariff],
    guard_soc: float,
) -> EnergiesKwh:
    """Return what cars store once each has followed its own base plan for a while. [kWh]"""
    start, count = until.start, HORIZON // HALF_HOUR
    slots = [Interval(start + n * HALF_HOUR, start + (n + 1) * HALF_HOUR) for n in range(count)]
    if not views:
        return energies
    before = [energies[view.car.car_id] for view in views]
    plan = planned(views, slots, prices(slots), guard_soc, before)
    whole, part = divmod(until.hours, HALF_HOUR / HOUR)
    n, share = min(int(whole), count - 1), part / (HALF_HOUR / HOUR)
    after = plan.energy_kwh[:, n] + share * (plan.energy_kwh[:, n + 1] - plan.energy_kwh[:, n])
    return {**energies, **{view.car.car_id: float(kwh) for view, kwh in zip(views, after, strict=True)}}
