"""What a VEN has told the operator: bids, nominations, telemetry, its settlement, answers, opt-outs."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from .reading import Answer, Opt, Reading, Report, Unreadable
from .scenario import Requirement, Scenario
from .span import HALF_HOUR, Span, half_hours

MINUTE = timedelta(minutes=1)
_NO_END = datetime.max.replace(tzinfo=UTC)
_PART = re.compile(r"(kw|util|avail)/([1-9]\d{0,2})")
LOAD_SIGN = -1  # every kW and kWh on the wire counts load; export is counted here


@dataclass(frozen=True, slots=True)
class PriceStep:
    """A part of a bid that has its own prices, on top of the steps before it.

    Attributes:
        kw: Volume of this step alone, per slot, in the product's direction.
        utilisation_gbp_per_mwh: Asked for what is delivered, per slot.
        availability_gbp_per_mw_h: Asked for standing by, per slot.
    """

    kw: tuple[float, ...]
    utilisation_gbp_per_mwh: tuple[float, ...]
    availability_gbp_per_mw_h: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bid:
    """One version of a bid as it was received.

    Attributes:
        steps: In the order of their numbers, at least one.
        faults: Why it cannot be taken; empty if it can.
    """

    report_id: str
    version: int
    steps: tuple[PriceStep, ...]
    received_at: datetime
    faults: tuple[str, ...] = ()

    @property
    def kw(self) -> tuple[float, ...]:
        """Volume of all steps per slot."""
        return tuple(map(sum, zip(*(step.kw for step in self.steps), strict=True)))


@dataclass(frozen=True, slots=True)
class Metered:
    """Energy exported in a stretch of time. [kWh]"""

    span: Span
    export_kwh: float


@dataclass(frozen=True, slots=True)
class Opted:
    """An opt of a VEN, with the domain times between which it stands; without an end it still does."""

    opt: Opt
    since: datetime
    until: datetime | None = None


@dataclass(slots=True)
class Book:
    """All that was received, in memory; changed only by its ``take`` methods.

    Attributes:
        bids: By requirement, in the order of arrival.
        refused: By requirement, what was refused on arrival and why.
        nominated: By zone and half-hour, every nomination with its time of arrival. [kWh export]
        metered: By zone and start; a later reading of the same start replaces the earlier.
        claims: By zone, half-hour and quantity: the VEN's own settlement, with the version it came in. [kWh]
        answers: By event and modification, the last answer to it.
        opts: By id, what the VEN opted for on its own account.
        reports: How many reports came, by the request that they answer.
        scales: By specifier and r_id, what turns a value into kW or kWh.
    """

    scenario: Scenario
    bids: dict[str, list[Bid]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    nominated: dict[tuple[str, datetime], list[tuple[datetime, float]]] = field(default_factory=dict)
    metered: dict[str, dict[datetime, Metered]] = field(default_factory=dict)
    claims: dict[tuple[str, datetime, str], tuple[int, float]] = field(default_factory=dict)
    answers: dict[str, dict[int, Answer]] = field(default_factory=dict)
    opts: dict[str, Opted] = field(default_factory=dict)
    reports: Counter[str] = field(default_factory=Counter)
    scales: dict[tuple[str, str], float] = field(default_factory=dict)

    def take_answer(self, answer: Answer) -> None:
        """Keep an answer, in place of an earlier one to the same version."""
        self.answers.setdefault(answer.event_id, {})[answer.modification] = answer

    @property
    def opt(self) -> dict[str, str]:
        """By event, optIn or optOut of the highest modification that was answered."""
        return {event_id: said[max(said)].opt for event_id, said in sorted(self.answers.items())}

    def take_opt(self, opt: Opt, now: datetime) -> None:
        """Keep an opt; the same one again changes nothing.

        Raises:
            Unreadable: If its id stands for another one.
        """
        known = self.opts.setdefault(opt.opt_id, Opted(opt, now))
        if known.opt != opt:
            raise Unreadable(f"the opt {opt.opt_id!r} was made with other content")

    def cancel_opt(self, opt_id: str, now: datetime) -> None:
        """End an opt; again it changes nothing.

        Raises:
            Unreadable: If there is none of that id.
        """
        known = self.opts.get(opt_id)
        if known is None:
            raise Unreadable(f"there is no opt {opt_id!r}")
        self.opts[opt_id] = replace(known, until=known.until or now)

    def opted_out(self, event_id: str) -> tuple[Span, ...]:
        """When a VEN had opted out of an event by an opt of its own."""
        return tuple(
            Span(one.since, one.until or _NO_END)
            for one in self.opts.values()
            if one.opt.event_id == event_id and one.opt.opt == "optOut"
        )

    def take_report(self, report: Report, now: datetime) -> None:
        """Keep a report; the same one again changes nothing.

        Raises:
            Unreadable: If it is of no known kind, or its id has no version where one is needed.
        """
        match report.specifier_id:
            case "bid":
                self._take_bid(report, now)
            case "nomination":
                for zone, start, kwh in self._energies(report, "nominated_kwh"):
                    self.nominated.setdefault((zone, start), []).append((now, LOAD_SIGN * kwh + 0.0))
            case "settlement":
                self._take_settlement(report)
            case "telemetry" | "history":
                self._take_telemetry(report)
            case "status":
                pass
            case other:
                raise Unreadable(f"no report {other!r} was asked for")
        self.reports[report.request_id] += 1

    def nomination(self, zone: str, start: datetime, by: datetime) -> float | None:
        """The last export nominated for a half-hour that was received by a time. [kWh]"""
        received = [kwh for at, kwh in self.nominated.get((zone, start), []) if at <= by]
        return received[-1] if received else None

    def nominated_kw(self, zone: str, span: Span, by: datetime) -> float:
        """The mean export nominated for a stretch of time, 0 where nothing was received by a time. [kW]"""
        parts = [((half & span).hours, self.nomination(zone, half.start, by)) for half in half_hours(span)]
        return sum(hours * 2 * (kwh or 0.0) for hours, kwh in parts) / span.hours

    def telemetry(self, zone: str, span: Span) -> tuple[float | None, float]:
        """Export metered in a stretch of time, None without any reading [kWh], and the minutes missing."""
        parts = [(reading, (reading.span & span).hours) for reading in self.metered.get(zone, {}).values()]
        covered = [(reading, hours) for reading, hours in parts if hours]
        kwh = sum(reading.export_kwh * hours / reading.span.hours for reading, hours in covered)
        missing_minutes = 60 * max(span.hours - sum(hours for _, hours in covered), 0.0)
        return (kwh if covered else None), missing_minutes

    def _take_telemetry(self, report: Report) -> None:
        for reading in report.readings:
            zone, _, quantity = reading.r_id.rpartition("/")
            if quantity == "export_kwh":
                span = Span(reading.start, reading.start + (reading.duration or MINUTE))
                if not span.hours:
                    raise Unreadable(
                        f"a reading of {reading.r_id} at {reading.start.isoformat()} spans no time"
                    )
                export_kwh = LOAD_SIGN * self._kilo(report, reading) + 0.0
                self.metered.setdefault(zone, {})[span.start] = Metered(span, export_kwh)

    def _take_settlement(self, report: Report) -> None:
        _, version = split_version(report.report_id)
        for quantity, sign in (
            ("metered_kwh", LOAD_SIGN),
            ("nominated_kwh", LOAD_SIGN),
            ("delivered_kwh", 1),
        ):
            for zone, start, kwh in self._energies(report, quantity):
                known = self.claims.get((zone, start, quantity))
                if known is None or known[0] <= version:
                    self.claims[zone, start, quantity] = (version, sign * kwh + 0.0)

    def _energies(self, report: Report, quantity: str) -> list[tuple[str, datetime, float]]:
        found = []
        for reading in report.readings:
            zone, _, name = reading.r_id.rpartition("/")
            if name == quantity:
                if reading.duration not in {None, HALF_HOUR}:
                    raise Unreadable(f"{reading.r_id} at {reading.start.isoformat()} is not of a half-hour")
                found.append((zone, reading.start, self._kilo(report, reading)))
        return found

    def _kilo(self, report: Report, reading: Reading) -> float:
        return reading.value * self.scales.get((report.specifier_id, reading.r_id), 1.0)

    def _take_bid(self, report: Report, now: datetime) -> None:
        requirement = next((r for r in self.scenario.requirement if r.id == report.request_id), None)
        if requirement is None:
            raise Unreadable(f"no bid {report.request_id!r} was asked for")
        bid = _bid(requirement, report, now)
        bids = self.bids.setdefault(requirement.id, [])
        same = next((known for known in bids if known.report_id == bid.report_id), None)
        if same is None:
            bids.append(bid)
        elif same.steps != bid.steps:
            why = f"{bid.report_id}: sent again with other content; the first one counts"
            self.refused.setdefault(requirement.id, []).append(why)


def split_version(report_id: str) -> tuple[str, int]:
    """The id and the version in ``<id>:<version>``.

    Raises:
        Unreadable: If there is no version.
    """
    name, _, version = report_id.rpartition(":")
    if not name or not version.isdecimal():
        raise Unreadable(f"eiReportID {report_id!r} is not <id>:<version>")
    return name, int(version)


def _bid(requirement: Requirement, report: Report, now: datetime) -> Bid:
    _, version = split_version(report.report_id)
    prefix = f"{requirement.zone}/{requirement.product}/"
    slots = {slot.start: n for n, slot in enumerate(requirement.slots)}
    values: dict[tuple[int, str], list[float | None]] = {}
    faults = []
    for reading in report.readings:
        part = _PART.fullmatch(reading.r_id.removeprefix(prefix))
        if not reading.r_id.startswith(prefix) or part is None:
            faults.append(f"{reading.r_id} is no part of a bid for {prefix.rstrip('/')}")
        elif reading.start not in slots or reading.duration not in {None, requirement.slot}:
            faults.append(f"{reading.start.isoformat()} is no slot of {requirement.id}")
        else:
            row = values.setdefault((int(part[2]), part[1]), [None] * len(slots))
            row[slots[reading.start]] = reading.value
    sign = -1 if requirement.direction == "up" else 1
    steps = []
    for number in sorted({number for number, _ in values}) or [1]:
        volume, util, avail = (
            values.get((number, name), [None] * len(slots)) for name in ("kw", "util", "avail")
        )
        step = PriceStep(
            kw=tuple(sign * value + 0.0 if value else 0.0 for value in volume),
            utilisation_gbp_per_mwh=tuple(value or 0.0 for value in util),
            availability_gbp_per_mw_h=tuple(value or 0.0 for value in avail),
        )
        steps.append(step)
        if any(kw and price is None for kw, price in zip(step.kw, util, strict=True)):
            faults.append("a slot with a volume has no utilisation price")
        if min(step.kw) < 0:
            faults.append(f"a volume is against the direction of the product ({requirement.direction})")
    return Bid(report.report_id, version, tuple(steps), now, tuple(dict.fromkeys(faults)))
