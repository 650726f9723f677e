"""A month's figures by column: what its files, its pages and its versions are all made of.

Energies in kWh to the Wh and money in GBP are decimals; instants are UTC, days London's.
"""

from collections.abc import Mapping
from decimal import Decimal

from aggregator.cycles import NIGHTS_PER_CREDIT
from aggregator.model.fleet import FitExport
from aggregator.model.time import LONDON, settlement_period, utc_text
from aggregator.trial.exports import DEEMED_SHARE, Export, Payers
from aggregator.trial.values import DriverMonth, HomeMonth, Month, Need

Cells = dict[str, object]
Generated = Mapping[str, Decimal]
"""What homes' generation meters counted in the month, by site id, where that was told. [kWh]"""

WH = Decimal("0.001")


def kwh(wh: int) -> Decimal:
    """Return whole Wh as kWh with three digits."""
    return (Decimal(wh) / 1000).quantize(WH)


def figure(value: float, digits: int) -> Decimal:
    """Return a float as a decimal with so many digits."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-digits))


def driver_cells(month: Month, driver: DriverMonth) -> Cells:
    """Return one driver's month as a row."""
    cap_kwh = driver.car.warranty_throughput_kwh
    total_kwh = kwh(driver.wear.total_wh)
    return {
        "month": month.name,
        "car_id": driver.car.car_id,
        "zone": driver.car.site.zone,
        "homes": " ".join(driver.homes),
        "nights": len(driver.nights),
        "cycles": driver.cycles,
        "cycles_needed": NIGHTS_PER_CREDIT,
        "credit_gbp": driver.credit_gbp,
        "import_kwh": kwh(driver.import_wh),
        "export_kwh": kwh(driver.export_wh),
        "delivered_kwh": kwh(driver.delivered_wh),
        "throughput_kwh": kwh(driver.wear.throughput_wh),
        "equivalent_cycles": figure(driver.equivalent_cycles, 3),
        "throughput_since": month.begun_on.isoformat(),
        "throughput_since_kwh": total_kwh,
        "warranty_throughput_kwh": "" if cap_kwh is None else figure(cap_kwh, 3),
        "warranty_used": "" if cap_kwh is None else figure(float(total_kwh) / cap_kwh, 4),
        "needs": len(driver.needs),
        "needs_missed": len(driver.missed),
        "missed_kwh": sum((figure(need.short_kwh, 3) for need in driver.missed), Decimal("0.000")),
        "estimated_half_hours": driver.doubtful,
        "unmetered_half_hours": driver.unmetered,
    }


def night_rows(driver: DriverMonth) -> list[Cells]:
    """Return a driver's nights."""
    return [
        {
            "car_id": driver.car.car_id,
            "evening": night.evening.isoformat(),
            "counts": "yes" if night.counts else "no",
            "why": night.why,
        }
        for night in driver.nights
    ]


def need_cells(driver: DriverMonth, need: Need) -> Cells:
    """Return one departure."""
    return {
        "car_id": driver.car.car_id,
        "due_at": utc_text(need.due_at),
        "due_london": f"{need.due_at.astimezone(LONDON):%Y-%m-%d %H:%M}",
        "target_percent": figure(100 * need.target_soc, 1),
        "percent": figure(100 * need.soc, 1),
        "short_kwh": figure(need.short_kwh, 3),
        "could_be_met": "yes" if need.reachable else "no",
    }


def payer_cells(payers: Payers) -> Cells:
    """Return an export by who pays; the four add to ``export_kwh``."""
    return {
        "export_kwh": kwh(payers.export_wh),
        "market_kwh": kwh(payers.market_wh),
        "fit_export_kwh": kwh(payers.fit_export_wh),
        "export_tariff_kwh": kwh(payers.export_tariff_wh),
        "not_paid_kwh": kwh(payers.not_paid_wh),
    }


def home_cells(month: Month, home: HomeMonth, generated: Generated) -> Cells:
    """Return one home's month as a row; what is generated and deemed stands beside the export, not in it."""
    own, deal = generated.get(home.site_id), home.deal
    deemed = own is not None and deal.fit_export is FitExport.DEEMED
    return {
        "month": month.name,
        "site_id": home.site_id,
        "cars": " ".join(home.cars),
        "metered_at": "boundary" if home.at_boundary else "chargers",
        **payer_cells(home.payers),
        "cars_kwh": kwh(home.cars_wh),
        "export_tariff": deal.export_tariff.value,
        "export_tariff_gbp": home.tariff_gbp,
        "fit_export": deal.fit_export.value,
        "fit_generation_payer": deal.fit_generation_payer or "",
        "fit_generation_kwh": "" if own is None else own.quantize(WH),
        "fit_deemed_export_kwh": (own * DEEMED_SHARE).quantize(WH) if own is not None and deemed else "",
        "estimated_half_hours": home.doubtful,
    }


def export_cells(home: HomeMonth, row: Export) -> Cells:
    """Return one half-hour of a home's exports."""
    day, number = settlement_period(row.period.start)
    return {
        "site_id": home.site_id,
        "period_start_utc": utc_text(row.period.start),
        "settlement_date": day.isoformat(),
        "settlement_period": number,
        **payer_cells(row.payers),
        "cars_kwh": kwh(row.cars_wh),
        "export_tariff_gbp_per_kwh": "" if row.gbp_per_kwh is None else row.gbp_per_kwh,
    }


def statement_figures(month: Month, driver: DriverMonth) -> Cells:
    """Return all that a driver's statement says, by section: what makes a new version when it changes.

    What generation meters counted is not ours, and left out.
    """
    return {
        "month": driver_cells(month, driver),
        "nights": night_rows(driver),
        "needs": [need_cells(driver, need) for need in driver.needs],
        "home": [
            home_cells(month, home, {}) | {"half_hours": [export_cells(home, row) for row in home.exports]}
            for home in month.homes_of(driver)
        ],
    }
