"""From settings to the values that the core takes: rules, prices, loop and platform settings."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, time

import numpy as np
from pydantic import ValidationError

from aggregator.config import Settings, TariffBand
from aggregator.desk import Desk, Rule
from aggregator.energy import Tariff
from aggregator.files.inputs import as_text, faults_of
from aggregator.model.errors import BadMessage
from aggregator.model.market import RED_LEVEL, PeakWindow
from aggregator.model.time import LONDON, Interval, half_hours
from aggregator.ports import Clock
from aggregator.store import Store
from aggregator.workflow import Workflow

Peaks = Callable[[str], Sequence[PeakWindow]]
Prices = Callable[[str, Sequence[Interval]], Tariff]


KWH_PER_MWH = 1000.0
GATEWAY = "gateway"
SETTINGS = "settings"


def remember_settings(store: Store, settings: Settings) -> None:
    """Keep what a gateway ran by beside what it did: the audit judges by it."""
    store.memory.remember(GATEWAY, SETTINGS, settings.model_dump_json())


def settings_of(store: Store) -> Settings | None:
    """Return what the store's gateway last ran by; None where none has run.

    Raises:
        BadMessage: If another version of this program stored something that cannot be read.
    """
    text = store.memory.recall(GATEWAY, SETTINGS)
    if text is None:
        return None
    try:
        return Settings(**as_text(json.loads(text)))
    except ValidationError as error:
        raise BadMessage(*faults_of(error, Settings, "store: settings")) from None


def workflow_of(settings: Settings, store: Store, clock: Clock) -> Workflow:
    """Return the workflow with the desk's rules and the markets' products."""
    return Workflow(store, clock, settings.products, desk_of(settings))


def desk_of(settings: Settings) -> Desk:
    """Return who may approve what."""
    with_role = {
        role: frozenset(user.name for user in settings.desk.user if role in user.roles)
        for role in ("approver", "trader", "operator")
    }
    rules = tuple(Rule(**row.model_dump()) for row in settings.desk.rule)
    users = frozenset(user.name for user in settings.desk.user)
    return Desk(
        settings.desk.two_people,
        with_role["approver"],
        with_role["trader"],
        rules,
        users,
        with_role["operator"],
    )


def prices_of(settings: Settings, peaks: Peaks) -> Prices:
    """Return the tariff of a zone for any slots, with its red half-hours.

    A price that stands as a signal is what a kWh drawn costs, in place of the band's; what a kWh given earns
    stays the tariff's. A slot that spans two prices or touches a red half-hour takes the dearer import, the
    lower export and the red: a plan may then be too careful in it, never wrong about it.
    """

    def prices(zone: str, slots: Sequence[Interval]) -> Tariff:
        standing = peaks(zone)
        bands = [[_band_at(settings.tariff, part.start) for part in half_hours(slot)] for slot in slots]
        red = [
            any(peak.level_at(part.start) >= RED_LEVEL for part in half_hours(slot) for peak in standing)
            for slot in slots
        ]
        dearest = [
            max(_import_gbp_per_kwh(settings.tariff, standing, part.start) for part in half_hours(slot))
            for slot in slots
        ]
        return Tariff(
            import_gbp_per_kwh=np.array(dearest),
            export_gbp_per_kwh=np.array([min(band.export_gbp_per_kwh for band in row) for row in bands]),
            red=np.array(red, dtype=np.bool_),
            wear_gbp_per_kwh=settings.bidding.wear_gbp_per_kwh,
        )

    return prices


def _import_gbp_per_kwh(bands: Sequence[TariffBand], standing: Sequence[PeakWindow], at: datetime) -> float:
    signalled = [price for peak in standing if (price := peak.price_at(at)) is not None]
    return max(signalled) / KWH_PER_MWH if signalled else _band_at(bands, at).import_gbp_per_kwh


def _band_at(bands: Sequence[TariffBand], at: datetime) -> TariffBand:
    local = at.astimezone(LONDON).time()
    return next(band for band in bands if _covers(band.from_local, band.until_local, local))


def _covers(start: time, end: time, local: time) -> bool:
    if start < end:
        return start <= local < end
    return local >= start or local < end
