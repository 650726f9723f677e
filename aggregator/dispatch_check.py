"""Published dispatch records checked against themselves: hours, MWh, money, pairs, and what is odd.

Money and energy are re-computed from MW and the window: MWh columns are rounded to 0.01 by the publisher, so
that half an hour at 10 kW reads 0.0, and their sums are no basis for money. What is odd and can still be read
counts in the totals; what cannot be read does not, and what stands twice counts once.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from aggregator.files.dispatches import Dispatch, DispatchFile, Odd
from aggregator.model.time import LONDON

HELD_AND_CALLED = frozenset({"Scheduled Availability", "Secure"})
"""Products that pay for holding, and again for what is called of it."""

PRODUCTS = HELD_AND_CALLED | {
    *("Day-Ahead", "Dynamic", "Long-Term Utilisation", "Operational Utilisation", "Peak Reduction"),
    *("Scheduled Utilisation", "Variable Availability"),
}
"""The names the operator has used, and the standard products' own."""

ROUNDING = Decimal("0.005")
"""Half the last digit of the MWh and hours columns."""
HALF_A_KW = Decimal("0.0005")
"""Half the last digit of the MW columns. [MW]"""

Totals = dict[str, "Total"]
Figures = tuple[Decimal, Decimal, Decimal, Decimal]
NOTHING: Figures = (Decimal(0), Decimal(0), Decimal(0), Decimal(0))


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over some lines, exact.

    Attributes:
        rows: How many.
        availability_mw_h: Power held times hours. [MW h]
        utilisation_mwh: Power called times hours. [MWh]
        availability_gbp: Paid for holding. [GBP]
        utilisation_gbp: Paid for energy, if all was delivered. [GBP]
    """

    rows: int
    availability_mw_h: Decimal
    utilisation_mwh: Decimal
    availability_gbp: Decimal
    utilisation_gbp: Decimal


@dataclass(frozen=True, slots=True)
class Pairs:
    """How the lines of products that pay twice, for holding and for what is called of it, belong together.

    Attributes:
        held: Lines that hold power.
        held_and_called: Those of which some was called.
        called: Lines that call power.
        unheld: Those that no line of the same unit and product holds the whole window for.
    """

    held: int
    held_and_called: int
    called: int
    unheld: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file of dispatches comes to.

    Attributes:
        rows: Lines of data.
        odd: By line, then rule.
        by_product: Totals of each product; likewise of each zone, London month of the start, and company.
        pairs: Availability and utilisation lines.
    """

    rows: int
    odd: tuple[Odd, ...]
    by_product: Totals
    by_zone: Totals
    by_month: Totals
    by_company: Totals
    pairs: Pairs


def check_dispatches(file: DispatchFile) -> Checked:
    """Re-compute what the lines of a file come to, and name those that are odd."""
    found = file.dispatches
    held_by = _held(found)
    figures = [(one, _figures(one)) for one in found]
    odd = [*file.left_out, *_each(found), *_between(found), *_unheld(found, held_by)]
    return Checked(
        rows=file.rows,
        odd=tuple(sorted(odd, key=lambda one: (one.line, one.rule, one.detail))),
        by_product=_totals(figures, lambda one: one.product),
        by_zone=_totals(figures, lambda one: one.zone),
        by_month=_totals(figures, lambda one: f"{one.window.start.astimezone(LONDON):%Y-%m}"),
        by_company=_totals(figures, lambda one: one.company),
        pairs=_pairs(found, held_by),
    )


def odd_by_rule(odd: Iterable[Odd]) -> dict[str, int]:
    """Return how often each rule was broken, the most often first."""
    counts = Counter(one.rule for one in odd)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _totals(figures: Iterable[tuple[Dispatch, Figures]], key: Callable[[Dispatch], str]) -> Totals:
    sums: dict[str, tuple[int, Figures]] = {}
    for one, more in figures:
        rows, known = sums.get(key(one), (0, NOTHING))
        held, called, for_holding, for_energy = (a + b for a, b in zip(known, more, strict=True))
        sums[key(one)] = rows + 1, (held, called, for_holding, for_energy)
    return {name: Total(rows, *known) for name, (rows, known) in sorted(sums.items())}


def _figures(one: Dispatch) -> Figures:
    return one.availability_mw_h, one.utilisation_mwh, one.availability_gbp, one.utilisation_gbp


def _each(found: Sequence[Dispatch]) -> Iterator[Odd]:
    """Yield what is odd about each line by itself."""
    for one in found:
        for rule, detail in (*_about_itself(one), *_about_stated(one)):
            yield _odd(one, rule, detail)


def _about_itself(one: Dispatch) -> Iterator[tuple[str, str]]:
    if one.product not in PRODUCTS:
        yield "unknown_product", f"product is {one.product!r}"
    if not one.availability_mw and not one.utilisation_mw:
        yield "nothing", "neither held nor called: both MW are 0"
    for kind in ("availability", "utilisation"):
        mw, price = getattr(one, f"{kind}_mw"), getattr(one, f"{kind}_price")
        if mw and not price:
            yield "no_price", f"{kind}_mw_req is {mw} at a price of 0"
        if price and not mw:
            yield "no_power", f"{kind}_price is {price} for no MW"


def _about_stated(one: Dispatch) -> Iterator[tuple[str, str]]:
    if one.stated is None:
        return
    for name in ("start", "end"):
        local, utc = getattr(one.stated, name), getattr(one.window, name)
        if local != utc:
            yield "utc_local", f"{name}_time_local is {local:%Y-%m-%d %H:%M}Z, {name}_time_utc {utc:%H:%M}Z"
    if abs(one.stated.hours - one.hours) > ROUNDING:
        yield "hours", f"hours_requested is {one.stated.hours}, end less start {_plain(one.hours)}"
    for kind in ("availability", "utilisation"):
        mw, mwh = getattr(one, f"{kind}_mw"), getattr(one.stated, f"{kind}_mwh")
        apart = abs(mwh - mw * one.hours)
        if apart > ROUNDING:
            by_kw = "; MW rounded to 1 kW may explain it" if apart <= ROUNDING + HALF_A_KW * one.hours else ""
            worked = f"{mw} MW x {_plain(one.hours)} h = {_plain(mw * one.hours)}"
            yield "mwh", f"{kind}_mwh_req is {mwh}, {worked}{by_kw}"


def _between(found: Sequence[Dispatch]) -> Iterator[Odd]:
    """Yield lines that hold, or call, a unit for a time for which another line does so already."""
    for kind in ("availability", "utilisation"):
        of_kind = [one for one in found if getattr(one, f"{kind}_mw")]
        of_kind.sort(key=lambda one: (_unit(one), one.window, one.line))
        for _, group in groupby(of_kind, key=_unit):
            yield from _clashes(kind, group)


def _clashes(kind: str, group: Iterable[Dispatch]) -> Iterator[Odd]:
    latest: Dispatch | None = None
    for one in group:
        if latest is not None and one.window == latest.window:
            prices = f"{getattr(latest, f'{kind}_price')} and {getattr(one, f'{kind}_price')}"
            detail = f"{kind} of the same unit and window as line {latest.line}, at prices {prices}"
            yield _odd(one, "repeated", detail)
        elif latest is not None and one.window.start < latest.window.end:
            until = f"which ends at {latest.window.end:%H:%M}Z"
            yield _odd(one, "overlap", f"{kind} of the same unit as in line {latest.line}, {until}")
        if latest is None or one.window.end > latest.window.end:
            latest = one


def _held(found: Sequence[Dispatch]) -> dict[Dispatch, Dispatch | None]:
    """Return for each line that calls what must be held, the line that holds the most power throughout."""
    by_unit: dict[tuple[str, str, str], list[Dispatch]] = defaultdict(list)
    for one in found:
        if one.availability_mw:
            by_unit[_unit(one)].append(one)
    holding = {unit: _Holding.of(lines) for unit, lines in by_unit.items()}
    nothing = _Holding.of([])
    calls = [one for one in found if one.utilisation_mw and one.product in HELD_AND_CALLED]
    return {one: holding.get(_unit(one), nothing).cover(one) for one in calls}


@dataclass(frozen=True, slots=True)
class _Holding:
    """A unit's availability lines, to be found by time without looking at all of them."""

    lines: tuple[Dispatch, ...]
    starts: tuple[datetime, ...]
    longest: timedelta

    @classmethod
    def of(cls, lines: Iterable[Dispatch]) -> "_Holding":
        by_start = tuple(sorted(lines, key=lambda one: (one.window.start, one.line)))
        longest = max((one.window.end - one.window.start for one in by_start), default=timedelta(0))
        return cls(by_start, tuple(one.window.start for one in by_start), longest)

    def cover(self, call: Dispatch) -> Dispatch | None:
        first = bisect_left(self.starts, call.window.end - self.longest)
        last = bisect_right(self.starts, call.window.start)
        covers = [one for one in self.lines[first:last] if call.window.end <= one.window.end]
        return max(covers, key=lambda one: one.availability_mw, default=None)


def _unheld(found: Sequence[Dispatch], held_by: dict[Dispatch, Dispatch | None]) -> Iterator[Odd]:
    for call, holder in held_by.items():
        if holder is None:
            yield _odd(call, "unheld", "called, and no availability line of the unit covers the window")
        elif call.utilisation_mw > holder.availability_mw:
            detail = f"{call.utilisation_mw} MW called, line {holder.line} holds {holder.availability_mw} MW"
            yield _odd(call, "more_than_held", detail)


def _pairs(found: Sequence[Dispatch], held_by: dict[Dispatch, Dispatch | None]) -> Pairs:
    holders = {holder for holder in held_by.values() if holder is not None}
    held = sum(1 for one in found if one.availability_mw and one.product in HELD_AND_CALLED)
    return Pairs(held, len(holders), len(held_by), sum(holder is None for holder in held_by.values()))


def _unit(one: Dispatch) -> tuple[str, str, str]:
    return one.company, one.unit, one.product


def _odd(one: Dispatch, rule: str, detail: str) -> Odd:
    return Odd(one.row, one.line, rule, detail)


def _plain(figure: Decimal) -> str:
    """Return a figure without trailing zeros or exponent."""
    return f"{float(figure):.10g}"
