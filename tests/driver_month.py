"""A month of four drivers in a store: two clock-change nights, an event, panels, and a charger that is late.

October 2024 in London. Chargers report every half-hour. `ann` is plugged in from 16:00 to 07:00 from the 18th
on, `bea` from 18:04, `cat` and `dan` share a home with panels and a meter at its boundary.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from aggregator.cycles import days_of, month_around
from aggregator.model.fleet import ExportTariff, FeedIn, FitExport, Fleet
from aggregator.model.market import OrderMode
from aggregator.model.metering import Reading
from aggregator.model.opportunity import (
    Approved,
    Awarded,
    DeliveryEnded,
    DeliveryStarted,
    Instructed,
    Proposed,
    Received,
    Submitted,
)
from aggregator.model.time import HALF_HOUR, LONDON, Interval
from aggregator.store import open_store
from tests.builders import (
    a_car,
    a_car_report,
    a_charger,
    a_draft,
    a_nomination,
    a_requirement,
    a_site,
    an_award,
    an_instruction,
    some_steps,
)

MONTH = date(2024, 10, 1)
ZONE, PRODUCT = "Hendon Way", "day-ahead"
EVENT = Interval(datetime(2024, 10, 22, 16, tzinfo=UTC), datetime(2024, 10, 22, 18, tzinfo=UTC))
LATE = datetime(2024, 11, 5, tzinfo=UTC)
"""When a charger's missing reports come."""

CHARGE_WH, GIVE_WH, PANELS_WH = 1500, 1000, 400
"""In a half-hour: from midnight to 04:00, from 17:00 to 18:30, from 11:00 to 13:00 local."""

FLAT = FeedIn(export_tariff=ExportTariff.FLAT, export_gbp_per_kwh=0.15)
METERED = FeedIn("Example Energy", FitExport.METERED)


def the_fleet(shared=METERED, own=FLAT):
    """Return the four cars; ``shared`` is what pays the home with panels, ``own`` what pays ann's."""
    homes = {
        "ann": a_site(site_id="h-ann", zone=ZONE, feed_in=own),
        "bea": a_site(site_id="h-bea", zone=ZONE),
        "cat": a_site(site_id="h-cat", zone=ZONE, solar_kw=4.0, boundary_meter=True, feed_in=shared),
    }
    homes["dan"] = homes["cat"]
    cars = tuple(
        a_car(
            car_id=name,
            charger=a_charger(charger_id=f"q-{name}"),
            site=site,
            warranty_throughput_kwh=500.0 if name == "ann" else None,
        )
        for name, site in homes.items()
    )
    return Fleet(cars, digest="f" * 64)


def plugged(name, local):
    """Whether a car is there, by the local time."""
    day, minute = local.date(), local.hour * 60 + local.minute
    if name == "ann":
        if minute >= 16 * 60:
            return day >= date(2024, 10, 18)
        return minute < 7 * 60 and day > date(2024, 10, 18)
    first = {"bea": 18 * 60 + 4, "cat": 12 * 60, "dan": 17 * 60}[name]
    return minute >= first or minute < 8 * 60


def filled(url, fleet=None):
    """Make the store; the reports of cat's charger on the night of the 12th come late."""
    with open_store(url, create=True) as store:
        store.fleet.replace(fleet or the_fleet(), datetime(2024, 9, 1, tzinfo=UTC), "fleet.toml")
        with store.at_once():
            for name in ("ann", "bea", "cat", "dan"):
                _reports(store, name)
            _boundary(store)
        _event(store)


def _instants():
    around = month_around(MONTH)
    return [slot.start for slot in around.slots(HALF_HOUR)]


def _missing(name, at):
    """Whether a report is held up: of cat's charger from 22:00 on the 12th to 09:00."""
    return name == "cat" and datetime(2024, 10, 12, 21, tzinfo=UTC) <= at < datetime(
        2024, 10, 13, 8, tzinfo=UTC
    )


def _step(name, local):
    """Return what the half-hour that begins then counts, in and out. [Wh]"""
    minute = local.hour * 60 + local.minute
    there = plugged(name, local) and plugged(name, local + timedelta(minutes=29))
    into = CHARGE_WH if there and minute < 4 * 60 else 0
    out = GIVE_WH if there and 17 * 60 <= minute < 18 * 60 + 30 and name != "bea" else 0
    return into, out


def _reports(store, name):
    import_wh, export_wh, told = 1_000_000, 50_000, {False: [], True: []}
    extra = [datetime(2024, 10, day, 17, 4, tzinfo=UTC) for day in range(1, 27)] if name == "bea" else []
    for at in sorted({*_instants(), *extra}):
        local = at.astimezone(LONDON)
        report = a_car_report(
            car_id=name,
            measured_at=at,
            plugged=plugged(name, local),
            soc=0.5 if local.hour >= 12 else 0.75,
            export_w=0,
            import_wh=import_wh,
            export_wh=export_wh,
        )
        told[_missing(name, at)].append(report)
        if at.minute in (0, 30):
            into, out = _step(name, local)
            import_wh, export_wh = import_wh + into, export_wh + out
    for report in told[False]:
        _add(store, name, report, report.measured_at + timedelta(seconds=2))


def late_reports(url):
    """Let the reports that were held up come in."""
    with open_store(url, create=False) as store:
        span = Interval(datetime(2024, 10, 12, 21, tzinfo=UTC), datetime(2024, 10, 13, 8, tzinfo=UTC))
        for at in (slot.start for slot in span.slots(HALF_HOUR)):
            _add(
                store,
                "cat",
                a_car_report(car_id="cat", measured_at=at, plugged=True, soc=0.5, export_w=0),
                LATE,
            )


def corrected_away(url, *days):
    """Let it be learnt that ann was away for a moment in some nights."""
    with open_store(url, create=False) as store:
        for day in days:
            at = datetime(2024, 10, day, 22, tzinfo=UTC)
            _add(
                store,
                "ann",
                a_car_report(car_id="ann", measured_at=at, plugged=False, soc=0.5, export_w=0),
                LATE,
            )


def _add(store, name, report, received_at):
    store.states.add([report], received_at=received_at)
    if received_at != LATE:
        reading = Reading(f"q-{name}", report.measured_at, received_at, report.import_wh, report.export_wh)
        store.readings.add([reading])


def _boundary(store):
    """Add what the meter at the shared home counts: cars, and panels at noon; the house draws nothing."""
    rows, import_wh, export_wh = [], 2_000_000, 0
    for at in _instants():
        rows.append(Reading("h-cat", at, at + timedelta(seconds=2), import_wh, export_wh))
        local = at.astimezone(LONDON)
        steps = [_step(name, local) for name in ("cat", "dan")]
        import_wh += sum(into for into, _ in steps)
        export_wh += sum(out for _, out in steps) + (PANELS_WH if 11 <= local.hour < 13 else 0)
    store.boundary_readings.add(rows)


def _event(store):
    said = {"zone": ZONE, "product_id": PRODUCT, "window": EVENT}
    slots = EVENT.slots(HALF_HOUR)
    need = a_requirement(**said, needed_kw=(3.0, 3.0, 3.0, 3.0))
    award = an_award(**said, awarded_kw=(3.0, 3.0, 3.0, 3.0), utilisation_gbp_per_mwh=Decimal("300.00"))
    order = an_instruction(
        zone=ZONE, product_id=PRODUCT, mode=OrderMode.DELTA, steps=some_steps(3, 3, 3, 3, slots=slots)
    )
    at, draft = EVENT.start - timedelta(hours=4), a_draft(offered_kw=(3.0, 3.0, 3.0, 3.0))
    facts = (
        Received(at, need),
        Proposed(at, draft),
        Approved(at, draft.digest, "bob"),
        Submitted(at, draft.report_id),
        Awarded(at, award),
        Instructed(at, order),
        DeliveryStarted(EVENT.start),
        DeliveryEnded(EVENT.end),
    )
    for n, fact in enumerate(facts):
        store.journal.append("one", fact, expected_version=n, by="test", recorded_at=fact.at)
    store.nominations.freeze(
        [a_nomination(zone=ZONE, period=slot, export_wh=0, frozen_at=at) for slot in slots]
    )


DAYS = days_of(MONTH)
