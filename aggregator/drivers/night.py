"""What is planned for a car from now until its driver comes, half-hour by half-hour, and why in words.

The plan is made as the control loop makes it, from the same view of the car and of those that share its home,
at the same prices. What the operator of the network orders meanwhile is shared out by the minute: where such
a window is known, a half-hour says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.energy import Tariff
from aggregator.model.fleet import ExportSource
from aggregator.model.metering import Purpose
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour
from dispatch.fleet_view import CarView
from dispatch.plan_run import planned

LONGEST = timedelta(hours=30)
LEAST_KW = 0.005
LEAST_KWH = 0.01

TOLD = {
    Purpose.INSTRUCTION: "the network operator's order to your zone",
    Purpose.BOOST: "boost: full power, out of every order",
    Purpose.MUST_CHARGE: "must charge now, for your target or your floor",
    Purpose.RELEASE: "let go: nothing is asked of it at the moment",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One half-hour, or what is left of the running one.

    Attributes:
        slot: When.
        export_kw: Average, positive from car to grid. [kW]
        energy_kwh: Stored in the battery at its end. [kWh]
        why: In words.
    """

    slot: Interval
    export_kw: float
    energy_kwh: float
    why: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What a night's plan is made from.

    Attributes:
        view: The car; plugged in.
        beside: The other plugged cars of its home.
        prices: The zone's tariff for given slots.
        windows: When the zone may be ordered to give or take energy.
        guard_soc: Planned for above the target, as a fraction.
        stopped: Whether somebody stopped the zone's cars.
    """

    view: CarView
    beside: Sequence[CarView]
    prices: Callable[[Sequence[Interval]], Tariff]
    windows: Sequence[Interval]
    guard_soc: float
    stopped: bool


def night(scene: Scene, now: datetime) -> list[Row]:
    """Return the rows from now until the car is next needed, at most 30 hours."""
    running = Interval(now, floor_half_hour(now) + HALF_HOUR)
    until = min(scene.view.departs_at(now), now + LONGEST)
    first = _running(scene, running, now)
    count = max(0, -((running.end - until) // HALF_HOUR))
    slots = [Interval(running.end + n * HALF_HOUR, running.end + (n + 1) * HALF_HOUR) for n in range(count)]
    if not slots:
        return [first]
    if scene.view.is_boosted():
        return [first, *_boosted(scene.view, slots, first.energy_kwh)]
    return [first, *_planned(scene, slots, first.energy_kwh, now)]


def _running(scene: Scene, slot: Interval, now: datetime) -> Row:
    view, kw = scene.view, scene.view.moving_kw(now)
    energy_kwh = _moved(view, view.energy_kwh(now), kw, slot.hours)
    standing = view.standing if view.standing is not None and view.standing.expires_at > now else None
    if scene.stopped:
        return Row(slot, kw, energy_kwh, "your zone is stopped by its operator: no car gives energy")
    if standing is None:
        return Row(slot, kw, energy_kwh, "nothing is asked of it at the moment")
    if standing.purpose in TOLD:
        return Row(slot, kw, energy_kwh, TOLD[standing.purpose])
    tariff = scene.prices([slot])
    return Row(slot, kw, energy_kwh, _why(scene, slot, kw, view.energy_kwh(now), tariff, 0, short=False))


def _boosted(view: CarView, slots: Sequence[Interval], energy_kwh: float) -> list[Row]:
    rows = []
    for slot in slots:
        missing_kwh = max(0.0, view.car.capacity_kwh - energy_kwh) / view.car.charger.eta_charge
        kw = min(view.full_kw, missing_kwh / slot.hours)
        energy_kwh = _moved(view, energy_kwh, -kw, slot.hours)
        why = TOLD[Purpose.BOOST] if kw > LEAST_KW else "full; boosted: out of every order"
        rows.append(Row(slot, -kw if kw else 0.0, energy_kwh, why))
    return rows


def _planned(scene: Scene, slots: Sequence[Interval], energy_kwh: float, now: datetime) -> list[Row]:
    horizon = [*slots]
    while len(horizon) < LONGEST // HALF_HOUR:  # prices after the departure decide nothing; neighbours stay
        horizon.append(Interval(horizon[-1].end, horizon[-1].end + HALF_HOUR))
    tariff = scene.prices(horizon)
    beside = [view for view in scene.beside if not view.is_boosted()]
    hours = (slots[0].start - now) / HOUR
    energies = [
        energy_kwh,
        *(_moved(view, view.energy_kwh(now), view.moving_kw(now), hours) for view in beside),
    ]
    plan = planned([scene.view, *beside], horizon, tariff, scene.guard_soc, energies)
    short = float(plan.short_of_target_kwh[0]) > LEAST_KWH and scene.view.short_kwh(now) > LEAST_KWH
    rows = []
    for n, slot in enumerate(slots):
        kw = float(plan.discharge_kw[0, n] - plan.charge_kw[0, n])
        before_kwh, after_kwh = (float(kwh) for kwh in plan.energy_kwh[0, n : n + 2])
        why = _why(scene, slot, kw, before_kwh, tariff, n, short=short)
        rows.append(Row(slot, kw, after_kwh, why))
    return rows


def _why(
    scene: Scene,
    slot: Interval,
    kw: float,
    energy_kwh: float,
    tariff: Tariff,
    n: int,
    *,
    short: bool,
) -> str:
    """Return why a half-hour is planned as it is. ``n`` is its place in the tariff."""
    words = _charging(scene.view, kw, energy_kwh, tariff, n, short=short) if kw < -LEAST_KW else ""
    words = words or (
        _giving(scene.view, kw, slot, tariff, n)
        if kw > LEAST_KW
        else _idle(scene.view, slot, energy_kwh, tariff, n)
    )
    if any(slot.overlap(window) for window in scene.windows):
        words += "; the network operator may ask your zone for energy then"
    return words


def _charging(view: CarView, kw: float, energy_kwh: float, tariff: Tariff, n: int, *, short: bool) -> str:
    price = f"GBP {tariff.import_gbp_per_kwh[n]:.4f} a kWh"
    if energy_kwh < view.car.floor_soc * view.car.capacity_kwh - LEAST_KWH:
        words = "charges up to your floor first"
    elif short:
        words = "must charge: at full power, and yet your target will be missed"
    elif tariff.red[n]:
        words = f"must charge: your target wants it even in peak hours, {price}"
    else:
        words = f"charges in the cheapest hours before you leave, {price}"
    limited = view.full_kw < view.car.charger.charge_kw and -kw >= view.full_kw - LEAST_KW
    return f"{words}; site limit: your home's fuse carries {view.full_kw:g} kW" if limited else words


def _giving(view: CarView, kw: float, slot: Interval, tariff: Tariff, n: int) -> str:
    earned = f"a kWh given earns GBP {tariff.export_gbp_per_kwh[n]:.4f}"
    words = f"gives energy in the peak, {earned}" if tariff.red[n] else f"gives energy, {earned}"
    room_kw = min(view.car.site.export_room_kw(at) for at in (slot.start, slot.end))
    limited = room_kw < view.car.charger.discharge_kw and kw >= room_kw - LEAST_KW
    return f"{words}; site limit: your home may export {room_kw:g} kW" if limited else words


def _idle(view: CarView, slot: Interval, energy_kwh: float, tariff: Tariff, n: int) -> str:
    if tariff.red[n] or tariff.export_gbp_per_kwh[n] > tariff.import_gbp_per_kwh.min():
        if view.wish is not None and not view.wish.v2g:
            return "V2G is off: gives nothing"
        if view.car.site.export_source is ExportSource.NONE:
            return "not approved: your home has no export approval, so the car gives nothing"
        if min(view.car.site.export_room_kw(at) for at in (slot.start, slot.end)) <= 0:
            return "site limit: your home may export nothing then"
        if energy_kwh <= (view.car.floor_soc + LEAST_KWH) * view.car.capacity_kwh:
            return "at your floor: gives nothing more"
    if energy_kwh >= view.target_kwh() - LEAST_KWH:
        return "as full as you need it"
    return "waits for cheaper hours"


def _moved(view: CarView, energy_kwh: float, kw: float, hours: float) -> float:
    """Return what is stored after so many hours at a power. [kWh]"""
    charger = view.car.charger
    inside_kw = kw / charger.eta_discharge if kw > 0 else kw * charger.eta_charge
    return min(view.car.capacity_kwh, max(0.0, energy_kwh - inside_kw * hours))
