"""What the control loop finds out, in words for people."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from aggregator.model.fleet import Car
from aggregator.model.metering import SetPoint
from dispatch.following import Fault
from dispatch.interlock import Refusal
from dispatch.records import Notice


class News:
    """What has been told: a fault that lasts from cycle to cycle is told once."""

    def __init__(self) -> None:
        self._told: dict[str, set[str]] = defaultdict(set)

    def of(self, code: str, faulty: Collection[str], points: Iterable[SetPoint]) -> list[str]:
        """Return the cars whose fault is new.

        Args:
            code: Of the fault.
            faulty: The cars that have it now.
            points: What was tried: a car among them without the fault has it no longer.
        """
        known = self._told[code]
        new = sorted(set(faulty) - known)
        known -= {point.car_id for point in points} - set(faulty)
        known |= set(faulty)
        return new


def interlock_notice(refusal: Refusal, now: datetime) -> Notice:
    """Return what the interlock refused, with all figures."""
    text = f"{refusal.promise}: {refusal.reason}; refused {refusal.point}"
    return Notice(now, "interlock", refusal.point.car_id, text)


def capacity_notice(learnt: Car, registered: Car, now: datetime) -> Notice:
    """Return what a car's registers tell of its capacity, beside the registry."""
    told = f"registry {registered.capacity_kwh:.1f} kWh, by its registers {learnt.capacity_kwh:.1f} kWh"
    return Notice(
        now, "capacity_differs", learnt.car_id, f"{told}: the latter is used until the registry is right"
    )


def fault_notice(fault: Fault, now: datetime) -> Notice:
    """Return what a car moved beside what it was told."""
    moved = f"told {fault.told_kw:.2f} kW, moved {fault.measured_kw:.2f} kW"
    text = f"{moved}: not counted on until it follows again"
    return Notice(now, "not_following", fault.car_id, text)
