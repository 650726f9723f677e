"""Make the demo's packaged extracts from the two open data sets; README.md beside them says what and how.

    python -m aggregator.demo.extract --sessions DIR --dispatches CSV --out DIR

The sessions are years older than the dispatches: each source year of a user is its own car, moved by the
multiple of 364 days that lands on the demo's winter, so that weekdays stay weekdays. A habit follows the
clock on the wall, so 17:00 in Oslo becomes 17:00 in London. Same inputs, same bytes.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import pandas as pd

from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import LONDON

DAY: Final = date(2025, 1, 8)
FIRST_DAY: Final = date(2024, 10, 30)
LAST_DAY: Final = date(2025, 1, 10)
PRODUCT: Final = "Day-Ahead"
ZONES: Final = ("Wrotham", "Canvey", "Hendon Way")
"""By need, largest first: the best ranked car goes where most is needed."""

CARS: Final = 135
WEEK_DAYS: Final = 7
LIKE_DAYS: Final = 20
YEAR_DAYS: Final = 364
MOST_YEARS: Final = 10
EVENT: Final = (17, 19)
PEAK: Final = (16, 19)

CHARGER_KW: Final = 7.4
ETA: Final = 0.93
TARGET_SOC: Final = 0.9
LEAST_ARRIVAL_SOC: Final = 0.1
GUARD_SOC: Final = 0.02
LARGE_KWH, SMALL_KWH, LARGE_ABOVE_KWH = 62.0, 40.0, 40.0
FUSE_KW: Final = 18.4

SITE_SHARERS: Final = (8, 11)
NO_APPROVAL: Final = (40, 90)
MORNING_HOURS: Final = (5, 11)
LEAST_DEPARTURES: Final = 3
SATURDAY: Final = 5
DEFAULT_DEPART_MINUTE: Final = 7 * 60 + 30

STAMP: Final = "%Y-%m-%d %H:%M:%S"
LARGEST_KWH: Final = 1000.0
SESSION_COLUMNS: Final = ("user_id", "plugin_time", "plugout_time", "energy_session")
USER_COLUMNS: Final = ("user_id", "battery_capacity")
DISPATCH_COLUMNS: Final = ("zone", "product", "start_time_utc", "utilisation_mw_req", "utilisation_price")


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many source sessions were unusable, and why."""

    no_plugout: int
    empty: int
    overlapping: int


@dataclass(frozen=True, slots=True)
class Extract:
    """The tables that are written, one CSV file each."""

    fleet: pd.DataFrame
    sessions: pd.DataFrame
    sources: pd.DataFrame
    dispatches: pd.DataFrame


def read_tables(*wanted: tuple[Path, Sequence[str]]) -> list[pd.DataFrame]:
    """Return CSV files as text cells.

    Args:
        wanted: Each file with the columns it must have.

    Raises:
        BadMessage: With every file that cannot be read and every column that is missing.
    """
    tables: list[pd.DataFrame] = []
    faults: list[Fault] = []
    for path, columns in wanted:
        try:
            tables.append(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            faults.append(Fault(str(path), str(error), "a readable CSV file"))
            continue
        missing = [name for name in columns if name not in tables[-1].columns]
        faults.extend(Fault(f"{path.name}: header", MISSING, f"a column {name}") for name in missing)
    if faults:
        raise BadMessage(*faults)
    return tables


def readable(source: pd.DataFrame) -> pd.DataFrame:
    """Return the source's sessions as user, local naive ``start`` and ``end`` (NaT where empty), and kWh.

    Raises:
        BadMessage: With every cell that is no time or no finite energy.
    """
    table = pd.DataFrame(
        {
            "user": source["user_id"],
            "start": pd.to_datetime(source["plugin_time"], format=STAMP, errors="coerce"),
            "end": pd.to_datetime(source["plugout_time"], format=STAMP, errors="coerce"),
            "kwh": pd.to_numeric(source["energy_session"], errors="coerce").astype(float),
        }
    )
    checks = (
        ("plugin_time", table["start"].isna(), "a local time YYYY-MM-DD hh:mm:ss"),
        ("plugout_time", table["end"].isna() & (source["plugout_time"] != ""), "such a time, or nothing"),
        ("energy_session", ~table["kwh"].between(0, LARGEST_KWH), "kWh from 0 to 1000"),
    )
    faults = [
        Fault(f"sessions.csv: line {line + 2}.{name}", str(source[name].iloc[line]), allowed)
        for name, wrong, allowed in checks
        for line in wrong.to_numpy().nonzero()[0]
    ]
    if faults:
        raise BadMessage(*faults)
    return table


def clean(source: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Return the usable ones of ``readable`` sessions, by user and time, and what was dropped.

    A session that starts while another of the same user runs is dropped: one car cannot be in two places.
    """
    table = source.sort_values(["user", "start", "end"], kind="stable")
    ended = table[table["end"].notna()]
    lasting = ended[ended["end"] > ended["start"]]
    free_from: dict[str, pd.Timestamp] = {}
    keep: list[bool] = []
    for user, start, end in zip(lasting["user"], lasting["start"], lasting["end"], strict=True):
        keep.append(user not in free_from or start >= free_from[user])
        if keep[-1]:
            free_from[user] = end
    kept = lasting[keep].reset_index(drop=True)
    return kept, Dropped(len(table) - len(ended), len(ended) - len(lasting), len(lasting) - len(kept))


def car_years(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return the sessions of each user and source year as they fall in the demo's winter, still local.

    ``source_user`` is the user's id and the year in which that source year has the demo's day.
    """
    first, last = pd.Timestamp(FIRST_DAY), pd.Timestamp(LAST_DAY + timedelta(days=1))
    parts = []
    for years in range(MOST_YEARS + 1):
        shift = timedelta(days=YEAR_DAYS * years)
        moved = sessions.assign(start=sessions["start"] + shift, end=sessions["end"] + shift)
        moved["source_user"] = moved["user"] + f"@{(DAY - shift).year}"
        moved["shift_days"] = YEAR_DAYS * years
        parts.append(moved[(moved["end"] > first) & (moved["start"] < last)])
    return pd.concat(parts, ignore_index=True)


def plugged_through(sessions: pd.DataFrame, day: date, hours: tuple[float, float], who: str) -> set[str]:
    """Return who was plugged in from the first to the last of ``hours`` (local) without a break."""
    start, end = (pd.Timestamp(day) + timedelta(hours=hour) for hour in hours)
    there = (sessions["start"] <= start) & (sessions["end"] >= end)
    return set(sessions.loc[there, who])


def hours_within(sessions: pd.DataFrame, begins: pd.Timestamp, ends: pd.Timestamp) -> "pd.Series[float]":
    """Return how long each session lies within two instants, at least 0. [h]"""
    first = sessions["start"].where(sessions["start"] > begins, begins)
    last = sessions["end"].where(sessions["end"] < ends, ends)
    return (last - first).dt.total_seconds().clip(lower=0) / 3600


def ranking(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return all car-years, best first, with ``on_day``, ``evenings`` and ``hours`` of the demo's week.

    The week is the seven days that end with the demo's day. First come those plugged in through the event
    hours of the day itself, then by on how many of the seven evenings, then by hours plugged in.
    """
    week = [DAY - timedelta(days=back) for back in range(WEEK_DAYS)]
    through = {day: plugged_through(sessions, day, EVENT, "source_user") for day in week}
    begins, ends = pd.Timestamp(week[-1]), pd.Timestamp(DAY + timedelta(days=1))
    hours = hours_within(sessions, begins, ends).groupby(sessions["source_user"]).sum()
    table = pd.DataFrame({"source_user": hours.index, "hours": hours.to_numpy()})
    table["on_day"] = table["source_user"].isin(through[DAY])
    table["evenings"] = [sum(user in there for there in through.values()) for user in table["source_user"]]
    order = ["on_day", "evenings", "hours", "source_user"]
    return table.sort_values(order, ascending=[False, False, False, True]).reset_index(drop=True)


def depart_minute(sessions: pd.DataFrame) -> int:
    """Return one driver's typical morning departure before the demo's day. [minutes after local midnight]

    The median of the weekday departures between 05:00 and 11:00, down to the quarter hour; 07:30 where
    there are fewer than three.
    """
    past = sessions.loc[sessions["end"] < pd.Timestamp(DAY), "end"]
    first, last = MORNING_HOURS
    weekday = past.dt.day_of_week < SATURDAY
    morning = past[weekday & (past.dt.hour >= first) & (past.dt.hour < last)]
    if len(morning) < LEAST_DEPARTURES:
        return DEFAULT_DEPART_MINUTE
    median = (morning.dt.hour * 60 + morning.dt.minute).median()
    return int(median) // 15 * 15


def export_approval(number: int) -> tuple[float, str]:
    """Return the approved export of the home of car ``number`` and what says so. [kW]"""
    if number in NO_APPROVAL:
        return 0.0, "none"
    if number % 4 == 0:
        return (7.4 if number % 8 == 0 else 5.0), "g99"
    return 3.68, "g98"


def fleet_row(number: int, capacity_kwh: float, depart: int) -> dict[str, object]:
    """Return one line of the fleet file; ``number`` is the car's rank from 1."""
    owner, sharer = SITE_SHARERS
    home = owner if number == sharer else number - (number > sharer)
    limit_kw, source = export_approval(owner if number == sharer else number)
    return {
        "car_id": f"leaf-{number:03d}",
        "capacity_kwh": capacity_kwh,
        "charger_id": f"quasar-{number:03d}",
        "charge_kw": CHARGER_KW,
        "discharge_kw": CHARGER_KW,
        "eta_charge": ETA,
        "eta_discharge": ETA,
        "site_id": f"home-{home:03d}",
        "zone": ZONES[(number - 1) % len(ZONES)],
        "export_limit_kw": limit_kw,
        "export_source": source,
        "import_limit_kw": FUSE_KW,
        "floor_soc": 0.4 if number % 20 == 5 else 0.3,  # noqa: PLR2004
        "default_target_soc": TARGET_SOC,
        "default_depart_local": time(depart // 60, depart % 60).isoformat("minutes"),
    }


def make_fleet(sessions: pd.DataFrame, sources: pd.DataFrame, users: pd.DataFrame) -> pd.DataFrame:
    """Return the fleet file's lines for the chosen car-years, in the order of their rank."""
    predicted = pd.to_numeric(users.set_index("user_id")["battery_capacity"], errors="coerce")
    histories = dict(iter(sessions.groupby("source_user")))
    rows = []
    for number, name in enumerate(sources["source_user"], start=1):
        large = predicted.get(name.rsplit("@", 1)[0], 0.0) > LARGE_ABOVE_KWH
        rows.append(fleet_row(number, LARGE_KWH if large else SMALL_KWH, depart_minute(histories[name])))
    return pd.DataFrame(rows)


def utc_text(local: pd.Timestamp) -> str:
    """Return a naive London wall time as UTC; the earlier instant where the clock goes back."""
    instant: datetime = local.to_pydatetime().replace(tzinfo=LONDON)
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_sessions(chosen: pd.DataFrame, fleet: pd.DataFrame) -> pd.DataFrame:
    """Return the chosen cars' sessions in UTC, with the state of charge on arrival.

    Each driver is taken to have left at the target: what was charged since then is what was used.
    """
    table = chosen.merge(fleet[["car_id", "capacity_kwh"]], on="car_id").sort_values(["car_id", "start"])
    used_soc = ETA * table["kwh"] / table["capacity_kwh"]
    return pd.DataFrame(
        {
            "car_id": table["car_id"],
            "plugged_in_at": table["start"].map(utc_text),
            "plugged_out_at": table["end"].map(utc_text),
            "energy_kwh": table["kwh"].round(2),
            "arrival_soc": (TARGET_SOC - used_soc).clip(LEAST_ARRIVAL_SOC, TARGET_SOC).round(3),
        }
    )


def pick_dispatches(source: pd.DataFrame) -> pd.DataFrame:
    """Return the demo's dispatches, every cell as it stands in the source."""
    on_day = source["start_time_utc"].str.startswith(DAY.isoformat())
    return source[on_day & (source["product"] == PRODUCT) & source["zone"].isin(ZONES)]


def make_extract(sessions_dir: Path, dispatches_csv: Path) -> tuple[Extract, pd.DataFrame, Dropped]:
    """Return the extract, the chosen cars' sessions in local time, and what was dropped from the source.

    Raises:
        BadMessage: If a source is not as expected; nothing is written then.
    """
    raw, users, market = read_tables(
        (sessions_dir / "sessions.csv", SESSION_COLUMNS),
        (sessions_dir / "users_predicted.csv", USER_COLUMNS),
        (dispatches_csv, DISPATCH_COLUMNS),
    )
    usable, dropped = clean(readable(raw))
    winter, dispatches = car_years(usable), pick_dispatches(market)
    if winter.empty or dispatches.empty:
        found = f"{len(winter)} sessions, {len(dispatches)} dispatches"
        raise BadMessage(Fault("sources", found, f"at least one of each that falls on the demo ({DAY})"))
    sources = (
        ranking(winter)
        .head(CARS)
        .assign(
            car_id=lambda table: [f"leaf-{rank:03d}" for rank in range(1, len(table) + 1)],
            on_day=lambda table: table["on_day"].astype(int),
            hours=lambda table: table["hours"].round(1),
        )
    )
    chosen = winter.merge(sources[["source_user", "car_id"]], on="source_user")
    fleet = make_fleet(chosen, sources, users)
    shifts = chosen.groupby("source_user")["shift_days"].first().rename("shift_days").reset_index()
    sources = sources.merge(shifts, on="source_user")
    columns = ["car_id", "source_user", "shift_days", "on_day", "evenings", "hours"]
    return Extract(fleet, make_sessions(chosen, fleet), sources[columns], dispatches), chosen, dropped


def exportable_kwh(
    fleet: pd.DataFrame, chosen: pd.DataFrame, arrival_soc: "pd.Series[float]"
) -> "pd.Series[float]":
    """Return what each zone could export through the event hours, above floor and guard. [kWh AC]

    A lower bound: each car counts with its energy on arrival, charging since then left out.
    """
    start, end = (pd.Timestamp(DAY) + timedelta(hours=hour) for hour in EVENT)
    table = chosen.assign(soc=arrival_soc).merge(fleet, on="car_id")
    hours = hours_within(table, start, end)
    spare_kwh = ETA * table["capacity_kwh"] * (table["soc"] - table["floor_soc"] - GUARD_SOC).clip(lower=0)
    room_kwh = table[["discharge_kw", "export_limit_kw"]].min(axis=1) * hours
    per_car = pd.concat([spare_kwh, room_kwh], axis=1).min(axis=1)
    per_site = per_car.groupby([table["zone"], table["site_id"]]).sum()
    limit_kwh = table.groupby(["zone", "site_id"])["export_limit_kw"].first() * (EVENT[1] - EVENT[0])
    capped: pd.Series[float] = pd.concat([per_site, limit_kwh], axis=1).min(axis=1)
    return capped.groupby("zone").sum().reindex(list(ZONES), fill_value=0.0)


def summary(extract: Extract, chosen: pd.DataFrame, dropped: Dropped) -> str:
    """Return what the demo can count on, in plain lines."""
    zone_of = extract.fleet.set_index("car_id")["zone"]

    def counts(day: date, hours: tuple[float, float]) -> list[int]:
        there = zone_of.reindex(sorted(plugged_through(chosen, day, hours, "car_id")))
        return [int((there == zone).sum()) for zone in ZONES]

    weekdays = [day.date() for day in pd.bdate_range(end=DAY - timedelta(days=1), periods=LIKE_DAYS)]
    past = pd.DataFrame([counts(day, EVENT) for day in weekdays], columns=list(ZONES))
    soc = extract.sessions["arrival_soc"].sort_index()
    energy = exportable_kwh(extract.fleet, chosen, soc)
    users = extract.sources["source_user"].str.rsplit("@", n=1).str[0].nunique()
    lines = [
        f"dropped from the source: {dropped}",
        f"{len(extract.fleet)} cars of {users} users, {len(extract.sessions)} sessions; zones {ZONES}",
        *(f"half-hour {at:4.1f}: {counts(DAY, (at, at + 0.5))}" for at in (x / 2 for x in range(30, 48))),
        f"through 16-19: {counts(DAY, PEAK)}, through 17-19: {counts(DAY, EVENT)}",
        f"exportable 17-19: {[round(float(energy[zone]), 1) for zone in ZONES]} kWh",
        f"through 17-19 on {LIKE_DAYS} weekdays before: 10th percentile "
        f"{[round(float(past[zone].quantile(0.1)), 1) for zone in ZONES]}, "
        f"median {[float(past[zone].median()) for zone in ZONES]}, "
        f"least {[int(past[zone].min()) for zone in ZONES]}",
    ]
    return "\n".join(lines) + "\n"


def write(extract: Extract, out: Path) -> None:
    """Write the four files into ``out``, which is made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("fleet", "sessions", "sources", "dispatches"):
        table: pd.DataFrame = getattr(extract, name)
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the extracts; return 0, or 2 where a source is not as expected."""
    parser = argparse.ArgumentParser(prog="python -m aggregator.demo.extract", description=__doc__)
    parser.add_argument("--sessions", type=Path, required=True, help="folder of the charging sessions")
    parser.add_argument("--dispatches", type=Path, required=True, help="CSV of the dispatches")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    chosen = parser.parse_args(arguments)
    try:
        extract, local, dropped = make_extract(chosen.sessions, chosen.dispatches)
    except BadMessage as error:
        sys.stderr.write(f"{error}\n")
        return 2
    write(extract, chosen.out)
    sys.stdout.write(summary(extract, local, dropped))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
