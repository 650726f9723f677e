"""The promises to drivers but departures: floor, boost, expiry, interlock, stale cars."""

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.audit.departures import SURELY_TAKEN
from aggregator.audit.drivers import boosts, lowest_floor_kwh, without_v2g
from aggregator.audit.evidence import Evidence, Finding
from aggregator.model.fleet import Fleet, Site
from aggregator.model.metering import Outcome, Reading, SetPoint
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import Interval, utc_text

LONGEST_DISCHARGE = timedelta(seconds=120)
MINUTE = timedelta(minutes=1)
W_PER_KW = 1000.0
TOLERANCE_W = 1.0
TOLERANCE_KWH = 1e-6
ALMOST = 0.99


def p1_floor(evidence: Evidence) -> Finding:
    """No car is discharged below its floor: on true energy where simulated, else on what it reported.

    A floor is a part of the capacity that a battery really has, where that is known. What a car gave while it
    reported no state of charge nobody can judge but by true energy.
    """
    checked, breaches, unchecked = 0, [], ""
    for car_id, rows in evidence.truth.items():
        for before, true in itertools.pairwise(rows):
            gave_w = max(
                before.export_w if before.plugged else 0, true.export_w
            )  # either bounds the time between
            car = evidence.fleets.car(car_id, before.at)  # under whose floor it began to give
            if gave_w > 0 and car is not None:
                checked += 1
                really = replace(car, capacity_kwh=evidence.true_capacity_kwh(car))
                floor_kwh = lowest_floor_kwh(evidence, really, before.at, true.at)
                if true.energy_kwh < floor_kwh - TOLERANCE_KWH:
                    breaches.append(
                        f"{car.car_id} gave {gave_w} W until {utc_text(true.at)} and had"
                        f" {true.energy_kwh:.3f} kWh left, floor {floor_kwh:.3f} kWh"
                    )
    what = "true energy while discharging"
    if not checked:
        what = "reported state of charge while discharging"
        checked, breaches = _reported_floor(evidence)
        silent = sum(
            state.export_w > 0 and state.soc is None
            for states in evidence.states.values()
            for state in states
        )
        unchecked = f"{silent} reports of cars that gave energy and told no state of charge" if silent else ""
    return Finding("P1 floor", what, checked, tuple(breaches), unchecked)


def _reported_floor(evidence: Evidence) -> tuple[int, list[str]]:
    checked, breaches = 0, []
    resolution = evidence.settings.dispatch.soc_resolution
    for car_id, states in evidence.states.items():
        instants = [state.measured_at for state in states]
        for state in states:
            at = state.soc_at or state.measured_at
            then = states[max(0, bisect_right(instants, at) - 1)]
            car = evidence.fleets.car(car_id, at)
            if then.export_w > 0 and state.soc is not None and car is not None:
                checked += 1
                floor_kwh = lowest_floor_kwh(evidence, car, at, at)
                if (state.soc + resolution) * car.capacity_kwh < floor_kwh:
                    breaches.append(
                        f"{car.car_id} gave {then.export_w} W at {utc_text(at)} at {state.soc:.3f} charged"
                    )
    return checked, breaches


def p3_boost(evidence: Evidence) -> Finding:
    """Within a cycle of the driver's word a boosted car charges at full power, and is never discharged.

    Where the charger's answer to that came too late, or was lost, its meter tells. Nor is a car discharged
    whose driver has V2G off.
    """
    cycle = timedelta(seconds=evidence.settings.dispatch.cycle_s)
    by_car: dict[str, list[SetPoint]] = defaultdict(list)
    for one in evidence.accepted:
        by_car[one.point.car_id].append(one.point)
    checked, breaches = 0, []
    for car_id, states in evidence.states.items():
        known = list(boosts(evidence, car_id, states))
        for n, (before, now) in enumerate(itertools.pairwise(known), start=2):
            fleet = evidence.fleets.at(now.at)
            if not now.on or before.on or not now.judged or car_id not in fleet.by_id:
                continue
            checked += 1
            full_w = _full_w(evidence, car_id, now.at)
            off_at = next((one.at for one in known[n:] if not one.on), None)
            during = [
                point
                for point in by_car[car_id]
                if point.issued_at > now.at - cycle and (off_at is None or point.issued_at < off_at)
            ]
            standing = [point for point in by_car[car_id] if point.issued_at <= now.at < point.expires_at][
                -1:
            ]
            obeyed = any(
                point.issued_at <= now.at + cycle and -point.export_w >= full_w for point in standing + during
            )
            if not obeyed and not _metered_full(evidence, car_id, now.at):
                breaches.append(f"{car_id} was boosted at {utc_text(now.at)}, no full power within a cycle")
            noticed_at = now.at + cycle if now.at_door else now.at
            breaches += [f"{told} while boosted" for told in _gave(during, noticed_at, None)]
    for car_id, points in by_car.items():
        for off_at, on_at in without_v2g(evidence, car_id):
            checked += 1
            breaches += [f"{told} with V2G off" for told in _gave(points, off_at + cycle, on_at)]
    return Finding(
        "P3 boost", "boosts, at the charger, the driver's page or the drivers' door", checked, tuple(breaches)
    )


def _metered_full(evidence: Evidence, car_id: str, at: datetime) -> bool:
    """Whether a car drew full power by its registers though nobody heard that it was told to, soon after."""
    dispatch, fleet = evidence.settings.dispatch, evidence.fleets.at(at)
    cycle, full_w = timedelta(seconds=dispatch.cycle_s), _full_w(evidence, car_id, at)
    unheard = any(
        one.outcome is Outcome.UNREACHABLE and -one.point.export_w >= full_w
        for one in evidence.points
        if one.point.car_id == car_id and at - cycle < one.point.issued_at <= at + cycle
    )
    if not unheard:
        return False
    within = Interval(at, at + cycle + 3 * timedelta(seconds=dispatch.reporting_interval_s))
    shown = evidence.store.readings.between([fleet.by_id[car_id].charger.charger_id], within)
    return any(
        after.import_wh - before.import_wh
        >= SURELY_TAKEN * full_w * Interval(before.measured_at, after.measured_at).hours
        for before, after in itertools.pairwise(shown)
    )


def _gave(points: Iterable[SetPoint], after: datetime, before: datetime | None) -> Iterator[str]:
    """Yield who was told to give energy after an instant and, where there is one, before another."""
    for point in points:
        if point.export_w > 0 and point.issued_at > after and (before is None or point.issued_at < before):
            yield f"{point.car_id} was told to give {point.export_w} W at {utc_text(point.issued_at)}"


def _full_w(evidence: Evidence, car_id: str, at: datetime) -> float:
    """Return nearly all of what a car may draw: its charger's power, or its part of the fuse. [W]"""
    fleet = evidence.fleets.at(at)
    car = fleet.by_id[car_id]
    house_kw = _house_kw(evidence, fleet, car.site, at) if car.site.boundary_meter else 0.0
    return ALMOST * W_PER_KW * fleet.sure_kw(car, house_kw)


def _house_kw(evidence: Evidence, fleet: Fleet, site: Site, at: datetime) -> float:
    """Return the most that a house drew beside its cars about an instant, by all their registers. [kW]"""
    dispatch = evidence.settings.dispatch
    heard = timedelta(seconds=dispatch.reporting_interval_s)
    about = Interval(at - 3 * heard, at + timedelta(seconds=dispatch.cycle_s) + heard)
    chargers = [car.charger.charger_id for car in fleet.cars if car.site.site_id == site.site_id]
    shown = evidence.store.readings.between(chargers, about)
    most_kw = 0.0
    for before, after in itertools.pairwise(evidence.store.boundary_readings.between([site.site_id], about)):
        span = Interval(before.measured_at, after.measured_at)
        cars_wh = sum(_drawn_wh([one for one in shown if one.charger_id == name], span) for name in chargers)
        most_kw = max(most_kw, (_drawn_wh((before, after), span) - cars_wh) / W_PER_KW / span.hours)
    return most_kw


def _drawn_wh(readings: Sequence[Reading], span: Interval) -> int:
    """Return what a meter's registers say was drawn within a span, less what was given. [Wh]"""
    within = [one for one in readings if span.start <= one.measured_at <= span.end]
    if not within:
        return 0
    first, last = within[0], within[-1]
    return (last.import_wh - first.import_wh) - (last.export_wh - first.export_wh)


def p5_expiry(evidence: Evidence) -> Finding:
    """Every set-point ends by itself; one that discharges within 120 s, and not after its order's end.

    Cars go on for an order of their zone that follows on it at once.
    """
    ends = _orders_end(evidence.opportunities)
    breaches = []
    for one in evidence.accepted:
        point = one.point
        held = point.expires_at - point.issued_at
        end = ends.get(point.opportunity_id or "")
        if held <= timedelta(0) or (point.export_w > 0 and held > LONGEST_DISCHARGE):
            breaches.append(f"{point.car_id} at {utc_text(point.issued_at)}: {point.export_w} W for {held}")
        elif end is not None and point.export_w > 0 and point.expires_at > end:
            breaches.append(
                f"{point.car_id}: set-point runs to {utc_text(point.expires_at)}, order to {utc_text(end)}"
            )
    return Finding("P5 expiry", "accepted set-points", len(evidence.accepted), tuple(breaches))


def _orders_end(opportunities: Sequence[Opportunity]) -> dict[str, datetime]:
    """Return when what each was ordered ends, with what follows on it in its zone, by opportunity."""
    given = sorted(
        (one.zone, change.instruction.window.start, change.instruction.window.end)
        for one in opportunities
        for change in one.orders
        if change.instruction is not None
    )
    runs: dict[str, list[Interval]] = defaultdict(list)
    for zone, start, end in given:
        run = runs[zone]
        if run and start <= run[-1].end:
            run[-1] = Interval(run[-1].start, max(end, run[-1].end))
        else:
            run.append(Interval(start, end))
    return {
        one.opportunity_id: max(
            [one.window.end, *(run.end for run in runs[one.zone] if one.window.end in run)]
        )
        for one in opportunities
    }


def p6_interlock(evidence: Evidence) -> Finding:
    """No set-point that the interlock refused was taken by a charger."""
    refused = {
        (one.point.car_id, one.point.issued_at)
        for one in evidence.points
        if one.outcome is Outcome.INTERLOCKED
    }
    breaches = [
        f"{one.point.car_id} at {utc_text(one.point.issued_at)} was refused and sent all the same"
        for one in evidence.accepted
        if (one.point.car_id, one.point.issued_at) in refused
    ]
    what = f"set-points, {len(refused)} of them refused"
    return Finding("P6 interlock", what, len(evidence.points), tuple(breaches))


def p12_stale(evidence: Evidence) -> Finding:
    """No car is told to discharge that has been silent for two reporting intervals."""
    longest = 2 * timedelta(seconds=evidence.settings.dispatch.reporting_interval_s)
    heard = evidence.states.items()
    seen = {car: [(state.measured_at, state.received_at) for state in states] for car, states in heard}
    checked, breaches = 0, []
    for one in evidence.accepted:
        if one.point.export_w <= 0:
            continue
        checked += 1
        issued_at, rows = one.point.issued_at, seen.get(one.point.car_id, [])
        before = rows[: bisect_right(rows, (issued_at, issued_at))]
        known = next(
            (measured_at for measured_at, received_at in reversed(before) if received_at <= issued_at), None
        )
        if known is None or issued_at - known > longest:
            breaches.append(f"{one.point.car_id} at {utc_text(one.point.issued_at)} was stale")
    return Finding("P12 stale", "accepted discharge set-points", checked, tuple(breaches))
