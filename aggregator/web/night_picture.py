"""A picture of a car's night as SVG made on the server: charge above, power by half-hour below.

It carries no style of its own: the page's style sheet knows its classes, in light, dark and print. What has
passed is drawn solid, what is planned hollow or dashed, so that no colour is needed to tell them apart. A
wide one is for desks, a narrow one for phones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from aggregator.model import figures
from aggregator.model.figures import stated
from aggregator.model.time import HOUR, LONDON, Interval, said_at
from aggregator.web.night_view import CarNight, Event, Level, Point
from aggregator.web.words import signed, sterling

LEFT, RIGHT = 34.0, 10.0
TOP = 16.0
GAP = 22.0
AXIS = 18.0
MOST_POINTS = 300
LEAST_KW = 0.005
CLOSE, LETTER = 56.0, 8.0
"""So near to the right edge words stand to the left of what they are about."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a picture is.

    Attributes:
        width: In all.
        soc: Height of the part with the charge.
        kw: Height of the part with the power.
        every: Hours between two times on the axis.
    """

    width: float
    soc: float
    kw: float
    every: int


WIDE, MIDDLE, NARROW = Size(880.0, 190.0, 110.0, 2), Size(650.0, 180.0, 100.0, 3), Size(340.0, 170.0, 96.0, 6)


def night_picture(night: CarNight, size: Size = WIDE) -> Markup:
    """Return a picture of a night; what it shows is also said in its label."""
    return Markup("".join(_Drawing(night, size).parts()))


def said_of(night: CarNight) -> str:
    """Return in words what a picture shows."""
    start, end = (bound.astimezone(LONDON) for bound in (night.span.start, night.span.end))
    words = [f"{night.car.car_id} from {start:%a %d %b %H:%M} to {end:%a %d %b %H:%M}, London"]
    if night.soc:
        at, soc = night.soc[-1][-1]
        words.append(f"charge {soc:.0%} at {at.astimezone(LONDON):%H:%M}")
        if night.lowest_soc is not None:
            words.append(f"{night.lowest_soc:.0%} at the lowest")
    words.append(f"floor {stated(night.floors[-1][1])}")
    if night.need is not None:
        words.append(f"needed {night.need.at.astimezone(LONDON):%a %H:%M} with {stated(night.need.soc)}")
    words.append(f"took {figures.kwh(night.took_kwh)}, gave {figures.kwh(night.gave_kwh)}")
    if night.planned:
        last = night.planned[-1]
        planned = last.energy_kwh / night.car.capacity_kwh
        words.append(f"planned {planned:.0%} by {last.slot.end.astimezone(LONDON):%a %H:%M}")
    return "; ".join(words)


class _Drawing:
    """Places things."""

    def __init__(self, night: CarNight, size: Size) -> None:
        self._night, self._size = night, size
        self._kw_top = TOP + size.soc + GAP
        self._height = self._kw_top + size.kw + AXIS
        charger = night.car.charger
        powers = [abs(one.export_kw) for one in night.past if one.export_kw is not None]
        powers += [abs(row.export_kw) for row in night.planned]
        self._most_kw = max([charger.charge_kw, charger.discharge_kw, *powers, 1.0])

    def parts(self) -> Iterator[str]:
        size, night = self._size, self._night
        label = escape(said_of(night))
        yield (
            f'<svg class="night" viewBox="0 0 {size.width:g} {self._height:g}" role="img"'
            f' aria-label="{label}" preserveAspectRatio="xMidYMid meet">'
        )
        yield from self._backs()
        yield from self._grid()
        yield from self._bars()
        yield from self._floor()
        yield from self._charge()
        yield from self._marks()
        yield "</svg>"

    # where things lie

    def _x(self, at: datetime) -> float:
        share = (at - self._night.span.start) / (self._night.span.end - self._night.span.start)
        return LEFT + min(1.0, max(0.0, share)) * (self._size.width - LEFT - RIGHT)

    def _y_soc(self, soc: float) -> float:
        return TOP + (1 - min(1.0, max(0.0, soc))) * self._size.soc

    def _y_kw(self, export_kw: float) -> float:
        half = self._size.kw / 2
        return self._kw_top + half - export_kw / self._most_kw * half

    def _column(self, span: Interval, kind: str, words: str) -> str:
        """Return a column through both parts."""
        x, end = self._x(span.start), self._x(span.end)
        return (
            f'<rect class="{kind}" x="{x:.1f}" y="{TOP:g}" width="{max(0.0, end - x):.1f}"'
            f' height="{self._height - TOP - AXIS:g}"><title>{escape(words)}</title></rect>'
        )

    # what is drawn

    def _backs(self) -> Iterator[str]:
        night = self._night
        if night.span.start < night.now:
            gone = Interval(night.span.start, min(night.now, night.span.end))
            for gap in _gaps(sorted([*night.stays, *night.unknown]), gone):
                yield self._column(gap, "n-away", f"not plugged in, {_clock(gap)}")
            for gap in night.unknown:
                yield self._column(gap, "n-unknown", f"not known: nothing was heard of it, {_clock(gap)}")
                start, end = self._x(gap.start), self._x(gap.end)
                if end - start > CLOSE:
                    where = f'x="{(start + end) / 2:.1f}" y="{TOP + 14:g}" text-anchor="middle"'
                    yield f'<text class="n-text" {where}>not known</text>'
        for event in night.events:
            for level in event.ran:
                shown = level.span.overlap(night.span)
                if shown is not None:
                    yield self._column(shown, "n-event", _said_of_level(event, level))

    def _grid(self) -> Iterator[str]:
        size = self._size
        right = size.width - RIGHT
        for soc in (0.0, 0.5, 1.0):
            y = self._y_soc(soc)
            yield f'<line class="n-grid" x1="{LEFT:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="n-text" x="{LEFT - 5:g}" y="{y + 4:.1f}" text-anchor="end">{soc:.0%}</text>'
        for kw in (self._most_kw, 0.0, -self._most_kw):
            y, kind = self._y_kw(kw), "n-zero" if kw == 0 else "n-grid"
            yield f'<line class="{kind}" x1="{LEFT:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            below = y - 1 if kw < 0 else y + 4  # above the times of the axis
            yield (
                f'<text class="n-text" x="{LEFT - 5:g}" y="{below:.1f}" text-anchor="end">'
                f"{signed(kw, 0 if abs(kw - round(kw)) < LEAST_KW else 1)}</text>"
            )
        if not LEFT - CLOSE < self._x(self._night.now) < LEFT + CLOSE:  # there "now" stands
            yield f'<text class="n-text" x="{LEFT:g}" y="{TOP - 5:g}">charge</text>'
        yield f'<text class="n-text" x="{LEFT:g}" y="{self._kw_top - 5:g}">kW, up is to the grid</text>'
        yield from self._hours()

    def _hours(self) -> Iterator[str]:
        at = self._night.span.start.astimezone(LONDON).replace(minute=0, second=0, microsecond=0)
        y, bottom = self._height - 5, self._height - AXIS
        instant = at.astimezone(self._night.span.start.tzinfo)
        while instant <= self._night.span.end:
            local = instant.astimezone(LONDON)
            if instant >= self._night.span.start and local.hour % self._size.every == 0:
                x = self._x(instant)
                yield f'<line class="n-grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP:g}" y2="{bottom:g}"/>'
                anchor = (
                    "end" if x > self._size.width - RIGHT - 14 else "start" if x < LEFT + 14 else "middle"
                )
                where = f'x="{x:.1f}" y="{y:g}" text-anchor="{anchor}"'
                yield f'<text class="n-text" {where}>{local:%H:%M}</text>'
            instant += HOUR

    def _bars(self) -> Iterator[str]:
        for one in self._night.past:
            if one.export_kw is not None and abs(one.export_kw) >= LEAST_KW:
                yield self._bar(one.slot, one.export_kw, "n-kw", one.why)
        for row in self._night.planned:
            if abs(row.export_kw) >= LEAST_KW:
                yield self._bar(row.slot, row.export_kw, "n-kw n-plan", f"planned: {row.why}")

    def _bar(self, slot: Interval, export_kw: float, kind: str, why: str) -> str:
        x, end, zero, y = self._x(slot.start), self._x(slot.end), self._y_kw(0.0), self._y_kw(export_kw)
        does = "gives" if export_kw > 0 else "takes"
        where = f'x="{x + 0.5:.1f}" y="{min(y, zero):.1f}"'
        words = f"{_clock(slot)}: {does} {figures.kw(abs(export_kw))}; {sterling(why)}"
        return (
            f'<rect class="{kind} n-{does}" {where}'
            f' width="{max(0.5, end - x - 1):.1f}" height="{abs(y - zero):.1f}">'
            f"<title>{escape(words)}</title></rect>"
        )

    def _floor(self) -> Iterator[str]:
        night = self._night
        ends = [at for at, _ in night.floors[1:]] + [night.span.end]
        steps = [
            point
            for (at, soc), end in zip(night.floors, ends, strict=True)
            for point in ((at, soc), (end, soc))
        ]
        yield self._line(steps, "n-floor", "floor: never discharged below it")
        for (at, floor), end in zip(night.floors, ends, strict=True):
            x, until = self._x(at), self._x(end)
            if until - x > CLOSE or at == night.floors[-1][0]:
                near = x > self._size.width - RIGHT - CLOSE
                beside, anchor = (x - 4, "end") if near else (x + 4, "start")
                where = f'x="{beside:.1f}" y="{self._y_soc(floor) + 13:.1f}" text-anchor="{anchor}"'
                yield f'<text class="n-text n-floor-text" {where}>floor {stated(floor)}</text>'

    def _charge(self) -> Iterator[str]:
        night = self._night
        for stretch in night.soc:
            yield self._line(_thinned(stretch), "n-soc", "charge, as reported")
        if night.planned:
            capacity_kwh = night.car.capacity_kwh
            steps = [(row.slot.end, row.energy_kwh / capacity_kwh) for row in night.planned]
            if night.soc:
                steps.insert(
                    0, (max(night.soc[-1][-1][0], night.planned[0].slot.start), night.soc[-1][-1][1])
                )
            yield self._line(steps, "n-soc n-plan", "charge, as planned")

    def _line(self, points: Sequence[Point], kind: str, words: str) -> str:
        drawn = " ".join(f"{self._x(at):.1f},{self._y_soc(soc):.1f}" for at, soc in points)
        return f'<polyline class="{kind}" points="{drawn}"><title>{escape(words)}</title></polyline>'

    def _marks(self) -> Iterator[str]:
        night, bottom = self._night, self._height - AXIS
        if night.span.start < night.now < night.span.end:
            x = self._x(night.now)
            yield f'<line class="n-now" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP:g}" y2="{bottom:g}"/>'
            yield self._words(x, TOP - 5, "now", "n-text n-strong")
        if night.need is None:
            return
        x, y = self._x(night.need.at), self._y_soc(night.need.soc)
        yield f'<line class="n-need" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{TOP + self._size.soc:.1f}"/>'
        yield (
            f'<path class="n-flag" d="M{x:.1f} {y - 5:.1f} l5 5 -5 5 -5 -5z"><title>needed'
            f" {night.need.at.astimezone(LONDON):%H:%M} with {stated(night.need.soc)}</title></path>"
        )
        text = f"{stated(night.need.soc)} by {night.need.at.astimezone(LONDON):%H:%M}"
        yield self._words(x, self._y_soc(0.0) - 6, text, "n-text n-strong")

    def _words(self, x: float, y: float, text: str, kind: str) -> str:
        """Return words beside a place: to its left where there is no room to its right."""
        near = x + 6 + LETTER * len(text) > self._size.width
        at, anchor = (x - 6, "end") if near else (x + 6, "start")
        return f'<text class="{kind}" x="{at:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _gaps(stays: Sequence[Interval], within: Interval) -> Iterator[Interval]:
    """Yield what of a span no stay covers, a few minutes left aside."""
    at = within.start
    for stay in [*stays, None]:
        until = within.end if stay is None else min(stay.start, within.end)
        if until - at > timedelta(minutes=5):
            yield Interval(at, until)
        at = max(at, stay.end) if stay is not None else at


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return points as a line needs them: not all of one a minute, but each end."""
    step = max(1, len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]


def _said_of_level(event: Event, level: Level) -> str:
    words = f"the network operator's event, {_clock(level.span)}"
    words += "" if level.kw is None else f", {figures.kw(level.kw)} of the zone"
    if event.ended_at is not None:
        words += f"; {event.ended} {said_at(event.ended_at)}"
    return words


def _clock(span: Interval) -> str:
    start, end = (bound.astimezone(LONDON) for bound in (span.start, span.end))
    return f"{start:%H:%M} to {end:%H:%M}"
