"""What the simulated operator does and when, from a TOML file."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .edge import (
    NOT_EMPTY,
    BadFile,
    Fraction,
    FractionPerSlot,
    Instant,
    NotNegative,
    Number,
    Positive,
    Problem,
    Refusal,
    Table,
    Word,
    checked,
    refuse,
)
from .faults import Failure
from .ordering import PLAIN, Flag, Form, Ordered, Window
from .security import Signing, Tls

Seconds = Annotated[int, Field(strict=True, ge=0)]


class Peak(Table):
    """A standing signal: one event per zone, one level and maybe one price for the whole window."""

    id: Word
    zones: Annotated[tuple[Word, ...], NOT_EMPTY]
    market_context: Word | None = None
    start: Instant
    end: Instant
    level: Literal[0, 1, 2, 3]
    price_gbp_per_mwh: Number | None = None
    publish_at: Instant
    form: Form = PLAIN

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = [Problem("end", self.end, "after start")] if self.end <= self.start else []
        if len(set(self.zones)) < len(self.zones):
            problems.append(Problem("zones", list(self.zones), "each zone once"))
        refuse(problems)
        return self


class Requirement(Ordered):
    """One need in one zone and window, and what the operator will do about it.

    Prices in GBP/MWh, availability in GBP/MW/h. Of a ``scheduled`` one the award is itself the order, and no
    dispatch follows. ``form`` is of the need and its award, ``dispatch_form`` of the order.
    """

    ceiling_gbp_per_mwh: NotNegative
    availability_ceiling_gbp_per_mw_h: NotNegative = 0.0
    penalty_gbp_per_mwh: NotNegative | None = None
    publish_at: Instant
    gate_closure_at: Instant
    award_at: Instant
    dispatch_at: Instant | None = None
    scheduled: Flag = False
    accept_fraction: Fraction = 1.0
    tick_kw: Positive = 1.0
    level: FractionPerSlot = (1.0,)
    form: Form = PLAIN
    dispatch_form: Form = PLAIN

    @property
    def ordered_at(self) -> datetime | None:
        """When it is ordered; None if never."""
        return self.dispatch_at

    @property
    def order_form(self) -> Form:
        """How the order is written down."""
        return self.dispatch_form

    @model_validator(mode="after")
    def _sound(self) -> Self:
        per_slot = {"kw": self.kw, "level": self.level}
        refuse(
            [
                *self._window_problems(per_slot),
                *self._order_problems(),
                *self._change_problems(may_grow=False),
            ]
        )
        return self

    def _order_problems(self) -> Iterator[Problem]:
        if self.gate_closure_at <= self.publish_at:
            yield Problem("gate_closure_at", self.gate_closure_at, "after publish_at")
        if self.award_at < self.gate_closure_at:
            yield Problem("award_at", self.award_at, "not before gate_closure_at")
        if self.award_at >= self.end:
            yield Problem("award_at", self.award_at, "before end")
        if self.dispatch_at is not None and not self.award_at <= self.dispatch_at < self.end:
            yield Problem("dispatch_at", self.dispatch_at, "not before award_at, and before end")
        if self.scheduled and self.dispatch_at is not None:
            yield Problem("dispatch_at", self.dispatch_at, "none where scheduled is true")


class Call(Ordered):
    """An order that no bid preceded, under a standing contract."""

    publish_at: Instant
    price_gbp_per_mwh: NotNegative = 0.0
    form: Form = PLAIN

    @property
    def ordered_at(self) -> datetime | None:
        """When it is ordered."""
        return self.publish_at

    @property
    def order_form(self) -> Form:
        """How it is written down."""
        return self.form

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = [*self._window_problems({"kw": self.kw}), *self._change_problems(may_grow=True)]
        if self.publish_at >= self.end:
            problems.append(Problem("publish_at", self.publish_at, "before end"))
        refuse(problems)
        return self


class ReportAsked(Table):
    """A report that is asked for on the way: with a granularity of 0 s once, else as often as that says.

    With ``from`` and ``to`` only what lies between them is wanted, be it past or future. The specifier may be
    one that nobody offers.
    """

    at: Instant
    request_id: Word
    specifier: Word
    granularity_s: Seconds = 0
    back_duration_s: Seconds = 0
    from_: Instant | None = Field(default=None, alias="from")
    to: Instant | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.from_ is None) != (self.to is None):
            refuse([Problem("to", self.to, "from and to, or neither")])
        if self.from_ is not None and self.to is not None and self.to <= self.from_:
            refuse([Problem("to", self.to, "after from")])
        return self


class ReportCancelled(Table):
    """A report request that is taken back: by poll, or in the same breath as a report is acknowledged."""

    at: Instant
    request_id: Word
    by: Literal["poll", "updated_report"] = "poll"


class RegistrationAct(Table):
    """What the operator does about the VENs that are registered at a time.

    ``cancel`` takes their registration back, ``reregister`` asks them to register again, ``forget`` is a
    platform that restarted without its memory: it knows nobody.
    """

    at: Instant
    kind: Literal["cancel", "reregister", "forget"]


class Scenario(Table):
    """One run of the simulated operator."""

    vtn_id: Word
    market_context: Word
    poll_interval_s: Positive = 1.0
    starts_at: Instant
    ends_at: Instant
    penalty_gbp_per_mwh: NotNegative = 0.0
    telemetry: Window | None = None
    deliver_again_at: tuple[Instant, ...] = ()
    requirement: tuple[Requirement, ...] = ()
    call: tuple[Call, ...] = ()
    peak: tuple[Peak, ...] = ()
    report: tuple[ReportAsked, ...] = ()
    cancel_report: tuple[ReportCancelled, ...] = ()
    registration: tuple[RegistrationAct, ...] = ()
    fail: tuple[Failure, ...] = ()
    tls: Tls | None = None
    signing: Signing | None = None

    def penalty_of(self, ordered: Ordered) -> float:
        """Penalty for what was instructed and not delivered. [GBP/MWh]"""
        own = ordered.penalty_gbp_per_mwh if isinstance(ordered, Requirement) else None
        return self.penalty_gbp_per_mwh if own is None else own

    def failure(self, now: datetime, service: str, *kinds: str) -> Failure | None:
        """What goes wrong at a domain time with what is posted to a service; the first one told counts."""
        return next((one for one in self.fail if one.strikes(now, service) and one.kind in kinds), None)

    def clock_offset(self, now: datetime) -> timedelta:
        """How far the platform's own clock is off at a domain time, positive if it is ahead."""
        return next(
            (one.offset for one in self.fail if one.kind == "clock_offset" and one.holds(now)), timedelta(0)
        )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        refuse([*self._id_problems(), *self._time_problems()])
        return self

    def _id_problems(self) -> Iterator[Problem]:
        for kind, ids in (
            ("requirement.id", [r.id for r in self.requirement]),
            ("peak.id", [p.id for p in self.peak]),
            ("call.id", [call.id for call in self.call]),
            ("report.request_id", [report.request_id for report in self.report]),
        ):
            twice = [name for name, count in Counter(ids).items() if count > 1]
            yield from (Problem(kind, name, "each id once") for name in twice)
        needs = {r.id for r in self.requirement}
        for name in sorted(needs & {call.id for call in self.call}):
            yield Problem("call.id", name, "no requirement's id")
        for name in sorted(needs & {report.request_id for report in self.report}):
            yield Problem("report.request_id", name, "no requirement's id: by that its bid is asked for")

    def _time_problems(self) -> Iterator[Problem]:
        if self.ends_at <= self.starts_at:
            yield Problem("ends_at", self.ends_at, "after starts_at")
        if self.telemetry is not None:
            seen = self.telemetry.span
            shown = f"{seen.start.isoformat()}/{seen.end.isoformat()}"
            for ordered in (*self.requirement, *self.call):
                if not seen.start <= ordered.start < ordered.end <= seen.end:
                    yield Problem("telemetry", shown, f"must hold the window of {ordered.id}")


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; files that it names are relative to it.

    Raises:
        BadFile: If it cannot be read or is not allowed, with every fault found.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadFile(Refusal(path.name or str(path), reason, "a file that can be read as TOML")) from None
    return checked(Scenario, data, path.name, folder=path.parent)
