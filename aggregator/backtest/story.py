"""What a backtest remembers of each day: plain frozen values that can cross processes."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

from aggregator.backtest.dispatches import Event
from aggregator.backtest.promises import Breach
from aggregator.risk import Level

Settled: TypeAlias = tuple[datetime, float, float]
"""When the window of a bid ended, delivered over awarded, and what was hoped of it. [GBP]"""

WHOLE = 1.0 - 1e-9
"""Delivered over committed of a bid kept in full: sums of half-hours are not exact to the last bit."""
MODEL, MEAN, P10, CLAIRVOYANT = "flexloop", "mean", "empirical P10", "clairvoyant"
POLICIES = (MODEL, MEAN, P10, CLAIRVOYANT)


@dataclass(frozen=True, slots=True)
class Result:
    """What one policy made of one event; money in GBP.

    Attributes:
        bid_kw: Flat, 0 for none.
        committed_kwh: Awarded power times the window.
        delivered_kwh: Sum of clamp(metered - nominated, 0, awarded).
        revenue_gbp: Availability and utilisation.
        penalty_gbp: For what was missing.
        energy_gbp: What the day's energy cost more than uncalled, batteries brought level.
        wear_gbp: Of what was given more than uncalled.
        why: What stopped a bid.
    """

    bid_kw: float = 0.0
    committed_kwh: float = 0.0
    delivered_kwh: float = 0.0
    revenue_gbp: float = 0.0
    penalty_gbp: float = 0.0
    energy_gbp: float = 0.0
    wear_gbp: float = 0.0
    why: str = ""

    @property
    def net_gbp(self) -> float:
        """Revenue less penalty, energy and wear."""
        return self.revenue_gbp - self.penalty_gbp - self.energy_gbp - self.wear_gbp

    @property
    def ratio(self) -> float:
        """Delivered over committed; 1 where nothing was."""
        return self.delivered_kwh / self.committed_kwh if self.committed_kwh else 1.0


@dataclass(frozen=True, slots=True)
class Story:
    """One event and what became of it.

    Attributes:
        zone: Ours.
        day: The horizon's local day.
        event: What was needed.
        cars: In the fleet then.
        results: By policy.
        fear: Price of a miss, in margins.
        level: What the model weighed; None where it weighed nothing.
        forecast_kw: Deliverable flat kW on each like day, upon the nomination. [kW]
        true_kw: What the day could have delivered. [kW]
        expected_cars: Mean number of cars there through the window on the like days.
        came: Cars truly there through it.
        absent: Cars there on at least 80% of the like days, and not on the day.
    """

    zone: str
    day: date
    event: Event
    cars: int
    results: dict[str, Result]
    fear: float
    level: Level | None
    forecast_kw: tuple[float, ...]
    true_kw: float
    expected_cars: float
    came: int
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fan:
    """Power plugged in on one horizon: as forecast at 10, 50 and 90%, and as it came. [kW per half-hour]"""

    zone: str
    day: date
    starts: tuple[datetime, ...]
    low_kw: tuple[float, ...]
    middle_kw: tuple[float, ...]
    high_kw: tuple[float, ...]
    true_kw: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lived:
    """One day of one zone.

    Attributes:
        day: The horizon's local day.
        story: Its event, None without one that was replayed.
        fan: With the event.
        checked: Set-points and departures that were checked.
        breaches: Promises broken.
        early_short: Cars that left before they were believed to, each by what it lacked. [kWh]
        left_open: Why the day could not be replayed; empty if it was.
    """

    day: date
    story: Story | None = None
    fan: Fan | None = None
    checked: int = 0
    breaches: tuple[Breach, ...] = ()
    early_short: tuple[float, ...] = ()
    left_open: str = ""
