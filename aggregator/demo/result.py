"""What the demo comes to: a row per event, the fleet's figures, both settlements, the audit."""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from aggregator.audit import Audit
from aggregator.audit.evidence import ALWAYS
from aggregator.audit.present import audit_body, audit_table
from aggregator.audit.truth import read_true_states
from aggregator.model.fleet import Fleets
from aggregator.model.metering import Outcome
from aggregator.model.opportunity import Opportunity
from aggregator.reports import StatementBook
from aggregator.store import Store, TrueState

WH_PER_KWH = Decimal(1000)
WIDE = 132
"""Columns of the table where the terminal has fewer, or is no terminal."""


@dataclass(frozen=True, slots=True)
class Event:
    """One requirement and what became of it; energies in kWh over its half-hours."""

    zone: str
    needed_kw: float
    bid_kw: float
    awarded_kw: float
    instructed_kwh: Decimal
    nominated_kwh: Decimal
    metered_kwh: Decimal
    delivered_kwh: Decimal
    amount_gbp: Decimal
    cancelled: bool
    dno_delivered_kwh: Decimal
    dno_amount_gbp: Decimal
    dno_agrees: bool


@dataclass(frozen=True, slots=True)
class Result:
    """Everything the table shows."""

    events: tuple[Event, ...]
    cars_used: int
    set_points: int
    lowest_soc: float
    lowest_above_floor: float
    departures: int
    departures_met: int
    audit: Audit
    seconds: float
    waited_s: float

    @property
    def good(self) -> bool:
        """Whether the day went as promised."""
        delivered = all(event.delivered_kwh > 0 for event in self.events if not event.cancelled)
        agreed = all(event.dno_agrees for event in self.events)
        met = self.departures > 0 and self.departures_met == self.departures
        return bool(self.events) and delivered and agreed and met and self.audit.kept

    def as_json(self) -> dict[str, object]:
        """Return the result as one JSON object."""
        events = [{name: getattr(event, name) for name in Event.__slots__} for event in self.events]
        return {
            "good": self.good,
            "events": events,
            "cars_used": self.cars_used,
            "set_points": self.set_points,
            "lowest_soc": self.lowest_soc,
            "lowest_soc_above_floor": self.lowest_above_floor,
            "departures": self.departures,
            "departures_met": self.departures_met,
            "audit": audit_body(self.audit),
            "seconds": round(self.seconds, 1),
            "clock_waited_s": round(self.waited_s, 1),
        }


def load_truth(store: Store, path: Path) -> None:
    """Store the simulated cars' true states, for the audit; the simulation is over."""
    store.truth.add(read_true_states(path))


def gather(
    store: Store,
    fleets: Fleets,
    book: StatementBook,
    audit: Audit,
    out: Path,
    seconds: float,
    waited_s: float,
) -> Result:
    """Gather the figures from the store, the statement and both simulators' own files."""
    dno = json.loads((out / "dno" / "result.json").read_text(encoding="utf-8"))
    theirs = {row["id"]: row for row in dno["requirements"]}
    events = [
        _event(opportunity, book, theirs.get(opportunity.requirement.key.event_id, {}))
        for opportunity in store.journal.find()
        if opportunity.requirement is not None
    ]
    points = store.set_points.between(ALWAYS)
    used = {one.point.car_id for one in points if one.point.export_w > 0 and one.outcome is Outcome.ACCEPTED}
    lowest, margin = _lowest(store, fleets)
    departures = next(one for one in audit.findings if one.promise.startswith("P2"))
    return Result(
        events=tuple(events),
        cars_used=len(used),
        set_points=len(points),
        lowest_soc=lowest,
        lowest_above_floor=margin,
        departures=departures.checked,
        departures_met=departures.checked - len(departures.breaches),
        audit=audit,
        seconds=seconds,
        waited_s=waited_s,
    )


def _event(opportunity: Opportunity, book: StatementBook, theirs: dict[str, object]) -> Event:
    lines = [row.line for row in book.rows if row.line.opportunity == opportunity.opportunity_id]

    def kwh(name: str) -> Decimal:
        return sum((Decimal(getattr(line, name)) for line in lines), Decimal(0)) / WH_PER_KWH

    need, draft, award = opportunity.requirement, opportunity.draft, opportunity.award
    return Event(
        zone=opportunity.zone,
        needed_kw=max(need.needed_kw) if need else 0.0,
        bid_kw=max(draft.offered_kw) if draft else 0.0,
        awarded_kw=max(award.awarded_kw) if award else 0.0,
        instructed_kwh=kwh("instructed_wh"),
        nominated_kwh=kwh("baseline_export_wh"),
        metered_kwh=kwh("metered_export_wh"),
        delivered_kwh=kwh("delivered_wh"),
        amount_gbp=sum((line.amount_gbp for line in lines), Decimal("0.00")),
        cancelled=bool(opportunity.orders) and opportunity.instruction is None,
        dno_delivered_kwh=Decimal(str(theirs.get("delivered_kwh", 0))),
        dno_amount_gbp=Decimal(str(theirs.get("amount_gbp", 0))),
        dno_agrees=bool(theirs.get("agrees", False)),
    )


def _lowest(store: Store, fleets: Fleets) -> tuple[float, float]:
    """Return the lowest true state of charge after discharging, and the least distance to a floor."""
    lowest = margin = 1.0
    before: TrueState | None = None
    for state in store.truth.between(fleets.car_ids, ALWAYS):
        gave = before is not None and before.car_id == state.car_id and before.export_w > 0
        car = fleets.car(state.car_id, state.at)
        if gave and car is not None:
            soc = state.energy_kwh / car.capacity_kwh
            lowest, margin = min(lowest, soc), min(margin, soc - car.floor_soc)
        before = state
    return lowest, margin


def tell(result: Result, out: Path) -> None:
    """Print the table, the figures and where everything lies."""
    console = Console(width=max(WIDE, Console().width))
    table = Table(
        "event",
        "needed kW",
        "bid kW",
        "awarded kW",
        "instructed",
        "nominated",
        "metered",
        "delivered kWh",
        "GBP",
        "DNO's delivered",
        "DNO's GBP",
        title="17:00-19:00, energies in kWh, power to the grid counts positive",
    )
    for one in result.events:
        table.add_row(
            one.zone + (" (cancelled)" if one.cancelled else ""),
            f"{one.needed_kw:g}",
            f"{one.bid_kw:g}",
            f"{one.awarded_kw:g}",
            str(one.instructed_kwh),
            str(one.nominated_kwh),
            str(one.metered_kwh),
            str(one.delivered_kwh),
            str(one.amount_gbp),
            str(one.dno_delivered_kwh),
            str(one.dno_amount_gbp),
        )
    console.print(table)
    agreed = sum(event.dno_agrees for event in result.events)
    console.print(
        f"{result.cars_used} cars gave energy, {result.set_points:,} set-points sent;"
        f" lowest state of charge after giving {result.lowest_soc:.1%},"
        f" {result.lowest_above_floor:.1%} above that car's floor"
    )
    console.print(f"departures met: {result.departures_met} of {result.departures}")
    console.print(f"the DNO's own settlement agrees for {agreed} of {len(result.events)} events")
    console.print(audit_table(result.audit))
    console.print(f"statement: {out / 'settlement' / 'statement.html'}", soft_wrap=True)
    console.print(f"everything else, messages and logs included: {out}", soft_wrap=True)
    waited = f"of which the clock waited {result.waited_s:.0f} s for programs that were busy"
    console.print(
        f"{result.seconds:.0f} s, {waited}; {'all as promised' if result.good else 'a promise was BROKEN'}"
    )
