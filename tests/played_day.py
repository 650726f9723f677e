"""A winter day of the demo's 135 cars in one process: real sessions, scripted orders, drivers and troubles.

The simulated fleet, the control loop, the targets and the interlock are the real ones; only the network
between them is left out, and the clock goes from one thing that happens to the next. The truth is judged.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from aggregator.demo import day
from aggregator.energy import Tariff
from aggregator.model.fleet import Fleet
from aggregator.model.market import Instruction, Nomination, OrderMode, Step
from aggregator.model.metering import Outcome, SafeDefault, SetPoint
from aggregator.model.opportunity import Instructed, InstructionCancelled, Opportunity, replay
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour
from aggregator.targets import rebound, zone_target
from dispatch.controller import Controller
from dispatch.fleet_simulator.script import Act, Kind, Stay
from dispatch.fleet_simulator.troubles import Trouble
from dispatch.fleet_simulator.truth import TruthLog
from dispatch.fleet_simulator.world import World
from dispatch.links.messages import PointRow
from dispatch.records import LoopSettings
from tests.builders import an_event_key
from tests.fakes.clock import FakeClock

FIVE_PM = datetime(2025, 1, 8, 17, tzinfo=UTC)
EVENT = Interval(FIVE_PM, FIVE_PM + 2 * HOUR)
SLOTS = EVENT.slots(HALF_HOUR)
STARTS_AT, ORDERED_AT, ENDS_AT = FIVE_PM - 2 * HOUR, FIVE_PM - HOUR, FIVE_PM + 17 * HOUR
AMENDED_AT, CANCELLED_AT = FIVE_PM + timedelta(minutes=50), FIVE_PM + timedelta(minutes=70)
AMENDED_ZONE, AMENDED_PART, CANCELLED_ZONE = "Canvey", 0.6, "Hendon Way"
CARS_FOR_EACH = 34
"""Of so many cars one is boosted in the event, and one leaves in it."""

SOC_STEP = 0.01
MINUTES = 60
W_PER_KW = 1000.0
WH_PER_HALF_HOUR_KW = 500.0
SURELY_TAKEN = 0.95
"""Share of the power that a car has to charge that it surely takes in: it is told once a cycle."""


@dataclass(frozen=True)
class Way:
    """How a day is played."""

    troubles: tuple[Trouble, ...] = ()
    seed: int = 1
    cycle_s: int = 60
    ordered_kw: float = 30.0
    starts_at: datetime = STARTS_AT
    ends_at: datetime = ENDS_AT
    zones: tuple[str, ...] = ("Canvey", "Hendon Way", "Wrotham")
    target_soc: float | None = None
    leave_at: datetime | None = None
    """When all leave that came by then; as they did without."""


class WorldLink:
    """Hands set-points to the simulated fleet, without a network."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def apply(self, points: Sequence[SetPoint]) -> Sequence[Outcome]:
        rows = [
            PointRow(car_id=one.car_id, export_w=one.export_w, expires_at=one.expires_at) for one in points
        ]
        return self._world.command(rows)

    async def set_fallback(self, defaults: Mapping[str, SafeDefault]) -> None:
        self._world.set_fallback(defaults)


def cheap_nights(_zone: str, slots: Sequence[Interval]) -> Tariff:
    """Return a tariff by which cars charge from half past midnight to half past four."""
    hours = [slot.start.hour + slot.start.minute / 60 for slot in slots]
    price = np.array([0.1 if 0.5 <= hour < 4.5 else 0.3 for hour in hours])
    return Tariff(price, np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool))


class PlayedDay:
    """The day, its parts, and what came of it.

    Attributes:
        net_kwh: What each zone truly exported by half-hour, negative where it drew.
        wanted_kwh: What it should have by half-hour, while it was in a window.
        served_kwh: What it truly did meanwhile.
        notices: All that was told.
        alarms: Those of them that a desk where nobody clears any would see.
        boosted_after: How long after each boost its car drew power.
    """

    def __init__(self, way: Way, nominations: Mapping[str, Mapping[Interval, Nomination]]) -> None:
        self.way, self.fleet, self.nominations = way, _fleet_of(way.zones), nominations
        self._draw = np.random.default_rng(way.seed)
        self.stays = [one for one in _stays(way.leave_at) if one.car_id in self.fleet.by_id]
        self.acts = self._acts() if way.ordered_kw else self._intents()
        self.clock = FakeClock(way.starts_at)
        self.world = World(
            self.fleet.cars,
            self.stays,
            self.acts,
            starts_at=way.starts_at,
            seed=way.seed,
            interval_s=way.cycle_s,
            truth=TruthLog(io.StringIO()),
            troubles=way.troubles,
        )
        self.controller = Controller(
            self.fleet, WorldLink(self.world), self.clock, self, cheap_nights, self._record, self._settings()
        )
        self._zone_rows = {
            zone: [n for n, car in enumerate(self.fleet.cars) if car.site.zone == zone]
            for zone in self.fleet.zones
        }
        self.net_kwh: dict[tuple[str, datetime], float] = {}
        self.wanted_kwh: Counter[tuple[str, datetime]] = Counter()
        self.served_kwh: Counter[tuple[str, datetime]] = Counter()
        self.notices: list = []
        self.alarms: list = []
        self.outcomes: Counter[Outcome] = Counter()
        self.boosted_after: dict[str, timedelta] = {}

    # what the loop follows

    def targets(self, now: datetime):
        found = [
            zone_target(zone, now, self._orders(zone, now), self.nominations.get(zone, {}), ())
            for zone in self.fleet.zones
        ]
        return tuple(one for one in found if one is not None)

    def stopped(self):
        return ()

    def rebound(self, zone: str, now: datetime):
        over = [one for one in self._orders(zone, now) if self._is_over(one, now)]
        return rebound(over, self.nominations.get(zone, {}), now)

    # the day

    async def play(self) -> "PlayedDay":
        """Play it to its end."""
        due, last = self.way.starts_at, self._net_wh()
        self.controller.observe(self.world.snapshot())
        while (now := self.clock.now()) < self.way.ends_at:
            if now >= due or self.controller._wake.is_set():
                await self.controller.cycle()
                due = min(now + timedelta(seconds=self.way.cycle_s), self.controller._boundary)
                continue
            until = min(due, self.world.next_stop_at, self.way.ends_at)
            self.clock.set(until)
            before = self._net_wh()
            for batch in self.world.advance(until):
                self.controller.observe(batch.reports)
            self._count_wanted(now, until, self._net_wh() - before)
            if until == floor_half_hour(until):
                last = self._count_net(until - HALF_HOUR, last)
            self._watch_boosts(until)
        return self

    def departures(self) -> tuple[int, list[str]]:
        """Return how many departures were promised and possible, and which fell short."""
        checked, missed, summary = 0, [], self.world.summary()
        for left in summary["departures"]:
            car = self.fleet.by_id[left["car_id"]]
            came = max(datetime.fromisoformat(left["plugged_in_at"]), self.way.starts_at)
            at = datetime.fromisoformat(left["at"])
            due = datetime.fromisoformat(left["depart_at"]) if left["depart_at"] else None
            if left["early"] or left["boosted"] or due is None or at < due:
                continue
            known = came + day.SPEAKS_AFTER
            per_minute = SURELY_TAKEN * car.charger.eta_charge * car.charger.charge_kw / MINUTES
            per_minute /= summary["true_capacity_kwh"][car.car_id]
            soc = left["arrival_soc"]
            for _ in range(int((due - known) / HOUR * MINUTES)):
                soc += per_minute * min(1.0, 1.0 - 0.8 * (soc - 0.8) / 0.2)
            if soc < left["target_soc"]:
                continue
            checked += 1
            if left["true_soc"] < left["target_soc"] - 0.02:
                missed.append(f"{car.car_id}: {left['true_soc']:.3f} of {left['target_soc']:.3f}")
        return checked, missed

    def floor_margins(self) -> dict[str, float]:
        """Return the lowest true state of charge above its floor of each car that gave energy."""
        lowest = self.world.summary()["lowest_true_soc_while_discharging"]
        return {
            name: soc - self.fleet.by_id[name].floor_soc for name, soc in lowest.items() if soc is not None
        }

    def tracking(self) -> dict[tuple[str, datetime], float]:
        """Return by how much of what was wanted each zone was off in each half-hour of its order."""
        return {
            key: (self.served_kwh[key] - wanted) / wanted
            for key, wanted in sorted(self.wanted_kwh.items())
            if abs(wanted) > 1
        }

    def drawn_after_kw(self, zone: str) -> tuple[float, float]:
        """Return the most a zone drew in any half-hour after the event, and its nominated peak. [kW]"""
        ours = self.nominations[zone].values()
        after = [-2 * kwh for (of, at), kwh in self.net_kwh.items() if of == zone and at >= EVENT.end]
        return max(after), max(-one.export_wh / WH_PER_HALF_HOUR_KW for one in ours)

    def told(self) -> Counter[str]:
        """Return how many alarms there were of each thing."""
        return Counter(one.code for one in self.alarms)

    # parts

    async def _record(self, record) -> None:
        self.notices += record.notices
        for one in record.notices:
            if not one.goes_on or (one.code, one.where) not in {(o.code, o.where) for o in self.alarms}:
                self.alarms.append(one)
        self.outcomes.update(one.outcome for one in record.sent)

    def _settings(self) -> LoopSettings:
        seconds = timedelta(seconds=self.way.cycle_s)
        return LoopSettings(seconds, timedelta(seconds=120), seconds, SOC_STEP, 500.0, 2000.0)

    def _orders(self, zone: str, now: datetime) -> list[Opportunity]:
        if not self.way.ordered_kw or now < ORDERED_AT:
            return []
        key = an_event_key(event_id=f"order {zone}")
        order = _an_order(zone, key, [self.way.ordered_kw] * 4)
        facts = [Instructed(ORDERED_AT, order)]
        if zone == AMENDED_ZONE and now >= AMENDED_AT:
            amended = [self.way.ordered_kw * part for part in (1, 1, AMENDED_PART, AMENDED_PART)]
            facts.append(Instructed(AMENDED_AT, _an_order(zone, replace(key, modification=1), amended)))
        if zone == CANCELLED_ZONE and now >= CANCELLED_AT:
            facts.append(InstructionCancelled(CANCELLED_AT, replace(key, modification=1)))
        return [replay(f"order {zone}", facts)]

    def _is_over(self, one: Opportunity, now: datetime) -> bool:
        return one.instruction is None or one.instruction.window.end <= now

    def _count_wanted(self, now: datetime, until: datetime, net_wh: np.ndarray) -> None:
        for target in self.targets(now):
            key = target.zone, floor_half_hour(now)
            self.wanted_kwh[key] += target.export_kw[0] * ((until - now) / HOUR)
            self.served_kwh[key] += float(net_wh[self._zone_rows[target.zone]].sum()) / W_PER_KW

    def _count_net(self, half_hour: datetime, last: np.ndarray) -> np.ndarray:
        net = self._net_wh()
        for zone, rows in self._zone_rows.items():
            self.net_kwh[zone, half_hour] = float((net - last)[rows].sum()) / W_PER_KW
        return net

    def _net_wh(self) -> np.ndarray:
        return self.world._state.export_wh - self.world._state.import_wh

    def _watch_boosts(self, now: datetime) -> None:
        for act in self.acts:
            waits = act.kind is Kind.BOOST and act.at <= now and act.car_id not in self.boosted_after
            if waits and self.world._state.power_kw[self.world._index[act.car_id]] < -1:
                self.boosted_after[act.car_id] = now - act.at

    def _intents(self) -> list[Act]:
        leaves = {stay.car_id: stay for stay in self.stays}
        said = [
            (max(one.plugged_in_at, self.way.starts_at) + day.SPEAKS_AFTER, one) for one in leaves.values()
        ]
        return [
            Act(
                car_id=one.car_id,
                kind=Kind.INTENT,
                at=at,
                depart_at=one.plugged_out_at,
                target_soc=self.way.target_soc,
            )
            for at, one in said
            if one.plugged_out_at > at + timedelta(minutes=15)
        ]

    def _acts(self) -> list[Act]:
        there = [
            one.car_id
            for one in self.stays
            if one.plugged_in_at <= EVENT.start and one.plugged_out_at >= EVENT.end + HOUR
        ]
        boosts = leaves = max(1, len(self.fleet.cars) // CARS_FOR_EACH)
        chosen = self._draw.permutation(there)[: boosts + leaves].tolist()
        minutes = self._draw.integers(5, 110, len(chosen)).tolist()
        acts = self._intents()
        for n, (car_id, minute) in enumerate(zip(chosen, minutes, strict=True)):
            kind = Kind.BOOST if n < boosts else Kind.LEAVE
            acts.append(Act(car_id=car_id, kind=kind, at=EVENT.start + timedelta(minutes=minute, seconds=23)))
        return acts


async def nominations_of(way: Way) -> dict[str, dict[Interval, Nomination]]:
    """Return what the fleet does on the day with no order: what is nominated."""
    quiet = await PlayedDay(replace(way, troubles=(), ordered_kw=0.0, cycle_s=300), {}).play()
    found: dict[str, dict[Interval, Nomination]] = {zone: {} for zone in quiet.fleet.zones}
    for (zone, start), kwh in quiet.net_kwh.items():
        slot, wh = Interval(start, start + HALF_HOUR), round(kwh * W_PER_KW)
        found[zone][slot] = Nomination(zone, slot, wh, 0, 0, STARTS_AT)
    return found


def _fleet_of(zones: Sequence[str]) -> Fleet:
    whole = day.fleet()
    return Fleet(tuple(car for car in whole.cars if car.site.zone in zones), whole.digest)


def _stays(leave_at: datetime | None) -> list[Stay]:
    """Return the day's real stays, of each car the one that lasts into the evening."""
    return [
        Stay(
            car_id=one.car_id,
            plugged_in_at=one.plugged.start,
            plugged_out_at=leave_at or one.plugged.end,
            energy_kwh=one.energy_kwh,
            arrival_soc=one.arrival_soc,
        )
        for one in day.sessions()
        if one.plugged.end > STARTS_AT and one.plugged.start < (leave_at or ENDS_AT)
    ]


def usual_troubles() -> tuple[Trouble, ...]:
    """Return what goes wrong on a bad day, a little of everything."""
    early, late = FIVE_PM + timedelta(minutes=20), FIVE_PM + timedelta(minutes=40)
    return (
        Trouble(kind="soc_noise", share=1.0, by=0.01),
        Trouble(kind="soc_step", share=0.3, by=0.05),
        Trouble(kind="soc_late", share=0.2, late_s=300),
        Trouble(kind="soc_silent", share=0.15, starts_at=FIVE_PM, ends_at=FIVE_PM + HOUR),
        Trouble(kind="capacity", share=0.15, by=-0.1),
        Trouble(kind="capacity", share=0.15, by=0.1),
        Trouble(kind="slow", share=0.1, late_s=25),
        Trouble(kind="unanswered", share=0.02, late_s=30),
        Trouble(kind="lost", share=0.05, starts_at=early, ends_at=late),
    )


DEAF = Trouble(kind="deaf", share=0.1)


def _an_order(zone: str, key, levels: Sequence[float]) -> Instruction:
    steps = tuple(Step(slot, kw) for slot, kw in zip(SLOTS, levels, strict=True))
    return Instruction(key, zone, "day-ahead", OrderMode.DELTA, steps, ORDERED_AT)
