"""One car over a span of time, mostly a night: what it stored and moved, what is planned, and why.

What it moved is what its registers say, half-hour by half-hour; why is what it was told. What is planned is
the control loop's own plan (``aggregator/drivers/night.py``).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from aggregator.cycles import LONGEST_SILENCE, night_of
from aggregator.desk import how_ended
from aggregator.drivers.night import Row
from aggregator.drivers.own_car import OwnCars
from aggregator.gateway import Gateway
from aggregator.model.drivers import SILENT, Told, Topic, wish_of
from aggregator.model.fleet import Car
from aggregator.model.market import OrderMode
from aggregator.model.metering import Outcome, Purpose, Reading
from aggregator.model.time import LONDON, Interval, half_hours, next_local
from aggregator.ordered import OrderedPart, ordered_parts
from aggregator.registers import is_energy, registers_at
from aggregator.store import CarState, SentPoint, Store
from aggregator.store.car_history import presence_of

ONE_DAY = timedelta(days=1)
NOON = time(12)
WH_PER_KWH = 1000.0
IDLE_KW = 0.05
MINUTE = timedelta(minutes=1)
NOT_KNOWN = "not known: nothing was heard of it"

Point = tuple[datetime, float]


@dataclass(frozen=True, slots=True)
class HalfHour:
    """A half-hour that has passed, or what has passed of the running one.

    Attributes:
        slot: When.
        took_wh: By the registers; None where they do not tell. [Wh]
        gave_wh: Likewise. [Wh]
        why: In words.
        soc: Charge at its end, a fraction, as last reported before; None where it was not plugged in, or
            told nothing for too long.
        is_away: Whether it was not plugged in at its end, as far as is known.
    """

    slot: Interval
    took_wh: int | None
    gave_wh: int | None
    why: str
    soc: float | None = None
    is_away: bool = False

    @property
    def export_kw(self) -> float | None:
        """Average power, export positive. [kW]"""
        if self.took_wh is None or self.gave_wh is None:
            return None
        return (self.gave_wh - self.took_wh) / WH_PER_KWH / self.slot.hours


@dataclass(frozen=True, slots=True)
class Need:
    """When the driver needs the car, and how full (a fraction)."""

    at: datetime
    soc: float


@dataclass(frozen=True, slots=True)
class Event:
    """An award or order in the car's zone.

    Attributes:
        bid: Its bid's id.
        window: When, as awarded or ordered.
        served: Whether the car was told to serve it.
        ran: The parts of it that ran or are to run: what was ordered, until it was replaced or cancelled, by
            level; the award until it was taken back where nothing was ordered.
        ended_at: When the last order was cancelled, or the award taken back; None where it stands.
        ended: How, in words.
    """

    bid: str
    window: Interval
    served: bool
    ran: Sequence["Level"] = ()
    ended_at: datetime | None = None
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """A part of an event with one level.

    Attributes:
        span: When.
        kw: What the whole zone was to change by; None for an award without an order, and for a multiple of
            the nomination. [kW, in its product's direction]
    """

    span: Interval
    kw: float | None


@dataclass(frozen=True, slots=True)
class CarNight:
    """All that a picture of it shows.

    Attributes:
        car: Which, as registered.
        span: From when until when.
        now: Domain instant.
        soc: What it reported, in stretches without a break, as fractions.
        floors: From when on which floor held.
        stays: When it was plugged in, as far as has passed and is known.
        unknown: When nothing was heard of it for too long to say whether it was.
        past: Half-hours that have passed.
        planned: Those to come; none where nothing is planned.
        need: When it is or was needed; None where that is not in the span.
        events: In its zone, by start.
    """

    car: Car
    span: Interval
    now: datetime
    soc: Sequence[Sequence[Point]]
    floors: Sequence[Point]
    stays: Sequence[Interval]
    unknown: Sequence[Interval]
    past: Sequence[HalfHour]
    planned: Sequence[Row]
    need: Need | None
    events: Sequence[Event]

    @property
    def took_kwh(self) -> float:
        """What its charger drew from the grid, as far as the registers tell. [kWh AC]"""
        return sum(one.took_wh or 0 for one in self.past) / WH_PER_KWH

    @property
    def gave_kwh(self) -> float:
        """What it gave to the grid. [kWh AC]"""
        return sum(one.gave_wh or 0 for one in self.past) / WH_PER_KWH

    @property
    def lowest_soc(self) -> float | None:
        """The lowest that it reported while it was plugged in; None where it reported nothing.

        A stay that begins after the night tells of the morning's drive.
        """
        morning = night_of(evening_of(self.span.start)).end
        counted = [one for one in self.soc if one[0][0] < morning or self.span.start >= morning]
        return min((soc for stretch in counted for _, soc in stretch), default=None)

    @property
    def served(self) -> int:
        """How many events it served."""
        return sum(event.served for event in self.events)


def evening_of(now: datetime) -> date:
    """Return the evening of the night around an instant: nights run from noon to noon in London."""
    local = now.astimezone(LONDON)
    return local.date() if local.time() >= NOON else local.date() - ONE_DAY


def last_evening(now: datetime) -> date:
    """Return the evening of the last night that is over: at 05:00 it is."""
    today = now.astimezone(LONDON).date()
    return today - ONE_DAY if night_of(today - ONE_DAY).end <= now else today - 2 * ONE_DAY


def around_night(evening: date) -> Interval:
    """Return the span from noon to noon around a night: 23, 24 or 25 hours."""
    return Interval(
        datetime.combine(evening, NOON, LONDON), datetime.combine(evening + ONE_DAY, NOON, LONDON)
    )


def car_night(
    gateway: Gateway, cars: OwnCars, car: Car, span: Interval, now: datetime, rows: Sequence[Row]
) -> CarNight:
    """Return one car over a span of time; reads the store: in a thread.

    Args:
        gateway: Whose car.
        cars: Tells of it.
        car: As registered.
        span: From when until when.
        now: Domain instant.
        rows: What is planned for it.
    """
    store, told = gateway.store, Told(gateway.store.drivers.of(car.car_id))
    gone = Interval(span.start, min(now, span.end)) if span.start < now else None
    states = store.states.between([car.car_id], gone) if gone is not None else ()
    stays, unknown = _known(store, car, gone) if gone is not None else ((), ())
    points = store.set_points.of_car(car.car_id, gone) if gone is not None else []
    soc = list(_stretches(states))
    return CarNight(
        car=car,
        span=span,
        now=now,
        soc=soc,
        floors=list(_floors(car, told, span)),
        stays=stays,
        unknown=unknown,
        past=list(_past(store, car, gone, points, stays, unknown, soc)) if gone is not None else (),
        planned=[row for row in rows if row.slot.start < span.end and row.slot.end > span.start],
        need=_need(cars, car, told, states, span, now),
        events=list(_events(gateway, car, span, points)),
    )


def _known(store: Store, car: Car, gone: Interval) -> tuple[Sequence[Interval], Sequence[Interval]]:
    """Return when a car was plugged in, and when that is not known."""
    around = Interval(gone.start - LONGEST_SILENCE, gone.end)
    heard = store.car_history.heard(car.car_id, around, LONGEST_SILENCE)
    if not heard:
        return (), (gone,)
    found, last = presence_of(heard, LONGEST_SILENCE), heard[-1].state
    stays, unknown = list(found.stays), list(found.silences)
    if (first_at := heard[0].state.measured_at) > gone.start:
        unknown.insert(0, Interval(gone.start, first_at))
    if gone.end - last.measured_at > LONGEST_SILENCE:
        unknown.append(Interval(last.measured_at, gone.end))
    elif last.plugged:  # not silent for long: it counts as what it said last
        begun = stays.pop().start if stays and stays[-1].end == last.measured_at else last.measured_at
        stays.append(Interval(begun, gone.end))
    return _within(stays, gone), _within(unknown, gone)


def _within(spans: Sequence[Interval], whole: Interval) -> list[Interval]:
    return [part for span in spans if (part := span.overlap(whole)) is not None]


def _stretches(states: Sequence[CarState]) -> Iterator[list[Point]]:
    """Yield what a plugged car reported, broken where it was away or silent for long."""
    stretch: list[Point] = []
    for state in states:
        at = state.soc_at or state.measured_at
        broken = bool(stretch) and at - stretch[-1][0] > LONGEST_SILENCE
        if stretch and (broken or not state.plugged):
            yield stretch
            stretch = []
        if state.plugged and state.soc is not None and (not stretch or at > stretch[-1][0]):
            stretch.append((at, state.soc))
    if stretch:
        yield stretch


def _floors(car: Car, told: Told, span: Interval) -> Iterator[Point]:
    """Yield from when on which floor held; its driver's word counts from the instant it was told."""
    bounds = (at for word in told.about(car.car_id, Topic.FLOOR) for at in (word.told_at, word.until))
    last = None
    for at in sorted({span.start, *(at for at in bounds if at is not None and at in span)}):
        wish = wish_of(told.of(car.car_id, at), SILENT, car.default_intent, at)
        floor = max(car.floor_soc, wish.floor_soc or 0.0)
        if floor != last:
            yield at, floor
        last = floor


def _past(
    store: Store,
    car: Car,
    gone: Interval,
    points: Sequence[SentPoint],
    stays: Sequence[Interval],
    unknown: Sequence[Interval],
    soc: Sequence[Sequence[Point]],
) -> Iterator[HalfHour]:
    """Yield the half-hours that have passed, and what has passed of the running one."""
    slots = [part for slot in half_hours(gone) if (part := slot.overlap(gone)) is not None]
    bounds = [gone.start, *(slot.end for slot in slots)]
    around = store.readings.at_or_around([car.charger.charger_id], bounds)
    shown = [around[car.charger.charger_id, at] for at in bounds]
    for n, slot in enumerate(slots):
        first, last = shown[n], shown[n + 1]
        took = gave = None
        if first.before and first.after and last.before:
            # what came after the last report is not known yet
            end = slot.end if last.after else max(slot.start, last.before.measured_at)
            after = last.after or last.before
            took, gave = _between((first.before, first.after), (last.before, after), slot.start, end)
        hours = sum(part.hours for part in _within(unknown, slot))
        is_known = hours < slot.hours / 2
        why = _why(slot, points, stays, (gave or 0) - (took or 0)) if is_known else NOT_KNOWN
        is_away = not any(one.start < slot.end <= one.end for one in (*stays, *unknown))
        yield HalfHour(slot, took, gave, why, _soc_at(soc, stays, slot.end), is_away)


def _soc_at(stretches: Sequence[Sequence[Point]], stays: Sequence[Interval], until: datetime) -> float | None:
    """Return what a car that is plugged in had stored at an instant, by its last report before."""
    stay = next((one for one in stays if one.start < until <= one.end), None)
    told = [(at, soc) for stretch in stretches for at, soc in stretch if at <= until]
    if stay is None or not told or told[-1][0] < max(stay.start, until - LONGEST_SILENCE):
        return None
    return told[-1][1]


def _between(
    first: tuple[Reading, Reading], last: tuple[Reading, Reading], start: datetime, end: datetime
) -> tuple[int | None, int | None]:
    """Return what registers gained between two instants; None where they do not tell. [Wh]"""
    silent = any(after.measured_at - before.measured_at > LONGEST_SILENCE for before, after in (first, last))
    if silent or not is_energy(first[0], last[1]):
        return None, None
    (took_before, gave_before), (took, gave) = registers_at(*first, start), registers_at(*last, end)
    return took - took_before, gave - gave_before


def _why(slot: Interval, points: Sequence[SentPoint], stays: Sequence[Interval], net_wh: int) -> str:
    """Return for what a car was told to do what it did, the longest first."""
    if not any(stay.overlap(slot) for stay in stays):
        return "not plugged in"
    spent: dict[Purpose, timedelta] = defaultdict(timedelta)
    taken = [one.point for one in points if one.outcome is Outcome.ACCEPTED]
    for n, point in enumerate(taken):
        end = min(point.expires_at, taken[n + 1].issued_at if n + 1 < len(taken) else point.expires_at)
        part = Interval(point.issued_at, end).overlap(slot) if end > point.issued_at else None
        if part is not None:
            spent[point.purpose] += part.end - part.start
    kw = net_wh / WH_PER_KWH / slot.hours
    by_plan = "gave energy by plan" if kw > IDLE_KW else "charged by plan" if kw < -IDLE_KW else "rested"
    words = {
        Purpose.INSTRUCTION: "the network operator's order",
        Purpose.BOOST: "boost" if kw < -IDLE_KW else "boost was on: it took nothing",
        Purpose.MUST_CHARGE: "had to charge, for your target or your floor",
        Purpose.RELEASE: "let go",
        Purpose.PLAN: by_plan,
    }
    found = sorted((one for one in spent if spent[one] >= MINUTE), key=lambda one: (-spent[one], one))
    return "; ".join(words[one] for one in found) or "nothing was asked of it"


def _need(
    cars: OwnCars, car: Car, told: Told, states: Sequence[CarState], span: Interval, now: datetime
) -> Need | None:
    view = cars.view(car, now)
    at = view.stated_at(now)
    if view.is_plugged() and span.start <= at <= span.end:
        return Need(at, view.target_kwh() / view.car.capacity_kwh)
    morning, word, last = night_of(evening_of(span.start)).end, SILENT, None
    for state in states:
        if state.measured_at > morning:
            break
        word = word.after(state)
        last = state if state.plugged else last
    if last is None:
        return None
    wish = wish_of(told.of(car.car_id, last.measured_at), word, car.default_intent, last.measured_at)
    due = wish.depart_at or next_local(last.measured_at, car.default_intent.depart_local)
    soc = wish.target_soc if wish.target_soc is not None else car.default_intent.target_soc
    return Need(due, min(1.0, soc)) if span.start <= due <= span.end else None


def _events(gateway: Gateway, car: Car, span: Interval, points: Sequence[SentPoint]) -> Iterator[Event]:
    served = {one.point.opportunity_id for one in points if one.outcome is Outcome.ACCEPTED}
    for one in gateway.store.journal.find(zone=car.site.zone, overlapping=span):
        if (one.award is None and not one.orders) or one.window.overlap(span) is None:
            continue
        product, name = gateway.settings.products[one.product_id], one.opportunity_id
        ended_at = one.held_until or one.cancelled_at
        ran = list(_levels(ordered_parts(one, product, 0, one.window)))
        if not one.orders:
            whole = one.window
            ended_early = ended_at is not None and ended_at < whole.end
            end = ended_at if ended_at is not None and ended_early else whole.end
            ran = [Level(Interval(whole.start, end), None)] if end > whole.start else []
        yield Event(name, one.window, name in served, ran, ended_at, how_ended(one))


def _levels(parts: Sequence[OrderedPart]) -> Iterator[Level]:
    """Yield parts of orders, those of one level that follow each other as one."""
    last: Level | None = None
    for part in parts:
        kw = None if part.instruction.mode is OrderMode.MULTIPLIER else part.kw
        if last is not None and (last.span.end, last.kw) == (part.span.start, kw):
            last = Level(Interval(last.span.start, part.span.end), kw)
            continue
        if last is not None:
            yield last
        last = Level(part.span, kw)
    if last is not None:
        yield last
