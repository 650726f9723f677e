"""``flexloop audit``: every promise over a whole database, with how many facts each check looked at.

Nothing checked is a failure, not a pass; a promise whose check is still to come says so and does not count
as kept. Where a simulation's true energies are stored, energy promises are judged on them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aggregator.audit import cars, homes, messages, money, plans
from aggregator.audit.evidence import Evidence, Finding

CHECKS: tuple[Callable[[Evidence], Finding], ...] = (
    cars.p1_floor,
    cars.p2_departure,
    cars.p3_boost,
    homes.p4_sites,
    cars.p5_expiry,
    cars.p6_interlock,
    messages.p7_approval,
    messages.p8_durable,
    money.p9_registers,
    money.p10_sums,
    plans.p11_split,
    cars.p12_stale,
    plans.p13_nomination,
    cars.p14_ramp,
)


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise was checked on at least one fact and none is broken."""
        return all(finding.checked > 0 and not finding.breaches for finding in self.findings)


def run_audit(evidence: Evidence, checks: Iterable[Callable[[Evidence], Finding]] = CHECKS) -> Audit:
    """Check every promise."""
    return Audit(tuple(check(evidence) for check in checks))
