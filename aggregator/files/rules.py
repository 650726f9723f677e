"""A product's baseline and performance rules as a market file has them."""

from typing import Annotated

from pydantic import Field, model_validator

from aggregator.files.inputs import Clash, Finite, Fraction, Money, Name, NotNegative, Row, Whole, YesNo
from aggregator.model.rules import (
    LEAST_MEASURED,
    LOOKBACK_DAYS,
    OTHER_DAYS,
    RAISED_LIMIT,
    WORKING_DAYS,
    BaselineMethod,
    BaselineRule,
    FactorRule,
    Fallback,
    Measure,
    Over,
    Performance,
)
from aggregator.working_days import public_holidays

PROFILE_LENGTHS = (48, 336)
MOST_DAYS = 366
MOST_PERIODS = 50
UNSAID = FactorRule()
WHOLE_MONTHS = (Over.MONTH, Over.MONTH_BEFORE)

Days = Annotated[Whole, Field(ge=1, le=MOST_DAYS)]
Period = Annotated[Whole, Field(ge=1, le=MOST_PERIODS)]
Share = Annotated[Fraction, Field(gt=0)]
Part = Annotated[Money, Field(ge=0, le=1)]


class BaselineSettings(Row):
    """``baseline`` of a product, where it is a table."""

    method: BaselineMethod
    working_days: Days = WORKING_DAYS
    other_days: Days = OTHER_DAYS
    lookback_days: Days = LOOKBACK_DAYS
    calendar: Name = "GB-ENG"
    least_measured: Share = LEAST_MEASURED
    fallback: Fallback = Fallback.NOMINATED
    adjusted: YesNo = False
    raised_limit: NotNegative = RAISED_LIMIT
    not_nominated: BaselineMethod | None = None
    profile_kw: tuple[Finite, ...] = ()
    per_charger: YesNo = False

    @model_validator(mode="after")
    def _whole(self) -> "BaselineSettings":
        if self.to_rule().looks_back:
            self._knows_its_holidays()
        if self.not_nominated is not None:
            self._names_another(self.not_nominated)
        if BaselineMethod.FIXED in self.to_rule().methods:
            if len(self.profile_kw) not in PROFILE_LENGTHS:
                allowed = "48 half-hours of a day, or 336 of a week from Monday"
                raise Clash("profile_kw", f"{len(self.profile_kw)} figures", allowed)
        elif self.profile_kw or self.per_charger:
            raise Clash(
                "profile_kw", f"{len(self.profile_kw)} figures", "a profile with the method fixed only"
            )
        if self.adjusted and not self.to_rule().looks_back:
            raise Clash("adjusted", "true", "false unless the method is bl01 or mid_8_of_10")
        return self

    def _names_another(self, other: BaselineMethod) -> None:
        if self.method is not BaselineMethod.NOMINATED:
            raise Clash("not_nominated", other.value, "with the method nominated only")
        if other is BaselineMethod.NOMINATED:
            allowed = ", ".join(one.value for one in BaselineMethod if one is not BaselineMethod.NOMINATED)
            raise Clash("not_nominated", other.value, f"another method: {allowed}")

    def _knows_its_holidays(self) -> None:
        try:
            public_holidays(self.calendar)
        except ValueError:
            raise Clash("calendar", self.calendar, "an ISO 3166 code such as GB-ENG, or none") from None

    def to_rule(self) -> BaselineRule:
        """Return the rule in the model's words."""
        return BaselineRule(**self.model_dump())


def as_table(value: object) -> object:
    """Return a baseline as a table: a text is its method."""
    return {"method": value} if isinstance(value, str) else value


class FactorSettings(Row):
    """``utilisation`` or ``availability`` of a product's performance."""

    measure: Measure
    over: Over
    grace: Part
    multiplier: Annotated[Money, Field(ge=0)]
    floor: Part = UNSAID.floor
    cap: Annotated[Money, Field(gt=0, le=2)] = UNSAID.cap
    least_kw: NotNegative = UNSAID.least_kw
    first_period: Period = UNSAID.first_period
    last_period: Period = UNSAID.last_period
    least_measured: Share = LEAST_MEASURED

    @model_validator(mode="after")
    def _whole(self) -> "FactorSettings":
        if self.floor > self.cap:
            raise Clash("floor", str(self.floor), f"at most the cap ({self.cap})")
        if self.first_period > self.last_period:
            raise Clash("first_period", self.first_period, f"at most last_period ({self.last_period})")
        by_schedule = self.measure is Measure.SCHEDULE
        if by_schedule and self.over not in WHOLE_MONTHS:
            raise Clash("over", self.over.value, "month or month_before with schedule_accuracy")
        if by_schedule != bool(self.least_kw):
            allowed = "above 0 with schedule_accuracy, where a load near zero is divided by; else 0"
            raise Clash("least_kw", f"{self.least_kw:g}", allowed)
        return self


class PerformanceSettings(Row):
    """``performance`` of a product."""

    utilisation: FactorSettings | None = None
    availability: FactorSettings | None = None
    wrong_way_is_missing: YesNo = False

    def to_rules(self) -> Performance:
        """Return the rules in the model's words."""
        factors = {"utilisation": self.utilisation, "availability": self.availability}
        rules = {name: FactorRule(**row.model_dump()) for name, row in factors.items() if row is not None}
        return Performance(**rules, wrong_way_is_missing=self.wrong_way_is_missing)
