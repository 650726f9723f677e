"""The promises about figures: registers are the truth, statements repeat, sums close."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal

from aggregator.audit.evidence import ALWAYS, Evidence, Finding
from aggregator.cycles import credit_gbp
from aggregator.lookback import known
from aggregator.model.market import Product
from aggregator.model.money import pounds
from aggregator.model.time import Interval, utc_text
from aggregator.settlement import Line
from aggregator.settling import SETTLED_STAGES, Worked, versions_kept, work_out
from aggregator.store import OF_DRIVERS, StoredStatement

PAYERS = ("market_kwh", "fit_export_kwh", "export_tariff_kwh", "not_paid_kwh")


def p9_registers(evidence: Evidence) -> Finding:
    """Registers run backwards only where an event says so, and each statement can be made again as it was.

    Of one whose readings have changed since it is told that its next version is due.
    """
    breaches: list[str] = []
    recorded = {(event.meter_id, event.at) for event in evidence.store.register_events.all()}
    store, fleets = evidence.store, evidence.fleets
    readings = store.readings.between(fleets.charger_ids, ALWAYS)
    at_boundaries = store.boundary_readings.between(fleets.site_ids, ALWAYS)
    for before, after in (*itertools.pairwise(readings), *itertools.pairwise(at_boundaries)):
        if before.charger_id != after.charger_id:
            continue
        fell = after.import_wh < before.import_wh or after.export_wh < before.export_wh
        if fell and (after.charger_id, after.measured_at) not in recorded:
            breaches.append(
                f"{after.charger_id} at {utc_text(after.measured_at)}: registers {after.import_wh} Wh in,"
                f" {after.export_wh} Wh out, less than before"
            )
    made = due = 0
    for worked in _worked(evidence):
        name = worked.opportunity.opportunity_id
        stored = evidence.store.statements.latest(name)
        made += 1
        if stored is None:
            breaches.append(f"{name} is settled and has no statement")
            continue
        at, said = versions_kept(store, name)[-1]
        then = worked
        if stored.digest != worked.digest:
            product = evidence.settings.products[worked.opportunity.product_id]
            then = work_out(store, known(store, worked.opportunity, at), product, fleets, at)
            due += 1
        if (stored.digest, stored.body) != (then.digest, repr(then.statement).encode()):
            breaches.append(f"statement {stored.version} of {name} comes out differently now")
        if (said.digest, said.amount_gbp) != (stored.digest, str(then.statement.amount_gbp)):
            breaches.append(f"statement {stored.version} of {name}: the journal says GBP {said.amount_gbp}")
    count = len(readings) + len(at_boundaries)
    what = f"readings ({count}) and statements made again ({made})"
    unchecked = f"statements whose next version is due, as readings changed ({due})" if due else ""
    return Finding("P9 registers", what, count + made, tuple(breaches), unchecked)


def p10_sums(evidence: Evidence) -> Finding:
    """Delivered is the clamp of metered less baseline; shares add to it; money adds to the penny."""
    checked, breaches = 0, []
    of_zones: dict[tuple[str, Interval, int], list[Line]] = {}
    for worked in _worked(evidence):
        product = evidence.settings.products[worked.opportunity.product_id]
        for line in worked.statement.lines:
            checked += 1
            of_zones.setdefault((line.zone, line.period, product.direction.sign), []).append(line)
            breaches += [
                f"{line.opportunity} {utc_text(line.period.start)}: {text}"
                for text in line_faults(line, product, alone=not worked.beside)
            ]
        if worked.statement.amount_gbp != sum(line.amount_gbp for line in worked.statement.lines):
            breaches.append(f"{worked.opportunity.opportunity_id}: the amount is not the sum of its lines")
    breaches += [text for (*_, sign), lines in of_zones.items() for text in zone_faults(lines, sign)]
    of_drivers = evidence.store.statements.starting(OF_DRIVERS)
    for one in of_drivers:
        breaches += [f"{one.name}, version {one.version}: {text}" for text in driver_faults(one)]
    what = f"statement lines, and drivers' statements ({len(of_drivers)})"
    return Finding("P10 sums", what, checked + len(of_drivers), tuple(breaches))


def driver_faults(one: StoredStatement) -> Iterator[str]:
    """Yield what does not add up in a driver's monthly statement, apart from how it was made."""
    figures = json.loads(one.body)["figures"]
    text = json.dumps(figures, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != one.digest:
        yield "its digest is not that of what it says"
    month = figures["month"]
    if month["cycles"] != sum(night["counts"] == "yes" for night in figures["nights"]):
        yield f"{month['cycles']} nights are said to count, and others do"
    if Decimal(month["credit_gbp"]) != credit_gbp(month["cycles"]):
        yield f"GBP {month['credit_gbp']} for {month['cycles']} nights"
    for home in figures["home"]:
        for row in (home, *home["half_hours"]):
            if sum(Decimal(row[part]) for part in PAYERS) != Decimal(row["export_kwh"]):
                yield f"home {home['site_id']}: who pays does not add to {row['export_kwh']} kWh exported"
        for part in (*PAYERS, "export_kwh"):
            if sum(Decimal(row[part]) for row in home["half_hours"]) != Decimal(home[part]):
                yield f"home {home['site_id']}: half-hours do not add to {part} {home[part]}"


def zone_faults(lines: Sequence[Line], sign: int) -> Iterator[str]:
    """Yield where orders of a zone count more than it moved, in a half-hour and a direction.

    Args:
        lines: All of it.
        sign: 1 for more export, -1 for less.
    """
    delivered = sum(line.delivered_wh for line in lines)
    moved = max(sign * (line.metered_export_wh - line.baseline_export_wh) for line in lines)
    if delivered > max(moved, 0):
        names = ", ".join(line.opportunity for line in lines)
        yield f"{names} {utc_text(lines[0].period.start)}: delivered {delivered} Wh, moved {moved} Wh"


def line_faults(line: Line, product: Product, *, alone: bool) -> Iterator[str]:
    """Yield what does not add up in a line, worked out apart from how it was settled.

    Args:
        line: The line.
        product: Its rules.
        alone: Whether no other order of the zone has a part in what it moved; ``zone_faults`` looks at all.
    """
    moved = product.direction.sign * (line.metered_export_wh - line.baseline_export_wh)
    based = line.is_settled
    most = min(max(moved, 0), line.instructed_wh) if based else 0
    if line.delivered_wh < 0 or line.delivered_wh > most or (alone and line.delivered_wh < most):
        yield f"delivered {line.delivered_wh} Wh, moved {moved} Wh of {line.instructed_wh} Wh"
    against = (
        min(moved, 0) if product.performance.wrong_way_is_missing and based and line.instructed_wh else 0
    )
    least = line.instructed_wh if based else 0
    told = line.delivered_wh + line.deficiency_wh
    if told > least - against or told < (least - against if alone else least):
        yield "delivered and missing are not the instructed energy"
    if sum(wh for _, wh in line.shares_wh) != line.delivered_wh:
        yield "the cars' shares do not add to what the zone delivered"
    if line.amount_gbp != pounds(line.availability_gbp + line.utilisation_gbp - line.penalty_gbp):
        yield "the amount is not availability and utilisation less penalty"


def _worked(evidence: Evidence) -> Iterator[Worked]:
    for opportunity in evidence.opportunities:
        if opportunity.stage in SETTLED_STAGES and opportunity.statement_version:
            product = evidence.settings.products[opportunity.product_id]
            yield work_out(evidence.store, opportunity, product, evidence.fleets)
