"""A month as values: what drivers' statements, the credit file and the pages are made of."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from aggregator.cycles import Night, credit_gbp
from aggregator.model.fleet import Car, FeedIn
from aggregator.trial.exports import Export, Payers, tariff_gbp

WH_PER_KWH = 1000.0


@dataclass(frozen=True, slots=True)
class Need:
    """A departure that was promised and fell due while the car was there, and heard of.

    Attributes:
        due_at: When.
        target_soc: How full it was to be.
        soc: How full it said it was.
        short_kwh: What was missing; 0 where that is within what its charge is reported to. [kWh]
        reachable: Whether it could have got there at full power from when the need was known.
    """

    due_at: datetime
    target_soc: float
    soc: float
    short_kwh: float
    reachable: bool


@dataclass(frozen=True, slots=True)
class Wear:
    """What went through a battery, on its own side of the charger. [Wh]

    Attributes:
        throughput_wh: Into it and out of it, in the month.
        total_wh: The same since records begin, to the month's end.
    """

    throughput_wh: int
    total_wh: int


@dataclass(frozen=True, slots=True)
class DriverMonth:
    """One driver's month.

    Attributes:
        car: As described last in the month.
        homes: Where it was at home, by site id.
        nights: All of the month in which it was in the fleet.
        needs: Departures that fell due.
        days: What its charger counted in and out on each local day of the month. [Wh]
        delivered_wh: Its share of what its zone delivered in events. [Wh]
        wear: What went through its battery.
        doubtful: Half-hours in which energy is estimated, or some of it unknown.
        unmetered: Half-hours in the fleet of whose charger no register is known.
    """

    car: Car
    homes: tuple[str, ...]
    nights: tuple[Night, ...]
    needs: tuple[Need, ...]
    days: tuple[tuple[int, int], ...]
    delivered_wh: int
    wear: Wear
    doubtful: int
    unmetered: int

    @property
    def import_wh(self) -> int:
        """Charged, at the charger. [Wh]"""
        return sum(import_wh for import_wh, _ in self.days)

    @property
    def export_wh(self) -> int:
        """Given, at the charger. [Wh]"""
        return sum(export_wh for _, export_wh in self.days)

    @property
    def equivalent_cycles(self) -> float:
        """Full cycles, once in and once out, that come to the month's throughput."""
        return self.wear.throughput_wh / (2 * self.car.capacity_kwh * WH_PER_KWH)

    @property
    def cycles(self) -> int:
        """Nights that count."""
        return sum(night.counts for night in self.nights)

    @property
    def credit_gbp(self) -> Decimal:
        """What these earn."""
        return credit_gbp(self.cycles)

    @property
    def missed(self) -> tuple[Need, ...]:
        """The needs that were not met."""
        return tuple(need for need in self.needs if need.short_kwh)


@dataclass(frozen=True, slots=True)
class HomeMonth:
    """What one home exported.

    Attributes:
        site_id: Which.
        cars: Whose home it was.
        at_boundary: Whether measured there; else at its cars' chargers.
        deal: Who pays, as stated last in the month.
        exports: Its half-hours with exports, in order.
        doubtful: Half-hours in which a figure is estimated, or not all of it known.
    """

    site_id: str
    cars: tuple[str, ...]
    at_boundary: bool
    deal: FeedIn
    exports: tuple[Export, ...]
    doubtful: int

    @property
    def payers(self) -> Payers:
        """All of it, by who pays."""
        return sum((row.payers for row in self.exports), Payers())

    @property
    def cars_wh(self) -> int:
        """What of it cars gave. [Wh]"""
        return sum(row.cars_wh for row in self.exports)

    @property
    def tariff_gbp(self) -> Decimal:
        """What the export tariff pays."""
        return tariff_gbp(self.exports)


@dataclass(frozen=True, slots=True)
class Month:
    """All drivers and homes of a month.

    Attributes:
        first: Its first day.
        drivers: By car id.
        homes: By site id.
        begun_on: When records begin.
        known_at: As known when; None for all that is known.
    """

    first: date
    drivers: tuple[DriverMonth, ...]
    homes: tuple[HomeMonth, ...]
    begun_on: date
    known_at: datetime | None = None

    @property
    def name(self) -> str:
        """As it is written, 2025-01."""
        return f"{self.first:%Y-%m}"

    def homes_of(self, driver: DriverMonth) -> list[HomeMonth]:
        """Return a driver's homes."""
        return [home for home in self.homes if home.site_id in driver.homes]
