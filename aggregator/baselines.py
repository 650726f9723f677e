"""What a zone would have exported without the event, by the product's rule. Whole Wh, export positive.

BL01 is Elexon's (Baselining Methodology Document, P376): the mean of the same local half-hours over the
latest like days within the lookback, event days left out; like days are working days for a working day,
others for another. Its in-day adjustment, as quoted for the Demand Flexibility Service of 2022/23, is one
constant: the mean over six half-hours, the three hours ending one hour before the event, of metered less
unadjusted baseline. Mid-8-of-10 takes ten like days, whether working days or others, and leaves out the two
with most and least energy in the event's half-hours. Elexon's choice among non-working days is not public: it
is the latest ones here.

Past half-hours are asked for, not given, since only those of like days are wanted: ``usage`` answers None
where registers do not tell, and such a day is passed over. What was done in place of the rule, and what
looks like gaming, is said in ``remark``.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import islice

from aggregator.model.market import Direction
from aggregator.model.money import exact
from aggregator.model.rules import BaselineMethod, BaselineRule, Fallback
from aggregator.model.time import HALF_HOUR, LONDON, Interval
from aggregator.working_days import is_working_day

ONE_DAY = timedelta(days=1)
WINDOW_LENGTH = timedelta(hours=3)
WINDOW_LEAD = timedelta(hours=1)
MIDDLE_OF = 10
"""Like days that mid-8-of-10 chooses from; the highest and the lowest are left out."""
HALF_HOURS_A_DAY = 48
NOT_ADJUSTED = "baseline not adjusted: the hours before the event were not measured, or had one too"
WH_PER_KWH = 1000

Usage = Callable[[Sequence[Interval]], Sequence[int | None]]
"""Net export of the zone in each half-hour, None where registers do not tell. [Wh]"""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A zone's baseline over an event.

    Attributes:
        export_wh: Net export per half-hour; None where there is no baseline at all. [Wh]
        remark: What was done otherwise than the rule has it, or looks odd; empty where nothing was.
        days: The like days it was made from, latest first.
        moved_wh: The in-day adjustment, added to each half-hour. [Wh]
    """

    export_wh: tuple[int | None, ...]
    remark: str = ""
    days: tuple[date, ...] = ()
    moved_wh: int = 0


def baseline(
    rule: BaselineRule,
    direction: Direction,
    periods: Sequence[Interval],
    nominated_wh: Sequence[int | None],
    usage: Usage,
    event_days: Collection[date],
    chargers: int,
) -> Baseline:
    """Return the baseline of one event.

    Args:
        rule: The product's.
        direction: Which way a baseline moves in our favour.
        periods: The event's half-hours, in order.
        nominated_wh: The zone's frozen nomination in each; None where there was none: there the method that
            the rule names for that counts, if it names one.
        usage: Tells the zone's past half-hours, and those of the day before the event.
        event_days: Local days with an event in the zone.
        chargers: How many the zone has.
    """
    match rule.method:
        case BaselineMethod.NOMINATED if rule.not_nominated is not None and None in nominated_wh:
            other = replace(rule, method=rule.not_nominated, not_nominated=None)
            instead = baseline(other, direction, periods, nominated_wh, usage, event_days, chargers)
            both = zip(nominated_wh, instead.export_wh, strict=True)
            return replace(instead, export_wh=tuple(wh if own is None else own for own, wh in both))
        case BaselineMethod.NOMINATED:
            return Baseline(tuple(nominated_wh))
        case BaselineMethod.ZERO:
            return Baseline((0,) * len(periods))
        case BaselineMethod.FIXED:
            return Baseline(tuple(_fixed_wh(rule, period, chargers) for period in periods))
        case BaselineMethod.BL01 | BaselineMethod.MIDDLE_8_OF_10:
            return _from_like_days(rule, direction, periods, nominated_wh, usage, event_days)


def like_days(rule: BaselineRule, day: date, event_days: Collection[date]) -> Iterator[date]:
    """Yield the days within the lookback that are of the day's type and without an event, latest first."""
    working = is_working_day(day, rule.calendar)
    for back in range(1, rule.lookback_days + 1):
        past = day - back * ONE_DAY
        if past not in event_days and is_working_day(past, rule.calendar) == working:
            yield past


def same_time(period: Interval, day: date, on: date) -> Interval | None:
    """Return the half-hour at the same local time relative to ``on`` as ``period`` has to ``day``.

    None where clocks skip that time: such a day is like no other.
    """
    local = period.start.astimezone(LONDON)
    start = datetime.combine(on + (local.date() - day), local.time(), LONDON).replace(fold=local.fold)
    instant = start.astimezone(UTC)
    if instant.astimezone(LONDON).time() != local.time():
        return None
    return Interval(instant, instant + HALF_HOUR)


def adjustment_window(periods: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the six half-hours that end one hour before the event."""
    end = periods[0].start - WINDOW_LEAD
    return Interval(end - WINDOW_LENGTH, end).slots(HALF_HOUR)


def _from_like_days(
    rule: BaselineRule,
    direction: Direction,
    periods: Sequence[Interval],
    nominated_wh: Sequence[int | None],
    usage: Usage,
    event_days: Collection[date],
) -> Baseline:
    day = periods[0].start.astimezone(LONDON).date()
    middle = rule.method is BaselineMethod.MIDDLE_8_OF_10
    wanted = _wanted(rule, day)
    window = adjustment_window(periods) if rule.adjusted else ()
    found = _measured(rule, day, (*window, *periods), usage, event_days, wanted)
    if len(found) < wanted and not (found and rule.fallback is Fallback.FEWER_DAYS):
        return _instead(rule, nominated_wh, len(found), wanted)
    remark = "" if len(found) == wanted else f"baseline of fewer days: {len(found)} like days of {wanted}"
    ahead = len(window)
    if middle and len(found) > 2:  # noqa: PLR2004 - the highest and the lowest
        by_energy = sorted(found, key=lambda one: (sum(one[1][ahead:]), one[0]))
        kept = {past for past, _ in by_energy[1:-1]}
        found = [one for one in found if one[0] in kept]
    means = [Fraction(sum(figures), len(found)) for figures in zip(*(wh for _, wh in found), strict=True)]
    days = tuple(past for past, _ in found)
    before, unmoved = means[:ahead], means[ahead:]
    moved, more = _moved(rule, direction, window, before, usage) if window else (Fraction(0), "")
    export_wh = tuple(round(mean + moved) for mean in unmoved)
    return Baseline(export_wh, "; ".join(filter(None, (remark, more))), days, round(moved))


def _wanted(rule: BaselineRule, day: date) -> int:
    if rule.method is BaselineMethod.MIDDLE_8_OF_10:
        return MIDDLE_OF
    return rule.working_days if is_working_day(day, rule.calendar) else rule.other_days


def _measured(
    rule: BaselineRule,
    day: date,
    periods: Sequence[Interval],
    usage: Usage,
    event_days: Collection[date],
    wanted: int,
) -> list[tuple[date, list[int]]]:
    """Return the latest like days whose registers tell all the half-hours, with the net export in each. [Wh]

    As many days are asked for at once as are still wanted: a question for each would cost twice as much.
    """
    found: list[tuple[date, list[int]]] = []
    candidates = _candidates(rule, day, periods, event_days)
    while batch := list(islice(candidates, wanted - len(found))):
        told = iter(usage([period for _, moved in batch for period in moved]))
        for past, moved in batch:
            known = [wh for wh in islice(told, len(moved)) if wh is not None]
            if len(known) == len(moved):
                found.append((past, known))
    return found


def _candidates(
    rule: BaselineRule, day: date, periods: Sequence[Interval], event_days: Collection[date]
) -> Iterator[tuple[date, list[Interval]]]:
    """Yield like days with the half-hours of the same local times, but for days on which clocks skip one."""
    for past in like_days(rule, day, event_days):
        moved = [shown for period in periods if (shown := same_time(period, day, past)) is not None]
        if len(moved) == len(periods):
            yield past, moved


def _moved(
    rule: BaselineRule,
    direction: Direction,
    window: Sequence[Interval],
    before: Sequence[Fraction],
    usage: Usage,
) -> tuple[Fraction, str]:
    """Return the in-day adjustment, and what there is to say about it. [Wh per half-hour]"""
    told = [wh for wh in usage(window) if wh is not None]
    if len(told) < len(window):
        return Fraction(0), NOT_ADJUSTED
    moved = sum((wh - mean for wh, mean in zip(told, before, strict=True)), Fraction(0)) / len(window)
    usual = sum(map(abs, before), Fraction(0)) / len(window)
    in_our_favour = direction.sign * moved < 0
    if in_our_favour and abs(moved) > Fraction(str(rule.raised_limit)) * usual:
        use = "raised" if direction is Direction.UP else "lowered"
        return moved, (
            f"use {use} before the event: {abs(float(moved)):.0f} Wh a half-hour in our favour,"
            f" like days have {float(usual):.0f} Wh"
        )
    return moved, ""


def _instead(rule: BaselineRule, nominated_wh: Sequence[int | None], found: int, wanted: int) -> Baseline:
    few = f"{found} like days of {wanted}"
    match rule.fallback:
        case Fallback.NOMINATED:
            said = (
                "baseline nominated instead" if any(wh is not None for wh in nominated_wh) else "no baseline"
            )
            return Baseline(tuple(nominated_wh), f"{said}: {few}")
        case Fallback.ZERO:
            return Baseline((0,) * len(nominated_wh), f"baseline zero instead: {few}")
        case Fallback.FEWER_DAYS:
            return Baseline((None,) * len(nominated_wh), f"no baseline: {few}")


def _fixed_wh(rule: BaselineRule, period: Interval, chargers: int) -> int:
    local = period.start.astimezone(LONDON)
    number = (local.hour * 60 + local.minute) // 30
    if len(rule.profile_kw) > HALF_HOURS_A_DAY:
        number += local.weekday() * HALF_HOURS_A_DAY
    kw = exact(rule.profile_kw[number]) * (chargers if rule.per_charger else 1)
    return round(kw * exact(period.hours) * WH_PER_KWH)
