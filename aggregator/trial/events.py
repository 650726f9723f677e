"""What was ordered and what came of it: delivered, how exactly, and how fast.

The target of a half-hour is what the zone's baseline says, and the order upon it. Where an order held for
only part of a half-hour, registers of the whole say nothing of how exactly it was followed. The response is
looked at where an order first takes hold: from then, or from when it was told if that is later, to the end of
the first reporting interval in which the zone's registers moved at nine tenths of what was ordered, or more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.config import Settings
from aggregator.model.fleet import Fleets
from aggregator.model.market import Product
from aggregator.model.metering import Outcome
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HOUR, LONDON, Interval, utc_text
from aggregator.ordered import OrderedPart, ordered_parts
from aggregator.reports import StatementBook
from aggregator.settlement import Line
from aggregator.store import Store
from aggregator.trial.meters import Meters

FOLLOWED = 0.9
"""Of what is ordered; a zone that moves so much follows."""

PATIENCE = timedelta(minutes=30)
"""So long after an order takes hold its response is waited for."""

CLOSE = 0.05
MOST_SHOWN = 12
WH_PER_KWH = 1000.0
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class HalfHour:
    """One half-hour of an order.

    Attributes:
        line: As settled.
        sign: +1 where the order adds export, -1 where it takes export away.
        ordered_share: For which part of it anything was ordered.
    """

    line: Line
    sign: int
    ordered_share: float

    @property
    def whole(self) -> bool:
        """Whether it was ordered from end to end."""
        return self.ordered_share > 1 - 1e-9

    @property
    def target_kwh(self) -> float:
        """Net export asked for. [kWh, export positive]"""
        return (self.line.baseline_export_wh + self.sign * self.line.instructed_wh) / WH_PER_KWH

    @property
    def error_kwh(self) -> float:
        """Metered less target in the order's direction: above 0 is more than asked for. [kWh]"""
        return self.sign * (self.line.metered_export_wh / WH_PER_KWH - self.target_kwh)

    @property
    def error_share(self) -> float:
        """The error's size as a share of what was ordered."""
        return abs(self.error_kwh) / (self.line.instructed_wh / WH_PER_KWH)

    def body(self) -> Json:
        """Return it as JSON values."""
        line = self.line
        return {
            "opportunity": line.opportunity,
            "zone": line.zone,
            "period_start_utc": utc_text(line.period.start),
            "local": f"{line.period.start.astimezone(LONDON):%d %b %H:%M}",
            "instructed_kwh": line.instructed_wh / WH_PER_KWH,
            "delivered_kwh": line.delivered_wh / WH_PER_KWH,
            "target_export_kwh": round(self.target_kwh, 3),
            "metered_export_kwh": line.metered_export_wh / WH_PER_KWH,
            "error_kwh": round(self.error_kwh, 3),
            "error_share": round(self.error_share, 4),
            "ordered_share": round(self.ordered_share, 4),
            "quality": line.quality,
        }


def half_hours_of(store: Store, book: StatementBook, products: Mapping[str, Product]) -> list[HalfHour]:
    """Return the half-hours in which anything was ordered and not overridden, in the statement's order."""
    found = []
    for name, lines in _by_opportunity(book).items():
        one = store.journal.opportunity(name)
        product = products[one.product_id]
        for line in lines:
            parts = ordered_parts(one, product, line.baseline_export_wh, line.period)
            share = sum(part.span.hours for part in parts) / line.period.hours
            if line.instructed_wh and not line.yields:
                found.append(HalfHour(line, product.direction.sign, share))
    return found


def accuracy(rows: Sequence[HalfHour]) -> Json:
    """Return how exactly orders were followed, over the half-hours ordered from end to end."""
    whole = [row for row in rows if row.whole]
    instructed = sum(row.line.instructed_wh for row in whole) / WH_PER_KWH
    return {
        "half_hours": len(whole),
        "in_part_only": len(rows) - len(whole),
        "delivered_share": _share(sum(row.line.delivered_wh for row in whole) / WH_PER_KWH, instructed),
        "mean_error_share": _share(sum(abs(row.error_kwh) for row in whole), instructed),
        "beyond_kwh": round(sum(max(0.0, row.error_kwh) for row in whole), 3),
        "within_5_percent": sum(row.error_share <= CLOSE for row in whole),
        "worst": [row.body() for row in sorted(whole, key=lambda row: -row.error_share)[:MOST_SHOWN]],
    }


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _by_opportunity(book: StatementBook) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = {}
    for row in book.rows:
        lines.setdefault(row.line.opportunity, []).append(row.line)
    return lines


def responses(store: Store, settings: Settings, fleets: Fleets, book: StatementBook) -> list[Json]:
    """Return each order's response, in the statement's order; None where it was never seen to follow."""
    found = []
    for name, mine in _by_opportunity(book).items():
        one = store.journal.opportunity(name)
        product = settings.products[one.product_id]
        first = _first_ordered(one, product, mine)
        if first is not None:
            found.append(_response(store, settings, fleets, one, product, *first))
    return found


def _first_ordered(
    one: Opportunity, product: Product, lines: Sequence[Line]
) -> tuple[OrderedPart, Line] | None:
    for line in lines:
        for part in ordered_parts(one, product, line.baseline_export_wh, line.period):
            if part.kw > 0:
                return part, line
    return None


def _response(
    store: Store,
    settings: Settings,
    fleets: Fleets,
    one: Opportunity,
    product: Product,
    part: OrderedPart,
    line: Line,
) -> Json:
    began = part.span.start
    told_at = min(change.at for change in one.orders if change.instruction is not None)
    every = timedelta(seconds=settings.dispatch.reporting_interval_s)
    cars = [car.car_id for car in fleets.at(one.window.start).in_zone(one.zone)]
    spans = Interval(began, began + max(1, PATIENCE // every) * every).slots(every)
    steps = Meters(store, fleets).of_cars(cars, spans)
    baseline_kw = line.baseline_export_wh / WH_PER_KWH / line.period.hours
    series = []
    for n, span in enumerate(spans):
        net_wh = sum(int(own.export_wh[n] - own.import_wh[n]) for own in steps.values())
        moved_kw = product.direction.sign * (net_wh / WH_PER_KWH / span.hours - baseline_kw)
        series.append((span.end, moved_kw))
    followed_at = next((at for at, kw in series if kw >= FOLLOWED * part.kw), None)
    return {
        "opportunity": one.opportunity_id,
        "zone": one.zone,
        "told_at": utc_text(told_at),
        "began_at": utc_text(began),
        "notice_s": round((began - told_at).total_seconds(), 1),
        "ordered_kw": round(part.kw, 3),
        "first_set_point_s": _first_set_point_s(store, one, began),
        "followed_s": None if followed_at is None else round((followed_at - began).total_seconds(), 1),
        "moved_kw": [round(kw, 3) for _, kw in series],
        "every_s": every.total_seconds(),
    }


def _first_set_point_s(store: Store, one: Opportunity, began: datetime) -> float | None:
    """Return how long after an order took hold a car first took a set-point for it; below 0 before. [s]"""
    sent = store.set_points.between(Interval(began - HOUR, began + PATIENCE))
    mine = [
        point.point.issued_at
        for point in sent
        if point.point.opportunity_id == one.opportunity_id and point.outcome is Outcome.ACCEPTED
    ]
    return round((min(mine) - began).total_seconds(), 1) if mine else None
