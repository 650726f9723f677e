"""From award, orders, nomination and registers to a statement, line by line, half-hour by half-hour.

Delivered energy is single-sided: what the zone exported beyond its baseline, never less than nothing and
never more than instructed. Where orders of several opportunities overlap it is delivered once, under the one
that was followed (``followed``). The baseline is the nomination unless the product has another; a half-hour
that has none cannot be settled, and claims no penalty. The linear
deficiency rule pays delivered MWh at the cleared price and takes the penalty price for each MWh instructed
and missing, as in the open Shapeshifter/UFTP standard's settle phase (delivered = min(max(realised, 0),
ordered); settlement = delivered * price - deficiency * penalty). A product's performance rules multiply
what is earned, never the penalty.

Energies are whole Wh, so that sums close; money is exact until the line's amount is rounded, once.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from aggregator.awarded import availability_gbp, needed_kw
from aggregator.baselines import Baseline, Usage, baseline
from aggregator.counted import counted
from aggregator.followed import followed_parts, followed_wh, part_of, yields_to
from aggregator.model.market import Nomination, Product
from aggregator.model.metering import Reading
from aggregator.model.money import pounds, share, share_pounds
from aggregator.model.opportunity import Opportunity
from aggregator.model.rules import BaselineMethod
from aggregator.model.time import HOUR, MICROSECOND, Interval, half_hours, settlement_period
from aggregator.ordered import instructed_wh
from aggregator.performance import NOTHING_BEFORE, Months, factors

WH_PER_MWH = Decimal(1_000_000)
WH_PER_KWH = 1000
MICROSECONDS_PER_HOUR = HOUR // MICROSECOND

MEASURED = "measured"
ESTIMATED = "estimated: linear between registers, held beyond them"
NO_REGISTER = "no register"
IMPORTED = "from meter operators' files"
NOT_OVER = "the half-hour was not over: no register counts yet"
RESTARTED = "register restarted or jumped: nothing counted across it"
CANNOT = "cannot be settled"
NOT_NOMINATED = f"{CANNOT}: nothing was nominated, and no other baseline is named for that"
NO_BASELINE = f"{CANNOT}: no baseline"
INSTEAD = "nothing was nominated: baseline"
YIELDS = "yields to"
LATE = "nominated when the order was accepted"
NO_PRICE = "no price is agreed for orders without a bid"


@dataclass(frozen=True, slots=True)
class Metered:
    """One charger's energy in one half-hour, net, positive from car to grid.

    Attributes:
        charger_id: Which charger.
        export_wh: Export register's step minus import register's step. [Wh]
        estimated: Whether a register at a boundary had to be interpolated.
        restarted: Whether a register did not count on, so that some energy is unknown and not in it.
        imported: Whether its operator's file says it, not our registers.
    """

    charger_id: str
    export_wh: int
    estimated: bool
    restarted: bool = False
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One half-hour of one opportunity; the attributes are the statement's columns.

    Energies in whole Wh, signed ones export-positive; money exact but for ``amount_gbp``, and as paid: the
    utilisation is multiplied by ``factor`` already, the availability by what ``quality`` says of it, if
    anything.
    """

    zone: str
    product: str
    opportunity: str
    period: Interval
    settlement_date: date
    settlement_period: int
    needed_kw: float
    instructed_wh: int
    baseline_export_wh: int
    base_wh: int
    kept_wh: int
    metered_export_wh: int
    delivered_wh: int
    deficiency_wh: int
    availability_gbp: Decimal
    utilisation_gbp: Decimal
    penalty_gbp: Decimal
    factor: Decimal
    amount_gbp: Decimal
    quality: str
    shares_wh: tuple[tuple[str, int], ...]

    @property
    def is_settled(self) -> bool:
        """Whether there was a baseline; without one nothing counts as delivered, nor as missing."""
        return not self.quality.startswith(CANNOT)

    @property
    def yields(self) -> bool:
        """Whether its order was not followed all the while, as another one of the zone went before."""
        return f"; {YIELDS} " in self.quality


@dataclass(frozen=True, slots=True)
class Statement:
    """All lines of one opportunity, as known at one time."""

    opportunity_id: str
    lines: tuple[Line, ...]

    @property
    def amount_gbp(self) -> Decimal:
        """The sum of the lines' amounts, to the penny."""
        return sum((line.amount_gbp for line in self.lines), Decimal("0.00"))


def metered(
    readings: Mapping[str, Sequence[Reading]], periods: Sequence[Interval]
) -> dict[Interval, tuple[Metered, ...]]:
    """Return each charger's net export in each half-hour, from its registers.

    Args:
        readings: Per charger, ascending by ``measured_at``; chargers that never reported are left out.
        periods: Consecutive half-hours.

    Returns:
        Per half-hour, a figure for every charger. A register missing at a boundary is taken on the straight
        line between its neighbours, or held before the first and beyond the last one, and the figure is
        marked as estimated wherever that could have changed it. Where a register restarted, rolled over or
        jumped, it is read as ``registers`` says.
    """
    bounds = [period.start for period in periods] + [periods[-1].end]
    rows: dict[Interval, list[Metered]] = {period: [] for period in periods}
    for charger_id, shown in sorted(readings.items()):
        if not shown:
            continue
        steps = counted(shown, bounds)
        net_wh = steps.export_wh - steps.import_wh
        for n, period in enumerate(periods):
            doubts = bool(steps.estimated[n]), bool(steps.restarted[n])
            rows[period].append(Metered(charger_id, int(net_wh[n]), *doubts))
    return {period: tuple(row) for period, row in rows.items()}


@dataclass(frozen=True, slots=True)
class Past:
    """What a product's rules may look back on; without it there was nothing.

    Attributes:
        usage: Tells the zone's past half-hours.
        event_days: Local days with an event in the zone.
        months: Answers for whole months.
    """

    usage: Usage = lambda periods: [None] * len(periods)
    event_days: Collection[date] = ()
    months: Months = NOTHING_BEFORE


NO_PAST = Past()


@dataclass(frozen=True, slots=True)
class _Energy:
    """One half-hour's energies, all but money, and what is to be said of them. [Wh]"""

    period: Interval
    baseline_wh: int | None
    net_wh: int
    instructed_wh: int
    delivered_wh: int
    deficiency_wh: int
    said: tuple[str, ...]


def settle(
    opportunity: Opportunity,
    product: Product,
    nominations: Mapping[Interval, Nomination],
    meters: Mapping[Interval, tuple[Metered, ...]],
    car_of: Mapping[str, str],
    past: Past = NO_PAST,
    beside: Sequence[Opportunity] = (),
    as_known_at: datetime | None = None,
) -> Statement:
    """Settle one opportunity.

    Args:
        opportunity: With its requirement, award and orders.
        product: Its rules.
        nominations: The zone's frozen nomination per half-hour.
        meters: Per half-hour, all chargers of the zone.
        car_of: Charger id to car id.
        past: What the product's rules look back on.
        beside: Others of the zone that have orders, too.
        as_known_at: When that was known; None once all of it is over. A half-hour that was not over then
            is to have no meters: its line says why.

    Returns:
        One line for each half-hour that the requirement, award or an order touches. A gap is never a zero:
        a zone without any register counts as its baseline, so that it delivers nothing. A half-hour without
        a baseline cannot be settled: its line says so, and nothing is paid or claimed for energy.
    """
    periods = settled_periods(opportunity)
    base = baseline_of(opportunity, product, nominations, len(car_of), past)
    energies = [
        _energy(opportunity, product, period, wh, meters.get(period, ()), beside, as_known_at)
        for period, wh in zip(periods, base.export_wh, strict=True)
    ]
    month = settlement_period(periods[0].start)[0].replace(day=1)
    both = [
        (energy.delivered_wh, energy.instructed_wh if energy.baseline_wh is not None else 0)
        for energy in energies
    ]
    rules = product.performance
    used = factors(rules.utilisation, "utilisation", both, month, past.months)
    held = factors(rules.availability, "availability", both, month, past.months)
    remarks = tuple(filter(None, (base.remark, used.remark, held.remark)))
    lines = tuple(
        _line(opportunity, product, energy, nominations.get(energy.period), scales, meters, car_of, remarks)
        for energy, *scales in zip(energies, used.values, held.values, strict=True)
    )
    return Statement(opportunity.opportunity_id, lines)


def baseline_of(
    opportunity: Opportunity,
    product: Product,
    nominations: Mapping[Interval, Nomination],
    chargers: int,
    past: Past,
) -> Baseline:
    """Return what an opportunity's delivery is measured against in each of its half-hours."""
    periods = settled_periods(opportunity)
    nominated = [nominations[period].export_wh if period in nominations else None for period in periods]
    return baseline(
        product.baseline, product.direction, periods, nominated, past.usage, past.event_days, chargers
    )


def _energy(
    opportunity: Opportunity,
    product: Product,
    period: Interval,
    baseline_wh: int | None,
    meters: Sequence[Metered],
    beside: Sequence[Opportunity],
    as_known_at: datetime | None,
) -> _Energy:
    against = baseline_wh or 0
    net = sum(meter.export_wh for meter in meters) if meters else against
    instructed = instructed_wh(opportunity, product, against, period)
    moved = product.direction.sign * (net - against)
    name, found = opportunity.opportunity_id, followed_parts((opportunity, *beside), product, against, period)
    followed = followed_wh(found)
    delivered = deficiency = 0
    if baseline_wh is not None:
        delivered = part_of(min(max(moved, 0), sum(followed.values())), followed, name)
        deficiency = instructed - delivered
        if product.performance.wrong_way_is_missing:
            deficiency -= part_of(min(moved, 0), followed, name)
    said = [NOT_OVER] if baseline_wh is not None and not is_over(period, as_known_at) else []
    said += [f"{YIELDS} {other}" for other in yields_to(found, name)]
    return _Energy(period, baseline_wh, net, instructed, delivered, deficiency, tuple(said))


def shares_gbp(line: Line, cars: Sequence[str]) -> dict[str, Decimal]:
    """Return a line's amount shared to cars by what each delivered, equally where none did; to the penny."""
    if not cars:
        return {}
    delivered = dict(line.shares_wh)
    parts = share_pounds(line.amount_gbp, [delivered.get(car, 0) for car in cars])
    return dict(zip(cars, parts, strict=True))


def settled_periods(opportunity: Opportunity) -> tuple[Interval, ...]:
    """Return the half-hours a statement of this opportunity has, in order."""
    return tuple(half_hours(opportunity.window))


def settled_from(opportunity: Opportunity) -> datetime:
    """Return when the last half-hour of its statement is over: before, its registers are not known."""
    return settled_periods(opportunity)[-1].end


def is_over(period: Interval, as_known_at: datetime | None) -> bool:
    """Whether a half-hour was over at a time, None for any."""
    return as_known_at is None or period.end <= as_known_at


def _line(
    opportunity: Opportunity,
    product: Product,
    energy: _Energy,
    nomination: Nomination | None,
    scales: Sequence[Decimal],
    meters: Mapping[Interval, tuple[Metered, ...]],
    car_of: Mapping[str, str],
    remarks: Sequence[str],
) -> Line:
    period, here = energy.period, meters.get(energy.period, ())
    used, held = scales
    award = opportunity.award
    price = award.utilisation_gbp_per_mwh if award else product.call_gbp_per_mwh or Decimal(0)
    availability = availability_gbp(opportunity, period) * held
    utilisation = Decimal(energy.delivered_wh) * price / WH_PER_MWH * used
    penalty = Decimal(energy.deficiency_wh) * product.penalty_gbp_per_mwh / WH_PER_MWH
    day, number = settlement_period(period.start)
    return Line(
        zone=opportunity.zone,
        product=product.product_id,
        opportunity=opportunity.opportunity_id,
        period=period,
        settlement_date=day,
        settlement_period=number,
        needed_kw=needed_kw(opportunity, period),
        instructed_wh=energy.instructed_wh,
        baseline_export_wh=energy.baseline_wh or 0,
        base_wh=nomination.base_wh if nomination else 0,
        kept_wh=nomination.kept_wh if nomination else 0,
        metered_export_wh=energy.net_wh,
        delivered_wh=energy.delivered_wh,
        deficiency_wh=energy.deficiency_wh,
        availability_gbp=availability,
        utilisation_gbp=utilisation,
        penalty_gbp=penalty,
        factor=used,
        amount_gbp=pounds(availability + utilisation - penalty),
        quality="; ".join(
            (
                *_quality(product, energy, here, len(car_of)),
                *energy.said,
                *_call_remarks(opportunity, product, energy, nomination),
                *remarks,
            )
        ),
        shares_wh=_shares(energy.delivered_wh, product, here, car_of),
    )


def _quality(product: Product, energy: _Energy, meters: Sequence[Metered], chargers: int) -> Iterator[str]:
    if energy.baseline_wh is None:
        rule = product.baseline
        nominated = rule.method is BaselineMethod.NOMINATED and rule.not_nominated is None
        yield NOT_NOMINATED if nominated else NO_BASELINE
        if not meters:
            yield NO_REGISTER
        return
    counts = {
        ESTIMATED: sum(meter.estimated for meter in meters),
        RESTARTED: sum(meter.restarted for meter in meters),
        IMPORTED: sum(meter.imported for meter in meters),
        NO_REGISTER: chargers - len(meters),
    }
    said = [f"{rule} ({count} of {chargers} chargers)" for rule, count in counts.items() if count]
    yield "; ".join(said) or (MEASURED if meters else NO_REGISTER)


def _call_remarks(
    opportunity: Opportunity, product: Product, energy: _Energy, nomination: Nomination | None
) -> Iterator[str]:
    """Yield what is to be said of a half-hour's baseline and price where no bid preceded the order."""
    rule = product.baseline
    if rule.method is BaselineMethod.NOMINATED and nomination is None and energy.baseline_wh is not None:
        yield f"{INSTEAD} {rule.not_nominated}"
    if opportunity.requirement is not None:
        return
    told_at = min(change.at for change in opportunity.orders)
    if rule.method is BaselineMethod.NOMINATED and nomination and nomination.frozen_at >= told_at:
        yield LATE
    if opportunity.award is None and product.call_gbp_per_mwh is None:
        yield NO_PRICE


def _shares(
    delivered: int, product: Product, meters: Sequence[Metered], car_of: Mapping[str, str]
) -> tuple[tuple[str, int], ...]:
    """Share the zone's delivered Wh to cars by what each moved in the product's direction."""
    moved = [max(0, product.direction.sign * meter.export_wh) for meter in meters]
    if not delivered or not any(moved):
        moved = [1] * len(meters)
    parts = share(delivered, moved)
    return tuple((car_of[m.charger_id], wh) for m, wh in zip(meters, parts, strict=True) if wh)
