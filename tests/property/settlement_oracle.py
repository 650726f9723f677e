"""The statement worked out again: plain pandas over plain SQL, written from the text, sharing no code.

It reads a SQLite store and a market file, of products that are metered at the chargers, and follows what is
written down: the contract's settlement rules, the comments of the market file, and what modules say of
themselves. Energies are exact fractions of a Wh until the text rounds them, money is Decimal.
"""

import json
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pandas as pd

from tests.property.deals_oracle import EPOCH, FOREVER, HALF_HOUR_US, Deal, micros
from tests.property.registers_oracle import HOUR_US, between, counted_on, neighbours

LONDON = ZoneInfo("Europe/London")
READING = ["charger_id", "measured_at"]
DELIVERED = ("DELIVERED", "SETTLED", "CLOSED")
WH_PER_MWH = 10**6


class Oracle:
    """A store and its products, as known at a time."""

    def __init__(self, database: Path, market: Path, as_known_at: datetime | None = None) -> None:
        self.known_at = FOREVER if as_known_at is None else micros(as_known_at.isoformat())
        self.products = {one["product_id"]: one for one in tomllib.loads(market.read_text())["product"]}
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            self.facts = pd.read_sql_query("SELECT * FROM facts ORDER BY opportunity_id, version", connection)
            self.places = pd.read_sql_query("SELECT * FROM opportunities", connection)
            told = pd.read_sql_query("SELECT * FROM readings", connection)
            self.nominations = pd.read_sql_query("SELECT * FROM nominations", connection)
            self.imports = pd.read_sql_query("SELECT * FROM fleet_imports ORDER BY import_id", connection)
            self.cars = pd.read_sql_query(
                "SELECT c.*, s.zone FROM cars c JOIN sites s USING (import_id, site_id)", connection
            )
        known = told[told["received_at"] <= self.known_at].sort_values([*READING, "received_at"])
        self.readings = known.drop_duplicates(READING, keep="last")
        self._counted: dict[str, pd.DataFrame] = {}

    def statement(self, start: date, end: date) -> pd.DataFrame:
        """Return the lines whose London date lies within, by zone, product, opportunity and half-hour."""
        lines = pd.DataFrame([line for deal in self.deals if deal.delivered for line in self._priced(deal)])
        if lines.empty:
            return lines
        local = pd.to_datetime(lines["start"], unit="us", utc=True).dt.tz_convert(LONDON)
        lines["settlement_date"] = local.dt.date
        midnight = local.dt.normalize().dt.tz_convert(UTC)
        since = pd.to_datetime(lines["start"], unit="us", utc=True) - midnight
        lines["settlement_period"] = since // pd.Timedelta(minutes=30) + 1
        lines = lines[(lines["settlement_date"] >= start) & (lines["settlement_date"] < end)]
        return lines.sort_values(["zone", "product", "opportunity", "start"]).reset_index(drop=True)

    # what is known

    @cached_property
    def deals(self) -> list[Deal]:
        """Every opportunity of which an award or an order was known, with the facts recorded by then."""
        found = []
        for name, facts in self.facts.groupby("opportunity_id", sort=True):
            place = self.places[self.places["opportunity_id"] == name].iloc[0]
            deal = Deal(str(name), place["zone"], place["product"], delivered=place["stage"] in DELIVERED)
            late = facts["recorded_at"] > self.known_at
            for fact in facts[~late.cummax()].itertuples():
                deal.after(fact.name, json.loads(fact.body)[fact.name])
            if deal.award is not None or deal.orders:
                found.append(deal)
        return found

    def _meters(self, deal: Deal) -> list[str]:
        """Return whose registers count: of the fleet in force when the window starts."""
        start = min(deal.half_hours)
        began = self.imports["served_from"].fillna(self.imports["imported_at"])
        in_force = self.imports[began <= start]
        last = (in_force if len(in_force) else self.imports.head(1))["import_id"].iloc[-1]
        theirs = self.cars[(self.cars["import_id"] == last) & (self.cars["zone"] == deal.zone)]
        return sorted(set(theirs["charger_id"]))

    # energy

    def nominated(self, zone: str, start: int) -> int | None:
        """Return what was nominated, where that was known. [Wh]"""
        rows = self.nominations
        mine = rows[
            (rows["zone"] == zone) & (rows["starts_at"] == start) & (rows["frozen_at"] <= self.known_at)
        ]
        return int(mine["export_wh"].iloc[0]) if len(mine) else None

    def instructed(self, deal: Deal, start: int, against: int) -> int:
        """Return what was ordered in a half-hour: the integral of the order served at each instant. [Wh]"""
        parts = self._parts(deal, start, against, self.products[deal.product]["direction"])
        return round(sum((kw * 1000 * (high - low) / HOUR_US for low, high, _, kw in parts), Fraction(0)))

    def followed(self, deal: Deal, start: int, against: int) -> dict[str, int]:
        """Return what was ordered by the zone's orders that were followed, by opportunity. [Wh]"""
        direction = self.products[deal.product]["direction"]
        parts = [
            (low, high, order, kw, one.name)
            for one in sorted(self.deals, key=lambda one: (min(one.half_hours), one.name))
            if one.zone == deal.zone
            for low, high, order, kw in self._parts(one, start, against, direction)
        ]
        whole: dict[str, Fraction] = {}
        for low, high in pairwise(sorted({instant for part in parts for instant in part[:2]})):
            running = [part for part in parts if part[0] <= low and part[1] >= high]
            if running:
                *_, kw, name = max(reversed(running), key=lambda part: _rank(part[2]))
                whole[name] = whole.get(name, Fraction(0)) + kw * 1000 * (high - low) / HOUR_US
        return {name: round(wh) for name, wh in sorted(whole.items())}

    def _parts(self, deal: Deal, start: int, against: int, direction: str) -> list[tuple[Any, ...]]:
        """Return from when to when which order of an opportunity is served, and what it asks for. [kW]

        A set-point or a multiple is a change to what delivery is measured against.
        """
        end, sign = start + HALF_HOUR_US, 1 if direction == "up" else -1
        against_kw = Fraction(against, 500)
        pieces = [
            (
                max(start, order["from"], low),
                min(end, order["until"], high),
                order,
                Fraction(str(step["value"])),
            )
            for order in deal.orders
            for step in order["steps"]
            for low, high in [(micros(step["interval"]["start"]), micros(step["interval"]["end"]))]
        ]
        pieces = [piece for piece in pieces if piece[0] < piece[1]]
        cuts = sorted({instant for piece in pieces for instant in piece[:2]})
        parts = []
        for low, high in pairwise(cuts):
            served = [piece for piece in pieces if piece[0] <= low and piece[1] >= high]
            if served:
                *_, order, value = max(served, key=lambda piece: _rank(piece[2]))
                change = {
                    "delta": value,
                    "setpoint": value - against_kw,
                    "multiplier": (value - 1) * against_kw,
                }[order["mode"]]
                parts.append((low, high, order, max(Fraction(0), sign * change)))
        return parts

    def metered(self, deal: Deal, start: int) -> int | None:
        """Return the zone's net export by its registers, None where no meter ever told. [Wh]

        None, too, of a half-hour that was not over.
        """
        if start + HALF_HOUR_US > self.known_at:
            return None
        parts = [
            self._at(meter, start + HALF_HOUR_US) - self._at(meter, start)
            for meter in self._meters(deal)
            if len(self._shown(meter))
        ]
        return sum(parts) if parts else None

    def _at(self, meter: str, instant: int) -> int:
        """Return the net register at an instant: between neighbours, or held, in whole Wh each. [Wh]"""
        shown = self._shown(meter)
        return between(shown, "export_wh", instant) - between(shown, "import_wh", instant)

    def _shown(self, meter: str) -> pd.DataFrame:
        """Return a meter's net register as if both had counted on."""
        if meter not in self._counted:
            theirs = self.readings[self.readings["charger_id"] == meter]
            self._counted[meter] = counted_on(theirs.reset_index(drop=True))
        return self._counted[meter]

    # baselines

    def baseline(self, deal: Deal) -> dict[int, int | None]:
        """Return the zone's baseline in each half-hour, by the product's method. [Wh]"""
        rule = self.products[deal.product].get("baseline", "nominated")
        rule = {"method": rule} if isinstance(rule, str) else rule
        nominated = {start: self.nominated(deal.zone, start) for start in deal.half_hours}
        match rule["method"]:
            case "nominated":
                return nominated
            case "zero":
                return dict.fromkeys(deal.half_hours, 0)
            case "fixed":
                many = len(self._meters(deal)) if rule.get("per_charger") else 1
                return {start: _of_profile(rule["profile_kw"], start, many) for start in deal.half_hours}
        return self._of_like_days(deal, rule, nominated)

    def _of_like_days(
        self, deal: Deal, rule: dict[str, Any], nominated: dict[int, int | None]
    ) -> dict[int, int | None]:
        middle = rule["method"] == "mid_8_of_10"
        day = _local(deal.half_hours[0]).date()
        works = _works(day, rule)
        wanted = 10 if middle else rule.get("working_days" if works else "other_days", 10 if works else 4)
        busy = {at for one in self.deals if one.zone == deal.zone for at in one.half_hours}
        event_days = {_local(at).date() for at in busy}
        first = deal.half_hours[0]
        ahead = [first - n * HALF_HOUR_US for n in range(8, 2, -1)] if rule.get("adjusted") else []
        days: list[list[int]] = []
        for back in range(1, rule.get("lookback_days", 60) + 1):
            past = day - timedelta(days=back)
            if past in event_days or _works(past, rule) != works:
                continue
            times = [_same_time(start, day, past) for start in (*ahead, *deal.half_hours)]
            used = [None if at is None or at in busy else self._usage(deal, at, rule) for at in times]
            if None not in used:
                days.append(used)
            if len(days) == wanted:
                break
        if len(days) < wanted:
            return nominated
        table = pd.DataFrame(reversed(days))
        if middle:
            table = table.loc[table.sum(axis=1).sort_values(kind="stable").index[1:-1]]
        means = [Fraction(int(table[n].sum()), len(table)) for n in table]
        today = [None if at in busy else self._usage(deal, at, rule) for at in ahead]
        moved = Fraction(0)
        if ahead and None not in today:
            moved = (sum(today) - sum(means[: len(ahead)])) / len(ahead)
        return {
            start: round(mean + moved)
            for start, mean in zip(deal.half_hours, means[len(ahead) :], strict=True)
        }

    def _usage(self, deal: Deal, start: int, rule: dict[str, Any]) -> int | None:
        """Return the zone's net export in a past half-hour, None where too few registers tell. [Wh]"""
        told, meters = [], self._meters(deal)
        for meter in meters:
            shown = self._shown(meter)
            ends = [neighbours(shown, at) for at in (start, start + HALF_HOUR_US)]
            if all(end is not None and (end[1] - end[0] <= HALF_HOUR_US or end[2]) for end in ends):
                span = shown[(shown["measured_at"] > ends[0][0]) & (shown["measured_at"] <= ends[1][1])]
                if not span["odd"].any():
                    told.append(self._at(meter, start + HALF_HOUR_US) - self._at(meter, start))
        least = Fraction(str(rule.get("least_measured", 0.9)))
        return sum(told) if told and len(told) >= least * len(meters) else None

    # money

    def _energies(self, deal: Deal) -> pd.DataFrame:
        """Return the energies of an opportunity by half-hour. [Wh]"""
        up = self.products[deal.product]["direction"] == "up"
        missing_back = self.products[deal.product].get("performance", {}).get("wrong_way_is_missing", False)
        rows, baseline = [], self.baseline(deal)
        for start in deal.half_hours:
            base, told = baseline[start], self.metered(deal, start)
            ordered = self.instructed(deal, start, base or 0)
            base = (told or 0) if base is None else base
            told = base if told is None else told
            moved = (told - base) if up else (base - told)
            delivered = missing = 0
            if baseline[start] is not None:
                followed = self.followed(deal, start, baseline[start])
                delivered = _part(min(max(moved, 0), sum(followed.values())), followed, deal.name)
                back = _part(max(-moved, 0), followed, deal.name) if missing_back else 0
                missing = ordered - delivered + back
            rows.append((start, ordered, base, told, delivered, missing))
        return pd.DataFrame(
            rows, columns=["start", "instructed", "baseline", "metered", "delivered", "deficiency"]
        )

    def _priced(self, deal: Deal) -> Iterator[dict[str, Any]]:
        energies, product, award = self._energies(deal), self.products[deal.product], deal.award
        rules = product.get("performance", {})
        factors = self._factors(deal, energies, rules.get("utilisation"))
        held = self._factors(deal, energies, rules.get("availability"))
        for (line, factor), held_factor in zip(
            zip(energies.itertuples(), factors, strict=True), held, strict=True
        ):
            price = Decimal(award["utilisation_gbp_per_mwh"]) if award else Decimal(0)
            availability = self._held(deal, line.start) * held_factor
            utilisation = Decimal(int(line.delivered)) / WH_PER_MWH * price * factor
            penalty = (
                Decimal(int(line.deficiency)) / WH_PER_MWH * Decimal(str(product["penalty_gbp_per_mwh"]))
            )
            yield {
                "zone": deal.zone,
                "product": deal.product,
                "opportunity": deal.name,
                "start": line.start,
                "instructed_wh": line.instructed,
                "baseline_wh": line.baseline,
                "metered_wh": line.metered,
                "delivered_wh": line.delivered,
                "deficiency_wh": line.deficiency,
                "availability_gbp": availability,
                "utilisation_gbp": utilisation,
                "penalty_gbp": penalty,
                "factor": factor,
                "amount_gbp": (availability + utilisation - penalty).quantize(
                    Decimal("0.01"), ROUND_HALF_EVEN
                ),
            }

    def _held(self, deal: Deal, start: int) -> Decimal:
        """Return what holding the awarded power earns: MW x GBP/MW/h x h, until it was no longer held."""
        if deal.award is None:
            return Decimal(0)
        low, high = (micros(deal.award["window"][name]) for name in ("start", "end"))
        length = (high - low) // len(deal.award["awarded_kw"])
        earned = Decimal(0)
        for n, kw in enumerate(deal.award["awarded_kw"]):
            opens, closes = low + n * length, min(low + (n + 1) * length, deal.held_until)
            shared = min(start + HALF_HOUR_US, closes) - max(start, opens)
            if shared > 0:
                earned += Decimal(str(kw)) * Decimal(deal.award["availability_gbp_per_mw_h"]) * shared
        return earned / 1000 / HOUR_US

    def _factors(self, deal: Deal, energies: pd.DataFrame, rule: dict[str, Any] | None) -> list[Decimal]:
        if rule is None:
            return [Decimal(1)] * len(energies)
        match rule["over"]:
            case "half_hour":
                return [_factor(rule, line.delivered, line.instructed) for line in energies.itertuples()]
            case "event":
                sums = energies[["delivered", "instructed"]].sum()
            case over:
                sums = self._month(deal, -1 if over == "month_before" else 0)
        return [_factor(rule, sums["delivered"], sums["instructed"])] * len(energies)

    def _month(self, deal: Deal, shift: int) -> pd.Series:
        """Return the energy of all events of the zone and product that began in a local month. [Wh]"""
        month = pd.Period(_local(deal.half_hours[0]).date(), "M") + shift
        theirs = [
            self._energies(one)[["delivered", "instructed"]].sum()
            for one in self.deals
            if (one.zone, one.product, one.delivered) == (deal.zone, deal.product, True)
            and pd.Period(_local(one.half_hours[0]).date(), "M") == month
        ]
        return pd.DataFrame(theirs, columns=["delivered", "instructed"]).sum()


def _local(at: int) -> datetime:
    return (EPOCH + timedelta(microseconds=at)).astimezone(LONDON)


def _part(whole: int, weights: dict[str, int], name: str) -> int:
    """Share by largest remainder, of equal ones the first gets more; nobody has a part without a weight."""
    total = sum(weights.values())
    if not total:
        return 0
    quotas = {one: Fraction(whole * weight, total) for one, weight in weights.items()}
    parts = {one: int(quota) for one, quota in quotas.items()}
    left = whole - sum(parts.values())
    for one in sorted(quotas, key=lambda one: parts[one] - quotas[one])[:left]:
        parts[one] += 1
    return parts.get(name, 0)


def _rank(order: dict[str, Any]) -> tuple[bool, int, int]:
    """Priority 1 is served first, 0 last; of equals the later one."""
    return order["priority"] > 0, -order["priority"], micros(order["issued_at"])


def _factor(rule: dict[str, Any], delivered: int, instructed: int) -> Decimal:
    if not instructed:
        return Decimal(1)
    grace, multiplier, floor, cap = (
        Decimal(str(rule.get(name, unsaid)))
        for name, unsaid in (("grace", 0), ("multiplier", 1), ("floor", 0), ("cap", 1))
    )
    measure = Decimal(int(delivered)) / Decimal(int(instructed))
    found = 1 - multiplier * ((1 - grace) - measure)
    return min(max(found, floor), cap).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)


def _of_profile(profile_kw: list[float], start: int, many: int) -> int:
    local = _local(start)
    n = local.hour * 2 + local.minute // 30 + (48 * local.weekday() if len(profile_kw) > 48 else 0)
    return round(Fraction(str(profile_kw[n])) * 500 * many)


def _works(day: date, rule: dict[str, Any]) -> bool:
    code = rule.get("calendar", "GB-ENG")
    off = {} if code == "none" else holidays.country_holidays("GB", subdiv="ENG")
    return day.weekday() < 5 and day not in off


def _same_time(start: int, day: date, past: date) -> int | None:
    """Return the instant of the same local time as many days before, None where clocks skip it."""
    local = _local(start)
    then = (local.replace(tzinfo=None) - (day - past)).replace(tzinfo=LONDON, fold=local.fold)
    back = then.astimezone(UTC)
    if back.astimezone(LONDON).replace(tzinfo=None) != then.replace(tzinfo=None):
        return None
    return (back - EPOCH) // timedelta(microseconds=1)
