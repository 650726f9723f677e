"""The independent check of a replayed day: each car's energy worked out anew from the set-points alone.

It knows nothing of plans, splits and their arithmetic: only when a car was there, what it came with, what it
was told, and what its driver and home were promised.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aggregator.backtest.garage import Course, Day, Piece, Plugged

TOLERANCE_KWH = 1e-6
TOLERANCE_KW = 1e-6
TOLERANCE_H = 1e-6


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise broken: which, by which car, by how much, in words."""

    promise: str
    car_id: str
    said: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What a check found.

    Attributes:
        checked: Set-points and departures looked at.
        breaches: What was broken.
        early_short: Cars that left before they were believed to, short of the target: no promise, as nobody
            knew; the kWh they lacked. [kWh]
    """

    checked: int
    breaches: tuple[Breach, ...]
    early_short: tuple[float, ...]


def judge(day: Day, course: Course) -> Judged:
    """Check floor (P1), departure (P2), and the home's limits (P4) over a whole horizon."""
    by_car: dict[int, list[Piece]] = defaultdict(list)
    for piece in course.pieces:
        by_car[piece.car].append(piece)
    breaches: list[Breach] = []
    early: list[float] = []
    for plugged in course.plugged:
        own = [p for p in by_car[plugged.car] if _within(p, plugged)]
        breaches += _stay_breaches(day, plugged, own)
        early += _early(day, plugged, own)
    homeless = len(course.pieces) - sum(
        _within(piece, plugged) for plugged in course.plugged for piece in by_car[plugged.car]
    )
    if homeless:
        breaches.append(Breach("P12", "", f"{homeless} set-points for cars that were not there"))
    return Judged(len(course.pieces) + len(course.plugged), tuple(breaches), tuple(early))


def _within(piece: Piece, plugged: Plugged) -> bool:
    return (
        plugged.part.start_h - TOLERANCE_H <= piece.from_h
        and piece.until_h <= plugged.part.end_h + TOLERANCE_H
    )


def _stay_breaches(day: Day, plugged: Plugged, pieces: Sequence[Piece]) -> Iterable[Breach]:
    car = day.cars[plugged.car]
    floor_kwh = max(0.30, car.floor_soc) * car.capacity_kwh
    room_kw = min(car.charger.discharge_kw, car.site.export_room_kw(day.slots[0].start))
    fuse_kw = min(car.charger.charge_kw, car.site.import_limit_kw)
    for piece in pieces:
        if not -fuse_kw - TOLERANCE_KW <= piece.export_kw <= room_kw + TOLERANCE_KW:
            yield Breach(
                "P4", car.car_id, f"{piece.export_kw:.3f} kW, allowed {-fuse_kw:g} to {room_kw:g} kW"
            )
        after_kwh = _stored_kwh(day, plugged, pieces, piece.until_h)
        if piece.export_kw > 0 and after_kwh < floor_kwh - TOLERANCE_KWH:
            yield Breach("P1", car.car_id, f"discharged to {after_kwh:.3f} kWh, floor {floor_kwh:.3f} kWh")
    start_h = max(0.0, plugged.part.start_h)
    due_h = day.due_h(plugged.car, plugged.part, start_h)
    if due_h > min(plugged.part.end_h, len(day.slots) / 2) + TOLERANCE_H:
        return
    target_kwh = car.default_intent.target_soc * car.capacity_kwh
    most_kwh = plugged.energy_kwh + car.charger.eta_charge * fuse_kw * (due_h - start_h)
    stored_kwh = _stored_kwh(day, plugged, pieces, due_h)
    if stored_kwh < min(target_kwh, most_kwh) - TOLERANCE_KWH:
        could = "could be reached" if most_kwh >= target_kwh else "could not, yet not full power"
        yield Breach("P2", car.car_id, f"due with {stored_kwh:.3f} of {target_kwh:.3f} kWh, which {could}")


def _early(day: Day, plugged: Plugged, pieces: Sequence[Piece]) -> Iterable[float]:
    start_h, end_h = max(0.0, plugged.part.start_h), plugged.part.end_h
    if end_h > len(day.slots) / 2 or end_h >= day.due_h(plugged.car, plugged.part, start_h) - TOLERANCE_H:
        return
    short_kwh = day.target_kwh[plugged.car] - _stored_kwh(day, plugged, pieces, end_h)
    if short_kwh > TOLERANCE_KWH:
        yield float(short_kwh)


def _stored_kwh(day: Day, plugged: Plugged, pieces: Sequence[Piece], at_h: float) -> float:
    charger = day.cars[plugged.car].charger
    stored_kwh = plugged.energy_kwh
    for piece in pieces:
        kwh = piece.export_kw * max(0.0, min(piece.until_h, at_h) - piece.from_h)
        stored_kwh -= kwh / charger.eta_discharge if kwh > 0 else kwh * charger.eta_charge
    return stored_kwh
