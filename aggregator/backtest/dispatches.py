"""Recorded dispatches of a DNO, as events that our zones can be offered.

Rows of one DNO zone and window are one event: its kW are what was called there in all, its price their mean
by kW. An availability row and a utilisation row of one window are one event that pays both. Where
availability was held and nothing called, the record does not tell the utilisation price: no event.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from aggregator.backtest.prices import instant_of
from aggregator.backtest.tables import LeftOut, Row, Unusable, rows, usable
from aggregator.forecast import Horizon
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.time import HALF_HOUR, LONDON, Interval

COLUMNS = (
    *("zone", "product", "start_time_utc", "end_time_utc"),
    *("availability_mw_req", "utilisation_mw_req", "availability_price", "utilisation_price"),
)
KW_PER_MW = 1000.0
MOST_MW = 1e4
MOST_PRICE = 1e5
MOST_HOURS = 48.0
LONGEST_SLOTS = 48


@dataclass(frozen=True, slots=True)
class Event:
    """One window in which a DNO called for turn-down, offered to one of our zones.

    Attributes:
        source: The DNO's zone.
        product: As recorded; several are joined with ``+``.
        window: When.
        need_kw: What was called there: at most this is awarded. [kW]
        utilisation_gbp_per_mwh: Paid per MWh delivered.
        availability_gbp_per_mw_h: Paid per MW held for an hour.
    """

    source: str
    product: str
    window: Interval
    need_kw: float
    utilisation_gbp_per_mwh: float
    availability_gbp_per_mw_h: float

    @property
    def horizon(self) -> Horizon:
        """The day from noon to noon that holds the window, or the two around the noon it crosses."""
        return Horizon.over(self.window)

    @property
    def days(self) -> tuple[date, ...]:
        """The local days whose noons begin those of the horizon."""
        return tuple(part.day for part in self.horizon.parts)

    @property
    def starts_on(self) -> date:
        """The local day on which it begins."""
        return self.window.start.astimezone(LONDON).date()

    @property
    def fits(self) -> bool:
        """Whether the model can bid it: on half-hours, not too long."""
        whole = all(
            not bound.minute % 30 and not bound.second for bound in (self.window.start, self.window.end)
        )
        return whole and self.window.hours <= LONGEST_SLOTS * HALF_HOUR_HOURS


HALF_HOUR_HOURS = HALF_HOUR.total_seconds() / 3600.0


@dataclass(frozen=True, slots=True)
class _Call:
    zone: str
    product: str
    window: Interval
    availability_kw: float
    utilisation_kw: float
    availability_price: float
    utilisation_price: float


def read_dispatches(path: Path) -> tuple[tuple[Event, ...], LeftOut]:
    """Read a table of dispatches.

    Returns:
        Events in order of start, end and DNO zone.

    Raises:
        BadMessage: If a column is missing, or no row is usable.
    """
    left_out = LeftOut(path.name)
    seen: set[tuple[str, ...]] = set()

    def read(row: Row) -> _Call:
        whole = tuple(row.cells.values())
        if whole in seen:
            raise Unusable("(row)", row.cells["zone"], "a row that does not stand twice")
        seen.add(whole)
        return _call(row)

    calls = list(usable(rows(path, COLUMNS, left_out), read, left_out))
    if not calls:
        raise BadMessage(Fault(path.name, "no usable row", "at least one dispatch"))
    return _events(calls), left_out


def _call(row: Row) -> _Call:
    start, end = instant_of(row, "start_time_utc"), instant_of(row, "end_time_utc")
    if not start < end:
        raise Unusable("end_time_utc", row.cells["end_time_utc"], "an instant after start_time_utc")
    window = Interval(start, end)
    if window.hours > MOST_HOURS:
        raise Unusable("end_time_utc", row.cells["end_time_utc"], f"at most {MOST_HOURS:g} h after the start")
    held, called = (row.number(f"{name}_mw_req", 0, MOST_MW) for name in ("availability", "utilisation"))
    if not held and not called:
        raise Unusable(
            "utilisation_mw_req", row.cells["utilisation_mw_req"], "MW above 0, or such availability"
        )
    return _Call(
        zone=row.text("zone"),
        product=row.text("product"),
        window=window,
        availability_kw=held * KW_PER_MW,
        utilisation_kw=called * KW_PER_MW,
        availability_price=row.number("availability_price", 0, MOST_PRICE) if held else 0.0,
        utilisation_price=row.number("utilisation_price", 0, MOST_PRICE) if called else 0.0,
    )


def _events(calls: Sequence[_Call]) -> tuple[Event, ...]:
    by_window: dict[tuple[Interval, str], list[_Call]] = defaultdict(list)
    for call in calls:
        by_window[call.window, call.zone].append(call)
    found = []
    for (window, zone), group in sorted(by_window.items(), key=lambda one: one[0]):
        called_kw = sum(call.utilisation_kw for call in group)
        if not called_kw:
            continue
        held_gbp = sum(call.availability_kw * call.availability_price for call in group)
        used_gbp = sum(call.utilisation_kw * call.utilisation_price for call in group)
        held_kw = sum(call.availability_kw for call in group)
        found.append(
            Event(
                source=zone,
                product="+".join(sorted({call.product for call in group})),
                window=window,
                need_kw=called_kw,
                utilisation_gbp_per_mwh=used_gbp / called_kw,
                availability_gbp_per_mw_h=held_gbp / max(called_kw, held_kw),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Dealt:
    """Which zone is offered what.

    Attributes:
        events: By zone of ours and the first day of the event's horizon.
        passed_over: Events of a zone and day on which another one paid more: a battery is bid once.
        outside: Events that the model cannot bid: too long, or not on half-hours.
    """

    events: dict[str, dict[date, Event]]
    passed_over: int
    outside: int


def deal(events: Sequence[Event], zones: Sequence[str], days: Sequence[date]) -> Dealt:
    """Offer the events of ``days`` to our zones.

    The DNO's zones, sorted by name, are dealt to ours in turn; kW are not scaled. Of what falls to a zone on
    one day, from noon to noon, it takes the best paid, then the largest, then the earliest; an event across
    noon has the days on both sides of it.
    """
    sources = sorted({event.source for event in events})
    ours = {source: zones[n % len(zones)] for n, source in enumerate(sources)}
    inside = [event for event in events if set(event.days) <= set(days)]
    fitting = [event for event in inside if event.fits]
    chosen: dict[str, dict[date, Event]] = {zone: {} for zone in zones}
    taken: dict[str, set[date]] = {zone: set() for zone in zones}
    for event in sorted(fitting, key=_worth, reverse=True):
        zone = ours[event.source]
        if taken[zone].isdisjoint(event.days):
            taken[zone] |= set(event.days)
            chosen[zone][event.days[0]] = event
    offered = sum(map(len, chosen.values()))
    return Dealt(chosen, len(fitting) - offered, len(inside) - len(fitting))


def _worth(event: Event) -> tuple[float, float]:
    paid = event.utilisation_gbp_per_mwh + event.availability_gbp_per_mw_h
    return paid, event.need_kw


def local_dates(events: Sequence[Event]) -> tuple[date, date]:
    """Return the first and the last local day on which an event begins."""
    days = [event.starts_on for event in events]
    return min(days), max(days)
