"""What the simulated operator does and when, from a TOML file."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
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
    PerSlot,
    Positive,
    Problem,
    Refusal,
    Table,
    Word,
    checked,
    refuse,
)
from .span import Span

Minutes = Annotated[int, Field(strict=True, ge=1, le=24 * 60)]


class Window(Table):
    """A stretch of domain time."""

    from_: Instant = Field(alias="from")
    to: Instant

    @property
    def span(self) -> Span:
        """The window as a span."""
        return Span(self.from_, self.to)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        refuse([Problem("to", self.to, "after from")] if self.to <= self.from_ else [])
        return self


class Failure(Window):
    """A window in which every request gets an HTTP 500."""

    kind: Literal["http500"]


class Amendment(Table):
    """A change of a dispatch: as shares of what was awarded, or in kW; a shorter list ends it earlier."""

    at: Instant
    scale: FractionPerSlot | None = None
    kw: PerSlot | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.scale is None) == (self.kw is None):
            refuse([Problem("scale", self.scale, "exactly one of scale and kw")])
        return self


class Peak(Table):
    """A standing signal: one event per zone, one level for the whole window."""

    id: Word
    zones: Annotated[tuple[Word, ...], NOT_EMPTY]
    start: Instant
    end: Instant
    level: Literal[0, 1, 2, 3]
    publish_at: Instant

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = [Problem("end", self.end, "after start")] if self.end <= self.start else []
        if len(set(self.zones)) < len(self.zones):
            problems.append(Problem("zones", list(self.zones), "each zone once"))
        refuse(problems)
        return self


class Requirement(Table):
    """One need in one zone and window, and what the operator will do about it.

    Every kW is a change in the product's direction, at least 0: ``up`` is more export or less import,
    ``down`` the reverse. Prices in GBP/MWh, availability in GBP/MW/h. Of a ``scheduled`` one the award is
    itself the order, and no dispatch follows.
    """

    id: Word
    zone: Word
    product: Word
    direction: Literal["up", "down"] = "up"
    start: Instant
    end: Instant
    slot_minutes: Minutes = 30
    kw: PerSlot
    ceiling_gbp_per_mwh: NotNegative
    availability_ceiling_gbp_per_mw_h: NotNegative = 0.0
    penalty_gbp_per_mwh: NotNegative | None = None
    publish_at: Instant
    gate_closure_at: Instant
    award_at: Instant
    dispatch_at: Instant | None = None
    scheduled: Annotated[bool, Field(strict=True)] = False
    accept_fraction: Fraction = 1.0
    tick_kw: Positive = 1.0
    level: FractionPerSlot = (1.0,)
    amend: tuple[Amendment, ...] = ()
    cancel_at: Instant | None = None

    @property
    def window(self) -> Span:
        """The whole time of delivery."""
        return Span(self.start, self.end)

    @property
    def slot(self) -> timedelta:
        """Length of one slot."""
        return timedelta(minutes=self.slot_minutes)

    @cached_property
    def slots(self) -> tuple[Span, ...]:
        """The slots, in order; they tile the window."""
        count = (self.end - self.start) // self.slot
        return tuple(Span(self.start + n * self.slot, self.start + (n + 1) * self.slot) for n in range(count))

    @property
    def needed_kw(self) -> tuple[float, ...]:
        """The need, one value per slot. [kW]"""
        return self.per_slot(self.kw)

    def per_slot(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """One value per slot: a single value holds for all of them."""
        return values * len(self.slots) if len(values) == 1 else values

    @model_validator(mode="after")
    def _sound(self) -> Self:
        refuse([*self._window_problems(), *self._order_problems(), *self._amendment_problems()])
        return self

    def _window_problems(self) -> Iterator[Problem]:
        if self.end <= self.start:
            yield Problem("end", self.end, "after start")
        elif (self.end - self.start) % self.slot:
            yield Problem("slot_minutes", self.slot_minutes, "a whole number of slots in the window")
        else:
            for name, values in (("kw", self.kw), ("level", self.level)):
                if len(values) not in {1, len(self.slots)}:
                    yield Problem(name, list(values), f"one value, or {len(self.slots)}: one per slot")

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

    def _amendment_problems(self) -> Iterator[Problem]:
        last = self.dispatch_at
        changes = [(f"amend[{n}].at", change.at) for n, change in enumerate(self.amend)]
        if self.cancel_at is not None:
            changes.append(("cancel_at", self.cancel_at))
        for name, at in changes:
            if last is None:
                yield Problem(name, at, "only where there is a dispatch_at")
            elif not last < at < self.end:
                yield Problem(name, at, "after the dispatch and the change before it, and before end")
            else:
                last = at
        for n, change in enumerate(self.amend):
            values = change.scale or change.kw or ()
            if self.end > self.start and len(values) > len(self.slots):
                yield Problem(f"amend[{n}]", list(values), f"at most {len(self.slots)} values: one per slot")


class Scenario(Table):
    """One run of the simulated operator."""

    vtn_id: Word
    market_context: Word
    poll_interval_s: Positive = 1.0
    starts_at: Instant
    ends_at: Instant
    penalty_gbp_per_mwh: NotNegative = 0.0
    telemetry: Window | None = None
    requirement: tuple[Requirement, ...] = ()
    peak: tuple[Peak, ...] = ()
    fail: tuple[Failure, ...] = ()

    def penalty_of(self, requirement: Requirement) -> float:
        """Penalty for what was instructed and not delivered. [GBP/MWh]"""
        own = requirement.penalty_gbp_per_mwh
        return self.penalty_gbp_per_mwh if own is None else own

    def failing(self, now: datetime) -> bool:
        """Whether the platform is down at a domain time."""
        return any(window.from_ <= now < window.to for window in self.fail)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = (
            [Problem("ends_at", self.ends_at, "after starts_at")] if self.ends_at <= self.starts_at else []
        )
        for kind, ids in (
            ("requirement", [r.id for r in self.requirement]),
            ("peak", [p.id for p in self.peak]),
        ):
            twice = [name for name, count in Counter(ids).items() if count > 1]
            problems += [Problem(f"{kind}.id", name, "each id once") for name in twice]
        if self.telemetry is not None:
            seen = self.telemetry.span
            problems += [
                Problem(
                    "telemetry",
                    f"{seen.start.isoformat()}/{seen.end.isoformat()}",
                    f"must hold the window of {r.id}",
                )
                for r in self.requirement
                if not seen.start <= r.start < r.end <= seen.end
            ]
        refuse(problems)
        return self


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        BadFile: If it cannot be read or is not allowed, with every fault found.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadFile(Refusal(path.name or str(path), reason, "a file that can be read as TOML")) from None
    return checked(Scenario, data, path.name)
