"""One car's stay on one past day, written down a second time: car by car, with ``datetime``."""

from datetime import UTC, date, datetime, time, timedelta

from aggregator.forecast import Horizon, Session, StatedIntent
from aggregator.model.fleet import Car
from aggregator.model.time import HALF_HOUR, HOUR, LONDON, Interval, next_local

Row = tuple[int, int, float, float]
ABSENT = (0, 0, 0.0, 0.0)


def two_stays_of(
    car: Car,
    sessions: list[Session],
    past_day: date,
    delivery_day: date,
    known_until: datetime,
    stated: StatedIntent | None,
    *,
    drivers_say: bool,
) -> tuple[Row, Row]:
    """Return the stays of the day before and of the delivery day, in slots from the first noon."""
    back, say = timedelta(days=1), {"drivers_say": drivers_say}
    first = stay_of(car, sessions, past_day - back, delivery_day - back, known_until, stated, **say)
    second = stay_of(car, sessions, past_day, delivery_day, known_until, stated, **say)
    noon = round(Horizon(delivery_day - back).interval.hours * 2)
    arrive, depart, energy_kwh, target_kwh = second[0] + noon, second[1] + noon, *second[2:]
    if ABSENT not in (first, second):
        _, left, had_kwh, promised_kwh = first
        if main_stay(sessions, past_day - back) == main_stay(sessions, past_day):
            full_kwh = had_kwh + car.charger.eta_charge * car.charger.charge_kw * (left - first[0]) / 2
            arrive, energy_kwh = left, min(energy_kwh, promised_kwh, full_kwh)
        elif left > arrive:
            return first, ABSENT
    return first, (arrive, depart, energy_kwh, target_kwh) if second != ABSENT and depart > arrive else ABSENT


def main_stay(sessions: list[Session], past_day: date) -> Session | None:
    """Return the stay that stands for a past day."""
    past = Horizon(past_day).interval
    peak = Interval(*(datetime.combine(past_day, time(hour), LONDON) for hour in (16, 19)))
    here = [
        one
        for one in sessions
        if one.plugged.overlap(past) and one.plugged.start >= past.start - timedelta(days=31)
    ]
    return max(
        here,
        key=lambda one: (_hours(one, peak), _hours(one, past), one.plugged.start),
        default=None,
    )


def stay_of(
    car: Car,
    sessions: list[Session],
    past_day: date,
    delivery_day: date,
    known_until: datetime,
    stated: StatedIntent | None,
    *,
    drivers_say: bool,
) -> Row:
    """Return arrival slot, departure slot, energy and target of a car with its own history."""
    past, span = Horizon(past_day).interval, Horizon(delivery_day).interval
    main = main_stay(sessions, past_day)
    if main is None:
        return ABSENT
    shift = delivery_day - past_day
    comes_at = max(_moved(main.plugged.start, shift))
    leaves_at = min(_moved(min(main.plugged.end, known_until), shift))
    there_at = max(comes_at, span.start)
    target_soc, early = car.default_intent.target_soc, timedelta(0)
    if stated is not None and stated.depart_at > there_at:
        leaves_at, target_soc = stated.depart_at, stated.target_soc
    else:
        due_at = next_local(there_at, car.default_intent.depart_local)
        early = timedelta(0) if drivers_say else max(timedelta(0), due_at - leaves_at)
        leaves_at = min(leaves_at, due_at)
    arrive = max(0, -((span.start - comes_at) // HALF_HOUR))
    depart = (leaves_at - span.start) // HALF_HOUR
    if depart <= arrive:
        return ABSENT
    hours = max(0.0, (past.start - main.plugged.start) / HOUR)
    drawn_kwh = 0.0 if main.plugged.end > known_until else main.energy_kwh
    gained_kwh = min(drawn_kwh, car.charger.charge_kw * hours) * car.charger.eta_charge
    energy_kwh = min(car.capacity_kwh, main.arrival_soc * car.capacity_kwh + gained_kwh)
    later_kwh = car.charger.eta_charge * car.charger.charge_kw * (early / HOUR)
    return arrive, depart, energy_kwh, max(0.0, target_soc * car.capacity_kwh - later_kwh)


def _hours(session: Session, span: Interval) -> float:
    overlap = session.plugged.overlap(span)
    return overlap.hours if overlap else 0.0


def _moved(instant: datetime, shift: timedelta) -> tuple[datetime, datetime]:
    local = instant.astimezone(LONDON).replace(tzinfo=None) + shift
    first, second = (local.replace(tzinfo=LONDON, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second
