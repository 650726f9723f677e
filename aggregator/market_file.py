"""A market file: one platform's OpenADR end and the products bid there, as configuration."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from aggregator.files.inputs import (
    Clash,
    Fraction,
    HttpUrl,
    LocalTime,
    Money,
    Name,
    NotNegative,
    Positive,
    Row,
    Whole,
    YesNo,
    read_toml,
    validate,
)
from aggregator.files.link import SECURE, Fingerprint, not_a_pair, unstated
from aggregator.files.rules import BaselineSettings, PerformanceSettings, as_table
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.market import BidShape, Direction, Product
from aggregator.model.rules import BaselineMethod

MOST_PRICE_STEPS = 4


def _one_word(value: str) -> str:
    if value.split() != [value]:
        raise ValueError("a URI: a text without spaces")
    return value


class ProductSettings(Row):
    """One ``[[product]]`` of a market file."""

    product_id: Name
    direction: Direction
    bid_shape: BidShape
    slot_minutes: Literal[5, 10, 15, 20, 30, 60, 120]
    tick_kw: Positive
    min_kw: NotNegative
    gate_days_before: Whole = Field(ge=0, le=14)
    gate_local: LocalTime
    hold_back: YesNo
    award_probability: Fraction
    penalty_gbp_per_mwh: Annotated[Money, Field(ge=0)]
    metering_point: Literal["asset", "boundary"] = "asset"
    export_counts: YesNo = True
    standing_contract: YesNo = False
    scheduled: YesNo = False
    price_steps: Whole = Field(default=1, ge=1, le=MOST_PRICE_STEPS)
    cleared_as: Name | None = None
    call_gbp_per_mwh: Annotated[Money, Field(ge=0)] | None = None
    baseline: Annotated[BaselineSettings, BeforeValidator(as_table)] = BaselineSettings(
        method=BaselineMethod.NOMINATED
    )
    performance: PerformanceSettings = PerformanceSettings()

    def to_product(self) -> Product:
        """Return the rules in the model's words."""
        said = self.model_dump(exclude={"slot_minutes", "cleared_as", "baseline", "performance"})
        return Product(
            slot=timedelta(minutes=self.slot_minutes),
            baseline=self.baseline.to_rule(),
            performance=self.performance.to_rules(),
            **said,
        )


class VtnSettings(Row):
    """``[vtn]`` of a market file: the platform's OpenADR end."""

    vtn_id: Name
    url: HttpUrl
    ven_name: Name
    market_context: Annotated[Name, AfterValidator(_one_word)]
    poll_interval_s: Positive | None = None
    timeout_s: Positive = 10.0
    retry_first_s: Positive = 1.0
    retry_most_s: Positive = 60.0
    load_is_positive: YesNo = True
    telemetry_granularity_s: Whole = Field(default=60, ge=1, le=1800)
    lenient: YesNo = False
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    vtn_fingerprint: Fingerprint | None = None
    replay_back_s: Positive = 60.0
    replay_ahead_s: Positive = 60.0

    @model_validator(mode="after")
    def _ever_later(self) -> "VtnSettings":
        if self.retry_most_s < self.retry_first_s:
            allowed = f"at least retry_first_s ({self.retry_first_s:g})"
            raise Clash("retry_most_s", f"{self.retry_most_s:g}", allowed)
        return self


class MarketFile(Row):
    """One market: its platform and its products."""

    vtn: VtnSettings
    product: tuple[ProductSettings, ...] = Field(min_length=1)


def read_market(path: Path) -> MarketFile:
    """Read a market file; paths in it are relative to it.

    Raises:
        BadMessage: With every fault found.
    """
    market = validate(MarketFile, read_toml(path), path.name)
    named = {name: getattr(market.vtn, name) for name in ("certificate", "key", "ca")}
    paths = {name: path.parent / file for name, file in named.items() if file is not None}
    missing = [name for name, file in paths.items() if not file.is_file()]
    faults = [Fault(f"{path.name}: vtn.{name}", str(named[name]), "a file that exists") for name in missing]
    stated = {name: getattr(market.vtn, name) for name in SECURE}
    faults += unstated(stated, path.name, https=market.vtn.url.scheme == "https")
    if not faults and "key" in paths:
        faults += not_a_pair(paths["certificate"], paths["key"], path.name)
    if faults:
        raise BadMessage(*faults)
    return market.model_copy(update={"vtn": market.vtn.model_copy(update=paths)})
