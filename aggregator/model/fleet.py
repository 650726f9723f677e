"""Cars, chargers, homes and what each driver was promised.

Powers are on the AC side of the charger, in kW, each a magnitude; energies in kWh of usable capacity.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from math import ceil
from operator import itemgetter

from aggregator.model.time import LONDON, Interval, half_hours, next_local

LOWEST_FLOOR_SOC = 0.30
"""No car is discharged below this in V2G mode, whatever anybody asks (P1)."""

HOURS_PER_DAY = 24
W_PER_KW = 1000.0
WATT_DIGITS = 6
"""Watts are rounded to so many before they are made whole: floats may miss a whole one by a little."""


class ExportSource(StrEnum):
    """What allows a home to export: a G98 notice, a G99 approval, a G100 limitation scheme, or nothing."""

    G98 = "g98"
    G99 = "g99"
    G100 = "g100"
    NONE = "none"


class Approval(StrEnum):
    """Where a home's application to export stands; all but ``granted`` mean no discharge (P4)."""

    GRANTED = "granted"
    APPLIED = "applied"
    REFUSED = "refused"
    NONE = "none"


class FitExport(StrEnum):
    """How a home's feed-in tariff pays for exports: not at all, for a deemed share, or as metered."""

    NONE = "none"
    DEEMED = "deemed"
    METERED = "metered"


class ExportTariff(StrEnum):
    """What a home's export tariff pays a kWh: nothing, one price, or the gateway's price of the half-hour."""

    NONE = "none"
    FLAT = "flat"
    HALF_HOURLY = "half_hourly"


@dataclass(frozen=True, slots=True)
class FeedIn:
    """Who pays a home for what it generates and exports, besides the market.

    Exports have one payer: a feed-in tariff's export payment and an export tariff exclude each other. The
    feed-in tariff's payment for what is generated goes on beside either.

    Attributes:
        fit_generation_payer: Who pays the feed-in tariff for generation; None where nobody does.
        fit_export: How the feed-in tariff pays for exports.
        export_tariff: What the export tariff pays.
        export_gbp_per_kwh: The price of a flat one, as it is written. [GBP/kWh]
        feed_in_from: Local date from whose midnight on exports are paid for so; None where always.
    """

    fit_generation_payer: str | None = None
    fit_export: FitExport = FitExport.NONE
    export_tariff: ExportTariff = ExportTariff.NONE
    export_gbp_per_kwh: float | None = None
    feed_in_from: date | None = None

    def at(self, instant: datetime) -> "FeedIn":
        """Return what holds at an instant: nothing before its first day."""
        begun = self.feed_in_from is None or instant.astimezone(LONDON).date() >= self.feed_in_from
        return self if begun else NOBODY_PAYS


NOBODY_PAYS = FeedIn()


@dataclass(frozen=True, slots=True)
class Site:
    """A home's connection to the grid.

    Attributes:
        site_id: Opaque id.
        zone: The DNO's constraint area it lies in.
        export_limit_kw: Most the home may export at its boundary: what the approval says, or, with a G100
            scheme, what that is set to. Only behind one does a house's load make room for more. [kW]
        export_source: What says so; ``none`` means no discharge at all.
        import_limit_kw: What its fuse carries. [kW]
        solar_kw: Rating of a solar inverter on the same connection, 0 without one. [kW]
        dark_from: Local time from which the panels surely give nothing; with ``dark_until``.
        dark_until: Local time until which they surely give nothing.
        approval: Where the application stands.
        approved_from: Local date from whose midnight on an approval holds; None where it always has.
        boundary_meter: Whether a meter at the boundary is read, by the home's charger.
        house_load_kw: What the house itself is taken to draw, stated: one figure, or one for each local hour
            of a day; empty where nothing is stated. [kW]
        feed_in: Who pays for what it generates and exports.
    """

    site_id: str
    zone: str
    export_limit_kw: float
    export_source: ExportSource
    import_limit_kw: float
    solar_kw: float = 0.0
    dark_from: time | None = None
    dark_until: time | None = None
    approval: Approval = Approval.GRANTED
    approved_from: date | None = None
    boundary_meter: bool = False
    house_load_kw: tuple[float, ...] = ()
    feed_in: FeedIn = NOBODY_PAYS

    def may_discharge(self, at: datetime) -> bool:
        """Whether an approval is in force at ``at``: from the first instant of its local day on."""
        if self.export_source is ExportSource.NONE or self.approval is not Approval.GRANTED:
            return False
        return self.approved_from is None or at.astimezone(LONDON).date() >= self.approved_from

    def bar_to_discharge(self, at: datetime) -> str | None:
        """Return in a few words why no car may discharge here at ``at``; None where one may."""
        if self.export_source is ExportSource.NONE and self.approval in (Approval.GRANTED, Approval.NONE):
            return "no export approval"
        if self.approval is not Approval.GRANTED:
            return f"approval {self.approval.value}"
        if not self.may_discharge(at):
            return f"approved from {self.approved_from}"
        dark_hours = self.dark_from is not None
        most_kw = self.export_limit_kw - (0.0 if dark_hours else self.solar_kw)
        if most_kw <= 0 and not self.boundary_meter:
            return "panels may take all of the export limit" if self.export_limit_kw else "export limit 0"
        return None

    def solar_most_kw(self, at: datetime) -> float:
        """Return what the panels may give at ``at`` as far as is known: nothing in the dark hours. [kW]"""
        return 0.0 if self._is_dark(at) else self.solar_kw

    def export_room_kw(self, at: datetime) -> float:
        """Return what cars may export here at ``at`` without a boundary meter (P4). [kW]

        The house's own load is counted as 0 and its panels as at full power, but in the stated dark hours.
        """
        return self._room_kw(at, 0.0)

    def least_export_room_kw(self, span: Interval) -> float:
        """Return the export room that holds all through ``span``: approvals begin, dark hours end. [kW]"""
        return self._least_room_kw(span, 0.0)

    def planned_room_kw(self, span: Interval) -> float:
        """Return the export room that plans for ``span`` count on. [kW]

        Where a meter shows what the house draws, and a scheme acts at the boundary, what is stated is room.
        """
        counts = self.boundary_meter and self.is_limited_by_itself
        return self._least_room_kw(span, self.least_house_load_kw(span) if counts else 0.0)

    def planned_import_kw(self, span: Interval) -> float:
        """Return the import room that plans for ``span`` count on. [kW]

        Where a meter shows what the house draws, what it is stated to draw is none; elsewhere the fuse is the
        cars' (see ``home_rooms``).
        """
        if not self.boundary_meter or not self.house_load_kw:
            return self.import_limit_kw
        house_kw = max(self.house_kw(half_hour.start) for half_hour in half_hours(span))
        return max(0.0, self.import_limit_kw - house_kw)

    @property
    def is_limited_by_itself(self) -> bool:
        """Whether a G100 scheme of the home's own keeps its boundary within the limit, whatever cars do."""
        return self.export_source is ExportSource.G100

    def _least_room_kw(self, span: Interval, house_kw: float) -> float:
        instants = [span.start]
        if self.solar_kw and self.dark_until is not None:
            sunrise = next_local(span.start, self.dark_until)
            instants += [sunrise] if sunrise < span.end else []
        return min(self._room_kw(at, house_kw) for at in instants)

    def _room_kw(self, at: datetime, house_kw: float) -> float:
        if not self.may_discharge(at):
            return 0.0
        return max(0.0, self.export_limit_kw + house_kw - self.solar_most_kw(at))

    def least_house_load_kw(self, span: Interval) -> float:
        """Return the least that the house is taken to draw in ``span``, 0 where nothing is stated. [kW]"""
        if not self.house_load_kw:
            return 0.0
        return min(self.house_kw(half_hour.start) for half_hour in half_hours(span))

    @property
    def most_house_kw(self) -> float:
        """The most that the house is taken to draw at any hour, 0 where nothing is stated. [kW]"""
        return max(self.house_load_kw, default=0.0)

    def house_kw(self, at: datetime) -> float:
        """Return what the house is taken to draw at ``at``, 0 where nothing is stated. [kW]"""
        if not self.house_load_kw:
            return 0.0
        hour = at.astimezone(LONDON).hour
        return self.house_load_kw[hour * len(self.house_load_kw) // HOURS_PER_DAY]

    def _is_dark(self, at: datetime) -> bool:
        if self.dark_from is None or self.dark_until is None:
            return False
        local = at.astimezone(LONDON).time()
        if self.dark_from <= self.dark_until:
            return self.dark_from <= local < self.dark_until
        return local >= self.dark_from or local < self.dark_until


@dataclass(frozen=True, slots=True)
class Charger:
    """A two-way charger.

    Attributes:
        charger_id: Opaque id; the meter registers carry it.
        charge_kw: Most it draws. [kW AC]
        discharge_kw: Most it gives. [kW AC]
        eta_charge: One-way efficiency from AC to battery, the worst allowed, in (0, 1].
        eta_discharge: One-way efficiency from battery to AC, the worst allowed, in (0, 1].
        min_kw: Smallest power it can hold in either direction; 0 where there is none. [kW AC]
    """

    charger_id: str
    charge_kw: float
    discharge_kw: float
    eta_charge: float
    eta_discharge: float
    min_kw: float = 0.0

    @property
    def min_w(self) -> int:
        """The least it can hold, in whole watts. [W AC]"""
        return ceil(round(self.min_kw * W_PER_KW, WATT_DIGITS))


@dataclass(frozen=True, slots=True)
class Taper:
    """How a battery's charging slows down near full.

    Attributes:
        from_soc: From this state of charge on less than full power is taken, linearly; at 1 never.
        full_share: Part of full power that is still taken at 100%, above 0.
    """

    from_soc: float = 1.0
    full_share: float = 1.0


NO_TAPER = Taper()


@dataclass(frozen=True, slots=True)
class Intent:
    """When the driver next needs the car (a local time of day) and how full (a fraction)."""

    depart_local: time
    target_soc: float


@dataclass(frozen=True, slots=True)
class Car:
    """One car, at home on one charger at one site.

    Attributes:
        car_id: Opaque id.
        capacity_kwh: Usable capacity. [kWh]
        floor_soc: Never discharged below this; at least 0.30.
        default_intent: What holds for a driver who says nothing.
        charger: Its charger.
        site: Its home.
        taper: How its charging slows down near full.
        warranty_throughput_kwh: Energy into and out of the battery that its warranty covers; None where none
            is stated. [kWh]
    """

    car_id: str
    capacity_kwh: float
    floor_soc: float
    default_intent: Intent
    charger: Charger
    site: Site
    taper: Taper = NO_TAPER
    warranty_throughput_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """All cars, by id, with the digest of the file they came from, and how many share each home."""

    cars: tuple[Car, ...]
    digest: str
    by_id: dict[str, Car] = field(init=False, repr=False, compare=False)
    at_home: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {car.car_id: car for car in self.cars})
        object.__setattr__(self, "at_home", Counter(car.site.site_id for car in self.cars))

    def sure_kw(self, car: Car, house_kw: float = 0.0) -> float:
        """Return what a car can surely draw, whatever others at its home do. [kW]

        Its part of the fuse, or of what a house that draws ``house_kw`` leaves of it.
        """
        left_kw = max(0.0, car.site.import_limit_kw - house_kw)
        return min(car.charger.charge_kw, left_kw / self.at_home[car.site.site_id])

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that the fleet's homes lie in, sorted."""
        return tuple(sorted({car.site.zone for car in self.cars}))

    def bars_to_discharge(self, at: datetime) -> dict[str, int]:
        """Return at how many homes no car may discharge at ``at``, by why not."""
        sites = {car.site.site_id: car.site for car in self.cars}
        bars = (site.bar_to_discharge(at) for site in sites.values())
        return dict(sorted(Counter(bar for bar in bars if bar is not None).items()))

    def in_zone(self, zone: str) -> tuple[Car, ...]:
        """Return the cars at home in ``zone``, in file order."""
        return tuple(car for car in self.cars if car.site.zone == zone)


@dataclass(frozen=True, slots=True)
class Fleets:
    """Every fleet that was ever in force: the past is judged by the fleet of its time, not by today's.

    Attributes:
        terms: From when on and which, ascending, at least one. Each ends with the next; the first was in
            force before it, too.
    """

    terms: tuple[tuple[datetime, Fleet], ...]

    def at(self, instant: datetime) -> Fleet:
        """Return the fleet in force at an instant."""
        begun = bisect_right(self.terms, instant, key=itemgetter(0))
        return self.terms[max(0, begun - 1)][1]

    def car(self, car_id: str, at: datetime) -> Car | None:
        """Return a car as it was described at an instant; None where it was not in the fleet then."""
        return self.at(at).by_id.get(car_id)

    @property
    def car_ids(self) -> tuple[str, ...]:
        """The cars of all of them, sorted."""
        return tuple(sorted({car.car_id for _, fleet in self.terms for car in fleet.cars}))

    @property
    def charger_ids(self) -> tuple[str, ...]:
        """The chargers of all of them, sorted."""
        return tuple(sorted({car.charger.charger_id for _, fleet in self.terms for car in fleet.cars}))

    @property
    def site_ids(self) -> tuple[str, ...]:
        """The homes of all of them, sorted."""
        return tuple(sorted({car.site.site_id for _, fleet in self.terms for car in fleet.cars}))
