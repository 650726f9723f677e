"""The cars that no window holds: the base plan of the running half-hour, and what each is told of it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.metering import Purpose, SetPoint
from aggregator.model.time import HALF_HOUR, floor_half_hour
from aggregator.ports import Rebound
from dispatch.fleet_view import CarView
from dispatch.home_rooms import Room
from dispatch.plan_run import PlanStep, Prices, plan_zone, priced, slots_from
from dispatch.rebound import waits, within_peak
from dispatch.window_run import held_watts

NOTHING_W = 0
OVERLAP = timedelta(minutes=5)
"""Charging runs on for so long past its half-hour, so that a late cycle leaves no gap; so does giving, for as
long as it holds."""


@dataclass(frozen=True, slots=True)
class Together:
    """Cars of a zone that are planned together.

    Attributes:
        views: The cars.
        rooms: What homes leave to their cars, by site.
        boosted: Cars whose drivers have switched V2G off, told elsewhere: the fuse is theirs first.
    """

    views: Sequence[CarView]
    rooms: Mapping[str, Room]
    boosted: Sequence[CarView]


class PlannedCars:
    """Holds the half-hour's plan, made anew when it ends, and for a home where what it is made of changes.

    Args:
        fleet: The cars and their homes.
        prices: Tariff of a zone for given slots.
        guard_soc: Planned for above drivers' targets. [fraction of capacity]
        set_point: How long a discharge holds.

    Attributes:
        refills: Per zone that refills or has: what it keeps to, and the least peak by which all its drivers
            leave as promised. [kW]
    """

    def __init__(self, fleet: Fleet, prices: Prices, guard_soc: float, set_point: timedelta) -> None:
        self._prices, self._guard_soc, self._set_point = prices, guard_soc, set_point
        self._home_of = {car.car_id: car.site.site_id for car in fleet.cars}
        self._homes: dict[str, list[str]] = defaultdict(list)
        for car_id, site_id in self._home_of.items():
            self._homes[site_id].append(car_id)
        self._plans: dict[str, PlanStep] = {}
        self._steps: dict[str, PlanStep] = {}
        self._zone_of = {car.car_id: car.site.zone for car in fleet.cars}
        self._changed: set[str] = set()
        self._rising: set[str] = set()
        self._for: datetime | None = None
        self._meant: dict[str, tuple[datetime, Mapping[str, float]]] = {}
        self.refills: dict[str, tuple[Rebound, float]] = {}

    def anew(self, cars: Iterable[str]) -> None:
        """Let the homes of cars be planned again that came, left, or whose drivers want something else."""
        changed = set(cars)
        self._changed |= changed
        for zone in {self._zone_of[car_id] for car_id in changed}:
            self._meant.pop(zone, None)

    def short_kwh(self, car_id: str) -> float:
        """Return by how much a planned car will miss its target. [kWh]"""
        return self._steps[car_id].short_kwh

    async def points(
        self,
        zones: Mapping[str, Sequence[CarView]],
        urgent: Sequence[CarView],
        rooms: Mapping[str, Room],
        boosted: Sequence[CarView],
        boosted_kw: Mapping[str, float],
        rebound: Callable[[str, datetime], Rebound | None],
        now: datetime,
    ) -> list[SetPoint]:
        """Return what the cars are told.

        Thousands are planned in seconds: drivers, platforms and reports are heard meanwhile.

        Args:
            zones: The cars by their zones.
            urgent: Those that take their part of a home's fuse, and are told elsewhere.
            rooms: What homes leave to their cars, by site.
            boosted: Cars whose drivers have switched V2G off, told elsewhere.
            boosted_kw: What they draw in each zone. [kW]
            rebound: What a zone keeps to after an event, at an instant.
            now: Domain instant.
        """
        self._rise([*(view for views in zones.values() for view in views), *urgent], now)
        changed, points = self._begin(now), []
        for zone, views in zones.items():
            here = [*views, *(view for view in urgent if view.car.site.zone == zone)]
            keeps_to = rebound(zone, now)
            new = await self._plan(zone, Together(here, rooms, boosted), now)
            kept_to, _ = self.refills.get(zone, (None, 0.0))
            if keeps_to is None:
                self._steps |= new
            elif here and (new or zone in changed or kept_to != keeps_to):  # what one draws, another must not
                steps = {(name := view.car.car_id): self._plans[name] for view in here}
                others_kw = boosted_kw.get(zone, 0.0)
                refill = await asyncio.to_thread(
                    within_peak, steps, here, keeps_to, others_kw, self._guard_soc, now
                )
                self.refills[zone] = keeps_to, refill.peak_kw
                self._steps |= refill.steps
            points += [self._point(view, keeps_to, now) for view in views]
        return points

    async def meant_kw(self, zone: str, here: Together, now: datetime) -> Mapping[str, float]:
        """Return what cars that a window holds would draw by their own plans of this half-hour. [kW]"""
        half_hour, (planned_for, meant_kw) = floor_half_hour(now), self._meant.get(zone, (None, {}))
        if planned_for != half_hour or meant_kw.keys() != {view.car.car_id for view in here.views}:
            plans = await self._plans_of(zone, here, now)
            meant_kw = {name: max(0.0, -step.export_kw) for name, step in plans.items()}
            self._meant[zone] = half_hour, meant_kw
        return meant_kw

    async def _plans_of(self, zone: str, here: Together, now: datetime) -> dict[str, PlanStep]:
        slots = slots_from(now)
        tariff = self._prices(zone, priced(slots))
        return await asyncio.to_thread(
            plan_zone, here.views, slots, tariff, self._guard_soc, here.rooms, here.boosted
        )

    def _rise(self, views: Iterable[CarView], now: datetime) -> None:
        """Plan those anew that have reached their floors: full power was meant until then."""
        below = {view.car.car_id for view in views if view.energy_kwh(now) < view.floor_kwh}
        self._changed |= self._rising - below
        self._rising = below

    def _begin(self, now: datetime) -> set[str]:
        """Forget the plans that no longer hold; return the zones of the cars that changed."""
        changed, self._changed = self._changed, set()
        half_hour = floor_half_hour(now)
        if self._for != half_hour:
            self._plans, self._steps, self._for = {}, {}, half_hour
        for home in {self._home_of[car_id] for car_id in changed}:
            for together in self._homes[home]:
                self._plans.pop(together, None)
                self._steps.pop(together, None)
        return {self._zone_of[car_id] for car_id in changed}

    async def _plan(self, zone: str, here: Together, now: datetime) -> Mapping[str, PlanStep]:
        """Plan the cars that have no plan; return what their plans say."""
        new = [view for view in here.views if view.car.car_id not in self._plans]
        if not new:
            return {}
        plans = await self._plans_of(zone, replace(here, views=new), now)
        self._plans |= plans
        return plans

    def _point(self, view: CarView, rebound: Rebound | None, now: datetime) -> SetPoint:
        step = self._steps[view.car.car_id]
        watts = held_watts(step.export_kw, view.car)
        may_not_give = watts > 0 and view.resting
        if may_not_give or (watts < 0 and not step.must_charge and waits(view, rebound, now)):
            watts = NOTHING_W
        charges_until = floor_half_hour(now) + HALF_HOUR + OVERLAP
        expires = now + self._set_point if watts > 0 else charges_until
        purpose = Purpose.MUST_CHARGE if watts < 0 and step.must_charge else Purpose.PLAN
        return SetPoint(view.car.car_id, watts, now, expires, purpose)
