"""A trial's report: what its cars, orders and drivers did in some days, as JSON values and for a page.

Everything is read from the store and nothing is recorded. Days are London's. What was lost between grid and
battery is known as far as cars report their charge: over each stay, what the charger's registers counted in
and out is set against what the car says it gained.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from aggregator.audit.cars import p1_floor
from aggregator.audit.departures import p2_departure
from aggregator.audit.evidence import MOST_SHOWN, Evidence, Finding
from aggregator.config import Settings
from aggregator.counted import BoolArray, FloatArray
from aggregator.cycles import LONGEST_SILENCE, cycles, days_of
from aggregator.files.intensity import Intensity
from aggregator.model.fleet import Fleets
from aggregator.model.metering import Presence
from aggregator.model.time import HALF_HOUR, LONDON, Interval, local_day
from aggregator.reports import StatementBook
from aggregator.statement_books import make_book
from aggregator.store import CarState, Store
from aggregator.trial.credits import kept_of
from aggregator.trial.events import accuracy, half_hours_of, responses
from aggregator.trial.meters import Meters, Steps

ONE_DAY = timedelta(days=1)
WH_PER_KWH = 1000.0
Watched = Callable[[Sequence[str]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Stay:
    """What one stay moved, as far as it is known.

    Attributes:
        import_wh: In at the charger. [Wh]
        export_wh: Out at the charger. [Wh]
        gained_kwh: What the battery gained, by what the car says. [kWh]
        unsure_kwh: By how much that may be off, as charge is reported in steps. [kWh]
        stated_kwh: What would be lost by the efficiencies that are stated. [kWh]
    """

    import_wh: int
    export_wh: int
    gained_kwh: float
    unsure_kwh: float
    stated_kwh: float


def make_report(
    store: Store,
    settings: Settings,
    fleets: Fleets,
    first: date,
    last: date,
    intensity: Intensity | None = None,
    watched: Watched = iter,
) -> dict[str, Any]:
    """Return a trial's figures over London days, ``last`` excluded.

    Args:
        store: Where everything is.
        settings: Products, and how cars report.
        fleets: Whose cars, at any time.
        first: First day.
        last: Day after the last one.
        intensity: The grid's, for carbon; None for none.
        watched: Passes the cars on as they are worked on.
    """
    span = Interval(local_day(first).start, local_day(last).start)
    periods = span.slots(HALF_HOUR)
    names = sorted({car.car_id for period in periods for car in fleets.at(period.start).cars})
    book = make_book(store, settings.products, fleets, first, last)
    steps = Meters(store, fleets).of_cars(names, periods)
    look = _Look(store, settings, fleets, span)
    for name in watched(names):
        look.at(name)
    rows = half_hours_of(store, book, settings.products)
    days = [first + n * ONE_DAY for n in range((last - first).days)]
    stays = [(name, stay) for name in names for stay in look.presence[name].stays]
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "cars": len(names),
        "zones": sorted({car.site.zone for period in periods for car in fleets.at(period.start).cars}),
        "availability": _availability([look.presence[name] for name in names], periods),
        "events": _events(book),
        "accuracy": accuracy(rows),
        "half_hours": [row.body() for row in rows],
        "responses": responses(store, settings, fleets, book),
        "energy": _energy(steps.values(), look.stays),
        "carbon": None if intensity is None else _carbon(steps.values(), periods, intensity),
        "promises": [_promise(name, found) for name, found in look.findings.items()],
        "cycles": cycles(stays, days) | {"months": _months(store, first, last)},
    }


class _Look:
    """Looks at one car after the other: when it was there, what its stays moved, what was promised."""

    def __init__(self, store: Store, settings: Settings, fleets: Fleets, span: Interval) -> None:
        self.presence: dict[str, Presence] = {}
        self.stays: list[Stay] = []
        self.findings: dict[str, list[Finding]] = {"P1 floor": [], "P2 departure": []}
        self._store = store
        self._fleets = fleets
        self._span = span
        self._around = Interval(span.start - ONE_DAY, span.end + ONE_DAY)
        self._resolution = settings.dispatch.soc_resolution
        self._evidence = Evidence(store, settings)

    def at(self, car_id: str) -> None:
        """Look at a car."""
        presence = self._store.car_history.presence(car_id, self._around, LONGEST_SILENCE)
        self.presence[car_id] = presence
        evidence = self._evidence.about(car_id, self._span)
        self.findings["P1 floor"].append(p1_floor(evidence))
        self.findings["P2 departure"].append(p2_departure(evidence))
        states = evidence.states.get(car_id, ())
        for stay in presence.stays:
            part = stay.overlap(self._span)
            moved = None if part is None else self._moved(car_id, part, states)
            if moved is not None:
                self.stays.append(moved)

    def _moved(self, car_id: str, stay: Interval, states: Sequence[CarState]) -> Stay | None:
        """Return what a stay moved between the first and the last charge that the car reported in it."""
        said = [one for one in states if one.plugged and one.soc is not None and one.measured_at in stay]
        car = self._fleets.car(car_id, stay.start)
        if len(said) < 2 or car is None:  # noqa: PLR2004 - a gain is a difference
            return None
        first, last = said[0], said[-1]
        ends = [first.measured_at, last.measured_at]
        around = self._store.readings.at_or_around([car.charger.charger_id], ends)
        before, after = (around[car.charger.charger_id, at].before for at in ends)
        if before is None or after is None:
            return None
        import_wh, export_wh = after.import_wh - before.import_wh, after.export_wh - before.export_wh
        if import_wh < 0 or export_wh < 0 or last.soc is None or first.soc is None:
            return None
        lost_wh = import_wh * (1 - car.charger.eta_charge) + export_wh * (1 / car.charger.eta_discharge - 1)
        return Stay(
            import_wh,
            export_wh,
            (last.soc - first.soc) * car.capacity_kwh,
            self._resolution * car.capacity_kwh,
            lost_wh / WH_PER_KWH,
        )


def _availability(found: Sequence[Presence], periods: Sequence[Interval]) -> dict[str, Any]:
    """Return how many cars were plugged in, by half-hours of all days and by local time of day.

    Of each car the half-hours count that lie between its first report and its last.
    """
    start, size = periods[0].start, len(periods)
    plugged, heard = np.zeros(size), np.zeros(size)
    for presence in found:
        whole = np.zeros(size) if presence.heard is None else np.floor(_shares(presence.heard, start, size))
        heard += whole
        for stay in presence.stays:
            plugged += whole * _shares(stay, start, size)
    by_time: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for n, period in enumerate(periods):
        if heard[n] > 0:
            by_time[f"{period.start.astimezone(LONDON):%H:%M}"].append((plugged[n], heard[n]))
    day = [
        {
            "local": local,
            "mean_cars": round(sum(cars for cars, _ in by_time[local]) / len(by_time[local]), 2),
            "least_cars": round(min(cars for cars, _ in by_time[local]), 2),
            "most_cars": round(max(cars for cars, _ in by_time[local]), 2),
            "share": round(sum(cars for cars, _ in by_time[local]) / sum(of for _, of in by_time[local]), 4),
        }
        for local in sorted(by_time)
    ]
    return {
        "plugged_share": round(float(plugged.sum() / heard.sum()), 4) if heard.any() else None,
        "car_hours_plugged": round(float(plugged.sum()) / 2, 1),
        "car_hours_heard": round(float(heard.sum()) / 2, 1),
        "silences": sum(len(presence.silences) for presence in found),
        "by_time_of_day": day,
    }


def _shares(span: Interval, start: datetime, size: int) -> FloatArray:
    """Return which part of each half-hour from ``start`` on a span covers."""
    edges = np.arange(size + 1) * HALF_HOUR.total_seconds()
    inside = np.clip(edges, (span.start - start).total_seconds(), (span.end - start).total_seconds())
    covered: FloatArray = np.diff(inside) / HALF_HOUR.total_seconds()
    return covered


def _events(book: StatementBook) -> list[dict[str, Any]]:
    sums: dict[str, dict[str, Any]] = {}
    for row in book.rows:
        line = row.line
        event = sums.setdefault(
            line.opportunity,
            {
                "opportunity": line.opportunity,
                "zone": line.zone,
                "product": line.product,
                "local": f"{line.period.start.astimezone(LONDON):%d %b %H:%M}",
                "instructed_kwh": 0.0,
                "delivered_kwh": 0.0,
                "amount_gbp": Decimal("0.00"),
            },
        )
        event["instructed_kwh"] = round(event["instructed_kwh"] + line.instructed_wh / WH_PER_KWH, 3)
        event["delivered_kwh"] = round(event["delivered_kwh"] + line.delivered_wh / WH_PER_KWH, 3)
        event["amount_gbp"] += line.amount_gbp
    return list(sums.values())


def _energy(steps: Iterable[Steps], stays: Sequence[Stay]) -> dict[str, Any]:
    both = [(int(one.import_wh.sum()), int(one.export_wh.sum())) for one in steps]
    into = sum(stay.import_wh for stay in stays) / WH_PER_KWH
    out = sum(stay.export_wh for stay in stays) / WH_PER_KWH
    gained = sum(stay.gained_kwh for stay in stays)
    lost = into - out - gained
    unsure = sum(stay.unsure_kwh**2 for stay in stays) ** 0.5
    return {
        "import_kwh": sum(wh for wh, _ in both) / WH_PER_KWH,
        "export_kwh": sum(wh for _, wh in both) / WH_PER_KWH,
        "stays": len(stays),
        "stays_import_kwh": round(into, 3),
        "stays_export_kwh": round(out, 3),
        "gained_kwh": round(gained, 3),
        "lost_kwh": round(lost, 3),
        "lost_unsure_kwh": round(unsure, 3),
        "lost_share": round(lost / (into + out), 4) if into + out else None,
        "stated_loss_kwh": round(sum(stay.stated_kwh for stay in stays), 3),
    }


def _carbon(steps: Iterable[Steps], periods: Sequence[Interval], intensity: Intensity) -> dict[str, Any]:
    """Return what charging and giving come to at the grid's intensity of their half-hours."""
    series = list(steps)
    import_kwh = sum((one.import_wh for one in series), np.zeros(len(periods), np.int64)) / WH_PER_KWH
    export_kwh = sum((one.export_wh for one in series), np.zeros(len(periods), np.int64)) / WH_PER_KWH
    said = [intensity.at(period.start) for period in periods]
    there = np.array([one is not None for one in said])
    grams = np.array([one or 0.0 for one in said])
    drawn_g, given_g = float(import_kwh @ grams), float(export_kwh @ grams)
    covered_in, covered_out = float(import_kwh[there].sum()), float(export_kwh[there].sum())
    return {
        "charged_kg": round(drawn_g / 1000, 3),
        "given_kg": round(given_g / 1000, 3),
        "net_kg": round((drawn_g - given_g) / 1000, 3),
        "charged_g_per_kwh": round(drawn_g / covered_in, 1) if covered_in else None,
        "given_g_per_kwh": round(given_g / covered_out, 1) if covered_out else None,
        "grid_mean_g_per_kwh": round(float(grams[there].mean()), 1) if there.any() else None,
        "kwh_without_intensity": round(float(import_kwh[~there].sum() + export_kwh[~there].sum()), 3),
        "by_time_of_day": _carbon_day(periods, import_kwh, export_kwh, grams, there),
    }


def _carbon_day(
    periods: Sequence[Interval],
    import_kwh: FloatArray,
    export_kwh: FloatArray,
    grams: FloatArray,
    there: BoolArray,
) -> list[dict[str, Any]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for n, period in enumerate(periods):
        groups[f"{period.start.astimezone(LONDON):%H:%M}"].append(n)
    return [
        {
            "local": local,
            "import_kwh": round(float(import_kwh[groups[local]].sum()), 3),
            "export_kwh": round(float(export_kwh[groups[local]].sum()), 3),
            "g_per_kwh": _mean([grams[n] for n in groups[local] if there[n]]),
        }
        for local in sorted(groups)
    ]


def _mean(values: Sequence[float]) -> float | None:
    return round(float(sum(values)) / len(values), 1) if values else None


def _promise(name: str, found: Sequence[Finding]) -> dict[str, Any]:
    breaches = [breach for one in found for breach in one.breaches]
    looked = [one.what for one in found if one.checked]
    return {
        "promise": name,
        "what": max(looked, key=looked.count) if looked else "nothing to look at",
        "checked": sum(one.checked for one in found),
        "broken": len(breaches),
        "breaches": breaches[:MOST_SHOWN],
    }


def _months(store: Store, first: date, last: date) -> list[dict[str, Any]]:
    """Return the credits recorded for the calendar months that the days touch."""
    found = []
    month = first.replace(day=1)
    while month < last:
        latest = [versions[-1] for versions in kept_of(store, f"{month:%Y-%m}").values()]
        found.append(
            {
                "month": f"{month:%Y-%m}",
                "drivers": len(latest),
                "earning": sum(one.credit_gbp > 0 for one in latest),
                "cycles": sum(one.cycles for one in latest),
                "credit_gbp": sum((one.credit_gbp for one in latest), Decimal("0.00")),
            }
        )
        month = days_of(month)[-1] + ONE_DAY
    return found
