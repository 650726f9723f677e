"""What the control loop finds out, in words for people."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from aggregator.model.figures import figure, kw, kwh
from aggregator.model.fleet import Car
from aggregator.model.metering import SetPoint
from aggregator.ports import EPOCH, Rebound, ZoneTarget
from dispatch.following import Fault
from dispatch.interlock import W_PER_KW, Refusal
from dispatch.ramp import Place
from dispatch.records import Notice

ORDER_SHORT, PEAK_EXCEEDED, SHORT_OF_TARGET = "order_short", "peak_exceeded", "short_of_target"
NOT_FOLLOWING, NOT_TAKEN, INTERLOCK = "not_following", "not_taken", "interlock"
CAPACITY_DIFFERS, RAMP_HELD = "capacity_differs", "ramp_held"
LASTING = (ORDER_SHORT, PEAK_EXCEEDED, SHORT_OF_TARGET, NOT_FOLLOWING, NOT_TAKEN, INTERLOCK, CAPACITY_DIFFERS)
"""Codes of what lasts from cycle to cycle."""

SEP = ", "
"""Between the cars of one notice."""

SHORT = 0.05
"""What may be missing of an order until it is told. [-]"""

HOLDS_ON = timedelta(minutes=5)
"""What was held and is held again so soon goes on."""

WORSE = 0.02
"""By how much a zone's draw is above what is known until it is told. [-]"""


class ShortOrders:
    """Orders that the cars cannot meet, each told once, and again when it is a good deal worse.

    Attributes:
        share: Per running order, by the last cycle: what is missing of it. [-]
    """

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self.share: dict[str, float] = {}

    def recall(self, told: Iterable[Notice]) -> None:
        """Take in what was told before this began and goes on."""
        self._told |= {one.about: one.amount for one in told if one.about and one.amount is not None}

    def note(self, target: ZoneTarget, missing_kwh: Sequence[float], now: datetime) -> list[Notice]:
        """Return what to tell of a zone's running order: what is missing of it until its end, of how much.

        Args:
            target: The zone's.
            missing_kwh: What cannot be had of it, slot by slot.
            now: Domain instant.
        """
        name, asked_kwh, shortfall_kwh = target.opportunity_ids[0], 0.0, 0.0
        rows = zip(target.opportunity_ids, target.export_kw, target.slots, missing_kwh, strict=True)
        for _, wanted_kw, slot, missing in (row for row in rows if row[0] == name):
            asked_kwh += max(0.0, target.direction.sign * wanted_kw) * slot.hours
            shortfall_kwh += missing
        if name is None:
            return []
        share = self.share[name] = shortfall_kwh / asked_kwh if asked_kwh > 0.0 else 0.0
        if share <= max(SHORT, 2 * self._told.get(name, 0.0)):
            return []
        self._told[name] = share
        beyond_kwh = shortfall_kwh - asked_kwh  # what they draw for their drivers
        asked = f"{kwh(asked_kwh)} still asked for (with what was nominated)"
        text = f"{figure(shortfall_kwh, 1)} of {asked} cannot be had from the cars here"
        if beyond_kwh > 0.0:
            text = (
                f"none of the {asked} can be had from the cars here, "
                f"which draw {kwh(beyond_kwh)} for their drivers"
            )
        return [Notice(now, ORDER_SHORT, target.zone, f"{name}: {text}", about=name, amount=share)]


class HighPeaks:
    """Zones that can't refill under their nominated peaks: told once an event, and when it gets worse."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Rebound | None, float]] = {}

    def recall(self, told: Iterable[Notice]) -> None:
        """Take in what was told before this began and goes on, of whatever event."""
        self._told |= {one.where: (None, one.amount) for one in told if one.amount is not None}

    def note(self, refills: Mapping[str, tuple[Rebound, float]], now: datetime) -> list[Notice]:
        """Return what to tell, given what each zone keeps to and the least peak that will do. [kW]"""
        notices = []
        for zone, (rebound, peak_kw) in refills.items():
            told, told_kw = self._told.get(zone, (rebound, rebound.import_kw))
            if told is None:
                told = rebound
                self._told[zone] = told, told_kw
            known_kw = told_kw if told == rebound else rebound.import_kw
            if peak_kw <= known_kw * (1 + WORSE):
                continue
            self._told[zone] = rebound, peak_kw
            text = (
                f"refilling takes {kw(peak_kw)}, so that all drivers leave as promised; "
                f"nominated were {kw(rebound.import_kw)} at most"
            )
            notices.append(Notice(now, PEAK_EXCEEDED, zone, text, amount=peak_kw))
        return notices


class Holds:
    """Zones in which cars wait for the bound on power moved: told as it begins, not car by car."""

    def __init__(self) -> None:
        self._last_at: dict[str, datetime] = {}

    def recall(self, told: Iterable[Notice], place_of: Mapping[str, Place]) -> None:
        """Take in what was told before this began."""
        for one in told:
            self._last_at |= {place_of[name][0]: one.at for name in one.where.split(SEP) if name in place_of}

    def are_over(self, cars: Iterable[str], place_of: Mapping[str, Place], now: datetime) -> bool:
        """Whether nobody has waited for ``HOLDS_ON`` in the zones of some cars."""
        zones = {place_of[name][0] for name in cars if name in place_of}
        return all(now - self._last_at.get(zone, EPOCH) > HOLDS_ON for zone in zones)

    def of(self, waiting: Collection[str], place_of: Mapping[str, Place], now: datetime) -> list[str]:
        """Return the waiting cars of zones in which none did for ``HOLDS_ON``."""
        zones = {place_of[car_id][0] for car_id in waiting}
        new = {zone for zone in zones if now - self._last_at.get(zone, EPOCH) > HOLDS_ON}
        self._last_at |= dict.fromkeys(zones, now)
        return sorted(car_id for car_id in waiting if place_of[car_id][0] in new)


class News:
    """What has been told: a fault that lasts from cycle to cycle is told once."""

    def __init__(self) -> None:
        self._told: dict[str, set[str]] = defaultdict(set)
        self._fine: dict[str, set[str]] = defaultdict(set)

    def recall(self, told: Iterable[Notice]) -> None:
        """Take in what was told before this began and goes on."""
        for one in told:
            self._told[one.code] |= set(one.where.split(SEP))

    def is_over(self, code: str, cars: Iterable[str]) -> bool:
        """Whether all of some cars that were told of were last found without the fault, since this began."""
        return self._fine[code].issuperset(cars)

    def of(self, code: str, faulty: Collection[str], points: Iterable[SetPoint]) -> list[str]:
        """Return the cars whose fault is new.

        Args:
            code: Of the fault.
            faulty: The cars that have it now.
            points: What was tried: a car among them without the fault has it no longer.
        """
        known = self._told[code]
        new = sorted(set(faulty) - known)
        fine = {point.car_id for point in points} - set(faulty)
        self._fine[code] = (self._fine[code] | fine) - set(faulty)
        known -= fine
        known |= set(faulty)
        return new


def interlock_notice(refusal: Refusal, now: datetime) -> Notice:
    """Return what the interlock refused, with all figures."""
    point = refusal.point
    until = f"{point.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    asked = f"{figure(point.export_w / W_PER_KW)} kW until {until}, for {point.purpose.value}"
    text = f"{refusal.promise}: {refusal.reason}; refused {asked}"
    return Notice(now, INTERLOCK, point.car_id, text)


def capacity_notice(learnt: Car, registered: Car, now: datetime) -> Notice:
    """Return what a car's registers tell of its capacity, beside the registry."""
    told = f"registry {kwh(registered.capacity_kwh)}, by its registers {kwh(learnt.capacity_kwh)}"
    text = f"{told}: the latter is used until the registry is right"
    return Notice(now, CAPACITY_DIFFERS, learnt.car_id, text, goes_on=True, amount=registered.capacity_kwh)


def fault_notice(fault: Fault, now: datetime) -> Notice:
    """Return what a car moved beside what it was told."""
    moved = f"told {kw(fault.told_kw)}, moved {kw(fault.measured_kw)}"
    unknown = "deaf or full, its state of charge is not known; " if fault.may_be_full else ""
    text = f"{moved}: {unknown}not counted on until it follows again"
    return Notice(now, NOT_FOLLOWING, fault.car_id, text, fault.goes_on, amount=fault.measured_kw)
