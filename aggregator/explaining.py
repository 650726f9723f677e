"""One figure of a statement, walked back to orders, nomination or baseline days, registers, rule and price.

Nothing is worked out in another way here: the statement is made again as the settlement job makes it, and
what it was made from is laid out beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.baselines import Baseline
from aggregator.followed import FollowedPart, followed_parts
from aggregator.lookback import known
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Fleets
from aggregator.model.market import Nomination, Product
from aggregator.model.metering import Reading
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import LONDON, Interval, settlement_period, utc_text
from aggregator.ordered import OrderedPart, ordered_parts
from aggregator.reports import Version
from aggregator.settlement import Line, Metered, settled_periods, shares_gbp
from aggregator.settling import Worked, baseline_behind, work_out
from aggregator.statement_books import versions_of
from aggregator.store import Store

MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Boundary:
    """What is known of a charger's registers at one end of a half-hour.

    Attributes:
        at: The boundary.
        before: The last reading at or before it; None where there is none.
        after: The first one at or after it; the same where one was taken just then.
    """

    at: datetime
    before: Reading | None
    after: Reading | None

    @property
    def rule(self) -> str:
        """How the registers at the boundary were found."""
        if self.before is not None and self.before is self.after:
            return "read"
        if self.before is None or self.after is None:
            return "held"
        still = (self.before.import_wh, self.before.export_wh) == (self.after.import_wh, self.after.export_wh)
        return "unmoved" if still else "interpolated"


@dataclass(frozen=True, slots=True)
class CarStep:
    """One charger's part in a half-hour.

    Attributes:
        car_id: Whose.
        metered: Its net export; None where it has no register.
        start: Its registers at the start.
        end: Its registers at the end.
        share_wh: Its share of what the zone delivered. [Wh]
        share_gbp: Its share of the amount. [GBP]
    """

    car_id: str
    metered: Metered | None
    start: Boundary
    end: Boundary
    share_wh: int
    share_gbp: Decimal


@dataclass(frozen=True, slots=True)
class Explained:
    """One line of a statement and what it was made from.

    Attributes:
        line: The line.
        nominated: What was frozen for the half-hour; None where nothing was.
        parts: What was ordered in it.
        followed: What was followed in the zone, where other opportunities had orders in it, too.
        cars: The zone's cars.
    """

    line: Line
    nominated: Nomination | None
    parts: tuple[OrderedPart, ...]
    followed: tuple[FollowedPart, ...]
    cars: tuple[CarStep, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A statement laid out.

    Attributes:
        worked: The statement and its inputs.
        product: Its rules.
        baseline: What it was measured against, with the days it was made from.
        lines: Those asked for.
        versions: Of the statement, oldest first.
    """

    worked: Worked
    product: Product
    baseline: Baseline
    lines: tuple[Explained, ...]
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be laid out.

    Attributes:
        one: The opportunity, as it stands.
        half_hour: Settlement period, London time or instant of a half-hour of it; None for all.
        car: Whose registers are told; None for none, or all.
        known_at: Only what was learnt by then; None for all.
    """

    one: Opportunity
    half_hour: str | None = None
    car: str | None = None
    known_at: datetime | None = None


def explanation(
    store: Store, products: Mapping[str, Product], fleets: Fleets, asked: Question, named: str = "{}"
) -> Explanation:
    """Make an opportunity's statement again and lay it out.

    Args:
        store: Where facts and registers are.
        products: Their rules.
        fleets: Whose cars, at any time.
        asked: What is to be laid out.
        named: How a fault names EVENT, HALF-HOUR and CAR.

    Raises:
        BadMessage: If it was neither awarded nor ordered by then, or has no such half-hour or car.
    """
    known_at, name = asked.known_at, asked.one.opportunity_id
    one = asked.one if known_at is None else known(store, asked.one, known_at)
    if one.award is None and not one.orders:
        raise BadMessage(Fault(named.format("EVENT"), name, "one that was awarded or ordered"))
    wanted = () if asked.half_hour is None else (_the_half_hour(one, asked.half_hour, named),)
    product = products[one.product_id]
    worked = work_out(store, one, product, fleets, known_at)
    if asked.car is not None and asked.car not in worked.cars:
        allowed = f"a car of {one.zone}: {', '.join(worked.cars[:MOST_NAMED])}, ..."
        raise BadMessage(Fault(named.format("CAR"), asked.car, allowed))
    base = baseline_behind(store, worked, product, fleets, known_at)
    versions = tuple(versions_of(store, one, product, fleets, worked, known_at))
    return explain(worked, product, base, wanted, versions)


def _the_half_hour(one: Opportunity, text: str, named: str) -> Interval:
    """Return the half-hour of an opportunity that a text names."""
    names: dict[str, list[Interval]] = {}
    for period in settled_periods(one):
        local = period.start.astimezone(LONDON)
        number = settlement_period(period.start)[1]
        for name in (str(number), f"{local:%H:%M}", local.isoformat(), utc_text(period.start)):
            names.setdefault(name, []).append(period)
    found = names.get(text, [])
    if len(found) != 1:
        times = [name for name in names if ":" in name and len(name) == len("17:00")]
        allowed = f"one of {', '.join(times[:MOST_NAMED])}, or a settlement period or instant of the window"
        raise BadMessage(Fault(named.format("HALF-HOUR"), text, allowed))
    return found[0]


def explain(
    worked: Worked,
    product: Product,
    baseline: Baseline,
    wanted: Sequence[Interval] = (),
    versions: Sequence[Version] = (),
) -> Explanation:
    """Lay a statement out.

    Args:
        worked: The statement.
        product: Its rules.
        baseline: What it was measured against.
        wanted: Half-hours to lay out; all without any.
        versions: Of the statement.
    """
    lines = [line for line in worked.statement.lines if not wanted or line.period in wanted]
    explained = tuple(_explained(worked, product, line, worked.meters[line.period]) for line in lines)
    return Explanation(worked, product, baseline, explained, tuple(versions))


def _explained(worked: Worked, product: Product, line: Line, meters: Sequence[Metered]) -> Explained:
    found = {one.charger_id: one for one in meters}
    wh, gbp = dict(line.shares_wh), shares_gbp(line, worked.cars)
    opportunities = (worked.opportunity, *worked.beside)
    followed = followed_parts(opportunities, product, line.baseline_export_wh, line.period)
    is_shared = any(one.opportunity_id != line.opportunity or one.yielding for one in followed)
    return Explained(
        line,
        worked.nominations.get(line.period),
        ordered_parts(worked.opportunity, product, line.baseline_export_wh, line.period),
        followed if is_shared else (),
        tuple(_steps(worked, line.period, found, wh, gbp)),
    )


def _steps(
    worked: Worked,
    period: Interval,
    meters: Mapping[str, Metered],
    share_wh: Mapping[str, int],
    share_gbp: Mapping[str, Decimal],
) -> Iterator[CarStep]:
    for charger, car in sorted(worked.car_of.items(), key=lambda one: one[1]):
        known = worked.readings.get(charger, ())
        start, end = (_boundary(known, at) for at in (period.start, period.end))
        yield CarStep(car, meters.get(charger), start, end, share_wh.get(car, 0), share_gbp[car])


def _boundary(known: Sequence[Reading], at: datetime) -> Boundary:
    before = [one for one in known if one.measured_at <= at]
    after = [one for one in known if one.measured_at >= at]
    return Boundary(at, before[-1] if before else None, after[0] if after else None)
