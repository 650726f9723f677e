"""From settings to the values that the core takes: rules, prices, loop and platform settings."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from aggregator.config import Settings, TariffBand
from aggregator.desk import Desk, OnePerson, Rule
from aggregator.energy import Tariff
from aggregator.files.inputs import as_text, faults_of
from aggregator.files.prices import PriceFile
from aggregator.model.errors import BadMessage
from aggregator.model.market import RED_LEVEL, PeakWindow
from aggregator.model.time import LONDON, Interval, half_hours
from aggregator.ports import Clock
from aggregator.store import Store
from aggregator.workflow import BeforeOrder, Revalue, Workflow, nothing_before, nothing_worked_out

Peaks = Callable[[str], Sequence[PeakWindow]]
Windows = Callable[[str], Sequence[Interval]]
Prices = Callable[[str, Sequence[Interval]], Tariff]

KWH_PER_MWH = 1000.0
WEEK = timedelta(days=7)
PRICE_DAY_ENDS = time(23)
"""Half-hourly tariffs are published by days from 23:00 to 23:00 local."""
GATEWAY = "gateway"
SETTINGS = "settings"


def remember_settings(store: Store, settings: Settings) -> None:
    """Keep what a gateway ran by beside what it did, but for its database's URL: the audit judges by it."""
    store.memory.remember(GATEWAY, SETTINGS, settings.model_dump_json(exclude={"store"}))


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


def workflow_of(
    settings: Settings,
    store: Store,
    clock: Clock,
    before_order: BeforeOrder = nothing_before,
    revalue: Revalue = nothing_worked_out,
) -> Workflow:
    """Return the workflow with the desk's rules and the markets' products."""
    return Workflow(store, clock, settings.products, desk_of(settings), before_order, revalue)


def desk_of(settings: Settings) -> Desk:
    """Return who may approve what."""
    with_role = {
        role: frozenset(user.name for user in settings.desk.user if role in user.roles)
        for role in ("approver", "trader", "operator", "settlement")
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
        tuple(OnePerson(**row.model_dump()) for row in settings.desk.one_person),
        with_role["settlement"],
    )


def _no_windows(_: str) -> Sequence[Interval]:
    return ()


def prices_of(
    settings: Settings, peaks: Peaks, known_at: datetime | None = None, windows: Windows = _no_windows
) -> Prices:
    """Return the tariff of a zone for any slots, with its red half-hours.

    A price that stands as a signal is what a kWh drawn costs, in place of the file's or the band's. A slot
    that spans two prices or touches a red half-hour takes the dearer import, the lower export and the red: a
    plan may then be too careful in it, never wrong about it.

    Args:
        settings: Bands, price files and what holds beyond them.
        peaks: A zone's standing signals.
        known_at: Only prices published by then count; None for all that the files hold.
        windows: A zone's bid windows: of equal prices, import goes elsewhere first.

    Raises:
        BadMessage: If a price file is wrong.
    """
    said = settings.prices
    files = {path: PriceFile(path) for path in (said.import_csv, said.export_csv) if path is not None}
    until = None if known_at is None else _published_until(said.published_local, known_at)

    def quoted(path: Path | None, at: datetime) -> float | None:
        """Return a file's price at an instant, or by the rule that is named for what it does not say."""
        if path is None:
            return None
        instants = (at, _week_before(at)) if said.beyond == "week_before" else (at,)
        found = (files[path].at(one) for one in instants if until is None or one < until)
        return next((price for price in found if price is not None), None)

    def imported(at: datetime, standing: Sequence[PeakWindow]) -> float:
        signalled = [price for peak in standing if (price := peak.price_at(at)) is not None]
        if signalled:
            return max(signalled) / KWH_PER_MWH
        price = quoted(said.import_csv, at)
        return price if price is not None else _band_at(settings.tariff, at).import_gbp_per_kwh

    def exported(at: datetime) -> float:
        price = quoted(said.export_csv, at)
        if price is None:
            price = said.export_gbp_per_kwh
        return price if price is not None else _band_at(settings.tariff, at).export_gbp_per_kwh

    def prices(zone: str, slots: Sequence[Interval]) -> Tariff:
        standing, sought = peaks(zone), windows(zone)
        parts = [[part.start for part in half_hours(slot)] for slot in slots]
        red = [any(peak.level_at(at) >= RED_LEVEL for at in row for peak in standing) for row in parts]
        return Tariff(
            import_gbp_per_kwh=np.array([max(imported(at, standing) for at in row) for row in parts]),
            export_gbp_per_kwh=np.array([min(exported(at) for at in row) for row in parts]),
            red=np.array(red, dtype=np.bool_),
            wear_gbp_per_kwh=settings.bidding.wear_gbp_per_kwh,
            bid=np.array([any(slot.overlap(one) for one in sought) for slot in slots], dtype=np.bool_),
        )

    return prices


def _published_until(published_local: time, known_at: datetime) -> datetime:
    """Return up to when prices are known: 23:00 local, from the publishing hour on that of the next day."""
    local = known_at.astimezone(LONDON)
    day = local.date() + timedelta(days=local.time() >= published_local)
    return datetime.combine(day, PRICE_DAY_ENDS, LONDON).astimezone(UTC)


def _week_before(at: datetime) -> datetime:
    """Return when clocks showed the same a week before."""
    return (at.astimezone(LONDON) - WEEK).astimezone(UTC)


def _band_at(bands: Sequence[TariffBand], at: datetime) -> TariffBand:
    """Return the band of the tariff that is valid on the local day, of those the one begun last."""
    local = at.astimezone(LONDON)
    begun = max(
        (band.valid_from for band in bands if band.valid_from and band.valid_from <= local.date()),
        default=None,
    )
    return next(
        band
        for band in bands
        if band.valid_from == begun and _covers(band.from_local, band.until_local, local.time())
    )


def _covers(start: time, end: time, local: time) -> bool:
    if start < end:
        return start <= local < end
    return local >= start or local < end
