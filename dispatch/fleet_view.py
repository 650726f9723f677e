"""The control loop's picture of the cars: what they last reported, how old that is, and what drivers want."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf

from aggregator.energy import Tapers
from aggregator.model.drivers import LATE, SILENT, ChargerWord, Wish, Words, as_wished, wish_of
from aggregator.model.fleet import Car, Fleet
from aggregator.model.metering import CarReport, SetPoint
from aggregator.model.time import HALF_HOUR, HOUR, next_local
from dispatch.battery import Battery
from dispatch.counting import SETTLES, counts_on
from dispatch.slowing import Slowing

W_PER_KW = 1000.0
IDLE_W = 50
"""Less than this is no charging and no giving: a charger's own needs, a meter's noise."""

NEARLY_FULL_SOC, FULL_SOC = 0.9, 0.995


@dataclass(frozen=True, slots=True)
class CarView:
    """One car as the loop sees it.

    Attributes:
        car: Its registry entry, with capacity and taper learnt and what its driver said at the door: a higher
            floor, V2G off.
        report: Its last report; None before the first. Its state of charge is what it and the registers come
            to (``battery``), at the instant of the registers.
        standing: The set-point in force; None where there is none.
        resting: Whether it has come down to its guard and may not discharge again until it has risen
            well above it, so that noise does not toggle it; or the interlock has refused its discharge.
        barred_below_soc: The charge below which it rests all the same, as the interlock has refused its
            discharge; None where it has not.
        doubt_soc: How far its state of charge may be off either way.
        taken_kwh: What it has stored since it came, by its registers: all that is known of a silent car.
        wish: What its driver wants by the latest words of door and charger; None where only its charger
            says anything.
        since: When it came or went, by the first report that says so; None where the first one heard did.
    """

    car: Car
    report: CarReport | None = None
    standing: SetPoint | None = None
    resting: bool = False
    barred_below_soc: float | None = None
    doubt_soc: float = 0.0
    taken_kwh: float = 0.0
    wish: Wish | None = None
    since: datetime | None = None

    def is_plugged(self) -> bool:
        """Whether it is connected, by its last word."""
        return self.report is not None and self.report.plugged

    def is_boosted(self) -> bool:
        """Whether its driver has switched V2G off."""
        if self.wish is not None:
            return self.wish.boost
        return self.report is not None and self.report.boost

    def must_stop(self, now: datetime) -> bool:
        """Whether it gives energy that its driver's word no longer allows: V2G off, or a higher floor."""
        forbidden = self.car.charger.discharge_kw <= 0 or self.resting
        return self.wish is not None and forbidden and self.moving_kw(now) > 0

    def is_stale(self, now: datetime, stale_after: timedelta) -> bool:
        """Whether it has been silent for too long: it then counts as 0 kW (P12)."""
        return self.report is None or now - self.report.measured_at > stale_after

    @property
    def full_kw(self) -> float:
        """Most that it can draw at its home. [kW]"""
        return min(self.car.charger.charge_kw, self.car.site.import_limit_kw)

    def moving_kw(self, now: datetime) -> float:
        """Return what it was told to move, 0 once that has run out. [kW, export positive]"""
        if self.standing is None or self.standing.expires_at <= now:
            return 0.0
        return self.standing.export_w / W_PER_KW

    def may_be_told(self, point: SetPoint) -> bool:
        """Whether it is still there, and its driver has not boosted it since it was planned."""
        return self.is_plugged() and not (self.is_boosted() and point.export_w > 0)

    def present_kw(self, now: datetime) -> float:
        """Return what it was told, or says it does where nothing stands: by that ties are broken. [kW]"""
        says_kw = self.report.export_w / W_PER_KW if self.report is not None else 0.0
        return says_kw if self.standing is None else self.moving_kw(now)

    def energy_kwh(self, now: datetime) -> float:
        """Return the energy that was reported, less what the standing set-point has moved since. [kWh]

        The prediction never adds energy: a car may be slower to charge than it was told to be.
        """
        report = self.report
        if report is None or report.soc is None:
            return min(self.taken_kwh, self.car.capacity_kwh)
        energy = report.soc * self.car.capacity_kwh
        if self.standing is not None and self.standing.export_w > 0:
            until = min(now, self.standing.expires_at)
            hours = max(timedelta(0), until - max(report.measured_at, self.standing.issued_at)) / HOUR
            energy -= self.standing.export_w / W_PER_KW * hours / self.car.charger.eta_discharge
        return max(0.0, energy)

    @property
    def tells_charge(self) -> bool:
        """Whether its state of charge is known at all."""
        return self.report is not None and self.report.soc is not None

    @property
    def planned_car(self) -> Car:
        """The car as it is planned for: nobody knows that one that tells no charge is below its floor.

        It gives nothing, and is charged in time for its driver as if it had come empty.
        """
        return self.car if self.tells_charge else replace(self.car, floor_soc=0.0)

    @property
    def floor_kwh(self) -> float:
        """What it is charged to at once, whatever else is asked of it. [kWh]"""
        return self.planned_car.floor_soc * self.car.capacity_kwh

    def stated_at(self, now: datetime) -> datetime:
        """Return when the driver said the car is needed, past for who is late; else by the default intent.

        Who is usually gone by then may come for an hour more.
        """
        said = self.wish if self.wish is not None else self.report
        if said is not None and said.depart_at is not None:
            return said.depart_at
        usual = next_local(now - LATE, self.car.default_intent.depart_local)
        return usual if self.was_there(usual) else next_local(now, self.car.default_intent.depart_local)

    def was_there(self, at: datetime) -> bool:
        """Whether it was plugged in at an instant, if it is now."""
        return self.since is None or self.since < at

    def departs_at(self, now: datetime) -> datetime:
        """Return when the driver next needs the car, as it is planned for.

        A driver who is late is due now: the car is kept as it was promised until it leaves or hears more.
        """
        return max(self.stated_at(now), now)

    def is_late(self, now: datetime) -> bool:
        """Whether its driver was to come by now, and may still: nothing is taken of what was promised."""
        return now - LATE <= self.stated_at(now) <= now

    def is_urgent(self, now: datetime) -> bool:
        """Whether its driver comes within half an hour and it is not yet charged as promised."""
        return self.departs_at(now) - now < HALF_HOUR and self.energy_kwh(now) < self.target_kwh()

    def short_kwh(self, now: datetime) -> float:
        """Return by how much it will miss its target even at full power from now on, at least 0. [kWh]"""
        tapers, gain_kwh = Tapers.of_car(self.car), self._gain_kwh((self.departs_at(now) - now) / HOUR)
        reached_kwh = tapers.energy_kwh(tapers.effort_kwh(self.energy_kwh(now)) + gain_kwh)
        return max(0.0, self.target_kwh() - float(reached_kwh))

    def least_kwh(self, hours_left: float, share: float = 1.0) -> float:
        """Return the least charge from which a share of full power still brings the target in time. [kWh]"""
        tapers = Tapers.of_car(self.car)
        effort_kwh = tapers.effort_kwh(self.target_kwh()) - share * self._gain_kwh(hours_left)
        return float(tapers.energy_kwh(effort_kwh))

    def taken_kw(self, now: datetime) -> float:
        """Return the most that its battery takes now: less, near full. [kW]"""
        tapers = Tapers.of_car(self.car)
        above_kwh = max(0.0, self.energy_kwh(now) - float(tapers.from_kwh))
        most_kw = self.car.charger.charge_kw * max(0.0, 1.0 - float(tapers.slope_per_kwh) * above_kwh)
        return min(most_kw, self.full_kw)

    def is_full(self, now: datetime) -> bool:
        """Whether it takes no more: told to charge it draws nothing, or next to nothing is missing.

        What is reckoned with is the least that it may store: a full car is seldom known to be quite full.
        """
        soc, point, report = self.energy_kwh(now) / self.car.capacity_kwh, self.standing, self.report
        is_told = point is not None and point.expires_at > now and point.export_w < 0
        if is_told and point is not None and report is not None and report.measured_at > point.issued_at:
            return soc >= NEARLY_FULL_SOC and report.export_w > -IDLE_W
        return soc >= FULL_SOC

    def moved_kwh(self, energy_kwh: float, moves: Iterable[tuple[float, float]]) -> float:
        """Return what is stored once it has moved some powers for some hours each. [kWh]

        Args:
            energy_kwh: Stored before. [kWh]
            moves: Each power and how long. [kW AC, export positive; h]
        """
        charger = self.car.charger
        for kw, hours in moves:
            inside_kw = kw / charger.eta_discharge if kw > 0 else kw * charger.eta_charge
            energy_kwh = min(self.car.capacity_kwh, max(0.0, energy_kwh - inside_kw * hours))
        return energy_kwh

    def charging_hours(self, now: datetime) -> float:
        """Return how long it has to charge at full power to reach its target, 0 where it is there. [h]"""
        tapers = Tapers.of_car(self.car)
        ahead_kwh = tapers.effort_kwh(self.target_kwh()) - tapers.effort_kwh(self.energy_kwh(now))
        return max(0.0, float(ahead_kwh)) / self._gain_kwh(1.0)

    def _gain_kwh(self, hours: float) -> float:
        """Return what full power puts in while it does not taper. [kWh]"""
        return self.car.charger.eta_charge * self.full_kw * hours

    def target_kwh(self) -> float:
        """Return what must be stored at departure: as stated, else by the default intent. [kWh]"""
        said = self.wish if self.wish is not None else self.report
        stated = said.target_soc if said is not None else None
        soc = stated if stated is not None else self.car.default_intent.target_soc
        return min(1.0, soc) * self.car.capacity_kwh


class FleetView:
    """All cars' views, updated by reports, by drivers' words and by what was sent.

    Args:
        fleet: The cars.
        guard_soc: Kept above the floor, as a fraction.
        hysteresis_soc: How far a car that rests must rise above that, as a fraction.
        soc_step: In which cars report their state of charge, as a fraction.
        charger_words: What chargers passed on before this began, of cars whose drivers use the door.
    """

    def __init__(
        self,
        fleet: Fleet,
        guard_soc: float,
        hysteresis_soc: float,
        soc_step: float,
        charger_words: Mapping[str, ChargerWord] | None = None,
    ) -> None:
        self._registered = fleet.by_id
        self._views = {car.car_id: CarView(car) for car in fleet.cars}
        self._batteries = {car.car_id: Battery(car, soc_step) for car in fleet.cars}
        self._slowing = {car.car_id: Slowing(car) for car in fleet.cars}
        self._told_since: dict[str, datetime] = {}
        self._odd: set[str] = set()
        self._charger_words = dict(charger_words or {})
        self._guard_soc = guard_soc
        self._hysteresis_soc = hysteresis_soc

    def observe(self, reports: Iterable[CarReport]) -> frozenset[str]:
        """Take reports in; return the cars that came, left, told their charge or their driver's new will."""
        changed = set()
        for report in reports:
            view = self._views.get(report.car_id)
            if view is None or (view.report is not None and view.report.measured_at > report.measured_at):
                continue
            if _will(view.report) != _will(report) or (not view.tells_charge and report.soc is not None):
                changed.add(report.car_id)
            self._charger_words[report.car_id] = self.charger_word(report.car_id).after(report)
            battery = self._batteries[report.car_id]
            battery.observe(report)
            self._note_taken(view, report)
            view = replace(
                view,
                car=self._as_learnt(view.car),
                report=replace(report, soc=battery.least_soc, soc_at=None),
                doubt_soc=battery.doubt,
                taken_kwh=battery.taken_kwh,
                since=view.since if _says_no_other(view.report, report) else report.measured_at,
            )
            if not report.plugged or (battery.least_soc or 0.0) >= (view.barred_below_soc or 0.0):
                view = replace(view, barred_below_soc=None)
            self._views[report.car_id] = replace(view, resting=self._must_rest(view, battery.least_soc))
        return frozenset(changed)

    def bar(self, car_id: str, *, until_risen: bool) -> None:
        """Let a car rest that the interlock refused: until its charge has risen, or it is allowed again."""
        view = self._views[car_id]
        soc = view.report.soc if view.report is not None else None
        below = soc + self._hysteresis_soc if until_risen and soc is not None else inf
        self._views[car_id] = replace(view, barred_below_soc=below, resting=True)

    def allow(self, car_id: str) -> None:
        """Count on a car again whose discharge the interlock would no longer refuse."""
        view = replace(self._views[car_id], barred_below_soc=None)
        soc = view.report.soc if view.report is not None else None
        self._views[car_id] = replace(view, resting=self._must_rest(view, soc))

    def heed(self, words: Mapping[str, Words], now: datetime) -> frozenset[str]:
        """Take what drivers want by now; return the cars whose driver wants something else than before."""
        new = {
            car_id: self.wished(car_id, words[car_id], now) for car_id in words.keys() & self._views.keys()
        }
        changed = {car_id: view for car_id, view in new.items() if view.wish != self._views[car_id].wish}
        self._views |= changed
        return frozenset(changed)

    def wished(self, car_id: str, words: Words, now: datetime) -> CarView:
        """Return a car's view with what its driver wants by now, whether or not it was heeded yet."""
        view = self._views[car_id]
        if not words:
            return view
        car = self._as_learnt(self._registered[car_id])
        wish = wish_of(words, self.charger_word(car_id), car.default_intent, now)
        if wish.source == "week":
            before = wish_of(words, self.charger_word(car_id), car.default_intent, now - LATE)
            usual = before.depart_at if before.source == "week" else None
            if usual is not None and view.was_there(usual):
                wish = replace(wish, depart_at=usual, target_soc=before.target_soc)
        view = replace(view, car=as_wished(car, wish), wish=wish)
        if view.report is None:
            return view
        return replace(view, resting=self._must_rest(view, view.report.soc))

    def charger_word(self, car_id: str) -> ChargerWord:
        """Return what a car's charger passes on of its driver's will."""
        return self._charger_words.get(car_id, SILENT)

    def recall(self, reports: Iterable[CarReport]) -> None:
        """Reckon on from what was told before: cars are seen once they report again."""
        for report in reports:
            if report.car_id in self._batteries:
                self._batteries[report.car_id].observe(report)

    def new_capacities(self) -> tuple[Car, ...]:
        """Return the cars of whose capacity the registers now tell another story, each once, as learnt."""
        found = {name for name, battery in self._batteries.items() if battery.is_odd} - self._odd
        self._odd |= found
        return tuple(self._views[name].car for name in sorted(found))

    def sent(self, points: Iterable[SetPoint]) -> None:
        """Note set-points that chargers have taken."""
        for point in points:
            view = self._views[point.car_id]
            if not _goes_on(view.standing, point):
                self._told_since[point.car_id] = point.issued_at
            self._views[point.car_id] = replace(view, standing=point)

    def all(self) -> tuple[CarView, ...]:
        """Return every view, in fleet order."""
        return tuple(self._views.values())

    def of(self, car_id: str) -> CarView:
        """Return one car's view."""
        return self._views[car_id]

    def standing(self, now: datetime) -> list[SetPoint]:
        """Return the set-points in force."""
        points = [view.standing for view in self._views.values() if view.standing is not None]
        return [point for point in points if point.expires_at > now]

    def _as_learnt(self, car: Car) -> Car:
        """Return a car with what its registers have told of its battery."""
        capacity_kwh, taper = self._batteries[car.car_id].capacity_kwh, self._slowing[car.car_id].taper
        if (car.capacity_kwh, car.taper) == (capacity_kwh, taper):
            return car
        return replace(car, capacity_kwh=capacity_kwh, taper=taper)

    def _note_taken(self, view: CarView, report: CarReport) -> None:
        """Note what a car took from its last report to this one, if it was told one power all the while."""
        before, point, soc = view.report, view.standing, self._batteries[report.car_id].soc
        if before is None or before.soc is None or soc is None or point is None or point.export_w >= 0:
            return
        told_since = self._told_since[report.car_id]
        told = told_since + SETTLES <= before.measured_at and report.measured_at <= point.expires_at
        hours = (report.measured_at - before.measured_at) / HOUR
        if told and hours > 0 and counts_on(view.car.charger, before, report):
            took_kw = (report.import_wh - before.import_wh) / W_PER_KW / hours
            self._slowing[report.car_id].note((before.soc + soc) / 2, -point.export_w / W_PER_KW, took_kw)

    def _must_rest(self, view: CarView, soc: float | None) -> bool:
        if soc is None or (view.barred_below_soc is not None and soc < view.barred_below_soc):
            return True
        lowest = view.car.floor_soc + max(self._guard_soc, view.doubt_soc)
        return soc < lowest + (self._hysteresis_soc if view.resting else 0.0)


def fuse_shares(views: Sequence[CarView]) -> dict[str, float]:
    """Return the share of full power that each home's fuse leaves to its cars if all charge, by site."""
    asked_kw: dict[str, float] = defaultdict(float)
    for view in views:
        asked_kw[view.car.site.site_id] += view.full_kw
    limit_kw = {view.car.site.site_id: view.car.site.import_limit_kw for view in views}
    return {name: min(1.0, limit_kw[name] / kw) for name, kw in asked_kw.items()}


def _goes_on(standing: SetPoint | None, point: SetPoint) -> bool:
    """Whether a car is told what it is doing already, to within what is no news."""
    if standing is None or standing.expires_at < point.issued_at:
        return False
    return abs(standing.export_w - point.export_w) <= IDLE_W


def _says_no_other(last: CarReport | None, report: CarReport) -> bool:
    """Whether a report says of the plug what the last one said, or is the first."""
    return last is None or last.plugged == report.plugged


def _will(report: CarReport | None) -> tuple[bool, bool, datetime | None, float | None] | None:
    if report is None:
        return None
    return report.plugged, report.boost, report.depart_at, report.target_soc
