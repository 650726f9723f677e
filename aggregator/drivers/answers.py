"""What a driver is told, as JSON values: every instant in UTC and as London's clocks show it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from aggregator.cycles import CREDIT_GBP, NIGHTS_PER_CREDIT
from aggregator.drivers.night import Row
from aggregator.drivers.overdue import Overdue
from aggregator.model.drivers import (
    DAYS,
    Boost,
    Departure,
    Floor,
    Saying,
    Topic,
    V2g,
    Week,
    Word,
)
from aggregator.model.figures import kwh, stated
from aggregator.model.fleet import Car
from aggregator.model.time import LONDON, utc_text
from dispatch.fleet_view import CarView

PERCENT = 100.0
LEAST_SOC = 1e-6
"""What lies closer together is the same level: shares go through kWh and back."""

Json = dict[str, object]


def instant(at: datetime | None) -> Json | None:
    """Return an instant as UTC and London write it; None for none."""
    return None if at is None else {"utc": utc_text(at), "london": at.astimezone(LONDON).isoformat()}


def level(soc: float, car: Car, miles_per_kwh: float) -> Json:
    """Return a state of charge as fraction, percentage, energy and miles."""
    kwh = soc * car.capacity_kwh
    return {
        "soc": round(soc, 4),
        "percent": round(soc * PERCENT, 2),
        "kwh": round(kwh, 3),
        "miles": round(kwh * miles_per_kwh, 1),
    }


def below_floor(target_soc: float, floor_soc: float) -> str | None:
    """Return what comes of a target below the floor, in words; None of any other."""
    if target_soc > floor_soc - LEAST_SOC:
        return None
    return f"{stated(target_soc)} is below the floor of {stated(floor_soc)}, which is kept"


def overdue_body(found: Overdue | None) -> Json | None:
    """Return what became of a word whose time is past; None where it is not."""
    if found is None:
        return None
    return {
        "soc": found.soc,
        "met": found.met,
        "kept_until": instant(found.until),
        "says": found.says,
    }


def word_body(topic: Topic, word: Word | None, view: CarView, miles_per_kwh: float, now: datetime) -> Json:
    """Return what was said last about a topic of a car as its driver wants it now, and whether it holds."""
    car = view.car
    holds = word is not None and word.holds(now)
    saying = word.saying if word is not None and holds else None
    return {
        "car_id": car.car_id,
        "topic": topic.value,
        "version": word.version if word is not None else 0,
        "holds": holds,
        "told_at": instant(word.told_at if word is not None else None),
        "told_by": word.told_by if word is not None else None,
        "until": instant(word.until) if word is not None and holds else None,
        "says": _saying(saying, car, miles_per_kwh),
    }


def _saying(saying: Saying | None, car: Car, miles_per_kwh: float) -> Json | None:
    match saying:
        case None:
            return None
        case Departure(depart_at=depart_at, target_soc=target_soc):
            return {
                "depart_at": instant(depart_at),
                "target": level(target_soc, car, miles_per_kwh),
                "below_floor": below_floor(target_soc, car.floor_soc),
            }
        case Week(days=days):
            rows = [
                {
                    "on": DAYS[row.day],
                    "depart_local": row.depart_local.isoformat(),
                    "target": level(row.target_soc, car, miles_per_kwh),
                    "below_floor": below_floor(row.target_soc, car.floor_soc),
                }
                for row in days
            ]
            return {"days": rows, "other_days": "as agreed for this car"}
        case Boost():
            return {"on": True}
        case V2g(on=on):
            return {"on": on}
        case Floor(soc=soc):
            return level(soc, car, miles_per_kwh)


def state_body(
    view: CarView,
    miles_per_kwh: float,
    now: datetime,
    stale_after: timedelta,
    faults: Sequence[str],
    overdue: Overdue | None,
) -> Json:
    """Return what is known of a car and what holds for it.

    Args:
        view: As the control loop sees it.
        miles_per_kwh: For miles.
        now: Domain instant.
        stale_after: How old a report may be.
        faults: What is wrong besides, each in words.
        overdue: What became of its driver's word where its time is past.
    """
    report, car, wish = view.report, view.car, view.wish
    faults = [*_silence(view, now, stale_after), *faults]
    soc = report.soc if report is not None else None
    stated = report is not None and (report.depart_at is not None or report.target_soc is not None)
    source = wish.source if wish is not None else "charger" if stated else "default"
    target_soc = view.target_kwh() / car.capacity_kwh
    return {
        "car_id": car.car_id,
        "now": instant(now),
        "charge": None if soc is None else level(soc, car, miles_per_kwh),
        "measured_at": instant(report.measured_at if report is not None else None),
        "age_s": None if report is None else round((now - report.measured_at).total_seconds(), 1),
        "plugged": view.is_plugged(),
        "export_kw": None if report is None else report.export_w / 1000.0,
        "v2g": wish.v2g if wish is not None else True,
        "boost": view.is_boosted(),
        "floor": level(car.floor_soc, car, miles_per_kwh),
        "departure": {
            "at": instant(view.stated_at(now)),
            "target": level(target_soc, car, miles_per_kwh),
            "below_floor": below_floor(target_soc, car.floor_soc),
            "said": source,
            "overdue": overdue_body(overdue),
        },
        "site": _site(car, now),
        "health": {"ok": not faults, "says": faults},
    }


def _silence(view: CarView, now: datetime, stale_after: timedelta) -> list[str]:
    if view.report is None:
        return ["your charger has not been heard of yet"]
    if view.is_plugged() and view.is_stale(now, stale_after):
        minutes = (now - view.report.measured_at) / timedelta(minutes=1)
        return [f"your charger has not been heard of for {minutes:.0f} minutes: the car counts as 0 kW"]
    return []


def _site(car: Car, now: datetime) -> Json:
    site = car.site
    return {
        "export_approved": site.may_discharge(now) and site.export_limit_kw > 0,
        "export_barred": site.bar_to_discharge(now),
        "export_source": site.export_source.value,
        "export_limit_kw": site.export_limit_kw,
        "export_room_kw": round(site.export_room_kw(now), 3),
        "import_limit_kw": site.import_limit_kw,
    }


def plan_body(view: CarView, rows: Sequence[Row], now: datetime) -> Json:
    """Return what is planned for a car; no rows while it is not plugged in."""
    why = "" if rows else "not plugged in: it is planned for once it is"
    return {
        "car_id": view.car.car_id,
        "now": instant(now),
        "departs_at": instant(view.stated_at(now)),
        "why_nothing": why or None,
        "half_hours": [
            {
                "from": instant(row.slot.start),
                "until": instant(row.slot.end),
                "export_kw": round(row.export_kw, 3) + 0.0,
                "export_kwh": round(row.export_kw * row.slot.hours, 3) + 0.0,
                "soc_at_end": round(row.energy_kwh / view.car.capacity_kwh, 4) if view.tells_charge else None,
                "why": row.why,
            }
            for row in rows
        ],
    }


def shortfall_body(view: CarView, missing_kwh: float | None, miles_per_kwh: float, now: datetime) -> Json:
    """Return by how much a driver's target will be missed, if at all.

    Args:
        view: The car as the loop sees it.
        missing_kwh: By how much; None where nothing can be said. [kWh]
        miles_per_kwh: For miles.
        now: Domain instant.
    """
    car = view.car
    known, short_kwh = missing_kwh is not None, missing_kwh or 0.0
    target_kwh = view.target_kwh()
    words = "your target will be reached"
    if not known:
        words = "not plugged in, or its charge is not known: nothing can be said"
    elif short_kwh > 0 and view.stated_at(now) < now:
        words = f"{kwh(short_kwh)} are missing: the car is kept as promised for a driver who is late"
    elif short_kwh > 0:
        words = f"{kwh(short_kwh)} will be missing even at full power"
    reaches = None if not known else level((target_kwh - short_kwh) / car.capacity_kwh, car, miles_per_kwh)
    return {
        "car_id": car.car_id,
        "now": instant(now),
        "departs_at": instant(view.stated_at(now)),
        "target": level(target_kwh / car.capacity_kwh, car, miles_per_kwh),
        "short": level(short_kwh / car.capacity_kwh, car, miles_per_kwh) if known else None,
        "at_least": reaches if short_kwh > 0 else None,
        "says": words,
    }


def cycles_body(car_id: str, month: date, counted: Sequence[date]) -> Json:
    """Return the nights of a month that count, and what they earn.

    Args:
        car_id: Whose.
        month: Its first day.
        counted: Their evenings, in order.
    """
    missing = max(0, NIGHTS_PER_CREDIT - len(counted))
    return {
        "car_id": car_id,
        "month": f"{month:%Y-%m}",
        "cycles": len(counted),
        "nights": [night.isoformat() for night in counted],
        "needed": NIGHTS_PER_CREDIT,
        "missing": missing,
        "credit_gbp": CREDIT_GBP if not missing else 0,
        "rule": "a night plugged in without a break from before 18:00 to 05:00, London time;"
        f" {NIGHTS_PER_CREDIT} in a month earn GBP {CREDIT_GBP}, fewer nothing",
    }
