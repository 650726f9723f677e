"""What can be ordered, and how an order fares: amended, ended, cancelled, or gone without a word."""

from abc import abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .edge import FractionPerSlot, Instant, NotNegative, PerSlot, Problem, Table, Word, refuse
from .span import Span

Minutes = Annotated[int, Field(strict=True, ge=1, le=24 * 60)]
Shift = Annotated[int, Field(strict=True, ge=-24 * 60, le=24 * 60)]
Flag = Annotated[bool, Field(strict=True)]


class Window(Table):
    """A stretch of domain time."""

    from_: Instant = Field(alias="from")
    to: Instant

    @property
    def span(self) -> Span:
        """The window as a span."""
        return Span(self.from_, self.to)

    def holds(self, now: datetime) -> bool:
        """Whether a domain time lies in it."""
        return self.from_ <= now < self.to

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        refuse([Problem("to", self.to, "after from")] if self.to <= self.from_ else [])
        return self


class Form(Table):
    """How an event is written down, beside what it orders."""

    test: Flag = False
    priority: Annotated[int, Field(strict=True, ge=0)] = 0
    answer: Literal["always", "never"] = "always"
    notification_minutes: NotNegative = 0.0
    ramp_up_minutes: NotNegative = 0.0
    random_start_minutes: NotNegative = 0.0


PLAIN = Form()


class Amendment(Table):
    """A change of an order: as shares of what was awarded, or in kW, or its start (from the first one's).

    A shorter list ends the order earlier; without a list the values stay.
    """

    at: Instant
    scale: FractionPerSlot | None = None
    kw: PerSlot | None = None
    shift_minutes: Shift | None = None

    @property
    def shift(self) -> timedelta:
        """How much later than first agreed it starts."""
        return timedelta(minutes=self.shift_minutes or 0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        values = (self.scale is not None) + (self.kw is not None)
        if values > 1 or (not values and self.shift_minutes is None):
            refuse([Problem("scale", self.scale, "one of scale and kw, or shift_minutes alone")])
        return self


Change = Amendment | Literal["end told", "cancelled", "vanished"]


class Ordered(Table):
    """Something that may be ordered in one zone and window.

    Every kW is a change in the product's direction, at least 0: ``up`` is more export or less import,
    ``down`` the reverse. As a ``setpoint`` the same order is said as the zone's net power, which is what was
    nominated with the change on top. With ``end_told_at`` the order has no end until then. ``vanish_at``
    takes it back without a word; in ``behind`` the version before the newest is handed out again.
    """

    id: Word
    zone: Word
    product: Word
    market_context: Word | None = None
    direction: Literal["up", "down"] = "up"
    start: Instant
    end: Instant
    slot_minutes: Minutes = 30
    kw: PerSlot
    signal: Literal["delta", "setpoint"] = "delta"
    amend: tuple[Amendment, ...] = ()
    end_told_at: Instant | None = None
    cancel_at: Instant | None = None
    vanish_at: Instant | None = None
    behind: tuple[Window, ...] = ()

    @property
    @abstractmethod
    def ordered_at(self) -> datetime | None:
        """When it is ordered; None if never."""

    @property
    @abstractmethod
    def order_form(self) -> Form:
        """How the order is written down."""

    @property
    def window(self) -> Span:
        """The whole time of delivery."""
        return Span(self.start, self.end)

    @property
    def slot(self) -> timedelta:
        """Length of one slot."""
        return timedelta(minutes=self.slot_minutes)

    @property
    def count(self) -> int:
        """Slots in the window."""
        return (self.end - self.start) // self.slot

    @cached_property
    def slots(self) -> tuple[Span, ...]:
        """The slots, in order: they tile the window, and go on where an amendment makes it longer."""
        count = max(self.count, *(len(change.kw or ()) for change in self.amend), 0)
        return tuple(Span(self.start + n * self.slot, self.start + (n + 1) * self.slot) for n in range(count))

    @property
    def needed_kw(self) -> tuple[float, ...]:
        """What is wanted, one value per slot of the window. [kW]"""
        return self.per_slot(self.kw)

    def per_slot(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """One value per slot of the window: a single value holds for all of them."""
        return values * self.count if len(values) == 1 else values

    def changes(self) -> list[tuple[datetime, Change]]:
        """What happens to the order after it was made, by time; no end is told of what is cancelled."""
        over_at = self.cancel_at or self.vanish_at
        told_at = self.end_told_at
        ends: list[tuple[datetime | None, Change]] = [
            (None if told_at and over_at and over_at <= told_at else told_at, "end told"),
            (self.cancel_at, "cancelled"),
            (self.vanish_at, "vanished"),
        ]
        found = [(change.at, change) for change in self.amend] + [(at, one) for at, one in ends if at]
        return sorted(found, key=lambda change: change[0])

    def gone(self, now: datetime) -> bool:
        """Whether the order is no longer told of, though nobody said that it is cancelled."""
        return self.vanish_at is not None and self.vanish_at <= now

    def _window_problems(self, per_slot: dict[str, tuple[float, ...]]) -> Iterator[Problem]:
        if self.end <= self.start:
            yield Problem("end", self.end, "after start")
        elif (self.end - self.start) % self.slot:
            yield Problem("slot_minutes", self.slot_minutes, "a whole number of slots in the window")
        else:
            for name, values in per_slot.items():
                if len(values) not in {1, self.count}:
                    yield Problem(name, list(values), f"one value, or {self.count}: one per slot")

    def _change_problems(self, *, may_grow: bool) -> Iterator[Problem]:
        last, names = self.ordered_at, {self.end_told_at: "end_told_at", self.vanish_at: "vanish_at"}
        names |= {change.at: f"amend[{n}].at" for n, change in enumerate(self.amend)}
        names |= {self.cancel_at: "cancel_at"}
        if self.cancel_at is not None and self.vanish_at is not None:
            yield Problem("vanish_at", self.vanish_at, "none where there is a cancel_at")
        listed = [change.at for change in self.amend]
        for at, change in self.changes():
            over = change in {"cancelled", "vanished"} and at < max(listed, default=at)
            if last is None:
                yield Problem(names[at], at, "only where there is a dispatch_at")
            elif over or not last < at < self.end:
                yield Problem(names[at], at, "after the dispatch and the change before it, and before end")
            else:
                last = at
        if listed != sorted(listed):
            yield Problem("amend", [at.isoformat() for at in listed], "in the order of their times")
        for n, change in enumerate(self.amend):
            values = change.scale or (() if may_grow else change.kw) or ()
            if self.end > self.start and len(values) > self.count:
                yield Problem(f"amend[{n}]", list(values), f"at most {self.count} values: one per slot")
