"""``flexloop audit``: every promise over a whole database, with how many facts each check looked at.

Nothing checked is a failure, not a pass; a promise whose check is still to come says so and does not count
as kept. Where a simulation's true energies are stored, energy promises are judged on them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aggregator.audit import cars, departures, homes, messages, money, plans, ramp
from aggregator.audit.evidence import Evidence, Finding

Check = Callable[[Evidence], Finding]

CHECKS: Mapping[str, Check] = {
    "P1": cars.p1_floor,
    "P2": departures.p2_departure,
    "P3": cars.p3_boost,
    "P4": homes.p4_sites,
    "P5": cars.p5_expiry,
    "P6": cars.p6_interlock,
    "P7": messages.p7_approval,
    "P8": messages.p8_durable,
    "P9": money.p9_registers,
    "P10": money.p10_sums,
    "P11": plans.p11_split,
    "P12": cars.p12_stale,
    "P13": plans.p13_nomination,
    "P14": ramp.p14_ramp,
}
"""The check of each promise, by its number."""

PROMISES: Mapping[str, str] = {
    "P1": "in V2G mode no car is discharged below 30%, or the driver's higher floor",
    "P2": "a car that can reach its target by the promised time does; one that can't charges at full power"
    " and its shortfall is told",
    "P3": "the driver's button wins within a cycle: out of the dispatch, full power",
    "P4": "no home exports above its approval or imports above its fuse; no approval in force, no discharge",
    "P5": "every set-point ends by itself, one that discharges within 120 s",
    "P6": "an independent check, sharing no code with the split, sees every set-point",
    "P7": "what leaves for a market is exactly a draft that two people, or a written rule, approved",
    "P8": "what a platform was told has one durable fact behind it, before the answer leaves",
    "P9": "meter registers are the truth; a late reading makes a new statement, never an edit",
    "P10": "Wh and pennies add up from car to zone to statement",
    "P11": "what is bid can be split in each scenario it was made from",
    "P12": "a silent car counts as 0 kW",
    "P13": "what is nominated is the plan made before the price was read",
    "P14": "the power moved per minute is bounded; one person stops all, two restart",
}
"""What each promise says, as the README tells it."""


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise was checked on at least one fact and none is broken."""
        return all(finding.checked > 0 and not finding.breaches for finding in self.findings)


def run_audit(evidence: Evidence, checks: Iterable[Check] = CHECKS.values()) -> Audit:
    """Check every promise, or some, on one state of the store: a gateway may go on writing."""
    with evidence.store.standing_still():
        return Audit(tuple(check(evidence) for check in checks))
