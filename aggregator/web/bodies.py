"""What an action may be asked with, as JSON or as a form: the same fields, the same limits."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from aggregator.files.inputs import Clash, LocalDate, Money, Name, Number, Row, Text, Whole, validate
from aggregator.model.errors import MISSING
from aggregator.model.time import parse_london
from aggregator.statements import Period

Body = TypeVar("Body", bound=Row)
NOTHING: Mapping[str, str] = {}
LONGEST_REASON = 500
MOST_AT_ONCE = 200
FIRST_DAY, LONGEST_PERIOD = date(2000, 1, 1), timedelta(days=366)


def _in_words(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("say why, in words")
    return value


Reason = Annotated[Name, Field(max_length=LONGEST_REASON), BeforeValidator(_in_words)]
Digest = Annotated[Name, Field(min_length=8, max_length=64)]


def _from_a_box(value: object) -> object:
    """Return what a ticked box stands for: the draft's digest, a space, the bid's id."""
    if not isinstance(value, Text):
        return value
    draft, _, bid = value.partition(" ")
    return {"bid": bid, "draft": draft}


def _as_told(value: object) -> object:
    """Return a price as routes tell it, in text, as what stands for a number."""
    return Text(value) if isinstance(value, str) else value


Price = Annotated[Money, BeforeValidator(_as_told)]


class Seen(Row):
    """Which draft was seen."""

    draft: Digest


class Amendment(Seen):
    """Another level [kW] or price [GBP/MWh] for it."""

    kw: Annotated[Number, Field(allow_inf_nan=False)] | None = None
    gbp_per_mwh: Price | None = None


class Refusal(Row):
    """Why not, and of which draft where there is one."""

    reason: Reason
    draft: Digest | None = None


class SeenBid(Seen):
    """Which draft of which bid was seen."""

    bid: Name


class SeenBids(Row):
    """Several drafts, each as it was seen."""

    bids: tuple[Annotated[SeenBid, BeforeValidator(_from_a_box)], ...] = Field(
        min_length=1, max_length=MOST_AT_ONCE
    )


class Alarms(Row):
    """The numbers of alarms that somebody has looked at."""

    alarms: tuple[Whole, ...] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Extent(Row):
    """One zone, or all without."""

    zone: Name | None = None


class Stop(Extent):
    """What is stopped, and why."""

    reason: Reason


def _instant(value: object) -> object:
    """Return an instant: one without a zone is what London's clocks show."""
    return parse_london(value) if isinstance(value, str) else value


class Settled(Row):
    """A period: London dates, the first one and the one after the last; of one zone, or all."""

    start: LocalDate = Field(alias="from")
    end: LocalDate = Field(alias="to")
    zone: Name | None = None

    @model_validator(mode="after")
    def _some_days(self) -> "Settled":
        if not FIRST_DAY <= self.start < self.end:
            raise Clash("to", self.end.isoformat(), f"a date after {max(self.start, FIRST_DAY)}")
        if self.end - self.start > LONGEST_PERIOD:
            allowed = f"at most {LONGEST_PERIOD.days} days after {self.start}: take a longer period in parts"
            raise Clash("to", self.end.isoformat(), allowed)
        return self

    def period(self) -> Period:
        """Return it, as known now."""
        return Period(self.start, self.end, self.zone)


class KnownAt(Row):
    """As known at a time; now without one."""

    known_at: Annotated[datetime | None, BeforeValidator(_instant)] = None


class SettledAt(Settled, KnownAt):
    """A period, as known at a time."""

    def period(self) -> Period:
        """Return it, as known then."""
        return Period(self.start, self.end, self.zone, self.known_at)


class Explaining(KnownAt):
    """Which half-hour of an event is laid out, and with whose registers."""

    half_hour: Name | None = None
    car: Name | None = None


class Nothing(Row):
    """Nothing needs to be said."""


class SignIn(Row):
    """A name and its password, or a driver's token."""

    user: Annotated[Name, Field(max_length=100)] | None = None
    password: Annotated[Name, Field(max_length=200)] | None = None
    token: Annotated[Name, Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "SignIn":
        stated = {name for name in ("user", "password", "token") if getattr(self, name) is not None}
        if stated not in ({"user", "password"}, {"token"}):
            raise Clash("", ", ".join(sorted(stated)) or MISSING, "user and password, or a driver's token")
        return self


LISTS, REASON = ("bids", "alarms"), "reason"


def of_query(model: type[Body], query: Mapping[str, str], usual: Mapping[str, str] = NOTHING) -> Body:
    """Return what a query asks for, of what its model knows; what it leaves empty is as usual."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    said = of_form((name, value) for name, value in query.items() if name in known)
    return validate(model, {**usual, **said}, "query")


def of_form(fields: Iterable[tuple[str, object]]) -> Mapping[str, object]:
    """Return a form's fields as a body: what is left empty is not there, what may repeat is a list.

    A reason is there all the same: nobody is told that it is missing, but to say why.
    """
    body: dict[str, object] = {}
    for name, value in fields:
        if not isinstance(value, str) or not (value.strip() or name == REASON):
            continue
        if name in LISTS:
            known = body.setdefault(name, [])
            if isinstance(known, list):
                known.append(Text(value))
        else:
            body[name] = Text(value)
    return body
