"""How a product's delivery is measured and paid, as data: a baseline, and factors on what is earned.

No UK network operator's performance schedule is public: every figure here is a parameter with the value of a
published rule, agreed with the platform and stated in the market file.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

WORKING_DAYS = 10
OTHER_DAYS = 4
LOOKBACK_DAYS = 60
LEAST_MEASURED = 0.9
RAISED_LIMIT = 0.2


class BaselineMethod(StrEnum):
    """What delivery is measured against; ``baselines.py`` says how each is worked out."""

    NOMINATED = "nominated"
    BL01 = "bl01"
    MIDDLE_8_OF_10 = "mid_8_of_10"
    FIXED = "fixed"
    ZERO = "zero"


LOOKING_BACK = frozenset({BaselineMethod.BL01, BaselineMethod.MIDDLE_8_OF_10})
"""Methods that ask for past days."""


class Fallback(StrEnum):
    """What counts where too few like days were measured: the nomination, those few days, or zero."""

    NOMINATED = "nominated"
    FEWER_DAYS = "fewer_days"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class BaselineRule:
    """How the baseline of a product is worked out.

    Attributes:
        method: Which.
        working_days: Like days of a working day that BL01 takes.
        other_days: Like days that BL01 takes of a weekend or public holiday.
        lookback_days: Days before the event within which like days are sought.
        calendar: Whose public holidays count: ISO 3166, ``GB-ENG``; ``none`` for weekends only.
        least_measured: Share of the chargers whose registers must be known in a past half-hour for its day to
            count.
        fallback: What counts with too few like days.
        adjusted: Whether BL01 and mid-8-of-10 are moved by what was measured on the day before the event.
        raised_limit: Share of the like days' use in the adjustment window by which such a move in our favour
            may go before it is flagged.
        not_nominated: With the method nominated, what counts in half-hours without a nomination: another
            method, by this rule's own figures; None for none, and such a half-hour cannot be settled.
        profile_kw: The fixed profile: net export of 48 half-hours of a local day, or of 336 of a local week
            from Monday. [kW, export positive]
        per_charger: Whether the profile is that of one charger of the zone.
    """

    method: BaselineMethod = BaselineMethod.NOMINATED
    working_days: int = WORKING_DAYS
    other_days: int = OTHER_DAYS
    lookback_days: int = LOOKBACK_DAYS
    calendar: str = "GB-ENG"
    least_measured: float = LEAST_MEASURED
    fallback: Fallback = Fallback.NOMINATED
    adjusted: bool = False
    raised_limit: float = RAISED_LIMIT
    not_nominated: BaselineMethod | None = None
    profile_kw: tuple[float, ...] = ()
    per_charger: bool = False

    @property
    def looks_back(self) -> bool:
        """Whether past days are asked for."""
        return not LOOKING_BACK.isdisjoint(self.methods)

    @property
    def methods(self) -> tuple[BaselineMethod | None, ...]:
        """Its method, and the one where nothing was nominated."""
        return self.method, self.not_nominated


NOMINATION = BaselineRule()
"""What counts unless a product says otherwise."""


class Measure(StrEnum):
    """What a factor depends on: energy delivered of energy instructed, or how true the nominations were."""

    DELIVERY = "delivery"
    SCHEDULE = "schedule_accuracy"


class Over(StrEnum):
    """Over what the measure is taken: local calendar months are those of the event's first half-hour."""

    HALF_HOUR = "half_hour"
    EVENT = "event"
    MONTH = "month"
    MONTH_BEFORE = "month_before"


@dataclass(frozen=True, slots=True)
class FactorRule:
    """One payment is multiplied by ``1 - multiplier * ((1 - grace) - measure)``, within floor and cap.

    Attributes:
        measure: What it depends on, a share.
        over: Over what that is taken.
        grace: What may be missing of the measure at no loss.
        multiplier: Share of the payment lost for each share of the measure missing beyond the grace.
        floor: The least the factor falls to.
        cap: The most it rises to.
        least_kw: Mean power below which the schedule's error is not divided by less than this. [kW]
        first_period: First settlement period of the local day on which the schedule is measured.
        last_period: Last one.
        least_measured: Share of the chargers whose registers must be known in a half-hour to measure in it.
    """

    measure: Measure = Measure.DELIVERY
    over: Over = Over.EVENT
    grace: Decimal = Decimal(0)
    multiplier: Decimal = Decimal(1)
    floor: Decimal = Decimal(0)
    cap: Decimal = Decimal(1)
    least_kw: float = 0.0
    first_period: int = 30
    last_period: int = 42
    least_measured: float = LEAST_MEASURED


@dataclass(frozen=True, slots=True)
class Performance:
    """How payments follow delivery. The price of a MWh missing, the linear penalty, is the product's own.

    Attributes:
        utilisation: By what the payment for energy is multiplied; None leaves it as it is.
        availability: Likewise the payment for holding power.
        wrong_way_is_missing: Whether a zone that moved against the order is missing that as well, beyond what
            was ordered, as in the Shapeshifter/UFTP standard.
    """

    utilisation: FactorRule | None = None
    availability: FactorRule | None = None
    wrong_way_is_missing: bool = False


IN_FULL = Performance()
"""Nothing is cut."""
