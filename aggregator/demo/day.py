"""The demo's day: real zones, windows, kW and prices as a DNO's scenario, real stays, and what goes wrong.

2025-01-08 is a Wednesday on which UK Power Networks dispatched Day-Ahead flexibility in these zones; the
cars' stays are real sessions moved onto it (see ``data/README.md``). The DNO amends one instruction and
cancels another on the way; one driver boosts, one leaves early.
"""

import csv
import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

from aggregator.demo.timekeeper import Leg
from aggregator.files.fleet import read_fleet
from aggregator.files.sessions import read_sessions
from aggregator.forecast import Session
from aggregator.model.fleet import Fleet
from aggregator.model.time import Interval, utc_text

DATA = Path(str(files("aggregator.demo") / "data"))
MARKET_CONTEXT = "http://dso.example/flex"
VTN_ID = "DSO-Demo"
PENALTY_GBP_PER_MWH = 600


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-01-{text}").replace(tzinfo=UTC)


STARTS_AT = _at("07T13:30")
PUBLISHED_AT = _at("07T13:31")
GATE_AT = _at("07T14:00")
AWARDED_AT = _at("07T14:06")
DISPATCHED_AT = _at("08T16:30")
AMENDED_AT = _at("08T17:50")
CANCELLED_AT = _at("08T18:10")
BOOSTED_AT = _at("08T17:20")
LEFT_AT = _at("08T17:40")
ENDS_AT = _at("09T10:00")

EVENING = Interval(_at("08T15:50"), _at("08T19:10"))
"""Peak and events, with a little around them."""

LEGS = (
    Leg(STARTS_AT, 150.0, timedelta(seconds=60)),
    Leg(_at("07T14:10"), 6000.0, timedelta(minutes=5)),
    Leg(_at("07T15:55"), 3600.0, timedelta(seconds=60)),
    Leg(_at("07T19:05"), 6000.0, timedelta(minutes=5)),
    Leg(EVENING.start, 540.0, timedelta(seconds=15)),
    Leg(EVENING.end, 6000.0, timedelta(minutes=5)),
)
"""How fast the domain clock runs from when on, and how far ahead of a program that is busy."""

REPORTING_S = 120
"""How often the demo's chargers report: at 6000 times real time a minute would be 10 ms."""

AMENDED_ZONE, CANCELLED_ZONE = "Canvey", "Hendon Way"
AMENDED_SCALE = (1.0, 1.0, 0.6, 0.6)
SAYS_NOTHING_IN = 8
"""One driver in so many says nothing and has the default intent."""

QUARTER = timedelta(minutes=15)
SPEAKS_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Need:
    """One real dispatch record as a requirement."""

    zone: str
    start: datetime
    end: datetime
    kw: float
    gbp_per_mwh: float

    @property
    def event_id(self) -> str:
        """The requirement's event id."""
        return f"REQ-{self.zone.replace(' ', '-')}"


def needs() -> tuple[Need, ...]:
    """Return the day's real records, by zone."""
    with (DATA / "dispatches.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Need(
            zone=row["zone"],
            start=datetime.fromisoformat(row["start_time_utc"]),
            end=datetime.fromisoformat(row["end_time_utc"]),
            kw=round(float(row["utilisation_mw_req"]) * 1000, 6),
            gbp_per_mwh=float(row["utilisation_price"]),
        )
        for row in sorted(rows, key=lambda row: row["zone"])
    )


def fleet() -> Fleet:
    """Return the demo's 135 cars."""
    return read_fleet(DATA / "fleet.csv")


def sessions() -> tuple[Session, ...]:
    """Return all stays, past ones and those of the day."""
    return read_sessions(DATA / "sessions.csv").sessions


def scenario_toml() -> str:
    """Return the DNO simulator's scenario."""
    lines = [
        f'vtn_id = "{VTN_ID}"',
        f'market_context = "{MARKET_CONTEXT}"',
        "poll_interval_s = 1.0",
        f"starts_at = {utc_text(STARTS_AT)}",
        f"ends_at = {utc_text(ENDS_AT + timedelta(days=1))}",
        f"penalty_gbp_per_mwh = {PENALTY_GBP_PER_MWH}.0",
        "",
        "[telemetry]",
        "from = 2025-01-08T15:30:00Z",
        "to = 2025-01-08T19:30:00Z",
    ]
    for need in needs():
        lines += _requirement(need)
    zones = ", ".join(f'"{need.zone}"' for need in needs())
    lines += [
        "",
        "[[peak]]",
        'id = "2025-01-08"',
        f"zones = [{zones}]",
        f"start = {utc_text(_at('08T16:00'))}",
        f"end = {utc_text(_at('08T19:00'))}",
        "level = 2",
        f"publish_at = {utc_text(STARTS_AT)}",
        "",
    ]
    return "\n".join(lines)


def _requirement(need: Need) -> Iterator[str]:
    yield from (
        "",
        "[[requirement]]",
        f'id = "{need.event_id}"',
        f'zone = "{need.zone}"',
        'product = "day-ahead"',
        f"start = {utc_text(need.start)}",
        f"end = {utc_text(need.end)}",
        f"kw = {need.kw}",
        f"ceiling_gbp_per_mwh = {need.gbp_per_mwh}",
        f"publish_at = {utc_text(PUBLISHED_AT)}",
        f"gate_closure_at = {utc_text(GATE_AT)}",
        f"award_at = {utc_text(AWARDED_AT)}",
        f"dispatch_at = {utc_text(DISPATCHED_AT)}",
    )
    if need.zone == CANCELLED_ZONE:
        yield f"cancel_at = {utc_text(CANCELLED_AT)}"
    if need.zone == AMENDED_ZONE:
        yield from (
            "[[requirement.amend]]",
            f"at = {utc_text(AMENDED_AT)}",
            f"scale = {list(AMENDED_SCALE)}",
        )


def acts_toml(cars: Fleet, stays: Sequence[Session]) -> str:
    """Return what drivers do: most say when they leave; one boosts, one leaves before it said it would."""
    actors = _actors(cars, stays)
    acts: list[tuple[datetime, str, str, datetime | None]] = [
        (BOOSTED_AT, actors["boosts"], "boost", None),
        (LEFT_AT, actors["leaves"], "leave", None),
    ]
    for stay in stays:
        said_at = max(stay.plugged.start, STARTS_AT) + SPEAKS_AFTER
        leaves_at = stay.plugged.end - timedelta(
            minutes=stay.plugged.end.minute % 15, seconds=stay.plugged.end.second
        )
        if stay.plugged.end <= STARTS_AT or stay.plugged.start >= ENDS_AT or leaves_at <= said_at + QUARTER:
            continue
        if int(hashlib.sha256(stay.car_id.encode()).hexdigest(), 16) % SAYS_NOTHING_IN:
            acts.append((said_at, stay.car_id, "intent", leaves_at))
    lines = []
    for at, car_id, kind, depart_at in sorted(acts, key=lambda act: (act[0], act[1])):
        lines += ["[[act]]", f'car_id = "{car_id}"', f"at = {utc_text(at)}", f'kind = "{kind}"']
        lines += [f"depart_at = {utc_text(depart_at)}"] if depart_at is not None else []
    return "\n".join(lines) + "\n"


def _actors(cars: Fleet, stays: Sequence[Session]) -> Mapping[str, str]:
    """Return two cars of the uncancelled zones that are at home, well charged, all through the events."""
    there = sorted(
        stay.car_id
        for stay in stays
        if stay.plugged.start <= _at("08T16:45")
        and stay.plugged.end >= _at("08T20:00")
        and stay.arrival_soc > 0.5  # noqa: PLR2004
        and cars.by_id[stay.car_id].site.export_limit_kw > 0
    )
    zone_of = {name: cars.by_id[name].site.zone for name in there}
    boosts = next(name for name in there if zone_of[name] == "Wrotham")
    leaves = next(name for name in there if zone_of[name] == AMENDED_ZONE and name != boosts)
    return {"boosts": boosts, "leaves": leaves}


def gateway_toml(vtn_port: int, link_port: int) -> dict[str, str]:
    """Return the gateway's configuration and market file: the repository's own, on the demo's ports."""
    text = (DATA / "gateway.toml").read_text(encoding="utf-8")
    market = (DATA / "market.toml").read_text(encoding="utf-8")
    tomllib.loads(text)
    return {
        "gateway.toml": text.replace("reporting_interval_s = 60", f"reporting_interval_s = {REPORTING_S}")
        .replace("127.0.0.1:8091", f"127.0.0.1:{link_port}")
        .replace("SESSIONS", (DATA / "sessions.csv").as_posix()),
        "market.toml": market.replace("127.0.0.1:8090", f"127.0.0.1:{vtn_port}"),
    }
