"""How figures and times are written on the desk's pages: London's time with UTC on hover, units always."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

from markupsafe import Markup

from aggregator.desk import how_ended, is_unanswered
from aggregator.model import figures
from aggregator.model.errors import Fault
from aggregator.model.figures import figure
from aggregator.model.market import Requirement
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import LONDON, Interval, said_at, utc_second

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
MINUS, NO_BREAK = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
FEW = 4
SHORT_NAME = 20
GBP = re.compile(r"GBP (?=[-\N{MINUS SIGN}+]?\d)")
CLOCKS = re.compile(r"(?<=\d\d:\d\d)-(?=\d\d:\d\d)")
UTC_STAMP = re.compile(r"\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(?:Z|\+00:00| UTC)(?!\w)")
HYPHEN = re.compile(r"(?<=[ £])-(?=\d)")
WH_PER_KWH = 1000


def signed(value: float, digits: int) -> str:
    """Return a number with a real minus sign; what rounds to nothing has no sign."""
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text.replace(",", "")) else text


def kw(value: float | None) -> Markup:
    """Return a power, to a tenth, so that figures of a column line up. [kW]"""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('{}<span class="unit">&nbsp;kW</span>').format(signed(value, 1))


def kw_range(levels: Iterable[float]) -> Markup:
    """Return levels as one power, or the lowest to the highest; to the watt, as bid. [kW]"""
    found = sorted(levels)
    return Markup('{}<span class="unit">&nbsp;kW</span>').format(range_of(found)) if found else kw(None)


def range_of(levels: Iterable[float]) -> str:
    """Return levels as one figure, or the lowest to the highest: ``8.4 to 14``."""
    found = sorted(levels)
    low, high = (figure(value).replace("-", MINUS) for value in (found[0], found[-1]))
    return low if found[0] == found[-1] else f"{low} to {high}"


def energy(value: float, digits: int = 2) -> Markup:
    """Return an energy to a hundredth, or as many digits after the point. [kWh]"""
    return Markup('{}<span class="unit">&nbsp;kWh</span>').format(signed(value, digits))


def stamp_of(found: re.Match[str]) -> datetime | None:
    """Return the instant that stands in words in UTC, to the second; None where it is none."""
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00").astimezone(LONDON)
    except ValueError:
        return None


def stamp_form(instant: datetime) -> str:
    """Return how an instant in words is written: with seconds where there are any."""
    return "%a %d %b %H:%M:%S" if instant.second else "%a %d %b %H:%M"


def in_london(text: str) -> str:
    """Return words with each instant that stands in UTC by London's clocks."""
    return UTC_STAMP.sub(_by_london, text)


def _by_london(found: re.Match[str]) -> str:
    """Return an instant that stands in words in UTC by London's clocks; what is none stays as it is."""
    instant = stamp_of(found)
    return found[0] if instant is None else instant.strftime(stamp_form(instant))


def said_kw(value: float) -> str:
    """Return a power in a sentence, which no line breaks. [kW]"""
    return figures.kw(value).replace(" ", NO_BREAK)


def said_kwh(value: float) -> str:
    """Return an energy in a sentence, which no line breaks. [kWh]"""
    return figures.kwh(value).replace(" ", NO_BREAK)


def pounds(value: float | Decimal | None) -> Markup:
    """Return an amount to the penny. [GBP]"""
    if value is None:
        return Markup('<span class="none">–</span>')
    text = signed(float(value), 2)
    sign, text = (MINUS, text[1:]) if text.startswith(MINUS) else ("", text)
    return Markup("{}£{}").format(sign, text)


def sterling(text: str) -> str:
    """Return words as screens show them: pounds, minus and London's clocks for GBP, hyphen and UTC."""
    return HYPHEN.sub(MINUS, CLOCKS.sub("–", GBP.sub("£", in_london(text)))).replace(f"£{MINUS}", f"{MINUS}£")


def price(value: float | Decimal | None) -> Markup:
    """Return a price. [GBP/MWh]"""
    if value is None:
        return Markup('<span class="none">none</span>')
    return Markup('£{}<span class="unit">&nbsp;/MWh</span>').format(signed(float(value), 2))


def kwh(wh: int | None) -> Markup:
    """Return an energy to the Wh. [kWh]"""
    if wh is None:
        return Markup('<span class="none">–</span>')
    return Markup('{}<span class="unit">&nbsp;kWh</span>').format(signed(wh / WH_PER_KWH, 3))


def change(value: float, unit: str = "") -> str:
    """Return a difference with its sign: to the penny with a unit of money, else to the watt."""
    text = f"{abs(value):,.2f}" if unit else figure(abs(value))
    falls = value < 0 and float(text.replace(",", "")) > 0
    return f"{MINUS if falls else '+'}{unit}{text}"


def percent(value: float | None) -> Markup:
    """Return a share, from 0 to 1, in whole percent."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup("{}%").format(f"{100 * value:.0f}")


def at(instant: datetime, form: str = "%a %d %b %H:%M") -> Markup:
    """Return an instant as London's clocks show it; in UTC on hover and for programs."""
    utc = utc_second(instant)
    shown = instant.astimezone(LONDON).strftime(form)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        utc, utc[:19].replace("T", " ").removesuffix("Z"), shown
    )


def clock_time(instant: datetime) -> Markup:
    """Return only the time of day."""
    return at(instant, "%H:%M")


def span(window: Interval) -> Markup:
    """Return a window, with the day once where it begins and ends on the same."""
    start, end = window.start.astimezone(LONDON), window.end.astimezone(LONDON)
    last = clock_time(window.end) if start.date() == end.date() else at(window.end)
    return Markup('<span class="span">{}–{}</span>').format(at(window.start), last)


def plain_span(window: Interval) -> str:
    """Return a window by London's clocks, without markup: ``Wed 15 Jan 17:00–19:00``."""
    start, end = window.start.astimezone(LONDON), window.end.astimezone(LONDON)
    last = f"{end:%H:%M}" if start.date() == end.date() else said_at(end)
    return f"{said_at(start)}–{last}"


def half_hour_text(window: Interval) -> str:
    """Return a half-hour of today by London's clocks: ``17:30–18:00``."""
    start, end = window.start.astimezone(LONDON), window.end.astimezone(LONDON)
    return f"{start:%H:%M}–{end:%H:%M}"


def half_hour(window: Interval) -> Markup:
    """Return a half-hour of today, each end in UTC on hover."""
    return Markup("{}–{}").format(clock_time(window.start), clock_time(window.end))


def left(until: datetime, now: datetime) -> str:
    """Return how long it is until an instant, in two units at most; ``closed`` once it has come."""
    if now >= until:
        return "closed"
    seconds = (until - now) // timedelta(seconds=1)
    if seconds >= DAY_S:
        return f"{seconds // DAY_S} d {seconds % DAY_S // HOUR_S} h"
    if seconds >= HOUR_S:
        return f"{seconds // HOUR_S} h {seconds % HOUR_S // MINUTE_S:02d} min"
    return f"{seconds // MINUTE_S} min {seconds % MINUTE_S:02d} s"


def age(seconds: float) -> str:
    """Return how long ago something was, in one unit."""
    whole = int(seconds)
    if whole >= HOUR_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // MINUTE_S} min" if whole >= MINUTE_S else f"{whole} s"


def few(names: str) -> Markup:
    """Return names with commas between them: of many the first, how many more there are, all on hover."""
    found = names.split(", ")
    whole = [_unbroken(name) for name in found[:FEW]]
    if len(found) <= FEW:
        return Markup(", ").join(whole)
    first, more = Markup(", ").join(whole[: FEW - 1]), len(found) - FEW + 1
    return Markup('<span title="{}">{} and {} more</span>').format(names, first, more)


def _unbroken(name: str) -> Markup:
    """Return a name that no line breaks, as long as it is short: ``leaf-023``."""
    return Markup('<span class="name">{}</span>' if len(name) <= SHORT_NAME else "{}").format(name)


def plain_fault(one: Fault) -> str:
    """Return what is wrong with a field of a page's own form: people need no path of it."""
    field = one.where.rpartition(": ")[2].replace("_", " ")
    return f"{field[:1].upper()}{field[1:]} “{one.value}”: {one.allowed}"


def either(names: Sequence[str]) -> str:
    """Return names of whom any may do something: ``anna``, ``anna or ben``, ``anna, ben or cleo``."""
    shown = names if len(names) <= FEW else [*names[: FEW - 1], f"{len(names) - FEW + 1} more"]
    *first, last = shown
    return f"{', '.join(first)} or {last}" if first else last


def path_of(name: str) -> str:
    """Return a bid's id as one part of a path."""
    return quote(name, safe="")


def need_kw(need: Requirement | None) -> Markup:
    """Return what is needed, over the window's slots. [kW]"""
    return kw_range(need.needed_kw) if need is not None else kw(None)


def deed(action: str) -> str:
    """Return what somebody did, or tried to, as its button says it."""
    return {"reject": "refuse"}.get(action, action)


STATES = {
    Stage.RECEIVED: ("wait", "draft being made"),
    Stage.APPROVED: ("good", "approved, leaving"),
    Stage.SUBMITTED: ("good", "with the DNO"),
    Stage.AWARDED: ("good", "awarded"),
    Stage.DELIVERING: ("live", "delivering"),
    Stage.DELIVERED: ("wait", "delivered, to settle"),
    Stage.SETTLED: ("done", "settled"),
    Stage.CLOSED: ("done", "closed"),
}
"""Each stage's kind (which says how it looks) and word; one in review depends on who has seen it."""


def _lately(at: datetime, now: datetime) -> str:
    """Return an instant by London's clocks, with the day where that is not today."""
    local = at.astimezone(LONDON)
    return f"{local:%H:%M}" if local.date() == now.astimezone(LONDON).date() else said_at(at)


def state_of(one: Opportunity, now: datetime, *, needs_two: bool, gate_open: bool) -> tuple[str, str]:
    """Return a bid's kind and the word for where it stands."""
    if is_unanswered(one, now):
        return "bad", "no answer from the DNO"
    if one.stage in (Stage.AWARDED, Stage.DELIVERING) and one.cancelled_at is not None:
        return "wait", f"order cancelled {_lately(one.cancelled_at, now)}"
    if one.stage in (Stage.DELIVERED, Stage.SETTLED) and one.held_until is not None:
        kind, left = ("wait", "to settle") if one.stage is Stage.DELIVERED else ("done", "settled")
        return kind, f"{how_ended(one)} {_lately(one.held_until, now)}, {left}"
    if one.stage is not Stage.IN_REVIEW:
        return STATES.get(one.stage, ("wait", one.stage.value.lower()))
    if not gate_open:
        return "wait", "gate closed"
    if one.checked_by is not None:
        return "todo", f"checked by {one.checked_by}, to approve"
    return "todo", "to check" if needs_two else "to approve"
