"""All simulated cars on the domain clock: what happens to them, and what their chargers tell.

Time moves in steps of at most a minute that land exactly on minutes, half-hours, arrivals, departures, acts,
and on the instants at which a set-point expires or a charger starts by itself. A car that is plugged in when
the simulation starts is taken to have charged at full power, at its worst efficiency, since it came, up to
its driver's default target or the state it came with, whichever is more.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from heapq import heappop, heappush

import numpy as np
from structlog import get_logger

from aggregator.model.fleet import Car
from aggregator.model.metering import CarReport, Outcome, SafeDefault
from dispatch.fleet_simulator.charge_told import ChargeTold
from dispatch.fleet_simulator.houses import Houses
from dispatch.fleet_simulator.orders import Orders
from dispatch.fleet_simulator.physics import (
    SECONDS_PER_HOUR,
    FloatArray,
    Traits,
    metered_w,
    refilled,
    step,
    unplugged,
)
from dispatch.fleet_simulator.plant import first_state, plant_of
from dispatch.fleet_simulator.reporting import Batch, Visit, reports
from dispatch.fleet_simulator.script import Act, Stay, by_instant
from dispatch.fleet_simulator.script import Kind as ActKind
from dispatch.fleet_simulator.troubles import ChargersNow, Kind, Trouble, Troubles
from dispatch.fleet_simulator.truth import Departure, Row, Tally, TruthLog
from dispatch.links.messages import PointRow

MINUTE_S = 60.0
HALF_HOUR_S = 1800.0
LOG = get_logger(__name__)


class World:
    """The simulated fleet.

    Args:
        cars: The fleet, in the order of all arrays.
        stays: When cars are here.
        acts: What drivers do; what they did before the start is forgotten.
        starts_at: The first instant.
        seed: Of the errors in reported states of charge, and of what the registers show at the start.
        interval_s: Time between two reports of a plugged-in car. [s]
        truth: Where true states go.
        traits: What all cars have in common.
        troubles: What is wrong with some of them.
    """

    def __init__(
        self,
        cars: Sequence[Car],
        stays: Sequence[Stay],
        acts: Sequence[Act],
        *,
        starts_at: datetime,
        seed: int,
        interval_s: float,
        truth: TruthLog,
        traits: Traits | None = None,
        troubles: Sequence[Trouble] = (),
    ) -> None:
        self._cars = tuple(cars)
        self._car_ids = tuple(car.car_id for car in cars)
        self._index = {car_id: n for n, car_id in enumerate(self._car_ids)}
        self._troubles = Troubles(troubles, self._car_ids, seed)
        capacity_off = self._troubles.amount(Kind.CAPACITY, starts_at, 0.0)
        self._plant = plant_of(cars, traits or Traits(), capacity_off)
        self._charge = ChargeTold(self._plant, self._troubles, seed)
        self._houses = Houses(cars, seed)
        self._interval_s, self._truth = interval_s, truth
        self._late: list[tuple[float, int, int, PointRow]] = []
        self._asked = itertools.count()
        self._started_at = starts_at
        self._now_s = starts_at.timestamp()
        self._next_report_s = _next_multiple(self._now_s, interval_s)
        self._orders = Orders.none(self._houses.fuse_parts_kw())
        self._state = first_state(self._plant, seed)
        self._tally = Tally(np.full(len(cars), np.nan))
        self._visits: dict[int, Visit] = {}
        self._script = by_instant(stays, acts, starts_at)[::-1]
        for stay in stays:
            if stay.plugged_in_at <= starts_at < stay.plugged_out_at:
                self._begin_plugged(stay)
        self._wanted_kw = self._orders.wanted_kw(self._now_s, self._plant.charge_kw)
        self._log_truth(self._orders.here())

    @property
    def now(self) -> datetime:
        """The instant that the world has reached."""
        return datetime.fromtimestamp(self._now_s, UTC)

    @property
    def next_stop_at(self) -> datetime:
        """The next instant at which something happens or is told."""
        return datetime.fromtimestamp(self._next_stop_s(), UTC)

    def advance(self, until: datetime) -> list[Batch]:
        """Move on to ``until``, never back; return what the chargers told on the way."""
        until_s = until.timestamp()
        batches: list[Batch] = []
        while self._now_s < until_s:
            stop_s = min(until_s, self._next_stop_s())
            self._step_to(stop_s)
            batches.extend(self._stop())
        return batches

    def command(self, points: Sequence[PointRow]) -> tuple[Outcome, ...]:
        """Hand set-points to the chargers, now; return which of them were taken."""
        chargers = self._troubles.chargers(self.now)
        outcomes = tuple(self._take(point, chargers) for point in points)
        self._turn_to_wanted()
        return outcomes

    def set_fallback(self, defaults: Mapping[str, SafeDefault]) -> tuple[Outcome, ...]:
        """Tell chargers, with a car or without, what to do by themselves."""
        outcomes, lost = [], self._troubles.those(Kind.LOST, self.now)
        for car_id, default in defaults.items():
            car = self._index.get(car_id)
            if car is not None and not lost[car]:
                self._orders.tell(car, default)
            reached = Outcome.ACCEPTED if car is None or not lost[car] else Outcome.UNREACHABLE
            outcomes.append(Outcome.REFUSED if car is None else reached)
        self._turn_to_wanted()
        return tuple(outcomes)

    def snapshot(self) -> tuple[CarReport, ...]:
        """Return a report of every charger that is reached, with a car or without, as it is now."""
        return self._report(range(len(self._cars)))

    def summary(self) -> dict[str, object]:
        """Return what ``summary.json`` says."""
        capacity_kwh = np.round(self._plant.capacity_kwh, 6).tolist()
        return {
            **self._tally.as_json(self._started_at, self.now, self._car_ids),
            "true_capacity_kwh": dict(zip(self._car_ids, capacity_kwh, strict=True)),
        }

    def _next_stop_s(self) -> float:
        happens_s = self._script[-1][0].timestamp() if self._script else np.inf
        minute_s = _next_multiple(self._now_s, MINUTE_S)
        obeyed_s = self._late[0][0] if self._late else np.inf
        changes_s = self._orders.next_change_s(self._now_s)
        return min(minute_s, self._next_report_s, happens_s, obeyed_s, changes_s)

    def _step_to(self, stop_s: float) -> None:
        before, before_wh = self._state, self._state.export_wh
        seconds = stop_s - self._now_s
        self._state = step(self._plant, self._state, self._wanted_kw, self._orders.plugged, seconds)
        drawn_wh, given_wh = (
            self._state.import_wh - before.import_wh,
            self._state.export_wh - before.export_wh,
        )
        self._houses.moved(given_wh - drawn_wh, self._now_s, seconds)
        self._now_s = stop_s
        self._tally.discharged(self._state.export_wh > before_wh, self._true_soc())

    def _stop(self) -> list[Batch]:
        touched = self._play_script()
        happened = bool(touched)
        self._obey_late()
        self._turn_to_wanted()
        half_hour = self._now_s % HALF_HOUR_S == 0
        due = self._now_s >= self._next_report_s
        if due:
            self._next_report_s = _next_multiple(self._now_s, self._interval_s)
        if half_hour:
            self._log_truth(self._orders.here())
            self._truth.flush()
            touched.update(range(len(self._cars)))
        elif due:
            touched.update(self._orders.here())
        if self._now_s % MINUTE_S == 0:
            self._log_truth(self._houses.watched(self._orders.here()))
        kept = half_hour or happened
        return [Batch(self.now, self._report(sorted(touched)), kept)] if touched else []

    def _play_script(self) -> set[int]:
        touched: set[int] = set()
        while self._script and self._script[-1][0].timestamp() <= self._now_s:
            _, what = self._script.pop()
            car = self._index[what.car_id]
            if isinstance(what, Act):
                self._act(car, what)
            elif car in self._visits and self._visits[car].stay is what:
                self._depart(car, early=False)
            elif what.plugged_out_at > self.now:
                self._arrive(car, what, what.arrival_soc)
            touched.add(car)
        return touched

    def _begin_plugged(self, stay: Stay) -> None:
        car = self._index[stay.car_id]
        hours = (self._now_s - stay.plugged_in_at.timestamp()) / SECONDS_PER_HOUR
        gained_kwh = hours * self._plant.charge_kw[car] * self._plant.eta_charge[car]
        charged_soc = stay.arrival_soc + gained_kwh / self._plant.capacity_kwh[car]
        target_soc = max(stay.arrival_soc, self._cars[car].default_intent.target_soc)
        self._arrive(car, stay, float(min(charged_soc, target_soc)))

    def _arrive(self, car: int, stay: Stay, soc: float) -> None:
        self._visits[car] = Visit(stay, soc)
        self._orders.plug(car, self._now_s + self._plant.traits.untold_delay_s)
        self._state = refilled(self._state, car, soc * float(self._plant.capacity_kwh[car]))
        self._log_truth([car])

    def _depart(self, car: int, *, early: bool) -> None:
        visit = self._visits.pop(car)
        asked_soc = visit.target_soc
        default_soc = self._cars[car].default_intent.target_soc
        self._tally.departures.append(
            Departure(
                car_id=self._car_ids[car],
                at=self.now,
                true_soc=float(self._true_soc()[car]),
                target_soc=default_soc if asked_soc is None else asked_soc,
                stated=asked_soc is not None,
                depart_at=visit.depart_at,
                early=early,
                boosted=bool(self._orders.boost[car]),
                plugged_in_at=visit.stay.plugged_in_at,
                arrival_soc=visit.arrival_soc,
            )
        )
        self._orders.unplug(car)
        self._late = sorted(one for one in self._late if one[2] != car)
        self._state = unplugged(self._state, car)
        self._log_truth([car])

    def _act(self, car: int, act: Act) -> None:
        visit = self._visits.get(car)
        if visit is None:
            LOG.warning("act_without_car", car_id=act.car_id, kind=act.kind, at=act.at.isoformat())
            return
        match act.kind:
            case ActKind.BOOST | ActKind.BOOST_OFF:
                self._orders.press_boost(car, on=act.kind is ActKind.BOOST)
            case ActKind.LEAVE:
                self._depart(car, early=True)
            case ActKind.INTENT:
                self._visits[car] = visit.saying(act)

    def _take(self, point: PointRow, chargers: ChargersNow) -> Outcome:
        car = self._index.get(point.car_id)
        expires_s = point.expires_at.timestamp()
        if car is None or not self._orders.obeys(car, point.export_w, expires_s, self._now_s):
            return Outcome.REFUSED
        if chargers.lost[car]:
            return Outcome.UNREACHABLE
        late_s = float(max(chargers.unanswered_s[car], chargers.slow_s[car]))
        if late_s > 0:
            heappush(self._late, (self._now_s + late_s, next(self._asked), car, point))
        elif not chargers.deaf[car]:
            self._obey(car, point)
        return Outcome.UNREACHABLE if chargers.unanswered_s[car] > 0 else Outcome.ACCEPTED

    def _obey(self, car: int, point: PointRow) -> None:
        self._orders.set_kw[car] = point.export_w / 1000
        self._orders.expires_s[car] = point.expires_at.timestamp()

    def _obey_late(self) -> None:
        """Let chargers that are slow follow what they were told a while ago, if it still holds."""
        while self._late and self._late[0][0] <= self._now_s:
            *_, car, point = heappop(self._late)
            if self._orders.obeys(car, point.export_w, point.expires_at.timestamp(), self._now_s):
                self._obey(car, point)

    def _turn_to_wanted(self) -> None:
        wanted_kw = self._orders.wanted_kw(self._now_s, self._plant.charge_kw)
        changed = (wanted_kw != self._wanted_kw) & self._orders.plugged
        self._wanted_kw = wanted_kw
        self._log_truth(changed.nonzero()[0].tolist())

    def _true_soc(self) -> FloatArray:
        return self._state.energy_kwh / self._plant.capacity_kwh

    def _report(self, cars: Iterable[int]) -> tuple[CarReport, ...]:
        charge = self._charge.tell(self._now_s, self._state.energy_kwh, self._visits)
        lost = self._troubles.those(Kind.LOST, self.now)
        heard = [car for car in cars if not lost[car]]
        of_cars = (self._plant.traits, self._state, self._orders, self._visits, self._now_s, charge)
        told = reports(heard, self._car_ids, *of_cars)
        meters = self._houses.meters(self._boundary_w())
        of_car = self._houses.of_car
        return tuple(
            replace(one, boundary=meters[of_car[self._index[one.car_id]]]) if any(meters) else one
            for one in told
        )

    def _boundary_w(self) -> FloatArray:
        cars_w = metered_w(self._state, self._orders.plugged, self._plant.traits)
        return self._houses.boundary_w(cars_w.astype(np.float64), self._now_s)

    def _log_truth(self, cars: Sequence[int]) -> None:
        if not cars:
            return
        at = self.now
        export_w = metered_w(self._state, self._orders.plugged, self._plant.traits)
        boundary_w = self._boundary_w()[self._houses.of_car]
        self._truth.write(
            Row(
                car_id=self._car_ids[car],
                at=at,
                plugged=bool(self._orders.plugged[car]),
                energy_kwh=float(self._state.energy_kwh[car]),
                export_w=int(export_w[car]),
                boundary_w=int(boundary_w[car]),
            )
            for car in cars
        )


def _next_multiple(now_s: float, length_s: float) -> float:
    return (now_s // length_s + 1) * length_s
