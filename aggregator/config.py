"""Settings: one TOML file, the market files it names, and ``FLEXLOOP_`` environment variables for secrets.

Read once, in ``cli.py``; passed on as values. A key nobody knows stops the start, as does a value out of
range: a typo must not become a default. ``config/gateway.toml`` shows every key with a comment.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from aggregator.desk_settings import DeskSettings
from aggregator.files.inputs import (
    Clash,
    Finite,
    Fraction,
    HttpUrl,
    LocalTime,
    Name,
    NotNegative,
    Number,
    Positive,
    Row,
    Whole,
    as_text,
    faults_of,
    read_toml,
    shown,
    tables,
    validate,
)
from aggregator.forecast import ENGLAND, Calendar
from aggregator.listening import DriversSettings, HttpSettings
from aggregator.market_file import MarketFile, read_market
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.market import Product

SHORTEST_CYCLE_S = 10.0
LONGEST_SET_POINT_S = 120.0
ENVIRONMENT = "FLEXLOOP_"
FEWEST_APPROVERS = 2


class StoreSettings(Row):
    """``[store]``."""

    url: Name = "sqlite:///flexloop.db"


class FleetSettings(Row):
    """``[fleet]``: the zones homes may lie in; past sessions and public holidays for the forecast."""

    zones: tuple[Name, ...] = Field(min_length=1)
    history: Path | None = None
    holidays: str = ENGLAND.code

    @field_validator("holidays")
    @classmethod
    def _known_calendar(cls, code: str) -> str:
        return Calendar.named(code).code


class LinkSettings(Row):
    """``[link]``: the way to the chargers."""

    kind: Literal["simulated"] = "simulated"
    url: HttpUrl
    secrets: Path | None = None


class DispatchSettings(Row):
    """``[dispatch]``: the control loop."""

    cycle_s: Number = Field(default=60.0, ge=SHORTEST_CYCLE_S, le=300, allow_inf_nan=False)
    set_point_s: Number = Field(default=120.0, ge=10, le=LONGEST_SET_POINT_S, allow_inf_nan=False)
    reporting_interval_s: Number = Field(default=60.0, ge=1, le=1800, allow_inf_nan=False)
    soc_resolution: Fraction = 0.01
    zone_ramp_kw_per_minute: Positive = 500.0
    total_ramp_kw_per_minute: Positive = 2000.0

    @model_validator(mode="after")
    def _no_gaps(self) -> "DispatchSettings":
        if self.set_point_s < self.cycle_s:
            allowed = f"at least cycle_s ({self.cycle_s:g}): set-points would lapse"
            raise Clash("set_point_s", f"{self.set_point_s:g}", allowed)
        return self


class TariffBand(Row):
    """One ``[[tariff]]``: local times of day, what a kWh costs and earns then, and since which date."""

    valid_from: date | None = None
    from_local: LocalTime
    until_local: LocalTime
    import_gbp_per_kwh: Finite
    export_gbp_per_kwh: Finite


class PriceSettings(Row):
    """``[prices]``: half-hourly prices from files, or a flat one for exports, in place of the tariff's.

    ``beyond`` names what holds where a file says nothing: the tariff's bands, or the price of a week before.
    A day's prices, from 23:00 local, are known from ``published_local`` of the day before.
    """

    import_csv: Path | None = None
    export_csv: Path | None = None
    export_gbp_per_kwh: Finite | None = None
    beyond: Literal["tariff", "week_before"] = "tariff"
    published_local: LocalTime = time(16)

    @model_validator(mode="after")
    def _one_export(self) -> "PriceSettings":
        if self.export_csv is not None and self.export_gbp_per_kwh is not None:
            raise Clash("export_gbp_per_kwh", f"{self.export_gbp_per_kwh:g}", "left out beside export_csv")
        return self


class BiddingSettings(Row):
    """``[bidding]``: the portfolio model and the desk's price rule."""

    solver: Literal["glpk", "highs"] = "glpk"
    glpsol: Path | None = None
    time_limit_s: Positive = 30.0
    scenarios: Whole = Field(default=20, ge=1, le=100)
    wear_gbp_per_kwh: NotNegative = 0.02
    price_of_ceiling: Number = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    least_margin_gbp_per_mwh: NotNegative = 0.0
    risk: Literal["record", "cvar"] = "cvar"
    cvar_level: Number = Field(default=0.9, ge=0, lt=1, allow_inf_nan=False)
    cvar_limit: Fraction = 0.05
    acceptance: Path | None = None


def _must_cover_the_day(bands: Sequence[TariffBand]) -> None:
    """Refuse bands of one tariff that overlap or leave a gap."""
    ordered = sorted(bands, key=lambda band: band.from_local)
    if len({band.from_local for band in bands}) < len(bands):
        raise Clash("", "two bands that begin at the same time", "bands that cover the day once")
    for band, following in zip(ordered, [*ordered[1:], ordered[0]], strict=True):
        if band.until_local != following.from_local:
            found = f"a band until {band.until_local:%H:%M}, the next from {following.from_local:%H:%M}"
            raise Clash("", found, "bands that cover the day once")


class _Variables(EnvSettingsSource):
    """The environment, in which a number can only be text."""

    def __call__(self) -> dict[str, Any]:
        said: dict[str, Any] = as_text(super().__call__())
        return said


class Settings(BaseSettings):
    """The whole configuration; market files are read in."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    store: StoreSettings = StoreSettings()
    http: HttpSettings = HttpSettings()
    drivers: DriversSettings = DriversSettings()
    fleet: FleetSettings
    link: LinkSettings
    dispatch: DispatchSettings = DispatchSettings()
    bidding: BiddingSettings = BiddingSettings()
    desk: DeskSettings = DeskSettings()
    tariff: tuple[TariffBand, ...] = Field(min_length=1)
    prices: PriceSettings = PriceSettings()
    market: tuple[MarketFile, ...] = Field(min_length=1)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file; read nothing else."""
        return _Variables(settings_cls), init_settings

    @field_validator("tariff")
    @classmethod
    def _whole_day(cls, bands: tuple[TariffBand, ...]) -> tuple[TariffBand, ...]:
        for since in {band.valid_from for band in bands}:
            _must_cover_the_day([band for band in bands if band.valid_from == since])
        if all(band.valid_from for band in bands):
            raise Clash("", "valid_from in every band", "some bands without valid_from: the tariff before")
        return bands

    @cached_property
    def products(self) -> dict[str, Product]:
        """All products, by id."""
        return {row.product_id: row.to_product() for market in self.market for row in market.product}


def read_settings(path: Path, database: str | None = None) -> Settings:
    """Read the configuration.

    Args:
        path: ``gateway.toml``; the market files it names are relative to it.
        database: A store URL that wins over the file's and the environment's.

    Raises:
        BadMessage: With every fault found, each naming file, field, value and what is allowed.
    """
    data = read_toml(path)
    names = _market_names(data)
    markets, faults = _read_markets(names, path)
    if not names:
        allowed = 'paths of market files, ["markets/ukpn.toml"]'
        faults.append(Fault(f"{path.name}: market", shown(data.get("market", MISSING)), allowed))
    settings = None
    try:
        settings = Settings(**{**data, "market": markets or ({},)})
    except ValidationError as error:
        told = (
            () if markets else (f"{path.name}: market[0]",)
        )  # what is wrong with the markets was told above
        faults += [one for one in faults_of(error, Settings, path.name) if not one.where.startswith(told)]
    except SettingsError as error:
        faults.append(Fault("environment", str(error), "JSON for a table, text for a value"))
    faults = [_from_environment(fault, path.name) for fault in faults]
    faults += _stray_variables()
    said = settings.model_dump(include={"fleet", "link", "bidding", "desk", "prices"}) if settings else data
    faults += _cross_faults(said, markets, path)
    people = tuple(f"{path.name}: desk{part}" for part in (".user", ".two_people"))
    if not any(fault.where.startswith(people) or fault.where == f"{path.name}: desk" for fault in faults):
        faults += _desk_faults(_table(said, "desk"), path.name)
    if faults or settings is None:
        raise BadMessage(*faults)
    if database is not None:  # what is asked for on the command line wins over the environment, too
        store = validate(StoreSettings, {"url": database}, "--database")
        settings = settings.model_copy(update={"store": store})
    return _with_absolute_paths(settings, path.parent)


def _from_environment(fault: Fault, source: str) -> Fault:
    """Name the variable, where the wrong value came from the environment and not from the file."""
    variable = ENVIRONMENT + fault.where.removeprefix(f"{source}: ").replace(".", "__").upper()
    return replace(fault, where=variable) if variable in os.environ else fault


def _stray_variables() -> Iterator[Fault]:
    """Yield the variables that look like settings and are none: pydantic-settings passes over them."""
    known = ", ".join(f"{ENVIRONMENT}{field.upper()}__KEY" for field in Settings.model_fields)
    for name in sorted(name for name in os.environ if name.startswith(ENVIRONMENT)):
        section, *_ = rest = name.removeprefix(ENVIRONMENT).lower().split("__")
        if section not in Settings.model_fields and "_" in "__".join(rest):
            yield Fault(name, "set", f"unknown variable; known: {known}")


def _market_names(data: dict[str, object]) -> Sequence[str]:
    names = data.get("market")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if isinstance(names, list) and is_list else ()


def _read_markets(names: Sequence[str], path: Path) -> tuple[list[MarketFile], list[Fault]]:
    markets: list[MarketFile] = []
    faults: list[Fault] = []
    for number, name in enumerate(names):
        market_path = path.parent / name
        try:
            markets.append(read_market(market_path))
        except BadMessage as bad:
            where = Fault(f"{path.name}: market[{number}]", name, "the path of a market file")
            faults += bad.faults if market_path.exists() else [where]
    return markets, faults


def _cross_faults(data: Mapping[str, object], markets: Sequence[MarketFile], path: Path) -> Iterator[Fault]:
    """Yield what is wrong between tables of unchecked input: one bad value must not hide another's clash."""
    ids = [row.product_id for market in markets for row in market.product]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        yield Fault(f"{path.name}: market.product", name, "each product_id once over all markets")
    vtn_ids = [market.vtn.vtn_id for market in markets]
    for name in sorted({name for name in vtn_ids if vtn_ids.count(name) > 1}):
        yield Fault(f"{path.name}: market.vtn.vtn_id", name, "each platform once")
    fleet = _table(data, "fleet")
    limited = [
        (f"{table}[{number}]", row)
        for table in ("rule", "one_person")
        for number, row in enumerate(tables(data.get("desk"), table))
    ]
    for place, row in limited:
        for key, known in (("zones", _texts(fleet.get("zones"))), ("products", ids)):
            for name in sorted(set(_texts(row.get(key))) - set(known)) if known else ():
                yield Fault(f"{path.name}: desk.{place}.{key}", name, f"one of {', '.join(known)}")
    for where, named in (
        ("fleet.zones", _texts(fleet.get("zones"))),
        ("desk.user.name", _texts([user.get("name") for user in tables(data.get("desk"), "user")])),
        ("desk.rule.rule_id", _texts([rule.get("rule_id") for rule in tables(data.get("desk"), "rule")])),
    ):
        for name in sorted({name for name in named if named.count(name) > 1}):
            yield Fault(f"{path.name}: {where}", name, f"each once; it stands {named.count(name)} times")
    prices = _table(data, "prices")
    for where, file, what in (
        ("fleet.history", fleet.get("history"), "a sessions file"),
        ("link.secrets", _table(data, "link").get("secrets"), "a file of chargers' secrets"),
        ("bidding.acceptance", _table(data, "bidding").get("acceptance"), "a file of dispatch records"),
        ("prices.import_csv", prices.get("import_csv"), "a price file"),
        ("prices.export_csv", prices.get("export_csv"), "a price file"),
    ):
        if isinstance(file, str | Path) and not (path.parent / file).is_file():
            yield Fault(f"{path.name}: {where}", str(file), f"{what} that exists")


def _desk_faults(desk: Mapping[str, object], source: str) -> Iterator[Fault]:
    """Yield what nobody could approve by, or nobody who may has approved."""
    users = tables(desk, "user")
    approvers = _texts([user.get("name") for user in users if "approver" in _texts(user.get("roles"))])
    for number, rule in enumerate(tables(desk, "rule")):
        for name in _texts([rule.get("approved_by")]):
            if name not in approvers:
                where = f"{source}: desk.rule[{number}].approved_by"
                yield Fault(
                    where, name, f"a user with the role approver: {', '.join(approvers) or 'there is none'}"
                )
    if desk.get("two_people", True) is True and len(set(approvers)) < FEWEST_APPROVERS:
        found = ", ".join(approvers) or MISSING
        allowed = "at least two users with the role approver, or two_people = false"
        yield Fault(f"{source}: desk.user", found, allowed)


def _table(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _texts(names: object) -> list[str]:
    return [name for name in names if isinstance(name, str)] if isinstance(names, list | tuple) else []


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    return settings.model_copy(
        update={
            "drivers": _beside(settings.drivers, base, "tls_certificate", "tls_key"),
            "desk": _beside(settings.desk, base, "tls_certificate", "tls_key"),
            "fleet": _beside(settings.fleet, base, "history"),
            "link": _beside(settings.link, base, "secrets"),
            "bidding": _beside(settings.bidding, base, "acceptance"),
            "prices": _beside(settings.prices, base, "import_csv", "export_csv"),
        }
    )


def _beside(table: Row, base: Path, *names: str) -> Row:
    """Return a table with those of its paths that are given, relative to ``base``."""
    given = {name: path for name in names if (path := getattr(table, name)) is not None}
    return table.model_copy(update={name: base / path for name, path in given.items()})
