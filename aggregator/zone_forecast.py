"""A zone's forecast as people are shown it: what its cars could give, by what was known at an instant."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from aggregator.config import Settings
from aggregator.energy import CarArrays
from aggregator.forecast import Calendar, History, Horizon, as_stated, scenarios
from aggregator.forecast.outlook import PERCENTILES, Outlook, outlook
from aggregator.model.drivers import latest
from aggregator.model.fleet import Fleet
from aggregator.model.time import HALF_HOUR, HOUR, Interval, utc_text
from aggregator.store import Store
from aggregator.wiring import prices_of

NO_CARS, NO_HISTORY = "no cars at home in this zone", "no past days of this kind to forecast from"
FIGURES = ("cars", "discharge_kw", "exportable_kwh")


@dataclass(frozen=True, slots=True, eq=False)
class ZoneForecast:
    """One zone's forecast.

    Attributes:
        zone: Its name.
        cars: Cars at home in it.
        drawn_from: The past days that stand for the day, latest first.
        slots: The half-hours.
        outlook: The percentiles; None where there is nothing to forecast from.
    """

    zone: str
    cars: int
    drawn_from: tuple[str, ...]
    slots: tuple[Interval, ...]
    outlook: Outlook | None

    @property
    def reason(self) -> str | None:
        """Why there is no outlook; None where there is one."""
        if self.outlook is not None:
            return None
        return NO_HISTORY if self.cars else NO_CARS

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield one row per half-hour: its bounds, and each figure at each percentile."""
        if self.outlook is None:
            return
        for number, slot in enumerate(self.slots):
            row: dict[str, object] = {"start": utc_text(slot.start), "end": utc_text(slot.end)}
            for name in FIGURES:
                values = getattr(self.outlook, name)[:, number]
                for percentile, value in zip(PERCENTILES, values, strict=True):
                    row[f"{name}_p{percentile}"] = round(float(value), 3)
            yield row


def zone_forecast(
    settings: Settings,
    store: Store,
    fleet: Fleet,
    history: History,
    zone: str,
    day: date,
    known_at: datetime,
) -> ZoneForecast:
    """Return a zone's forecast of a day by what is known at an instant."""
    slots, words = Horizon(day).slots, latest(store.drivers.all(), known_at)
    cars, intents = as_stated(fleet.in_zone(zone), words, day, known_at)
    count, calendar = settings.bidding.scenarios, Calendar(settings.fleet.holidays)
    drawn = scenarios(history, cars, Horizon(day), known_at, count, intents or None, calendar)
    able = None
    if cars and drawn:
        arrays = CarArrays.of(cars, *(slot.start for slot in slots), slots[-1].end)
        tariff = prices_of(settings, lambda name: store.inbox.peaks(name, known_at), known_at)(zone, slots)
        able = outlook(arrays, drawn, tariff, HALF_HOUR / HOUR, settings.dispatch.soc_resolution)
    return ZoneForecast(zone, len(cars), tuple(one.label for one in drawn), slots, able)
