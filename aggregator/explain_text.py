"""A statement laid out, in words and as data: from each figure back to what it was made from."""

from collections.abc import Iterator
from decimal import Decimal

from aggregator.baselines import Baseline
from aggregator.explaining import Boundary, CarStep, Explained, Explanation
from aggregator.followed import FollowedPart, followed_wh
from aggregator.model.figures import figure
from aggregator.model.market import Instruction, Product
from aggregator.model.metering import Reading
from aggregator.model.rules import BaselineMethod
from aggregator.model.time import LONDON, Interval, utc_text
from aggregator.ordered import OrderedPart

WH_PER_KWH = 1000


def details(found: Explanation, car: str | None) -> dict[str, object]:
    """Return the explanation as one JSON object; with a car, of the cars that one only."""
    one, product, base = found.worked.opportunity, found.product, found.baseline
    return {
        "opportunity": one.opportunity_id,
        "zone": one.zone,
        "product": one.product_id,
        "version": one.statement_version,
        "digest": found.worked.digest,
        "amount_gbp": found.worked.statement.amount_gbp,
        "price": {
            "utilisation_gbp_per_mwh": one.award.utilisation_gbp_per_mwh if one.award else None,
            "availability_gbp_per_mw_h": one.award.availability_gbp_per_mw_h if one.award else None,
            "penalty_gbp_per_mwh": product.penalty_gbp_per_mwh,
        },
        "baseline": {
            "method": product.baseline.method.value,
            "days": [day.isoformat() for day in base.days],
            "moved_wh": base.moved_wh,
            "remark": base.remark,
        },
        "versions": [one.cells() | {"made_at": utc_text(one.recorded_at)} for one in found.versions],
        "half_hours": [_half_hour(line, car) for line in found.lines],
        "inputs": dict(found.worked.inputs),
    }


def _half_hour(found: Explained, car: str | None) -> dict[str, object]:
    line, nominated = found.line, found.nominated
    return {
        "start": utc_text(line.period.start),
        "settlement_date": line.settlement_date.isoformat(),
        "settlement_period": line.settlement_period,
        "ordered": [_part(part) for part in found.parts],
        "followed": [_followed(one) for one in found.followed],
        "instructed_wh": line.instructed_wh,
        "baseline_export_wh": line.baseline_export_wh,
        "nominated": None
        if nominated is None
        else {
            "export_wh": nominated.export_wh,
            "base_wh": nominated.base_wh,
            "kept_wh": nominated.kept_wh,
            "frozen_at": utc_text(nominated.frozen_at),
        },
        "metered_export_wh": line.metered_export_wh,
        "delivered_wh": line.delivered_wh,
        "deficiency_wh": line.deficiency_wh,
        "factor": line.factor,
        "availability_gbp": line.availability_gbp,
        "utilisation_gbp": line.utilisation_gbp,
        "penalty_gbp": line.penalty_gbp,
        "amount_gbp": line.amount_gbp,
        "quality": line.quality,
        "cars": [_car(step) for step in found.cars if car in (None, step.car_id)],
    }


def _part(part: OrderedPart) -> dict[str, object]:
    key = part.instruction.key
    return {
        "start": utc_text(part.span.start),
        "end": utc_text(part.span.end),
        "kw": part.kw,
        "kwh": part.kwh,
        "event": key.event_id,
        "modification": key.modification,
        "issued_at": utc_text(part.instruction.issued_at),
    }


def _followed(one: FollowedPart) -> dict[str, object]:
    yielding = {name: order.key.event_id for name, order in one.yielding.items()}
    return {"opportunity": one.opportunity_id, **_part(one.part), "yielding": yielding}


def _car(step: CarStep) -> dict[str, object]:
    return {
        "car": step.car_id,
        "export_wh": step.metered.export_wh if step.metered else None,
        "estimated": step.metered.estimated if step.metered else None,
        "start": _boundary(step.start),
        "end": _boundary(step.end),
        "share_wh": step.share_wh,
        "share_gbp": step.share_gbp,
    }


def _boundary(one: Boundary) -> dict[str, object]:
    return {
        "at": utc_text(one.at),
        "rule": one.rule,
        "before": _reading(one.before),
        "after": _reading(one.after),
    }


def _reading(one: Reading | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {
        "measured_at": utc_text(one.measured_at),
        "received_at": utc_text(one.received_at),
        "import_wh": one.import_wh,
        "export_wh": one.export_wh,
    }


def in_words(found: Explanation, car: str | None) -> Iterator[str]:
    """Yield the lines that tell it to people; registers are told of one car, or of none."""
    one = found.worked.opportunity
    version = f"version {one.statement_version}" if one.statement_version else "not settled yet"
    yield (
        f"{one.opportunity_id}: {one.product_id} in {one.zone}, {_when(one.window)}; {version},"
        f" GBP {found.worked.statement.amount_gbp}"
    )
    yield from _rules(found.product, found.baseline)
    for made in found.versions:
        at = made.recorded_at.astimezone(LONDON)
        yield f"version {made.version} of {at:%d %b %Y %H:%M}: {made.reason}, GBP {made.amount_gbp}"
    for line in found.lines:
        yield from _line(found, line, car)


def _rules(product: Product, base: Baseline) -> Iterator[str]:
    said = f"baseline: {product.baseline.method.value}"
    if base.days:
        said += f", from {', '.join(f'{day:%d %b}' for day in base.days)}"
    if base.moved_wh:
        said += f", moved by {_kwh(base.moved_wh)} a half-hour by what was measured on the day"
    yield said + (f" ({base.remark})" if base.remark else "")


def _line(found: Explanation, explained: Explained, car: str | None) -> Iterator[str]:
    line, product, award = explained.line, found.product, found.worked.opportunity.award
    yield f"{_when(line.period)} (settlement period {line.settlement_period})"
    yield f"  instructed {_kwh(line.instructed_wh)}"
    for part in explained.parts:
        key = part.instruction.key
        yield (
            f"    {figure(part.kw)} kW from {_clock(part.span)} by {key.event_id} modification"
            f" {key.modification}: {part.kwh:.3f} kWh"
        )
    for one in explained.followed:
        yield f"    followed in the zone {_followed_words(one)}"
    yield from _baseline(explained, product)
    there = [step.metered for step in explained.cars if step.metered]
    yield f"  metered {_kwh(line.metered_export_wh)}, net export of {len(there)} chargers; {line.quality}"
    missing = _kwh(line.deficiency_wh)
    yield f"  delivered {_kwh(line.delivered_wh)}: {_clamp(explained, product)}; missing {missing}"
    price = _price(award.utilisation_gbp_per_mwh if award else product.call_gbp_per_mwh or 0)
    yield (
        f"  utilisation GBP {_price(line.utilisation_gbp)} = {_kwh(line.delivered_wh)} at GBP {price}/MWh"
        f" times {line.factor.normalize():f}"
    )
    if line.availability_gbp:
        yield f"  availability GBP {_price(line.availability_gbp)}"
    if line.penalty_gbp:
        yield (
            f"  penalty GBP {_price(line.penalty_gbp)} = {_kwh(line.deficiency_wh)}"
            f" at GBP {_price(product.penalty_gbp_per_mwh)}/MWh"
        )
    yield f"  amount GBP {line.amount_gbp}, rounded once, half to even"
    for step in explained.cars:
        if step.car_id == car:
            yield from _car_words(step)


def _baseline(explained: Explained, product: Product) -> Iterator[str]:
    line, nominated = explained.line, explained.nominated
    yield f"  baseline {_kwh(line.baseline_export_wh)}"
    if nominated is not None and product.baseline.method is BaselineMethod.NOMINATED:
        yield (
            f"    frozen {nominated.frozen_at.astimezone(LONDON):%d %b %H:%M}: base discharge"
            f" {_kwh(nominated.base_wh)}, kept {_kwh(nominated.kept_wh)}, less charging"
            f" {_kwh(nominated.kept_wh - nominated.export_wh)}"
        )


def _followed_words(one: FollowedPart) -> str:
    """Return which order was followed when, and why it went before the others."""
    order = one.part.instruction
    said = f"from {_clock(one.part.span)}: {order.key.event_id} of {one.opportunity_id}"
    if one.yielding:
        others = ", ".join(f"{name} ({_rank(yields)})" for name, yields in one.yielding.items())
        said += f" ({_rank(order)}), before {others}"
    return said


def _rank(order: Instruction) -> str:
    issued = f"issued {order.issued_at.astimezone(LONDON):%d %b %H:%M:%S}"
    return f"priority {order.priority}, {issued}" if order.priority else f"no priority, {issued}"


def _clamp(explained: Explained, product: Product) -> str:
    line = explained.line
    if not line.is_settled:
        return "nothing counts without a baseline"
    moved = product.direction.sign * (line.metered_export_wh - line.baseline_export_wh)
    said = f"{_kwh(moved)} beyond the baseline, no less than 0, no more than instructed"
    if not explained.followed:
        return said
    wh = followed_wh(explained.followed)
    mine = wh.get(line.opportunity, 0)
    return f"{said}; its part is that of {_kwh(mine)} in the {_kwh(sum(wh.values()))} that was followed"


def _car_words(step: CarStep) -> Iterator[str]:
    if step.metered is None:
        yield f"  {step.car_id}: no register"
        return
    sure = ", estimated" if step.metered.estimated else ", by its operator" if step.metered.imported else ""
    yield (
        f"  {step.car_id}: net export {_kwh(step.metered.export_wh)}{sure}; its share of what was delivered"
        f" {_kwh(step.share_wh)}, of the amount GBP {step.share_gbp}"
    )
    for name, bound in (("start", step.start), ("end", step.end)):
        readings = [one for one in (bound.before, bound.after) if one is not None]
        told = " and ".join(dict.fromkeys(_reading_words(one) for one in readings))
        yield f"    at the {name} ({bound.rule}): {told}"


def _reading_words(one: Reading) -> str:
    return (
        f"{one.measured_at.astimezone(LONDON):%d %b %H:%M:%S} import {one.import_wh:,} Wh,"
        f" export {one.export_wh:,} Wh"
    )


def _when(span: Interval) -> str:
    start = span.start.astimezone(LONDON)
    return f"{start:%a %d %b %Y} {_clock(span)}"


def _clock(span: Interval) -> str:
    start, end = (bound.astimezone(LONDON) for bound in (span.start, span.end))
    shown = "%H:%M:%S" if start.second or end.second else "%H:%M"
    return f"{start:{shown}} to {end:{shown}}"


def _price(value: Decimal | float) -> str:
    """Return a price to the penny, or as exact as it is stated."""
    stated = Decimal(str(value))
    to_the_penny = f"{stated:.2f}"
    return to_the_penny if Decimal(to_the_penny) == stated else f"{stated:f}"


def _kwh(wh: int) -> str:
    return f"{wh / WH_PER_KWH:,.3f} kWh"
