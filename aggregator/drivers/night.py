"""What is planned for a car from now until its driver comes, half-hour by half-hour, and why in words.

Outside windows the plan is made as the control loop makes it, from the same view of the car and of those
that share its home, at the same prices. In a window (an order in force, running or to come, or a peak for
which the zone has nominated) it is the car's probable share of what the zone must do, split as the loop
splits it now (``dispatch/window_ahead.py``); the loop splits anew each cycle, so that what comes may differ.
What is left of the running half-hour is drawn as the car is told now. An award that was not called yet may
be: its half-hours are planned as if it were not, and say so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.energy import Tariff
from aggregator.model.figures import figure
from aggregator.model.market import Direction
from aggregator.model.metering import Purpose
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour, half_hours
from dispatch.fleet_view import CarView
from dispatch.plan_run import planned
from dispatch.window_ahead import Share

LONGEST = timedelta(hours=30)
LEAST_KW = 0.005
LEAST_KWH = 0.01

TOLD = {
    Purpose.INSTRUCTION: "the network operator's order to your zone",
    Purpose.BOOST: "boost: full power, out of every order",
    Purpose.MUST_CHARGE: "must charge now, for your target or your floor",
    Purpose.RELEASE: "let go: nothing is asked of it at the moment",
}
TOLD_TO_REST = "not told to charge yet, although your target needs it"
FULL, FULL_AND_BOOSTED = "full", "full; boost is on: out of every order"
ORDERED, NOMINATED = "the network operator's order to your zone", "what your zone has announced to give"


@dataclass(frozen=True, slots=True)
class Row:
    """One half-hour, or a part of one: what is left of the running one, or what a window cuts off.

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
        shares: What the zone's cars will probably do in each of its windows, in order.
        guard_soc: Planned for above the target, as a fraction.
        stopped: Whether somebody stopped the zone's cars.
    """

    view: CarView
    beside: Sequence[CarView]
    prices: Callable[[Sequence[Interval]], Tariff]
    windows: Sequence[Interval]
    shares: Sequence[Share]
    guard_soc: float
    stopped: bool


def night(scene: Scene, now: datetime) -> list[Row]:
    """Return the rows from now until the car is next needed, at most 30 hours."""
    running = Interval(now, floor_half_hour(now) + HALF_HOUR)
    until = min(scene.view.departs_at(now), now + LONGEST)
    rows = [_running(scene, running, now)]
    if scene.view.is_boosted() and until > running.end:
        return [*rows, *_boosted(scene.view, Interval(running.end, until), rows[0].energy_kwh, now)]
    for span, share in _parts(scene, running.end, until):
        if share is not None:
            rows += _shared(scene, share, span, rows[-1].energy_kwh)
        else:
            rows += _planned(scene, span, rows[-1].energy_kwh, now)
    return rows


def _parts(scene: Scene, start: datetime, until: datetime) -> Iterator[tuple[Interval, Share | None]]:
    """Yield what is left of a night in turn: windows with the car's share, and what lies between."""
    at = start
    for share in scene.shares:
        window = share.window
        if window.end <= at or max(at, window.start) >= until or scene.view.car.car_id not in share.export_kw:
            continue
        if window.start > at:
            yield Interval(at, window.start), None
        at = min(window.end, until)
        yield Interval(max(start, window.start), at), share
    if at < until:
        yield Interval(at, until), None


def _running(scene: Scene, slot: Interval, now: datetime) -> Row:
    view, kw = scene.view, max(scene.view.moving_kw(now), -scene.view.taken_kw(now))
    standing = view.standing if view.standing is not None and view.standing.expires_at > now else None
    if view.is_full(now) and (view.is_boosted() or kw < 0):
        why = FULL_AND_BOOSTED if view.is_boosted() else FULL
        return Row(slot, 0.0, view.energy_kwh(now), why)
    is_told = standing is not None and standing.purpose is Purpose.BOOST
    if view.is_boosted() and not is_told and not scene.stopped:  # the loop tells it so in a moment
        kw = -view.taken_kw(now)
        energy_kwh = view.moved_kwh(view.energy_kwh(now), [(kw, slot.hours)])
        return Row(slot, kw, energy_kwh, TOLD[Purpose.BOOST])
    energy_kwh = view.moved_kwh(view.energy_kwh(now), [(kw, slot.hours)])
    if scene.stopped:
        return Row(slot, kw, energy_kwh, "your zone is stopped by its operator: no car gives energy")
    if standing is None:
        return Row(slot, kw, energy_kwh, "nothing is asked of it at the moment")
    if standing.purpose in TOLD:
        rests = standing.purpose is Purpose.INSTRUCTION and abs(kw) < LEAST_KW
        barred = _barred(view, slot, view.energy_kwh(now)) if rests else ""
        return Row(slot, kw, energy_kwh, barred or TOLD[standing.purpose])
    if abs(kw) < LEAST_KW and view.short_kwh(now) > LEAST_KWH:
        return Row(slot, kw, energy_kwh, TOLD_TO_REST)
    tariff = scene.prices([slot, *_slots_from(slot.end)])
    return Row(slot, kw, energy_kwh, _why(scene, slot, kw, view.energy_kwh(now), tariff, 0, short=False))


def _boosted(view: CarView, span: Interval, energy_kwh: float, now: datetime) -> Iterator[Row]:
    is_full = view.is_full(now)
    for slot in half_hours(span):
        missing_kwh = max(0.0, view.car.capacity_kwh - energy_kwh) / view.car.charger.eta_charge
        kw = 0.0 if is_full else min(view.full_kw, missing_kwh / slot.hours)
        energy_kwh = view.moved_kwh(energy_kwh, [(-kw, slot.hours)])
        why = TOLD[Purpose.BOOST] if kw > LEAST_KW else FULL_AND_BOOSTED
        yield Row(slot, -kw if kw else 0.0, energy_kwh, why)


def _planned(scene: Scene, span: Interval, energy_kwh: float, now: datetime) -> list[Row]:
    """Return the base plan of a span; prices after the departure decide nothing, neighbours stay longer."""
    slots = _slots_from(span.start)
    tariff = scene.prices(slots)
    beside = [view for view in scene.beside if not view.is_boosted()]
    energies = [energy_kwh, *(_beside_kwh(scene, view, span.start, now) for view in beside)]
    plan = planned([scene.view, *beside], slots, tariff, scene.guard_soc, energies)
    short = float(plan.short_of_target_kwh[0]) > LEAST_KWH and scene.view.short_kwh(now) > LEAST_KWH
    rows: list[Row] = []
    for n, slot in enumerate(slots):
        if slot.start >= span.end:
            break
        part = Interval(slot.start, min(slot.end, span.end))
        kw = float(plan.discharge_kw[0, n] - plan.charge_kw[0, n])
        before_kwh, after_kwh = (float(kwh) for kwh in plan.energy_kwh[0, n : n + 2])
        if abs(kw) < LEAST_KW and part.end == scene.view.departs_at(now):
            rows.append(_last(scene, part, before_kwh, tariff, n))
            break
        after_kwh = before_kwh + (after_kwh - before_kwh) * (part.hours / slot.hours)
        rows.append(Row(part, kw, after_kwh, _why(scene, part, kw, before_kwh, tariff, n, short=short)))
    return rows


def _slots_from(at: datetime) -> list[Interval]:
    """Return the half-hours that are planned from an instant on."""
    return [Interval(at + n * HALF_HOUR, at + (n + 1) * HALF_HOUR) for n in range(LONGEST // HALF_HOUR)]


def _last(scene: Scene, slot: Interval, energy_kwh: float, tariff: Tariff, n: int) -> Row:
    """Return the time before departure of which the plan uses nothing: what is missing is charged at once."""
    view = scene.view
    missing_kw = (view.target_kwh() - energy_kwh) / view.car.charger.eta_charge / slot.hours
    kw = min(view.full_kw, missing_kw)
    if kw <= LEAST_KW:
        return Row(slot, 0.0, energy_kwh, _why(scene, slot, 0.0, energy_kwh, tariff, n, short=False))
    return Row(slot, -kw, view.moved_kwh(energy_kwh, [(-kw, slot.hours)]), TOLD[Purpose.MUST_CHARGE])


def _beside_kwh(scene: Scene, view: CarView, at: datetime, now: datetime) -> float:
    """Return what another car of the home will store: as its last window leaves it, else as told now."""
    over = [share for share in scene.shares if share.window.end <= at]
    if over and view.car.car_id in over[-1].after_kwh:
        return over[-1].after_kwh[view.car.car_id]
    return view.moved_kwh(view.energy_kwh(now), [(view.moving_kw(now), (at - now) / HOUR)])


def _shared(scene: Scene, share: Share, span: Interval, energy_kwh: float) -> Iterator[Row]:
    """Yield a window's half-hours, each the mean of what the car will probably be told in it."""
    levels_kw = share.export_kw[scene.view.car.car_id]
    for slot in half_hours(span):
        part = slot.overlap(span)
        if part is None:
            continue
        moves = [
            (kw, within.hours, name)
            for kw, one, name in zip(levels_kw, share.target.slots, share.target.opportunity_ids, strict=True)
            if (within := one.overlap(part)) is not None
        ]
        kw = sum(kw * hours for kw, hours, _ in moves) / part.hours
        ordered = any(name is not None for *_, name in moves)
        why = _why_shared(scene, share, part, kw, energy_kwh, ordered=ordered)
        energy_kwh = scene.view.moved_kwh(energy_kwh, [(kw, hours) for kw, hours, _ in moves])
        yield Row(part, kw, energy_kwh, why)


def _why_shared(
    scene: Scene, share: Share, slot: Interval, kw: float, energy_kwh: float, *, ordered: bool
) -> str:
    view, whole = scene.view, ORDERED if ordered else NOMINATED
    down = share.target.direction is Direction.DOWN
    if kw > LEAST_KW or (down and kw < -LEAST_KW):
        return f"its probable share of {whole}"
    if kw < -LEAST_KW:
        return "must charge, for your target or your floor"
    return _barred(view, slot, energy_kwh) or f"probably not needed for {whole}: other cars do it"


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
        _giving(scene, kw, slot, energy_kwh, tariff, n)
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
    return f"{words}; site limit: your home's fuse carries {figure(view.full_kw, 2)} kW" if limited else words


def _giving(scene: Scene, kw: float, slot: Interval, energy_kwh: float, tariff: Tariff, n: int) -> str:
    """Return what energy is given for: the home's own use, of which each car has its part, or the price."""
    view, peak = scene.view, " in the peak" if tariff.red[n] else ""
    earned = f"a kWh given earns GBP {tariff.export_gbp_per_kwh[n]:.4f}"
    cars = 1 + sum(not one.is_boosted() for one in scene.beside)
    house_kw = view.car.site.least_house_load_kw(slot) / cars
    if kw <= house_kw + LEAST_KW:
        return (
            f"covers your house{peak}, so that less is bought, GBP {tariff.import_gbp_per_kwh[n]:.4f} a kWh"
        )
    does = f"covers your house and gives the rest{peak}" if house_kw > LEAST_KW else f"gives energy{peak}"
    words = f"{does}{_what_for(view, kw, slot, energy_kwh, tariff, n)}, {earned}"
    room_kw = min(view.car.site.export_room_kw(at) for at in (slot.start, slot.end))
    limited = room_kw < view.car.charger.discharge_kw and kw >= room_kw - LEAST_KW
    return f"{words}; site limit: your home may export {figure(room_kw, 2)} kW" if limited else words


def _what_for(view: CarView, kw: float, slot: Interval, energy_kwh: float, tariff: Tariff, n: int) -> str:
    """Return why energy is given for its price: it is left over, or charged again for less; else nothing."""
    if view.moved_kwh(energy_kwh, [(kw, slot.hours)]) >= view.target_kwh() - LEAST_KWH:
        return " beyond what you need"
    until = n + 1 + max(0, (view.departs_at(slot.start) - slot.end) // HALF_HOUR)
    later = tariff.import_gbp_per_kwh[n + 1 : until][~tariff.red[n + 1 : until]]
    if not later.size or later.min() >= tariff.export_gbp_per_kwh[n]:
        return ""
    return f": charging it again before you leave costs less, from {figure(100 * later.min(), 1)}p a kWh"


def _idle(view: CarView, slot: Interval, energy_kwh: float, tariff: Tariff, n: int) -> str:
    if tariff.red[n] or tariff.export_gbp_per_kwh[n] > tariff.import_gbp_per_kwh.min():
        barred = _barred(view, slot, energy_kwh)
        if barred:
            return barred
    if energy_kwh >= view.target_kwh() - LEAST_KWH:
        return "as full as you need it"
    return "waits for cheaper hours"


def _barred(view: CarView, slot: Interval, energy_kwh: float) -> str:
    """Return why a car may give nothing; empty where it may."""
    if view.wish is not None and not view.wish.v2g:
        return "V2G is off: gives nothing"
    if not view.car.site.may_discharge(slot.start):
        return f"not approved: {view.car.site.bar_to_discharge(slot.start)}, so the car gives nothing"
    if min(view.car.site.export_room_kw(at) for at in (slot.start, slot.end)) <= 0:
        return "site limit: your home may export nothing then"
    if not view.tells_charge:
        return "your charger does not tell how full the car is: it gives nothing"
    if energy_kwh <= (view.car.floor_soc + LEAST_KWH) * view.car.capacity_kwh:
        return "at your floor: gives nothing more"
    return ""
